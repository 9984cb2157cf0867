"""``/api/v1/imports``, which several vocabularies share: an answer is in the one that its run was made in.

An upload says which one by the part that names its configuration, such as ``importer_id``; a run remembers it. Errors
are of all vocabularies until that is known. Each of them is an ``ImportsVocabulary``, given to ``imports_controller``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from litestar import Controller, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import OpenAPIType, Reference, Schema
from pydantic import BaseModel

from libs.contracts.states import RunStatus
from libs.storage.documents import RunDocument
from services.gateway.access.principal import Principal
from services.gateway.errors import Problem, invalid_input, not_found
from services.gateway.http.answers import answer, encoded, encoded_answer
from services.gateway.http.dependencies import (
    AnyRequest,
    Asking,
    RememberedIn,
    RowsIn,
    RunsIn,
    Settings,
    UploadsIn,
    WatchesIn,
)
from services.gateway.http.envelope import EitherErrorView, Present, present_errors_by
from services.gateway.http.event_stream import (
    ENDLESS,
    EVENT_STREAM,
    EventStream,
    ProgressWords,
    describe_events,
    progress_answer,
)
from services.gateway.http.forms import FILE, FilePart, Form, FormLimits, TextPart
from services.gateway.http.idempotency import IDEMPOTENT, REPLAYED_HEADER, Reads, idempotency_key, replay_upload
from services.gateway.http.openapi import ApiOperation, exemplify, reference, refuse_with, request_body
from services.gateway.http.places import Places
from services.gateway.http.public_ids import Id, asked_for, model_id
from services.gateway.http.request_shape import Json
from services.gateway.http.tracing import trace_of
from services.gateway.http.upload_parts import (
    FILE_SCHEMA,
    MAPPING,
    MAPPING_SCHEMA,
    MAX_ID_BYTES,
    take_mapping,
    upload_limits,
    upload_places,
)
from services.gateway.records.rows import RowOutcomes
from services.gateway.runs.runs import Runs
from services.gateway.settings import GatewaySettings
from services.gateway.stores.runs import GlancedRun
from services.gateway.uploads.uploads import Received, Upload, Uploads

PATH = "/api/v1/imports"
STARTED = frozenset(RunStatus) - {RunStatus.PENDING}
START_SECONDS = 2.0
"""So long an upload waits for its run to be begun, so that its answer does not say "queued" of nearly every one."""


@dataclass(frozen=True, slots=True)
class Look:
    """A run that is looked at, and what tells more of it."""

    principal: Principal
    run: RunDocument
    runs: Runs
    rows: RowOutcomes
    max_errors: int


@dataclass(frozen=True, slots=True)
class AnswerModel:
    """An answer, for the OpenAPI document, which has its model and its example under the model's name."""

    model: type[BaseModel]
    example: Json


@dataclass(frozen=True, slots=True)
class Part:
    """A text part of an upload.

    Attributes:
        schema: for the OpenAPI document.
        max_bytes: the most that it may have.
        take: what becomes of its text. It raises ``InvalidInputError`` where that cannot be used.
    """

    schema: Schema
    max_bytes: int
    take: Callable[[Upload, str], None]


@dataclass(frozen=True, slots=True)
class ImportsVocabulary:
    """What a vocabulary brings with it.

    Attributes:
        name: which templates and runs remember.
        configuration: what it calls a template.
        chooser: the part of an upload that names one.
        present_error: how it presents errors.
        parts: further text parts of an upload, by name.
        routes: further handlers at the path, as those of a controller: Litestar takes two registrations of one path for
            a mistake.
        started: the answer to an upload.
        shown: the answer to whoever looks at a run.
        started_model, shown_model, error_model: what these are.
        progress: how it shows how far a run is.
        beside: what ``shown`` tells of an ended run that may still change; ``None`` where nothing does.
    """

    name: str
    configuration: str
    chooser: str
    present_error: Present
    started: Callable[[Look], Awaitable[BaseModel]]
    shown: Callable[[Look], Awaitable[BaseModel]]
    started_model: AnswerModel
    shown_model: AnswerModel
    error_model: type[BaseModel]
    progress: ProgressWords
    parts: Mapping[str, Part] = field(default_factory=dict[str, Part])
    routes: Sequence[HTTPRouteHandler] = ()
    beside: Callable[[Principal, GlancedRun], Awaitable[Hashable]] | None = None


