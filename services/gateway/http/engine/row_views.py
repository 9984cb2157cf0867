"""What became of rows, as clients see it: on pages and as files."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel

from services.gateway.errors import InvalidInputError
from services.gateway.records.row_outcomes import Outcome
from services.gateway.records.rows import Piece, RowOutcome
from services.gateway.records.spreadsheets import (
    MAX_WORKBOOK_COLUMNS,
    MAX_WORKBOOK_ROWS,
    Cell,
    Workbook,
    csv_lines,
    told,
)

MAX_PAGE_BYTES: Final = 8 * 1024 * 1024
"""Of a page of rows; it has one row at least where there is any."""
MAX_PAGE_BATCHES: Final = 40
"""So many batches without a wanted row are looked through for one page."""
_OWN_COLUMNS = ("_row", "_outcome", "_record_id", "_reasons", "_warnings", "_revert")


class RowsFormat(StrEnum):
    """As what rows are sent: a page of JSON, or a file with all of them."""

    JSON = "json"
    CSV = "csv"
    NDJSON = "ndjson"
    XLSX = "xlsx"


MEDIA_TYPES: Mapping[RowsFormat, str] = {
    RowsFormat.JSON: "application/json",
    RowsFormat.CSV: "text/csv",
    RowsFormat.NDJSON: "application/x-ndjson",
    RowsFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class RowReasonView(BaseModel):
    field: str | None = None
    column: str | None = None
    code: str
    message: str
    value: str | None = None


class RowKeptView(BaseModel):
    """Why a revert left the record of a row as it is: ``CHANGED`` since, ``GONE``, ``KEY_TAKEN``, ``REFUSED`` or
    ``ROWS_EXPIRED``; ``fields`` are those that the reason is about."""

    reason: str
    fields: list[str]


class RowOutcomeView(BaseModel):
    """What became of a row of the file.

    ``outcome`` is ``pending`` until the row is written or not, and ``written`` where an earlier release wrote it and
    did not note whether it created or updated a record; a revert does not change it, but sets ``revert`` to
    ``reverted`` or ``kept``. ``record_id`` is that of the record that the row created, updated or deleted. ``data`` are
    the cells as they stand in the file, by header, null where they are no longer stored (see ``data_missing``);
    ``more_cells`` are those beyond the last column. ``reasons`` say why the row is rejected, skipped or unchanged,
    ``warnings`` what is wrong with one that was kept.
    """

    row: int
    outcome: Outcome
    record_id: str | None
    data: dict[str, str | None] | None
    data_missing: str | None
    more_cells: list[str | None]
    reasons: list[RowReasonView]
    warnings: list[RowReasonView]
    revert: str | None
    kept: RowKeptView | None


class RowsPage(BaseModel):
    """In the order of the file; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[RowOutcomeView]
    next_after: int | None


async def encode_page(pieces: AsyncIterator[Piece], columns: Sequence[str], limit: int, last_row: int) -> bytes:
    """A ``RowsPage`` as JSON. It ends early where it would be larger than ``MAX_PAGE_BYTES``, or where there is nothing
    for ``MAX_PAGE_BATCHES``.

    Args:
        last_row: behind it there is nothing.
    """
    lines: list[bytes] = []
    size = looked = after = 0
    more = False
    async for piece in pieces:
        encoded = await asyncio.to_thread(_json_lines, piece.rows, columns)
        for row, line in zip(piece.rows, encoded, strict=True):
            if len(lines) == limit or (lines and size + len(line) > MAX_PAGE_BYTES):
                more = True
                break
            lines.append(line)
            size += len(line)
            after = row.row
        if more:
            break
        after = piece.reached
        looked += 1
        if len(lines) == limit or looked >= MAX_PAGE_BATCHES:
            more = after < last_row
            break
    return b'{"data":[%s],"next_after":%s}' % (b",".join(lines), str(after).encode() if more else b"null")


def _json_lines(rows: Sequence[RowOutcome], columns: Sequence[str]) -> list[bytes]:
    return [_json_line(row, columns) for row in rows]


