"""Batches on a real server: claimed, and moved once with what they tell."""

import asyncio
from typing import Any

import pytest

from libs.contracts.errors import PermanentError
from libs.contracts.ids import batch_id
from libs.contracts.states import BatchState
from libs.ledger import Ledger
from libs.storage.client import Mongo, Session
from libs.storage.documents import BatchResult
from tests.integration.ledger.runs import (
    collections,
    executing,
    move,
    parsed,
    states,
)

pytestmark = pytest.mark.servers


async def test_a_claim_counts_attempts_until_the_batch_moves(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [3])
    identifier = batch_id(run.id, run.epoch, 0)
    for attempts in (1, 2):
        claimed = await ledger.batches.claim(identifier, BatchState.PARSED)
        assert claimed is not None
        assert claimed.attempts == attempts
    batch = await ledger.batches.claim(identifier, BatchState.PARSED)
    assert batch is not None
    assert await move(mongo, ledger, batch, BatchState.VALIDATED, BatchResult(ok=3))
    assert await ledger.batches.claim(identifier, BatchState.PARSED) is None
    assert await ledger.batches.claim("no such batch", BatchState.PARSED) is None
    moved = await ledger.batches.claim(identifier, BatchState.VALIDATED)
    assert moved is not None
    assert (moved.attempts, moved.result) == (1, BatchResult(ok=3))


async def test_a_batch_moves_once_with_what_it_tells(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [3])
    batch = await ledger.batches.claim(batch_id(run.id, run.epoch, 0), BatchState.PARSED)
    assert batch is not None
    rows = (2).to_bytes(4, "little")
    told: dict[str, Any] = {"preview": [{"sku": "a"}], "skipped": {"UNCHANGED": rows, "DUPLICATE_UPSERT_KEY": b""}}
    assert await move(mongo, ledger, batch, BatchState.VALIDATED, BatchResult(ok=2, unchanged=1), **told)
    assert not await move(mongo, ledger, batch, BatchState.VALIDATED, BatchResult(ok=3))
    stored = await collections(ledger).batches.find_one({"_id": batch.id})
    assert stored is not None
    assert (stored["preview"], stored["skipped_rows"]) == ([{"sku": "a"}], {"UNCHANGED": rows})
    assert stored["result"] == BatchResult(ok=2, unchanged=1).model_dump()


async def test_a_batch_does_not_jump(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [3])
    batch = await ledger.batches.claim(batch_id(run.id, run.epoch, 0), BatchState.PARSED)
    assert batch is not None
    with pytest.raises(PermanentError, match="FORBIDDEN_TRANSITION"):
        await move(mongo, ledger, batch, BatchState.WRITTEN, BatchResult())
    assert await states(ledger, run) == {"parsed": 1}


async def test_of_many_effects_of_a_batch_one_commits(mongo: Mongo, ledger: Ledger) -> None:
    run = await executing(mongo, ledger, [3])
    batch = await ledger.batches.claim(batch_id(run.id, run.epoch, 0), BatchState.VALIDATED)
    assert batch is not None

    async def body(session: Session) -> bool:
        moved = await ledger.batches.move(session, batch, BatchState.WRITTEN, BatchResult(ok=3, created=3))
        if moved:
            await mongo.target["records"].insert_many([{"row": row} for row in range(3)], session=session)
        return moved

    answers = await asyncio.gather(*(mongo.transaction(body) for _ in range(4)))
    assert sorted(answers) == [False, False, False, True]
    assert await mongo.target["records"].count_documents({}) == 3


async def test_totals_add_the_ledger_up(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [5, 4, 3])
    results = [BatchResult(ok=4, rejected=1, warnings=2), BatchResult(ok=2, duplicate_keys=2)]
    for seq, result in enumerate(results):
        batch = await ledger.batches.claim(batch_id(run.id, run.epoch, seq), BatchState.PARSED)
        assert batch is not None
        assert await move(mongo, ledger, batch, BatchState.VALIDATED, result)
    totals = await ledger.totals(run.id)
    assert (totals.batches, totals.rows) == (3, 12)
    assert totals.states == {BatchState.VALIDATED: 2, BatchState.PARSED: 1}
    assert totals.result == BatchResult(ok=6, rejected=1, warnings=2, duplicate_keys=2)
    counts = totals.counts(12, rest="CANCELLED")
    assert (counts.written, counts.rejected, counts.skipped) == (0, 1, 11)
    assert counts.skip_reasons == {"DUPLICATE_UPSERT_KEY": 2, "CANCELLED": 9}
    assert await ledger.batches.sequence_numbers(run.id, BatchState.VALIDATED) == [(0, 0), (0, 1)]
    assert (await ledger.totals("no such run")).batches == 0
