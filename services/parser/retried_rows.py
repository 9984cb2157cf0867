"""The rows of a retry: rejected rows of its parent, with their corrections, as the batches that a file would give."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

import pyarrow as pa

from libs.batches.claimed_rows import ClaimedRows
from libs.batches.columns import ROW, ROW_TYPE, TEXT, cell_column
from libs.contracts.plan import ParsePlan, RowIssue
from libs.ledger import Ledger
from libs.storage.documents import RejectedRecord, RunDocument
from libs.storage.files import FileStore
from services.parser.corrected_rows import CorrectionsOfFile
from services.parser.formats.api.batches import ParsedBatch


async def claimed_batches(
    files: FileStore, ledger: Ledger, run: RunDocument, plan: ParsePlan, lease_seconds: float
) -> AsyncGenerator[list[ParsedBatch]]:
    """The batches of a retry, or of a check of corrected rows; none where the parse is no longer the caller's.

    Raises:
        FileRefusedError: see ``CorrectionsOfFile.claim``.
    """
    assert run.parent_run_id is not None
    rows = ClaimedRows(files.mongo, run.tenant_id, run.parent_run_id)
    if run.purpose.traits.executed:
        if not await _claimed(files, ledger, run, plan, lease_seconds):
            return
        records = rows.of_retry(run.id)
    elif run.retry is not None and run.retry.bulk is not None:
        records = rows.of_bulk_correction(run.retry.bulk)
    elif run.retry is not None and run.retry.row is not None:
        records = rows.one(run.retry.row)
    else:
        return
    async with aclosing(_cut(records, plan)) as batches:
        async for batch in batches:
            yield [batch]


async def _claimed(files: FileStore, ledger: Ledger, run: RunDocument, plan: ParsePlan, lease_seconds: float) -> bool:
    retry = run.retry
    if retry is None or retry.file is None:
        return await ledger.retries.claim_rows(run, lease_seconds)
    return retry.claimed or await CorrectionsOfFile(files, ledger, run, plan, lease_seconds).claim(retry.file)


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
