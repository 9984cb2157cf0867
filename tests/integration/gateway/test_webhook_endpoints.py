"""Endpoints of an organization: registered, changed, tried, and what was sent to them."""

import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId
from cryptography.fernet import Fernet

from libs.storage.client import Document, Mongo
from services.gateway.stores.deliveries import MAX_ATTEMPTS
from services.gateway.webhooks.registered import MAX_ENDPOINTS
from tests.integration.gateway.conftest import SECRET_KEY, Organization
from tests.integration.gateway.steps import assert_error, create_template

ENDPOINTS, DELIVERIES = "/api/v1/webhook-endpoints", "/api/v1/webhook-deliveries"
URL = "https://example.com/hooks"
GIVEN = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NewOrganization = Callable[[], Awaitable[Organization]]


async def registered(http: httpx.AsyncClient, **wanted: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = await http.post(ENDPOINTS, json={"url": URL, **wanted})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def stored(mongo: Mongo, endpoint_id: str) -> Document:
    found = await mongo.state["webhook_endpoints"].find_one({"_id": endpoint_id})
    assert found is not None
    return found


async def delivery(mongo: Mongo, tenant_id: str, endpoint_id: str, state: str, age: int, attempts: int = 1) -> str:
    """A delivery that was stored ``age`` seconds ago."""
    identifier, at = str(ObjectId()) + "0" * 8, datetime.now(UTC) - timedelta(seconds=age)
    attempt = {"number": 1, "at": at, "result": "failed", "status_code": 500, "duration_ms": 7, "error": None}
    await mongo.state["webhook_deliveries"].insert_one(
        {
            "_id": identifier,
            "tenant_id": tenant_id,
            "endpoint_id": endpoint_id,
            "run_id": "0" * 24,
            "event_id": "e1",
            "event_type": "import.completed",
            "body": b'{"type":"import.completed"}',
            "state": state,
            "attempts": [{**attempt, "response_excerpt": "no"}] * attempts,
            "next_attempt_at": None,
            "lease": None,
            "created_at": at,
        }
    )
    return identifier


async def test_a_secret_is_shown_once_and_encrypted_at_rest(http: httpx.AsyncClient, mongo: Mongo) -> None:
    made = await registered(http, event_types=["import.completed"], description="warehouse")
    assert made["secret"].startswith("whsec_")
    assert (made["status"], made["template_id"], made["event_types"]) == ("active", None, ["import.completed"])
    shown = (await http.get(f"{ENDPOINTS}/{made['id']}")).json()
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    kept = await stored(mongo, made["id"])
    assert made["secret"] not in str(kept)
    assert Fernet(SECRET_KEY).decrypt(kept["encrypted_secret"]).decode() == made["secret"]
    assert (await registered(http, secret=GIVEN))["secret"] == GIVEN


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        ({"url": "https://127.0.0.1/"}, "body.url"),
        ({"url": "http://example.com/"}, "body.url"),
        ({"url": "https://example.com:22/"}, "body.url"),
        ({"url": 7}, "body.url"),
        ({"event_types": ["import.exploded"]}, "body.event_types[0]"),
        ({"event_types": []}, "body.event_types"),
        ({"template_ids": ["x"] * 101}, "body.template_ids"),
        ({"secret": "whsec_short"}, "body.secret"),
        ({"colour": "red"}, "body.colour"),
    ],
)
async def test_what_cannot_be_used_is_refused_by_its_place(
    http: httpx.AsyncClient, wanted: dict[str, Any], place: str
) -> None:
    assert_error(await http.post(ENDPOINTS, json={"url": URL, **wanted}), 422, "INVALID_REQUEST", place)