def _json_line(row: RowOutcome, columns: Sequence[str]) -> bytes:
    cells = row.cells
    data = None
    if cells is not None:
        padded = [*cells, *[None] * (len(columns) - len(cells))]
        data = dict(zip(columns, padded, strict=False))
    shown: dict[str, Any] = {
        "row": row.row,
        "outcome": row.outcome,
        "record_id": row.record_id,
        "data": data,
        "data_missing": "EXPIRED" if cells is None else None,
        "more_cells": [] if cells is None else cells[len(columns) :],
        "reasons": row.reasons,
        "warnings": row.warnings,
        "revert": row.revert,
        "kept": row.kept,
    }
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()


class _Lines:
    """A file of one object of JSON a line."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns

    def start(self) -> bytes:
        return b""

    def rows(self, rows: Sequence[RowOutcome]) -> bytes:
        return b"".join(_json_line(row, self._columns) + b"\n" for row in rows)

    def end(self) -> bytes:
        return b""

    def close(self) -> None:
        """Its reader may have gone before its end."""


class _Csv(_Lines):
    def start(self) -> bytes:
        return csv_lines([[*_OWN_COLUMNS, *self._columns]])

    def rows(self, rows: Sequence[RowOutcome]) -> bytes:
        return csv_lines(_table(rows, len(self._columns)))


class _Sheet(_Lines):
    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(columns)
        self._workbook = Workbook()

    def start(self) -> bytes:
        return self._workbook.rows([[*_OWN_COLUMNS, *self._columns]])

    def rows(self, rows: Sequence[RowOutcome]) -> bytes:
        return self._workbook.rows(_table(rows, len(self._columns)))

    def end(self) -> bytes:
        return self._workbook.end()

    def close(self) -> None:
        self._workbook.close()


_FILES: Mapping[RowsFormat, type[_Lines]] = {
    RowsFormat.CSV: _Csv,
    RowsFormat.NDJSON: _Lines,
    RowsFormat.XLSX: _Sheet,
}


async def file_of(
    file_format: RowsFormat, pieces: AsyncIterator[Piece], columns: Sequence[str], limit: int | None
) -> AsyncGenerator[bytes]:
    """The file with the first ``limit`` rows of ``pieces``, piece by piece."""
    made = _FILES[file_format](columns)
    with closing(made):
        yield made.start()
        left = limit
        async for piece in pieces:
            some = piece.rows if left is None else piece.rows[:left]
            yield await asyncio.to_thread(made.rows, some)
            if left is not None:
                left -= len(some)
                if not left:
                    break
        yield made.end()


def _table(rows: Sequence[RowOutcome], columns: int) -> Iterator[list[Cell]]:
    for row in rows:
        cells = (row.cells or [])[:columns]
        revert = (
            row.revert if row.kept is None else f"kept: {row.kept['reason']} {', '.join(row.kept['fields'])}".strip()
        )
        own = (row.row, row.outcome.value, row.record_id, told(row.reasons), told(row.warnings), revert)
        yield [*own, *cells, *[None] * (columns - len(cells))]


def fits_a_workbook(rows: int, columns: int) -> None:
    """Nothing, where so many rows and columns of a file fit into a sheet with what is said about each row.

    Raises:
        InvalidInputError: ``TOO_LARGE_FOR_XLSX``.
    """
    if rows >= MAX_WORKBOOK_ROWS or columns + len(_OWN_COLUMNS) > MAX_WORKBOOK_COLUMNS:
        raise InvalidInputError(
            "TOO_LARGE_FOR_XLSX",
            f"a sheet holds {MAX_WORKBOOK_ROWS:,} rows and {MAX_WORKBOOK_COLUMNS:,} columns, and there may be "
            f"{rows + 1:,} and {columns + len(_OWN_COLUMNS):,}; ask for format=csv or format=ndjson, for rows with one "
            "outcome, or for parts by limit and after",
        )
