"""``/imports/rejected``, and retries of rejected rows."""

import asyncio
from http import HTTPStatus

from litestar import Controller, Response, get, post, put

from services.gateway.http.answers import encoded_answer
from services.gateway.http.dependencies import AnyRequest, Asking, EffectId, RejectedIn, RetriesIn, RunsIn
from services.gateway.http.engine.imports import FOLLOW, ended_answer
from services.gateway.http.engine.operations import CorrectionOperation
from services.gateway.http.engine.parameters import (
    AfterRow,
    IncludeUncorrected,
    RejectedFilter,
    RejectedLimit,
    RunOfRows,
)
from services.gateway.http.engine.rejected_views import (
    RejectedPage,
    RejectedView,
    encode_rejected,
    encode_row,
    read_correction,
)
from services.gateway.http.engine.run_views import RunView
from services.gateway.http.etags import TAGGED, Tagged, encoded_tagged, wanted_versions
from services.gateway.http.idempotency import IDEMPOTENT, Reads
from services.gateway.http.json_body import json_body
from services.gateway.http.openapi import ApiOperation
from services.gateway.http.places import Places
from services.gateway.http.public_ids import Id
from services.gateway.records.rejected import RejectedRow

_PLACES = Places("body")
_RETRY = (
    "A retry is a run of its own (`parent_run_id`), by the template and the reading of its parent, and writes at once. "
    "Its rows are compared with everything that its parent and earlier retries have written. The counts of the parent "
    "stay; its `rejected_rows` say what has become of the rows. Rows that are rejected again are open again, with "
    "their new errors. A run has one retry at a time: 409 `RETRY_UNDER_WAY` names it. 200 with the retry at its end, "
    "202 where that takes longer than the gateway waits."
)


class RejectedController(Controller):
    """Rejected rows."""

    path = "/imports"
    tags = ("Rejected rows",)

    @get(
        "/rejected",
        operation_id="listRejected",
        summary="List the rejected rows of a run",
        description="A page of large rows may have fewer of them than `limit`; the last one has no `next_after`.",
        operation_class=ApiOperation,
    )
    async def page(
        self,
        run_id: RunOfRows,
        principal: Asking,
        rejected_rows: RejectedIn,
        limit: RejectedLimit = 100,
        after: AfterRow = 0,
        status: RejectedFilter = None,
    ) -> Response[RejectedPage]:
        found = await rejected_rows.page(principal, run_id, limit, after, () if status is None else (status,))
        return encoded_answer(await asyncio.to_thread(encode_rejected, found))

    @get(
        "/rejected/{record_id:str}",
        operation_id="getRejected",
        summary="Show a rejected row",
        opt={TAGGED: Tagged.THERE},
        operation_class=ApiOperation,
    )
    async def show(
        self, request: AnyRequest, record_id: Id, principal: Asking, rejected_rows: RejectedIn
    ) -> Response[RejectedView]:
        return await _answer(request, await rejected_rows.get(principal, record_id))

    @put(
        "/rejected/{record_id:str}",
        operation_id="correctRejected",
        summary="Correct a rejected row",
        description="The corrections replace all earlier ones; the other cells stay as they are in the file. They are "
        "checked at once by the rules of the run, without anything being written: `errors` are those that remain. 409 "
        "unless the run is completed and the row is open or corrected.",
        opt={TAGGED: Tagged.THERE},
        operation_class=CorrectionOperation,
    )
    async def correct(
        self, request: AnyRequest, record_id: Id, principal: Asking, rejected_rows: RejectedIn
    ) -> Response[RejectedView]:
        versions, body = wanted_versions(request), await json_body(request)
        data = await asyncio.to_thread(lambda: read_correction(body.decoded()))
        with _PLACES.translating():
            row = await rejected_rows.correct(principal, record_id, data, versions)
        return await _answer(request, row)

    @post(
        "/rejected/{record_id:str}/retry",
        operation_id="retryRejected",
        summary="Retry a rejected row, corrected or not",
        description=_RETRY,
        opt={IDEMPOTENT: Reads.NOTHING},
        operation_class=ApiOperation,
        status_code=HTTPStatus.OK,
        responses=FOLLOW,
    )
    async def retry(
        self, record_id: Id, principal: Asking, rejected_rows: RejectedIn, runs: RunsIn, effect_id: EffectId
    ) -> Response[RunView]:
        return await ended_answer(principal, runs, await rejected_rows.retry(principal, record_id, effect_id))

    @post(
        "/rejected/{record_id:str}/discard",
        operation_id="discardRejected",
        summary="Give a rejected row up",
        description="No retry takes it any more. 409 unless it is open or corrected.",
        opt={TAGGED: Tagged.THERE},
        operation_class=ApiOperation,
        status_code=HTTPStatus.OK,
    )
    async def discard(
        self, request: AnyRequest, record_id: Id, principal: Asking, rejected_rows: RejectedIn
    ) -> Response[RejectedView]:
        return await _answer(request, await rejected_rows.discard(principal, record_id, wanted_versions(request)))

    @post(
        "/runs/{run_id:str}/retry-all",
        operation_id="retryAllRejected",
        summary="Retry all rejected rows of a run that were corrected",
        description=_RETRY,
        opt={IDEMPOTENT: Reads.NOTHING},
        operation_class=ApiOperation,
        status_code=HTTPStatus.OK,
        responses=FOLLOW,
    )
    async def retry_all(
        self,
        run_id: Id,
        principal: Asking,
        retries: RetriesIn,
        runs: RunsIn,
        effect_id: EffectId,
        include_uncorrected: IncludeUncorrected = False,  # noqa: FBT002
    ) -> Response[RunView]:
        retry = await retries.retry_all(principal, run_id, include_uncorrected=include_uncorrected, effect_id=effect_id)
        return await ended_answer(principal, runs, retry)


async def _answer(request: AnyRequest, row: RejectedRow) -> Response[RejectedView]:
    return encoded_tagged(request, row.version, await asyncio.to_thread(encode_row, row))
