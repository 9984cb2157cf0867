"""What templates ask of the records of their target: it binds the records of their own organization, while they ask."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar

from libs.contracts.states import RunStatus
from libs.storage.client import Mongo
from libs.storage.settings import MongoSettings
from libs.storage.target_keys import TargetKeys
from services.gateway.retention.registrations import UnaskedRegistrations
from services.gateway.stores.target import OrganizationTarget
from tests.integration.gateway.conftest import Organization, new_app
from tests.integration.gateway.steps import assert_error, create_template, eventually, template_body, upload

pytestmark = pytest.mark.servers

NewOrganization = Callable[[], Awaitable[Organization]]
KEYED = {"import_mode": "upsert", "upsert_key": "sku"}
AT_ONCE = timedelta(0)


def unique(*fields: str) -> list[dict[str, object]]:
    """Fields of which the first has a rule ``unique`` about the records of the target."""
    rule = {"type": "unique", "against_target": True, "fields": list(fields)}
    return [{"source": "sku", "target": "sku", "validators": [rule]}, {"source": "shop", "target": "shop"}]


async def keys(mongo: Mongo, organization: Organization, resource: str) -> list[tuple[str, ...]]:
    return [key.names for key in await TargetKeys(mongo).of(organization.id, resource)]


async def left(mongo: Mongo, organization: Organization) -> list[Any]:
    """What is stored of keys and resources of the organization, the released ones too."""
    return [
        document
        for name in ("target_keys", "target_resources")
        async for document in mongo.state[name].find({"tenant_id": organization.id})
    ]


async def delete(http: httpx.AsyncClient, template: dict[str, Any]) -> None:
    assert (await http.delete(f"/imports/templates/{template['id']}")).status_code == 204


@pytest.mark.parametrize(
    ("asking", "names"),
    [
        (KEYED, ("sku",)),
        ({"field_mapping": unique()}, ("sku",)),
        ({"field_mapping": unique("shop")}, ("shop", "sku")),
    ],
)
async def test_a_key_lives_as_long_as_a_template_asks_for_it(
    acme: Organization, mongo: Mongo, asking: dict[str, Any], names: tuple[str, ...]
) -> None:
    first = await create_template(acme.http, target_resource="lived", **asking)
    second = await create_template(acme.http, target_resource="lived", **asking)
    assert await keys(mongo, acme, "lived") == [names]
    await delete(acme.http, first)
    assert await keys(mongo, acme, "lived") == [names]
    changed = await acme.http.put(f"/imports/templates/{second['id']}", json=template_body(target_resource="lived"))
    assert changed.is_success, changed.text
    assert await keys(mongo, acme, "lived") == []
    await delete(acme.http, second)
    assert await left(mongo, acme) == []
    assert "lived" not in await mongo.target.list_collection_names()


async def test_the_order_in_which_rules_name_their_fields_makes_no_other_key(acme: Organization, mongo: Mongo) -> None:
    reverse = [{"target": "shop", "validators": [{"type": "unique", "against_target": True, "fields": ["sku"]}]}]
    await create_template(acme.http, target_resource="ordered", field_mapping=unique("shop"))
    await create_template(acme.http, target_resource="ordered", field_mapping=[*reverse, {"target": "sku"}])
    assert await keys(mongo, acme, "ordered") == [("shop", "sku")]


@pytest.mark.parametrize(
    ("asking", "code", "place"),
    [
        (KEYED, "UPSERT_KEY_NOT_UNIQUE", "body.upsert_key"),
        ({"field_mapping": unique()}, "VALUES_NOT_UNIQUE", "body.field_mapping[0].validators[0]"),
        ({"field_mapping": unique("shop")}, "VALUES_NOT_UNIQUE", "body.field_mapping[0].validators[0]"),
    ],
)
async def test_records_refuse_a_template_of_their_own_organization_only(
    new_organization: NewOrganization, mongo: Mongo, asking: dict[str, Any], code: str, place: str
) -> None:
    """Whoever inserted them, and whether or not the other organization's own are as many."""
    acme, other = await new_organization(), await new_organization()
    resource = f"refused_{code.lower()}_{len(str(asking))}"
    twice = [{"tenant_id": acme.id, "sku": "A1", "shop": 1, "is_deleted": False} for _ in range(2)]
    imported = {"_import": {"run_id": "0" * 24, "row": 1}}
    once = {**twice[0], "tenant_id": other.id, **imported}
    await mongo.target[resource].insert_many([twice[0], {**twice[1], **imported}, once])
    body = template_body(target_resource=resource, **asking)
    assert_error(await acme.http.post("/imports/templates", json=body), 409, code, place)
    assert await left(mongo, acme) == []
    assert (await acme.http.get("/imports/templates")).json()["data"] == []

    await create_template(other.http, target_resource=resource, **asking)
    [record] = await mongo.target[resource].find({"tenant_id": other.id}).to_list()
    [key] = await TargetKeys(mongo).of(other.id, resource)
    assert [entry["s"] for entry in record["_keys"]] == [key.id]
    # Mended as the refusal says, it is taken.
    await mongo.target[resource].delete_one({"tenant_id": acme.id, "_import": None})
    await create_template(acme.http, target_resource=resource, **asking)


