"""The rows of a retry: rejected rows of its parent, with their corrections, as the batches that a file would give."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

import pyarrow as pa

from libs.batches.claimed_rows import ClaimedRows
from libs.batches.columns import ROW, ROW_TYPE, TEXT, cell_column
from libs.contracts.plan import ParsePlan, RowIssue
from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.documents import RejectedRecord, RunDocument
from services.parser.formats.api.batches import ParsedBatch


async def claimed_batches(
    mongo: Mongo, ledger: Ledger, run: RunDocument, plan: ParsePlan, lease_seconds: float
) -> AsyncGenerator[list[ParsedBatch]]:
    """The batches of a retry, or of the check of one row; none where the parse is no longer the caller's."""
    assert run.parent_run_id is not None
    rows = ClaimedRows(mongo, run.tenant_id, run.parent_run_id)
    if run.purpose.traits.executed:
        if await ledger.retries.claim_rows(run, lease_seconds):
            async with aclosing(_cut(rows.of_retry(run.id), plan)) as batches:
                async for batch in batches:
                    yield [batch]
    elif run.retry is not None and run.retry.row is not None:
        record = await rows.one(run.retry.row)
        if record is not None:
            yield [await asyncio.to_thread(retried_batch, 0, [record], plan.columns)]


async def _cut(records: AsyncIterator[RejectedRecord], plan: ParsePlan) -> AsyncGenerator[ParsedBatch]:
    """Batches of at most so many rows and bytes as the plan says, with one row at least."""
    some: list[RejectedRecord] = []
    size = seq = 0
    async for record in records:
        more = sum(len(cell.encode()) for cell in _corrected(record, len(plan.columns)) if cell is not None)
        if some and (len(some) == plan.batch_rows or size + more > plan.batch_bytes):
            yield await asyncio.to_thread(retried_batch, seq, some, plan.columns)
            some, size, seq = [], 0, seq + 1
        some.append(record)
        size += more
    if some:
        yield await asyncio.to_thread(retried_batch, seq, some, plan.columns)


def retried_batch(seq: int, records: Sequence[RejectedRecord], columns: Sequence[str]) -> ParsedBatch:
    """A batch of rejected rows with their corrections.

    A row that the parser could not read is the same again unless all of its cells are corrected: what is stored of it
    may be a part of it only.

    Args:
        seq: number of the batch.
        records: the rows, ascending.
        columns: headers of the file, in its order.
    """
    issues = tuple(_issue(record, columns) for record in records if _unreadable(record, len(columns)))
    unreadable = {issue.row for issue in issues}
    read = [record for record in records if record.row not in unreadable]
    cells = [_corrected(record, len(columns)) for record in read]
    table = pa.table(
        {
            ROW: pa.array([record.row for record in read], ROW_TYPE),
            **{cell_column(at): pa.array([row[at] for row in cells], TEXT) for at in range(len(columns))},
        }
    )
    return ParsedBatch(seq, records[0].row, records[-1].row, table, issues)


def _unreadable(record: RejectedRecord, columns: int) -> bool:
    return record.needs_every_cell and len(record.corrected or ()) < columns


def _corrected(record: RejectedRecord, columns: int) -> list[str | None]:
    cells = record.cells[:columns] + [None] * (columns - len(record.cells))
    for at, text in record.corrected or ():
        cells[at] = text
    return cells


def _issue(record: RejectedRecord, columns: Sequence[str]) -> RowIssue:
    error = record.errors[0]
    at = columns.index(error.column) if error.column in columns else None
    return RowIssue(
        row=record.row,
        code=error.code,
        message=error.message,
        cells=tuple(cell or "" for cell in record.cells),
        column=at,
    )
