"""``/imports``: the engine's public surface. Each handler reads the request, calls one use case, presents."""

from http import HTTPStatus
from typing import Annotated, Any

from litestar import Controller, Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from pydantic import BaseModel

from libs.contracts.states import RunStatus
from libs.storage.documents import RunDocument
from services.gateway.domain.engine_vocabulary import EngineTemplateView
from services.gateway.domain.json_text import InvalidJsonError, decode_json
from services.gateway.domain.problems import Problem
from services.gateway.dry_runs import DryRuns
from services.gateway.http_errors import ApiError
from services.gateway.runs import CHECKED_STATUSES, Runs
from services.gateway.template_catalog import TemplateCatalog, view_of
from services.gateway.tenant_store import TenantStore
from services.gateway.uploads import Uploads
from services.gateway.views import (
    DryRunView,
    RejectedPage,
    RunPage,
    RunView,
    present_rejected,
    present_run,
)

MAX_PAGE = 100
MAX_REJECTED_PAGE = 1_000

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE, description="Most entries of a page.")]
RejectedLimit = Annotated[int, QueryParameter(ge=1, le=MAX_REJECTED_PAGE, description="Most entries of a page.")]
After = Annotated[str | None, QueryParameter(max_length=100, description="The next_after of the page before.")]
AfterRow = Annotated[int, QueryParameter(ge=0, le=2**32, description="The next_after of the page before.")]
RunFilter = Annotated[RunStatus | None, QueryParameter(description="Only runs in this status.")]
TemplateFilter = Annotated[str | None, QueryParameter(max_length=100, description="Only runs of this template.")]
RunOfRows = Annotated[str, QueryParameter(max_length=100, description="The run whose rejected rows are wanted.")]

Id = FromPath[str]
Store = NamedDependency[TenantStore]
Catalog = NamedDependency[TemplateCatalog]
UploadsIn = NamedDependency[Uploads]
RunsIn = NamedDependency[Runs]
DryRunsIn = NamedDependency[DryRuns]
GatewayRequest = Request[Any, Any, Any]


