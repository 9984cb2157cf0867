"""A gateway dies between an effect and the record of its answer, or before that is sent: the next attempt answers."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.settings import MongoSettings
from tests.integration.gateway.conftest import SECRET_KEY, Organization
from tests.integration.gateway.creating import CREATING, World, answered
from tests.integration.gateway.test_rate_limits_across_processes import SERVE, Gateway, start


@pytest.fixture(params=["gateway.effect_before_answer", "gateway.answer_before_it_is_sent"])
async def mortal(request: pytest.FixtureRequest, mongo: Mongo, mongo_settings: MongoSettings) -> AsyncIterator[Gateway]:
    """A gateway that dies at a point of its first request with a key."""
    del mongo
    environment = {
        "ROWDOCK_RATE_LIMITS": "free=0/0",
        "ROWDOCK_WAIT_SECONDS": "0.3",
        "ROWDOCK_SECRET_KEY": SECRET_KEY,
        "FAILPOINT": f"{request.param}:kill:1",
    }
    gateway = await start(mongo_settings, SERVE, **environment)
    yield gateway
    await gateway.http.aclose()
    await gateway.process.wait()


async def test_killed_between_effect_and_answer(
    acme: Organization, ledger: Ledger, mongo: Mongo, mortal: Gateway
) -> None:
    """By the same key another gateway answers, at the latest when the lease of the dead one is over."""
    world = World(acme, ledger, mongo)
    creating = CREATING["createImporter"]
    request = await creating.prepare(world)
    before = await creating.effects(world)
    with pytest.raises(httpx.TransportError):
        await answered(mortal.http, request, acme.key, "k")
    assert await creating.effects(world) == before + 1
    async with asyncio.timeout(30):
        answer = await answered(acme.http, request, acme.key, "k")
    assert (answer.status_code, await creating.effects(world)) == (201, before + 1)
    shown = answer.json()
    assert shown["webhook_secret"].startswith("whsec_")
    again = await answered(acme.http, request, acme.key, "k")
    assert (again.content, again.headers["idempotent-replayed"]) == (answer.content, "true")
    assert (await acme.http.get(f"/api/v1/importers/{shown['id']}")).json()["name"] == shown["name"]
