"""``/records``: what the target holds, and ``/imports/runs/{id}/records``: what one run has written there."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from litestar import Controller, Response, get
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, QueryParameter

from services.gateway.http.answers import encoded, encoded_answer
from services.gateway.http.dependencies import (
    AnyRequest,
    Asking,
    AskingFor,
    AskingForMany,
    RecordsIn,
    RecordsOfRunsIn,
    RunsIn,
)
from services.gateway.http.engine.file_answers import file_answer
from services.gateway.http.engine.operations import PageOrRecordFileOperation, RecordFileOperation
from services.gateway.http.engine.parameters import MAX_REJECTED_PAGE, AfterRow
from services.gateway.http.engine.record_views import (
    RecordsFormat,
    RecordsPage,
    RecordView,
    ResourcesPage,
    ResourceView,
    WrittenRecordsPage,
    as_line,
    encode_page,
    file_of,
    fits_a_workbook,
    shown,
)
from services.gateway.http.engine.row_views import MAX_PAGE_BYTES, RowsFormat
from services.gateway.http.openapi import ApiOperation
from services.gateway.http.public_ids import Id
from services.gateway.records.record_filters import MAX_FILTER_CHARS, MAX_FILTERS
from services.gateway.records.records import Record, RecordQuery
from services.gateway.records.records_of_runs import WrittenPiece, WrittenRecord
from services.gateway.records.spreadsheets import MAX_WORKBOOK_ROWS

MAX_EMPTY_PIECES = 200
"""Pieces without a record that are looked through for one page."""
Filters = Annotated[
    list[str] | None,
    QueryParameter(
        max_items=MAX_FILTERS,
        description=(
            "Only records for which `field:operator:value` holds, such as `price:gte:10`; repeated, all hold. "
            '`eq`, `ne` (also without a value), `lt`, `lte`, `gt`, `gte`, `in` (`a,"b,c"`), `prefix`, `exists` '
            f"(`true` or `false`), by the type that templates give the field; at most {MAX_FILTER_CHARS:,} characters. "
            "Besides the fields there are `_created_at`, `_updated_at`, `_run_id` and `_row`."
        ),
    ),
]
IncludeDeleted = Annotated[bool, QueryParameter(description="Whether records marked as deleted are there too.")]
PageLimit = Annotated[int, QueryParameter(ge=1, le=MAX_REJECTED_PAGE, description="Most entries of a page.")]
MostRecords = Annotated[int | None, QueryParameter(ge=1, description="Most records; all where it is not given.")]
MostWritten = Annotated[
    int | None,
    QueryParameter(ge=1, description=f"Most records; of a page at most {MAX_REJECTED_PAGE:,}, 100 if it is not given."),
]
AfterResource = Annotated[
    str, QueryParameter(pattern="^[a-z0-9_]*$", max_length=64, description="The next_after of the page before.")
]
AfterPlace = Annotated[
    str | None, QueryParameter(min_length=1, max_length=2_000, description="The next_after of the page before.")
]
FileFormat = Annotated[RecordsFormat, QueryParameter(description="Of the file.")]
PageOrFile = Annotated[RowsFormat, QueryParameter(description="`json` is a page, the others are files.")]


class ResourceController(Controller):
    """The target resources of an organization."""

    path = "/records"
    tags = ("Records",)

    @get(
        operation_id="listResources",
        summary="List the target resources",
        description="Those that templates of the organization write to, or have written to.",
        operation_class=ApiOperation,
        responses={HTTPStatus.OK: ResponseSpec(ResourcesPage, description="A page.", generate_examples=False)},
    )
    async def list_resources(
        self, acting: AskingFor, records: RecordsIn, limit: PageLimit = 100, after: AfterResource = ""
    ) -> Response[Any]:
        names, more = await records.resources(acting, limit, after)
        page = ResourcesPage(
            data=[ResourceView(resource=name) for name in names], next_after=names[-1] if more else None
        )
        return encoded_answer(encoded(page))


class RecordController(Controller):
    """The records of a target resource."""

    path = "/records/{resource:str}"
    tags = ("Records",)

    @get(
        operation_id="listRecords",
        summary="List the records of a target resource",
        description=(
            "In the order of their ids, live ones only unless `include_deleted` is set. A page may have fewer records "
            "than `limit`, even none where few are wanted among many; the last one has no `next_after`. By "
            "`field:eq:value` of a field that is an upsert key or unique in the target, a record is found at once."
        ),
        operation_class=ApiOperation,
        responses={HTTPStatus.OK: ResponseSpec(RecordsPage, description="A page.", generate_examples=False)},
    )
    async def list_records(
        self,
        resource: FromPath[str],
        looking: AskingForMany,
        records: RecordsIn,
        filter: Filters = None,  # noqa: A002 - the name of the parameter
        *,
        include_deleted: IncludeDeleted = False,
        limit: PageLimit = 100,
        after: AfterPlace = None,
    ) -> Response[Any]:
        async with records.turn(looking, download=False):
            known = await records.resource(looking, resource)
            query = RecordQuery(tuple(filter or ()), include_deleted, after)
            part = await records.page(looking, known, query, limit)
            content = await asyncio.to_thread(
                lambda: encode_page([shown(each) for each in part.records], part.following)
            )
        return encoded_answer(content)

    @get(
        "/export",
        operation_id="exportRecords",
        summary="Download the records of a target resource",
        description=(
            "All of them, in the order of a list, with the same filters. A table has the columns of the templates that "
            "write here, in `_extra` the columns that no field takes, as JSON; fields that other applications add "
            "are in `ndjson` only. Texts that a program might take for a formula get an apostrophe in front in CSV. "
            "The file is no snapshot: records that are changed meanwhile may be there as before or as after."
        ),
        operation_class=RecordFileOperation,
        responses={HTTPStatus.OK: ResponseSpec(str, description="The file.", generate_examples=False)},
    )
    async def export_records(
        self,
        request: AnyRequest,
        resource: FromPath[str],
        looking: AskingForMany,
        records: RecordsIn,
        filter: Filters = None,  # noqa: A002 - the name of the parameter
        *,
        include_deleted: IncludeDeleted = False,
        format: FileFormat = RecordsFormat.CSV,  # noqa: A002 - likewise
        limit: MostRecords = None,
        after: AfterPlace = None,
    ) -> Response[Any]:
        known = await records.resource(looking, resource)
        if format is RecordsFormat.XLSX:
            most = limit if limit is not None and limit < MAX_WORKBOOK_ROWS else MAX_WORKBOOK_ROWS
            fits_a_workbook(min(await records.most(looking, known, most), most), len(known.fields))
        query = RecordQuery(tuple(filter or ()), include_deleted, after)
        pieces = await records.all(looking, known, query)
        content = file_of(format, pieces, known.fields, limit, extra=known.has_extra)
        name = f"{known.name}.{format.value}"
        return await file_answer(request, looking, records.turn, content, name, format.media_type)

    @get(
        "/{identifier:str}",
        operation_id="getRecord",
        summary="Show one record",
        description="Also one that is marked as deleted (`is_deleted`).",
        operation_class=ApiOperation,
        responses={HTTPStatus.OK: ResponseSpec(RecordView, description="The record.", generate_examples=False)},
    )
    async def get_record(
        self, resource: FromPath[str], identifier: FromPath[str], acting: AskingFor, records: RecordsIn
    ) -> Response[Any]:
        record = await records.get(acting, await records.resource(acting, resource), identifier)
        return encoded_answer(await asyncio.to_thread(lambda: as_line(shown(record))))


class RunRecordController(Controller):
    """The records that a run has written."""

    path = "/imports/runs"
    tags = ("Records",)

    @get(
        "/{run_id:str}/records",
        operation_id="listRecordsOfRun",
        summary="Show the records that a run has created or updated",
        description=(
            "As they are now, in the order of the rows that wrote them; what is gone since is left out, and of a run "
            "that is taken back there is nothing. A page may have fewer records than `limit`, even none; the last one "
            "has no `next_after`. `format=csv`, `ndjson` or `xlsx` answers with a file, as `/records/…/export` does."
        ),
        operation_class=PageOrRecordFileOperation,
        responses={
            HTTPStatus.OK: ResponseSpec(WrittenRecordsPage, description="A page, or a file.", generate_examples=False)
        },
    )
    async def list_records_of_run(
        self,
        request: AnyRequest,
        run_id: Id,
        principal: Asking,
        runs: RunsIn,
        records: RecordsIn,
        records_of_runs: RecordsOfRunsIn,
        format: PageOrFile = RowsFormat.JSON,  # noqa: A002 - the name of the parameter
        limit: MostWritten = None,
        after: AfterRow = 0,
    ) -> Response[Any]:
        run = await runs.get(principal, run_id)
        if format is RowsFormat.JSON:
            most = min(limit or 100, MAX_REJECTED_PAGE)
            async with records.turn(principal, download=False):
                return await _page(records_of_runs.pieces(principal, run, after, most), most)
        chosen = RecordsFormat(format.value)
        fields = records_of_runs.fields(run)
        if chosen is RecordsFormat.XLSX:
            fits_a_workbook(min(run.parse.rows, limit or 2**32), len(fields))
        pieces = _records(records_of_runs.pieces(principal, run, after))
        content = file_of(chosen, pieces, fields, limit, extra=run.template.include_unmatched_columns)
        name = f"{run.id}-records.{chosen.value}"
        return await file_answer(request, principal, records.turn, content, name, chosen.media_type)


async def _records(pieces: AsyncIterator[WrittenPiece]) -> AsyncIterator[list[Record]]:
    async for piece in pieces:
        yield [each.record for each in piece.records]


async def _page(pieces: AsyncIterator[WrittenPiece], limit: int) -> Response[Any]:
    """The first records of ``pieces``: ``limit``, or fewer where they are large, or where there are few for long."""
    lines: list[bytes] = []
    size = looked = 0
    following: int | None = None
    async for piece in pieces:
        encoded = await asyncio.to_thread(_lines, piece.records)
        for written, line in zip(piece.records, encoded, strict=True):
            if len(lines) == limit or (lines and size + len(line) > MAX_PAGE_BYTES):
                return _page_of(lines, following)
            lines.append(line)
            size += len(line)
            following = written.row
        following = piece.reached
        looked += not piece.records
        if len(lines) >= limit or looked >= MAX_EMPTY_PIECES:
            return _page_of(lines, following)
    return _page_of(lines, None)


def _lines(records: Sequence[WrittenRecord]) -> list[bytes]:
    return [as_line(_shown(each)) for each in records]


def _page_of(lines: list[bytes], following: int | None) -> Response[Any]:
    return encoded_answer(b'{"data":[%s],"next_after":%s}' % (b",".join(lines), as_line(following)))


def _shown(written: WrittenRecord) -> dict[str, Any]:
    return {"row": written.row, "outcome": written.outcome, "record": shown(written.record)}
