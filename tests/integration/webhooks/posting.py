"""One request of the sender: to an address, or to a receiver with a script."""

import base64
from collections.abc import Sequence
from ipaddress import ip_network

from services.webhooks.domain.delivery import AttemptOutcome
from services.webhooks.http_sender import HttpSender
from services.webhooks.metered_network import Resolver
from tests.integration.webhooks.receivers import Script, receiving

LOCAL = (ip_network("127.0.0.0/8"),)


SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


OLD_SECRET = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()


BODY = '{"type":"import.completed","data":{"name":"Zoë"}}'.encode()


async def post(url: str, sender: HttpSender | None = None, secrets: Sequence[str] = (SECRET,)) -> AttemptOutcome:
    return await (sender or HttpSender(LOCAL)).send(url, secrets, "delivery1", BODY)


async def post_to(script: Script, sender: HttpSender | None = None) -> AttemptOutcome:
    async with receiving(script) as receiver:
        return await post(f"http://127.0.0.1:{receiver.port}/hook", sender)


def resolving_to(*answers: Sequence[str]) -> tuple[Resolver, list[str]]:
    """A resolver that gives these answers in turn, and the list of hosts it was asked for."""
    asked: list[str] = []

    async def resolver(host: str, port: int) -> Sequence[str]:
        del port
        asked.append(host)
        return answers[len(asked) - 1]

    return resolver, asked
