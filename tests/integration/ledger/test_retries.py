"""Retries: claimed, settled and given back, as often as it takes."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from bson import ObjectId

from libs.batches.tables import pack_rows
from libs.contracts.purposes import RunPurpose
from libs.contracts.rejections import RejectedRow, RejectedState, RowError
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger, Submission
from libs.storage.client import Mongo, Session
from libs.storage.documents import RejectedRecord, RetryRequest, RunDocument, StoredFile
from libs.telemetry import failpoints
from tests.integration.ledger.runs import LEASE, OWNER, collections, current, executing, new_run

pytestmark = pytest.mark.servers
ROWS = (2, 3, 5, 8, 9)


@pytest.fixture
def ledger(mongo: Mongo) -> Ledger:
    return Ledger(mongo, "test")


async def parent_with_rejected_rows(mongo: Mongo, ledger: Ledger) -> RunDocument:
    run = await executing(mongo, ledger, [])
    await ledger.maybe_advance(run.id)
    error = RowError("sku", "sku", "REQUIRED", "is empty")
    rows = [RejectedRow(row, [None], (error,)) for row in ROWS]

    async def body(session: Session) -> None:
        await collections(ledger).rejected.insert(session, run.tenant_id, run.id, rows)

    await mongo.transaction(body)
    assert (await current(ledger, run)).status is RunStatus.COMPLETED
    return run


async def retry(ledger: Ledger, parent: RunDocument, request: RetryRequest) -> tuple[RunDocument, Submission]:
    identifier = str(ObjectId())
    run = new_run().model_copy(
        update={
            "id": identifier,
            "file": StoredFile(id=identifier, name="rows.csv", size=0, sha256=""),
            "purpose": RunPurpose.RETRY,
            "parent_run_id": parent.id,
            "retry": request,
            "unsettled": True,
        }
    )
    return run, await ledger.retries.submit(run)


async def states(ledger: Ledger, parent: RunDocument) -> dict[int, str]:
    rows = collections(ledger).mongo.state["rejected_records"].find({"run_id": parent.id})
    return {each["row"]: each["state"] async for each in rows}


async def errors(ledger: Ledger, parent: RunDocument) -> dict[int, list[str]]:
    rows = collections(ledger).mongo.state["rejected_records"].find({"run_id": parent.id})
    found = [RejectedRecord.read(each) async for each in rows]
    return {each.row: [error.code for error in each.current_errors] for each in found}


async def ended(mongo: Mongo, ledger: Ledger, run: RunDocument, status: RunStatus) -> None:
    """As if the services had ended a retry of ``ROWS``: row 3 rejected again, row 8 skipped, row 9 in a batch of its
    own that was not written where the retry has not completed."""
    now = datetime.now(UTC)
    last = BatchState.WRITTEN if status is RunStatus.COMPLETED else BatchState.FAILED
    for seq, (row_from, row_to, state) in enumerate(((2, 8, BatchState.WRITTEN), (9, 9, last))):
        await collections(ledger).batches.insert_one(
            {
                "_id": f"{run.id}:0:{seq:08d}", "tenant_id": run.tenant_id, "run_id": run.id, "seq": seq,
                "row_from": row_from, "row_to": row_to, "state": state.value, "updated_at": now,
                "skipped_rows": {"UNCHANGED": pack_rows([8])} if seq == 0 else {},
            }
        )  # fmt: skip
    again = RejectedRow(3, [None], (RowError("sku", "sku", "TOO_LONG", "is too long"),))

    async def body(session: Session) -> None:
        await collections(ledger).rejected.insert(session, run.tenant_id, run.id, [again])

    await mongo.transaction(body)
    await collections(ledger).runs.update_one({"_id": run.id}, {"$set": {"status": status.value}})


async def claimed_by_a_parser(ledger: Ledger, run: RunDocument) -> RunDocument:
    begun = await ledger.parsing.begin(run.id, OWNER, LEASE)
    assert begun is not None
    assert await ledger.retries.claim_rows(begun, LEASE)
    return begun


async def test_a_run_has_one_retry_at_a_time_and_a_row_belongs_to_it(mongo: Mongo, ledger: Ledger) -> None:
    parent = await parent_with_rejected_rows(mongo, ledger)
    one, submitted = await retry(ledger, parent, RetryRequest(rows="row", row=3))
    assert submitted is Submission.SUBMITTED
    assert await states(ledger, parent) == {2: "open", 3: "retrying", 5: "open", 8: "open", 9: "open"}
    _, refused = await retry(ledger, parent, RetryRequest(rows="row", row=5))
    assert refused is Submission.PARENT_NOT_FREE
    assert not await ledger.retries.settle(one.id)
    await ledger.stop(one.id, RunStatus.CANCELLED, "CANCELLED", "by request")
    assert await ledger.retries.settle(one.id)
    assert Counter((await states(ledger, parent)).values()) == {"open": 5}
    discarded = {"$set": {"state": RejectedState.DISCARDED.value}}
    await mongo.state["rejected_records"].update_one({"run_id": parent.id, "row": 5}, discarded)
    _, refused = await retry(ledger, parent, RetryRequest(rows="row", row=5))
    assert refused is Submission.ROW_NOT_FREE
    assert (await current(ledger, parent)).retry_at_work is None


async def test_a_parser_claims_once_and_nothing_after_a_stop(
    mongo: Mongo, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.ledger.retries.ROWS_AT_A_TIME", 2)
    parent = await parent_with_rejected_rows(mongo, ledger)
    mine = {"run_id": parent.id, "row": {"$in": [2, 3, 9]}}
    await mongo.state["rejected_records"].update_many(mine, {"$set": {"state": "corrected"}})
    run, _ = await retry(ledger, parent, RetryRequest(rows="corrected"))
    begun = await claimed_by_a_parser(ledger, run)
    expected = {2: "retrying", 3: "retrying", 5: "open", 8: "open", 9: "retrying"}
    assert await states(ledger, parent) == expected
    # What is corrected from now on is not in it, also where another parser goes on.
    await mongo.state["rejected_records"].update_one({"run_id": parent.id, "row": 5}, {"$set": {"state": "corrected"}})
    assert await ledger.retries.claim_rows(await current(ledger, begun), LEASE)
    assert (await states(ledger, parent))[5] == "corrected"
    await ledger.stop(run.id, RunStatus.CANCELLED, "CANCELLED", "by request")
    await ledger.retries.settle(run.id)
    assert not await ledger.retries.claim_rows(begun, LEASE)
    assert await states(ledger, parent) == {row: "open" if row == 8 else "corrected" for row in ROWS}


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.FAILED])
async def test_what_became_of_every_row_is_told_whatever_dies(
    mongo: Mongo, ledger: Ledger, status: RunStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = await parent_with_rejected_rows(mongo, ledger)
    run, _ = await retry(ledger, parent, RetryRequest(rows="all"))
    await claimed_by_a_parser(ledger, run)
    await ended(mongo, ledger, run, status)
    for point in (
        "ledger.retry_settled_some:raise:1",
        "ledger.retry_settled_some:raise:2",
        "ledger.retry_settled_before_noted:raise",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(failpoints, "_points", failpoints._armed(point))
            patch.setattr(failpoints, "_passes", Counter[str]())
            with pytest.raises(Exception, match="failpoint"):
                await ledger.retries.settle(run.id)
        assert run.id in await ledger.retries.unsettled(1_000)
        assert (await current(ledger, parent)).retry_at_work == run.id
    assert await ledger.retries.settle(run.id)
    last = "written" if status is RunStatus.COMPLETED else "open"
    expected = {2: "written", 3: "open", 5: "written", 8: "skipped", 9: last}
    assert await states(ledger, parent) == expected
    again = await mongo.state["rejected_records"].find_one({"run_id": parent.id, "row": 3})
    assert again is not None
    assert [error["code"] for error in again["remaining"]] == ["TOO_LONG"]
    assert [error["code"] for error in again["errors"]] == ["REQUIRED"]
    assert (await current(ledger, parent)).retry_at_work is None
    assert run.id not in await ledger.retries.unsettled(1_000)
    # A second settling of it, by whoever was late, does not touch what another retry has claimed since.
    other, submitted = await retry(ledger, parent, RetryRequest(rows="row", row=3))
    assert submitted is Submission.SUBMITTED
    await collections(ledger).runs.update_one({"_id": run.id}, {"$set": {"unsettled": True}})
    await ledger.retries.settle(run.id)
    assert await states(ledger, parent) == {**expected, 3: "retrying"}
    assert (await current(ledger, parent)).retry_at_work == other.id


async def test_a_reverted_retry_gives_its_rows_back_but_for_what_it_has_kept(mongo: Mongo, ledger: Ledger) -> None:
    parent = await parent_with_rejected_rows(mongo, ledger)
    remaining = [{"field": "sku", "column": "sku", "code": "TOO_SHORT", "message": "is too short", "value": None}]
    await mongo.state["rejected_records"].update_one(
        {"run_id": parent.id, "row": 8}, {"$set": {"remaining": remaining, "checked": True}}
    )
    run, _ = await retry(ledger, parent, RetryRequest(rows="all"))
    await claimed_by_a_parser(ledger, run)
    await ended(mongo, ledger, run, RunStatus.COMPLETED)
    await ledger.retries.settle(run.id)
    assert await errors(ledger, parent) == {2: [], 3: ["TOO_LONG"], 5: [], 8: [], 9: []}
    kept = {"_id": f"{run.id}:x", "run_id": run.id, "row": 5, "kept": {"reason": "CHANGED", "fields": []}}
    await mongo.state["undo"].insert_one(kept)
    reverted = {"$set": {"status": RunStatus.REVERTED.value, "unsettled": True}}
    await collections(ledger).runs.update_one({"_id": run.id}, reverted)
    await ledger.retries.settle(run.id)
    assert await states(ledger, parent) == {2: "open", 3: "open", 5: "written", 8: "open", 9: "open"}
    # What was wrong with them is told again.
    assert await errors(ledger, parent) == {2: ["REQUIRED"], 3: ["TOO_LONG"], 5: [], 8: ["TOO_SHORT"], 9: ["REQUIRED"]}
