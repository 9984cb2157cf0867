"""``/api/v1/imports`` as far as it is this vocabulary's: the list, and what it brings to the routes that are shared."""

import json
from collections.abc import Callable
from typing import cast

from litestar import Controller, Response, get
from litestar.openapi.spec import OpenAPIType, Schema

from services.gateway.access.principal import Principal
from services.gateway.errors import Problem, invalid_input
from services.gateway.http.answers import answer
from services.gateway.http.dependencies import AskingForMany, RunsIn
from services.gateway.http.envelope import exception_handlers
from services.gateway.http.public_ids import model_id
from services.gateway.http.rowporter.examples import SHOWN
from services.gateway.http.rowporter.import_views import (
    STATUSES,
    ImportPage,
    RowporterImport,
    present_import,
    present_listed,
)
from services.gateway.http.rowporter.operations import ImportListOperation
from services.gateway.http.rowporter.parameters import DEFAULT_LIMIT, Limit, PageNumber, StatusFilter, TemplateFilter
from services.gateway.http.rowporter.progress_views import PROGRESS
from services.gateway.http.rowporter.refusals import RowporterError, present_refusal
from services.gateway.http.rowporter.template_models import VOCABULARY, pagination
from services.gateway.http.shared_imports import AnswerModel, ImportsVocabulary, Look, Part
from services.gateway.http.upload_parts import json_part
from services.gateway.runs.notices import EndNotice, end_notices
from services.gateway.stores.runs import GlancedRun
from services.gateway.uploads.uploads import Upload

MAX_METADATA_BYTES = 8 * 1024
MAX_USER_BYTES = 200


@get(
    "/",
    operation_id="listRowporterImports",
    summary="List all imports of the organization",
    description="Those of templates of this vocabulary, the newest first.",
    tags=["Imports of Rowporter"],
    operation_class=ImportListOperation,
    exception_handlers=exception_handlers(present_refusal),
)
async def list_imports(
    self: Controller,
    looking: AskingForMany,
    runs: RunsIn,
    template: TemplateFilter = None,
    status: StatusFilter = None,
    page: PageNumber = 1,
    limit: Limit = DEFAULT_LIMIT,
) -> Response[ImportPage]:
    """A page of imports, at the path that vocabularies share."""
    del self
    wanted = None if status is None else [each for each, name in STATUSES.items() if name == status]
    of_template = None if template is None else model_id(template)
    found = await runs.window(looking, (page - 1) * limit, limit, template_id=of_template, statuses=wanted)
    notices = await end_notices(looking, found.runs)
    return await answer(
        lambda: ImportPage(
            data=[present_listed(run, notices.get(run.id)) for run in found.runs],
            pagination=pagination(page, limit, found.total),
        )
    )


async def _look(look: Look) -> RowporterImport:
    found = await look.runs.findings(look.principal, look.run)
    notices = await end_notices(look.principal, [look.run])
    return present_import(look.run, found.totals, found.errors, notices.get(look.run.id))


async def _notice(principal: Principal, run: GlancedRun) -> EndNotice | None:
    return (await end_notices(principal, [run])).get(run.id)


def _take_metadata(upload: Upload, text: str) -> None:
    value = json_part(text, "body.metadata")
    if not isinstance(value, dict):
        raise invalid_input(
            Problem("body.metadata", "INVALID", 'must be a JSON object, such as {"source": "dashboard"}')
        )
    upload.metadata = json.dumps(cast("dict[str, object]", value), ensure_ascii=False)


def _take_user(upload: Upload, text: str) -> None:
    if not text or not text.isprintable():
        raise invalid_input(Problem("body.externalUserId", "INVALID", "must be a text of characters that can be seen"))
    upload.external_user_id = text


_TAKEN: dict[str, tuple[int, str, Callable[[Upload, str], None]]] = {
    "metadata": (
        MAX_METADATA_BYTES,
        "A JSON object of your own, which is shown with the import.",
        _take_metadata,
    ),
    "externalUserId": (MAX_USER_BYTES, "For which of your users the import is.", _take_user),
}
IMPORTS = ImportsVocabulary(
    name=VOCABULARY,
    configuration="template",
    chooser="template_id",
    present_error=present_refusal,
    started=_look,
    shown=_look,
    started_model=AnswerModel(RowporterImport, SHOWN),
    shown_model=AnswerModel(RowporterImport, SHOWN),
    error_model=RowporterError,
    progress=PROGRESS,
    beside=_notice,
    routes=(list_imports,),
    parts={
        name: Part(Schema(type=OpenAPIType.STRING, max_length=most, description=said), most, take)
        for name, (most, said, take) in _TAKEN.items()
    },
)
