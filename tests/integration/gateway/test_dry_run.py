"""Dry runs over HTTP: the verdict of a run, and nothing left behind, however they end."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId
from litestar import Litestar
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from libs.contracts.ids import batch_id, rejected_id
from libs.contracts.plan import ParsePlan
from libs.contracts.purposes import RunPurpose
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger, ParseEnd
from libs.process.shares import Shares
from libs.storage.client import Mongo, MongoSettings, Session, connect
from libs.storage.documents import BatchResult, RunDocument
from services.gateway.access.principal import Principal
from services.gateway.runs.dry_runs import GRACE_SECONDS, DryRunResult, DryRuns
from tests.integration.gateway.conftest import DRY_RUN_SECONDS, MAX_DRY_RUN_BYTES, MAX_ERRORS, Organization
from tests.integration.gateway.steps import CSV, assert_error, create_template, eventually, template_body, upload
from tests.integration.gateway.test_uploads import END, FORM, XLSX, part
from tests.integration.ledger.runs import new_batch, new_run

PARSER = "test-parser"
PLAN = ParsePlan(columns=("sku", "name"), mapping={"sku": 0, "name": 1})
REQUIRED = {"field": "sku", "column": "sku", "code": "REQUIRED", "message": "is required", "value": None}


async def dry_run(
    http: httpx.AsyncClient, template: Mapping[str, Any], content: bytes = CSV, **parts: str
) -> httpx.Response:
    """Try ``content`` with a saved template."""
    return await http.post(
        "/imports/dry-run", data={"template_id": template["id"], **parts}, files={"file": ("p.csv", content)}
    )


async def submitted(mongo: Mongo, organization: Organization) -> RunDocument:
    """The dry run that the gateway is waiting for."""
    found: list[Any] = []

    async def there() -> bool:
        query = {"tenant_id": organization.id, "dry_run": True}
        found.extend([await mongo.state["runs"].find_one(query)])
        return found[-1] is not None

    await eventually(there)
    return RunDocument.model_validate(found[-1])


async def parse(ledger: Ledger, run_id: str, rows: int) -> RunDocument:
    """What the parser does with a file of ``rows`` rows, which make one batch."""
    run = await ledger.parsing.begin(run_id, PARSER, 30)
    assert run is not None
    assert await ledger.parsing.freeze_plan(run, PLAN)
    assert await ledger.parsing.add_batches(run, [new_batch(run, 0, rows)], 30)
    assert await ledger.parsing.close(run, ParseEnd(1, rows, "digest"))
    return run


async def check(mongo: Mongo, ledger: Ledger, run: RunDocument, rejected: int) -> None:
    """What the validator does with that batch: its last ``rejected`` rows are no good."""
    batch = await ledger.batches.claim(batch_id(run.id, run.epoch, 0), BatchState.PARSED)
    assert batch is not None
    good = batch.rows - rejected

    async def body(session: Session) -> None:
        result = BatchResult(ok=good, rejected=rejected, warnings=1)
        assert await ledger.batches.move(session, batch, BatchState.VALIDATED, result, preview=[{"sku": "A1"}])
        for row in range(good + 1, batch.rows + 1):
            record = {"_id": rejected_id(run.id, row), "tenant_id": run.tenant_id, "run_id": run.id, "row": row}
            more = {"cells": [None, "x"], "errors": [REQUIRED], "state": "open", "created_at": datetime.now(UTC)}
            await mongo.state["rejected_records"].insert_one({**record, **more}, session=session)

    await mongo.transaction(body)
    await ledger.maybe_advance(run.id)


RESOURCE = "only_tried"
"""A collection of these tests' own, which none of them may make."""


