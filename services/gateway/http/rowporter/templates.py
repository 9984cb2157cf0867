"""``/api/v1/templates``."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus

from litestar import Controller, Response, delete, get, patch, post

from libs.storage.documents import TemplateDocument
from services.gateway.http.answers import answer
from services.gateway.http.dependencies import (
    AnyRequest,
    Asking,
    AskingFor,
    AskingForMany,
    Catalog,
    EffectId,
    Judge,
    RunsIn,
)
from services.gateway.http.etags import TAGGED, Tagged, tagged_answer, wanted_versions
from services.gateway.http.idempotency import IDEMPOTENT, Reads
from services.gateway.http.json_body import JsonBody, json_body
from services.gateway.http.places import Places
from services.gateway.http.public_ids import Id, asked_for, model_id
from services.gateway.http.rowporter.ids import template_id as public_id
from services.gateway.http.rowporter.operations import (
    CreateTemplateOperation,
    RowporterOperation,
    TemplateListOperation,
    TemplateOperation,
    UpdateTemplateOperation,
)
from services.gateway.http.rowporter.parameters import DEFAULT_LIMIT, Limit, PageNumber
from services.gateway.http.rowporter.template_models import (
    VOCABULARY,
    RowporterTemplatePage,
    RowporterTemplateView,
    pagination,
)
from services.gateway.http.rowporter.template_reading import read_template
from services.gateway.http.rowporter.template_view import OWN_TARGET, present_template, request_of
from services.gateway.http.template_reading import (
    TemplateRequest,
    change_template,
    own_resource,
    remembered_words,
)
from services.gateway.templates.judging import TemplateJudge
from services.gateway.webhooks.endpoints import Linked

KIND = "template"
COPY = " (Copy)"
MAX_NAME_CHARS = 200
_QUERY = Places("query")


class RowporterTemplateController(Controller):
    """Templates."""

    path = "/api/v1/templates"
    tags = ("Templates of Rowporter",)

    @get(
        "/",
        operation_id="listRowporterTemplates",
        summary="List all templates of the organization",
        operation_class=TemplateListOperation,
    )
    async def page(
        self,
        looking: AskingForMany,
        catalog: Catalog,
        runs: RunsIn,
        page: PageNumber = 1,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Response[RowporterTemplatePage]:
        with _QUERY.translating():
            found = await catalog.window(looking, (page - 1) * limit, limit, VOCABULARY)
        total = await catalog.count(looking, VOCABULARY)
        imports = await runs.by_template(looking, [each.document.id for each in found])
        return await answer(
            lambda: RowporterTemplatePage(
                data=[present_template(each, imports.get(each.document.id, 0)) for each in found],
                pagination=pagination(page, limit, total),
            )
        )

    @post(
        "/",
        operation_id="createRowporterTemplate",
        summary="Create a template",
        description="Its records go to a collection of its own, unless it names a `target_resource`.",
        opt={IDEMPOTENT: Reads.CONTENT, TAGGED: Tagged.NEW},
        operation_class=CreateTemplateOperation,
    )
    async def create(
        self, request: AnyRequest, acting: AskingFor, catalog: Catalog, judge: Judge, effect_id: EffectId
    ) -> Response[RowporterTemplateView]:
        body = await json_body(request)
        wanted = await judge.turns.run(acting, lambda: read_template(body.decoded(), judge))
        with wanted.places.translating():
            linked = await catalog.create(acting, wanted.approved, wanted.written, identifier=effect_id)
        return await _answer(request, linked, 0, created=True)

    @get(
        "/{template_id:str}",
        operation_id="getRowporterTemplate",
        summary="Get a template",
        opt={TAGGED: Tagged.THERE},
        operation_class=TemplateOperation,
    )
    async def show(
        self, request: AnyRequest, template_id: Id, principal: Asking, catalog: Catalog, runs: RunsIn
    ) -> Response[RowporterTemplateView]:
        with asked_for(KIND, template_id):
            linked = await catalog.get(principal, model_id(template_id), VOCABULARY)
        imports = await runs.by_template(principal, [linked.document.id])
        return await _answer(request, linked, imports.get(linked.document.id, 0))

    @patch(
        "/{template_id:str}",
        operation_id="updateRowporterTemplate",
        summary="Change a template",
        description="Only what is sent is changed; `columns` replace the list before.",
        opt={TAGGED: Tagged.THERE},
        operation_class=UpdateTemplateOperation,
    )
    async def update(
        self, request: AnyRequest, template_id: Id, principal: Asking, catalog: Catalog, judge: Judge, runs: RunsIn
    ) -> Response[RowporterTemplateView]:
        versions, body = wanted_versions(request), await json_body(request)
        changes = partial(_with_changes, body, judge)
        with asked_for(KIND, template_id):
            linked = await change_template(
                principal, catalog, judge, model_id(template_id), VOCABULARY, changes, versions
            )
        imports = await runs.by_template(principal, [linked.document.id])
        return await _answer(request, linked, imports.get(linked.document.id, 0))

    @post(
        "/{template_id:str}/duplicate",
        operation_id="duplicateRowporterTemplate",
        summary="Duplicate a template",
        description="The copy has `(Copy)` behind its name, a collection of its own where the original has one, and no "
        "receiver of webhooks.",
        opt={IDEMPOTENT: Reads.NOTHING, TAGGED: Tagged.NEW},
        operation_class=TemplateOperation,
    )
    async def duplicate(
        self, request: AnyRequest, template_id: Id, principal: Asking, catalog: Catalog, effect_id: EffectId
    ) -> Response[RowporterTemplateView]:
        with asked_for(KIND, template_id):
            linked = await catalog.copy(principal, model_id(template_id), VOCABULARY, _renewed, identifier=effect_id)
        return await _answer(request, linked, 0, created=True)

    @delete(
        "/{template_id:str}",
        operation_id="deleteRowporterTemplate",
        summary="Delete a template; its imports stay",
        opt={TAGGED: Tagged.THERE},
        operation_class=RowporterOperation,
    )
    async def remove(self, request: AnyRequest, template_id: Id, principal: Asking, catalog: Catalog) -> None:
        with asked_for(KIND, template_id):
            await catalog.delete(principal, model_id(template_id), VOCABULARY, wanted_versions(request))


async def _answer(
    request: AnyRequest, linked: Linked, imports: int, *, created: bool = False
) -> Response[RowporterTemplateView]:
    status, headers = HTTPStatus.OK, dict[str, str]()
    if created:
        status, headers["Location"] = HTTPStatus.CREATED, f"/api/v1/templates/{public_id(linked.document.id)}"
    version = linked.document.version
    return await tagged_answer(request, version, lambda: present_template(linked, imports), status, headers)


def _with_changes(body: JsonBody, judge: TemplateJudge, current: Linked) -> TemplateRequest:
    words = remembered_words(current.document.wording, current.document.version)
    return read_template(body.decoded(), judge, request_of(present_template(current, 0)), words)


def _renewed(source: TemplateDocument) -> Mapping[str, object]:
    """What a copy has of its own."""
    name = source.template.name[: MAX_NAME_CHARS - len(COPY)] + COPY
    own = remembered_words(source.wording, source.version).get(OWN_TARGET)
    return {"name": name, **({"target_resource": own_resource(name, KIND)} if own else {})}
