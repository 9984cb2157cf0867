"""Members in the casing of this vocabulary, ``camelCase``."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_camel

from services.gateway.http.request_shape import Part


class CamelPart(Part):
    """A part of a request."""

    model_config = ConfigDict(alias_generator=to_camel)


def _without_defaults(schema: dict[str, Any]) -> None:
    schema.pop("required", None)
    for member in schema["properties"].values():
        member.pop("default", None)


class CamelChanges(CamelPart):
    """Members that are to be changed: what is left out stays as it is, whatever its default."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)


class CamelView(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True)


def _in_milliseconds(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[datetime, PlainSerializer(_in_milliseconds, when_used="json")]
"""A moment as it is written in this vocabulary, such as ``2024-01-15T10:30:00.000Z``."""