async def test_a_replacement_that_is_refused_leaves_what_was_there(acme: Organization, mongo: Mongo) -> None:
    template = await create_template(acme.http, target_resource="kept", field_mapping=unique("shop"))
    rows = [{"tenant_id": acme.id, "sku": "A1", "shop": n, "is_deleted": False} for n in range(2)]
    await mongo.target["kept"].insert_many(rows)
    url, before = f"/imports/templates/{template['id']}", await left(mongo, acme)
    answer = await acme.http.put(url, json=template_body(target_resource="kept", **KEYED))
    assert_error(answer, 409, "UPSERT_KEY_NOT_UNIQUE", "body.upsert_key")
    assert [each["_id"] for each in await left(mongo, acme)] == [each["_id"] for each in before]
    assert (await acme.http.get(url)).json() == template


async def test_one_key_too_many_leaves_none_of_the_template_and_room_for_others(
    new_organization: NewOrganization, mongo: Mongo
) -> None:
    acme, other = await new_organization(), await new_organization()
    rule = {"type": "unique", "against_target": True}
    fields = [{"target": f"f{n}", "validators": [rule]} for n in range(33)]
    body = template_body(target_resource="crowded", field_mapping=fields)
    answer = await acme.http.post("/imports/templates", json=body)
    error = assert_error(answer, 409, "TOO_MANY_UNIQUE_RULES", "body.field_mapping[32].validators[0]")
    assert "32 keys in 'crowded'" in error["detail"]
    assert await left(mongo, acme) == []
    await create_template(acme.http, target_resource="crowded", field_mapping=fields[:-1])
    more = template_body(target_resource="crowded", **KEYED)
    assert_error(await acme.http.post("/imports/templates", json=more), 409, "TOO_MANY_UPSERT_KEYS", "body.upsert_key")
    await create_template(acme.http, target_resource="crowded", field_mapping=fields[:3])
    await create_template(other.http, target_resource="crowded", **KEYED)


@pytest.mark.usefixtures("rebound")
async def test_an_organization_has_so_many_templates_and_resources(
    mongo: Mongo, mongo_settings: MongoSettings, new_organization: NewOrganization
) -> None:
    acme, other = await new_organization(), await new_organization()
    app = new_app(mongo_settings, max_templates=4, max_resources=2)
    async with app.lifespan():
        transport = httpx.ASGITransport(app)  # pyright: ignore[reportArgumentType] - Litestar's own ASGI types

        async def post(organization: Organization, resource: str) -> httpx.Response:
            body = template_body(target_resource=resource, **KEYED)
            headers = {"Authorization": f"Bearer {organization.key}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
                return await client.post("/imports/templates", json=body)

        answers = await asyncio.gather(*(post(acme, f"counted_{n}") for n in range(5)))
        assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]
        refused = next(answer for answer in answers if answer.status_code == 409)
        error = assert_error(refused, 409, "TOO_MANY_RESOURCES", "body.target_resource")
        assert "2 target resources" in error["detail"]
        assert len(await left(mongo, acme)) == 4
        there = next(answer for answer in answers if answer.is_success).json()["target_resource"]
        answers = await asyncio.gather(*(post(acme, there) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409]
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"TOO_MANY_TEMPLATES"}
        assert (await post(other, there)).status_code == 201


async def test_a_resource_counts_while_a_template_a_run_or_a_record_is_there(acme: Organization, mongo: Mongo) -> None:
    template = await create_template(acme.http, target_resource="counts", **KEYED)
    run = (await upload(acme.http, template["id"])).json()
    await delete(acme.http, template)
    sweep = UnaskedRegistrations(mongo, key_age=AT_ONCE, resource_age=AT_ONCE).sweep
    await sweep()
    assert len(await left(mongo, acme)) == 2
    assert (await acme.http.post(f"/imports/runs/{run['id']}/cancel")).is_success
    # What is under way is stopped by a loop of the gateway where there is no other service.
    await mongo.state["runs"].update_one({"_id": run["id"]}, {"$set": {"status": RunStatus.CANCELLED.value}})
    record = {"tenant_id": acme.id, "sku": "A1", "is_deleted": True}
    await mongo.target["counts"].insert_one(record)

    async def swept_to(names: list[list[str] | None]) -> bool:
        """A sweep looks at a bounded number; what other tests left is in turn, too."""
        await sweep()
        return [document.get("names") for document in await left(mongo, acme)] == names

    await eventually(lambda: swept_to([None]), 90)
    await mongo.target["counts"].delete_one({"_id": record["_id"]})
    await eventually(lambda: swept_to([]), 90)


