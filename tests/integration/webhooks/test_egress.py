"""Where the sender's requests may go."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_network

import pytest

from services.webhooks.domain.schedule import AttemptResult
from services.webhooks.http_sender import (
    EgressRefusedError,
    GuardedBackend,
    HttpSender,
)
from services.webhooks.metered_network import Lookups, Meter
from tests.integration.webhooks.posting import LOCAL, post, resolving_to
from tests.integration.webhooks.receivers import answer, receiving


async def test_http_to_the_internet_and_inside_addresses_are_refused() -> None:
    async with receiving(answer("200 OK")) as receiver:
        for sender in (HttpSender(), HttpSender((ip_network("10.0.0.0/8"),))):
            for scheme in ("http", "https"):
                outcome = await post(f"{scheme}://127.0.0.1:{receiver.port}/", sender)
                assert (outcome.result, outcome.status_code) == (AttemptResult.FAILED, None)
                assert outcome.error
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "0", "[::ffff:127.0.0.1]", "localhost"]
)
async def test_other_ways_to_write_loopback(host: str) -> None:
    async with receiving(answer("200 OK")) as receiver:
        sender = HttpSender(https_ports=[receiver.port])
        outcome = await post(f"https://{host}:{receiver.port}/", sender)
        assert outcome.result is AttemptResult.FAILED
        assert outcome.error
        # The second line of defence, for what the look at the text let through.
        backend = GuardedBackend((), Lookups().of("t1"), Meter(), encrypted=True)
        with pytest.raises(EgressRefusedError):
            await backend.connect_tcp(host.strip("[]"), receiver.port, timeout=5)
    assert receiver.connections == 0


@pytest.mark.parametrize("inside", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"])
async def test_one_refused_address_refuses_the_host(inside: str) -> None:
    resolver, asked = resolving_to(["8.8.8.8", inside])
    async with receiving(answer("200 OK")) as receiver:
        sender = HttpSender(https_ports=[receiver.port], resolver=resolver)
        outcome = await post(f"https://hooks.example:{receiver.port}/", sender)
    assert "not allowed" in (outcome.error or "")
    assert outcome.result is AttemptResult.FAILED
    assert asked == ["hooks.example"]
    assert receiver.connections == 0


async def test_rebinding_between_attempts_is_refused() -> None:
    open_host = (ip_network("127.0.0.2/32"),)
    resolver, asked = resolving_to(["127.0.0.2"], ["127.0.0.1"])
    sender = HttpSender(open_host, resolver=resolver)
    async with receiving(answer("200 OK"), host="0.0.0.0") as receiver:  # noqa: S104 - both addresses answer
        first = await post(f"http://hooks.example:{receiver.port}/", sender)
        second = await post(f"http://hooks.example:{receiver.port}/", sender)
    assert first.result is AttemptResult.DELIVERED
    assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"
    assert second.result is AttemptResult.FAILED
    assert "not allowed" in (second.error or "")
    # One question per attempt: what was checked is what was connected to.
    assert (receiver.connections, len(asked)) == (1, 2)


async def test_plain_http_goes_to_open_networks_only() -> None:
    resolver, _ = resolving_to(["8.8.8.8"])
    outcome = await post("http://hooks.example/", HttpSender(LOCAL, resolver=resolver))
    assert "plain http" in (outcome.error or "")


async def test_the_next_address_is_tried() -> None:
    resolver, _ = resolving_to(["127.0.0.3", "127.0.0.1"])
    async with receiving(answer("200 OK")) as receiver:
        outcome = await post(f"http://hooks.example:{receiver.port}/", HttpSender(LOCAL, resolver=resolver))
    assert outcome.result is AttemptResult.DELIVERED


async def test_a_name_without_addresses() -> None:
    resolver, _ = resolving_to([])
    outcome = await post("https://hooks.example/", HttpSender(resolver=resolver))
    assert "no address" in (outcome.error or "")
    unknown = await post("https://hooks.invalid/")
    assert unknown.result in {AttemptResult.FAILED, AttemptResult.THROTTLED}


async def test_a_resolver_that_hangs() -> None:
    async def hang(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with asyncio.timeout(60):
        outcome = await post("https://hooks.example/", HttpSender(connect_seconds=0.2, resolver=hang))
    assert outcome.result is AttemptResult.THROTTLED
    waited = "no answer in time: gave up after 0.2 s of connecting"
    assert outcome.error == f"{waited}; the name hooks.example was not resolved"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (OSError("no servers"), "no servers"),
        (OSError(), "OSError"),
        (UnicodeError("label too long"), "label too long"),
    ],
)
async def test_a_resolver_that_fails(error: Exception, said: str) -> None:
    async def failing(_host: str, _port: int) -> Sequence[str]:
        raise error

    outcome = await post("https://hooks.example/", HttpSender(resolver=failing))
    assert outcome.result is AttemptResult.FAILED
    assert outcome.error == f"no answer: the name hooks.example cannot be resolved: {said}, while connecting"


async def test_the_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving(answer("200 OK")) as proxy, receiving(answer("200 OK")) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        outcome = await post(f"http://127.0.0.1:{receiver.port}/")
    assert outcome.result is AttemptResult.DELIVERED
    assert proxy.connections == 0
