"""Another organization's id is one that nobody has, at every route of the route table; and nothing of it changes."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from bson import ObjectId
from litestar import Litestar

from libs.contracts.ids import as_uuid, rejected_id
from libs.ledger import Ledger
from libs.storage.client import Mongo
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.matrix.table import (
    BRANDING,
    ENDLESS,
    GOOD,
    NAMED,
    OPEN,
    OPERATED,
    SHARED,
    ask,
    names_something,
    parameters,
    routes,
)
from tests.integration.gateway.steps import (
    CSV,
    PRODUCER,
    create_importer,
    create_rowporter_template,
    create_source,
    create_template,
    start_import,
    upload,
    validate,
)

NewOrganization = Callable[[], Awaitable[Organization]]
MARK = "of-the-owner-alone"
"""In whatever the owner has that others could be shown."""
OF_ITSELF = frozenset({"GET /api/v1/organization/branding", "GET /imports/tenants", "GET /records"})
"""Shows the organization that asks, or names that several may use; nothing that could be marked."""


class Owner(NamedTuple):
    """An organization with one of everything; the first ids are for reading, the others may be used up."""

    organization: Organization
    ids: Mapping[str, str]


async def furnished(mongo: Mongo, ledger: Ledger, organization: Organization) -> Owner:
    """Give an organization a template, a checked run, a rejected row, an import, a record and keys, all marked."""
    http = organization.http
    template = await create_template(http, name=MARK)
    run = (await upload(http, template["id"])).json()
    row = {
        "_id": rejected_id(run["id"], 1), "tenant_id": organization.id, "run_id": run["id"], "row": 1,
        "cells": [MARK, None], "errors": [], "state": "open", "created_at": datetime.now(UTC),
    }  # fmt: skip
    await mongo.state["rejected_records"].insert_one(row)
    await validate(ledger, run["id"])
    importer = await create_importer(http, name=MARK)
    started = (await start_import(http, importer["id"])).json()
    rowporter = await create_rowporter_template(http)
    assert (await http.patch(f"/api/v1/templates/{rowporter['id']}", json={"name": MARK})).status_code == 200
    form = {"template_id": rowporter["id"], "externalUserId": MARK}
    assert (await http.post("/api/v1/imports", data=form, files={"file": ("p.csv", CSV)})).status_code == 201
    key = (await http.post("/api/v1/api-keys", json={"name": MARK})).json()
    producer = (await http.post("/api/v1/request-producers", json={**PRODUCER, "name": MARK})).json()
    hooks = "/api/v1/webhook-endpoints"
    endpoint = (await http.post(hooks, json={"url": "https://example.com/hooks", "description": MARK})).json()
    delivery = (await http.post(f"{hooks}/{endpoint['id']}/test")).json()
    source = await create_source(http, template["id"], name=MARK)
    branding = GOOD[BRANDING].json
    assert (await http.put("/api/v1/organization/branding", json=branding)).status_code == 200
    record = ObjectId()
    await mongo.target[SHARED["resource"]].insert_one(
        {
            "_id": record, "tenant_id": organization.id, "sku": MARK, "is_deleted": False, "deleted_at": None,
            "_import": {"run_id": run["id"], "row": 1, "version": 1, "created_at": datetime.now(UTC)},
        }
    )  # fmt: skip
    ids = {
        "template_id": template["id"], "run_id": run["id"], "record_id": str(row["_id"]), "importer_id": importer["id"],
        "import_id": started["id"], "rowporter_template_id": rowporter["id"], "key_id": key["id"],
        "identifier": str(record),
        "endpoint_id": endpoint["id"], "delivery_id": delivery["id"], "producer_id": producer["id"],
        "source_id": source["id"],
    }  # fmt: skip
    assert set(ids) >= NAMED, f"nobody makes {sorted(NAMED - set(ids))}"
    return Owner(organization, ids)


async def everything_of(mongo: Mongo, organization: Organization) -> dict[str, list[dict[str, Any]]]:
    """Every stored document of an organization, but for how often and when its keys were used."""
    found: dict[str, list[dict[str, Any]]] = {}
    for database in (mongo.state, mongo.target):
        for name in await database.list_collection_names():
            whose = {
                "$or": [
                    {"tenant_id": organization.id},
                    {"metadata.tenant_id": organization.id},
                    {"_id": organization.id},
                ]
            }
            documents = await database[name].find(whose, sort=[("_id", 1)]).to_list(None)
            for document in documents:
                document.pop("counted", None)
                document.pop("last_used_at", None)
            if documents:
                found[f"{database.name}.{name}"] = documents
    return found


def nobodys_ids() -> dict[str, str]:
    """Ids of the right shape that nobody has."""

    def one() -> str:
        return str(ObjectId())

    return {
        "template_id": one(), "run_id": one(), "record_id": str(rejected_id(one(), 1)), "importer_id": as_uuid(one()),
        "import_id": as_uuid(one()), "rowporter_template_id": f"tpl_{one()}", "key_id": one(),
        "identifier": one(),
        "endpoint_id": one(), "delivery_id": one() + "0" * 8, "producer_id": one(), "source_id": one(),
    }  # fmt: skip


def told(text: str, ids: Mapping[str, str], request_id: str) -> str:
    """An answer, but for what differs each time."""
    text = text.replace(request_id, "REQUEST")
    for name, identifier in sorted(ids.items(), key=lambda each: -len(each[1])):  # some begin with others
        text = text.replace(identifier, name)
    return text


def test_the_table_knows_every_route(app: Litestar) -> None:
    """Whoever adds a route that fails here adds what is missing to ``matrix/table.py``."""
    there = set(routes(app))
    assert len(there) >= 40
    for method, path in sorted(there):
        unknown = parameters(path) - NAMED - set(SHARED)
        assert not unknown, (
            f"{method} {path}: say in NAMED that {sorted(unknown)} is an id of what one organization has, and let "
            "furnished() and nobodys_ids() make one; or in SHARED that several may mean something by it"
        )
        creates = method != "GET" and not parameters(path) and (method, path) not in OPEN
        assert not creates or (method, path) in GOOD, f"{method} {path}: say in GOOD what it is asked with"
    assert not set(GOOD) - there, "GOOD has routes that are there no more"


@pytest.fixture
async def two(mongo: Mongo, ledger: Ledger, new_organization: NewOrganization) -> tuple[Owner, Organization]:
    """Somebody who has everything, and somebody who has nothing."""
    owner, stranger = await new_organization(), await new_organization()
    return await furnished(mongo, ledger, owner), stranger


async def test_what_another_organization_has_is_not_there(
    app: Litestar, mongo: Mongo, two: tuple[Owner, Organization]
) -> None:
    """The answer is the one for what nobody has, to the letter; and nothing of the owner's is changed."""
    owner, stranger = two
    before = await everything_of(mongo, owner.organization)
    asked = [route for route in routes(app) if names_something(route)]
    for route in asked:
        nobodys, theirs = nobodys_ids(), owner.ids
        methods = ["GET", "HEAD"] if route[0] == "GET" else [route[0]]
        for method in methods:
            answer = await ask(stranger.http, route, theirs, method)
            name = f"{method} {route[1]}"
            assert answer.status_code == 404, f"{name}: {answer.status_code} {answer.text}; is its entry in GOOD good?"
            assert MARK not in answer.text, name
            unknown = await ask(stranger.http, route, nobodys, method)
            assert unknown.status_code == 404, name
            words = [
                told(each.text, ids, each.headers["x-request-id"])
                for each, ids in ((answer, theirs), (unknown, nobodys))
            ]
            assert words[0] == words[1], name
    assert len(asked) >= 30
    assert await everything_of(mongo, owner.organization) == before
    # All of this means something only where the owner is answered otherwise.
    gone = sorted(asked, key=lambda each: (each[0] == "DELETE", "cancel" in each[1], "retry" in each[1]))
    for route in gone:
        if route[0] == "DELETE":
            break
        if route in ENDLESS:
            continue
        answer = await ask(owner.organization.http, route, owner.ids)
        assert answer.status_code not in {400, 401, 403, 404, 405, 415}, (route, answer.text)


