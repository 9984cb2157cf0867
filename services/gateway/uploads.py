"""Takes a file from the network into GridFS without ever holding it whole, and makes a run of it.

The parts of the form come in the order that the client chose. ``template_id`` first lets us refuse before
the file is stored; ``file`` first means that it is stored, and removed again where the rest is no good.
What a file is its first bytes say: its name and the type that its sender claims are never asked.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import structlog
from bson import ObjectId
from litestar import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from pymongo.errors import DuplicateKeyError, PyMongoError

from libs.contracts.purposes import RunPurpose
from libs.contracts.states import RunStatus
from libs.formats.content import HEAD_BYTES, recognise, refusal
from libs.ledger import Ledger
from libs.storage.documents import RunDocument, StatusChange, StoredFile, TemplateDocument
from libs.storage.files import FileStore
from libs.telemetry.failpoints import failpoint
from services.gateway.domain.column_mapping import ColumnMapping, InvalidMappingError, read_mapping
from services.gateway.domain.engine_vocabulary import InvalidTemplateError, read_template
from services.gateway.domain.files import display_name
from services.gateway.domain.json_text import InvalidJsonError, decode_json
from services.gateway.domain.problems import Problem
from services.gateway.http_errors import ApiError, invalid_request, not_found
from services.gateway.settings import GatewaySettings
from services.gateway.tenant_store import TenantStore

IDEMPOTENCY_HEADER = "Idempotency-Key"
MAX_ID_BYTES = 1_024
MAX_MAPPING_BYTES = 64 * 1024
MAX_TEMPLATE_BYTES = 1024 * 1024
MAX_PARTS = 8
FORM_OVERHEAD_BYTES = 64 * 1024
"""Everything of a form but the file's bytes."""
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")

logger = structlog.get_logger()

UploadRequest = Request[Any, Any, Any]
_Events = AsyncIterator[MultipartSegment | bytes | None]


@dataclass(frozen=True, slots=True)
class _Door:
    """What a form may hold: the text parts with the most bytes of each, and the most bytes of its file."""

    texts: Mapping[str, int]
    max_file_bytes: int

    @property
    def max_form_bytes(self) -> int:
        return self.max_file_bytes + sum(self.texts.values()) + FORM_OVERHEAD_BYTES

    @property
    def parts(self) -> str:
        return ", ".join(map(repr, self.texts)) + " and 'file'"


@dataclass(slots=True)
class _Form:
    """What has arrived so far; ``head`` are the first bytes of the file once they are known."""

    template: TemplateDocument | None = None
    head: bytes | None = None
    file: StoredFile | None = None
    mapping_text: str | None = None
    mapping: ColumnMapping | None = None
    seen: set[str] = field(default_factory=set[str])

    def judge(self) -> None:
        """Refuse what the parts so far tell only together."""
        if self.template is None:
            return
        template = self.template.template
        if self.head is not None and (reason := refusal(template.source.file_type, recognise(self.head))) is not None:
            problem = Problem("body.file", "UNSUPPORTED_FILE", reason)
            raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, problem.code, reason, [problem])
        if self.mapping_text is not None and self.mapping is None:
            try:
                self.mapping = read_mapping(self.mapping_text, template)
            except InvalidMappingError as error:
                raise invalid_request(*error.problems) from error

    def complete(self, door: _Door) -> "_Complete":
        """All that is needed; 422 where a part is missing."""
        if self.template is not None and self.file is not None:
            return _Complete(self.template, self.file, self.mapping)
        problems: list[Problem] = []
        if self.template is None:
            parts = " or ".join(repr(name) for name in door.texts if name != "mapping")
            problems.append(Problem("body.template_id", "MISSING", f"the form has no part {parts}"))
        if self.file is None:
            problems.append(Problem("body.file", "MISSING", "the form has no part 'file'"))
        raise invalid_request(*problems)


@dataclass(frozen=True, slots=True)
class _Complete:
    """A form that can be used."""

    template: TemplateDocument
    file: StoredFile
    mapping: ColumnMapping | None


