"""Runs over HTTP: list, show, execute, cancel, rejected rows."""

import asyncio
from datetime import UTC, datetime

import httpx
import pytest

from libs.contracts.events import RunCounts
from libs.contracts.ids import rejected_id
from libs.contracts.plan import ColumnMatch, ColumnReading, ParsePlan
from libs.contracts.states import RunStatus
from libs.contracts.templates import DateOrder, DecimalStyle
from libs.ledger import Ledger
from libs.storage.client import Mongo
from tests.integration.gateway.conftest import MAX_ERRORS, Organization
from tests.integration.gateway.steps import assert_error, create_template, eventually, submit, upload, validate


async def reject(mongo: Mongo, organization: Organization, run_id: str, row: int, *cells: str | None) -> None:
    await mongo.state["rejected_records"].insert_one(
        {
            "_id": rejected_id(run_id, row),
            "tenant_id": organization.id,
            "run_id": run_id,
            "row": row,
            "cells": list(cells),
            "errors": [{"field": "sku", "column": "sku", "code": "REQUIRED", "message": "is required", "value": None}],
            "state": "open",
            "created_at": datetime.now(UTC),
        }
    )
    await mongo.state["runs"].update_one({"_id": run_id}, {"$inc": {"counts.rejected": 1}})


async def test_execute_and_its_wrong_states(http: httpx.AsyncClient, ledger: Ledger) -> None:
    run_id = await submit(http)
    url = f"/imports/runs/{run_id}/execute"
    assert "pending" in assert_error(await http.post(url), 409, "WRONG_STATE")["detail"]
    await validate(ledger, run_id)
    asked = asyncio.create_task(http.post(url))

    async def executing() -> bool:
        run = await ledger.runs.get(run_id)
        return run is not None and run.status is RunStatus.EXECUTING

    await eventually(executing)
    assert "executing" in assert_error(await http.post(url), 409, "WRONG_STATE")["detail"]
    await ledger.maybe_advance(run_id)
    answer = await asked
    assert answer.status_code == 200
    run = answer.json()
    assert (run["status"], run["total_rows"], run["progress"], run["error"]) == ("completed", 0, None, None)
    assert run["completed_at"] == run["finished_at"]
    assert all(run[moment].endswith("Z") for moment in ("created_at", "validated_at", "executing_at", "completed_at"))
    for deed in ("execute", "cancel"):
        assert_error(await http.post(f"/imports/runs/{run_id}/{deed}"), 409, "WRONG_STATE")


async def completed(http: httpx.AsyncClient, ledger: Ledger) -> str:
    """Id of a run that has written its no rows."""
    run_id = await submit(http)
    await validate(ledger, run_id)
    run = await ledger.runs.get(run_id)
    assert run is not None
    assert await ledger.runs.request_execution(run) is not None
    await ledger.maybe_advance(run_id)
    return run_id


async def test_revert_and_its_wrong_states(http: httpx.AsyncClient, ledger: Ledger) -> None:
    pending = await submit(http)
    assert "pending" in assert_error(await http.post(f"/imports/runs/{pending}/revert"), 409, "WRONG_STATE")["detail"]
    run_id = await completed(http, ledger)
    url = f"/imports/runs/{run_id}"
    before = (await http.get(url)).json()
    assert (before["reverted"], before["revertible_until"] > before["created_at"]) == (None, True)
    answer = await http.post(f"{url}/revert")
    run = answer.json()
    assert (answer.status_code, run["status"], run["kept"], run["revertible_until"]) == (200, "reverted", [], None)
    assert run["reverted"] == dict.fromkeys(("removed_count", "restored_count", "returned_count", "kept_count"), 0)
    assert run["completed_at"] == before["completed_at"] < run["finished_at"]
    assert "reverted" in assert_error(await http.post(f"{url}/revert"), 409, "WRONG_STATE")["detail"]
    (listed,) = [each for each in (await http.get("/imports/runs")).json()["data"] if each["id"] == run_id]
    assert (listed["status"], listed["reverted"]) == ("reverted", run["reverted"])
    assert_error(await http.post(f"/imports/runs/{'0' * 24}/revert"), 404, "RUN_NOT_FOUND")


