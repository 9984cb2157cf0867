"""``/api/v1/importers``."""

import asyncio
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Annotated
from uuid import uuid4

from litestar import Controller, Response, delete, get, post, put
from litestar.params import QueryParameter
from pydantic import RootModel

from libs.contracts.ids import as_uuid
from services.gateway.http.answers import encoded, encoded_answer
from services.gateway.http.dependencies import AnyRequest, Asking, AskingFor, AskingForMany, Catalog, EffectId, Judge
from services.gateway.http.etags import TAGGED, Tagged, tagged_answer, wanted_versions
from services.gateway.http.idempotency import IDEMPOTENT, Reads
from services.gateway.http.importers.importer_models import VOCABULARY, ImporterView
from services.gateway.http.importers.importer_reading import read_importer
from services.gateway.http.importers.importer_view import present_importer, request_of
from services.gateway.http.importers.operations import (
    CreateImporterOperation,
    ImporterListOperation,
    ImporterOperation,
    UpdateImporterOperation,
)
from services.gateway.http.json_body import JsonBody, json_body
from services.gateway.http.openapi import ApiOperation
from services.gateway.http.places import Places
from services.gateway.http.public_ids import Id, asked_for, model_id
from services.gateway.http.template_reading import TemplateRequest, change_template
from services.gateway.templates.judging import TemplateJudge
from services.gateway.webhooks.endpoints import Linked

DEFAULT_LIMIT, MAX_LIMIT, MAX_SKIP = 100, 1_000, 1_000_000
Skip = Annotated[int, QueryParameter(ge=0, le=MAX_SKIP, description="Number of records to skip.")]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Maximum records to return.")]
_QUERY = Places("query")


class ImporterController(Controller):
    """Importers."""

    path = "/api/v1/importers"
    tags = ("Importers",)

    @get("/", operation_id="listImporters", summary="List importers", operation_class=ImporterListOperation)
    async def importers(
        self, looking: AskingForMany, catalog: Catalog, skip: Skip = 0, limit: Limit = DEFAULT_LIMIT
    ) -> Response[list[ImporterView]]:
        with _QUERY.translating():
            found = await catalog.window(looking, skip, limit, VOCABULARY)
        return encoded_answer(await asyncio.to_thread(_encoded, found))

    @get(
        "/{importer_id:str}",
        operation_id="getImporter",
        summary="Show an importer",
        opt={TAGGED: Tagged.THERE},
        operation_class=ImporterOperation,
    )
    async def show(
        self, request: AnyRequest, importer_id: Id, principal: Asking, catalog: Catalog
    ) -> Response[ImporterView]:
        with asked_for("importer", importer_id):
            linked = await catalog.get(principal, model_id(importer_id), VOCABULARY)
        return await _answer(request, linked)

    @post(
        "/",
        operation_id="createImporter",
        summary="Create an importer",
        description="Its records go to a collection of its own, unless it names a `target_resource`.",
        opt={IDEMPOTENT: Reads.CONTENT, TAGGED: Tagged.NEW},
        operation_class=CreateImporterOperation,
    )
    async def create(
        self, request: AnyRequest, acting: AskingFor, catalog: Catalog, judge: Judge, effect_id: EffectId
    ) -> Response[ImporterView]:
        body = await json_body(request)
        wanted = await judge.turns.run(acting, lambda: read_importer(body.decoded(), judge))
        with wanted.places.translating():
            linked = await catalog.create(
                acting, wanted.approved, wanted.written, key=str(uuid4()), identifier=effect_id
            )
        headers = {"Location": f"{self.path}/{as_uuid(linked.document.id)}"}
        return await _answer(request, linked, HTTPStatus.CREATED, headers)

    @put(
        "/{importer_id:str}",
        operation_id="updateImporter",
        summary="Change an importer",
        description="All members are optional: what is absent stays as it is. `fields` replaces the list before.",
        opt={TAGGED: Tagged.THERE},
        operation_class=UpdateImporterOperation,
    )
    async def update(
        self, request: AnyRequest, importer_id: Id, principal: Asking, catalog: Catalog, judge: Judge
    ) -> Response[ImporterView]:
        versions, body = wanted_versions(request), await json_body(request)
        changes = partial(_with_changes, body, judge)
        with asked_for("importer", importer_id):
            linked = await change_template(
                principal, catalog, judge, model_id(importer_id), VOCABULARY, changes, versions
            )
        return await _answer(request, linked)

    @delete(
        "/{importer_id:str}",
        operation_id="deleteImporter",
        summary="Delete an importer; its imports and their records stay",
        opt={TAGGED: Tagged.THERE},
        operation_class=ApiOperation,
    )
    async def remove(self, request: AnyRequest, importer_id: Id, principal: Asking, catalog: Catalog) -> None:
        with asked_for("importer", importer_id):
            await catalog.delete(principal, model_id(importer_id), VOCABULARY, wanted_versions(request))


async def _answer(
    request: AnyRequest, linked: Linked, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response[ImporterView]:
    return await tagged_answer(request, linked.document.version, lambda: present_importer(linked), status, headers)


def _encoded(found: Sequence[Linked]) -> bytes:
    return encoded(RootModel[list[ImporterView]]([present_importer(linked) for linked in found]))


def _with_changes(body: JsonBody, judge: TemplateJudge, current: Linked) -> TemplateRequest:
    return read_importer(body.decoded(), judge, request_of(present_importer(current)))
