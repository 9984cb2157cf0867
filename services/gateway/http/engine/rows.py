"""``/imports/runs/{id}/rows``: what became of each row of a run."""

from http import HTTPStatus
from typing import Annotated, Any

from litestar import Controller, Response, get
from litestar.openapi import ResponseSpec
from litestar.params import QueryParameter

from libs.storage.documents import RunDocument
from services.gateway.access.principal import Principal
from services.gateway.http.answers import encoded_answer
from services.gateway.http.dependencies import AnyRequest, Asking, RowsIn, RunsIn
from services.gateway.http.engine.file_answers import file_answer
from services.gateway.http.engine.operations import PageOrRowFileOperation
from services.gateway.http.engine.parameters import MAX_REJECTED_PAGE, AfterRow
from services.gateway.http.engine.row_views import (
    MEDIA_TYPES,
    RowsFormat,
    RowsPage,
    encode_page,
    file_of,
    fits_a_workbook,
)
from services.gateway.http.public_ids import Id
from services.gateway.records.rows import ROWS_AT_A_TIME, RowFilter, RowOutcomes, RowQuery

Only = Annotated[RowFilter | None, QueryParameter(description="Only rows that this became of.")]
FieldOfReason = Annotated[
    str | None,
    QueryParameter(min_length=1, max_length=200, description="Only rows with a reason about this field."),
]
CodeOfReason = Annotated[
    str | None,
    QueryParameter(min_length=1, max_length=100, description="Only rows with this code as a reason."),
]
Format = Annotated[RowsFormat, QueryParameter(description="`json` is a page, the others are files.")]
MostRows = Annotated[
    int | None,
    QueryParameter(
        ge=1,
        description=f"Most rows; of a page at most {MAX_REJECTED_PAGE:,}, 100 if it is not given.",
    ),
]


class RowController(Controller):
    """The rows of a run."""

    path = "/imports/runs"
    tags = ("Imports",)

    @get(
        "/{run_id:str}/rows",
        operation_id="listRows",
        summary="Show what became of each row of the file",
        description=(
            "Every row of the file is there once, in its order. A page may have fewer rows than `limit`, even none "
            "where few rows are wanted; the last one has no `next_after`. `format=csv`, `ndjson` or `xlsx` answers "
            "with a file of all wanted rows behind `after`. `field` and `code` are those of one reason or warning. "
            "Cells are shown as long as they are stored, 30 days; those of rejected rows as long as the run."
        ),
        operation_class=PageOrRowFileOperation,
        responses={HTTPStatus.OK: ResponseSpec(RowsPage, description="A page, or a file.", generate_examples=False)},
    )
    async def list_rows(
        self,
        request: AnyRequest,
        run_id: Id,
        principal: Asking,
        runs: RunsIn,
        row_outcomes: RowsIn,
        outcome: Only = None,
        field: FieldOfReason = None,
        code: CodeOfReason = None,
        format: Format = RowsFormat.JSON,  # noqa: A002 - the name of the parameter
        limit: MostRows = None,
        after: AfterRow = 0,
    ) -> Response[Any]:
        run = await runs.get(principal, run_id)
        query = RowQuery(outcome, field, code)
        if format is RowsFormat.JSON:
            async with row_outcomes.turn(principal, download=False):
                return await _page(principal, row_outcomes, run, query, after, limit)
        columns = run.plan.columns if run.plan else ()
        if format is RowsFormat.XLSX:
            fits_a_workbook(min(await row_outcomes.most(run, query), limit or 2**32), len(columns))
        pieces = row_outcomes.pieces(principal, run, query, after)
        content, name = file_of(format, pieces, columns, limit), f"{run.id}-rows.{format.value}"
        return await file_answer(request, principal, row_outcomes.turn, content, name, MEDIA_TYPES[format])


async def _page(
    principal: Principal, row_outcomes: RowOutcomes, run: RunDocument, query: RowQuery, after: int, limit: int | None
) -> Response[Any]:
    most = min(limit or 100, MAX_REJECTED_PAGE)
    pieces = row_outcomes.pieces(principal, run, query, after, min(most, ROWS_AT_A_TIME))
    # Rows of a retry have the numbers that they have in the file.
    numbered = run.parse.closed and not run.purpose.traits.of_parent
    last_row = run.parse.rows if numbered else 2**32
    columns = run.plan.columns if run.plan else ()
    return encoded_answer(await encode_page(pieces, columns, most, last_row))
