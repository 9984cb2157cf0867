"""Templates: what is kept, changed, copied, counted and refused."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from libs.storage.client import Mongo
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.rowporter.test_branding import assert_refused
from tests.integration.gateway.steps import create_importer, create_template

pytestmark = pytest.mark.servers

URL = "/api/v1/templates"
CSV = b"Email,Full Name\nann@company.com,Ann\n"


def template_body(**changes: object) -> dict[str, Any]:
    return {
        "name": "Contact Import",
        "columns": [
            {"key": "email", "name": "Email", "type": "email", "required": True},
            {"key": "name", "name": "Full Name", "type": "string", "required": True},
        ],
        **changes,
    }


def column(**changes: object) -> dict[str, Any]:
    return {"key": "a", "name": "A", "type": "string", **changes}


def shown_column(**changes: object) -> dict[str, Any]:
    absent = {"required": False, "description": None, "validations": [], "suggestedMappings": []}
    return column() | absent | changes


async def create(http: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    answer = await http.post(URL, json=template_body(**changes))
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"{URL}/{made['id']}"
    return made


async def get(http: httpx.AsyncClient, template_id: str) -> dict[str, Any]:
    answer = await http.get(f"{URL}/{template_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def patch(http: httpx.AsyncClient, template_id: str, **changes: object) -> dict[str, Any]:
    answer = await http.patch(f"{URL}/{template_id}", json=changes)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def start(http: httpx.AsyncClient, template_id: str, **parts: str) -> httpx.Response:
    form = {"template_id": template_id, **parts}
    return await http.post("/api/v1/imports", data=form, files={"file": ("contacts.csv", CSV)})


VALIDATIONS: list[dict[str, Any]] = [
    {"type": "minLength", "value": 2},
    {"type": "maxLength", "value": 30, "message": "too long"},
    {"type": "regex", "value": "^[a-z]+$", "message": "small letters"},
    {"type": "enum", "value": ["a", "b"]},
    {"type": "unique", "value": True},
    {"type": "unique", "value": False},
    {"type": "unique", "value": True, "message": None},
]


@pytest.mark.parametrize("validation", VALIDATIONS)
async def test_validations_of_texts_are_shown_as_they_were_written(
    http: httpx.AsyncClient, validation: dict[str, Any]
) -> None:
    made = await create(http, columns=[column(validations=[validation])])
    assert made["columns"] == [shown_column(validations=[validation])]
    assert (await get(http, made["id"]))["columns"] == made["columns"]
    renamed = await patch(http, made["id"], name="Renamed")
    assert renamed["columns"] == made["columns"]
    copied = (await http.post(f"{URL}/{made['id']}/duplicate")).json()
    assert copied["columns"] == made["columns"]


async def test_validations_of_numbers(http: httpx.AsyncClient) -> None:
    validations = [
        {"type": "min", "value": 0},
        {"type": "max", "value": 150.5},
        {"type": "enum", "value": [1, 2.5, "3", True]},
    ]
    made = await create(http, columns=[column(type="number", validations=validations)])
    assert made["columns"][0]["validations"] == validations


@pytest.mark.parametrize("kind", ["string", "number", "email", "date", "boolean", "url", "phone"])
async def test_types(http: httpx.AsyncClient, kind: str) -> None:
    whole = column(type=kind, required=True, description="Help text", suggestedMappings=["e-mail", "E mail"])
    made = await create(http, columns=[whole])
    assert made["columns"] == [whole | {"validations": []}]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": None}, "name must be a text"),
        ({"name": " "}, "name is blank"),
        ({"columns": []}, "columns must be a list of at least 1 entry"),
        ({"columns": None}, "columns must be a list"),
        ({"columns": [{}]}, "columns[0].key is required; columns[0].name is required; columns[0].type is required"),
        ({"columns": [column(type="money")]}, "columns[0].type must be one of 'string', 'number'"),
        ({"columns": [column(key="e-mail")]}, "columns[0].key must be a letter and"),
        ({"columns": [column(), column()]}, "columns[1].key: 'a' is defined twice"),
        ({"columns": [column(key="tenant_id")]}, "columns[0].key: 'tenant_id' is reserved"),
        ({"columns": [column(validations=[{"type": "min"}])]}, "columns[0].validations[0].value is required"),
        ({"columns": [column(validations=[{"type": "length", "value": 1}])]}, "validations[0].type must be one of"),
        ({"columns": [column(validations=[{"type": "minLength", "value": "3"}])]}, "validations[0].value must be"),
        ({"columns": [column(validations=[{"type": "regex", "value": "("}])]}, "columns[0].validations[0].value"),
        ({"columns": [column(validations=[{"type": "enum", "value": "a"}])]}, "validations[0].value must be a list"),
        ({"columns": [column(validations=[{"type": "enum", "value": [None]}])]}, "must hold texts, numbers"),
        ({"columns": [column(validations=[{"type": "enum", "value": [10**30]}])]}, "must hold texts, numbers"),
        ({"columns": [column(validations=[{"type": "unique", "value": 1}])]}, "validations[0].value must be true"),
        ({"columns": [column(validations=[{"type": "min", "value": 1}])]}, "columns[0].validations"),
        ({"skipHeaderRows": -1}, "skipHeaderRows must be a number of at least 0"),
        ({"skipHeaderRows": "1"}, "skipHeaderRows must be a whole number"),
        ({"allowExtraColumns": "no"}, "allowExtraColumns must be true or false"),
        ({"allowPartialImport": 1}, "allowPartialImport must be true or false"),
        ({"target_resource": "No"}, "target_resource must be a small letter"),
        ({"webhook_url": "http://10.0.0.1/"}, "webhook_url: the URL must start with https://"),
        ({"colour": 1}, "'colour' is unknown here"),
    ],
)
async def test_what_is_refused(http: httpx.AsyncClient, changes: dict[str, Any], said: str) -> None:
    message = assert_refused(await http.post(URL, json=template_body(**changes)), 400, "VALIDATION_ERROR")
    assert message.startswith("Validation error: ")
    assert said in message
    made = await create(http)
    assert said in assert_refused(await http.patch(f"{URL}/{made['id']}", json=changes), 400, "VALIDATION_ERROR")
    assert await get(http, made["id"]) == made


async def test_a_whole_answer_can_be_sent_back(http: httpx.AsyncClient) -> None:
    made = await create(http, webhook_url="https://example.com/hook", skipHeaderRows=3, allowExtraColumns=True)
    assert made["webhook_secret"].startswith("whsec_")
    seen = await get(http, made["id"])
    assert seen == made | {"webhook_secret": None}
    again = await patch(http, made["id"], **seen)
    assert again == seen | {"updatedAt": again["updatedAt"]}
    assert again["updatedAt"] > seen["updatedAt"]


async def test_changes_at_the_same_time_are_all_kept(http: httpx.AsyncClient) -> None:
    made = await create(http)
    wanted = {"name": "Other", "skipHeaderRows": 0, "allowPartialImport": True, "embedEnabled": False}
    await asyncio.gather(*(patch(http, made["id"], **{name: value}) for name, value in wanted.items()))
    now = await get(http, made["id"])
    assert now == made | wanted | {"updatedAt": now["updatedAt"]}


async def test_targets_of_their_own(http: httpx.AsyncClient) -> None:
    made, given = await create(http), await create(http, target_resource="contacts")
    assert made["target_resource"].startswith("contact_import_")
    assert (await patch(http, made["id"], name="Other"))["target_resource"] == made["target_resource"]
    copied = (await http.post(f"{URL}/{made['id']}/duplicate")).json()
    assert copied["target_resource"].startswith("other_copy_")
    assert (await http.post(f"{URL}/{given['id']}/duplicate")).json()["target_resource"] == "contacts"
    placed = await patch(http, copied["id"], target_resource="contacts")
    assert (await http.post(f"{URL}/{placed['id']}/duplicate")).json()["target_resource"] == "contacts"


async def test_a_long_name_leaves_room_for_the_copy(http: httpx.AsyncClient) -> None:
    made = await create(http, name="n" * 200)
    copied = (await http.post(f"{URL}/{made['id']}/duplicate")).json()
    assert copied["name"] == "n" * 193 + " (Copy)"


async def test_pages(http: httpx.AsyncClient) -> None:
    made = [(await create(http, name=f"T{number}"))["id"] for number in range(5)]
    await create_template(http)
    await create_importer(http)

    async def page(**query: int) -> tuple[list[str], dict[str, int]]:
        answer = await http.get(URL, params=query)
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["data"]], answer.json()["pagination"]

    assert await page() == (made, {"page": 1, "limit": 20, "total": 5, "totalPages": 1})
    assert await page(page=2, limit=2) == (made[2:4], {"page": 2, "limit": 2, "total": 5, "totalPages": 3})
    assert await page(page=3, limit=2) == (made[4:], {"page": 3, "limit": 2, "total": 5, "totalPages": 3})
    assert await page(page=9, limit=100) == ([], {"page": 9, "limit": 100, "total": 5, "totalPages": 1})
    for query in ({"limit": 101}, {"limit": 0}, {"page": 0}, {"page": "x"}, {"skip": 1}):
        assert_refused(await http.get(URL, params=query), 400, "BAD_REQUEST")


async def test_imports_are_counted_and_stay_when_the_template_goes(http: httpx.AsyncClient) -> None:
    made, other = await create(http), await create(http)
    ids = [(await start(http, made["id"])).json()["id"] for _ in range(3)]
    assert [each["importCount"] for each in (await http.get(URL)).json()["data"]] == [3, 0]
    assert (await get(http, made["id"]))["importCount"] == 3
    assert (await patch(http, made["id"], name="Other"))["importCount"] == 3
    assert (await http.delete(f"{URL}/{made['id']}")).status_code == 204
    assert_refused(await http.get(f"{URL}/{made['id']}"), 404, "NOT_FOUND")
    assert_refused(await http.delete(f"{URL}/{made['id']}"), 404, "NOT_FOUND")
    assert_refused(await start(http, made["id"]), 404, "NOT_FOUND")
    assert [each["id"] for each in (await http.get(URL)).json()["data"]] == [other["id"]]
    for import_id in ids:
        assert (await http.get(f"/api/v1/imports/{import_id}")).json()["templateId"] == made["id"]


async def test_other_vocabularies_keep_apart(http: httpx.AsyncClient) -> None:
    engine, importer = (await create_template(http))["id"], (await create_importer(http))["id"]
    mine = (await create(http))["id"]
    for foreign in (engine, f"tpl_{engine}", importer):
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/duplicate")):
            body = {"json": {"name": "x"}} if method == "PATCH" else {}
            assert_refused(await http.request(method, f"{URL}/{foreign}{path}", **body), 404, "NOT_FOUND")
    assert (await http.get(f"/imports/templates/{mine.removeprefix('tpl_')}")).status_code == 404
    assert (await http.get(f"/api/v1/importers/{mine}")).status_code == 404


async def test_errors_outside_the_handlers_have_the_same_shape(http: httpx.AsyncClient) -> None:
    assert_refused(await http.put(URL, json={}), 405, "METHOD_NOT_ALLOWED")
    assert_refused(await http.get(f"{URL}/a/b/c"), 404, "NOT_FOUND")
    assert_refused(await http.post(URL, content=b"{", headers={"Content-Type": "application/json"}), 400, "BAD_REQUEST")
    assert_refused(await http.get(URL, headers={"Authorization": "Bearer x"}), 401, "UNAUTHORIZED")


async def test_nothing_of_another_organization(
    http: httpx.AsyncClient, new_organization: Callable[[], Awaitable[Organization]], mongo: Mongo
) -> None:
    made = await create(http)
    import_id = (await start(http, made["id"])).json()["id"]
    other = (await new_organization()).http
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/duplicate")):
        body = {"json": {"name": "x"}} if method == "PATCH" else {}
        assert_refused(await other.request(method, f"{URL}/{made['id']}{path}", **body), 404, "NOT_FOUND")
    assert_refused(await start(other, made["id"]), 404, "NOT_FOUND")
    assert (await other.get(f"/api/v1/imports/{import_id}")).status_code == 404
    for url in (URL, "/api/v1/imports", f"/api/v1/imports?templateId={made['id']}"):
        assert (await other.get(url)).json() == {
            "data": [],
            "pagination": {"page": 1, "limit": 20, "total": 0, "totalPages": 0},
        }
    assert await mongo.state["templates"].count_documents({"_id": made["id"].removeprefix("tpl_")}) == 1