async def test_lists_and_exports_show_ones_own_only(
    app: Litestar, mongo: Mongo, two: tuple[Owner, Organization]
) -> None:
    owner, stranger = two
    before = await everything_of(mongo, owner.organization)
    seen = 0
    for route in routes(app):
        if route[0] != "GET" or names_something(route) or route[1].startswith(OPERATED):
            continue
        mine = await ask(owner.organization.http, route, owner.ids)
        theirs = await ask(stranger.http, route, owner.ids)
        assert mine.status_code == 200, (route, mine.text)
        assert theirs.status_code in {200, 404}, (route, theirs.text)
        words = {MARK, owner.organization.id, *owner.ids.values()}
        assert not [word for word in words if word in theirs.text], route
        if " ".join(route) not in OF_ITSELF:
            assert MARK in mine.text, f"{route}: let furnished() make something that it lists"
            seen += 1
    assert seen >= 6
    assert await everything_of(mongo, owner.organization) == before


async def test_what_is_created_belongs_to_whoever_asks(
    app: Litestar, mongo: Mongo, two: tuple[Owner, Organization]
) -> None:
    owner, stranger = two
    before, nothing = await everything_of(mongo, owner.organization), await everything_of(mongo, stranger)
    created = 0
    for route in routes(app):
        if route[0] == "GET" or names_something(route) or route in OPEN or parameters(route[1]):
            continue
        answer = await ask(stranger.http, route, owner.ids)
        assert answer.status_code in {200, 201, 202}, (route, answer.text)
        after = await everything_of(mongo, stranger)
        assert after != nothing, route
        nothing = after
        created += 1
    assert created >= 5
    assert await everything_of(mongo, owner.organization) == before


async def test_a_tenant_that_is_named_is_ones_own_or_not_there(
    app: Litestar, mongo: Mongo, two: tuple[Owner, Organization]
) -> None:
    """Whatever takes ``tenant_id`` in its query, or ``target_tenant_id`` in its form."""
    owner, stranger = two
    before = await everything_of(mongo, owner.organization)
    asked = 0
    for route in routes(app):
        if route in OPEN or parameters(route[1]) & NAMED or route[1].startswith(OPERATED):
            continue
        named = route[1].format(**SHARED)
        answer = await stranger.http.request(route[0], named, params={"tenant_id": owner.organization.id})
        # 400: it takes no such parameter; 415: it is a form, which names the organization itself.
        assert answer.status_code in {400, 404, 415}, (route, answer.text)
        asked += answer.status_code == 404
    assert asked >= 8
    assert await everything_of(mongo, owner.organization) == before