async def test_what_a_crash_leaves_before_the_template_is_saved_is_released(acme: Organization, mongo: Mongo) -> None:
    resource = "crashed"
    records = [{"tenant_id": acme.id, "sku": n, "is_deleted": False, "_import": {"row": n}} for n in range(2_500)]
    await mongo.target[resource].insert_many(records)
    await OrganizationTarget(mongo, acme.id).register(resource, [("sku",)], None)
    assert await UnaskedRegistrations(mongo).sweep() == 0
    assert await keys(mongo, acme, resource) == [("sku",)]
    assert await mongo.target[resource].count_documents({"tenant_id": acme.id, "_keys.0": {"$exists": True}}) == 2_500
    sweep = UnaskedRegistrations(mongo, key_age=AT_ONCE).sweep
    await sweep()
    await sweep()
    assert await left(mongo, acme) == []
    assert await mongo.target[resource].count_documents({"tenant_id": acme.id, "_keys.0": {"$exists": True}}) == 0


async def test_keys_that_are_released_while_a_template_is_saved_are_registered_again(
    acme: Organization, mongo: Mongo
) -> None:
    async def release() -> None:
        for _ in range(30):
            await OrganizationTarget(mongo, acme.id).release("contended", {("sku",)})

    async def save() -> dict[str, Any]:
        return await create_template(acme.http, target_resource="contended", **KEYED)

    template, *_ = await asyncio.gather(save(), release(), release())
    assert await keys(mongo, acme, "contended") == [("sku",)]
    await delete(acme.http, template)
    assert await keys(mongo, acme, "contended") == []


async def test_templates_made_and_deleted_side_by_side_keep_the_keys_of_those_that_are_left(
    new_organization: NewOrganization, mongo: Mongo
) -> None:
    acme = await new_organization()

    async def make_and_delete() -> None:
        for _ in range(5):
            await delete(acme.http, await create_template(acme.http, target_resource="busy", **KEYED))

    kept, *_ = await asyncio.gather(
        create_template(acme.http, target_resource="busy", **KEYED), *(make_and_delete() for _ in range(4))
    )
    assert await keys(mongo, acme, "busy") == [("sku",)]
    await delete(acme.http, kept)
    assert await left(mongo, acme) == []


async def test_a_collection_that_can_have_no_keys(acme: Organization, mongo: Mongo) -> None:
    await mongo.target.command({"create": "a_view", "viewOn": "anything", "pipeline": []})
    body = template_body(target_resource="a_view", **KEYED)
    answer = await acme.http.post("/imports/templates", json=body)
    assert_error(answer, 409, "INDEX_CONFLICT", "body.upsert_key")
    assert await left(mongo, acme) == []


@pytest.mark.usefixtures("rebound")
async def test_a_template_whose_records_take_long_to_compare_is_sent_again(
    mongo: Mongo, mongo_settings: MongoSettings, new_organization: NewOrganization
) -> None:
    acme = await new_organization()
    records = [{"tenant_id": acme.id, "sku": n, "is_deleted": False, "_import": {"row": n}} for n in range(20_000)]
    await mongo.target["slow"].insert_many(records)
    app: Litestar = new_app(mongo_settings, key_wait_seconds=0.05)
    async with app.lifespan():
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),  # pyright: ignore[reportArgumentType] - Litestar's own ASGI types
            base_url="http://gateway",
            headers={"Authorization": f"Bearer {acme.key}"},
        )
        async with client, asyncio.timeout(30):
            body = template_body(target_resource="slow", **KEYED)
            answer = await client.post("/imports/templates", json=body)
            assert_error(answer, 503, "KEYS_BEING_BUILT")
            assert int(answer.headers["Retry-After"]) > 0
            while answer.status_code == 503:
                answer = await client.post("/imports/templates", json=body)
            assert answer.status_code == 201
    [key] = await TargetKeys(mongo).of(acme.id, "slow")
    assert await mongo.target["slow"].count_documents({"_keys.s": key.id}) == 20_000
