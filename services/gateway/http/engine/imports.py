"""``/imports``: uploads and runs. Each handler reads the request, calls a capability, presents."""

import asyncio
from http import HTTPStatus

from litestar import Controller, Response, get, post
from litestar.openapi import ResponseSpec

from libs.contracts.states import TERMINAL_RUN_STATUSES
from libs.storage.documents import RunDocument
from services.gateway.access.principal import Principal
from services.gateway.http.answers import answer, encoded, encoded_answer
from services.gateway.http.dependencies import (
    AnyRequest,
    Asking,
    AskingForMany,
    DryRunsIn,
    Judge,
    PreviewsIn,
    RememberedIn,
    RunsIn,
    Settings,
    UploadsIn,
    WatchesIn,
)
from services.gateway.http.engine.operations import DryRunOperation, UploadOperation
from services.gateway.http.engine.parameters import (
    AfterRecord,
    ConfirmDeletes,
    IgnoreChanges,
    PreviewVersion,
    RejectedLimit,
    RunFilter,
    TemplateFilter,
)
from services.gateway.http.engine.progress_views import PROGRESS
from services.gateway.http.engine.run_views import (
    DeletedPage,
    DryRunView,
    RunPage,
    RunView,
    present_dry_run,
    present_run,
    present_summary,
)
from services.gateway.http.engine.upload_form import (
    UPLOAD_PLACES,
    dry_run_limits,
    engine_upload_limits,
    receive,
)
from services.gateway.http.event_stream import (
    ENDLESS,
    EVENT_STREAM,
    EventStream,
    EventStreamOperation,
    progress_answer,
)
from services.gateway.http.idempotency import IDEMPOTENT, REPLAYED_HEADER, Reads, idempotency_key, replay_upload
from services.gateway.http.openapi import ApiOperation
from services.gateway.http.page_parameters import After, Limit
from services.gateway.http.patience import Prefer, patience
from services.gateway.http.public_ids import Id
from services.gateway.runs.runs import CHECKED_STATUSES, Confirmation, RunDetails, Runs

FOLLOW: dict[int, ResponseSpec] = {
    HTTPStatus.ACCEPTED: ResponseSpec(RunView, description="Not at its end yet; follow Location.")
}


