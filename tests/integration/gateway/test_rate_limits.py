"""Rate limits: what answers tell, what sets them, and what they forget."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from beanie import init_beanie
from litestar import Litestar
from pymongo.read_concern import ReadConcern

from libs.storage.client import Mongo
from libs.storage.documents import DOCUMENTS
from libs.storage.settings import MongoSettings
from services.gateway.access.api_keys import ApiKeys, digest, new_key
from tests.integration.gateway.conftest import new_app
from tests.integration.gateway.steps import assert_error, eventually, template_body

READS = "/imports/templates"
HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
NewClient = Callable[[], Awaitable[httpx.AsyncClient]]


@pytest.fixture(scope="module")
async def limited(app: Litestar, mongo_settings: MongoSettings) -> AsyncIterator[Litestar]:
    """A gateway with the limits that it has where nobody sets any, on the state of the other."""
    strict = new_app(mongo_settings, rate_limits="", strangers_per_minute=100, trusted_proxies="127.0.0.0/8")
    started, over = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with strict.lifespan():
            started.set()
            await over.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(live())
        await started.wait()
        yield strict
        over.set()
    # Beanie's models, bound once in a process, are given back.
    await init_beanie(database=app.state.gateway.context.mongo.state, document_models=DOCUMENTS, skip_indexes=True)


def client_of(app: Litestar, address: str = "192.0.2.1", **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(address, 5))  # pyright: ignore[reportArgumentType]
    return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers)


@pytest.fixture
async def key(limited: Litestar) -> str:
    del limited
    made = new_key()
    await ApiKeys().create("Acme", "test", made)
    return made


@pytest.fixture
async def http(limited: Litestar, key: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(limited, Authorization=f"Bearer {key}") as client:
        yield client


async def stored_key(mongo: Mongo, key: str) -> dict[str, Any]:
    # What is counted is acknowledged before it is journaled.
    keys = mongo.state["api_keys"].with_options(read_concern=ReadConcern("local"))
    found = await keys.find_one({"digest": digest(key)})
    assert found is not None
    return found


def told(answer: httpx.Response) -> tuple[int, int]:
    """Limit and how many remain."""
    return int(answer.headers[HEADERS[0]]), int(answer.headers[HEADERS[1]])


async def test_every_answer_tells_the_limit(http: httpx.AsyncClient) -> None:
    assert told(await http.get(READS)) == (100, 99)
    assert told(await http.head(READS)) == (100, 98)
    assert told(await http.post(READS, json=template_body())) == (30, 29)
    assert told(await http.post(READS, json={})) == (30, 28)  # 422
    assert told(await http.put(f"{READS}/none", json=template_body())) == (30, 27)  # 404
    assert told(await http.get("/nothing/here")) == (100, 97)
    assert told(await http.patch(READS)) == (30, 26)  # 405
    assert told(await http.get(READS, params={"unknown": "1"})) == (100, 96)  # 400
    answer = await http.get(READS)
    assert 55 <= int(answer.headers[HEADERS[2]]) - time.time() <= 61


async def test_the_document_is_not_limited(http: httpx.AsyncClient) -> None:
    answer = await http.get("/schema/openapi.json")
    assert answer.status_code == 200
    assert not set(HEADERS) & set(answer.headers)
    assert told(await http.get(READS)) == (100, 99)


async def test_beyond_the_limit_is_refused_until_the_window_ends(
    http: httpx.AsyncClient, key: str, mongo: Mongo
) -> None:
    answers = await asyncio.gather(*(http.delete(f"{READS}/none") for _ in range(50)))
    passed = [answer for answer in answers if answer.status_code == 404]
    assert len(passed) == 30
    assert sorted(told(answer)[1] for answer in passed) == list(range(30))
    refused = await http.delete(f"{READS}/none")
    error = assert_error(refused, 429, "RATE_LIMIT_EXCEEDED")
    seconds = int(refused.headers["retry-after"])
    assert error["detail"] == f"this API key may write 30 times a minute; try again in {seconds} s"
    assert 50 <= seconds <= 60
    assert told(refused) == (30, 0)
    assert told(await http.get(READS)) == (100, 99)

    stored = await stored_key(mongo, key)
    assert stored["counted"]["writes"]["count"] == 30
    ended = {"$set": {"counted.writes.until": datetime.now(UTC) - timedelta(seconds=1)}}
    await mongo.state["api_keys"].update_one({"_id": stored["_id"]}, ended)
    passed.clear()

    async def passes() -> bool:  # within the second for which the gateway refuses by itself
        passed[:] = [await http.delete(f"{READS}/none")]
        return passed[0].status_code == 404

    await eventually(passes, 5)
    assert told(passed[0]) == (30, 29)


async def test_a_window_from_a_clock_ahead_does_not_last(http: httpx.AsyncClient, key: str, mongo: Mongo) -> None:
    window = {"count": 30, "granted": 0, "limit": 30, "until": datetime.now(UTC) + timedelta(hours=1)}
    await mongo.state["api_keys"].update_one(
        {"_id": (await stored_key(mongo, key))["_id"]}, {"$set": {"counted.writes": window}}
    )
    assert told(await http.delete(f"{READS}/none")) == (30, 29)


async def test_a_key_may_have_limits_of_its_own(http: httpx.AsyncClient, key: str, mongo: Mongo) -> None:
    stored = await stored_key(mongo, key)
    await mongo.state["api_keys"].update_one(
        {"_id": stored["_id"]}, {"$set": {"rate_limits": {"reads": 2, "writes": 0}}}
    )
    assert told(await http.get(READS)) == (2, 1)
    assert told(await http.get(READS)) == (2, 0)
    assert_error(await http.get(READS), 429, "RATE_LIMIT_EXCEEDED")
    for _ in range(40):
        answer = await http.delete(f"{READS}/none")
        assert answer.status_code == 404
        assert not set(HEADERS) & set(answer.headers)


async def test_a_key_is_revoked_and_expires_at_once_also_without_a_limit(
    http: httpx.AsyncClient, key: str, mongo: Mongo
) -> None:
    stored = await stored_key(mongo, key)
    keys = mongo.state["api_keys"]
    for limits in (None, {"reads": 0, "writes": 0}):
        for ended in ("revoked_at", "expires_at"):
            await keys.update_one({"_id": stored["_id"]}, {"$set": {"rate_limits": limits, ended: None}})
            assert (await http.get(READS)).status_code == 200
            await keys.update_one({"_id": stored["_id"]}, {"$set": {ended: datetime.now(UTC) - timedelta(seconds=1)}})
            assert_error(await http.get(READS), 401, "UNAUTHORIZED")
            await keys.update_one({"_id": stored["_id"]}, {"$set": {ended: None}})
    await keys.update_one({"_id": stored["_id"]}, {"$set": {"expires_at": datetime.now(UTC) + timedelta(hours=1)}})
    assert (await http.get(READS)).status_code == 200


async def test_when_a_key_was_used_is_told_to_the_minute(http: httpx.AsyncClient, key: str, mongo: Mongo) -> None:
    keys, stored = mongo.state["api_keys"], await stored_key(mongo, key)
    for limits in (None, {"reads": 0, "writes": 0}):
        await keys.update_one({"_id": stored["_id"]}, {"$set": {"rate_limits": limits, "last_used_at": None}})
        await http.get(READS)
        first = (await stored_key(mongo, key))["last_used_at"]
        assert abs((first - datetime.now(UTC)).total_seconds()) < 5
        await http.get(READS)
        assert (await stored_key(mongo, key))["last_used_at"] == first
        await keys.update_one({"_id": stored["_id"]}, {"$set": {"last_used_at": first - timedelta(seconds=61)}})
        await http.get(READS)
        assert (await stored_key(mongo, key))["last_used_at"] >= first


async def test_strangers_are_counted_by_address(limited: Litestar, http: httpx.AsyncClient, key: str) -> None:
    assert (await http.get(READS)).status_code == 200  # the gateway has seen the key
    async with client_of(limited, "192.0.2.77") as stranger:
        assert told(await stranger.get(READS)) == (100, 99)
        assert told(await stranger.get("/nothing/here")) == (100, 98)
        for left in range(97, -1, -1):
            bearer = {"Authorization": f"Bearer {new_key()}"} if left % 2 else {}
            answer = await stranger.get(READS, headers=bearer)
            assert (answer.status_code, told(answer)) == (401, (100, left))
        unknown = new_key()
        refused = await stranger.get(READS, headers={"Authorization": f"Bearer {unknown}"})
        assert_error(refused, 429, "RATE_LIMIT_EXCEEDED")
        assert 50 <= int(refused.headers["retry-after"]) <= 60
        # Whoever works there already is not locked out by the one next to them.
        assert (await stranger.get(READS, headers={"Authorization": f"Bearer {key}"})).status_code == 200
        assert (await stranger.get("/schema/openapi.json")).status_code == 200
    async with client_of(limited, "192.0.2.78") as other:
        assert told(await other.get(READS)) == (100, 99)


async def test_only_a_trusted_proxy_is_believed_whom_it_speaks_for(limited: Litestar) -> None:
    async with client_of(limited, "127.0.0.1") as proxy, client_of(limited, "198.51.100.9") as liar:
        forwarded = {"X-Forwarded-For": "203.0.113.5, 203.0.113.6, 127.0.0.3"}
        assert told(await proxy.get(READS, headers=forwarded)) == (100, 99)
        assert told(await proxy.get(READS, headers={"X-Forwarded-For": "203.0.113.6"})) == (100, 98)
        assert told(await proxy.get(READS, headers={"X-Forwarded-For": "203.0.113.5"})) == (100, 99)
        assert told(await proxy.get(READS, headers={"X-Forwarded-For": "nonsense"})) == (100, 99)
        assert told(await liar.get(READS, headers=forwarded)) == (100, 99)
        assert told(await liar.get(READS, headers={"X-Forwarded-For": "203.0.113.99"})) == (100, 98)
        ipv6 = {"X-Forwarded-For": "2606:4700::1"}, {"X-Forwarded-For": "2606:4700::2"}
        assert [told(await proxy.get(READS, headers=each))[1] for each in ipv6] == [99, 98]


async def test_a_key_is_given_no_more_than_the_plan_allows(http: httpx.AsyncClient) -> None:
    for limits, locations in (
        ({"reads": 101, "writes": 30}, ["body.rate_limits.reads"]),
        ({"reads": 0, "writes": 31}, ["body.rate_limits.reads", "body.rate_limits.writes"]),
    ):
        answer = await http.post("/api/v1/api-keys", json={"name": "greedy", "rate_limits": limits})
        assert_error(answer, 422, "INVALID_REQUEST", *locations)
    wanted = {"name": "modest", "rate_limits": {"reads": 100, "writes": 1}}
    assert (await http.post("/api/v1/api-keys", json=wanted)).status_code == 201


async def test_each_vocabulary_refuses_in_its_own_shape(http: httpx.AsyncClient, key: str, mongo: Mongo) -> None:
    stored = await stored_key(mongo, key)
    await mongo.state["api_keys"].update_one({"_id": stored["_id"]}, {"$set": {"rate_limits": {"reads": 1}}})
    assert (await http.get(READS)).status_code == 200
    refused = await http.get("/api/v1/organization/branding")
    assert refused.status_code == 429
    assert refused.headers["retry-after"]
    assert told(refused) == (1, 0)
    [(member, error)] = refused.json().items()
    assert (member, set(error), error["code"]) == ("error", {"code", "message"}, "RATE_LIMIT_EXCEEDED")