async def assert_no_trace(mongo: Mongo, organization: Organization, run_id: str) -> None:
    """Nothing in any of Rowdock's collections, nor in the target, comes from the dry run."""
    for name in await mongo.state.list_collection_names():
        collection = mongo.state[name]
        ids: list[Any] = [run_id, ObjectId(run_id)]
        named = [{field: {"$in": ids}} for field in ("_id", "run_id", "key", "files_id", "import_id")]
        assert await collection.count_documents({"$or": named}) == 0, name
        assert await collection.count_documents({"_id": {"$regex": f"^{run_id}"}}) == 0, name
    assert await mongo.state["outbox"].count_documents({"value": {"$regex": run_id}}) == 0
    assert await mongo.state["runs"].count_documents({"tenant_id": organization.id}) == 0
    assert await mongo.state["files.files"].count_documents({"metadata.tenant_id": organization.id}) == 0
    assert await mongo.target.list_collection_names(filter={"name": RESOURCE}) == []


async def test_the_answer_is_what_a_run_would_say_without_its_ids(
    acme: Organization, mongo: Mongo, ledger: Ledger
) -> None:
    template = await create_template(
        acme.http, target_resource=RESOURCE, auto_execute=True, webhook_url="https://example.com/hook"
    )
    asked = asyncio.create_task(dry_run(acme.http, template))
    run = await submitted(mongo, acme)
    assert run.webhook_endpoint_id is None
    await check(mongo, ledger, await parse(ledger, run.id, 10), rejected=7)
    answer = await asked
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [error["row"] for error in found.pop("errors")] == [4, 5, 6, 7, 8][:MAX_ERRORS]
    assert found.pop("plan")["mapping"] == {"sku": "sku", "name": "name"}
    assert found == {
        "status": "validated", "error": None, "total_rows": 10, "valid_rows": 3, "rejected_count": 7,
        "skipped_count": 0, "skipped": {}, "warning_count": 1, "preview_rows": [{"sku": "A1"}],
    }  # fmt: skip
    await assert_no_trace(mongo, acme, run.id)


async def test_block_gives_the_verdict_that_the_run_would_get(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    template = await create_template(acme.http, target_resource=RESOURCE, invalid_rows="block")
    asked = asyncio.create_task(dry_run(acme.http, template))
    run = await submitted(mongo, acme)
    await check(mongo, ledger, await parse(ledger, run.id, 3), rejected=1)
    answer = await asked
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["status"], found["error"]["code"]) == ("failed", "INVALID_ROWS")
    assert (found["total_rows"], found["valid_rows"], found["rejected_count"]) == (3, 0, 1)
    assert [error["row"] for error in found["errors"]] == [3]
    await assert_no_trace(mongo, acme, run.id)


