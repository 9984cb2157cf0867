"""Who gets in, and that nobody sees another organization's things."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from litestar import Litestar

from libs.ledger import Ledger
from libs.process.health import health_app
from libs.storage.client import Mongo
from services.gateway.access.api_keys import ApiKeys, digest, new_key
from services.gateway.access.callers import Callers
from services.gateway.access.plans import PlanRates
from services.gateway.access.principal import ALL_SCOPES
from services.gateway.access.rates import Kind
from services.gateway.app import readiness
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import (
    CSV,
    assert_error,
    create_template,
    submit,
    template_body,
    upload,
    validate,
)

Message = Any
NewOrganization = Callable[[], Awaitable[Organization]]


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer nonsense",
        "Bearer sk_live_unknown",
        "Bearer sk_live_" + "x" * 999,
    ],
)
async def test_without_a_known_key_nobody_gets_in(http: httpx.AsyncClient, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    del http.headers["Authorization"]
    for method, path in (("GET", "/imports/runs"), ("POST", "/imports/upload"), ("PUT", "/imports/templates/x")):
        answer = await http.request(method, path, headers=headers)
        assert_error(answer, 401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_stranger_is_refused_before_anything_of_the_body_is_read(app: Litestar) -> None:
    sent: list[Any] = []

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http", "method": "POST", "path": "/imports/upload", "raw_path": b"/imports/upload",
        "headers": [(b"content-type", b"multipart/form-data; boundary=x"), (b"content-length", b"1000000")],
        "query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": "", "client": None, "server": None,
    }  # fmt: skip
    await app(scope, receive, send)
    assert sent[0]["status"] == 401


async def test_only_the_digest_of_a_key_is_stored_and_it_is_revoked_at_once(acme: Organization, mongo: Mongo) -> None:
    stored = await mongo.state["api_keys"].find_one({"tenant_id": acme.id})
    assert stored is not None
    assert stored["digest"] == digest(acme.key)
    assert acme.key not in str(stored)
    assert (await acme.http.get("/imports/runs")).status_code == 200
    await mongo.state["api_keys"].update_one({"_id": stored["_id"]}, {"$set": {"revoked_at": datetime.now(UTC)}})
    assert_error(await acme.http.get("/imports/runs"), 401, "UNAUTHORIZED")


async def test_a_key_may_do_what_its_scopes_say(acme: Organization, mongo: Mongo) -> None:
    await mongo.state["api_keys"].update_one(
        {"tenant_id": acme.id}, {"$set": {"scopes": ["read", "of a later release"]}}
    )
    assert (await acme.http.get("/imports/templates")).status_code == 200
    error = assert_error(await acme.http.post("/imports/templates", json=template_body()), 403, "FORBIDDEN")
    assert "'write'" in error["detail"]
    assert (await acme.http.get("/imports/templates")).json()["data"] == []


async def test_a_known_key_is_registered_once(mongo: Mongo) -> None:
    keys, key = ApiKeys(), new_key()
    first = await keys.create("One", "a", key)
    assert await keys.create("Another", "b", key) == first
    called = await Callers(mongo, PlanRates(mongo)).by_key(key, Kind.READS)
    assert called is not None
    principal = called.principal
    assert (principal.tenant_id, principal.subject, principal.scopes) == (first, "key:a", ALL_SCOPES)


BULK = {"code": "REQUIRED", "field": "sku", "change": {"type": "clear"}}


async def test_another_organization_finds_nothing(new_organization: NewOrganization, ledger: Ledger) -> None:
    owner, stranger = await new_organization(), await new_organization()
    template = await create_template(owner.http)
    run_id = (await upload(owner.http, template["id"], CSV, **{"Idempotency-Key": "shared"})).json()["id"]
    await validate(ledger, run_id)

    for method, path, body, code in (
        ("GET", f"/imports/templates/{template['id']}", None, "TEMPLATE_NOT_FOUND"),
        ("PUT", f"/imports/templates/{template['id']}", template_body(), "TEMPLATE_NOT_FOUND"),
        ("DELETE", f"/imports/templates/{template['id']}", None, "TEMPLATE_NOT_FOUND"),
        ("GET", f"/imports/runs/{run_id}", None, "RUN_NOT_FOUND"),
        ("POST", f"/imports/runs/{run_id}/execute", None, "RUN_NOT_FOUND"),
        ("POST", f"/imports/runs/{run_id}/cancel", None, "RUN_NOT_FOUND"),
        ("GET", f"/imports/rejected?run_id={run_id}", None, "RUN_NOT_FOUND"),
        ("GET", f"/imports/runs/{run_id}/correct-all", None, "RUN_NOT_FOUND"),
        ("POST", f"/imports/runs/{run_id}/correct-all", BULK, "RUN_NOT_FOUND"),
    ):
        assert_error(await stranger.http.request(method, path, json=body), 404, code)
    assert_error(await upload(stranger.http, template["id"]), 404, "TEMPLATE_NOT_FOUND")
    for path in ("/imports/templates", "/imports/runs", f"/imports/runs?template_id={template['id']}"):
        assert (await stranger.http.get(path)).json() == {"data": [], "next_after": None}

    own = await create_template(stranger.http)
    theirs = await upload(stranger.http, own["id"], CSV, **{"Idempotency-Key": "shared"})
    assert theirs.json()["id"] != run_id
    assert (await owner.http.get(f"/imports/runs/{run_id}")).json()["status"] == "validated"


async def test_health_and_metrics_are_not_for_clients(http: httpx.AsyncClient) -> None:
    for path in ("/metrics", "/health/live", "/health/ready"):
        assert_error(await http.get(path), 404, "NOT_FOUND")
        del http.headers["Authorization"]
        assert_error(await http.get(path), 404, "NOT_FOUND")
        http.headers["Authorization"] = "Bearer nonsense"


async def test_operators_see_health_and_metrics(app: Litestar, http: httpx.AsyncClient) -> None:
    await submit(http)
    operators = health_app(lambda: readiness(app), app.state.metrics)
    transport = httpx.ASGITransport(operators)  # pyright: ignore[reportArgumentType] - FastStream's own ASGI types
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        ready = await client.get("/health/ready")
        metrics = (await client.get("/metrics")).text
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert ready.json()["degraded"] == ["Kafka does not answer: files are taken in and wait"]
    assert 'rowdock_http_requests_total{method="POST",route="/imports/upload",status="202"}' in metrics


async def test_the_document_needs_no_key(http: httpx.AsyncClient) -> None:
    del http.headers["Authorization"]
    document = (await http.get("/schema/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert {operation["operationId"] for operation in operations} == {
        "createTemplate", "listTemplates", "getTemplate", "replaceTemplate", "deleteTemplate", "copyTemplate",
        "uploadFile", "dryRun", "listRuns", "getRun", "executeRun", "cancelRun", "revertRun", "listRejected",
        "listImporters", "getImporter", "createImporter", "updateImporter", "deleteImporter", "createImport",
        "getImport", "getBranding", "updateBranding", "listRows",
        "getRejected", "correctRejected", "retryRejected", "discardRejected", "retryAllRejected",
        "previewFile", "previewRun", "getPreview", "listDeleted", "downloadRejected", "uploadCorrections",
        "correctAllRejected", "getBulkCorrection", "listTenants",
        "listRowporterTemplates", "createRowporterTemplate", "getRowporterTemplate", "updateRowporterTemplate",
        "duplicateRowporterTemplate", "deleteRowporterTemplate", "listRowporterImports",
        "createApiKey", "listApiKeys", "getApiKey", "rotateApiKey", "revokeApiKey", "receiveClerkEvent",
        "listResources", "listRecords", "getRecord", "exportRecords", "listRecordsOfRun", "followRun", "followImport",
        "changeWebhookEndpoint", "createWebhookEndpoint", "discardDeadLetter", "enableWebhookEndpoint",
        "getDeadLetter", "getWebhookDelivery", "getWebhookEndpoint", "listDeadLetters",
        "listWebhookDeliveries", "listWebhookEndpoints", "removeWebhookEndpoint", "replayDeadLetter",
        "replayWebhooks", "resendWebhook", "rotateWebhookSecret", "testWebhookEndpoint",
        "changeSource", "createProducer", "createSource", "getProducer", "getSource", "getStatus", "listProducers",
        "listSourceFiles", "listSources", "pauseSource", "removeSource", "resumeSource", "revokeProducer",
        "runSource", "testSource",
    }  # fmt: skip
