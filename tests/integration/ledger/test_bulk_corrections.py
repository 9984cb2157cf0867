"""Bulk corrections: every row changed once, whoever dies, and nobody overwritten in silence."""

from collections import Counter
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from pymongo import MongoClient

from libs.contracts.rejections import RejectedRow, RejectedState, RowError
from libs.ledger import Ledger
from libs.ledger.run_requests import HeldRequest
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import BulkCorrectionDocument, RequestState, RunDocument
from libs.telemetry import failpoints
from services.gateway.records.cell_changes import decided
from tests.integration.ledger.runs import collections, executing

pytestmark = pytest.mark.servers
ROWS = 7
CHANGE = {"type": "replace", "old": "a", "new": "aa", "part": True}


@pytest.fixture
def ledger(mongo: Mongo) -> Ledger:
    return Ledger(mongo, "test")


@pytest.fixture(autouse=True)
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.ledger.bulk_corrections.ROWS_AT_A_TIME", 2)


async def rejecting_run(mongo: Mongo, ledger: Ledger) -> RunDocument:
    run = await executing(mongo, ledger, [])
    await ledger.maybe_advance(run.id)
    wrong = [RejectedRow(row, ["a", "b"], (RowError("sku", "sku", "TOO_SHORT", ""),)) for row in range(1, ROWS + 1)]
    other = RejectedRow(ROWS + 1, ["a", "b"], (RowError("name", "name", "TOO_SHORT", ""),))

    async def body(session: Session) -> None:
        await collections(ledger).rejected.insert(session, run.tenant_id, run.id, [*wrong, other])

    await mongo.transaction(body)
    return run


async def asked(ledger: Ledger, run: RunDocument, **changes: Any) -> BulkCorrectionDocument:  # noqa: ANN401
    wanted = {
        "code": "TOO_SHORT", "field": "sku", "at": 0, "change": CHANGE, "dry_run": False, "as_of": datetime.now(UTC),
        "requested_by": {"tenant_id": run.tenant_id, "subject": "key:test"}, **changes,
    }  # fmt: skip
    correction = await ledger.bulk_corrections.ask(run.id, run.tenant_id, wanted)
    assert correction is not None
    return correction


async def taken(ledger: Ledger, owner: str = "one") -> tuple[HeldRequest, BulkCorrectionDocument]:
    found = await ledger.bulk_corrections.take_next(owner, 30)
    assert found is not None
    return found


async def changed(ledger: Ledger, held: HeldRequest, correction: BulkCorrectionDocument) -> BulkCorrectionDocument:
    while await ledger.bulk_corrections.change_some(held, partial(decided, correction)):
        pass
    found = await ledger.bulk_corrections.get(held.run_id)
    assert found is not None
    return found


async def rows(mongo: Mongo, run: RunDocument) -> list[Document]:
    return await mongo.state["rejected_records"].find({"run_id": run.id}).sort("row").to_list()


