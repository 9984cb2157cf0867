"""``ETag``, ``If-None-Match`` and ``If-Match``.

A tag is the version that a thing has in the database, a point, and a digest of the answer that shows it: so it is a
strong one also where an answer tells more than its thing holds. ``If-Match`` goes by the version alone, and
capabilities change the thing of that version or nothing, in one operation of the database.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final

from litestar import Request, Response
from litestar.openapi.spec import OpenAPIHeader, OpenAPIType, Parameter, Schema
from pydantic import BaseModel

from services.gateway.errors import Problem, Versions
from services.gateway.http.answers import encoded, encoded_answer
from services.gateway.http.compression import compressed_tag, is_compressed
from services.gateway.http.envelope import ApiError

TAGGED: Final = "tagged"
"""Set in the ``opt`` of routes that show, change or create a thing with a version, to which of them it is."""
IF_MATCH: Final = "If-Match"
IF_NONE_MATCH: Final = "If-None-Match"
MAX_TAGS: Final = 100
_TAGS: Final = re.compile(r'\s*(?:W/)?"[\x21\x23-\x7e]*"\s*(?:,\s*(?:W/)?"[\x21\x23-\x7e]*"\s*)*')
_TAG: Final = re.compile(r'(W/)?"([^"]*)"')
_TEXT = Schema(type=OpenAPIType.STRING)

IF_MATCH_PARAMETER = Parameter(
    name=IF_MATCH,
    param_in="header",
    schema=_TEXT,
    description="The `ETag` of what was looked at: 412 `PRECONDITION_FAILED`, and nothing is changed, where it has "
    "another version by now. Without it the newest version is changed.",
)
IF_NONE_MATCH_PARAMETER = Parameter(
    name=IF_NONE_MATCH,
    param_in="header",
    schema=_TEXT,
    description="The `ETag` of an earlier answer: 304 without a body where that would be the same.",
)
ETAG = OpenAPIHeader(schema=_TEXT, description="A strong tag of this version; send it as `If-Match` with a change.")


class Tagged(Enum):
    """What a route is about."""

    NEW = auto()
    """A thing that it creates: there is no version that it could be wanted in."""
    THERE = auto()


def wanted_versions(request: Request[Any, Any, Any]) -> Versions:
    """The versions that a request is about, by ``If-Match``; ``None`` where it is about whichever there is.

    Raises:
        ApiError: 400, the header cannot be read.
    """
    header = request.headers.get(IF_MATCH)
    if header is None or header.strip() == "*":
        return None
    return frozenset(tag.partition(".")[0] for weak, tag in _tags(header, IF_MATCH) if not weak)


async def tagged_answer(
    request: Request[Any, Any, Any],
    version: object,
    view: Callable[[], BaseModel],
    status: HTTPStatus = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
) -> Response[Any]:
    """The answer with a thing of this version; 304 where the client has it already."""
    return encoded_tagged(request, version, await asyncio.to_thread(lambda: encoded(view())), status, headers)


def encoded_tagged(
    request: Request[Any, Any, Any],
    version: object,
    content: bytes,
    status: HTTPStatus = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
) -> Response[Any]:
    """Likewise, where it is encoded already."""
    tag = f'"{version}.{hashlib.sha256(content).hexdigest()[:16]}"'
    known = request.headers.get(IF_NONE_MATCH) if request.method == "GET" else None
    if known is not None:
        compressed = is_compressed(request.headers.get("accept-encoding", ""), len(content))
        sent = compressed_tag(tag) if compressed else tag
        if known.strip() == "*" or sent[1:-1] in {each for _, each in _tags(known, IF_NONE_MATCH)}:
            same = {"ETag": sent, "Vary": "Accept-Encoding"}
            return Response(None, status_code=HTTPStatus.NOT_MODIFIED, headers=same)
    return encoded_answer(content, status, {**(headers or {}), "ETag": tag})


def version_tag(version: object) -> dict[str, str]:
    """The header of an answer to a change that does not show the thing itself."""
    return {"ETag": f'"{version}"'}


def _tags(header: str, name: str) -> list[tuple[str, str]]:
    if not _TAGS.fullmatch(header) or header.count('"') > 2 * MAX_TAGS:
        message = f'must be tags in quotation marks, as ETag had them, such as "3.5f0c9a1e", at most {MAX_TAGS}'
        problem = Problem(f"header.{name}", "INVALID", message)
        raise ApiError(HTTPStatus.BAD_REQUEST, "INVALID_HEADER", f"{problem.location}: {message}", [problem])
    return _TAG.findall(header)
