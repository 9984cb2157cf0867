"""Clerk's webhook: signed by svix' own signer, forged by others, out of order, repeated."""

import asyncio
import itertools
import json
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from beanie import init_beanie
from litestar import Litestar
from svix.webhooks import Webhook

from libs.storage.client import Mongo
from libs.storage.documents import DOCUMENTS
from libs.storage.settings import MongoSettings
from services.gateway.access.clerk_organizations import ClerkOrganizations
from tests.integration.gateway.conftest import Organization, new_app
from tests.integration.gateway.steps import assert_error

PATH = "/api/v1/clerk/webhook"
OLD, NEW, FOREIGN = (f"whsec_{b64encode(secrets.token_bytes(24)).decode()}" for _ in range(3))
NOW = int(datetime.now(UTC).timestamp() * 1000)


@pytest.fixture(scope="module")
async def webhook(app: Litestar, mongo_settings: MongoSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway that knows two secrets."""
    other = new_app(mongo_settings, clerk_webhook_secrets=f"{OLD},{NEW}")
    started, over = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with other.lifespan():
            started.set()
            await over.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(live())
        await started.wait()
        transport = httpx.ASGITransport(other)  # pyright: ignore[reportArgumentType]
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield client
        over.set()
    await init_beanie(database=app.state.gateway.context.mongo.state, document_models=DOCUMENTS, skip_indexes=True)


def signed(body: bytes, *, secret: str = NEW, message: str | None = None, age: float = 0) -> dict[str, str]:
    message, at = message or f"msg_{secrets.token_hex(8)}", datetime.now(UTC) - timedelta(seconds=age)
    return {
        "svix-id": message,
        "svix-timestamp": str(int(at.timestamp())),
        "svix-signature": Webhook(secret).sign(message, at, body.decode()),
        "content-type": "application/json",
    }


def event(kind: str, data: dict[str, Any], at: int = NOW) -> bytes:
    return json.dumps({"object": "event", "type": kind, "data": data, "timestamp": at}).encode()


async def send(http: httpx.AsyncClient, body: bytes, **signing: Any) -> str:  # noqa: ANN401
    answer = await http.post(PATH, content=body, headers=signed(body, **signing))
    assert answer.status_code == 200, answer.text
    return answer.json()["outcome"]


def person(identifier: str, name: str = "Ada") -> dict[str, Any]:
    return {
        "id": identifier, "object": "user", "first_name": name, "last_name": "Lovelace",
        "primary_email_address_id": "idn_2",
        "email_addresses": [
            {"id": "idn_1", "email_address": "old@example.com"}, {"id": "idn_2", "email_address": "ada@example.com"},
        ],
    }  # fmt: skip


def membership(identifier: str, user: str, organization: str, role: str = "org:admin") -> dict[str, Any]:
    return {
        "id": identifier, "role": role, "organization": {"id": organization, "name": "Acme"},
        "public_user_data": {"user_id": user},
    }  # fmt: skip


def fresh(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(8)}"


async def test_people_are_created_updated_and_deleted(webhook: httpx.AsyncClient, mongo: Mongo) -> None:
    user = fresh("user")
    assert await send(webhook, event("user.created", person(user)), secret=OLD) == "applied"
    stored = await mongo.state["users"].find_one({"_id": user})
    assert stored is not None
    assert (stored["name"], stored["email"]) == ("Ada Lovelace", "ada@example.com")
    assert await send(webhook, event("user.updated", person(user, "$first_name"), NOW + 1)) == "applied"
    stored = await mongo.state["users"].find_one({"_id": user})
    assert stored is not None
    assert stored["name"] == "$first_name Lovelace"
    gone = {"id": user, "object": "user", "deleted": True}
    assert await send(webhook, event("user.deleted", gone, NOW + 2)) == "applied"
    stored = await mongo.state["users"].find_one({"_id": user})
    assert stored is not None
    assert (stored["name"], stored["email"], stored["deleted_at"] is None) == ("", None, False)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_order_in_which_events_come_makes_no_difference(
    webhook: httpx.AsyncClient, mongo: Mongo, order: tuple[int, ...]
) -> None:
    user, member, organization = fresh("user"), fresh("orgmem"), fresh("org")
    kinds, roles = ("created", "updated", "deleted"), ("member", "admin", "admin")
    for done, at in enumerate(order, 1):
        data = membership(member, user, organization, f"org:{roles[at]}")
        await send(webhook, event(f"organizationMembership.{kinds[at]}", data, NOW + at))
        stored = await mongo.state["memberships"].find_one({"_id": member})
        assert stored is not None
        latest = max(order[:done])
        assert (stored["role"], stored.get("deleted_at") is not None) == (roles[latest], latest == 2)
        assert stored["clerk_organization_id"] == organization


async def test_an_organization_is_a_tenant_and_its_latest_name_counts(webhook: httpx.AsyncClient, mongo: Mongo) -> None:
    clerk_id = fresh("org")
    assert await send(webhook, event("organization.updated", {"id": clerk_id, "name": "New"}, NOW + 5)) == "applied"
    assert await send(webhook, event("organization.created", {"id": clerk_id, "name": "Old"}, NOW)) == "applied"
    found = await mongo.state["organizations"].find({"clerk_id": clerk_id}).to_list(None)
    assert [each["name"] for each in found] == ["New"]
    assert await ClerkOrganizations(mongo).tenant(clerk_id) == str(found[0]["_id"])


async def test_a_deleted_organization_lets_nobody_in_and_keeps_what_it_has(
    webhook: httpx.AsyncClient, mongo: Mongo, acme: Organization
) -> None:
    clerk_id, member = fresh("org"), fresh("orgmem")
    await mongo.state["organizations"].update_one({"_id": acme.id}, {"$set": {"clerk_id": clerk_id}})
    await send(webhook, event("organizationMembership.created", membership(member, fresh("user"), clerk_id)))
    assert (await acme.http.get("/imports/templates")).status_code == 200
    assert await send(webhook, event("organization.deleted", {"id": clerk_id, "deleted": True}, NOW + 9)) == "applied"
    assert_error(await acme.http.get("/imports/templates"), 401, "UNAUTHORIZED")
    assert await ClerkOrganizations(mongo).tenant(clerk_id) is None
    stored = await mongo.state["organizations"].find_one({"_id": acme.id})
    assert stored is not None
    assert stored["suspended_at"] is not None
    assert await mongo.state["memberships"].count_documents({"_id": member, "deleted_at": None}) == 0


async def test_what_was_told_before_does_not_make_a_deleted_organization_anew(
    webhook: httpx.AsyncClient, mongo: Mongo
) -> None:
    clerk_id = fresh("org")
    await send(webhook, event("organization.deleted", {"id": clerk_id, "deleted": True}, NOW + 9))
    await send(webhook, event("organization.created", {"id": clerk_id, "name": "Late"}, NOW))
    assert await ClerkOrganizations(mongo).tenant(clerk_id, "later still") is None
    assert await mongo.state["organizations"].count_documents({"clerk_id": clerk_id}) == 0


async def test_a_person_that_goes_leaves_no_membership(webhook: httpx.AsyncClient, mongo: Mongo) -> None:
    user, member = fresh("user"), fresh("orgmem")
    await send(webhook, event("organizationMembership.created", membership(member, user, fresh("org"))))
    await send(webhook, event("user.deleted", {"id": user, "deleted": True}, NOW + 9))
    assert await mongo.state["memberships"].count_documents({"_id": member, "deleted_at": None}) == 0


async def test_a_message_counts_once(webhook: httpx.AsyncClient, mongo: Mongo) -> None:
    user, message = fresh("user"), fresh("msg")
    body = event("user.created", person(user))
    assert await send(webhook, body, message=message) == "applied"
    await mongo.state["users"].delete_one({"_id": user})
    # Repeated as it was, and signed anew as svix does when it tries again.
    assert await send(webhook, body, message=message) == "repeated"
    assert await send(webhook, body, message=message, age=100) == "repeated"
    assert await mongo.state["users"].count_documents({"_id": user}) == 0
    assert await send(webhook, event("session.created", {"id": "sess_1"})) == "ignored"


async def test_forgeries_are_refused(webhook: httpx.AsyncClient, mongo: Mongo) -> None:
    user = fresh("user")
    body = event("user.created", person(user))
    good = signed(body)
    id_, at, signature = good["svix-id"], good["svix-timestamp"], good["svix-signature"]
    foreign = signed(body, secret=FOREIGN)
    forgeries: list[tuple[bytes, dict[str, str]]] = [
        (body, {}),
        (body, foreign),
        (body + b" ", good),
        (event("user.deleted", {"id": user}), good),
        (b"\xff\xfe", good),
        (b"", good),
        (body, signed(body, age=301)),
        (body, signed(body, age=-301)),
        (body, {**good, "svix-id": "msg_other"}),
        (body, {**good, "svix-id": "x" * 1_000}),
        (body, {**good, "svix-timestamp": str(int(at) + 1)}),
    ]
    signatures = ("", "v1", "v1,", "v1,!!!", "v1,a", "v2," + signature[3:], "," * 5, "v1 " + signature[3:], "é")
    moments = ("", "now", "nan", "inf", "1e400", "-1", "9" * 30, at + "\u0661")
    forgeries += [(body, {**good, "svix-signature": value}) for value in signatures]
    forgeries += [(body, {**good, "svix-timestamp": value}) for value in moments]
    forgeries += [(body, {key: value for key, value in good.items() if key != name}) for name in list(good)[:3]]
    for content, headers in forgeries:
        raw = {key: value.encode() for key, value in headers.items()}
        assert_error(await webhook.post(PATH, content=content, headers=raw), 400, "INVALID_SIGNATURE")
    assert await mongo.state["users"].count_documents({"_id": user}) == 0
    # Of several signatures, as svix sends while a secret is rotated, one suffices.
    both = {**good, "svix-signature": f"{foreign['svix-signature']} {signature}"}
    assert (await webhook.post(PATH, content=body, headers=both)).json() == {"outcome": "applied"}
    assert id_ == both["svix-id"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"7", b"{}", b"not json", b'{"type": "user.created"}', event("user.created", {}),
        event("user.created", {"id": 7}), event("user.created", {"id": {"$ne": 1}}),
        event("user.created", {"id": "a b"}),
        event("user.created", {"id": "x" * 101}), event("organization.created", {"id": "org_1"}),
        event("organizationMembership.created", {"id": "m"}), event("user.created", person("user_1"), -1),
        event("user.created", person("user_1"), 10**18),
        json.dumps({"type": "user.created", "data": person("user_1")}).encode(),
        b'{"type": "user.created", "data": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
    ids=itertools.count(),
)  # fmt: skip
async def test_what_is_signed_and_no_event_is_refused(webhook: httpx.AsyncClient, body: bytes) -> None:
    answer = await webhook.post(PATH, content=body, headers=signed(body))
    assert_error(answer, 422, "INVALID_REQUEST", "body")


async def test_without_a_secret_nothing_is_taken(acme: Organization) -> None:
    body = event("user.created", person(fresh("user")))
    assert_error(await acme.http.post(PATH, content=body, headers=signed(body)), 404, "NOT_FOUND")