async def test_changes(http: httpx.AsyncClient, mongo: Mongo) -> None:
    made = await registered(http, template_ids=["tpl_" + "1" * 24, "1" * 24])
    assert made["template_ids"] == ["1" * 24]
    before = await stored(mongo, made["id"])
    renamed = (await http.patch(f"{ENDPOINTS}/{made['id']}", json={"description": "new"})).json()
    assert (renamed["description"], renamed["template_ids"]) == ("new", ["1" * 24])
    assert (await stored(mongo, made["id"]))["hears_since"] == before["hears_since"]
    widened = (await http.patch(f"{ENDPOINTS}/{made['id']}", json={"template_ids": None})).json()
    assert widened["template_ids"] is None
    assert (await stored(mongo, made["id"]))["hears_since"] > before["hears_since"]
    off = (await http.patch(f"{ENDPOINTS}/{made['id']}", json={"enabled": False})).json()
    assert off["status"] == "off"
    assert_error(await http.post(f"{ENDPOINTS}/{made['id']}/test"), 409, "ENDPOINT_DISABLED")
    assert (await http.delete(f"{ENDPOINTS}/{made['id']}")).status_code == 204
    assert_error(await http.get(f"{ENDPOINTS}/{made['id']}"), 404, "WEBHOOK_ENDPOINT_NOT_FOUND")


async def test_two_secrets_live_while_one_is_replaced(http: httpx.AsyncClient, mongo: Mongo) -> None:
    made = await registered(http)
    rotated = (await http.post(f"{ENDPOINTS}/{made['id']}/rotate-secret", json={"overlap_seconds": 60})).json()
    assert rotated["secret"] != made["secret"]
    kept, cipher = await stored(mongo, made["id"]), Fernet(SECRET_KEY)
    assert cipher.decrypt(kept["encrypted_secret"]).decode() == rotated["secret"]
    assert cipher.decrypt(kept["previous_secret"]).decode() == made["secret"]
    left = kept["previous_until"] - datetime.now(UTC)
    assert timedelta(seconds=30) < left <= timedelta(seconds=60)
    assert rotated["previous_secret_until"] is not None
    day = (await http.post(f"{ENDPOINTS}/{made['id']}/rotate-secret")).json()
    assert datetime.fromisoformat(day["previous_secret_until"]) > datetime.now(UTC) + timedelta(hours=23)


async def test_given_up_and_enabled_again(http: httpx.AsyncClient, mongo: Mongo, acme: Organization) -> None:
    made = await registered(http)
    given_up = {"enabled": False, "disabled_at": datetime.now(UTC), "disabled_reason": "every attempt has failed"}
    given_up |= {"failures": 40, "failing_since": datetime.now(UTC), "paused_until": datetime.now(UTC), "pauses": 9}
    await mongo.state["webhook_endpoints"].update_one({"_id": made["id"]}, {"$set": given_up})
    shown = (await http.get(f"{ENDPOINTS}/{made['id']}")).json()
    assert (shown["status"], shown["disabled_reason"]) == ("disabled", "every attempt has failed")
    refused = await http.post(f"{ENDPOINTS}/{made['id']}/test")
    assert "every attempt has failed" in assert_error(refused, 409, "ENDPOINT_DISABLED")["detail"]
    tenant = (await http.get("/imports/tenants")).json()["data"][0]
    assert (tenant["id"], tenant["disabled_webhook_endpoints"]) == (acme.id, 1)
    on = (await http.post(f"{ENDPOINTS}/{made['id']}/enable")).json()
    assert (on["status"], on["failures"], on["failing_since"], on["disabled_reason"]) == ("active", 0, None, None)
    assert (await http.get("/imports/tenants")).json()["data"][0]["disabled_webhook_endpoints"] == 0