async def test_a_file_that_cannot_be_read_is_an_answer_too(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    asked = asyncio.create_task(dry_run(acme.http, await create_template(acme.http, target_resource=RESOURCE)))
    run = await submitted(mongo, acme)
    assert await ledger.parsing.begin(run.id, PARSER, 30) is not None
    await ledger.stop(run.id, RunStatus.FAILED, "MISSING_COLUMNS", "there is no column 'sku'")
    answer = await asked
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")
    assert answer.json()["error"] == {"code": "MISSING_COLUMNS", "message": "there is no column 'sku'"}
    assert (answer.json()["plan"], answer.json()["total_rows"]) == (None, 0)
    await assert_no_trace(mongo, acme, run.id)


async def test_a_template_need_not_be_saved(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    body = json.dumps(template_body(name="draft", target_resource=RESOURCE, import_mode="upsert", upsert_key="sku"))
    form = {"template": body, "mapping": '{"name": "name", "sku": "sku"}'}
    asked = asyncio.create_task(acme.http.post("/imports/dry-run", data=form, files={"file": ("p.csv", CSV)}))
    run = await submitted(mongo, acme)
    assert (run.template.name, run.column_mapping) == ("draft", [("name", "name"), ("sku", "sku")])
    parsed = await parse(ledger, run.id, 3)
    await check(mongo, ledger, parsed, rejected=0)
    assert (await asked).json()["valid_rows"] == 3
    await assert_no_trace(mongo, acme, run.id)
    assert (await acme.http.get("/imports/templates")).json()["data"] == []


async def test_while_it_is_checked_it_is_nowhere_to_be_seen(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    http, template = acme.http, await create_template(acme.http, target_resource=RESOURCE)
    asked = asyncio.create_task(dry_run(http, template))
    run = await submitted(mongo, acme)
    parsed = await parse(ledger, run.id, 3)
    for method, path in (
        ("GET", f"/imports/runs/{run.id}"),
        ("POST", f"/imports/runs/{run.id}/execute"),
        ("POST", f"/imports/runs/{run.id}/cancel"),
        ("GET", f"/imports/rejected?run_id={run.id}"),
    ):
        assert_error(await http.request(method, path), 404, "RUN_NOT_FOUND")
    for query in ("", "?status=validating", f"?template_id={template['id']}"):
        assert (await http.get(f"/imports/runs{query}")).json()["data"] == []
    assert (await upload(http, template["id"])).json()["duplicate_of"] is None
    await check(mongo, ledger, parsed, rejected=0)
    assert (await asked).json()["status"] == "validated", "the cancel has not reached it"


@pytest.mark.parametrize("begun", [False, True], ids=["nobody parses", "checked too slowly"])
async def test_one_that_takes_too_long_is_given_up(
    acme: Organization, mongo: Mongo, ledger: Ledger, begun: bool
) -> None:
    asked = asyncio.create_task(dry_run(acme.http, await create_template(acme.http, target_resource=RESOURCE)))
    run = await submitted(mongo, acme)
    if begun:
        await parse(ledger, run.id, 3)
    answer = await asked
    assert "smaller sample" in assert_error(answer, 504, "DRY_RUN_TOO_LONG")["detail"]
    assert f"{DRY_RUN_SECONDS:g} seconds" in answer.json()["detail"]
    await assert_no_trace(mongo, acme, run.id)
    assert await ledger.parsing.begin(run.id, PARSER, 30) is None
    assert await ledger.batches.claim(batch_id(run.id, 0, 0), BatchState.PARSED) is None


async def test_a_request_that_is_broken_off_leaves_nothing(acme: Organization, mongo: Mongo) -> None:
    asked = asyncio.create_task(dry_run(acme.http, await create_template(acme.http, target_resource=RESOURCE)))
    run = await submitted(mongo, acme)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)

    async def gone() -> bool:
        return await mongo.state["runs"].count_documents({"_id": run.id}) == 0

    await eventually(gone)
    await assert_no_trace(mongo, acme, run.id)


class AtSubmission(CommandListener):
    """Does something the moment that a run is on its way to the database."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do = do

    def started(self, event: CommandStartedEvent) -> None:
        if event.command.get("insert") == "runs":
            self._do()

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


async def test_one_that_is_broken_off_while_it_is_submitted_leaves_nothing(
    mongo: Mongo, mongo_settings: MongoSettings
) -> None:
    tried: list[asyncio.Task[DryRunResult]] = []

    def break_off() -> None:
        tried[0].cancel()

    own = await connect(mongo_settings, [AtSubmission(break_off)])
    run = new_run(target_resource=RESOURCE).model_copy(update={"purpose": RunPurpose.DRY_RUN})
    dry_runs = DryRuns(Ledger(own, "test"), DRY_RUN_SECONDS, MAX_ERRORS, Shares(1))
    tried.append(asyncio.create_task(dry_runs.result(Principal(run.tenant_id, "key:test", "key"), run)))
    with pytest.raises(asyncio.CancelledError):
        await tried[0]
    await own.client.close()
    assert await mongo.state["runs"].count_documents({"_id": run.id}) == 0


async def test_what_a_killed_gateway_left_is_swept(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    uploaded = (await upload(acme.http, (await create_template(acme.http, target_resource=RESOURCE))["id"])).json()
    without_purpose = {"$set": {"dry_run": True}, "$unset": {"purpose": ""}}
    await mongo.state["runs"].update_one({"_id": uploaded["id"]}, without_purpose)
    await check(mongo, ledger, await parse(ledger, uploaded["id"], 3), rejected=1)
    run = await ledger.runs.get(uploaded["id"])
    assert run is not None, "it is not old enough"
    old = datetime.now(UTC) - timedelta(seconds=DRY_RUN_SECONDS + GRACE_SECONDS + 1)
    await mongo.state["runs"].update_one({"_id": run.id}, {"$set": {"created_at": old}})

    async def gone() -> bool:
        return await mongo.state["runs"].count_documents({"_id": run.id}) == 0

    await eventually(gone)
    await assert_no_trace(mongo, acme, run.id)


@pytest.mark.parametrize(
    ("form", "status", "code", "locations"),
    [
        (END, 422, "INVALID_REQUEST", ["body.template_id", "body.file"]),
        (part("file", CSV, "x.csv") + END, 422, "INVALID_REQUEST", ["body.template_id"]),
        (part("template_id", b"%s") + END, 422, "INVALID_REQUEST", ["body.file"]),
        (part("template_id", b"%s") + part("template", b"{}") + END, 422, "INVALID_REQUEST", ["body.template"]),
        (part("template", b"%t") + part("template_id", b"%s") + END, 422, "INVALID_REQUEST", ["body.template_id"]),
        (part("template", b"{'name'}") + END, 422, "INVALID_REQUEST", ["body.template"]),
        (part("template", b"[" * 100_000) + END, 422, "INVALID_REQUEST", ["body.template"]),
        (part("template", b" " * 1_048_577) + END, 422, "INVALID_REQUEST", ["body.template"]),
        (part("template", b"[]") + END, 422, "INVALID_TEMPLATE", ["body.template"]),
        (part("template", b"%u") + END, 422, "INVALID_TEMPLATE", ["body.template.colour"]),
        (part("template", b"%t") + part("mapping", b'{"a": "b"}') + END, 422, "INVALID_REQUEST", ["body.mapping['a']"]),
        (part("file", XLSX, "x.csv") + part("template", b"%t") + END, 415, "UNSUPPORTED_FILE", ["body.file"]),
        (part("template", b"%t") + part("file", XLSX, "x.csv") + END, 415, "UNSUPPORTED_FILE", ["body.file"]),
        (part("template_id", b"nope") + part("file", CSV, "x") + END, 404, "TEMPLATE_NOT_FOUND", []),
        (
            part("template", b"%t") + part("file", b"x\n" * (MAX_DRY_RUN_BYTES // 2 + 1), "x.csv") + END,
            413, "FILE_TOO_LARGE", ["body.file"],
        ),
        (part("template", b"%t") + part("file", CSV, "x.csv"), 400, "MALFORMED_FORM", []),
    ],
)  # fmt: skip
async def test_forms_that_cannot_be_used_leave_nothing_behind(
    acme: Organization, mongo: Mongo, form: bytes, status: int, code: str, locations: list[str]
) -> None:
    template = await create_template(acme.http, target_resource=RESOURCE)
    content = form.replace(b"%s", template["id"].encode())
    content = content.replace(b"%t", json.dumps(template_body()).encode())
    content = content.replace(b"%u", json.dumps(template_body(colour=1)).encode())
    answer = await acme.http.post("/imports/dry-run", content=content, headers=FORM)
    assert_error(answer, status, code, *locations)
    assert await mongo.state["runs"].count_documents({"tenant_id": acme.id}) == 0
    assert await mongo.state["files.files"].count_documents({"metadata.tenant_id": acme.id}) == 0


async def test_too_large_by_its_own_account(acme: Organization) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    headers = {**FORM, "Content-Length": str(MAX_DRY_RUN_BYTES + 2_000_000)}
    answer = await acme.http.post("/imports/dry-run", content=never(), headers=headers)
    assert_error(answer, 413, "FILE_TOO_LARGE", "body.file")


async def test_another_organizations_template_is_none(
    new_organization: Callable[[], Awaitable[Organization]], app: Litestar
) -> None:
    del app
    owner, stranger = await new_organization(), await new_organization()
    template = await create_template(owner.http)
    assert_error(await dry_run(stranger.http, template), 404, "TEMPLATE_NOT_FOUND")
