"""The rejected rows of a run as a file in which people correct them: a workbook, or CSV with the same columns."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import IO, Final

from libs.contracts.plan import ParsePlan
from libs.contracts.rejections import UNTOUCHED_STATES
from libs.ledger import Ledger
from libs.storage.documents import RejectedRecord, RunDocument
from services.gateway.access.principal import Principal
from services.gateway.errors import InvalidInputError
from services.gateway.records.correction_workbook import (
    CorrectableRow,
    CorrectionWorkbook,
    correctable,
    table_of,
    titles_of,
)
from services.gateway.records.spreadsheets import MAX_WORKBOOK_COLUMNS, csv_lines
from services.gateway.stores.rejected import RejectedStore
from services.gateway.stores.runs import RunStore

MAX_ROWS: Final = 10_000
MAX_CELLS: Final = 500_000
MAX_CHARS: Final = 64 * 1024 * 1024
"""Of a workbook of corrections, see ADR 0051."""
_ROWS_AT_A_TIME: Final = 500
_BYTE_ORDER_MARK: Final = "\ufeff".encode()
"""Without it Excel takes CSV for a text of one byte a character."""


class CorrectionFiles:
    """Makes these files of the rows that are open or corrected, with their corrections so far.

    Args:
        ledger: tells what has become of rows that were retried.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def run(self, principal: Principal, run_id: str) -> RunDocument:
        """A run, of whose rejected rows is known what has become.

        Raises:
            NotFoundError: there is none.
        """
        run = await RunStore(principal).required(run_id)
        await self._ledger.retries.settle_at_work(run)
        return run

    async def csv(self, principal: Principal, run: RunDocument, after: int, limit: int | None) -> AsyncGenerator[bytes]:
        """The first ``limit`` rows behind ``after``, piece by piece."""
        plan = _plan(run)
        yield _BYTE_ORDER_MARK + csv_lines([titles_of(plan)])
        async for rows in self._rows(principal, run, after, limit):
            yield await asyncio.to_thread(_lines, rows, run.id)

    @asynccontextmanager
    async def workbook(
        self, principal: Principal, run: RunDocument, after: int, limit: int | None
    ) -> AsyncGenerator[IO[bytes]]:
        """The first ``limit`` rows behind ``after`` in a file that is there for the length of a block.

        Raises:
            InvalidInputError: ``TOO_LARGE_FOR_XLSX``.
        """
        plan = _plan(run)
        some = await RejectedStore(principal).first_rows(run.id, UNTOUCHED_STATES, MAX_ROWS + 1, after)
        rows, columns = min(len(some), limit or len(some)), len(titles_of(plan))
        if rows > MAX_ROWS or rows * columns > MAX_CELLS or columns > MAX_WORKBOOK_COLUMNS:
            raise _too_large(columns)
        made = await asyncio.to_thread(CorrectionWorkbook, run.id, plan, run.template)
        try:
            left = MAX_CHARS
            async for some_rows in self._rows(principal, run, after, rows):
                left -= await asyncio.to_thread(_added, made, some_rows)
                if left < 0:
                    raise _too_large(columns)
            with tempfile.TemporaryFile() as file:
                await asyncio.to_thread(made.write_to, file)
                file.seek(0)
                yield file
        finally:
            await asyncio.shield(asyncio.to_thread(made.close))

    async def _rows(
        self, principal: Principal, run: RunDocument, after: int, limit: int | None
    ) -> AsyncIterator[list[CorrectableRow]]:
        store, plan, more = RejectedStore(principal), _plan(run), limit != 0
        while more:
            most = _ROWS_AT_A_TIME if limit is None else min(limit, _ROWS_AT_A_TIME)
            page = await store.page(run.id, most, after, UNTOUCHED_STATES)
            yield await asyncio.to_thread(_correctable, page.items, plan)
            if limit is not None:
                limit -= len(page.items)
            more = page.more and limit != 0
            after = page.items[-1].row if page.items else after


def _plan(run: RunDocument) -> ParsePlan:
    return run.plan or ParsePlan()


def _correctable(records: Sequence[RejectedRecord], plan: ParsePlan) -> list[CorrectableRow]:
    return [correctable(record, plan) for record in records]


def _lines(rows: Sequence[CorrectableRow], run_id: str) -> bytes:
    return csv_lines(table_of(rows, run_id))


def _added(made: CorrectionWorkbook, rows: list[CorrectableRow]) -> int:
    """Add rows to a workbook; how many characters they have."""
    made.add(rows)
    return sum(len(cell or "") for row in rows for cell in (row.reasons, *row.cells))


def _too_large(columns: int) -> InvalidInputError:
    most = min(MAX_ROWS, MAX_CELLS // columns)
    return InvalidInputError(
        "TOO_LARGE_FOR_XLSX",
        f"a workbook of corrections holds at most {most:,} rows of {columns:,} columns, {MAX_WORKBOOK_COLUMNS:,} "
        f"columns, and {MAX_CHARS:,} characters; download parts of it by limit and after, or format=csv. Any of these "
        "can be sent back",
    )