def imports_controller(*vocabularies: ImportsVocabulary) -> type[Controller]:
    """The routes, for these vocabularies."""
    by_name = {each.name: each for each in vocabularies}

    class ImportsController(Controller):
        """Imports."""

        path = PATH
        tags = ("Imports (API v1)",)

        @post(
            "/",
            operation_id="createImport",
            summary="Upload a file and have it imported",
            description="The import goes on by itself: follow it at `Location`. An upload with the `Idempotency-Key` "
            "of an earlier one gets the import of that and `Idempotent-Replayed: true`, if configuration, mapping and "
            "content of the file are the same; otherwise 422 `IDEMPOTENCY_KEY_REUSED`.",
            request_max_body_size=None,
            opt={IDEMPOTENT: Reads.UPLOAD},
            operation_class=_upload_operation(vocabularies),
        )
        async def upload(
            self,
            request: AnyRequest,
            principal: Asking,
            uploads: UploadsIn,
            runs: RunsIn,
            row_outcomes: RowsIn,
            settings: Settings,
        ) -> Response[Any]:
            key = idempotency_key(request.headers)
            form = _ImportForm(request, vocabularies, settings)
            received = await form.received(principal, uploads, key)
            with form.places.translating():
                submitted = await uploads.submit(received, key)
            await replay_upload(request, submitted.run.id, made_before=submitted.replayed)
            run = await runs.wait(received.principal, submitted.run, STARTED, START_SECONDS)
            look = Look(received.principal, run, runs, row_outcomes, settings.max_errors)
            started = await by_name[run.vocabulary].started(look)
            replayed = {REPLAYED_HEADER: "true"} if submitted.replayed else {}
            location = {"Location": f"{PATH}/{started.model_dump()['id']}"}
            return await answer(lambda: started, HTTPStatus.CREATED, location | replayed)

        @get(
            "/{import_id:str}",
            operation_id="getImport",
            summary="Show an import",
            operation_class=_look_operation(vocabularies),
        )
        async def show(
            self,
            request: AnyRequest,
            import_id: Id,
            principal: Asking,
            runs: RunsIn,
            row_outcomes: RowsIn,
            settings: Settings,
            remembered: RememberedIn,
        ) -> Response[Any]:
            with asked_for("import", import_id):
                glanced = await runs.glance(principal, model_id(import_id))
            if (vocabulary := by_name.get(glanced.vocabulary)) is None:
                raise not_found("import", import_id)
            present_errors_by(request, vocabulary.present_error)

            async def shown() -> bytes:
                with asked_for("import", import_id):
                    run = await runs.get(principal, glanced.id)
                view = await vocabulary.shown(Look(principal, run, runs, row_outcomes, settings.max_errors))
                return await asyncio.to_thread(encoded, view)

            if not glanced.ended:
                return encoded_answer(await shown())
            beside = None if vocabulary.beside is None else await vocabulary.beside(principal, glanced)
            key = (glanced.tenant_id, glanced.id, glanced.version, glanced.updated_at, beside)
            return encoded_answer(await remembered.content(key, shown))

        @get(
            "/{import_id:str}/events",
            operation_id="followImport",
            summary="Follow an import until its end",
            opt={ENDLESS: True},
            media_type=EVENT_STREAM,
            operation_class=_follow_operation(vocabularies),
        )
        async def follow(
            self,
            request: AnyRequest,
            import_id: Id,
            principal: Asking,
            runs: RunsIn,
            watches: WatchesIn,
            settings: Settings,
        ) -> EventStream | Response[None]:
            with asked_for("import", import_id):
                run = await runs.get(principal, model_id(import_id))
            if (vocabulary := by_name.get(run.vocabulary)) is None:
                raise not_found("import", import_id)
            present_errors_by(request, vocabulary.present_error)
            return progress_answer(request, principal, run, watches, vocabulary.progress, settings.send_seconds)

    for route in (route for each in vocabularies for route in each.routes):
        setattr(ImportsController, route.fn.__name__, route)
    return ImportsController


