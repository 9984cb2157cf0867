"""What is wrong, as it is answered, and the only place where errors become HTTP statuses.

Where a vocabulary has no shape of its own it is ``{"detail", "status_code", "code", "errors": [{"location", "code",
"message"}], "request_id"}``: the importers API's ``detail`` and ``status_code``, plus what a program needs.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, cast

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, ValidationException
from pydantic import BaseModel
from pymongo.errors import PyMongoError

from libs.contracts.errors import TransientError
from libs.storage.files import FileTooLargeError
from libs.storage.mongo_errors import is_transient
from services.gateway.errors import (
    BusyError,
    ConflictError,
    GatewayError,
    InvalidInputError,
    InvalidTemplateError,
    LimitError,
    NotAllowedError,
    NotFoundError,
    OutdatedError,
    Problem,
    StorageFullError,
    TookTooLongError,
    UnsupportedFileError,
)
from services.gateway.http.methods import allowed_methods
from services.gateway.http.tracing import trace_of
from services.gateway.http.wording import explain_parameter

logger = structlog.get_logger()

STATUSES: Mapping[type[GatewayError], HTTPStatus] = {
    NotFoundError: HTTPStatus.NOT_FOUND,
    NotAllowedError: HTTPStatus.FORBIDDEN,
    ConflictError: HTTPStatus.CONFLICT,
    OutdatedError: HTTPStatus.PRECONDITION_FAILED,
    InvalidInputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidTemplateError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnsupportedFileError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    BusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    LimitError: HTTPStatus.TOO_MANY_REQUESTS,
    StorageFullError: HTTPStatus.INSUFFICIENT_STORAGE,
    TookTooLongError: HTTPStatus.GATEWAY_TIMEOUT,
}
"""What the errors of the capabilities are over HTTP."""

INVALID_PARAMETER = "INVALID_PARAMETER"
"""Code of what is wrong with a query."""
MAX_LISTED = 100
"""Most entries of ``errors``."""
MORE_PROBLEMS = "MORE_PROBLEMS"
"""Code of the entry that tells how many problems are not listed."""
MAX_JSON_BYTES = 1024 * 1024
"""Most bytes of a body that is no form."""

_MISSING_PARAMETER = re.compile(r"Missing required (\w+) parameter '([^']+)'")

AnyRequest = Request[Any, Any, Any]


class ProblemView(BaseModel):
    location: str
    code: str
    message: str


class ErrorView(BaseModel):
    """What is wrong, where, and how to fix it; ``request_id`` finds the request in the logs."""

    detail: str
    status_code: int
    code: str
    errors: list[ProblemView]
    request_id: str


class ErrorInBrief(BaseModel):
    code: str
    message: str


class EitherErrorView(ErrorView):
    """An error where nothing tells which vocabulary of ``/api/v1`` is spoken: it has the members of all."""

    error: ErrorInBrief


class ApiError(Exception):
    """A refusal that only exists over HTTP.

    Args:
        status: HTTP status.
        code: stable upper-case identifier.
        detail: what is wrong and how to fix it, for a person.
        problems: the single places that are wrong.
        headers: further response headers.
        untold: how many more problems there are.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        problems: Iterable[Problem] = (),
        headers: Mapping[str, str] | None = None,
        untold: int = 0,
    ) -> None:
        super().__init__(f"{status.value} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.problems = tuple(problems)
        self.headers = dict(headers or {})
        self.untold = untold


def _listed(error: ApiError) -> list[ProblemView]:
    """The first problems; where there are more, the last entry tells how many."""
    more = error.untold
    told = error.problems
    if more or len(told) > MAX_LISTED:
        told = told[: MAX_LISTED - 1]
        more += len(error.problems) - len(told)
    views = [ProblemView(location=each.location, code=each.code, message=each.message) for each in told]
    if more:
        message = f"{more:,} more problems are not listed; mend the others first"
        views.append(ProblemView(location="request", code=MORE_PROBLEMS, message=message))
    return views


def _of_capability(request: AnyRequest, error: GatewayError) -> ApiError:
    del request
    headers = {} if error.retry_after_seconds is None else {"Retry-After": str(error.retry_after_seconds)}
    return ApiError(STATUSES[type(error)], error.code, error.detail, error.problems, headers, error.untold)


def _of_litestar(request: AnyRequest, error: HTTPException) -> ApiError:
    """Litestar's own refusals in our words."""
    status = HTTPStatus(error.status_code)
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    if isinstance(error, ValidationException):
        problems = _validation_problems(request, error)
        detail = "; ".join(f"{problem.location}: {problem.message}" for problem in problems)
        return ApiError(HTTPStatus.BAD_REQUEST, INVALID_PARAMETER, detail, problems)
    if str(error.detail).startswith("client disconnected"):
        return ApiError(HTTPStatus.BAD_REQUEST, "CLIENT_DISCONNECTED", "the client left")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unexpected(request, error)
    match status:
        case HTTPStatus.NOT_FOUND:
            detail = f"there is nothing at {_path(request)[:200]}; /schema/openapi.json lists the addresses"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = ", ".join(allowed_methods(",".join(headers.values())))
            detail = f"{request.method} is not possible at {_path(request)[:200]}; allowed: {allowed}"
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            detail = f"the body of the request is larger than {MAX_JSON_BYTES:,} bytes, the most that is accepted here"
        case _ if error.detail == "Invalid host header":
            detail = "the header Host names no host; send the address of this service in it"
        case _:
            detail = str(error.detail)
    code = status.name if not isinstance(error, MethodNotAllowedException) else "METHOD_NOT_ALLOWED"
    return ApiError(status, code, detail, headers=headers)


def _validation_problems(request: AnyRequest, error: ValidationException) -> list[Problem]:
    entries: list[Any] = error.extra if isinstance(error.extra, list) else []
    problems: list[Problem] = []
    for entry in entries:
        found = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {"message": str(entry)}
        source, key = found.get("source", "request"), str(found.get("key", ""))
        place = ".".join(filter(None, (str(getattr(source, "value", source)), key)))
        message, given = str(found.get("message", "is not valid")), request.query_params.get(key, "")
        problems.append(Problem(place, "INVALID", explain_parameter(message, given, _allowed_values(request, key))))
    if not problems and (missing := _MISSING_PARAMETER.match(error.detail)):
        problems.append(Problem(f"{missing[1]}.{missing[2]}", "MISSING", "is required"))
    return problems or [Problem("request", "INVALID", error.detail)]


def _allowed_values(request: AnyRequest, parameter: str) -> list[str]:
    """The values of a parameter that is an enumeration."""
    declared = request.route_handler.parsed_fn_signature.parameters.get(parameter)
    kinds = [] if declared is None else [declared.annotation, *(inner.annotation for inner in declared.inner_types)]
    return [each.value for kind in kinds if isinstance(kind, type) and issubclass(kind, StrEnum) for each in kind]


def _too_large(request: AnyRequest, error: FileTooLargeError) -> ApiError:
    del request
    problem = Problem("body.file", error.code, error.detail)
    return ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error.code, error.detail, (problem,))