class Uploads:
    """Receives files and submits runs.

    Args:
        files: where files are stored.
        ledger: where runs are submitted.
        settings: limits and times.
    """

    def __init__(self, files: FileStore, ledger: Ledger, settings: GatewaySettings) -> None:
        self._files = files
        self._ledger = ledger
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.max_concurrent_uploads)
        texts = {"template_id": MAX_ID_BYTES, "mapping": MAX_MAPPING_BYTES}
        self._upload = _Door(texts, settings.max_upload_bytes)
        self._dry_run = _Door({**texts, "template": MAX_TEMPLATE_BYTES}, settings.dry_run_max_bytes)

    async def accept(self, request: UploadRequest, store: TenantStore) -> tuple[RunDocument, bool]:
        """Store the file of a form and submit a run; or the run of an earlier request with the same key.

        Returns:
            The run, and whether it is an earlier one.

        Raises:
            ApiError: the form cannot be used, with the reason. Nothing of it is left behind.
            FileTooLargeError: more bytes than are accepted.
        """
        key = _idempotency_key(request)
        if key is not None and (earlier := await store.run_by_key(key)) is not None:
            return earlier, True
        form = await self._form(request, store, self._upload)
        failpoint("gateway.file_stored_before_submit")
        duplicate_of = await store.newest_run_of_content(form.template.id, form.file.sha256)
        run = _new_run(form).model_copy(update={"idempotency_key": key, "duplicate_of": duplicate_of})
        return await self._submit(store, run)

    async def accept_dry_run(self, request: UploadRequest, store: TenantStore) -> RunDocument:
        """Store the file of a form and submit a dry run, by a saved template or by one that the form brings along.

        Raises:
            ApiError, InvalidTemplateError: the form cannot be used, with the reason. Nothing of it is left behind.
            FileTooLargeError: more bytes than are accepted.
        """
        run = _new_run(await self._form(request, store, self._dry_run))
        run = run.model_copy(update={"purpose": RunPurpose.DRY_RUN, "webhook_endpoint_id": None})
        await self._ledger.runs.submit(run)
        failpoint("gateway.dry_run_submitted")
        return run

    async def _form(self, request: UploadRequest, store: TenantStore, door: _Door) -> _Complete:
        boundary = _check_headers(request, door)
        async with self._slot():
            return await self._receive(request, boundary, store, door)

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(self._settings.upload_queue_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "TOO_MANY_UPLOADS",
                "too many files are being uploaded at the moment; try again",
                headers={"Retry-After": "10"},
            ) from None
        try:
            yield
        finally:
            self._slots.release()

    async def _receive(self, request: UploadRequest, boundary: str, store: TenantStore, door: _Door) -> _Complete:
        form = _Form()
        parser = PushMultipartParser(boundary, max_segment_count=MAX_PARTS)
        try:
            async with aclosing(self._events(request, parser)) as events:
                async for event in events:
                    if isinstance(event, MultipartSegment):
                        await self._part(event, events, form, store, door)
                        form.judge()
            return form.complete(door)
        except BaseException:
            await asyncio.shield(self._discard(form.file))
            raise

    async def _part(
        self, part: MultipartSegment, events: _Events, form: _Form, store: TenantStore, door: _Door
    ) -> None:
        name = part.name or ""
        place = f"body.{name[:100]}"
        if name != "file" and name not in door.texts:
            raise invalid_request(Problem(place, "UNKNOWN_FIELD", f"unknown; the parts are {door.parts}"))
        if name in form.seen:
            raise invalid_request(Problem(place, "CONFLICT", "there may be only one part of this name"))
        form.seen.add(name)
        if {"template_id", "template"} <= form.seen:
            raise invalid_request(Problem(place, "CONFLICT", "send either 'template_id' or 'template', not both"))
        match name:
            case "file":
                form.file = await self._file(part, events, form, store, door)
            case "mapping":
                form.mapping_text = await _field_text(events, place, door.texts[name])
            case "template":
                form.template = self._template_of(store, await _field_text(events, place, door.texts[name]))
            case _:
                template_id = await _field_text(events, place, door.texts[name])
                form.template = await store.template(template_id)
                if form.template is None:
                    raise not_found("template", template_id)

    async def _file(
        self, part: MultipartSegment, events: _Events, form: _Form, store: TenantStore, door: _Door
    ) -> StoredFile:
        if part.filename is None:
            raise invalid_request(
                Problem("body.file", "NOT_A_FILE", "send a file, with its filename (curl: -F file=@…)")
            )
        async with aclosing(_file_chunks(events, form)) as chunks:
            return await self._files.store(
                display_name(part.filename), chunks, tenant_id=store.tenant_id, max_bytes=door.max_file_bytes
            )

    def _template_of(self, store: TenantStore, text: str) -> TemplateDocument:
        """The template that the form brings along; it is never stored."""
        try:
            wanted = read_template(decode_json(text), self._settings.webhook_allowed_networks)
        except InvalidJsonError as error:
            raise invalid_request(Problem(f"body.template{error.place}", "INVALID_JSON", error.message)) from error
        except InvalidTemplateError as error:
            places = (problem.location.removeprefix("body") for problem in error.problems)
            raise InvalidTemplateError(
                tuple(
                    replace(problem, location=f"body.template{place}")
                    for problem, place in zip(error.problems, places, strict=True)
                )
            ) from error
        now = datetime.now(UTC)
        return TemplateDocument(
            _id=str(ObjectId()), tenant_id=store.tenant_id, template=wanted.template, created_at=now, updated_at=now
        )

    async def _events(
        self, request: UploadRequest, parser: PushMultipartParser
    ) -> AsyncGenerator[MultipartSegment | bytes | None]:
        try:
            async for chunk in self._body(request):
                for event in parser.parse(chunk):
                    yield event
            parser.close()
        except MultipartError as error:
            raise _malformed(f"the form cannot be read: {error}") from error

    async def _body(self, request: UploadRequest) -> AsyncGenerator[bytes]:
        """The bytes of the request as they arrive; the next are asked for when these are stored."""
        more = True
        while more:
            try:
                async with asyncio.timeout(self._settings.upload_idle_seconds):
                    message = await request.receive()
            except TimeoutError:
                raise ApiError(
                    HTTPStatus.REQUEST_TIMEOUT,
                    "UPLOAD_STALLED",
                    f"nothing arrived for {self._settings.upload_idle_seconds:g} seconds",
                    headers={"Connection": "close"},
                ) from None
            if message["type"] != "http.request":
                raise ApiError(HTTPStatus.BAD_REQUEST, "CLIENT_DISCONNECTED", "the client left before the end")
            if body := message.get("body", b""):
                yield body
            more = message.get("more_body", False)

    async def _submit(self, store: TenantStore, run: RunDocument) -> tuple[RunDocument, bool]:
        key = run.idempotency_key
        try:
            await self._ledger.runs.submit(run)
        except DuplicateKeyError:
            winner = await store.run_by_key(key) if key is not None else await store.run(run.id)
            if winner is None:
                raise
            if winner.id != run.id:
                await self._discard(run.file)
            return winner, winner.id != run.id
        failpoint("gateway.submitted_before_answer")
        return run, False

    async def _discard(self, file: StoredFile | None) -> None:
        if file is None:
            return
        try:
            await self._files.delete(file.id)
        except PyMongoError as error:
            logger.warning("upload.file_left_to_the_sweep", file_id=file.id, error=str(error))


