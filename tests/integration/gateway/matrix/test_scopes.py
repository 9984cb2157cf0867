"""What each scope opens, at every route of the route table; and that nothing opens without a key."""

import base64
import itertools
from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar

from libs.storage.client import Mongo
from services.gateway.access.api_keys import digest
from services.gateway.access.principal import Scope
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.matrix.table import OPEN, Route, ask, needed_scope, routes
from tests.integration.gateway.matrix.test_tenants import nobodys_ids
from tests.integration.gateway.steps import assert_error

IDS = nobodys_ids()
SOME = [frozenset(some) for size in range(len(Scope) + 1) for some in itertools.combinations(Scope, size)]
"""Every set of scopes, the empty one too, as a later release may leave it for this one."""


@pytest.fixture
async def nobody(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    transport = httpx.ASGITransport(app)  # pyright: ignore[reportArgumentType]
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


@pytest.mark.parametrize("scopes", SOME, ids=lambda some: "+".join(sorted(some)) or "none")
async def test_a_key_opens_what_its_scopes_say(
    app: Litestar, acme: Organization, mongo: Mongo, scopes: frozenset[Scope]
) -> None:
    stored = ["of a later release", *sorted(scopes)]
    await mongo.state["api_keys"].update_one({"tenant_id": acme.id}, {"$set": {"scopes": stored}})
    for route in routes(app):
        for method in ("GET", "HEAD") if route[0] == "GET" else (route[0],):
            answer = await ask(acme.http, route, IDS, method)
            what = f"{method} {route[1]}: {answer.status_code}"
            assert answer.status_code < 500, what
            needed = needed_scope(route)
            if route in OPEN or needed in scopes:
                assert answer.status_code not in {401, 403}, what
                continue
            assert answer.status_code == 403, f"{what}: does it take another scope? See ADMINISTERED"
            if method != "HEAD":
                _assert_refused(answer, route, "FORBIDDEN")
                assert repr(needed.value) in answer.text


def _assert_refused(answer: httpx.Response, route: Route, code: str) -> None:
    """In whichever vocabulary: it says what is wrong, and shows nothing else."""
    body = answer.json()
    told = body["error"]["code"] if isinstance(body.get("error"), dict) else body["code"]
    assert told == code, (route, body)
    assert "data" not in body, route


KEY = b"sk_live_" + b"A" * 43
WITHOUT = {
    "nothing": None,
    "no credential": b"Bearer",
    "spaces": b"Bearer    ",
    "a key that nobody has": b"Bearer " + KEY,
    "another scheme": b"Basic " + base64.b64encode(KEY + b":"),
    "bytes that are no text": b"Bearer sk_live_\xff\xfe\x80",
    "NUL": b"Bearer sk_live_\x00" + b"A" * 42,
    "a query": b'Bearer {"$ne": null}',
    "a token without a signature": b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyXzEifQ.",
    "very long": b"Bearer sk_live_" + b"A" * 9_000,
    "several": b"Bearer " + KEY + b", Bearer " + KEY,
}


@pytest.mark.parametrize("attack", WITHOUT)
async def test_without_a_key_nothing_opens(app: Litestar, nobody: httpx.AsyncClient, attack: str) -> None:
    value = WITHOUT[attack]
    headers = {} if value is None else {"Authorization": value}
    nobody.headers.update(httpx.Headers([(name.encode(), each) for name, each in headers.items()]))
    for route in routes(app):
        answer = await ask(nobody, route, IDS)
        if route in OPEN:
            assert answer.status_code in {400, 404}, route
            continue
        assert answer.status_code == 401, (route, answer.text)
        assert answer.headers["www-authenticate"] == "Bearer"
        _assert_refused(answer, route, "UNAUTHORIZED")


async def test_what_is_not_the_key_is_nothing(acme: Organization, nobody: httpx.AsyncClient, mongo: Mongo) -> None:
    """Near misses, what is stored of the key, and the key where it does not belong."""
    stored = await mongo.state["api_keys"].find_one({"tenant_id": acme.id})
    assert stored is not None
    path, key = "/imports/templates", acme.key
    misses = [
        key[:-1], key + "A", key.swapcase(), key[:8] + key[8:].swapcase(), key[8:], stored["prefix"], digest(key),
        "sk_live_" + digest(key), "sk_live_", key + "\u00a0", key[:20] + " " + key[20:], str(stored["_id"]), acme.id,
    ]  # fmt: skip
    for miss in misses:
        answer = await nobody.get(path, headers=[(b"Authorization", b"Bearer " + miss.encode())])
        assert_error(answer, 401, "UNAUTHORIZED")
    for name in ("X-Api-Key", "X-Authorization", "Cookie", "Proxy-Authorization"):
        assert_error(await nobody.get(path, headers={name: f"Bearer {key}"}), 401, "UNAUTHORIZED")
    for name in ("api_key", "access_token", "token", "authorization"):
        answer = await nobody.get(path, params={name: key})
        assert_error(answer, 401, "UNAUTHORIZED")
    # The scheme is case-insensitive (RFC 9110), the key is not.
    assert (await nobody.get(path, headers={"Authorization": f"bEARER {key}"})).status_code == 200


async def test_keys_are_found_by_their_digest_in_an_index(acme: Organization, mongo: Mongo) -> None:
    """How long that takes says nothing of any key: one entry is looked at where there is such a key, none elsewhere,
    and nothing is compared with what was sent but by the digest."""
    for key, entries in ((acme.key, 1), (acme.key[:-1], 0), ("sk_live_unknown", 0)):
        question = {"find": "api_keys", "filter": {"digest": digest(key)}, "projection": {"tenant_id": 1}}
        explained = await mongo.state.command("explain", question, verbosity="executionStats")
        found = explained["executionStats"]
        assert (found["totalKeysExamined"], found["totalDocsExamined"]) == (entries, entries)
        assert "COLLSCAN" not in str(explained["queryPlanner"]["winningPlan"])