def _server_fault(request: AnyRequest, error: Exception) -> ApiError:
    if not is_transient(error):
        return _unexpected(request, error)
    logger.warning(
        "http.unavailable", request_id=trace_of(request.scope).request_id, error=f"{type(error).__name__}: {error}"
    )
    return ApiError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "DATABASE_UNAVAILABLE",
        "the database cannot be reached at the moment; try again",
        headers={"Retry-After": "5"},
    )


def _unexpected(request: AnyRequest, error: Exception) -> ApiError:
    request_id = trace_of(request.scope).request_id
    logger.error("http.unexpected", request_id=request_id, path=_path(request), exc_info=error)
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "INTERNAL_ERROR",
        f"an unexpected error occurred; it is logged under the request id {request_id}",
    )


_REFUSALS: Mapping[type[Exception], Callable[[AnyRequest, Any], ApiError]] = {
    ApiError: lambda _, error: error,
    GatewayError: _of_capability,
    FileTooLargeError: _too_large,
    HTTPException: _of_litestar,
    PyMongoError: _server_fault,
    TransientError: _server_fault,
    Exception: _unexpected,
}
Handler = Callable[[AnyRequest, Any], Response[Any]]
Present = Callable[[ApiError, str], Response[Any]]
"""Makes the answer of a refusal and the id of the request."""


def exception_handlers(
    present: Present, below: Mapping[str, Present] = MappingProxyType({})
) -> dict[int | type[Exception], Handler]:
    """The handlers of every exception, for the application or for the routes of one vocabulary.

    Args:
        present: how refusals are presented,
        below: … at other paths and below them, unless ``present_errors_by`` has said how.
    """

    def handler(refusal_of: Callable[[AnyRequest, Any], ApiError]) -> Handler:
        def handle(request: AnyRequest, error: Exception) -> Response[Any]:
            refusal = refusal_of(request, error)
            trace = trace_of(request.scope)
            trace.code = refusal.code
            chosen: Present = trace.present_error or _by_path(_path(request), below) or present
            return chosen(refusal, trace.request_id)

        return handle

    return {kind: handler(refusal_of) for kind, refusal_of in _REFUSALS.items()}


def _path(request: AnyRequest) -> str:
    """That of a request. Its ``url`` cannot be told where the header ``Host`` is none that can be read."""
    return request.scope["path"]


def _by_path(path: str, below: Mapping[str, Present]) -> Present | None:
    """That of the longest path of ``below`` that a path begins with."""
    while path and path not in below:
        path = path.rpartition("/")[0]
    return below.get(path)


def present_errors_by(request: AnyRequest, present: Present) -> None:
    """Say how the errors of a request are presented from here on, where vocabularies share its path and what it is
    about has turned out."""
    trace_of(request.scope).present_error = present


def present_error(error: ApiError, request_id: str) -> Response[ErrorView]:
    """An error as it is where a vocabulary has no shape of its own."""
    return Response(_view(error, request_id), status_code=error.status.value, headers=error.headers)


def present_either(error: ApiError, request_id: str) -> Response[EitherErrorView]:
    """An error for all vocabularies of ``/api/v1``."""
    brief = ErrorInBrief(code=error.code, message=error.detail)
    view = EitherErrorView(**dict(_view(error, request_id)), error=brief)
    return Response(view, status_code=error.status.value, headers=error.headers)


def _view(error: ApiError, request_id: str) -> ErrorView:
    return ErrorView(
        detail=error.detail,
        status_code=error.status.value,
        code=error.code,
        errors=_listed(error),
        request_id=request_id,
    )
