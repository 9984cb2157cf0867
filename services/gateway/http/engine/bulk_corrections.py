"""``/imports/runs/{id}/correct-all``: the same correction of many rejected rows."""

import asyncio
from dataclasses import replace
from http import HTTPStatus

from litestar import Controller, Response, get, post
from litestar.openapi import ResponseSpec

from libs.storage.documents import RequestState
from services.gateway.http.answers import answer
from services.gateway.http.dependencies import AnyRequest, Asking, BulkCorrectionsIn
from services.gateway.http.engine.bulk_correction_views import (
    BulkCorrectionView,
    present_bulk_correction,
    read_bulk_correction,
)
from services.gateway.http.engine.operations import BulkCorrectionOperation
from services.gateway.http.engine.parameters import DryRun
from services.gateway.http.idempotency import IDEMPOTENT, Reads, attempt_of
from services.gateway.http.json_body import json_body
from services.gateway.http.openapi import ApiOperation
from services.gateway.http.places import Places
from services.gateway.http.public_ids import Id
from services.gateway.records.bulk_corrections import BulkCorrection

_PLACES = Places("body")


class BulkCorrectionController(Controller):
    """Bulk corrections."""

    path = "/imports"
    tags = ("Rejected rows",)

    @post(
        "/runs/{run_id:str}/correct-all",
        operation_id="correctAllRejected",
        summary="Make the same correction in all rejected rows with one error",
        description="With `dry_run=true` nothing is changed: the answer says how many rows would be, with examples. "
        "Otherwise the rows are changed, some at a time, and checked by the rules of the run; nothing is written to "
        "the target. 200 with what was done, 202 with `Location` where it takes longer than the gateway waits. A run "
        "has one at a time: 409 `BULK_CORRECTION_UNDER_WAY`; the same request, repeated meanwhile, waits for it. 409 "
        "`RETRY_UNDER_WAY` while rows are retried, `WRONG_STATE` unless the run is completed.",
        opt={IDEMPOTENT: Reads.CONTENT},
        operation_class=BulkCorrectionOperation,
        status_code=HTTPStatus.OK,
        responses={HTTPStatus.ACCEPTED: ResponseSpec(BulkCorrectionView, description="Under way; follow Location.")},
    )
    async def correct_all(
        self,
        request: AnyRequest,
        run_id: Id,
        principal: Asking,
        bulk_corrections: BulkCorrectionsIn,
        dry_run: DryRun = False,  # noqa: FBT002
    ) -> Response[BulkCorrectionView]:
        body = await json_body(request)
        wanted = await asyncio.to_thread(lambda: read_bulk_correction(body.decoded()))
        if wanted.as_of is None and (attempt := attempt_of(request)) is not None:
            # An earlier attempt may have corrected rows: they are left alone, however far it came.
            wanted = replace(wanted, as_of=attempt.record.began_at)
        with _PLACES.translating():
            found = await bulk_corrections.correct(principal, run_id, wanted, dry_run=dry_run)
        return await _answer(found)

    @get(
        "/runs/{run_id:str}/correct-all",
        operation_id="getBulkCorrection",
        summary="Show the last correction of many rows of a run, or its dry run",
        description="409 `NO_BULK_CORRECTION` where nobody has asked for one.",
        operation_class=ApiOperation,
        responses={HTTPStatus.ACCEPTED: ResponseSpec(BulkCorrectionView, description="Under way; ask again.")},
    )
    async def show(
        self, run_id: Id, principal: Asking, bulk_corrections: BulkCorrectionsIn
    ) -> Response[BulkCorrectionView]:
        return await _answer(await bulk_corrections.last(principal, run_id))


async def _answer(found: BulkCorrection) -> Response[BulkCorrectionView]:
    done = found.correction.state is RequestState.DONE
    status = HTTPStatus.OK if done else HTTPStatus.ACCEPTED
    location = {"Location": f"/imports/runs/{found.run.id}/correct-all"}
    return await answer(lambda: present_bulk_correction(found), status, location)
