"""The forms of ``/imports/upload``, ``/imports/dry-run`` and files of corrections."""

from contextlib import aclosing
from dataclasses import replace

from libs.storage.documents import StoredFile
from services.gateway.access.principal import Principal
from services.gateway.errors import Problem, invalid_input
from services.gateway.http.engine.template_models import VOCABULARY
from services.gateway.http.engine.template_reading import read_template
from services.gateway.http.forms import FilePart, Form, FormLimits, FormRequest, TextPart
from services.gateway.http.idempotency import idempotency_key
from services.gateway.http.tracing import trace_of
from services.gateway.http.upload_parts import (
    MAX_ID_BYTES,
    json_part,
    take_mapping,
    upload_limits,
    upload_places,
)
from services.gateway.settings import GatewaySettings
from services.gateway.templates.judging import TemplateJudge
from services.gateway.uploads.heads import refuse_other_files, with_head
from services.gateway.uploads.uploads import Received, Upload, Uploads

MAX_TEMPLATE_BYTES = 1024 * 1024
UPLOAD_PLACES = upload_places("template_id")
"""Where the parts of an upload stand in its request."""
_TEXTS = {"template_id": MAX_ID_BYTES, "target_tenant_id": MAX_ID_BYTES}


def engine_upload_limits(settings: GatewaySettings) -> FormLimits:
    """What the form of an upload may hold."""
    return upload_limits(settings, _TEXTS)


def dry_run_limits(settings: GatewaySettings) -> FormLimits:
    """What the form of a dry run may hold: a template that need not be saved may come along."""
    limits = upload_limits(settings, {**_TEXTS, "template": MAX_TEMPLATE_BYTES})
    return replace(limits, max_file_bytes=settings.dry_run_max_bytes)


def corrections_limits(settings: GatewaySettings) -> FormLimits:
    """What the form with a file of corrections may hold."""
    return FormLimits({}, settings.max_upload_bytes, settings.upload_idle_seconds, settings.upload_bytes_per_second)


async def receive(
    request: FormRequest, principal: Principal, uploads: Uploads, judge: TemplateJudge, limits: FormLimits
) -> Received:
    """Take in the form of a request. What follows goes by ``Received.principal``, which acts for ``target_tenant_id``.

    Raises:
        ApiError, GatewayError: it cannot be used, with the reason. Nothing of it is left behind.
        FileTooLargeError: more bytes than are accepted.
    """
    form, key = Form(request, limits), idempotency_key(request.headers)
    async with uploads.receiving(principal, form.announced_bytes, key) as upload, aclosing(form.parts()) as parts:
        template_from: str | None = None
        async for part in parts:
            if isinstance(part, TextPart) and part.name in {"template_id", "template"}:
                if template_from is not None:
                    message = "send either 'template_id' or 'template', not both"
                    raise invalid_input(Problem(f"body.{part.name}", "CONFLICT", message))
                template_from = part.name
            await _take(part, upload, principal, judge, limits)
        with UPLOAD_PLACES.translating():
            received = await upload.complete()
        trace_of(request.scope).principal = received.principal
        return received


async def receive_corrections(
    request: FormRequest, principal: Principal, uploads: Uploads, limits: FormLimits
) -> StoredFile:
    """Take in the form with a file of corrections.

    Raises:
        ApiError, GatewayError: it cannot be used, with the reason. Nothing of it is left behind.
        FileTooLargeError: more bytes than are accepted.
    """
    form = Form(request, limits)
    async with uploads.receiving(principal, form.announced_bytes) as upload, aclosing(form.parts()) as parts:
        async for part in parts:
            if isinstance(part, FilePart):
                with UPLOAD_PLACES.translating():
                    content = with_head(part.content, refuse_other_files)
                    await upload.take_file(part.filename, content, limits.max_file_bytes)
        if upload.file is None:
            raise invalid_input(Problem("body.file", "MISSING", "is required"))
        return upload.file


async def _take(
    part: TextPart | FilePart, upload: Upload, principal: Principal, judge: TemplateJudge, limits: FormLimits
) -> None:
    match part:
        case FilePart(filename, content):
            with UPLOAD_PLACES.translating():
                await upload.take_file(filename, content, limits.max_file_bytes)
        case TextPart("mapping", text):
            take_mapping(upload, text, UPLOAD_PLACES)
        case TextPart("template", text):
            place = "body.template"
            wanted = await judge.turns.run(principal, lambda: read_template(json_part(text, place), judge, place))
            with UPLOAD_PLACES.translating():
                upload.bring_template(wanted.approved, wanted.written)
        case TextPart("target_tenant_id", text):
            await upload.choose_tenant(text)
        case TextPart(_, text):
            with UPLOAD_PLACES.translating():
                await upload.choose_template(text, VOCABULARY)
