"""What is wrong, in the one shape that errors have in this vocabulary: ``{"error": {"code", "message"}}``."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from litestar import Response
from pydantic import BaseModel

from services.gateway.errors import Problem
from services.gateway.http.envelope import ApiError

MAX_TOLD = 10
"""How many of the things that are wrong a message tells."""
CODES: Mapping[HTTPStatus, str] = {
    HTTPStatus.UNAUTHORIZED: "UNAUTHORIZED",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.TOO_MANY_REQUESTS: "RATE_LIMIT_EXCEEDED",
    HTTPStatus.INTERNAL_SERVER_ERROR: "INTERNAL_ERROR",
}
"""The codes of statuses that have one only; 400 has ``BAD_REQUEST`` for what is wrong with the request itself, and
``VALIDATION_ERROR`` for what its body says. Any other status keeps the code of what it is about."""
REUSED = "IDEMPOTENCY_KEY_REUSED"
"""Is 422 in every vocabulary."""
_PREDICATES = ("is ", "must ", "needs ", "has ", "holds ", "cannot ")


class RowporterErrorBody(BaseModel):
    code: str
    message: str


class RowporterError(BaseModel):
    """What is wrong, where, and how to fix it."""

    error: RowporterErrorBody


def present_refusal(refusal: ApiError, request_id: str) -> Response[RowporterError]:
    """The answer of a refusal; what the request is called in the logs its header tells."""
    del request_id
    status, code = refusal.status, CODES.get(refusal.status, refusal.code)
    message = _told(refusal.problems, refusal.untold) if refusal.problems else refusal.detail
    if status is HTTPStatus.UNPROCESSABLE_ENTITY and refusal.code != REUSED:
        status = HTTPStatus.BAD_REQUEST
        if all(problem.location.startswith("body") for problem in refusal.problems):
            code, message = "VALIDATION_ERROR", f"Validation error: {message}"
        else:
            code = "BAD_REQUEST"
    elif status is HTTPStatus.BAD_REQUEST:
        code = "BAD_REQUEST"
    body = RowporterError(error=RowporterErrorBody(code=code, message=message))
    return Response(body, status_code=status.value, headers=refusal.headers)


def _told(problems: Sequence[Problem], untold: int) -> str:
    told = "; ".join(map(_said, problems[:MAX_TOLD]))
    more = len(problems) - MAX_TOLD + untold if len(problems) > MAX_TOLD else untold
    return f"{told}; and {more:,} more" if more else told


def _said(problem: Problem) -> str:
    place = problem.location.removeprefix("body").removeprefix(".")
    if not place:
        return problem.message
    return f"{place}{' ' if problem.message.startswith(_PREDICATES) else ': '}{problem.message}"
