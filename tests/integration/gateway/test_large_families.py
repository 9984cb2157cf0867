"""Lists of an organization with hundreds below it: in order, whole, and without reading what is not shown."""

import random
from typing import Any

import pytest
from bson import ObjectId

from libs.storage.client import Mongo
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import create_template, submit

pytestmark = pytest.mark.servers

CHILDREN, RUNS_OF_EACH, LIMIT = 250, 8, 20


async def test_a_page_of_hundreds_of_organizations(acme: Organization, mongo: Mongo) -> None:
    children = [f"{acme.id}-{number}" for number in range(CHILDREN)]
    await mongo.state["organizations"].insert_many(
        [{"_id": child, "name": "x", "parent_id": acme.id} for child in children]
    )
    run: Any = await mongo.state["runs"].find_one({"_id": await submit(acme.http)})
    owners = children * RUNS_OF_EACH
    random.Random(1).shuffle(owners)
    copies = [{**run, "_id": str(ObjectId()), "tenant_id": owner, "status": "cancelled"} for owner in owners]
    await mongo.state["runs"].insert_many(copies)
    wanted = sorted([run["_id"], *(copy["_id"] for copy in copies)], reverse=True)

    await mongo.state.command("profile", 2)
    try:
        found = await _paged(acme, pages=3)
    finally:
        await mongo.state.command("profile", 0)
    assert found == wanted[: 3 * LIMIT]
    profile = mongo.state["system.profile"].find({"ns": f"{mongo.state.name}.runs", "op": "query"})
    looks = [each async for each in profile if f"{acme.id}-" in str(each["command"]["filter"])]
    assert len(looks) == 3 * 3, "so many groups of organizations, for each page"
    assert not any(look.get("hasSortStage") for look in looks)
    assert max(look["docsExamined"] for look in looks) <= 100 + LIMIT + 1, "one of each organization, and the page"
    assert await _paged(acme, pages=1_000) == wanted
    await mongo.state["organizations"].delete_many({"parent_id": acme.id})
    await mongo.state["runs"].delete_many({"tenant_id": {"$in": children}})


async def _paged(organization: Organization, pages: int) -> list[str]:
    found: list[str] = []
    query: dict[str, Any] = {"limit": LIMIT, "include_children": True}
    for _ in range(pages):
        page = (await organization.http.get("/imports/runs", params=query)).json()
        found += [each["id"] for each in page["data"]]
        if page["next_after"] is None:
            break
        query["after"] = page["next_after"]
    return found


async def test_templates_of_all_with_what_is_shared_once(acme: Organization, mongo: Mongo) -> None:
    """What the organization itself gets from above is among its own, and so in one group only."""
    above, children = f"{acme.id}-above", [f"{acme.id}-{number}" for number in range(CHILDREN)]
    organizations, templates = mongo.state["organizations"], mongo.state["templates"]
    await organizations.insert_many([{"_id": child, "name": "x", "parent_id": acme.id} for child in children])
    await organizations.insert_one({"_id": above, "name": "x"})
    await organizations.update_one({"_id": acme.id}, {"$set": {"parent_id": above}})
    template: Any = await templates.find_one({"_id": (await create_template(acme.http))["id"]})
    shared = {**template, "_id": str(ObjectId()), "tenant_id": above}
    shared["template"] = {**template["template"], "shared_with_children": True}
    copies = [{**template, "_id": str(ObjectId()), "tenant_id": child} for child in children[::50]]
    await templates.insert_many([shared, *copies])
    query = {"limit": 100, "include_children": True}
    found = (await acme.http.get("/imports/templates", params=query)).json()["data"]
    assert [each["id"] for each in found] == sorted(
        [template["_id"], shared["_id"], *(copy["_id"] for copy in copies)], reverse=True
    )
    assert [each["id"] for each in found if each["read_only"]] == [shared["_id"]]
    await organizations.delete_many({"_id": {"$in": [above, *children]}})
