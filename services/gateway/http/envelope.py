"""The one shape of every error, and the only place where errors become HTTP statuses.

``{"detail", "status_code", "code", "errors": [{"location", "code", "message"}], "request_id"}``: the importers
API's ``detail`` and ``status_code``, plus what a program needs.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from http import HTTPStatus
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


def _on_api_error(request: AnyRequest, error: ApiError) -> Response[ErrorView]:
    view = ErrorView(
        detail=error.detail,
        status_code=error.status.value,
        code=error.code,
        errors=_listed(error),
        request_id=trace_of(request.scope).request_id,
    )
    trace_of(request.scope).code = error.code
    return Response(view, status_code=error.status.value, headers=error.headers)


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


def _on_gateway_error(request: AnyRequest, error: GatewayError) -> Response[ErrorView]:
    headers = {} if error.retry_after_seconds is None else {"Retry-After": str(error.retry_after_seconds)}
    status = STATUSES[type(error)]
    return _on_api_error(request, ApiError(status, error.code, error.detail, error.problems, headers, error.untold))


def _on_http_exception(request: AnyRequest, error: HTTPException) -> Response[ErrorView]:
    """Litestar's own refusals in our words."""
    status = HTTPStatus(error.status_code)
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    if isinstance(error, ValidationException):
        problems = _validation_problems(request, error)
        detail = "; ".join(f"{problem.location}: {problem.message}" for problem in problems)
        return _on_api_error(request, ApiError(HTTPStatus.BAD_REQUEST, INVALID_PARAMETER, detail, problems))
    if str(error.detail).startswith("client disconnected"):
        return _on_api_error(request, ApiError(HTTPStatus.BAD_REQUEST, "CLIENT_DISCONNECTED", "the client left"))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _on_unexpected(request, error)
    match status:
        case HTTPStatus.NOT_FOUND:
            detail = f"there is nothing at {request.url.path[:200]}; /schema/openapi.json lists the addresses"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = ", ".join(allowed_methods(",".join(headers.values())))
            detail = f"{request.method} is not possible at {request.url.path[:200]}; allowed: {allowed}"
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            detail = f"the body of the request is larger than {MAX_JSON_BYTES:,} bytes, the most that is accepted here"
        case _ if error.detail == "Invalid host header":
            detail = "the header Host names no host; send the address of this service in it"
        case _:
            detail = str(error.detail)
    code = status.name if not isinstance(error, MethodNotAllowedException) else "METHOD_NOT_ALLOWED"
    return _on_api_error(request, ApiError(status, code, detail, headers=headers))


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


def _on_too_large(request: AnyRequest, error: FileTooLargeError) -> Response[ErrorView]:
    problem = Problem("body.file", error.code, error.detail)
    return _on_api_error(request, ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error.code, error.detail, (problem,)))


def _on_server_fault(request: AnyRequest, error: Exception) -> Response[ErrorView]:
    if not is_transient(error):
        return _on_unexpected(request, error)
    logger.warning(
        "http.unavailable", request_id=trace_of(request.scope).request_id, error=f"{type(error).__name__}: {error}"
    )
    return _on_api_error(
        request,
        ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "DATABASE_UNAVAILABLE",
            "the database cannot be reached at the moment; try again",
            headers={"Retry-After": "5"},
        ),
    )


def _on_unexpected(request: AnyRequest, error: Exception) -> Response[ErrorView]:
    request_id = trace_of(request.scope).request_id
    logger.error("http.unexpected", request_id=request_id, path=request.url.path, exc_info=error)
    return _on_api_error(
        request,
        ApiError(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "INTERNAL_ERROR",
            f"an unexpected error occurred; it is logged under the request id {request_id}",
        ),
    )


EXCEPTION_HANDLERS: dict[int | type[Exception], Callable[[AnyRequest, Any], Response[Any]]] = {
    ApiError: _on_api_error,
    GatewayError: _on_gateway_error,
    FileTooLargeError: _on_too_large,
    HTTPException: _on_http_exception,
    PyMongoError: _on_server_fault,
    TransientError: _on_server_fault,
    Exception: _on_unexpected,
}
