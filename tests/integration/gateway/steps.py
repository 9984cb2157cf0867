"""What tests of the gateway do again and again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from libs.contracts.plan import ParsePlan
from libs.contracts.states import RunStatus
from libs.ledger import Ledger, ParseEnd

SHARED_PATHS = (
    "/api/v1/api-keys", "/api/v1/clerk", "/api/v1/webhook-", "/api/v1/dead-letters", "/api/v1/admin", "/api/v1/sources",
    "/api/v1/request-",
)  # fmt: skip
PRODUCER = {"name": "billing", "public_key": "A" * 43 + "="}
CSV = b"sku,name\nA1,Anvil\n"


def template_body(**changes: object) -> dict[str, Any]:
    return {
        "name": "products",
        "target_resource": "products",
        "field_mapping": [
            {"source": "sku", "target": "sku", "required": True},
            {"source": "name", "target": "name", "transform": "trim"},
        ],
        **changes,
    }


async def create_template(http: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    answer = await http.post("/imports/templates", json=template_body(**changes))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def upload(http: httpx.AsyncClient, template_id: str, content: bytes = CSV, **headers: str) -> httpx.Response:
    return await http.post(
        "/imports/upload", data={"template_id": template_id}, files={"file": ("p.csv", content)}, headers=headers
    )


def importer_body(**changes: object) -> dict[str, Any]:
    return {
        "name": "Products",
        "fields": [
            {"name": "sku", "type": "text", "validators": [{"type": "required"}]},
            {"name": "name", "type": "text", "transformations": [{"type": "trim"}]},
        ],
        **changes,
    }


async def create_importer(http: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    answer = await http.post("/api/v1/importers", json=importer_body(**changes))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def create_rowporter_template(http: httpx.AsyncClient) -> dict[str, Any]:
    columns = [{"key": "sku", "name": "SKU", "type": "string", "required": True}]
    answer = await http.post("/api/v1/templates", json={"name": "Products", "columns": columns})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def start_import(
    http: httpx.AsyncClient, importer_id: str, content: bytes = CSV, **headers: str
) -> httpx.Response:
    form = {"importer_id": importer_id, "mapping": '{"sku": "sku", "name": "name"}'}
    return await http.post("/api/v1/imports", data=form, files={"file": ("p.csv", content)}, headers=headers)


async def submit(http: httpx.AsyncClient, **changes: object) -> str:
    """A pending run's id."""
    template = await create_template(http, **changes)
    answer = await upload(http, template["id"])
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def source_body(template_id: str, **changes: object) -> dict[str, Any]:
    """A watched directory: the organization's own folder."""
    return {"name": "Inbox", "type": "directory", "template_id": template_id, "stable_seconds": 0, **changes}


async def create_source(http: httpx.AsyncClient, template_id: str, **changes: object) -> dict[str, Any]:
    answer = await http.post("/api/v1/sources", json=source_body(template_id, **changes))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def validate(ledger: Ledger, run_id: str) -> None:
    """What parser and validator do with a file that has a header and no rows."""
    run = await ledger.parsing.begin(run_id, "test-parser", 30)
    assert run is not None
    assert await ledger.parsing.freeze_plan(run, ParsePlan(columns=("sku", "name"), mapping={"sku": 0, "name": 1}))
    assert await ledger.parsing.close(run, ParseEnd(0, 0, "0" * 64))
    await ledger.maybe_advance(run_id)
    after = await ledger.runs.get(run_id)
    assert after is not None
    assert after.status in {RunStatus.VALIDATED, RunStatus.EXECUTING}


def assert_error(
    answer: httpx.Response, status: int, code: str, *locations: str, either: bool | None = None
) -> dict[str, Any]:
    """The one shape of every error; with ``either``, that of what vocabularies of ``/api/v1`` share, and of what is in
    none of them."""
    if either is None:
        either = answer.request.url.path.startswith(SHARED_PATHS)
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body.get("code")) == (status, code), body
    assert set(body) == {"detail", "status_code", "code", "errors", "request_id", *(["error"] if either else [])}
    if either:
        assert body["error"] == {"code": code, "message": body["detail"]}
    assert body["status_code"] == status
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    assert [error["location"] for error in body["errors"]] == list(locations)
    assert all(set(error) == {"location", "code", "message"} and error["message"] for error in body["errors"])
    return body


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 15) -> None:
    """Return once ``check`` holds; fail after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - what is waited for happens in the database
            await asyncio.sleep(0.02)