async def test_each_row_is_changed_once_whoever_dies(
    mongo: Mongo, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await rejecting_run(mongo, ledger)
    await asked(ledger, run)
    for number, point in enumerate(
        ("gateway.bulk_changed_before_commit:raise:2", "gateway.bulk_changed_some:raise:2"), 1
    ):
        held, correction = await taken(ledger, f"owner-{number}")
        assert held.attempts == number
        with monkeypatch.context() as patch:
            patch.setattr(failpoints, "_points", failpoints._armed(point))
            patch.setattr(failpoints, "_passes", Counter[str]())
            with pytest.raises(Exception, match="failpoint"):
                await changed(ledger, held, correction)
        await ledger.bulk_corrections.give_back(held)
    held, correction = await taken(ledger)
    found = await changed(ledger, held, correction)
    assert (found.changed, found.unchanged, found.left, found.applied) == (ROWS, 0, {}, True)
    assert [(each["row"], each["before"], each["after"]) for each in found.examples] == [
        (row, "a", "aa") for row in (1, 2, 3)
    ]
    *mine, other = await rows(mongo, run)
    assert [(each["corrected"], each["state"], each["revision"], each["checked"]) for each in mine] == [
        ([[0, "aa"]], "corrected", 1, False)
    ] * ROWS
    assert other["state"] == "open"
    assert await ledger.bulk_corrections.finish(held)
    last = await ledger.bulk_corrections.get(run.id)
    assert last is not None
    assert last.state is RequestState.DONE
    assert await ledger.bulk_corrections.take_next("one", 30) is None


async def test_who_has_lost_it_changes_nothing_more(mongo: Mongo, ledger: Ledger) -> None:
    run = await rejecting_run(mongo, ledger)
    await asked(ledger, run)
    late, correction = await taken(ledger, "late")
    assert await ledger.bulk_corrections.change_some(late, partial(decided, correction))
    assert await ledger.bulk_corrections.take_next("two", 30) is None
    await mongo.state["bulk_corrections"].update_one({"_id": run.id}, {"$set": {"until": run.created_at}})
    held, correction = await taken(ledger, "two")
    assert not await ledger.bulk_corrections.change_some(late, partial(decided, correction))
    assert not await ledger.bulk_corrections.finish(late)
    assert (await changed(ledger, held, correction)).changed == ROWS
    assert {each["revision"] for each in (await rows(mongo, run))[:-1]} == {1}


async def test_rows_that_others_change_meanwhile_are_read_anew_or_left_alone(
    mongo: Mongo, ledger: Ledger, mongodb_uri: str
) -> None:
    run = await rejecting_run(mongo, ledger)
    await asked(ledger, run)
    held, correction = await taken(ledger)
    records = mongo.state["rejected_records"]
    interfered: list[int] = []

    def decide(some: Any) -> Any:  # noqa: ANN401
        """Between reading and writing, row 2 is corrected and row 4 claimed by a retry: once each."""
        numbers = {each.row for each in some}
        for row, changes in (
            (2, {"corrected": [[0, "mine"]], "checked": False, "corrected_at": datetime.now(UTC)}),
            (4, {"state": RejectedState.RETRYING.value}),
        ):
            if row in numbers and row not in interfered:
                interfered.append(row)
                with MongoClient[Document](mongodb_uri) as client:
                    others = client[mongo.state.name]["rejected_records"]
                    others.update_one({"run_id": run.id, "row": row}, {"$set": changes, "$inc": {"revision": 1}})
        return decided(correction, some)

    while await ledger.bulk_corrections.change_some(held, decide):
        pass
    assert interfered == [2, 4]
    found = await ledger.bulk_corrections.get(run.id)
    assert found is not None
    assert (found.changed, found.left) == (ROWS - 2, {"corrected_since": 1})
    by_row = {each["row"]: each async for each in records.find({"run_id": run.id})}
    assert (by_row[2]["corrected"], by_row[2].get("bulk")) == ([[0, "mine"]], None)
    assert (by_row[4]["state"], by_row[4].get("corrected")) == ("retrying", None)


async def test_a_dry_run_counts_and_changes_nothing(mongo: Mongo, ledger: Ledger) -> None:
    run = await rejecting_run(mongo, ledger)
    before = await rows(mongo, run)
    await asked(ledger, run, dry_run=True)
    assert not await ledger.bulk_corrections.under_way(run.id)
    held, correction = await taken(ledger)
    found = await changed(ledger, held, correction)
    assert (found.changed, len(found.examples), found.applied) == (ROWS, 3, True)
    assert await rows(mongo, run) == before


async def test_only_rows_of_completed_runs_are_changed(mongo: Mongo, ledger: Ledger) -> None:
    run = await rejecting_run(mongo, ledger)
    await asked(ledger, run)
    assert await ledger.bulk_corrections.under_way(run.id)
    held, correction = await taken(ledger)
    await mongo.state["runs"].update_one({"_id": run.id}, {"$set": {"status": "reverting"}})
    found = await changed(ledger, held, correction)
    assert (found.changed, found.applied) == (0, False)


async def test_what_a_check_has_found_is_noted_only_of_rows_as_it_has_seen_them(mongo: Mongo, ledger: Ledger) -> None:
    run = await rejecting_run(mongo, ledger)
    await asked(ledger, run)
    held, correction = await taken(ledger)
    await changed(ledger, held, correction)
    check = await executing(mongo, ledger, [])
    wrong = [RejectedRow(row, ["aa"], (RowError("sku", "sku", "TOO_LONG", ""),)) for row in (1, 2, 5)]

    async def body(session: Session) -> None:
        await collections(ledger).rejected.insert(session, run.tenant_id, check.id, wrong)

    await mongo.transaction(body)
    records = mongo.state["rejected_records"]
    await records.update_one({"run_id": run.id, "row": 2}, {"$set": {"bulk": None}})
    await records.update_one({"run_id": run.id, "row": 3}, {"$set": {"state": "retrying"}})
    assert not await ledger.bulk_corrections.note_some(held, "0" * 24), "there is no such check"
    while await ledger.bulk_corrections.note_some(held, check.id):
        pass
    by_row = {each["row"]: each async for each in records.find({"run_id": run.id})}
    assert {row: each["checked"] for row, each in by_row.items() if row <= ROWS} == {
        row: row not in {2, 3} for row in range(1, ROWS + 1)
    }
    assert {row: [error["code"] for error in by_row[row]["remaining"]] for row in (1, 4, 5, 6, 7)} == {
        1: ["TOO_LONG"], 4: [], 5: ["TOO_LONG"], 6: [], 7: []
    }  # fmt: skip
    found = await ledger.bulk_corrections.get(run.id)
    assert found is not None
    assert (found.checked, found.remaining) == (True, 2)


async def test_of_an_organization_one_is_worked_at_at_a_time(mongo: Mongo, ledger: Ledger) -> None:
    for _ in range(2):
        await asked(ledger, await rejecting_run(mongo, ledger))
    held, _ = await taken(ledger)
    assert await ledger.bulk_corrections.take_next("two", 30) is None
    await ledger.bulk_corrections.finish(held)
    await taken(ledger, "two")
