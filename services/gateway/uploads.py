"""Takes a file from the network into GridFS without ever holding it whole, and makes a run of it.

The parts of the form come in the order that the client chose. ``template_id`` first lets us refuse before
the file is stored; ``file`` first means that it is stored, and removed again where the rest is no good.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import structlog
from litestar import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from pymongo.errors import DuplicateKeyError, PyMongoError

from libs.contracts.states import RunStatus
from libs.storage.documents import RunDocument, StatusChange, StoredFile, TemplateDocument
from libs.storage.files import FileStore
from libs.storage.ledger import Ledger
from libs.telemetry.failpoints import failpoint
from services.gateway.domain.files import display_name, foreign_kind
from services.gateway.domain.problems import Problem
from services.gateway.http_errors import ApiError, invalid_request, not_found
from services.gateway.settings import GatewaySettings
from services.gateway.tenant_store import TenantStore

IDEMPOTENCY_HEADER = "Idempotency-Key"
MAX_FIELD_BYTES = 1_024
MAX_PARTS = 8
FORM_OVERHEAD_BYTES = 64 * 1024
"""Everything of a form but the file's bytes."""
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")

logger = structlog.get_logger()

UploadRequest = Request[Any, Any, Any]


@dataclass(slots=True)
class _Form:
    """What has arrived so far."""

    template: TemplateDocument | None = None
    file: StoredFile | None = None
    seen: set[str] = field(default_factory=set[str])

    def complete(self) -> tuple[TemplateDocument, StoredFile]:
        """Both parts; 422 where one is missing."""
        if self.template is not None and self.file is not None:
            return self.template, self.file
        raise invalid_request(
            *(
                Problem(f"body.{name}", "MISSING", f"the form has no part {name!r}")
                for name in ("template_id", "file")
                if name not in self.seen
            )
        )


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
        boundary = self._check_headers(request)
        async with self._slot():
            template, file = await self._receive(request, boundary, store)
        failpoint("gateway.file_stored_before_submit")
        return await self._submit(store, template, file, key)

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

    def _check_headers(self, request: UploadRequest) -> str:
        """Refuse what the headers alone tell; the boundary of the form."""
        media_type, options = parse_options_header(request.headers.get("content-type", ""))
        if media_type != "multipart/form-data":
            raise ApiError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "NOT_A_FORM",
                "send multipart/form-data with the parts 'template_id' and 'file'"
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
        limit = self._settings.max_upload_bytes
        if int(announced) > limit + FORM_OVERHEAD_BYTES:
            detail = f"the file is larger than {limit} bytes, the most that is accepted"
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

    async def _receive(
        self, request: UploadRequest, boundary: str, store: TenantStore
    ) -> tuple[TemplateDocument, StoredFile]:
        form = _Form()
        parser = PushMultipartParser(boundary, max_segment_count=MAX_PARTS)
        try:
            async with aclosing(self._events(request, parser)) as events:
                async for event in events:
                    if isinstance(event, MultipartSegment):
                        await self._part(event, events, form, store)
            return form.complete()
        except BaseException:
            await asyncio.shield(self._discard(form.file))
            raise

    async def _part(
        self,
        part: MultipartSegment,
        events: AsyncIterator[MultipartSegment | bytes | None],
        form: _Form,
        store: TenantStore,
    ) -> None:
        name = part.name or ""
        place = f"body.{name[:100]}"
        if name not in {"template_id", "file"}:
            raise invalid_request(Problem(place, "UNKNOWN_FIELD", "unknown; the parts are 'template_id' and 'file'"))
        if name in form.seen:
            raise invalid_request(Problem(place, "CONFLICT", "there may be only one part of this name"))
        form.seen.add(name)
        if name == "file":
            if part.filename is None:
                raise invalid_request(Problem(place, "NOT_A_FILE", "send a file, with its filename (curl: -F file=@…)"))
            async with aclosing(_file_chunks(events)) as chunks:
                form.file = await self._files.store(
                    display_name(part.filename),
                    chunks,
                    tenant_id=store.tenant_id,
                    max_bytes=self._settings.max_upload_bytes,
                )
            return
        template_id = await _field_text(events, place)
        form.template = await store.template(template_id)
        if form.template is None:
            raise not_found("template", template_id)

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

    async def _submit(
        self, store: TenantStore, template: TemplateDocument, file: StoredFile, key: str | None
    ) -> tuple[RunDocument, bool]:
        """Create the run, under the id of its file: so an orphan file is one without a run of its id."""
        now = datetime.now(UTC)
        run = RunDocument(
            _id=file.id,
            tenant_id=store.tenant_id,
            template_id=template.id,
            template_version=template.version,
            template=template.template,
            webhook_endpoint_id=template.webhook_endpoint_id if template.template.webhook_enabled else None,
            file=file,
            history=[StatusChange(version=1, status=RunStatus.PENDING, at=now)],
            idempotency_key=key,
            created_at=now,
            updated_at=now,
        )
        try:
            await self._ledger.submit(run)
        except DuplicateKeyError:
            winner = await store.run_by_key(key) if key is not None else await store.run(run.id)
            if winner is None:
                raise
            if winner.id != run.id:
                await self._discard(file)
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


def _idempotency_key(request: UploadRequest) -> str | None:
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise invalid_request(
            Problem(f"header.{IDEMPOTENCY_HEADER}", "INVALID", "1 to 255 printable ASCII characters without spaces")
        )
    return key


def _malformed(detail: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "MALFORMED_FORM", detail)


async def _field_text(events: AsyncIterator[MultipartSegment | bytes | None], place: str) -> str:
    content = b""
    async for event in events:
        if not isinstance(event, bytes):
            break
        content += event
        if len(content) > MAX_FIELD_BYTES:
            raise invalid_request(Problem(place, "INVALID", f"longer than {MAX_FIELD_BYTES} bytes"))
    try:
        return content.decode().strip()
    except UnicodeDecodeError:
        raise invalid_request(Problem(place, "INVALID", "not UTF-8")) from None


async def _file_chunks(
    events: AsyncIterator[MultipartSegment | bytes | None],
) -> AsyncGenerator[bytes]:
    first = True
    async for event in events:
        if not isinstance(event, bytes):
            return
        if first and (kind := foreign_kind(event[:16])) is not None:
            detail = f"the file is {kind}; save it as CSV and upload that"
            raise ApiError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "NOT_CSV", detail, [Problem("body.file", "NOT_CSV", detail)]
            )
        first = False
        yield event