class ImportController(Controller):
    """Uploads and runs."""

    path = "/imports"
    tags = ("Imports",)

    @post(
        "/upload",
        operation_id="uploadFile",
        summary="Upload a file and have it validated",
        description=(
            "201 with the run once the file is checked (also where it failed the check: see `status` and `error`), "
            "202 with `Location` where that takes longer than the gateway waits. An upload with the `Idempotency-Key` "
            "of an earlier one gets the run of that and `Idempotent-Replayed: true`, if template, mapping and content "
            "of the file are the same; otherwise 422 `IDEMPOTENCY_KEY_REUSED`. Where the earlier file was refused, "
            "that is, its run failed before it was executed, the key may be used for another one."
        ),
        request_max_body_size=None,
        opt={IDEMPOTENT: Reads.UPLOAD},
        operation_class=UploadOperation,
        responses=FOLLOW,
    )
    async def upload(
        self,
        request: AnyRequest,
        principal: Asking,
        uploads: UploadsIn,
        judge: Judge,
        runs: RunsIn,
        settings: Settings,
        prefer: Prefer = None,
    ) -> Response[RunView]:
        key = idempotency_key(request.headers)
        received = await receive(request, principal, uploads, judge, engine_upload_limits(settings))
        with UPLOAD_PLACES.translating():
            submitted = await uploads.submit(received, key)
        await replay_upload(request, submitted.run.id, made_before=submitted.replayed)
        run = await runs.wait(received.principal, submitted.run, CHECKED_STATUSES, patience(prefer))
        done = HTTPStatus.CREATED if run.status in CHECKED_STATUSES else HTTPStatus.ACCEPTED
        headers = {REPLAYED_HEADER: "true"} if submitted.replayed else {}
        return await run_answer(await runs.details(received.principal, run), done, headers)

    @post(
        "/dry-run",
        operation_id="dryRun",
        summary="Check a file and keep nothing of it",
        description=(
            "The same readers and checks as an upload, by a saved template (`template_id`) or by one that comes along "
            "(`template`), so that a template can be tried before it is saved. 200 with what was found, also where "
            "the file is refused (see `status` and `error`); no run, row, file or event is left behind and the target "
            "is not touched. Meant for samples: 413 for larger files, 504 `DRY_RUN_TOO_LONG` where it takes too long."
        ),
        request_max_body_size=None,
        operation_class=DryRunOperation,
        status_code=HTTPStatus.OK,
    )
    async def dry_run(
        self,
        request: AnyRequest,
        principal: Asking,
        uploads: UploadsIn,
        judge: Judge,
        dry_runs: DryRunsIn,
        settings: Settings,
    ) -> Response[DryRunView]:
        with dry_runs.trying(principal):
            received = await receive(request, principal, uploads, judge, dry_run_limits(settings))
            found = await dry_runs.result(received.principal, await uploads.dry_run(received))
            return await answer(lambda: present_dry_run(found))

    @get("/runs", operation_id="listRuns", summary="List runs", operation_class=ApiOperation)
    async def list_runs(
        self,
        looking: AskingForMany,
        runs: RunsIn,
        limit: Limit = 20,
        after: After = None,
        status: RunFilter = None,
        template_id: TemplateFilter = None,
    ) -> RunPage:
        found = await runs.page(looking, limit, status=status, template_id=template_id, after=after)
        items = [present_summary(run) for run in found.items]
        return RunPage(data=items, next_after=items[-1].id if found.more else None)

    @get(
        "/runs/{run_id:str}",
        operation_id="getRun",
        summary="Show a run, with its progress while it is active",
        operation_class=ApiOperation,
    )
    async def show_run(
        self, run_id: Id, principal: Asking, runs: RunsIn, remembered: RememberedIn
    ) -> Response[RunView]:
        run = await runs.get(principal, run_id)

        async def shown() -> bytes:
            details = await runs.details(principal, run)
            return await asyncio.to_thread(lambda: encoded(present_run(details)))

        if run.status not in TERMINAL_RUN_STATUSES:
            return encoded_answer(await shown())
        rows = tuple(sorted((await runs.rejected_rows(principal, run)).items()))
        key = (run.tenant_id, run.id, run.version, run.updated_at, run.file_removed_at, repr(run.counts), rows)
        return encoded_answer(await remembered.content(key, shown))

    @get(
        "/runs/{run_id:str}/events",
        operation_id="followRun",
        summary="Follow a run until its end",
        opt={ENDLESS: True},
        media_type=EVENT_STREAM,
        operation_class=EventStreamOperation,
    )
    async def follow_run(
        self,
        request: AnyRequest,
        run_id: Id,
        principal: Asking,
        runs: RunsIn,
        watches: WatchesIn,
        settings: Settings,
    ) -> EventStream | Response[None]:
        run = await runs.get(principal, run_id)
        return progress_answer(request, principal, run, watches, PROGRESS, settings.send_seconds)

    @post(
        "/runs/{run_id:str}/execute",
        operation_id="executeRun",
        summary="Write a validated run into its target",
        description="200 with the run at its end, 202 where that takes longer than the gateway waits, 409 unless the "
        "run is validated (also when it is executing or completed already). A sync that would delete more than it may "
        "unasked answers 409 `DELETES_NOT_CONFIRMED` with the number: nothing is written, and the run stays validated "
        "until it is executed with `confirm_deletes` or cancelled. It is refused again where even more would go by "
        "then. Of the syncs of one resource one is executed at a time: 202 with `sync.waiting_for` while another is. "
        "Where a preview of the run was worked out and other runs have changed its target since, 409 "
        "`PREVIEW_OUTDATED` says which, unless `ignore_changes` is true; `preview_version` makes sure that it is the "
        "preview which was looked at. A run of which nobody has asked for a preview is executed without this.",
        operation_class=ApiOperation,
        status_code=HTTPStatus.OK,
        responses=FOLLOW,
    )
    async def execute(
        self,
        run_id: Id,
        principal: Asking,
        runs: RunsIn,
        previews: PreviewsIn,
        confirm_deletes: ConfirmDeletes = None,
        preview_version: PreviewVersion = None,
        prefer: Prefer = None,
        *,
        ignore_changes: IgnoreChanges = False,
    ) -> Response[RunView]:
        if not ignore_changes:
            await previews.require_current(principal, run_id, preview_version)
        confirmation = None
        if confirm_deletes is not None:
            whatever = confirm_deletes == "true"
            confirmation = Confirmation(most=None if whatever else int(confirm_deletes), whatever=whatever)
        run = await runs.execute(principal, run_id, confirmation, patience(prefer))
        return await ended_answer(principal, runs, run)

    @post(
        "/runs/{run_id:str}/cancel",
        operation_id="cancelRun",
        summary="Cancel an active run",
        description="A run reported as cancelled makes no further change. What it had written stays and is counted. "
        "409 where the run has ended.",
        operation_class=ApiOperation,
        status_code=HTTPStatus.OK,
        responses=FOLLOW,
    )
    async def cancel(self, run_id: Id, principal: Asking, runs: RunsIn) -> Response[RunView]:
        return await ended_answer(principal, runs, await runs.cancel(principal, run_id))

    @post(
        "/runs/{run_id:str}/revert",
        operation_id="revertRun",
        summary="Take back what a completed run has written",
        description="Records that it created are removed, those that it changed get their former values back, those "
        "that it deleted return; what somebody else has changed since stays as it is and is listed in `kept`. 200 with "
        "the run once it is reverted, 202 where that takes longer than the gateway waits; 409 `WRONG_STATE` unless it "
        "is completed (also when it is reverted already), 409 `NOT_REVERTIBLE` after `revertible_until`, 409 "
        "`HAS_RETRIES` while retries of it stand.",
        operation_class=ApiOperation,
        status_code=HTTPStatus.OK,
        responses=FOLLOW,
    )
    async def revert(self, run_id: Id, principal: Asking, runs: RunsIn, prefer: Prefer = None) -> Response[RunView]:
        return await ended_answer(principal, runs, await runs.revert(principal, run_id, patience(prefer)))

    @get(
        "/runs/{run_id:str}/deleted",
        operation_id="listDeleted",
        summary="List the records that a run has deleted",
        description="All of them; the run itself shows the first 1,000. Those that a revert has brought back since "
        "are among them.",
        operation_class=ApiOperation,
    )
    async def deleted(
        self, run_id: Id, principal: Asking, runs: RunsIn, limit: RejectedLimit = 100, after: AfterRecord = None
    ) -> DeletedPage:
        found = await runs.deleted(principal, run_id, limit, after)
        return DeletedPage(data=list(found.items), next_after=found.items[-1] if found.more else None)


async def ended_answer(principal: Principal, runs: Runs, run: RunDocument) -> Response[RunView]:
    """200 with a run at its end, 202 with one that is still at work."""
    ended = run.finished_at is not None
    return await run_answer(await runs.details(principal, run), HTTPStatus.OK if ended else HTTPStatus.ACCEPTED)


async def run_answer(
    details: RunDetails, status: HTTPStatus, headers: dict[str, str] | None = None
) -> Response[RunView]:
    """The answer with a run, and where it is found."""
    location = {"Location": f"/imports/runs/{details.run.id}"}
    return await answer(lambda: present_run(details), status, location | (headers or {}))
