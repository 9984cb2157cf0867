"""A run that this release cannot read stops alone, says why, and keeps nobody else from being served."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.contracts.errors import UnreadableDocumentError
from libs.contracts.ids import batch_id
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger, Stage
from libs.storage.client import Document, Mongo
from libs.storage.documents import RunDocument
from tests.integration.ledger.runs import LEASE, OWNER, collections, current, events, parsed, states, submitted

pytestmark = pytest.mark.servers
QUIET = 10.0
CODE = "UNREADABLE_DOCUMENT"
NEWER_RULE: Document = {"template.fields.0.rules": [{"type": "palindrome", "secret": "cell"}]}


async def change(ledger: Ledger, run: RunDocument, **fields: Any) -> None:  # noqa: ANN401
    await collections(ledger).runs.update_one({"_id": run.id}, {"$set": fields})


async def stored(ledger: Ledger, run: RunDocument) -> Document:
    found = await collections(ledger).runs.find_one({"_id": run.id})
    assert found is not None
    return found


async def assert_failed(mongo: Mongo, ledger: Ledger, run: RunDocument) -> None:
    found = await stored(ledger, run)
    assert (found["status"], found["failure"]["code"]) == ("failed", CODE)
    assert "template.fields[0].rules[0]" in found["failure"]["message"]
    assert "cell" not in found["failure"]["message"]
    told = (await events(mongo, run))[-1]
    assert (told["status"], told["error_code"]) == ("failed", CODE)


async def silent(ledger: Ledger, *runs: RunDocument) -> None:
    """Let time pass, so that these runs are looked after; the first one first."""
    for seconds, run in enumerate(reversed(runs)):
        await change(ledger, run, updated_at=datetime.now(UTC) - timedelta(seconds=60 + seconds))


async def test_the_rescue_goes_on_with_the_next_run(mongo: Mongo, ledger: Ledger) -> None:
    broken, sound = await submitted(ledger), await submitted(ledger)
    await change(ledger, broken, **NEWER_RULE)
    await silent(ledger, broken, sound)
    found = [run.id async for run in ledger.rescue.silent_runs([RunStatus.PENDING, RunStatus.VALIDATING], QUIET)]
    assert found == [sound.id]
    await assert_failed(mongo, ledger, broken)


async def test_its_batches_are_closed_and_its_rows_counted(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [3, 2])
    batch = await ledger.batches.claim(batch_id(run.id, run.epoch, 0), BatchState.PARSED)
    assert batch is not None
    await collections(ledger).batches.update_many({"run_id": run.id}, {"$set": {"state": "validated"}})
    await change(ledger, run, **NEWER_RULE)
    assert await ledger.maybe_advance(run.id) is Stage.TERMINAL
    await assert_failed(mongo, ledger, run)
    assert await states(ledger, run) == {"failed": 2}
    counts = (await stored(ledger, run))["counts"]
    assert (counts["rows"], counts["skip_reasons"]) == (5, {CODE: 5})


async def test_who_reads_it_is_told_and_may_stop_it(mongo: Mongo, ledger: Ledger) -> None:
    run = await submitted(ledger)
    await change(ledger, run, **NEWER_RULE)
    with pytest.raises(UnreadableDocumentError) as told:
        await ledger.runs.get(run.id)
    with pytest.raises(UnreadableDocumentError):
        await ledger.parsing.begin(run.id, OWNER, LEASE)
    await ledger.stop(run.id, RunStatus.FAILED, told.value.code, told.value.detail)
    await assert_failed(mongo, ledger, run)


async def test_a_run_of_a_purpose_of_a_newer_release_is_left_to_that_release(ledger: Ledger) -> None:
    """Whether others hear of it and whether it may be executed only that release knows."""
    run, sound = await submitted(ledger), await submitted(ledger)
    await change(ledger, run, purpose="rehearsal")
    await silent(ledger, run, sound)
    found = [other.id async for other in ledger.rescue.silent_runs([RunStatus.PENDING], QUIET)]
    assert found == [sound.id]
    await ledger.stop(run.id, RunStatus.FAILED, CODE, "for a test")
    left = await stored(ledger, run)
    assert (left["status"], left["stop"]) == ("pending", None)


async def test_a_history_that_cannot_be_read_hides_no_other(ledger: Ledger) -> None:
    runs = [await parsed(ledger, [1], webhook_enabled=True, webhook_url="https://example.com") for _ in range(2)]
    for run in runs:
        await change(ledger, run, webhook_endpoint_id="endpoint")
    await change(ledger, runs[0], history=[{"version": 2, "status": "resting", "at": datetime.now(UTC)}])
    now = datetime.now(UTC)
    found = [event async for event in ledger.changes.events(now - timedelta(hours=1), now + timedelta(hours=1))]
    assert [(endpoint, event.run_id, event.status) for endpoint, event in found] == [
        ("endpoint", runs[1].id, RunStatus.VALIDATING)
    ]
    assert (await current(ledger, runs[1])).status is RunStatus.VALIDATING
