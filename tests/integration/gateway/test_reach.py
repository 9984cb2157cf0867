"""For whom a key may act: its own organization and those below it, at every route; of others nothing is ever told."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from bson import ObjectId
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from libs.contracts.ids import as_uuid, rejected_id
from libs.storage.client import Mongo
from services.gateway.access.organizations import OrganizationTree
from services.gateway.access.reach import OWNED, REMEMBERED_SECONDS
from services.gateway.http.authentication import NEEDED_SCOPE
from services.gateway.http.dependencies import WHO_ASKS
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.families import NewOrganization, family
from tests.integration.gateway.steps import (
    CSV,
    assert_error,
    create_importer,
    create_rowporter_template,
    create_source,
    create_template,
    eventually,
    start_import,
    template_body,
    upload,
)

NOBODYS = "f" * 24
ENDPOINTS = "/api/v1/webhook-endpoints"
NOT_FOR_OTHERS = {NEEDED_SCOPE, "exclude_from_auth"}
UPLOADS = {"/imports/upload", "/imports/dry-run", "/imports/preview", "/api/v1/imports"}
"""Act for the organization that their form names, or that has what it names."""

ROWPORTER = "rowporter_template_id"
OF_ONE = {"/api/v1/organization/branding", "/records", "/records/{resource}/{identifier}"}
"""What one organization has at a time: ``tenant_id`` says which, and nothing is put together."""
BY_RESOURCE = {"resource", "identifier"}
"""Name records of whichever organization acts (``test_whose_records``): no id says whose they are."""


def routes(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """Method, path and handler of every route that does something for an organization; what one decides about itself,
    such as its keys, is not for those above."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute) or route.path.startswith("/schema"):
            continue
        for method, (handler, _) in sorted(_handlers(route).items()):
            if method in {"GET", "POST", "PUT", "PATCH", "DELETE"} and not handler.opt.keys() & NOT_FOR_OTHERS:
                yield method, route.path_format, handler


def _handlers(route: HTTPRoute) -> dict[str, tuple[HTTPRouteHandler, Any]]:
    return {method: (handler, None) for handler in route.route_handlers for method in handler.http_methods}


