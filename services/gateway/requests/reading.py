"""A request as it stands in its message: read strictly, by the same reader as what clients send over HTTP."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from json.decoder import WHITESPACE  # pyright: ignore - its stub leaves it out
from typing import Any, Final, NamedTuple, cast

from pydantic import ValidationError

from libs.contracts.errors import UndecodableMessageError
from libs.contracts.ids import ID_PATTERN
from libs.contracts.requests import REQUEST_ID_PATTERN, REQUEST_VERSION, ImportRequested
from services.gateway.errors import GatewayError, InvalidInputError, Problem
from services.gateway.http.json_text import InvalidJsonError, decode_json
from services.gateway.http.request_shape import MAX_NAMED, Problems

_TENANT: Final = re.compile(ID_PATTERN)
_REQUEST: Final = re.compile(REQUEST_ID_PATTERN)
_SKIP: Final = cast("Any", WHITESPACE).match


class Identity(NamedTuple):
    """What a message says of itself."""

    tenant_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What was read of a message.

    Attributes:
        members: those of its object, whatever they are; empty where it is none.
        refusal: why it cannot be followed, with everything that is wrong.
        request: otherwise what it asks for.
        rows: the list of its rows, as it stands in the message: numbers and texts are read by the parser alone.
    """

    members: dict[str, Any]
    refusal: GatewayError | None
    request: ImportRequested | None = None
    rows: bytes | None = None

    def identity(self) -> Identity:
        """Which request it is.

        Raises:
            UndecodableMessageError: it does not say so.
        """
        tenant_id, request_id = self.members.get("tenant_id"), self.members.get("request_id")
        if not isinstance(tenant_id, str) or not _TENANT.fullmatch(tenant_id):
            raise UndecodableMessageError(f"no request: its tenant_id is missing or no id{self._also}")
        if not isinstance(request_id, str) or not _REQUEST.fullmatch(request_id):
            raise UndecodableMessageError(f"no request: its request_id is missing or none{self._also}")
        return Identity(tenant_id, request_id)

    def names_others(self, tenant_id: str, request_id: str) -> bool:
        """Whether it says that it is another request; where it says nothing, that is wrong with it anyway."""
        said = {"tenant_id": tenant_id, "request_id": request_id}
        return any(self.members.get(name, value) != value for name, value in said.items())

    @property
    def _also(self) -> str:
        return "" if self.refusal is None else f" ({self.refusal.detail})"


def read_request(content: bytes, max_rows: int, max_bytes: int) -> ReadRequest:
    """Read a message; takes its time, so in a thread.

    Args:
        content: its value.
        max_rows: most rows that it may have.
        max_bytes: most bytes that are read.
    """
    if len(content) > max_bytes:
        message = (
            f"the message has {len(content):,} bytes, and at most {max_bytes:,} are read; send fewer rows in one, or a "
            "file over HTTP"
        )
        return _refused({}, [Problem("value", "REQUEST_TOO_LARGE", message)])
    try:
        value = decode_json(content)
    except InvalidJsonError as error:
        return _refused({}, [Problem(f"value{error.place}", "INVALID_JSON", error.message)])
    if not isinstance(value, dict):
        return _refused({}, [Problem("value", "INVALID", "is no JSON object")])
    members = cast("dict[str, Any]", value)
    version = members.get("schema_version", REQUEST_VERSION)
    if isinstance(version, int) and version > REQUEST_VERSION:
        message = f"is {version}, and this release reads requests of version {REQUEST_VERSION}; send that, or upgrade"
        return _refused(members, [Problem("schema_version", "UNSUPPORTED_SCHEMA_VERSION", message)])
    text = content.decode("utf-8-sig")
    found, request = Problems(), None
    try:
        request = ImportRequested.model_validate_json(text)
    except ValidationError as error:
        if (count := error.error_count()) > MAX_NAMED:
            found.add("", "INVALID", f"{count:,} parts of it cannot be read; see docs/asyncapi.yaml")
        else:
            found.refusals(error, members, "")
    rows: object = members.get("rows")
    if isinstance(rows, list) and (count := len(cast("list[object]", rows))) > max_rows:
        found.add(
            "rows", "TOO_MANY_ROWS", f"has {count:,} rows, and at most {max_rows:,} are taken; send several requests"
        )
    if request is None or found.found:
        places = [replace(each, location=each.location.removeprefix(".") or "value") for each in found.in_order()]
        return _refused(members, places, found.untold)
    return ReadRequest(members, None, request, None if request.rows is None else _rows_text(text).encode())


def _refused(members: dict[str, Any], problems: Sequence[Problem], untold: int = 0) -> ReadRequest:
    code = problems[0].code if len(problems) == 1 else "INVALID_REQUEST"
    return ReadRequest(members, InvalidInputError(code, None, problems, untold))


def _rows_text(text: str) -> str:
    """The value of the member ``rows``, as it stands in the text of an object that has it once."""
    decoder = json.JSONDecoder()
    at = _SKIP(text, 0).end() + 1
    while True:
        name, at = decoder.raw_decode(text, _SKIP(text, at).end())
        begin = _SKIP(text, _SKIP(text, at).end() + 1).end()
        _, end = decoder.raw_decode(text, begin)
        if name == "rows":
            return text[begin:end]
        at = _SKIP(text, end).end() + 1
