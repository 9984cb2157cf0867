"""Records of the target, as clients see them: on pages and as files."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import closing
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel

from libs.values.json_values import as_json
from services.gateway.errors import InvalidInputError
from services.gateway.http.engine.row_views import MEDIA_TYPES, RowsFormat
from services.gateway.records.records import Record
from services.gateway.records.row_outcomes import Outcome
from services.gateway.records.spreadsheets import (
    MAX_WORKBOOK_COLUMNS,
    MAX_WORKBOOK_ROWS,
    Cell,
    Workbook,
    csv_lines,
)
from services.gateway.records.stored_values import as_cell

OWN_COLUMNS: Final = (
    "_id",
    "_tenant_id",
    "_run_id",
    "_row",
    "_created_at",
    "_updated_at",
    "_is_deleted",
    "_deleted_at",
)
EXTRA_COLUMN: Final = "_extra"


class RecordsFormat(StrEnum):
    """As what file records are sent."""

    CSV = "csv"
    NDJSON = "ndjson"
    XLSX = "xlsx"

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[RowsFormat(self.value)]


class ResourceView(BaseModel):
    """A target resource: what ``target_resource`` of a template names."""

    resource: str


class ResourcesPage(BaseModel):
    """In the order of their names; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[ResourceView]
    next_after: str | None


class RecordView(BaseModel):
    """A record as it is now.

    ``fields`` are its fields as they are stored, also those of other applications: exact decimal numbers as texts with
    all their digits, times in UTC. ``extra`` are the columns of the file that no field takes. ``run_id``, ``row``,
    ``created_at`` and ``updated_at`` say which run wrote it last, from which row, and when; they are null where another
    application has inserted it.
    """

    id: str
    tenant_id: str
    fields: dict[str, Any]
    extra: dict[str, Any] | None
    is_deleted: bool
    deleted_at: str | None
    run_id: str | None
    row: int | None
    version: int | None
    created_at: str | None
    updated_at: str | None


class RecordsPage(BaseModel):
    """In the order of their ids; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[RecordView]
    next_after: str | None


class WrittenRecordView(BaseModel):
    """A record that a run created or updated (``outcome``), as it is now, and the ``row`` of the file that did."""

    row: int
    outcome: Outcome
    record: RecordView


class WrittenRecordsPage(BaseModel):
    """In the order of the file; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[WrittenRecordView]
    next_after: int | None


def shown(record: Record) -> dict[str, Any]:
    """A ``RecordView`` as JSON has it."""
    noted = record.noted
    extra = as_json(record.extra)
    return {
        "id": str(record.id),
        "tenant_id": record.tenant_id,
        "fields": as_json(record.fields),
        "extra": extra if isinstance(extra, dict) else None,
        "is_deleted": record.is_deleted,
        "deleted_at": as_json(record.deleted_at),
        "run_id": as_json(noted.get("run_id")),
        "row": as_json(noted.get("row")),
        "version": as_json(noted.get("version")),
        "created_at": as_json(noted.get("created_at")),
        "updated_at": as_json(noted.get("updated_at")),
    }


def as_line(value: object) -> bytes:
    """What ``shown`` made, as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def encode_page(items: Sequence[object], following: str | int | None) -> bytes:
    """A page of what ``shown`` made."""
    return b'{"data":[%s],"next_after":%s}' % (b",".join(map(as_line, items)), as_line(following))


class _Lines:
    """A file of one object of JSON a line."""

    def start(self) -> bytes:
        return b""

    def records(self, records: Sequence[Record]) -> bytes:
        return b"".join(as_line(shown(record)) + b"\n" for record in records)

    def end(self) -> bytes:
        return b""

    def close(self) -> None:
        """Its reader may have gone before its end."""


class _Csv(_Lines):
    def __init__(self, columns: Sequence[str], *, extra: bool) -> None:
        self._columns = columns
        self._extra = extra

    @property
    def _header(self) -> list[Cell]:
        return [*OWN_COLUMNS, *self._columns, *([EXTRA_COLUMN] if self._extra else [])]

    def _row(self, record: Record) -> list[Cell]:
        noted = [record.noted.get(name) for name in ("run_id", "row", "created_at", "updated_at")]
        own = [str(record.id), record.tenant_id, *noted, record.is_deleted, record.deleted_at]
        values = [*own, *(record.fields.get(name) for name in self._columns), *([record.extra] if self._extra else [])]
        return [as_cell(value) for value in values]

    def start(self) -> bytes:
        return csv_lines([self._header])

    def records(self, records: Sequence[Record]) -> bytes:
        return csv_lines(map(self._row, records))


class _Sheet(_Csv):
    def __init__(self, columns: Sequence[str], *, extra: bool) -> None:
        super().__init__(columns, extra=extra)
        self._workbook = Workbook()

    def start(self) -> bytes:
        return self._workbook.rows([self._header])

    def records(self, records: Sequence[Record]) -> bytes:
        return self._workbook.rows(map(self._row, records))

    def end(self) -> bytes:
        return self._workbook.end()

    def close(self) -> None:
        self._workbook.close()


_TABLES: Mapping[RecordsFormat, type[_Csv]] = {RecordsFormat.CSV: _Csv, RecordsFormat.XLSX: _Sheet}


async def file_of(
    file_format: RecordsFormat,
    pieces: AsyncIterator[list[Record]],
    columns: Sequence[str],
    limit: int | None,
    *,
    extra: bool,
) -> AsyncGenerator[bytes]:
    """The file with the first ``limit`` records of ``pieces``, piece by piece.

    Args:
        file_format: of the file.
        pieces: of records.
        columns: of a table: names of fields.
        limit: most records; ``None`` for all.
        extra: whether a table has a column with what no field takes.
    """
    table = _TABLES.get(file_format)
    made = _Lines() if table is None else table(columns, extra=extra)
    with closing(made):
        yield made.start()
        left = limit
        async for piece in pieces:
            some = piece if left is None else piece[:left]
            yield await asyncio.to_thread(made.records, some)
            if left is not None:
                left -= len(some)
                if not left:
                    break
        yield await asyncio.to_thread(made.end)


def fits_a_workbook(records: int, columns: int) -> None:
    """Nothing, where so many records with so many fields fit into a sheet.

    Raises:
        InvalidInputError: ``TOO_LARGE_FOR_XLSX``.
    """
    columns += len(OWN_COLUMNS) + 1
    if records >= MAX_WORKBOOK_ROWS or columns > MAX_WORKBOOK_COLUMNS:
        raise InvalidInputError(
            "TOO_LARGE_FOR_XLSX",
            f"a sheet holds {MAX_WORKBOOK_ROWS - 1:,} records and {MAX_WORKBOOK_COLUMNS:,} columns, and there may be "
            "more; ask for format=csv or format=ndjson, or for a part by limit",
        )
