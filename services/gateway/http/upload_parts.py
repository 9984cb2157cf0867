"""Parts that the uploads of every vocabulary have."""

from collections.abc import Mapping
from typing import cast

from litestar.openapi.spec import OpenAPIType, Schema

from services.gateway.errors import Problem, invalid_input
from services.gateway.http.forms import FormLimits
from services.gateway.http.idempotency import IDEMPOTENCY_HEADER
from services.gateway.http.json_text import InvalidJsonError, decode_json
from services.gateway.http.places import Places
from services.gateway.settings import GatewaySettings
from services.gateway.uploads.uploads import Upload

MAPPING = "mapping"
"""Name of the part that says which column fills which field."""
MAX_ID_BYTES = 1_024
MAX_MAPPING_BYTES = 64 * 1024
MAPPING_SCHEMA = Schema(
    type=OpenAPIType.STRING,
    content_media_type="application/json",
    max_length=MAX_MAPPING_BYTES,
    description="A JSON object: header → name of the field that the column fills, or null for a column that is not "
    "wanted. Where it names a field it decides alone: a field that it does not name has no column. With nulls only, "
    "the rest is found by name.",
    examples=['{"E-mail address": "email", "Remarks": null}'],
)
FILE_SCHEMA = Schema(type=OpenAPIType.STRING, content_media_type="application/octet-stream")


def upload_places(template: str) -> Places:
    """Where the parts of an upload stand in its request.

    Args:
        template: the part that names the template.
    """
    places = Places("body", {"template": template})
    places.put("idempotency_key", f"header.{IDEMPOTENCY_HEADER}")
    return places


def upload_limits(settings: GatewaySettings, texts: Mapping[str, int]) -> FormLimits:
    """What the form of an upload may hold: the file, a mapping, and ``texts``, each with the most bytes that it may
    have."""
    parts = {**texts, MAPPING: MAX_MAPPING_BYTES}
    return FormLimits(parts, settings.max_upload_bytes, settings.upload_idle_seconds, settings.upload_bytes_per_second)


def take_mapping(upload: Upload, text: str, places: Places) -> None:
    """Let an upload follow the mapping in the text of a part.

    Raises:
        InvalidInputError: it cannot be followed.
    """
    columns = json_part(text, "body.mapping")
    if not isinstance(columns, dict):
        message = 'must be a JSON object of headers and field names, such as {"E-mail address": "email"}'
        raise invalid_input(Problem("body.mapping", "INVALID", message))
    with places.translating():
        upload.map_columns(cast("dict[str, object]", columns))


def json_part(text: str, location: str) -> object:
    """The JSON in the text of a part.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        return decode_json(text)
    except InvalidJsonError as error:
        raise invalid_input(Problem(location + error.place, "INVALID_JSON", error.message)) from error
