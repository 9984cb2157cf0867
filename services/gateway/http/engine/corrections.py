"""``/imports/runs/{id}/rejected``: rejected rows as a file, and that file corrected."""

import asyncio
from collections.abc import AsyncGenerator
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, Final

from litestar import Controller, Response, get, post
from litestar.openapi import ResponseSpec
from litestar.params import QueryParameter

from libs.storage.documents import RunDocument
from services.gateway.access.principal import Principal
from services.gateway.http.dependencies import (
    AnyRequest,
    Asking,
    CorrectionFilesIn,
    EffectId,
    RetriesIn,
    RowsIn,
    RunsIn,
    Settings,
    UploadsIn,
)
from services.gateway.http.engine.file_answers import attachment, file_answer
from services.gateway.http.engine.imports import FOLLOW, ended_answer
from services.gateway.http.engine.operations import CorrectionFileOperation, RejectedFileOperation
from services.gateway.http.engine.parameters import AfterRow
from services.gateway.http.engine.row_views import MEDIA_TYPES, RowsFormat
from services.gateway.http.engine.run_views import RunView
from services.gateway.http.engine.upload_form import corrections_limits, receive_corrections
from services.gateway.http.idempotency import IDEMPOTENT, Reads, attempt_of
from services.gateway.http.methods import is_head
from services.gateway.http.public_ids import Id
from services.gateway.records.correction_files import MAX_ROWS, CorrectionFiles

_PIECE_BYTES: Final = 256 * 1024


class CorrectionFormat(StrEnum):
    """As what rejected rows are sent."""

    XLSX = "xlsx"
    CSV = "csv"


Format = Annotated[CorrectionFormat, QueryParameter(description="A workbook, or CSV with the same columns.")]
MostRows = Annotated[int | None, QueryParameter(ge=1, description="Most rows of the file.")]


class CorrectionController(Controller):
    """Files of corrections."""

    path = "/imports/runs"
    tags = ("Rejected rows",)

    @get(
        "/{run_id:str}/rejected",
        operation_id="downloadRejected",
        summary="Download rejected rows to be corrected",
        description=(
            "Those that are open or corrected, with their corrections so far: a row each, with its number (`_row`), "
            "its run (`_run`, hidden in the workbook), what is wrong with it (`_reasons`), and its cells. In the "
            "workbook faulty cells are marked and say in a comment what is wrong, columns with few possible values "
            "offer them, and all cells are texts, so that leading zeros stay and nothing is a formula. In CSV a cell "
            "that a program might take for a formula has an apostrophe in front, which goes when the file comes back. "
            f"A workbook holds {MAX_ROWS:,} rows (fewer of many columns), and beyond that 422 `TOO_LARGE_FOR_XLSX`; "
            "CSV holds any number. Send it back with `POST`."
        ),
        operation_class=RejectedFileOperation,
        responses={HTTPStatus.OK: ResponseSpec(bytes, description="The file.", generate_examples=False)},
    )
    async def download(
        self,
        request: AnyRequest,
        run_id: Id,
        principal: Asking,
        correction_files: CorrectionFilesIn,
        row_outcomes: RowsIn,
        format: Format = CorrectionFormat.XLSX,  # noqa: A002 - the name of the parameter
        limit: MostRows = None,
        after: AfterRow = 0,
    ) -> Response[Any]:
        run = await correction_files.run(principal, run_id)
        name, media_type = f"{run.id}-rejected.{format.value}", MEDIA_TYPES[RowsFormat(format.value)]
        if is_head(request.scope):
            return Response(b"", headers=attachment(name), media_type=media_type)  # No workbook is made for it.
        if format is CorrectionFormat.CSV:
            made = correction_files.csv(principal, run, after, limit)
        else:
            made = _workbook(correction_files, principal, run, after, limit)
        return await file_answer(request, principal, row_outcomes.turn, made, name, media_type)

    @post(
        "/{run_id:str}/rejected",
        operation_id="uploadCorrections",
        summary="Send corrected rows back, which retries them",
        description=(
            "The file that was downloaded, saved as a workbook or as CSV. Rows are found by their number, so they may "
            "be sorted and removed, and columns inserted, moved and removed. Cells that differ from what the run has "
            "read are corrections, in the place of all earlier ones of the row; rows without any are retried as they "
            "are. The answer is that of a retry: 200 with its run at its end, 202 where that takes longer than the "
            "gateway waits; `corrections` says what the file held, and which of its rows were left out because they "
            "have been written or discarded meanwhile. A file with rows of another run, without numbers, or with "
            "numbers that are unknown or there twice changes nothing: the run has `failed`, and `error` says which "
            "rows and how to mend them. 409 as for any retry, 415 for other files."
        ),
        request_max_body_size=None,
        opt={IDEMPOTENT: Reads.CONTENT},
        operation_class=CorrectionFileOperation,
        status_code=HTTPStatus.OK,
        responses=FOLLOW,
    )
    async def upload(
        self,
        request: AnyRequest,
        run_id: Id,
        principal: Asking,
        uploads: UploadsIn,
        retries: RetriesIn,
        runs: RunsIn,
        settings: Settings,
        effect_id: EffectId,
    ) -> Response[RunView]:
        attempt = attempt_of(request)
        if attempt is None or not attempt.again:
            await retries.free_parent(principal, run_id)  # Before the file is there, where that is known already.
        file = await receive_corrections(request, principal, uploads, corrections_limits(settings))
        if attempt is not None:
            try:
                await attempt.has_sent(file.sha256.encode())
            except BaseException:
                await asyncio.shield(retries.discard(file))
                raise
        return await ended_answer(principal, runs, await retries.retry_file(principal, run_id, file, effect_id))


async def _workbook(
    correction_files: CorrectionFiles, principal: Principal, run: RunDocument, after: int, limit: int | None
) -> AsyncGenerator[bytes]:
    async with correction_files.workbook(principal, run, after, limit) as file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece
