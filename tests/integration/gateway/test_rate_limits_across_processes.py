"""Rate limits are exact over any number of gateway processes, whatever their clocks say and whichever dies."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx
import pytest
from cryptography.fernet import Fernet

from libs.storage.client import Mongo
from libs.storage.settings import MongoSettings
from services.gateway.access.api_keys import ApiKeys, new_key
from tests.integration.gateway.conftest import unused_port

AHEAD_SECONDS = 60
SERVE = "import runpy; runpy.run_module('services.gateway', run_name='__main__')"
SERVE_AHEAD = f"""
import datetime, time_machine
now = datetime.datetime.now(datetime.UTC)
time_machine.travel(now + datetime.timedelta(seconds={AHEAD_SECONDS}), tick=True).start()
{SERVE}"""
NOWHERE = "/imports/templates/none"
"""Answered with 404 whatever is done to it, where the limit lets it pass."""


@dataclass(frozen=True)
class Gateway:
    process: asyncio.subprocess.Process
    http: httpx.AsyncClient

    async def ask(self, method: str, key: str) -> httpx.Response | None:
        """The answer; none where the process was killed before it came."""
        try:
            return await self.http.request(method, NOWHERE, headers={"Authorization": f"Bearer {key}"})
        except httpx.TransportError:
            return None


async def start(settings: MongoSettings, program: str, **environment: str) -> Gateway:
    port = unused_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program,
        env={
            **os.environ,
            "ROWDOCK_MONGODB": settings.mongodb.get_secret_value(),
            "ROWDOCK_DATABASE": settings.database,
            "ROWDOCK_TARGET_DATABASE": settings.target_database,
            "ROWDOCK_KAFKA": f"127.0.0.1:{unused_port()}",
            "ROWDOCK_SECRET_KEY": Fernet.generate_key().decode(),
            "ROWDOCK_INSTANCE": f"gateway-{port}",
            "ROWDOCK_PORT": str(port),
            "ROWDOCK_OPS_PORT": str(unused_port()),
            **environment,
        },
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    # A connection that is kept may be closed by the gateway just when a request is sent on it.
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=0)
    gateway = Gateway(process, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=30))
    async with asyncio.timeout(180):
        while await gateway.ask("GET", "nobody's") is None:  # noqa: ASYNC110 - another process gets ready
            await asyncio.sleep(0.05)
    return gateway


@pytest.fixture
async def two(mongo: Mongo, mongo_settings: MongoSettings) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two gateways on one database; the clock of the second is ahead by a minute."""
    del mongo
    started = await asyncio.gather(start(mongo_settings, SERVE), start(mongo_settings, SERVE_AHEAD))
    yield started
    for gateway in started:
        await gateway.http.aclose()
        if gateway.process.returncode is None:
            gateway.process.terminate()
        await gateway.process.wait()


async def organization() -> str:
    key = new_key()
    await ApiKeys().create("Acme", "test", key)
    return key


async def test_two_gateways_let_pass_exactly_what_the_limit_says(two: tuple[Gateway, Gateway]) -> None:
    key = await organization()
    for method, limit in (("DELETE", 30), ("GET", 100)):
        answers = await asyncio.gather(*(two[number % 2].ask(method, key) for number in range(200)))
        statuses = [answer.status_code for answer in answers if answer is not None]
        assert (statuses.count(404), statuses.count(429)) == (limit, 200 - limit)
        by_gateway = [{answer.headers["x-ratelimit-reset"] for answer in answers[at::2] if answer} for at in (0, 1)]
        assert by_gateway[0] == by_gateway[1]
        dates = [parsedate_to_datetime(answer.headers["date"]) for answer in answers[:2] if answer]
        assert (dates[1] - dates[0]).total_seconds() >= AHEAD_SECONDS / 2  # while answers came

    # A gateway that dies, at work or not, takes no count with it.
    key = await organization()
    first = await asyncio.gather(*(two[0].ask("DELETE", key) for _ in range(20)))
    assert [answer.status_code for answer in first if answer] == [404] * 20
    at_work = [asyncio.create_task(two[0].ask("DELETE", key)) for _ in range(5)]
    await asyncio.sleep(0)
    os.kill(two[0].process.pid, signal.SIGKILL)
    cut_off = await asyncio.gather(*at_work)
    rest = await asyncio.gather(*(two[1].ask("DELETE", key) for _ in range(100)))
    passed = [answer for answer in (*first, *cut_off, *rest) if answer is not None and answer.status_code == 404]
    unanswered = cut_off.count(None)
    assert 30 - unanswered <= len(passed) <= 30
    assert {answer.status_code for answer in rest if answer is not None} == {404, 429}
