"""``/api/v1/sources``."""

import asyncio
from http import HTTPStatus
from typing import Annotated

from litestar import Controller, Response, delete, get, patch, post
from litestar.params import QueryParameter

from libs.storage.documents import SourceDocument, SourceFileState
from services.gateway.http.answers import answer
from services.gateway.http.dependencies import AnyRequest, Asking, AskingFor, AskingForMany, EffectId, SourcesIn
from services.gateway.http.etags import TAGGED, Tagged, tagged_answer, wanted_versions
from services.gateway.http.idempotency import IDEMPOTENT, Reads
from services.gateway.http.json_body import json_body
from services.gateway.http.openapi import ApiOperation
from services.gateway.http.page_parameters import After, AfterDigest, Id, Limit
from services.gateway.http.places import Places
from services.gateway.http.sources.source_views import (
    NewSourceOperation,
    SourceChangeOperation,
    SourceFilePage,
    SourcePage,
    SourceView,
    TrialView,
    present_files,
    present_source,
    present_sources,
    present_trial,
    read_changes,
    read_new,
)

_PLACES = Places("body", {"leave": "after_import"})
StatusFilter = Annotated[SourceFileState | None, QueryParameter(description="Only files in this status.")]


class SourceController(Controller):
    """Places where files arrive by themselves: SFTP servers and watched directories."""

    path = "/api/v1/sources"
    tags = ("Sources",)

    @post(
        "/",
        operation_id="createSource",
        summary="Take files from an SFTP server or a directory",
        description="It is opened and listed first: what keeps it from being used is told, and nothing is saved then.",
        opt={IDEMPOTENT: Reads.CONTENT, TAGGED: Tagged.NEW},
        operation_class=NewSourceOperation,
    )
    async def create(
        self, request: AnyRequest, acting: AskingFor, sources: SourcesIn, effect_id: EffectId
    ) -> Response[SourceView]:
        body = await json_body(request)
        wanted = await asyncio.to_thread(lambda: read_new(body.decoded()))
        with _PLACES.translating():
            made = await sources.add(acting, wanted, effect_id)
        return await _answer(request, made, HTTPStatus.CREATED, {"Location": f"{self.path}/{made.id}"})

    @get("/", operation_id="listSources", summary="List sources", operation_class=ApiOperation)
    async def page(
        self, looking: AskingForMany, sources: SourcesIn, limit: Limit = 20, after: After = None
    ) -> Response[SourcePage]:
        found = await sources.page(looking, limit, after)
        return await answer(lambda: present_sources(found.items, more=found.more))

    @get(
        "/{source_id:str}",
        operation_id="getSource",
        summary="Show a source, and how it does",
        opt={TAGGED: Tagged.THERE},
        operation_class=ApiOperation,
    )
    async def show(
        self, request: AnyRequest, source_id: Id, principal: Asking, sources: SourcesIn
    ) -> Response[SourceView]:
        return await _answer(request, await sources.get(principal, source_id))

    @patch(
        "/{source_id:str}",
        operation_id="changeSource",
        summary="Change a source",
        description="Where that is about its place, it is opened and listed first, unless it is paused.",
        opt={TAGGED: Tagged.THERE},
        operation_class=SourceChangeOperation,
    )
    async def change(
        self, request: AnyRequest, source_id: Id, principal: Asking, sources: SourcesIn
    ) -> Response[SourceView]:
        versions, body = wanted_versions(request), await json_body(request)
        changes = await asyncio.to_thread(lambda: read_changes(body.decoded()))
        with _PLACES.translating():
            changed = await sources.change(principal, source_id, changes, versions)
        return await _answer(request, changed)

    @delete(
        "/{source_id:str}",
        operation_id="removeSource",
        summary="Remove a source; the imports of its files stay",
        opt={TAGGED: Tagged.THERE},
        operation_class=ApiOperation,
    )
    async def remove(self, request: AnyRequest, source_id: Id, principal: Asking, sources: SourcesIn) -> None:
        await sources.remove(principal, source_id, wanted_versions(request))

    @post(
        "/{source_id:str}/pause",
        operation_id="pauseSource",
        summary="Take no more files until it is resumed",
        operation_class=ApiOperation,
        status_code=HTTPStatus.OK,
    )
    async def pause(
        self, request: AnyRequest, source_id: Id, principal: Asking, sources: SourcesIn
    ) -> Response[SourceView]:
        return await _answer(request, await sources.pause(principal, source_id))

    @post(
        "/{source_id:str}/resume",
        operation_id="resumeSource",
        summary="Take files again",
        operation_class=ApiOperation,
        status_code=HTTPStatus.OK,
    )
    async def resume(
        self, request: AnyRequest, source_id: Id, principal: Asking, sources: SourcesIn
    ) -> Response[SourceView]:
        return await _answer(request, await sources.resume(principal, source_id))

    @post(
        "/{source_id:str}/run",
        operation_id="runSource",
        summary="Look at a source as soon as possible",
        description="409 `SOURCE_PAUSED` where it is paused. A file is taken once it is complete, as always.",
        operation_class=ApiOperation,
        status_code=HTTPStatus.ACCEPTED,
    )
    async def run(
        self, request: AnyRequest, source_id: Id, principal: Asking, sources: SourcesIn
    ) -> Response[SourceView]:
        return await _answer(request, await sources.look(principal, source_id), HTTPStatus.ACCEPTED)

    @post(
        "/{source_id:str}/test",
        operation_id="testSource",
        summary="Open a source and list what is there",
        description="Nothing is taken. What keeps it from being used is in the answer.",
        operation_class=ApiOperation,
        status_code=HTTPStatus.OK,
    )
    async def test(self, source_id: Id, principal: Asking, sources: SourcesIn) -> Response[TrialView]:
        trial = await sources.test(principal, source_id)
        return await answer(lambda: present_trial(trial))

    @get(
        "/{source_id:str}/files",
        operation_id="listSourceFiles",
        summary="List the files that were seen, and what became of them",
        operation_class=ApiOperation,
    )
    async def files(
        self,
        source_id: Id,
        principal: Asking,
        sources: SourcesIn,
        status: StatusFilter = None,
        limit: Limit = 20,
        after: AfterDigest = None,
    ) -> Response[SourceFilePage]:
        found = await sources.files(principal, source_id, None if status is None else [status], limit, after)
        return await answer(lambda: present_files(found.items, more=found.more))


async def _answer(
    request: AnyRequest,
    source: SourceDocument,
    status: HTTPStatus = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
) -> Response[SourceView]:
    return await tagged_answer(request, source.version, lambda: present_source(source), status, headers)