def path_parameters(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def query_parameters(handler: HTTPRouteHandler) -> set[str]:
    return set(handler.parsed_fn_signature.parameters)


def test_every_route_takes_the_rule(app: Litestar) -> None:
    """A new route that fails here: see the docstring of ``services.gateway.access.reach``."""
    seen = 0
    for method, path, handler in routes(app):
        asked = [name for name in WHO_ASKS if name in handler.parsed_fn_signature.parameters]
        assert len(asked) == 1, f"{method} {path}: one of {WHO_ASKS} says who asks"
        names_one = OWNED.keys() & {*path_parameters(path), *({"run_id"} & query_parameters(handler))}
        unknown = set(path_parameters(path)) - BY_RESOURCE - names_one
        assert not unknown, f"{method} {path}: nobody knows whose that is; see OWNED"
        if names_one or (method == "POST" and path in UPLOADS):
            assert asked == ["principal"], f"{method} {path}"
        elif method == "GET" and path not in OF_ONE:
            assert asked == ["looking"], f"{method} {path}: a list can include those below"
        else:
            assert asked == ["acting"], f"{method} {path}"
        seen += 1
    assert seen >= 14


# --- everything that names something, by everybody -----------------------------------------------


async def furnished(mongo: Mongo, organization: Organization) -> dict[str, str]:
    """A template, a run and a rejected row of an organization, by the parameters that name them."""
    template = await create_template(organization.http)
    run = (await upload(organization.http, template["id"])).json()
    row = {
        "_id": rejected_id(run["id"], 1), "tenant_id": organization.id, "run_id": run["id"], "row": 1,
        "cells": ["A1", None], "errors": [], "state": "open", "created_at": datetime.now(UTC),
    }  # fmt: skip
    await mongo.state["rejected_records"].insert_one(row)
    importer = await create_importer(organization.http)
    started = (await start_import(organization.http, importer["id"])).json()
    ids = {"template_id": template["id"], "run_id": run["id"], "record_id": row["_id"]}
    endpoint = (await organization.http.post(ENDPOINTS, json={"url": "https://example.com/hooks"})).json()
    delivery = (await organization.http.post(f"{ENDPOINTS}/{endpoint['id']}/test")).json()
    source = await create_source(organization.http, template["id"])
    ids |= {"endpoint_id": endpoint["id"], "delivery_id": delivery["id"], "source_id": source["id"]}
    template = await create_rowporter_template(organization.http)
    return {**ids, "importer_id": importer["id"], "import_id": started["id"], ROWPORTER: template["id"]}


async def ask(http: httpx.AsyncClient, method: str, path: str, ids: dict[str, str]) -> httpx.Response:
    query = {} if "{" in path else {"run_id": ids["run_id"]}
    body: Any = {"json": template_body() if "templates" in path else {}} if method in {"PUT", "PATCH"} else {}
    if path.endswith("/events"):
        method = "HEAD"  # judged alike; what follows lasts
    named = {**ids, "template_id": ids[ROWPORTER]} if path.startswith("/api/v1/templates/") else ids
    return await http.request(method, path.format(**named), params=query, **body)


def told(answer: httpx.Response, ids: dict[str, str]) -> tuple[int, str]:
    """An answer, but for what differs each time."""
    text = answer.text.replace(answer.headers["x-request-id"], "REQUEST")
    for name, identifier in sorted(ids.items(), key=lambda each: -len(each[1])):  # some begin with others
        text = text.replace(identifier, name)
    return answer.status_code, text


Parents = tuple[int | None, ...]
# Parents by number, each of an organization before it; ``None`` for none.
trees = st.integers(3, 5).flatmap(
    lambda size: st.tuples(*[st.one_of(st.none(), st.integers(0, max(0, at - 1))) for at in range(size)])
)


def _chain(parents: Parents, at: int) -> list[int]:
    """An organization, and those above it."""
    chain = [at]
    while (parent := parents[chain[-1]]) is not None:
        chain.append(parent)
    return chain


@settings(
    max_examples=3,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=trees)
@example(drawn=(None, 0, 0, 1, None))
async def test_each_key_reaches_its_own_and_what_is_below(
    app: Litestar, mongo: Mongo, new_organization: NewOrganization, drawn: Parents
) -> None:
    parents = tuple(None if parent is None or parent >= at else parent for at, parent in enumerate(drawn))
    if max(len(_chain(parents, at)) for at in range(len(parents))) > 5:
        return
    organizations = [await new_organization() for _ in parents]
    tree = OrganizationTree(mongo)
    for at, parent in enumerate(parents):
        if parent is not None:
            await tree.move(organizations[at].id, organizations[parent].id)
    owned = [await furnished(mongo, organization) for organization in organizations]
    naming = [(method, path) for method, path, _ in routes(app) if set(path_parameters(path)) - BY_RESOURCE]
    naming.append(("GET", "/imports/rejected"))
    # Those who may not come before those who may, and what ends things comes last.
    naming.sort(key=lambda each: (each[0] == "DELETE", "cancel" in each[1]))
    await _who_may_not(organizations, parents, owned, naming)
    await _who_may(organizations, parents, owned, [each for each in naming if each[0] != "DELETE"])
    await _lists_and_uploads(mongo, organizations, parents, owned)
    for target in range(len(parents)):
        for deletion in (each for each in naming if each[0] == "DELETE"):
            answer = await ask(organizations[_chain(parents, target)[-1]].http, *deletion, owned[target])
            assert answer.status_code == 204


async def _who_may_not(
    organizations: list[Organization],
    parents: Parents,
    owned: list[dict[str, str]],
    naming: list[tuple[str, str]],
) -> None:
    unknown = {"template_id": "d" * 24, "run_id": "e" * 24, "record_id": rejected_id("f" * 24, 1)}
    unknown |= {"endpoint_id": "c" * 24, "delivery_id": "b" * 32, "source_id": "9" * 24}
    unknown |= {"importer_id": as_uuid("d" * 24), "import_id": as_uuid("e" * 24), ROWPORTER: f"tpl_{'d' * 24}"}
    for method, path in naming:
        for caller in range(len(parents)):
            nobodys = told(await ask(organizations[caller].http, method, path, unknown), unknown)
            assert nobodys[0] in {404, 400, 422}, (method, path, nobodys)
            for target in range(len(parents)):
                if caller in _chain(parents, target):
                    continue
                answer = told(await ask(organizations[caller].http, method, path, owned[target]), owned[target])
                assert answer == nobodys, (method, path, caller, target)


async def _who_may(
    organizations: list[Organization],
    parents: Parents,
    owned: list[dict[str, str]],
    naming: list[tuple[str, str]],
) -> None:
    for method, path in naming:
        for target in range(len(parents)):
            for caller in _chain(parents, target):
                answer = await ask(organizations[caller].http, method, path, owned[target])
                assert answer.status_code not in {403, 404}, (method, path, caller, target, answer.text)


async def _lists_and_uploads(
    mongo: Mongo, organizations: list[Organization], parents: Parents, owned: list[dict[str, str]]
) -> None:
    for caller, organization in enumerate(organizations):
        below = {at for at in range(len(parents)) if caller in _chain(parents, at)}
        nobodys = await organization.http.get("/imports/runs", params={"tenant_id": NOBODYS})
        assert_error(nobodys, 404, "TENANT_NOT_FOUND")
        for path, tenant_of in (("/imports/runs", "target_tenant_id"), ("/imports/templates", "tenant_id")):
            own = (await organization.http.get(path, params={"limit": 100})).json()["data"]
            assert {each[tenant_of] for each in own} == {organization.id}
            query = {"limit": 100, "include_children": True}
            everything = (await organization.http.get(path, params=query)).json()["data"]
            assert {each[tenant_of] for each in everything} == {organizations[at].id for at in below}
            ids = [each["id"] for each in everything]
            assert ids == sorted(ids, reverse=True)
            paged: list[str] = []
            after: str | None = None
            while after is not None or not paged:
                at = {} if after is None else {"after": after}
                page = (await organization.http.get(path, params={"limit": 2, "include_children": True} | at)).json()
                paged += [each["id"] for each in page["data"]]
                after = page["next_after"]
            assert paged == ids
        for target, other in enumerate(organizations):
            listed = await organization.http.get("/imports/runs", params={"tenant_id": other.id})
            form = {"template_id": owned[caller]["template_id"], "target_tenant_id": other.id}
            uploaded = await organization.http.post("/imports/upload", data=form, files={"file": ("p.csv", CSV)})
            tried = organization.http.build_request("POST", "/imports/templates", json=template_body())
            created = await organization.http.post(
                "/imports/templates", params={"tenant_id": other.id}, content=tried.content
            )
            if target in below:
                assert {each["target_tenant_id"] for each in listed.json()["data"]} == {other.id}
                assert uploaded.status_code == 202, uploaded.text
                run = uploaded.json()
                assert run["target_tenant_id"] == created.json()["tenant_id"] == other.id
                assert run["started_by"] == {"tenant_id": organization.id, "subject": "key:test"}
                file = await mongo.state["files.files"].find_one({"_id": ObjectId(run["id"])})
                assert file is not None
                assert file["metadata"]["tenant_id"] == other.id
            else:
                for refused in (listed, uploaded, created):
                    assert told(refused, {"id": other.id}) == told(nobodys, {"id": NOBODYS})


@pytest.mark.parametrize("file_first", [True, False])
async def test_the_organization_may_be_named_before_the_file_or_after_it(
    mongo: Mongo, new_organization: NewOrganization, file_first: bool
) -> None:
    made = await family(mongo, new_organization)
    template = await create_template(made.parent.http)
    texts = {"template_id": (None, template["id"]), "target_tenant_id": (None, made.grandchild.id)}
    file = {"file": ("p.csv", CSV)}
    parts: dict[str, Any] = {**file, **texts} if file_first else {**texts, **file}
    run = (await made.parent.http.post("/imports/upload", files=parts)).json()
    assert run["target_tenant_id"] == made.grandchild.id
    stored = await mongo.state["files.files"].find_one({"_id": ObjectId(run["id"])})
    assert stored is not None
    assert stored["metadata"]["tenant_id"] == made.grandchild.id
    refused = {**parts, "target_tenant_id": (None, made.stranger.id)}
    assert_error(await made.parent.http.post("/imports/upload", files=refused), 404, "TENANT_NOT_FOUND")
    assert await mongo.state["files.files"].count_documents({"metadata.tenant_id": made.parent.id}) == 0


async def test_a_template_from_below_is_used_there_only(mongo: Mongo, new_organization: NewOrganization) -> None:
    made = await family(mongo, new_organization)
    template = await create_template(made.child.http)

    async def into(organization: Organization | None) -> httpx.Response:
        form = {"template_id": template["id"]}
        if organization is not None:
            form["target_tenant_id"] = organization.id
        return await made.parent.http.post("/imports/upload", data=form, files={"file": ("p.csv", CSV)})

    assert (await into(made.child)).status_code == 202
    for elsewhere in (None, made.parent, made.sibling, made.grandchild):
        assert_error(await into(elsewhere), 404, "TEMPLATE_NOT_FOUND")


async def test_quotas_and_idempotency_keys_are_those_of_the_organization_that_is_imported_into(
    mongo: Mongo, new_organization: NewOrganization
) -> None:
    made = await family(mongo, new_organization)
    template = await create_template(made.parent.http)

    async def into(organization: Organization) -> httpx.Response:
        form = {"template_id": template["id"], "target_tenant_id": organization.id}
        headers = {"Idempotency-Key": "monthly"}
        return await made.parent.http.post(
            "/imports/upload", data=form, files={"file": ("p.csv", CSV)}, headers=headers
        )

    ids = {(await into(organization)).json()["id"] for organization in (made.parent, made.child, made.sibling)}
    assert len(ids) == 3
    again = await into(made.child)
    assert (again.headers["Idempotent-Replayed"], again.json()["id"] in ids) == ("true", True)


async def test_who_is_taken_out_is_out_of_reach_within_seconds(
    mongo: Mongo, new_organization: NewOrganization, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await family(mongo, new_organization)
    template = await create_template(made.parent.http, shared_with_children=True)
    owned = await furnished(mongo, made.grandchild)
    url = f"/imports/runs/{owned['run_id']}"
    assert (await made.parent.http.get(url)).status_code == 200
    line = next(each for each in reversed(capsys.readouterr().out.splitlines()) if "http.request" in each)
    assert f"acting_for={made.grandchild.id}" in line
    assert f"tenant_id={made.parent.id}" in line
    assert (await upload(made.grandchild.http, template["id"])).status_code == 202
    await OrganizationTree(mongo).move(made.child.id, None)

    async def out_of_reach() -> bool:
        seen = await made.parent.http.get(url)
        used = await upload(made.grandchild.http, template["id"])
        return (seen.status_code, used.status_code) == (404, 404)

    await eventually(out_of_reach, REMEMBERED_SECONDS + 5)
    assert (await made.child.http.get(url)).status_code == 200
    assert (await made.grandchild.http.get(url)).status_code == 200


async def test_a_key_is_told_which_organizations_it_may_act_for(
    mongo: Mongo, new_organization: NewOrganization
) -> None:
    made = await family(mongo, new_organization)

    async def told_to(organization: Organization, **query: Any) -> dict[str, str | None]:  # noqa: ANN401
        found: dict[str, str | None] = {}
        after: str | None = ""
        while after is not None:
            page = (
                await organization.http.get("/imports/tenants", params={"limit": 1, "after": after, **query})
            ).json()
            found |= {each["id"]: each["parent_id"] for each in page["data"]}
            after = page["next_after"]
        return found

    below = {made.child.id: made.parent.id, made.sibling.id: made.parent.id, made.grandchild.id: made.child.id}
    assert await told_to(made.parent, include_children=True) == {made.parent.id: None, **below}
    assert await told_to(made.parent) == {made.parent.id: None}
    # What is above it is not told to a child, nor to whoever asks about one.
    assert await told_to(made.child, include_children=True) == {made.child.id: None, made.grandchild.id: made.child.id}
    asked = await told_to(made.parent, include_children=True, tenant_id=made.child.id)
    assert asked == {made.child.id: None, made.grandchild.id: made.child.id}
    assert await told_to(made.stranger, include_children=True) == {made.stranger.id: None}
    refused = await made.stranger.http.get("/imports/tenants", params={"tenant_id": made.child.id})
    assert_error(refused, 404, "TENANT_NOT_FOUND")
