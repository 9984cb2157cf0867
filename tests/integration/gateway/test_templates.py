"""Templates over HTTP."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet

from libs.storage.client import Mongo
from tests.integration.gateway.conftest import SECRET_KEY, Organization
from tests.integration.gateway.steps import assert_error, create_template, template_body, upload

GIVEN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_the_life_of_a_template(http: httpx.AsyncClient) -> None:
    created = await http.post("/imports/templates", json=template_body(description="one"))
    assert created.status_code == 201
    template = created.json()
    url = created.headers["location"]
    assert url == f"/imports/templates/{template['id']}"
    assert template["version"] == 1
    assert template["created_at"].endswith("Z")
    assert (await http.get(url)).json() == template
    assert (await http.get("/imports/templates")).json()["data"] == [template]

    replaced = await http.put(url, json={**template, "description": "two"})
    assert replaced.status_code == 200, replaced.text
    assert (replaced.json()["version"], replaced.json()["description"]) == (2, "two")
    assert_error(await http.put(url, json={**template, "description": "three"}), 409, "TEMPLATE_CHANGED")
    assert (await http.put(url, json=template_body())).json()["version"] == 3

    assert (await http.delete(url)).status_code == 204
    for method in ("GET", "DELETE"):
        assert_error(await http.request(method, url), 404, "TEMPLATE_NOT_FOUND")
    assert (await http.get("/imports/templates")).json()["data"] == []


async def test_of_two_changes_at_once_none_is_lost(http: httpx.AsyncClient) -> None:
    template = await create_template(http)
    url = f"/imports/templates/{template['id']}"
    answers = await asyncio.gather(*(http.put(url, json={**template, "name": f"n{i}"}) for i in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]


async def test_pages(http: httpx.AsyncClient) -> None:
    ids = [(await create_template(http))["id"] for _ in range(5)]
    seen: list[str] = []
    after: str | None = None
    while True:
        page = (await http.get("/imports/templates", params={"limit": 2, **({"after": after} if after else {})})).json()
        seen += [template["id"] for template in page["data"]]
        if (after := page["next_after"]) is None:
            break
    assert seen == sorted(ids, reverse=True)


async def test_every_problem_is_named_with_its_place(http: httpx.AsyncClient) -> None:
    body = template_body(file_type="docx", colour=1)
    body["field_mapping"][1]["validators"] = [{"type": "regex", "pattern": "(?<=a)b"}]
    error = assert_error(
        await http.post("/imports/templates", json=body),
        422, "INVALID_TEMPLATE", "body.colour", "body.field_mapping[1].validators[0].pattern", "body.file_type",
    )  # fmt: skip
    assert "look-around" in error["errors"][1]["message"]
    assert "csv" in error["errors"][2]["message"]


OK = b'"name": "x", "target_resource": "x", "field_mapping": [{"target": "a"}]'


@pytest.mark.parametrize(
    ("content", "place"),
    [
        pytest.param(b"", "body", id="nothing"),
        pytest.param(b"{", "body", id="cut"),
        pytest.param(b"\xff\xfe", "body", id="no UTF-8"),
        pytest.param(b'{"a": NaN}', "body.a", id="NaN"),
        pytest.param(b"[" * 100_000, "body", id="100,000 deep"),
        pytest.param(b'{"z": ' + b"[" * 500 + b"]" * 500 + b"," + OK + b"}", "body.z" + "[0]" * 63, id="500 deep"),
        pytest.param(b'{"a": ' + b"9" * 5_000 + b"}", "body.a", id="5,000 digits"),
        pytest.param(b'{"\\ud800": 1, ' + OK + b"}", "body", id="half of a pair as a name"),
        pytest.param(b'{"description": "\\udfff", ' + OK + b"}", "body.description", id="half of a pair as a value"),
        pytest.param(b'{"column_widths": {"\\udfff": 5}, ' + OK + b"}", "body.column_widths", id="and as a header"),
        pytest.param(b'{"name": "y", ' + OK + b"}", "body.name", id="a name twice"),
        pytest.param(
            b'{"field_mapping": [{"target": "a", "target": "b"}]}', "body.field_mapping[0].target", id="inside"
        ),
    ],
)
async def test_json_that_is_refused(http: httpx.AsyncClient, content: bytes, place: str) -> None:
    answer = await http.post("/imports/templates", content=content, headers={"Content-Type": "application/json"})
    error = assert_error(answer, 400, "INVALID_JSON", place)
    assert "sys." not in answer.text
    assert error["errors"][0]["message"] in error["detail"]
    form = {"data": {"template": content.decode("latin-1")}, "files": {"file": ("a.csv", b"sku\n1\n")}}
    error = assert_error(
        await http.post("/imports/dry-run", **form), 422, "INVALID_REQUEST", place.replace("body", "body.template", 1)
    )
    assert error["errors"][0]["code"] == "INVALID_JSON"


async def test_a_body_of_another_type_or_too_large(http: httpx.AsyncClient) -> None:
    answer = await http.post("/imports/templates", content="name=x", headers={"Content-Type": "text/plain"})
    assert_error(answer, 415, "NOT_JSON")
    answer = await http.post("/imports/templates", json=template_body(description="x" * 1_100_000))
    assert_error(answer, 413, "REQUEST_ENTITY_TOO_LARGE")


async def test_a_secret_is_made_shown_once_and_stored_encrypted(acme: Organization, mongo: Mongo) -> None:
    http = acme.http
    template = await create_template(http, webhook_url="https://example.com/hook")
    secret, url = template["webhook_secret"], f"/imports/templates/{template['id']}"
    assert secret.startswith("whsec_")
    assert (await http.get(url)).json()["webhook_secret"] is None
    endpoint = await mongo.state["webhook_endpoints"].find_one({"template_id": template["id"]})
    assert endpoint is not None
    assert endpoint["tenant_id"] == acme.id
    assert Fernet(SECRET_KEY).decrypt(endpoint["encrypted_secret"]).decode() == secret

    kept = await http.put(url, json=template_body(webhook_url="https://example.com/other"))
    assert kept.json()["webhook_secret"] is None
    changed = await mongo.state["webhook_endpoints"].find_one({"_id": endpoint["_id"]})
    assert changed is not None
    assert (changed["url"], changed["encrypted_secret"]) == ("https://example.com/other", endpoint["encrypted_secret"])

    given = await http.put(url, json=template_body(webhook_url="https://example.com/x", webhook_secret=GIVEN_SECRET))
    assert given.json()["webhook_secret"] == GIVEN_SECRET
    gone = await http.put(url, json=template_body())
    assert gone.json()["webhook_url"] is None
    disabled = await mongo.state["webhook_endpoints"].find_one({"_id": endpoint["_id"]})
    assert disabled is not None
    assert disabled["enabled"] is False


async def test_what_was_sent_comes_back_until_somebody_sends_something_else(
    http: httpx.AsyncClient, mongo: Mongo
) -> None:
    fields = [
        {"target": "sku", "transform": "trim"},
        {"target": "price", "transform": "decimal:2", "type": "number"},
        {"target": "note", "transform": "trim", "transformations": [{"type": "upper"}]},
    ]
    created = await create_template(http, import_mode="create", field_mapping=fields)
    url = f"/imports/templates/{created['id']}"

    def said(template: dict[str, Any]) -> tuple[Any, ...]:
        members = ("transform", "type", "decimals", "transformations")
        return template["import_mode"], *([field[name] for name in members] for field in template["field_mapping"])

    upper = dict.fromkeys(("value", "find", "replace", "format", "region", "columns")) | {"type": "upper"}
    wanted = ("create", ["trim", "text", None, []], ["decimal:2", "number", None, []], ["trim", "text", None, [upper]])
    assert said(created) == said((await http.get(url)).json()) == wanted
    assert said((await http.put(url, json=created)).json()) == wanted
    run = await upload(http, created["id"])
    assert run.json()["import_mode"] == "create"
    assert (await http.get("/imports/runs")).json()["data"][0]["import_mode"] == "create"

    stored = await mongo.state["templates"].find_one({"_id": created["id"]})
    assert stored is not None
    assert (stored["template"]["mode"], stored["vocabulary"]) == ("append", "engine")
    # A process of the release before replaces the template and knows nothing of how it was written.
    await mongo.state["templates"].update_one({"_id": created["id"]}, {"$inc": {"version": 1}})
    assert said((await http.get(url)).json())[:2] == ("append", [None, "text", None, [{**upper, "type": "trim"}]])

    changed = template_body(field_mapping=[{"target": "sku", "transform": "upper"}])
    assert said((await http.put(url, json=changed)).json()) == ("append", ["upper", "text", None, []])


async def test_a_receiver_that_was_given_up_is_shown_and_can_be_switched_on_again(
    http: httpx.AsyncClient, mongo: Mongo
) -> None:
    template = await create_template(http, webhook_url="https://example.com/hook")
    assert (template["webhook_enabled"], template["errors"]) == (True, [])
    url = f"/imports/templates/{template['id']}"
    at, endpoints = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), mongo.state["webhook_endpoints"]
    given_up = {"enabled": False, "disabled_at": at, "disabled_reason": "410 Gone"}
    await endpoints.update_one({"template_id": template["id"]}, {"$set": given_up})
    shown = (await http.get(url)).json()
    state = {key: value for key, value in shown.items() if key in {"webhook_enabled", "webhook_disabled_at"}}
    assert state == {"webhook_enabled": False, "webhook_disabled_at": "2026-03-04T05:06:07Z"}
    assert shown["webhook_disabled_reason"] == "410 Gone"
    [error] = shown["errors"]
    assert (error["location"], error["code"]) == ("body.webhook_url", "RECEIVER_OFF")
    assert "2026-03-04 05:06 UTC: 410 Gone" in error["message"]
    assert (await http.get("/imports/templates")).json()["data"] == [shown]

    kept = (await http.put(url, json={**shown, "description": "changed"})).json()
    assert (kept["webhook_enabled"], kept["webhook_disabled_reason"]) == (False, "410 Gone")
    again = (await http.put(url, json={**kept, "webhook_enabled": True})).json()
    assert [again[f"webhook_{name}"] for name in ("enabled", "disabled_at", "disabled_reason")] == [True, None, None]
    assert again["errors"] == []
    stored = await endpoints.find_one({"template_id": template["id"]})
    assert stored is not None
    assert (stored["enabled"], stored["disabled_at"]) == (True, None)


async def test_a_template_with_everything_is_shown_as_it_was_sent(http: httpx.AsyncClient) -> None:
    fields = [
        {"target": "sku", "aliases": ["article"], "type": "string", "validators": [{"type": "minLength", "value": 2}]},
        {"target": "price", "transform": "decimal:2", "decimal_style": "comma"},
        {"target": "size", "type": "select", "options": ["S", "M"]},
        {"target": "sold", "transform": "date:DD.MM.YYYY", "required": True},
        {"target": "note", "transform": "concat:a,b"},
    ]
    sent = template_body(
        file_type="fixed_width", column_widths={"sku": 4, "price": 9}, has_header=False, field_mapping=fields,
        include_unmatched_columns=True, default_region="SE",
    )  # fmt: skip
    shown = await create_template(http, **sent)
    assert shown["column_widths"] == [{"name": "sku", "width": 4}, {"name": "price", "width": 9}]
    assert (shown["file_type"], shown["default_region"]) == ("fixed_width", "SE")
    assert [field["type"] for field in shown["field_mapping"]] == ["text", None, "select", None, "text"]
    transforms = [field["transform"] for field in shown["field_mapping"]]
    assert transforms == [None, "decimal:2", None, "date:DD.MM.YYYY", "concat:a,b"]
    assert all(field["transformations"] == [] for field in shown["field_mapping"])
    again = await http.put(f"/imports/templates/{shown['id']}", json=shown)
    assert again.status_code == 200, again.text
    assert {**again.json(), "version": 1, "updated_at": shown["updated_at"]} == shown
