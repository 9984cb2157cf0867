"""``/imports/preview`` and ``/imports/runs/{id}/preview``: what a file would do to the records that exist."""

from http import HTTPStatus

from litestar import Controller, Response, get, post
from litestar.openapi import ResponseSpec

from libs.contracts.purposes import RunPurpose
from libs.storage.documents import RequestState
from services.gateway.http.answers import answer
from services.gateway.http.dependencies import (
    AnyRequest,
    Asking,
    DryRunsIn,
    Judge,
    PreviewsIn,
    Settings,
    UploadsIn,
)
from services.gateway.http.engine.operations import DryRunOperation
from services.gateway.http.engine.preview_views import PreviewView, present_preview
from services.gateway.http.engine.upload_form import dry_run_limits, receive
from services.gateway.http.openapi import ApiOperation
from services.gateway.http.public_ids import Id
from services.gateway.runs.previews import PreviewOfRun


class PreviewController(Controller):
    """Previews."""

    path = "/imports"
    tags = ("Imports",)

    @post(
        "/preview",
        operation_id="previewFile",
        summary="Show what a file would do, and keep nothing of it",
        description=(
            "Checked as an upload is, then planned as an execution is, beside the records that exist: how many rows "
            "would create, update or delete a record or be skipped, with samples, before and after. 200 with what was "
            "found, also where the file is refused (see `status` and `error`); nothing is written, and no run is left. "
            "Meant for samples: 413 for larger files, 504 `PREVIEW_TOO_LONG` where it takes too long; upload these and "
            "ask for the preview of the run."
        ),
        request_max_body_size=None,
        operation_class=DryRunOperation,
        status_code=HTTPStatus.OK,
    )
    async def preview_file(
        self,
        request: AnyRequest,
        principal: Asking,
        uploads: UploadsIn,
        judge: Judge,
        dry_runs: DryRunsIn,
        previews: PreviewsIn,
        settings: Settings,
    ) -> Response[PreviewView]:
        with dry_runs.trying(principal):
            received = await receive(request, principal, uploads, judge, dry_run_limits(settings))
            run = await uploads.dry_run(received, RunPurpose.PREVIEW)
            found = await previews.of_file(received.principal, run)
            return await answer(lambda: present_preview(found, kept=False))

    @post(
        "/runs/{run_id:str}/preview",
        operation_id="previewRun",
        summary="Show what a validated run would do",
        description=(
            "200 with the preview, 202 with `Location` where it takes longer than the gateway waits; 409 `WRONG_STATE` "
            "unless the run is validated. Nothing is written. Its `version` goes to the execution as "
            "`preview_version`."
        ),
        operation_class=ApiOperation,
        status_code=HTTPStatus.OK,
        responses={HTTPStatus.ACCEPTED: ResponseSpec(PreviewView, description="Not worked out yet; follow Location.")},
    )
    async def preview_run(self, run_id: Id, principal: Asking, previews: PreviewsIn) -> Response[PreviewView]:
        return await _answer(await previews.of_run(principal, run_id))

    @get(
        "/runs/{run_id:str}/preview",
        operation_id="getPreview",
        summary="Show the last preview of a run",
        description="409 `NO_PREVIEW` where nobody has asked for one.",
        operation_class=ApiOperation,
        responses={HTTPStatus.ACCEPTED: ResponseSpec(PreviewView, description="Not worked out yet; ask again.")},
    )
    async def show_preview(self, run_id: Id, principal: Asking, previews: PreviewsIn) -> Response[PreviewView]:
        return await _answer(await previews.last(principal, run_id))


async def _answer(found: PreviewOfRun) -> Response[PreviewView]:
    done = found.preview is not None and found.preview.state is RequestState.DONE
    status = HTTPStatus.OK if done else HTTPStatus.ACCEPTED
    location = {"Location": f"/imports/runs/{found.run.id}/preview"}
    return await answer(lambda: present_preview(found, kept=True), status, location)