async def test_a_run_of_an_earlier_release_is_not_reverted(
    http: httpx.AsyncClient, ledger: Ledger, mongo: Mongo
) -> None:
    run_id = await completed(http, ledger)
    await mongo.state["runs"].update_one({"_id": run_id}, {"$unset": {"revertible_until": ""}})
    error = assert_error(await http.post(f"/imports/runs/{run_id}/revert"), 409, "NOT_REVERTIBLE")
    assert "30 days" in error["detail"]
    assert (await http.get(f"/imports/runs/{run_id}")).json()["status"] == "completed"


async def test_execute_answers_when_the_wait_is_over(http: httpx.AsyncClient, ledger: Ledger) -> None:
    run_id = await submit(http)
    await validate(ledger, run_id)
    answer = await http.post(f"/imports/runs/{run_id}/execute")
    assert (answer.status_code, answer.json()["status"]) == (202, "executing")
    assert answer.headers["location"] == f"/imports/runs/{run_id}"


@pytest.mark.parametrize("validated", [False, True])
async def test_cancel(http: httpx.AsyncClient, ledger: Ledger, validated: bool) -> None:
    run_id = await submit(http)
    if validated:
        await validate(ledger, run_id)
    answer = await http.post(f"/imports/runs/{run_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert answer.json()["error"] == {"code": "CANCELLED", "message": "cancelled by request"}
    for deed in ("execute", "cancel"):
        assert_error(await http.post(f"/imports/runs/{run_id}/{deed}"), 409, "WRONG_STATE")


async def test_of_cancel_and_execute_at_once_one_wins(http: httpx.AsyncClient, ledger: Ledger) -> None:
    for _ in range(10):
        run_id = await submit(http)
        await validate(ledger, run_id)
        executed, cancelled = await asyncio.gather(
            http.post(f"/imports/runs/{run_id}/execute"), http.post(f"/imports/runs/{run_id}/cancel")
        )
        # Nobody writes here, so a run that was executing when the cancel came is cancelled too.
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        assert executed.status_code in {200, 202, 409}


async def test_a_stop_that_nobody_finished_is_finished(acme: Organization, ledger: Ledger) -> None:
    run_id = await submit(acme.http)
    assert await ledger.stops.request(run_id, RunStatus.FAILED, "GONE_WRONG", "for a test")
    assert_error(await acme.http.post(f"/imports/runs/{run_id}/cancel"), 409, "WRONG_STATE")

    async def failed() -> bool:
        return (await acme.http.get(f"/imports/runs/{run_id}")).json()["status"] == "failed"

    await eventually(failed)


async def test_lists_filters_and_pages(http: httpx.AsyncClient, ledger: Ledger) -> None:
    template = await create_template(http)
    ids = [(await upload(http, template["id"])).json()["id"] for _ in range(3)]
    other = await submit(http)
    await validate(ledger, other)

    async def listed(**query: str | int) -> list[str]:
        seen: list[str] = []
        while True:
            page = (await http.get("/imports/runs", params=query)).json()
            seen += [run["id"] for run in page["data"]]
            if page["next_after"] is None:
                return seen
            query["after"] = page["next_after"]

    assert await listed() == sorted([*ids, other], reverse=True)
    assert await listed(limit=1) == sorted([*ids, other], reverse=True)
    assert await listed(status="validated") == [other]
    assert await listed(template_id=template["id"], limit=2) == sorted(ids, reverse=True)


async def test_a_list_shows_what_a_list_shows(http: httpx.AsyncClient, ledger: Ledger, acme: Organization) -> None:
    run_id = await submit(http, name="a list's", import_mode="upsert", upsert_key="sku")
    await validate(ledger, run_id)
    [listed] = (await http.get("/imports/runs")).json()["data"]
    shown = (await http.get(f"/imports/runs/{run_id}")).json()
    left_out = {"plan", "preview_rows", "errors", "progress", "deleted_ids", "kept", "sync"}
    left_out |= {"rejected_rows", "corrections"}
    assert set(shown) - set(listed) == left_out
    assert listed == {name: value for name, value in shown.items() if name not in left_out}
    assert (listed["template_name"], listed["import_mode"], listed["status"]) == ("a list's", "upsert", "validated")
    assert (shown["target_tenant_id"], shown["deleted_ids"]) == (acme.id, [])


async def test_a_list_does_not_read_what_it_does_not_show(acme: Organization, mongo: Mongo) -> None:
    run_id = await submit(acme.http)
    unreadable = {"plan": {"columns": 7}, "preview_rows": "no rows", "history": None, "template.fields": "no fields"}
    await mongo.state["runs"].update_one({"_id": run_id}, {"$set": unreadable})
    [listed] = (await acme.http.get("/imports/runs")).json()["data"]
    assert listed["id"] == run_id


async def test_rejected_rows(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    run_id = await submit(acme.http)
    await validate(ledger, run_id)
    await reject(mongo, acme, run_id, 2, None, "Anvil")
    await reject(mongo, acme, run_id, 3, "only")
    await reject(mongo, acme, run_id, 11, "one", "two", "too many")
    first = (await acme.http.get("/imports/rejected", params={"run_id": run_id, "limit": 2})).json()
    assert [record["row"] for record in first["data"]] == [2, 3]
    assert first["data"][0]["data"] == {"sku": None, "name": "Anvil"}
    assert first["data"][0]["errors"][0]["code"] == "REQUIRED"
    assert first["data"][1]["data"] == {"sku": "only", "name": None}
    rest = (await acme.http.get("/imports/rejected", params={"run_id": run_id, "after": first["next_after"]})).json()
    assert [record["row"] for record in rest["data"]] == [11]
    assert rest["data"][0]["cells"] == ["one", "two", "too many"]
    assert rest["next_after"] is None
    run = (await acme.http.get(f"/imports/runs/{run_id}")).json()
    assert [error["row"] for error in run["errors"]] == [2, 3, 11]
    assert_error(await acme.http.get("/imports/rejected"), 400, "INVALID_PARAMETER", "query.run_id")


async def test_a_run_lists_its_first_errors_only(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    run_id = await submit(acme.http)
    await validate(ledger, run_id)
    for row in range(1, MAX_ERRORS + 3):
        await reject(mongo, acme, run_id, row, None, "Anvil")
    twice = {"$push": {"errors": {"field": "name", "column": "name", "code": "TOO_LONG", "message": "is too long"}}}
    await mongo.state["rejected_records"].update_one({"_id": rejected_id(run_id, 2)}, twice)
    run = (await acme.http.get(f"/imports/runs/{run_id}")).json()
    assert [(error["row"], error["code"]) for error in run["errors"]] == [
        (1, "REQUIRED"), (2, "REQUIRED"), (2, "TOO_LONG"), (3, "REQUIRED"), (4, "REQUIRED"),
    ]  # fmt: skip
    assert run["errors"][0]["message"] == "is required"
    rejected = (await acme.http.get("/imports/rejected", params={"run_id": run_id})).json()
    assert len(rejected["data"]) == MAX_ERRORS + 2


async def test_errors_are_read_again_once_a_row_more_is_rejected(
    acme: Organization, mongo: Mongo, ledger: Ledger
) -> None:
    run_id = await submit(acme.http)
    await validate(ledger, run_id)

    async def errors() -> list[tuple[int, str]]:
        run = (await acme.http.get(f"/imports/runs/{run_id}")).json()
        return [(error["row"], error["message"]) for error in run["errors"]]

    assert await errors() == []
    await reject(mongo, acme, run_id, 7, None, "Anvil")
    assert await errors() == [(7, "is required")]
    # Nothing does that: it shows that a look which meets no further row reads none of them.
    await mongo.state["rejected_records"].update_one({"_id": rejected_id(run_id, 7)}, {"$set": {"errors": []}})
    assert await errors() == [(7, "is required")]
    await mongo.state["rejected_records"].delete_one({"_id": rejected_id(run_id, 7)})
    await reject(mongo, acme, run_id, 3, None, "Rocket")
    assert await errors() == [(3, "is required")]


async def test_how_a_file_is_read(http: httpx.AsyncClient, ledger: Ledger, mongo: Mongo) -> None:
    run_id = await submit(http)
    run = await ledger.parsing.begin(run_id, "test-parser", 30)
    assert run is not None
    plan = ParsePlan(
        file_type="excel",
        encoding="utf-8",
        skip_rows=2,
        options={"sheet": "März", "rows": 10},
        columns=("SKU ", "$where", "Bezeichnung", "Preis"),
        mapping={"sku": 0, "name": 2, "price": 3, "colour": None},
        matches={
            "sku": ColumnMatch(method="normalised", confidence=0.95),
            "name": ColumnMatch(method="fuzzy", confidence=0.81),
            "price": ColumnMatch(method="given", confidence=1),
        },
        unmatched=(1,),
        date_orders={"day": DateOrder.MDY},
        decimal_styles={"price": DecimalStyle.COMMA},
        columns_read={"name": ColumnReading(decimal_style=DecimalStyle.COMMA, currency="EUR", decided_by="values")},
        notes=("the dates of 'day' do not tell their order; taken as in the template",),
    )
    assert await ledger.parsing.freeze_plan(run, plan)
    example = {"text": "1.234,50 €", "value": 1234.5, "error": None}
    await mongo.state["runs"].update_one({"_id": run_id}, {"$set": {"examples": {"name": [example]}}})
    shown = (await http.get(f"/imports/runs/{run_id}")).json()["plan"]
    columns_read = shown.pop("columns_read")
    assert columns_read.keys() == {"sku", "name"}
    assert columns_read["name"] == {
        "column": "Bezeichnung", "type": "text", "decimal_style": "comma", "currency": "EUR", "percent": None,
        "date_format": None, "date_order": None, "two_digit_years": None, "words": [], "null_values": None,
        "decided_by": "values", "examples": [example],
    }  # fmt: skip
    assert shown == {
        "file_type": "excel",
        "encoding": "utf-8",
        "delimiter": None,
        "sheet": "März",
        "has_header": True,
        "columns": ["SKU ", "$where", "Bezeichnung", "Preis"],
        "mapping": {"sku": "SKU ", "name": "Bezeichnung", "price": "Preis", "colour": None},
        "matches": {
            "sku": {"column": "SKU ", "method": "normalised", "confidence": 0.95},
            "name": {"column": "Bezeichnung", "method": "fuzzy", "confidence": 0.81},
            "price": {"column": "Preis", "method": "given", "confidence": 1.0},
        },
        "unmatched": ["$where"],
        "date_orders": {"day": "mdy"},
        "decimal_styles": {"price": "comma"},
        "notes": ["the dates of 'day' do not tell their order; taken as in the template"],
    }


async def test_counts(acme: Organization, mongo: Mongo) -> None:
    run_id = await submit(acme.http)
    counts = RunCounts(
        rows=10, written=5, created=3, updated=2, rejected=1, skipped=4, warnings=1,
        skip_reasons={"UNCHANGED": 3, "DUPLICATE_UPSERT_KEY": 1},
    )  # fmt: skip
    await mongo.state["runs"].update_one({"_id": run_id}, {"$set": {"counts": counts.model_dump()}})
    run = (await acme.http.get(f"/imports/runs/{run_id}")).json()
    shown = {key: value for key, value in run.items() if key.endswith(("_count", "_rows", "skipped"))}
    assert shown == {
        "total_rows": 10, "valid_rows": 8, "written_count": 5, "created_count": 3, "updated_count": 2,
        "deleted_count": 0, "unchanged_count": 3, "rejected_count": 1, "error_count": 1, "skipped_count": 4,
        "warning_count": 1, "skipped": {"UNCHANGED": 3, "DUPLICATE_UPSERT_KEY": 1},
        "preview_rows": [], "rejected_rows": None,
    }  # fmt: skip