async def test_how_a_receiver_does_makes_no_tag_outdated(http: httpx.AsyncClient, mongo: Mongo) -> None:
    made = await registered(http)
    path, endpoints = f"{ENDPOINTS}/{made['id']}", mongo.state["webhook_endpoints"]
    tag = (await http.get(path)).headers["etag"]
    await endpoints.update_one({"_id": made["id"]}, {"$set": {"failures": 3, "failing_since": datetime.now(UTC)}})
    failing = await http.get(path, headers={"If-None-Match": tag})
    assert (failing.status_code, failing.json()["failures"]) == (200, 3)
    renamed = await http.patch(path, json={"description": "new"}, headers={"If-Match": tag})
    assert renamed.status_code == 200
    same = await http.patch(path, json={"description": "new"}, headers={"If-Match": renamed.headers["etag"]})
    assert same.headers["etag"] == renamed.headers["etag"]


async def test_an_endpoint_of_release_0_1_is_of_the_first_version(http: httpx.AsyncClient, mongo: Mongo) -> None:
    made = await registered(http)
    path, endpoints = f"{ENDPOINTS}/{made['id']}", mongo.state["webhook_endpoints"]
    await endpoints.update_one({"_id": made["id"]}, {"$unset": {"version": 1}})
    tag = (await http.get(path)).headers["etag"]
    assert tag.startswith('"1.')
    assert (await http.patch(path, json={"description": "one"}, headers={"If-Match": tag})).status_code == 200
    assert (await http.patch(path, json={"description": "two"}, headers={"If-Match": tag})).status_code == 412


async def test_endpoints_of_templates_are_shown_and_changed_there(http: httpx.AsyncClient) -> None:
    template = await create_template(http, webhook_url=URL)
    [listed] = (await http.get(ENDPOINTS)).json()["data"]
    assert (listed["template_id"], listed["url"]) == (template["id"], URL)
    for answer in (
        await http.patch(f"{ENDPOINTS}/{listed['id']}", json={"enabled": False}),
        await http.delete(f"{ENDPOINTS}/{listed['id']}"),
    ):
        assert_error(answer, 409, "ENDPOINT_OF_TEMPLATE")
    assert (await http.post(f"{ENDPOINTS}/{listed['id']}/test")).status_code == 202
    assert (await http.post(f"{ENDPOINTS}/{listed['id']}/rotate-secret")).status_code == 200


async def test_a_test_is_sent_once_a_second(http: httpx.AsyncClient) -> None:
    made = await registered(http, event_types=["import.failed"])
    answers = [(await http.post(f"{ENDPOINTS}/{made['id']}/test")).json() for _ in range(5)]
    assert {each["event_type"] for each in answers} == {"webhook.test"}
    assert answers[0]["body"]["data"]["endpoint_id"] == made["id"]
    listed = (await http.get(f"{ENDPOINTS}/{made['id']}/deliveries")).json()["data"]
    assert 1 <= len(listed) <= 5
    assert {each["id"] for each in listed} == {each["id"] for each in answers}
    assert [(each["status"], each["run_id"]) for each in listed] == [("pending", None)] * len(listed)


async def test_deliveries_in_pages_by_state(http: httpx.AsyncClient, mongo: Mongo, acme: Organization) -> None:
    made = await registered(http)
    ids = [await delivery(mongo, acme.id, made["id"], "failed" if age % 2 else "delivered", age) for age in range(9)]
    found: list[str] = []
    after = ""
    while True:
        page = (await http.get(f"{ENDPOINTS}/{made['id']}/deliveries?limit=4{after}")).json()
        found += [each["id"] for each in page["data"]]
        if page["next_after"] is None:
            break
        after = f"&after={page['next_after']}"
    assert found == ids
    failed = (await http.get(f"{ENDPOINTS}/{made['id']}/deliveries?status=failed")).json()["data"]
    assert [each["id"] for each in failed] == ids[1::2]
    assert (failed[0]["attempts"], failed[0]["last_attempt"]["status_code"]) == (1, 500)
    shown = (await http.get(f"{DELIVERIES}/{ids[1]}")).json()
    assert shown["body"] == {"type": "import.completed"}
    assert [each["response_excerpt"] for each in shown["log"]] == ["no"]


