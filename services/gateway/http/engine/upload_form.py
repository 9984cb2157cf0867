"""The forms of ``/imports/upload`` and ``/imports/dry-run``."""

import re
from contextlib import aclosing
from typing import cast

from services.gateway.access.principal import Principal
from services.gateway.errors import Problem, invalid_input
from services.gateway.http.engine.template_reading import read_template
from services.gateway.http.forms import FilePart, Form, FormLimits, FormRequest, TextPart
from services.gateway.http.json_text import InvalidJsonError, decode_json
from services.gateway.http.places import Places
from services.gateway.http.tracing import trace_of
from services.gateway.settings import GatewaySettings
from services.gateway.templates.judging import TemplateJudge
from services.gateway.uploads.uploads import Received, Upload, Uploads

IDEMPOTENCY_HEADER = "Idempotency-Key"
MAX_ID_BYTES = 1_024
MAX_MAPPING_BYTES = 64 * 1024
MAX_TEMPLATE_BYTES = 1024 * 1024
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
UPLOAD_PLACES = Places("body", {"template": "template_id"})
"""Where the parts of an upload stand in its request."""
UPLOAD_PLACES.put("idempotency_key", f"header.{IDEMPOTENCY_HEADER}")
_TEXTS = {"template_id": MAX_ID_BYTES, "mapping": MAX_MAPPING_BYTES, "target_tenant_id": MAX_ID_BYTES}


def upload_limits(settings: GatewaySettings) -> FormLimits:
    """What the form of an upload may hold."""
    return FormLimits(_TEXTS, settings.max_upload_bytes, settings.upload_idle_seconds, settings.upload_bytes_per_second)


def dry_run_limits(settings: GatewaySettings) -> FormLimits:
    """What the form of a dry run may hold: a template that need not be saved may come along."""
    texts = {**_TEXTS, "template": MAX_TEMPLATE_BYTES}
    return FormLimits(texts, settings.dry_run_max_bytes, settings.upload_idle_seconds, settings.upload_bytes_per_second)


def idempotency_key(request: FormRequest) -> str | None:
    """The key of a request that may be repeated."""
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise invalid_input(
            Problem(
                f"header.{IDEMPOTENCY_HEADER}",
                "INVALID",
                "must be 1 to 255 printable ASCII characters without spaces, such as a UUID",
            )
        )
    return key


async def receive(
    request: FormRequest, principal: Principal, uploads: Uploads, judge: TemplateJudge, limits: FormLimits
) -> Received:
    """Take in the form of a request. What follows goes by ``Received.principal``, which acts for ``target_tenant_id``.

    Raises:
        ApiError, GatewayError: it cannot be used, with the reason. Nothing of it is left behind.
        FileTooLargeError: more bytes than are accepted.
    """
    form, key = Form(request, limits), idempotency_key(request)
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


async def _take(
    part: TextPart | FilePart, upload: Upload, principal: Principal, judge: TemplateJudge, limits: FormLimits
) -> None:
    match part:
        case FilePart(filename, content):
            with UPLOAD_PLACES.translating():
                await upload.take_file(filename, content, limits.max_file_bytes)
        case TextPart("mapping", text):
            columns = _json(text, "body.mapping")
            if not isinstance(columns, dict):
                message = 'must be a JSON object of headers and field names, such as {"E-mail address": "email"}'
                raise invalid_input(Problem("body.mapping", "INVALID", message))
            with UPLOAD_PLACES.translating():
                upload.map_columns(cast("dict[str, object]", columns))
        case TextPart("template", text):
            place = "body.template"
            wanted = await judge.turns.run(principal, lambda: read_template(_json(text, place), judge, place))
            with UPLOAD_PLACES.translating():
                upload.bring_template(wanted.approved, wanted.written)
        case TextPart("target_tenant_id", text):
            await upload.choose_tenant(text)
        case TextPart(_, text):
            with UPLOAD_PLACES.translating():
                await upload.choose_template(text)


def _json(text: str, location: str) -> object:
    try:
        return decode_json(text)
    except InvalidJsonError as error:
        raise invalid_input(Problem(location + error.place, "INVALID_JSON", error.message)) from error