def _new_run(form: _Complete) -> RunDocument:
    """The run of a form, under the id of its file: so an orphan file is one without a run of its id."""
    now = datetime.now(UTC)
    template = form.template
    return RunDocument(
        _id=form.file.id,
        tenant_id=template.tenant_id,
        template_id=template.id,
        template_version=template.version,
        template=template.template,
        webhook_endpoint_id=template.webhook_endpoint_id if template.template.webhook_enabled else None,
        file=form.file,
        column_mapping=form.mapping,
        history=[StatusChange(version=1, status=RunStatus.PENDING, at=now)],
        created_at=now,
        updated_at=now,
    )


def _check_headers(request: UploadRequest, door: _Door) -> str:
    """Refuse what the headers alone tell; the boundary of the form."""
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type != "multipart/form-data":
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "NOT_A_FORM",
            f"send multipart/form-data with the parts {door.parts}"
            + (f"; this is {media_type[:100]!r}" if media_type else ""),
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "CONTENT_ENCODING",
            "send the form as it is, without Content-Encoding",
        )
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal():
        raise ApiError(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "Content-Length is not a number")
    if int(announced) > door.max_form_bytes:
        detail = f"the file is larger than {door.max_file_bytes} bytes, the most that is accepted"
        raise ApiError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "FILE_TOO_LARGE",
            detail,
            [Problem("body.file", "FILE_TOO_LARGE", detail)],
        )
    boundary = options.get("boundary", "")
    if not 1 <= len(boundary) <= 200:
        raise _malformed("the Content-Type names no usable boundary")
    return boundary


def _idempotency_key(request: UploadRequest) -> str | None:
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise invalid_request(
            Problem(f"header.{IDEMPOTENCY_HEADER}", "INVALID", "1 to 255 printable ASCII characters without spaces")
        )
    return key


def _malformed(detail: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "MALFORMED_FORM", detail)


async def _field_text(events: _Events, place: str, max_bytes: int) -> str:
    content = bytearray()
    async for event in events:
        if not isinstance(event, bytes):
            break
        content += event
        if len(content) > max_bytes:
            raise invalid_request(Problem(place, "INVALID", f"longer than {max_bytes} bytes"))
    try:
        return content.decode().strip()
    except UnicodeDecodeError:
        raise invalid_request(Problem(place, "INVALID", "not UTF-8")) from None


async def _file_chunks(events: _Events, form: _Form) -> AsyncGenerator[bytes]:
    """The bytes of the file, judged as soon as enough of them are there; the network may bring them one by one."""
    head = bytearray()
    async for event in events:
        if not isinstance(event, bytes):
            break
        if form.head is None:
            head += event[: HEAD_BYTES - len(head)]
            if len(head) == HEAD_BYTES:
                form.head = bytes(head)
                form.judge()
        yield event
    if form.head is None:
        form.head = bytes(head)
        form.judge()