async def test_one_is_sent_again(http: httpx.AsyncClient, mongo: Mongo, acme: Organization) -> None:
    made = await registered(http)
    failed = await delivery(mongo, acme.id, made["id"], "failed", 60, attempts=10)
    again = await http.post(f"{DELIVERIES}/{failed}/resend")
    assert (again.status_code, again.json()["status"], again.json()["id"]) == (202, "pending", failed)
    kept = await mongo.state["webhook_deliveries"].find_one({"_id": failed})
    assert kept is not None
    assert (kept["resent_after"], len(kept["attempts"])) == (10, 10)
    worn = await delivery(mongo, acme.id, made["id"], "failed", 60, attempts=MAX_ATTEMPTS)
    assert_error(await http.post(f"{DELIVERIES}/{worn}/resend"), 409, "TOO_MANY_ATTEMPTS")


async def test_what_failed_since_a_time_is_sent_again(
    http: httpx.AsyncClient, mongo: Mongo, acme: Organization
) -> None:
    made, other = await registered(http), await registered(http)
    ages = [10, 20, 200]
    failed, delivered, old = [
        await delivery(mongo, acme.id, made["id"], state, age)
        for state, age in zip(("failed", "delivered", "disabled"), ages, strict=True)
    ]
    elsewhere = await delivery(mongo, acme.id, other["id"], "failed", 10)
    since = (datetime.now(UTC) - timedelta(seconds=100)).isoformat()
    answer = await http.post(f"{ENDPOINTS}/{made['id']}/replay", json={"since": since})
    assert answer.json() == {"deliveries": 1, "next_since": None}
    states = {each["_id"]: each["state"] async for each in mongo.state["webhook_deliveries"].find({})}
    assert [states[each] for each in (failed, delivered, old, elsewhere)] == [
        "pending", "delivered", "disabled", "failed",
    ]  # fmt: skip
    whole = {"since": "2020-01-01T00:00:00Z", "statuses": ["delivered", "disabled"]}
    assert (await http.post(f"{ENDPOINTS}/{made['id']}/replay", json=whole)).json()["deliveries"] == 2
    bad = await http.post(f"{ENDPOINTS}/{made['id']}/replay", json={"since": "yesterday"})
    assert_error(bad, 422, "INVALID_REQUEST", "body.since")


async def test_another_organization_finds_nothing(
    new_organization: NewOrganization, acme: Organization, mongo: Mongo
) -> None:
    stranger, made = await new_organization(), await registered(acme.http)
    sent = await delivery(mongo, acme.id, made["id"], "failed", 10)
    for method, path, body in (
        ("GET", "", None), ("PATCH", "", {"enabled": False}), ("DELETE", "", None), ("POST", "/enable", None),
        ("POST", "/rotate-secret", None), ("POST", "/test", None), ("GET", "/deliveries", None),
        ("POST", "/replay", {"since": "2020-01-01T00:00:00Z"}),
    ):  # fmt: skip
        for identifier in (made["id"], "0" * 24):
            answer = await stranger.http.request(method, f"{ENDPOINTS}/{identifier}{path}", json=body)
            assert_error(answer, 404, "WEBHOOK_ENDPOINT_NOT_FOUND")
    assert_error(await stranger.http.get(f"{DELIVERIES}/{sent}"), 404, "WEBHOOK_DELIVERY_NOT_FOUND")
    assert_error(await stranger.http.post(f"{DELIVERIES}/{sent}/resend"), 404, "WEBHOOK_DELIVERY_NOT_FOUND")
    assert (await stranger.http.get(ENDPOINTS)).json()["data"] == []
    assert (await acme.http.get(f"{ENDPOINTS}/{made['id']}")).json()["status"] == "active"


async def test_an_organization_has_so_many_endpoints(http: httpx.AsyncClient) -> None:
    for _ in range(MAX_ENDPOINTS):
        await registered(http)
    assert_error(await http.post(ENDPOINTS, json={"url": URL}), 429, "TOO_MANY_WEBHOOK_ENDPOINTS")
