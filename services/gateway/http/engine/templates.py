"""``/imports/templates``."""

from http import HTTPStatus

from litestar import Controller, Response, delete, get, post, put
from pydantic import BaseModel

from services.gateway.http.answers import answer
from services.gateway.http.dependencies import AnyRequest, Asking, AskingFor, AskingForMany, Catalog, EffectId, Judge
from services.gateway.http.engine.operations import TemplateOperation
from services.gateway.http.engine.template_models import VOCABULARY, EngineTemplateView
from services.gateway.http.engine.template_reading import read_template
from services.gateway.http.engine.template_view import present_template
from services.gateway.http.etags import TAGGED, Tagged, tagged_answer, wanted_versions
from services.gateway.http.idempotency import IDEMPOTENT, Reads
from services.gateway.http.json_body import json_body
from services.gateway.http.openapi import ApiOperation
from services.gateway.http.page_parameters import After, Limit
from services.gateway.http.public_ids import Id
from services.gateway.stores.paging import Page
from services.gateway.webhooks.endpoints import Linked


class TemplatePage(BaseModel):
    """Newest first; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[EngineTemplateView]
    next_after: str | None


class TemplateController(Controller):
    """Import templates."""

    path = "/imports/templates"
    tags = ("Templates",)

    @post(
        "/",
        operation_id="createTemplate",
        summary="Create a template",
        opt={IDEMPOTENT: Reads.CONTENT, TAGGED: Tagged.NEW},
        operation_class=TemplateOperation,
    )
    async def create(
        self, request: AnyRequest, acting: AskingFor, catalog: Catalog, judge: Judge, effect_id: EffectId
    ) -> Response[EngineTemplateView]:
        body = await json_body(request)
        wanted = await judge.turns.run(acting, lambda: read_template(body.decoded(), judge))
        with wanted.places.translating():
            linked = await catalog.create(acting, wanted.approved, wanted.written, identifier=effect_id)
        headers = {"Location": f"/imports/templates/{linked.document.id}"}
        return await _answer(request, linked, HTTPStatus.CREATED, headers)

    @get("/", operation_id="listTemplates", summary="List templates", operation_class=ApiOperation)
    async def page(
        self, looking: AskingForMany, catalog: Catalog, limit: Limit = 20, after: After = None
    ) -> Response[TemplatePage]:
        found = await catalog.page(looking, limit, after, VOCABULARY)
        return await answer(lambda: _present_page(found))

    @get(
        "/{template_id:str}",
        operation_id="getTemplate",
        summary="Show a template",
        opt={TAGGED: Tagged.THERE},
        operation_class=ApiOperation,
    )
    async def show(
        self, request: AnyRequest, template_id: Id, principal: Asking, catalog: Catalog
    ) -> Response[EngineTemplateView]:
        return await _answer(request, await catalog.get(principal, template_id, VOCABULARY))

    @put(
        "/{template_id:str}",
        operation_id="replaceTemplate",
        summary="Replace a template by its next version",
        opt={TAGGED: Tagged.THERE},
        operation_class=TemplateOperation,
    )
    async def replace(
        self,
        request: AnyRequest,
        template_id: Id,
        principal: Asking,
        catalog: Catalog,
        judge: Judge,
    ) -> Response[EngineTemplateView]:
        versions, body = wanted_versions(request), await json_body(request)
        wanted = await judge.turns.run(principal, lambda: read_template(body.decoded(), judge))
        with wanted.places.translating():
            linked = await catalog.replace(
                principal, template_id, wanted.approved, wanted.written, version=wanted.version, wanted=versions
            )
        return await _answer(request, linked)

    @post(
        "/{template_id:str}/copy",
        operation_id="copyTemplate",
        summary="Copy a template, also one that is shared with the organization",
        description="The copy is the organization's own: it can be changed, is shared with nobody, and has no "
        "receiver of webhooks.",
        opt={IDEMPOTENT: Reads.NOTHING, TAGGED: Tagged.NEW},
        operation_class=ApiOperation,
    )
    async def copy(
        self, request: AnyRequest, template_id: Id, principal: Asking, catalog: Catalog, effect_id: EffectId
    ) -> Response[EngineTemplateView]:
        linked = await catalog.copy(principal, template_id, VOCABULARY, identifier=effect_id)
        headers = {"Location": f"/imports/templates/{linked.document.id}"}
        return await _answer(request, linked, HTTPStatus.CREATED, headers)

    @delete(
        "/{template_id:str}",
        operation_id="deleteTemplate",
        summary="Delete a template; its runs stay",
        opt={TAGGED: Tagged.THERE},
        operation_class=ApiOperation,
    )
    async def remove(self, request: AnyRequest, template_id: Id, principal: Asking, catalog: Catalog) -> None:
        await catalog.delete(principal, template_id, VOCABULARY, wanted_versions(request))


async def _answer(
    request: AnyRequest, linked: Linked, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response[EngineTemplateView]:
    return await tagged_answer(request, linked.document.version, lambda: present_template(linked), status, headers)


def _present_page(found: Page[Linked]) -> TemplatePage:
    items = [present_template(linked) for linked in found.items]
    return TemplatePage(data=items, next_after=items[-1].id if found.more else None)
