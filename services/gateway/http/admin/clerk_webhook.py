"""``/api/v1/clerk/webhook``: Clerk tells of people and organizations."""

from http import HTTPStatus

from litestar import Response, post
from pydantic import BaseModel

from services.gateway.access.clerk_events import ClerkEvents, Outcome
from services.gateway.http.answers import encoded, encoded_answer
from services.gateway.http.dependencies import AnyRequest
from services.gateway.http.envelope import ApiError
from services.gateway.http.json_body import json_body
from services.gateway.http.openapi import ApiOperation
from services.gateway.http.rate_limits import count_stranger

MAX_ID_CHARS = 200


class ReceivedView(BaseModel):
    """``outcome`` is ``applied``, ``repeated`` (the message was applied before) or ``ignored``."""

    outcome: Outcome


@post(
    "/api/v1/clerk/webhook",
    operation_id="receiveClerkEvent",
    summary="Take an event of Clerk's webhook",
    description="Clerk calls it; the headers `svix-id`, `svix-timestamp` and `svix-signature` prove that.",
    tags=["Clerk"],
    operation_class=ApiOperation,
    status_code=HTTPStatus.OK,
    exclude_from_auth=True,
    security=[{}],
)
async def receive_clerk_event(request: AnyRequest) -> Response[ReceivedView]:
    """Whoever has no signature is a stranger like any other."""
    events: ClerkEvents | None = request.app.state.clerk_events
    if events is None:
        count_stranger(request)
        raise ApiError(
            HTTPStatus.NOT_FOUND,
            "NOT_FOUND",
            "events of Clerk are not taken here: there is no secret to check them",
        )
    body = await json_body(request)
    message_id = request.headers.get("svix-id", "")
    if len(message_id) > MAX_ID_CHARS or not events.verified(body.content, request.headers):
        count_stranger(request)
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            "INVALID_SIGNATURE",
            "the signature does not fit the body, or is older than five minutes; check the secret, and the clock",
        )
    return encoded_answer(encoded(ReceivedView(outcome=await events.take(body.content, message_id))))
