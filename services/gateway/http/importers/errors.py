"""Errors of the importers API: ``{"detail", "status_code"}``, with what a program needs beside them."""

from http import HTTPStatus

from litestar import Response

from services.gateway.http.envelope import INVALID_PARAMETER, ApiError, ErrorView, present_error


def present_importers_error(error: ApiError, request_id: str) -> Response[ErrorView]:
    """Of this API a query that does not validate is a validation error, as a body is."""
    if error.code == INVALID_PARAMETER:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        error = ApiError(status, error.code, error.detail, error.problems, error.headers, error.untold)
    return present_error(error, request_id)
