"""Templates that an organization shares with those below it: used and copied there, changed only by their owner."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from libs.storage.client import Mongo
from libs.storage.settings import MongoSettings
from libs.storage.target_keys import TargetKeys
from services.gateway.retention.registrations import UnaskedRegistrations
from tests.integration.gateway.conftest import Organization, new_app
from tests.integration.gateway.families import NewOrganization, family
from tests.integration.gateway.steps import CSV, assert_error, create_template, eventually, template_body, upload

pytestmark = pytest.mark.servers

KEYED: dict[str, Any] = {"import_mode": "upsert", "upsert_key": "sku"}
WEBHOOK = "https://example.com/hook?token=secret"


async def shared(organization: Organization, **changes: object) -> dict[str, Any]:
    return await create_template(organization.http, shared_with_children=True, **changes)


async def listed(http: httpx.AsyncClient, **query: object) -> set[str]:
    answer = await http.get("/imports/templates", params={"limit": 100, **query})
    return {each["id"] for each in answer.json()["data"]}


async def keys(mongo: Mongo, organization: Organization, resource: str) -> list[tuple[str, ...]]:
    return [key.names for key in await TargetKeys(mongo).of(organization.id, resource)]


async def test_those_below_see_it_and_change_nothing(mongo: Mongo, new_organization: NewOrganization) -> None:
    made = await family(mongo, new_organization)
    template = await shared(made.child, webhook_url=WEBHOOK)
    hidden = await create_template(made.child.http)
    url = f"/imports/templates/{template['id']}"
    for outside in (made.sibling, made.stranger):
        assert await listed(outside.http) == set()
        assert_error(await outside.http.get(url), 404, "TEMPLATE_NOT_FOUND")
        assert_error(await outside.http.post(f"{url}/copy"), 404, "TEMPLATE_NOT_FOUND")
    assert await listed(made.parent.http) == set()
    assert await listed(made.parent.http, include_children=True) == {template["id"], hidden["id"]}

    below = made.grandchild.http
    assert await listed(below) == {template["id"]}
    seen = (await below.get(url)).json()
    assert (seen["shared_from_tenant_id"], seen["tenant_id"], seen["read_only"]) == (made.child.id,) * 2 + (True,)
    assert (seen["webhook_url"], seen["webhook_disabled_at"]) == (None, None)
    assert "token" not in (await below.get("/imports/templates")).text
    for refused in (
        await below.put(url, json=template_body()),
        await below.put(url, json=seen),
        await below.delete(url),
    ):
        error = assert_error(refused, 403, "READ_ONLY_SHARED_TEMPLATE")
        assert "copy" in error["detail"]
    own = (await made.child.http.get(url)).json()
    assert (own["shared_from_tenant_id"], own["read_only"], own["webhook_url"]) == (None, False, WEBHOOK)
    # An answer can be sent back as it is.
    assert (await made.child.http.put(url, json=own)).is_success


async def test_an_upload_of_those_below_is_theirs(mongo: Mongo, new_organization: NewOrganization) -> None:
    made = await family(mongo, new_organization)
    template = await shared(made.parent, webhook_url=WEBHOOK)
    run = (await upload(made.grandchild.http, template["id"])).json()
    assert run["target_tenant_id"] == made.grandchild.id
    assert run["started_by"]["tenant_id"] == made.grandchild.id
    stored = await mongo.state["runs"].find_one({"_id": run["id"]})
    assert stored is not None
    assert stored["webhook_endpoint_id"] is None
    assert "token" not in str(stored)
    own = (await upload(made.parent.http, template["id"])).json()
    stored = await mongo.state["runs"].find_one({"_id": own["id"]})
    assert stored is not None
    assert stored["webhook_endpoint_id"] is not None
    for above in (made.parent, made.child):
        assert (await above.http.get(f"/imports/runs/{run['id']}")).status_code == 200
    assert_error(await made.sibling.http.get(f"/imports/runs/{run['id']}"), 404, "RUN_NOT_FOUND")


async def test_what_is_shared_no_longer_goes_on_for_runs_and_for_nothing_else(
    mongo: Mongo, new_organization: NewOrganization
) -> None:
    made = await family(mongo, new_organization)
    template = await shared(made.parent, name="first")
    url = f"/imports/templates/{template['id']}"
    run = (await upload(made.child.http, template["id"])).json()
    assert (await made.parent.http.put(url, json=template_body(name="next", shared_with_children=True))).is_success
    assert (await upload(made.child.http, template["id"])).json()["template_name"] == "next"
    assert (await made.parent.http.put(url, json=template_body(name="alone"))).is_success
    assert_error(await upload(made.child.http, template["id"]), 404, "TEMPLATE_NOT_FOUND")
    shown = (await made.child.http.get(f"/imports/runs/{run['id']}")).json()
    assert (shown["template_name"], shown["template_version"]) == ("first", 1)
    # Whoever acts for the child may still use what is its own.
    form = {"template_id": template["id"], "target_tenant_id": made.child.id}
    answer = await made.parent.http.post("/imports/upload", data=form, files={"file": ("p.csv", CSV)})
    assert answer.json()["template_name"] == "alone"


async def test_a_copy_is_ones_own(mongo: Mongo, new_organization: NewOrganization) -> None:
    made = await family(mongo, new_organization)
    field = {"source": "sku", "target": "sku", "transform": "upper"}
    template = await shared(made.parent, webhook_url=WEBHOOK, import_mode="create", field_mapping=[field])
    answer = await made.child.http.post(f"/imports/templates/{template['id']}/copy")
    assert answer.status_code == 201
    copy = answer.json()
    assert answer.headers["location"] == f"/imports/templates/{copy['id']}"
    assert copy["copied_from"] == {"tenant_id": made.parent.id, "template_id": template["id"], "version": 1}
    assert (copy["tenant_id"], copy["read_only"], copy["shared_with_children"]) == (made.child.id, False, False)
    assert (copy["webhook_url"], copy["webhook_secret"]) == (None, None)
    assert (copy["import_mode"], copy["field_mapping"]) == ("create", template["field_mapping"])
    changed = await made.child.http.put(f"/imports/templates/{copy['id']}", json={**copy, "name": "mine"})
    assert changed.json()["name"] == "mine"
    assert changed.json()["copied_from"] == copy["copied_from"]
    assert (await made.parent.http.delete(f"/imports/templates/{template['id']}")).status_code == 204
    assert await listed(made.child.http) == {copy["id"]}


async def test_its_keys_are_registered_where_it_is_used_and_go_when_it_is_shared_no_more(
    mongo: Mongo, new_organization: NewOrganization
) -> None:
    made = await family(mongo, new_organization)
    template = await shared(made.parent, target_resource="borrowed", **KEYED)
    assert await keys(mongo, made.child, "borrowed") == []
    run = (await upload(made.child.http, template["id"])).json()
    assert await keys(mongo, made.child, "borrowed") == [("sku",)]
    assert await keys(mongo, made.sibling, "borrowed") == []
    assert (await made.child.http.post(f"/imports/runs/{run['id']}/cancel")).is_success

    sweep = UnaskedRegistrations(mongo, key_age=timedelta(0), resource_age=timedelta(0)).sweep
    await sweep()
    assert await keys(mongo, made.child, "borrowed") == [("sku",)], "it is shared still"
    # A template of its own that goes takes nothing along.
    own = await create_template(made.child.http, target_resource="borrowed", **KEYED)
    assert (await made.child.http.delete(f"/imports/templates/{own['id']}")).status_code == 204
    assert await keys(mongo, made.child, "borrowed") == [("sku",)]
    body = template_body(target_resource="borrowed", **KEYED)
    assert (await made.parent.http.put(f"/imports/templates/{template['id']}", json=body)).is_success
    await sweep()
    assert await keys(mongo, made.child, "borrowed") == []
    assert await keys(mongo, made.parent, "borrowed") == [("sku",)]
    assert await mongo.state["target_resources"].find_one({"tenant_id": made.child.id}) is None


async def test_a_run_under_way_keeps_the_keys(mongo: Mongo, new_organization: NewOrganization) -> None:
    made = await family(mongo, new_organization)
    template = await create_template(made.parent.http, target_resource="lent", **KEYED)
    form = {"template_id": template["id"], "target_tenant_id": made.child.id}
    run = (await made.parent.http.post("/imports/upload", data=form, files={"file": ("p.csv", CSV)})).json()
    sweep = UnaskedRegistrations(mongo, key_age=timedelta(0)).sweep
    await sweep()
    assert await keys(mongo, made.child, "lent") == [("sku",)]
    assert (await made.parent.http.post(f"/imports/runs/{run['id']}/cancel")).is_success
    await sweep()
    assert await keys(mongo, made.child, "lent") == []


async def test_records_that_break_its_key_refuse_the_upload(mongo: Mongo, new_organization: NewOrganization) -> None:
    made = await family(mongo, new_organization)
    template = await shared(made.parent, target_resource="broken_below", **KEYED)
    twice = [{"tenant_id": made.child.id, "sku": "A1", "is_deleted": False} for _ in range(2)]
    await mongo.target["broken_below"].insert_many(twice)
    refused = await upload(made.child.http, template["id"])
    assert_error(refused, 409, "UPSERT_KEY_NOT_UNIQUE", "body.template_id")
    assert (await upload(made.sibling.http, template["id"])).status_code == 202
    assert await keys(mongo, made.child, "broken_below") == []
    for collection, of_tenant in (("runs", "tenant_id"), ("files.files", "metadata.tenant_id")):
        assert await mongo.state[collection].count_documents({of_tenant: made.child.id}) == 0


async def test_it_takes_of_what_the_user_may_have(
    mongo: Mongo, mongo_settings: MongoSettings, new_organization: NewOrganization, rebound: None
) -> None:
    del rebound
    made = await family(mongo, new_organization)
    app = new_app(mongo_settings, max_resources=2, max_keys_per_resource=1, wait_seconds=0)
    async with app.lifespan():
        transport = httpx.ASGITransport(app)  # pyright: ignore[reportArgumentType]

        def client(organization: Organization) -> httpx.AsyncClient:
            headers = {"Authorization": f"Bearer {organization.key}"}
            return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers)

        async with client(made.parent) as parent, client(made.child) as child:
            by_sku = await create_template(parent, shared_with_children=True, target_resource="few_a", **KEYED)
            by_name = {"import_mode": "upsert", "upsert_key": "name"}
            await create_template(child, target_resource="few_a", **by_name)
            refused = await upload(child, by_sku["id"])
            assert_error(refused, 409, "TOO_MANY_UPSERT_KEYS", "body.template_id")
            await create_template(child, target_resource="few_b")
            third = await create_template(parent, shared_with_children=True, target_resource="few_c")
            assert_error(await upload(child, third["id"]), 409, "TOO_MANY_RESOURCES", "body.template_id")
            assert await mongo.state["runs"].count_documents({"tenant_id": made.child.id}) == 0


async def test_a_run_does_not_wait_until_records_are_compared(
    mongo: Mongo, mongo_settings: MongoSettings, new_organization: NewOrganization, rebound: None
) -> None:
    """That goes on beside it; what the run compares waits for it anyway."""
    del rebound
    made = await family(mongo, new_organization)
    template = await shared(made.parent, target_resource="compared_later", **KEYED)
    app = new_app(mongo_settings, key_wait_seconds=1e-6, wait_seconds=0)
    async with app.lifespan():
        transport = httpx.ASGITransport(app)  # pyright: ignore[reportArgumentType]
        headers = {"Authorization": f"Bearer {made.child.key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as child:
            assert (await upload(child, template["id"])).status_code == 202

            async def registered() -> bool:
                return await keys(mongo, made.child, "compared_later") == [("sku",)]

            await eventually(registered)
