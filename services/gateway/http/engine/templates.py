"""``/imports/templates``."""

from http import HTTPStatus

from litestar import Controller, Response, delete, get, post, put
from pydantic import BaseModel

from services.gateway.http.answers import answer
from services.gateway.http.dependencies import AnyRequest, Asking, AskingFor, AskingForMany, Catalog, Judge
from services.gateway.http.engine.operations import TemplateOperation
from services.gateway.http.engine.parameters import After, Id, Limit
from services.gateway.http.engine.template_models import EngineTemplateView
from services.gateway.http.engine.template_reading import read_template
from services.gateway.http.engine.template_view import present_template
from services.gateway.http.json_body import json_body
from services.gateway.http.openapi import ApiOperation
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

    @post("/", operation_id="createTemplate", summary="Create a template", operation_class=TemplateOperation)
    async def create(
        self, request: AnyRequest, acting: AskingFor, catalog: Catalog, judge: Judge
    ) -> Response[EngineTemplateView]:
        body = await json_body(request)
        wanted = await judge.turns.run(acting, lambda: read_template(body.decoded(), judge))
        with wanted.places.translating():
            linked = await catalog.create(acting, wanted.approved, wanted.written)
        headers = {"Location": f"/imports/templates/{linked.document.id}"}
        return await answer(lambda: present_template(linked), HTTPStatus.CREATED, headers)

    @get("/", operation_id="listTemplates", summary="List templates", operation_class=ApiOperation)
    async def page(
        self, looking: AskingForMany, catalog: Catalog, limit: Limit = 20, after: After = None
    ) -> Response[TemplatePage]:
        found = await catalog.page(looking, limit, after)
        return await answer(lambda: _present_page(found))

    @get("/{template_id:str}", operation_id="getTemplate", summary="Show a template", operation_class=ApiOperation)
    async def show(self, template_id: Id, principal: Asking, catalog: Catalog) -> Response[EngineTemplateView]:
        linked = await catalog.get(principal, template_id)
        return await answer(lambda: present_template(linked))

    @put(
        "/{template_id:str}",
        operation_id="replaceTemplate",
        summary="Replace a template by its next version",
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
        body = await json_body(request)
        wanted = await judge.turns.run(principal, lambda: read_template(body.decoded(), judge))
        with wanted.places.translating():
            linked = await catalog.replace(
                principal, template_id, wanted.approved, wanted.written, version=wanted.version
            )
        return await answer(lambda: present_template(linked))

    @post(
        "/{template_id:str}/copy",
        operation_id="copyTemplate",
        summary="Copy a template, also one that is shared with the organization",
        description="The copy is the organization's own: it can be changed, is shared with nobody, and has no "
        "receiver of webhooks.",
        operation_class=ApiOperation,
    )
    async def copy(self, template_id: Id, principal: Asking, catalog: Catalog) -> Response[EngineTemplateView]:
        linked = await catalog.copy(principal, template_id)
        headers = {"Location": f"/imports/templates/{linked.document.id}"}
        return await answer(lambda: present_template(linked), HTTPStatus.CREATED, headers)

    @delete(
        "/{template_id:str}",
        operation_id="deleteTemplate",
        summary="Delete a template; its runs stay",
        operation_class=ApiOperation,
    )
    async def remove(self, template_id: Id, principal: Asking, catalog: Catalog) -> None:
        await catalog.delete(principal, template_id)


def _present_page(found: Page[Linked]) -> TemplatePage:
    items = [present_template(linked) for linked in found.items]
    return TemplatePage(data=items, next_after=items[-1].id if found.more else None)