class _ImportForm:
    """The form of an upload, whose vocabulary is known once its part has come that names the configuration."""

    def __init__(
        self, request: AnyRequest, vocabularies: Sequence[ImportsVocabulary], settings: GatewaySettings
    ) -> None:
        self._request = request
        self._choosers = {each.chooser: each for each in vocabularies}
        self._owners = {part: each for each in vocabularies for part in each.parts}
        self._taken: list[str] = []
        self._limits = _limits(vocabularies, settings)
        self._chosen: ImportsVocabulary | None = None

    @property
    def places(self) -> Places:
        """Where its parts stand in the request."""
        return upload_places(self._chosen.chooser if self._chosen else " or ".join(self._choosers))

    async def received(self, principal: Principal, uploads: Uploads, key: str | None) -> Received:
        """The upload, complete. It is for the organization that has the configuration.

        Raises:
            ApiError, GatewayError: it cannot be used, with the reason. Nothing of it is left behind.
            FileTooLargeError: more bytes than are accepted.
        """
        form = Form(self._request, self._limits)
        async with uploads.receiving(principal, form.announced_bytes, key) as upload, aclosing(form.parts()) as parts:
            async for part in parts:
                await self._take(upload, part)
            self._refuse_parts_of_others()
            if self._chosen is None:
                raise invalid_input(*self._missing(upload))
            with self.places.translating():
                received = await upload.complete()
            trace_of(self._request.scope).principal = received.principal
            return received

    async def _take(self, upload: Upload, part: TextPart | FilePart) -> None:
        match part:
            case FilePart(filename, content):
                with self.places.translating():
                    await upload.take_file(filename, content, self._limits.max_file_bytes)
            case TextPart(name, text) if name == MAPPING:
                take_mapping(upload, text, self.places)
            case TextPart(name, text) if name in self._owners:
                self._taken.append(name)
                self._owners[name].parts[name].take(upload, text)
            case TextPart(name, text):
                if self._chosen is not None:
                    message = f"send either {self._chosen.chooser!r} or {name!r}, not both"
                    raise invalid_input(Problem(f"body.{name}", "CONFLICT", message))
                self._chosen = chosen = self._choosers[name]
                present_errors_by(self._request, chosen.present_error)
                with asked_for(chosen.configuration, text), self.places.translating():
                    await upload.choose_template_and_its_tenant(model_id(text), chosen.name)

    def _missing(self, upload: Upload) -> Iterator[Problem]:
        """What is not there of a form that names no configuration."""
        choosers = " or ".join(map(repr, self._choosers))
        yield Problem("body", "MISSING", f"names nothing to import by; send {choosers} with its id")
        if upload.file is None:
            yield Problem(f"body.{FILE}", "MISSING", "is required")

    def _refuse_parts_of_others(self) -> None:
        for name in self._taken:
            if (owner := self._owners[name]) is not self._chosen and self._chosen is not None:
                message = f"goes with {owner.chooser!r} only; leave it out"
                raise invalid_input(Problem(f"body.{name}", "CONFLICT", message))


def _limits(vocabularies: Sequence[ImportsVocabulary], settings: GatewaySettings) -> FormLimits:
    choosers = {each.chooser: MAX_ID_BYTES for each in vocabularies}
    parts = {name: part.max_bytes for each in vocabularies for name, part in each.parts.items()}
    return upload_limits(settings, {**choosers, **parts})


def _upload_operation(vocabularies: Sequence[ImportsVocabulary]) -> type[ApiOperation]:
    @dataclass
    class UploadOperation(ApiOperation):
        """Takes a file and the id of a configuration."""

        def __post_init__(self) -> None:
            super().__post_init__()
            choosers = {
                each.chooser: Schema(
                    type=OpenAPIType.STRING,
                    description=f"Id of the {each.configuration}. Send it before the file: a mistake shows sooner.",
                )
                for each in vocabularies
            }
            parts = {name: part.schema for each in vocabularies for name, part in each.parts.items()}
            form = Schema(
                type=OpenAPIType.OBJECT,
                required=["file"],
                properties={**choosers, **parts, MAPPING: MAPPING_SCHEMA, "file": FILE_SCHEMA},
                one_of=[Schema(required=[chooser]) for chooser in choosers],
            )
            self.request_body = request_body("multipart/form-data", form)
            refuse_with(self, [EitherErrorView, *(each.error_model for each in vocabularies)])
            _answer_with(self, [each.started_model for each in vocabularies])

    return UploadOperation


def _look_operation(vocabularies: Sequence[ImportsVocabulary]) -> type[ApiOperation]:
    @dataclass
    class LookOperation(ApiOperation):
        """Shows an import."""

        def __post_init__(self) -> None:
            super().__post_init__()
            refuse_with(self, [EitherErrorView, *(each.error_model for each in vocabularies)])
            _answer_with(self, [each.shown_model for each in vocabularies])

    return LookOperation


def _follow_operation(vocabularies: Sequence[ImportsVocabulary]) -> type[ApiOperation]:
    @dataclass
    class FollowOperation(ApiOperation):
        """Follows an import."""

        def __post_init__(self) -> None:
            super().__post_init__()
            refuse_with(self, [EitherErrorView, *(each.error_model for each in vocabularies)])
            describe_events(self)

    return FollowOperation


def _answer_with(operation: ApiOperation, answers: Sequence[AnswerModel]) -> None:
    """Say that the operation answers with one of ``answers``."""
    models: list[Schema | Reference] = [reference(each.model) for each in answers]
    schema = models[0] if len(models) == 1 else Schema(one_of=models)
    exemplify(operation, [each.model.__name__ for each in answers], schema)
