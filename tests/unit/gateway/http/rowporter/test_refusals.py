"""The table of errors of Rowporter's reference, and what is told of each."""

import json
from http import HTTPStatus

import pytest

from services.gateway.errors import Problem
from services.gateway.http.envelope import ApiError
from services.gateway.http.rowporter.refusals import present_refusal


def presented(error: ApiError) -> tuple[int, dict[str, str]]:
    response = present_refusal(error, "request")
    content = response.content.model_dump()
    assert set(content) == {"error"}
    json.dumps(content)
    return response.status_code, content["error"]


@pytest.mark.parametrize(
    ("status", "code", "documented"),
    [
        (HTTPStatus.BAD_REQUEST, "INVALID_PARAMETER", (400, "BAD_REQUEST")),
        (HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_TEMPLATE", (400, "VALIDATION_ERROR")),
        (HTTPStatus.UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED", (422, "IDEMPOTENCY_KEY_REUSED")),
        (HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", (401, "UNAUTHORIZED")),
        (HTTPStatus.NOT_FOUND, "TEMPLATE_NOT_FOUND", (404, "NOT_FOUND")),
        (HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_UPLOADS", (429, "RATE_LIMIT_EXCEEDED")),
        (HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", (500, "INTERNAL_ERROR")),
        (HTTPStatus.CONFLICT, "TOO_MANY_TEMPLATES", (409, "TOO_MANY_TEMPLATES")),
    ],
)
def test_codes(status: HTTPStatus, code: str, documented: tuple[int, str]) -> None:
    answered, error = presented(ApiError(status, code, "why"))
    assert (answered, error["code"]) == documented
    assert error["message"].endswith("why")


def test_what_is_wrong_with_the_request_itself_is_no_validation() -> None:
    problem = Problem("header.Idempotency-Key", "INVALID", "must be short")
    answered, error = presented(ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_REQUEST", "d", [problem]))
    assert (answered, error["code"]) == (400, "BAD_REQUEST")
    assert error["message"] == "header.Idempotency-Key must be short"


def test_headers_stay() -> None:
    error = ApiError(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY", "why", headers={"Retry-After": "7"})
    assert present_refusal(error, "request").headers["Retry-After"] == "7"


def test_every_place_is_told_up_to_a_number() -> None:
    problems = [Problem("body.name", "MISSING", "is required"), Problem("body", "INVALID", "is no object")]
    problems += [Problem(f"body.columns[{n}].key", "CONFLICT", "'a' is defined twice") for n in range(20)]
    _, error = presented(ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_TEMPLATE", "d", problems, untold=5))
    assert error["message"].startswith("Validation error: name is required; is no object; columns[0].key: 'a' is")
    assert error["message"].endswith("; and 17 more")
