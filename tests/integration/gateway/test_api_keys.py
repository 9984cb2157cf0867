"""API keys are managed by admins, of their own organization only."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar

from libs.storage.client import Mongo
from services.gateway.access.api_keys import MAX_LIVE_KEYS, digest
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import assert_error, eventually, template_body

KEYS = "/api/v1/api-keys"
NewOrganization = Callable[[], Awaitable[Organization]]


def caller(app: Litestar, key: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app)  # pyright: ignore[reportArgumentType] - Litestar's own ASGI types
    return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers={"Authorization": f"Bearer {key}"})


async def made(http: httpx.AsyncClient, **wanted: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = await http.post(KEYS, json={"name": "nightly", **wanted})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_key_is_shown_once_and_works(app: Litestar, acme: Organization, mongo: Mongo) -> None:
    answer = await acme.http.post(KEYS, json={"name": "nightly"})
    key = answer.json()
    assert answer.headers["location"] == f"{KEYS}/{key['id']}"
    assert key["key"].startswith("sk_live_")
    assert key["prefix"] == key["key"][:14]
    assert (key["status"], key["scopes"], key["expires_at"]) == ("active", ["read", "write"], None)
    async with caller(app, key["key"]) as http:
        assert (await http.get("/imports/runs")).status_code == 200
        assert (await http.post("/imports/templates", json=template_body())).status_code == 201
    shown = (await acme.http.get(f"{KEYS}/{key['id']}")).json()
    listed = (await acme.http.get(KEYS)).json()
    assert listed["data"][0]["id"] == key["id"]
    for text in (shown, listed, await mongo.state["api_keys"].find_one({"_id": key["id"]})):
        assert key["key"] not in str(text)
        assert "key" not in shown
    stored = await mongo.state["api_keys"].find_one({"_id": key["id"]})
    assert stored is not None
    assert stored["digest"] == digest(key["key"])


async def test_only_admins_manage_keys(app: Litestar, acme: Organization) -> None:
    plain, auditor = await made(acme.http), await made(acme.http, scopes=["read", "admin"])
    async with caller(app, plain["key"]) as http:
        for method, path in (
            ("GET", KEYS), ("POST", KEYS), ("GET", f"{KEYS}/{plain['id']}"), ("DELETE", f"{KEYS}/{plain['id']}"),
            ("POST", f"{KEYS}/{plain['id']}/rotate"),
        ):  # fmt: skip
            assert "'admin'" in assert_error(await http.request(method, path), 403, "FORBIDDEN")["detail"]
    async with caller(app, auditor["key"]) as http:
        # Nobody gives what they have not got.
        refused = await http.post(KEYS, json={"name": "more", "scopes": ["read", "write"]})
        assert_error(refused, 422, "INVALID_REQUEST", "body.scopes")
        assert_error(await http.post(f"{KEYS}/{plain['id']}/rotate"), 422, "INVALID_REQUEST", "body.scopes")
        assert (await made(http, scopes=["read"]))["scopes"] == ["read"]
        assert_error(await http.post("/imports/templates", json=template_body()), 403, "FORBIDDEN")


async def test_another_organization_finds_no_key(new_organization: NewOrganization) -> None:
    owner, stranger = await new_organization(), await new_organization()
    key = await made(owner.http)
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
        answer = await stranger.http.request(method, f"{KEYS}/{key['id']}{path}")
        assert_error(answer, 404, "API_KEY_NOT_FOUND")
        nobodys = await stranger.http.request(method, f"{KEYS}/{'0' * 24}{path}")
        assert_error(nobodys, 404, "API_KEY_NOT_FOUND")
    assert key["id"] not in (await stranger.http.get(KEYS)).text
    assert (await owner.http.get(f"{KEYS}/{key['id']}")).json()["status"] == "active"


async def test_a_revoked_key_opens_nothing_at_once_and_stays_revoked(app: Litestar, acme: Organization) -> None:
    key = await made(acme.http)
    async with caller(app, key["key"]) as http:
        assert (await http.get("/imports/runs")).status_code == 200
        revoked = (await acme.http.delete(f"{KEYS}/{key['id']}")).json()
        assert revoked["status"] == "revoked"
        assert_error(await http.get("/imports/runs"), 401, "UNAUTHORIZED")
    again = (await acme.http.delete(f"{KEYS}/{key['id']}")).json()
    assert again["revoked_at"] == revoked["revoked_at"]
    assert_error(await acme.http.post(f"{KEYS}/{key['id']}/rotate"), 409, "API_KEY_NOT_LIVE")


async def test_a_rotated_key_works_beside_its_successor_for_a_while(app: Litestar, acme: Organization) -> None:
    old = await made(acme.http, scopes=["read"], rate_limits={"reads": 7})
    new = (await acme.http.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_seconds": 3600})).json()
    assert (new["rotated_from"], new["scopes"], new["rate_limits"]) == (old["id"], ["read"], old["rate_limits"])
    assert (new["name"], new["expires_at"]) == (old["name"], None)
    ends = datetime.fromisoformat((await acme.http.get(f"{KEYS}/{old['id']}")).json()["expires_at"])
    assert abs((ends - datetime.now(UTC)).total_seconds() - 3600) < 30
    async with caller(app, old["key"]) as before, caller(app, new["key"]) as after:
        assert [(await http.get("/imports/runs")).status_code for http in (before, after)] == [200, 200]
        # A second rotation ends sooner, never later.
        assert (await acme.http.post(f"{KEYS}/{old['id']}/rotate")).status_code == 201
        assert (await acme.http.get(f"{KEYS}/{old['id']}")).json()["expires_at"] == ends.isoformat().replace(
            "+00:00", "Z"
        )
        assert (await acme.http.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_seconds": 0})).status_code == 201
        assert [(await http.get("/imports/runs")).status_code for http in (before, after)] == [401, 200]
    assert (await acme.http.get(f"{KEYS}/{old['id']}")).json()["status"] == "expired"


async def test_a_key_tells_its_limits_and_when_it_was_used(app: Litestar, acme: Organization) -> None:
    key = await made(acme.http, rate_limits={"reads": 2})
    assert key["rate_limits"] == {"reads": 2, "writes": None}
    assert key["last_used_at"] is None
    async with caller(app, key["key"]) as http:
        assert [(await http.get("/imports/runs")).status_code for _ in range(3)] == [200, 200, 429]

    async def told() -> bool:  # what is counted is not journaled at once
        used = (await acme.http.get(f"{KEYS}/{key['id']}")).json()["last_used_at"]
        return used is not None and abs((datetime.fromisoformat(used) - datetime.now(UTC)).total_seconds()) < 30

    await eventually(told)


@pytest.mark.parametrize(
    ("wanted", "location"),
    [
        ({}, "body.name"),
        ({"name": ""}, "body.name"),
        ({"name": "x" * 101}, "body.name"),
        ({"name": "a", "scopes": []}, "body.scopes"),
        ({"name": "a", "scopes": ["root"]}, "body.scopes[0]"),
        ({"name": "a", "scopes": "read"}, "body.scopes"),
        ({"name": "a", "expires_at": "tomorrow"}, "body.expires_at"),
        ({"name": "a", "expires_at": "2020-01-01T00:00:00Z"}, "body.expires_at"),
        ({"name": "a", "expires_at": "2120-01-01T00:00:00"}, "body.expires_at"),
        ({"name": "a", "rate_limits": {"reads": -1}}, "body.rate_limits.reads"),
        ({"name": "a", "colour": "red"}, "body.colour"),
    ],
)
async def test_what_cannot_be_a_key_is_told_where(acme: Organization, wanted: dict[str, Any], location: str) -> None:
    assert_error(await acme.http.post(KEYS, json=wanted), 422, "INVALID_REQUEST", location)


async def test_a_list_has_pages(acme: Organization) -> None:
    made_ids = [(await made(acme.http))["id"] for _ in range(3)]
    first = (await acme.http.get(KEYS, params={"limit": 2})).json()
    assert [key["id"] for key in first["data"]] == made_ids[:0:-1]
    rest = (await acme.http.get(KEYS, params={"limit": 2, "after": first["next_after"]})).json()
    assert [key["id"] for key in rest["data"]][:1] == made_ids[:1]
    assert (len(rest["data"]), rest["next_after"]) == (2, None)


async def test_an_organization_has_so_many_keys_and_no_more(acme: Organization, mongo: Mongo) -> None:
    stored = await mongo.state["api_keys"].find_one({"tenant_id": acme.id})
    assert stored is not None
    copies = [{**stored, "_id": f"{acme.id}{n}", "digest": f"{acme.id}{n}"} for n in range(MAX_LIVE_KEYS - 2)]
    copies.append({**copies[0], "_id": "gone", "digest": f"{acme.id}gone", "revoked_at": datetime.now(UTC)})
    past = datetime.now(UTC) - timedelta(days=1)
    copies.append({**copies[0], "_id": "past", "digest": f"{acme.id}past", "expires_at": past})
    await mongo.state["api_keys"].insert_many(copies)
    last = await made(acme.http)
    assert_error(await acme.http.post(KEYS, json={"name": "one more"}), 429, "TOO_MANY_API_KEYS")
    await acme.http.delete(f"{KEYS}/{last['id']}")
    await made(acme.http)


async def test_a_key_made_in_the_moment_of_a_suspension_does_not_survive_it(acme: Organization, mongo: Mongo) -> None:
    """The organization is suspended, and its keys were revoked before this one was there."""
    key = await made(acme.http, name="before")
    for ended in ("suspended_at", "deletion.requested_at"):
        await mongo.state["organizations"].update_one({"_id": acme.id}, {"$set": {ended: datetime.now(UTC)}})
        tried = await acme.http.post("/api/v1/api-keys", json={"name": "late"})
        assert_error(tried, 409, "ORGANIZATION_SUSPENDED")
        rotated = await acme.http.post(f"/api/v1/api-keys/{key['id']}/rotate", json={"overlap_seconds": 0})
        assert_error(rotated, 409, "ORGANIZATION_SUSPENDED")
        stored = await mongo.state["api_keys"].find({"tenant_id": acme.id}).to_list(None)
        assert sorted(each["name"] for each in stored) == ["before", "test"]
        assert not any(each.get("expires_at") for each in stored)
        await mongo.state["organizations"].update_one({"_id": acme.id}, {"$unset": {ended.partition(".")[0]: 1}})
    assert (await acme.http.post("/api/v1/api-keys", json={"name": "in time"})).status_code == 201


async def test_pages_of_keys_are_read_along_an_index(
    acme: Organization, new_organization: NewOrganization, mongo: Mongo
) -> None:
    """However many keys others have made meanwhile."""
    other = await new_organization()
    for number in range(5):
        await made(acme.http, name=f"key {number}")
        await made(other.http, name=f"key {number}")
    newest = await mongo.state["api_keys"].find_one({"tenant_id": acme.id}, sort=[("_id", -1)])
    assert newest is not None
    asked = {"tenant_id": acme.id, "_id": {"$lt": newest["_id"]}}
    question = {"find": "api_keys", "filter": asked, "sort": {"_id": -1}, "limit": 2}
    explained = await mongo.state.command("explain", question, verbosity="executionStats")
    assert "'SORT'" not in str(explained["queryPlanner"]["winningPlan"])
    assert explained["executionStats"]["totalKeysExamined"] == 2