class TemplatePage(BaseModel):
    """Newest first; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[EngineTemplateView]
    next_after: str | None


class TemplateController(Controller):
    """Import templates."""

    path = "/imports/templates"
    tags = ("Templates",)

    @post("/", operation_id="createTemplate", summary="Create a template")
    async def create(self, request: GatewayRequest, store: Store, catalog: Catalog) -> Response[EngineTemplateView]:
        view = await catalog.create(store, await _json_body(request))
        return Response(view, status_code=HTTPStatus.CREATED, headers={"Location": f"/imports/templates/{view.id}"})

    @get("/", operation_id="listTemplates", summary="List templates")
    async def page(self, store: Store, limit: Limit = 20, after: After = None) -> TemplatePage:
        found = await store.templates(limit + 1, after)
        more = len(found) > limit
        items = [view_of(document) for document in found[:limit]]
        return TemplatePage(data=items, next_after=items[-1].id if more else None)

    @get("/{template_id:str}", operation_id="getTemplate", summary="Show a template")
    async def show(self, template_id: Id, store: Store, catalog: Catalog) -> EngineTemplateView:
        return view_of(await catalog.get(store, template_id))

    @put("/{template_id:str}", operation_id="replaceTemplate", summary="Replace a template by its next version")
    async def replace(
        self, request: GatewayRequest, template_id: Id, store: Store, catalog: Catalog
    ) -> EngineTemplateView:
        return await catalog.replace(store, template_id, await _json_body(request))

    @delete("/{template_id:str}", operation_id="deleteTemplate", summary="Delete a template; its runs stay")
    async def remove(self, template_id: Id, store: Store, catalog: Catalog) -> None:
        await catalog.delete(store, template_id)


class ImportController(Controller):
    """Uploads, runs and rejected rows."""

    path = "/imports"
    tags = ("Imports",)

    @post(
        "/upload",
        operation_id="uploadFile",
        summary="Upload a file and have it validated",
        description=(
            "201 with the run once the file is checked (also where it failed the check: see `status` and `error`), "
            "202 with `Location` where that takes longer than the gateway waits. A repeated `Idempotency-Key` gets the "
            "run of the first request with that key and `Idempotent-Replayed: true`; its file is not read."
        ),
        request_max_body_size=None,
    )
    async def upload(
        self, request: GatewayRequest, store: Store, uploads: UploadsIn, runs: RunsIn
    ) -> Response[RunView]:
        submitted, replayed = await uploads.accept(request, store)
        run = await runs.wait(store, submitted, CHECKED_STATUSES)
        done = HTTPStatus.CREATED if run.status in CHECKED_STATUSES else HTTPStatus.ACCEPTED
        return _run_answer(await runs.view(store, run), done, {"Idempotent-Replayed": "true"} if replayed else {})

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
        status_code=HTTPStatus.OK,
    )
    async def dry_run(
        self, request: GatewayRequest, store: Store, uploads: UploadsIn, dry_runs: DryRunsIn
    ) -> DryRunView:
        return await dry_runs.result(store, await uploads.accept_dry_run(request, store))

    @get("/runs", operation_id="listRuns", summary="List runs")
    async def list_runs(
        self,
        store: Store,
        limit: Limit = 20,
        after: After = None,
        status: RunFilter = None,
        template_id: TemplateFilter = None,
    ) -> RunPage:
        found = await store.runs(limit + 1, status=status, template_id=template_id, after=after)
        more = len(found) > limit
        items = [present_run(run) for run in found[:limit]]
        return RunPage(data=items, next_after=items[-1].id if more else None)

    @get("/runs/{run_id:str}", operation_id="getRun", summary="Show a run, with its progress while it is active")
    async def show_run(self, run_id: Id, store: Store, runs: RunsIn) -> RunView:
        return await runs.view(store, await runs.get(store, run_id))

    @post(
        "/runs/{run_id:str}/execute",
        operation_id="executeRun",
        summary="Write a validated run into its target",
        description="200 with the run at its end, 202 where that takes longer than the gateway waits, 409 unless the "
        "run is validated (also when it is executing or completed already).",
    )
    async def execute(self, run_id: Id, store: Store, runs: RunsIn) -> Response[RunView]:
        return await _ended_answer(store, runs, await runs.execute(store, run_id))

    @post(
        "/runs/{run_id:str}/cancel",
        operation_id="cancelRun",
        summary="Cancel an active run",
        description="A run reported as cancelled makes no further change. What it had written stays and is counted. "
        "409 where the run has ended.",
    )
    async def cancel(self, run_id: Id, store: Store, runs: RunsIn) -> Response[RunView]:
        return await _ended_answer(store, runs, await runs.cancel(store, run_id))

    @get("/rejected", operation_id="listRejected", summary="List the rejected rows of a run")
    async def rejected(
        self, run_id: RunOfRows, store: Store, runs: RunsIn, limit: RejectedLimit = 100, after: AfterRow = 0
    ) -> RejectedPage:
        run = await runs.get(store, run_id)
        found = await store.rejected(run_id, limit + 1, after)
        more = len(found) > limit
        items = [present_rejected(record, run) for record in found[:limit]]
        return RejectedPage(data=items, next_after=items[-1].row if more else None)


async def _ended_answer(store: TenantStore, runs: Runs, run: RunDocument) -> Response[RunView]:
    ended = run.finished_at is not None
    return _run_answer(await runs.view(store, run), HTTPStatus.OK if ended else HTTPStatus.ACCEPTED)


def _run_answer(view: RunView, status: HTTPStatus, headers: dict[str, str] | None = None) -> Response[RunView]:
    return Response(view, status_code=status, headers={"Location": f"/imports/runs/{view.id}", **(headers or {})})


async def _json_body(request: GatewayRequest) -> object:
    """The decoded body of a request; strict JSON only (no ``NaN``)."""
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "NOT_JSON", f"send application/json; this is {media_type[:100]!r}"
        )
    try:
        return decode_json(await request.body())
    except InvalidJsonError as error:
        problem = Problem(f"body{error.place}", "INVALID_JSON", error.message)
        raise ApiError(HTTPStatus.BAD_REQUEST, problem.code, f"the body cannot be read: {error}", [problem]) from None
