"""Every request that creates something, and what it creates."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from libs.contracts.ids import rejected_id
from libs.ledger import Ledger
from libs.storage.client import Mongo
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import (
    CSV,
    PRODUCER,
    create_importer,
    create_rowporter_template,
    create_template,
    importer_body,
    source_body,
    submit,
    template_body,
    validate,
)

Request = dict[str, Any]
"""Arguments of ``httpx.AsyncClient.request``."""


@dataclass(frozen=True)
class World:
    """Where requests are prepared."""

    organization: Organization
    ledger: Ledger
    mongo: Mongo

    async def count(self, collection: str, **conditions: object) -> int:
        mine = {"tenant_id": self.organization.id, **conditions}
        return await self.mongo.state[collection].count_documents(mine)


@dataclass(frozen=True)
class Creating:
    """A request that creates something.

    Attributes:
        prepare: the request, after everything that it needs was made.
        effects: how many there are of what it creates.
        other: how a request with another content differs; ``None`` where it has none.
    """

    prepare: Callable[[World], Awaitable[Request]]
    effects: Callable[[World], Awaitable[int]]
    other: Request | None = None


async def completed_with_a_rejected_row(world: World) -> tuple[str, str]:
    """Ids of a completed run and of its rejected row."""
    run_id = await submit(world.organization.http)
    await validate(world.ledger, run_id)
    run = await world.ledger.runs.get(run_id)
    assert run is not None
    assert await world.ledger.runs.request_execution(run) is not None
    await world.ledger.maybe_advance(run_id)
    record = rejected_id(run_id, 1)
    error = {"field": "sku", "column": "sku", "code": "REQUIRED", "message": "is required", "value": None}
    await world.mongo.state["rejected_records"].insert_one(
        {
            "_id": record,
            "tenant_id": world.organization.id,
            "run_id": run_id,
            "row": 1,
            "cells": ["", "Anvil"],
            "errors": [error],
            "state": "open",
            "created_at": datetime.now(UTC),
        }
    )
    await world.mongo.state["runs"].update_one({"_id": run_id}, {"$inc": {"counts.rejected": 1, "counts.rows": 1}})
    return run_id, record


def of(collection: str, **conditions: object) -> Callable[[World], Awaitable[int]]:
    async def count(world: World) -> int:
        return await world.count(collection, **conditions)

    return count


def sent(method_path: str, **request: object) -> Callable[[World], Awaitable[Request]]:
    async def prepare(world: World) -> Request:
        del world
        return {"method": "POST", "url": method_path, **request}

    return prepare


async def copied(world: World) -> Request:
    template = await create_template(world.organization.http)
    return {"method": "POST", "url": f"/imports/templates/{template['id']}/copy"}


async def duplicated(world: World) -> Request:
    template = await create_rowporter_template(world.organization.http)
    return {"method": "POST", "url": f"/api/v1/templates/{template['id']}/duplicate"}


def file(content: bytes) -> dict[str, Any]:
    return {"file": ("p.csv", content)}


async def uploaded(world: World) -> Request:
    template = await create_template(world.organization.http)
    data = {"template_id": template["id"]}
    return {"method": "POST", "url": "/imports/upload", "data": data, "files": file(CSV)}


async def imported(world: World) -> Request:
    importer = await create_importer(world.organization.http)
    return {"method": "POST", "url": "/api/v1/imports", "data": {"importer_id": importer["id"]}, "files": file(CSV)}


async def retried(world: World) -> Request:
    _, record = await completed_with_a_rejected_row(world)
    return {"method": "POST", "url": f"/imports/rejected/{record}/retry"}


async def all_retried(world: World) -> Request:
    run_id, _ = await completed_with_a_rejected_row(world)
    return {"method": "POST", "url": f"/imports/runs/{run_id}/retry-all", "params": {"include_uncorrected": "true"}}


async def sent_back(world: World) -> Request:
    run_id, _ = await completed_with_a_rejected_row(world)
    return {"method": "POST", "url": f"/imports/runs/{run_id}/rejected", "files": file(b"_row,sku,name\n1,A1,Anvil\n")}


def change(new: str) -> dict[str, Any]:
    return {"code": "REQUIRED", "field": "sku", "change": {"type": "set", "new": new}}


async def all_corrected(world: World) -> Request:
    run_id, _ = await completed_with_a_rejected_row(world)
    return {"method": "POST", "url": f"/imports/runs/{run_id}/correct-all", "json": change("A1")}


async def bulk_corrections(world: World) -> int:
    corrected = world.mongo.state["bulk_corrections"].find({"tenant_id": world.organization.id}, {"version": 1})
    return len({each["version"] async for each in corrected})


async def rotated(world: World) -> Request:
    made = await world.organization.http.post("/api/v1/api-keys", json={"name": "old"})
    return {"method": "POST", "url": f"/api/v1/api-keys/{made.json()['id']}/rotate", "json": {}}


async def secret_replaced(world: World) -> Request:
    made = await world.organization.http.post("/api/v1/webhook-endpoints", json={"url": "https://example.com/hooks"})
    return {"method": "POST", "url": f"/api/v1/webhook-endpoints/{made.json()['id']}/rotate-secret", "json": {}}


async def sourced(world: World) -> Request:
    template = await create_template(world.organization.http)
    return {"method": "POST", "url": "/api/v1/sources", "json": source_body(template["id"])}


COLUMNS = [{"key": "sku", "name": "SKU", "type": "string", "required": True}]
RETRIES = of("runs", parent_run_id={"$type": "string"}, purpose="retry")
CREATING: dict[str, Creating] = {
    "createTemplate": Creating(
        sent("/imports/templates", json=template_body()),
        of("templates"),
        {"json": template_body(name="another")},
    ),
    "copyTemplate": Creating(copied, of("templates", copied_from={"$ne": None})),
    "createImporter": Creating(
        sent("/api/v1/importers", json=importer_body(webhook_url="https://example.com/hook", webhook_enabled=True)),
        of("templates"),
        {"json": importer_body(name="Another")},
    ),
    "createRowporterTemplate": Creating(
        sent("/api/v1/templates", json={"name": "Products", "columns": COLUMNS}),
        of("templates"),
        {"json": {"name": "Another", "columns": COLUMNS}},
    ),
    "duplicateRowporterTemplate": Creating(duplicated, of("templates", copied_from={"$ne": None})),
    "uploadFile": Creating(uploaded, of("runs"), {"files": file(b"sku,name\nB1,Bolt\n")}),
    "createImport": Creating(imported, of("runs"), {"files": file(b"sku,name\nB1,Bolt\n")}),
    "retryRejected": Creating(retried, RETRIES),
    "retryAllRejected": Creating(all_retried, RETRIES),
    "uploadCorrections": Creating(sent_back, RETRIES, {"files": file(b"_row,sku,name\n1,B1,Bolt\n")}),
    "correctAllRejected": Creating(all_corrected, bulk_corrections, {"json": change("B1")}),
    "createApiKey": Creating(
        sent("/api/v1/api-keys", json={"name": "made"}), of("api_keys", name="made"), {"json": {"name": "another"}}
    ),
    "createProducer": Creating(
        sent("/api/v1/request-producers", json=PRODUCER),
        of("request_producers"),
        {"json": {**PRODUCER, "name": "another"}},
    ),
    "createWebhookEndpoint": Creating(
        sent("/api/v1/webhook-endpoints", json={"url": "https://example.com/hooks"}),
        of("webhook_endpoints"),
        {"json": {"url": "https://example.com/others"}},
    ),
    "createSource": Creating(sourced, of("sources")),
    "rotateWebhookSecret": Creating(
        secret_replaced, of("webhook_endpoints", previous_secret={"$ne": None}), {"json": {"overlap_seconds": 60}}
    ),
    "rotateApiKey": Creating(rotated, of("api_keys", rotated_from={"$ne": None}), {"json": {"overlap_seconds": 60}}),
}
"""By the id of the operation."""
NOT_CREATING: dict[str, str] = {
    "dryRun": "keeps nothing",
    "previewFile": "keeps nothing",
    "previewRun": "works out what is there already; asked again it is the same preview",
    "executeRun": "a run is executed once: 409 afterwards",
    "cancelRun": "a run is cancelled once: 409 afterwards",
    "revertRun": "a run is reverted once: 409 afterwards",
    "discardRejected": "a row is given up once: 409 afterwards",
    "pauseSource": "paused again it is the same",
    "resumeSource": "resumed again it is the same",
    "runSource": "asked again, it is looked at once more, and each file is taken once",
    "testSource": "keeps nothing",
    "enableWebhookEndpoint": "enabled again it is the same",
    "testWebhookEndpoint": "there is one test a second, under the id of that second",
    "resendWebhook": "what is sent again has its first id, by which receivers drop it",
    "replayWebhooks": "likewise",
    "replayDeadLetter": "a letter is decided about once: 409 afterwards",
    "discardDeadLetter": "a letter is decided about once: 409 afterwards",
    "receiveClerkEvent": "Clerk's own message id makes it safe to repeat",
}
"""Operations by POST that need no key, and why."""


async def answered(http: httpx.AsyncClient, request: Request, key: str, idempotency_key: str) -> httpx.Response:
    """The answer to a request, sent again as long as an equal one is at work."""
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": idempotency_key}
    while True:
        answer = await http.request(**request, headers=headers)
        if answer.status_code != 409 or answer.json().get("code", in_brief(answer)) != "IDEMPOTENCY_KEY_IN_USE":
            return answer
        assert answer.headers["retry-after"] == "1"


def in_brief(answer: httpx.Response) -> str:
    """The code of an error where a vocabulary tells no more than that."""
    return answer.json().get("error", {}).get("code", "")
