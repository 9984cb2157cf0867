"""Endpoints and deliveries as requests ask for them and answers show them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from pydantic import AwareDatetime, BaseModel, Field

from libs.storage.documents import WebhookDelivery, WebhookEndpoint
from services.gateway.http.openapi import JsonOperation
from services.gateway.http.public_ids import model_id
from services.gateway.http.request_shape import Json, Part, read_part
from services.gateway.stores.deliveries import DeliveryHead
from services.gateway.webhooks.registered import MadeEndpoint
from services.gateway.webhooks.sent import Replay

MAX_TEMPLATES: Final = 100
MAX_EVENT_TYPES: Final = 50
MAX_OVERLAP_SECONDS: Final = 30 * 86_400
_Moment = Annotated[AwareDatetime, Field(strict=False)]
_Url = Annotated[str, Field(min_length=1, max_length=2_000)]
_Text = Annotated[str, Field(max_length=200)]
_Secret = Annotated[str, Field(max_length=200)]
_EventTypes = Annotated[tuple[_Text, ...], Field(min_length=1, max_length=MAX_EVENT_TYPES, strict=False)]
_TemplateIds = Annotated[tuple[_Text, ...], Field(min_length=1, max_length=MAX_TEMPLATES, strict=False)]


class EndpointStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    """It has failed again and again; one attempt after ``paused_until`` decides how it goes on."""
    OFF = "off"
    """Switched off by its owner."""
    DISABLED = "disabled"
    """Switched off by Rowdock, see ``disabled_reason``."""


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    DISABLED = "disabled"


class SettledState(StrEnum):
    DELIVERED = "delivered"
    FAILED = "failed"
    DISABLED = "disabled"


# --- what is asked for --------------------------------------------------------------------------


class NewEndpoint(Part):
    """An endpoint: it hears of all types of events and all templates unless it names some."""

    url: _Url
    description: _Text = ""
    event_types: _EventTypes | None = None
    template_ids: _TemplateIds | None = None
    enabled: bool = True
    secret: _Secret | None = None


class EndpointChanges(Part):
    """What is left out stays as it is; null for ``event_types`` or ``template_ids`` means all."""

    url: _Url = ""
    description: _Text = ""
    event_types: _EventTypes | None = None
    template_ids: _TemplateIds | None = None
    enabled: bool = True


class SecretRotation(Part):
    """``overlap_seconds``: how long is signed with the secret before too."""

    secret: _Secret | None = None
    overlap_seconds: Annotated[int, Field(ge=0, le=MAX_OVERLAP_SECONDS)] = 86_400


class ReplayRequest(Part):
    """What was stored from ``since`` to ``until`` (now, if not given) and is in one of ``statuses`` is sent again."""

    since: _Moment
    until: _Moment | None = None
    statuses: Annotated[
        tuple[Annotated[SettledState, Field(strict=False)], ...], Field(min_length=1, max_length=3, strict=False)
    ] = (SettledState.FAILED, SettledState.DISABLED)


@dataclass
class NewEndpointOperation(JsonOperation):
    model = NewEndpoint
    shown: ClassVar[Json | None] = {
        "url": "https://example.com/hooks",
        "description": "ends of imports, for the warehouse",
        "event_types": ["import.completed", "import.failed"],
    }


@dataclass
class EndpointChangeOperation(JsonOperation):
    model = EndpointChanges
    shown: ClassVar[Json | None] = {"event_types": None, "enabled": True}


@dataclass
class SecretRotationOperation(JsonOperation):
    model = SecretRotation
    shown: ClassVar[Json | None] = {"overlap_seconds": 3600}
    required = False


@dataclass
class ReplayOperation(JsonOperation):
    model = ReplayRequest
    shown: ClassVar[Json | None] = {"since": "2026-01-31T12:00:00Z", "statuses": ["failed"]}


# --- what is shown ------------------------------------------------------------------------------


class EndpointView(BaseModel):
    """An endpoint. ``template_id`` is null unless it is that of a template, which says the rest of it.

    ``failures`` counts the attempts that failed since the last one that went well.
    """

    id: str
    url: str
    description: str
    event_types: list[str] | None
    template_ids: list[str] | None
    template_id: str | None
    status: EndpointStatus
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    failures: int
    failing_since: datetime | None
    paused_until: datetime | None
    previous_secret_until: datetime | None
    created_at: datetime


class NewEndpointView(EndpointView):
    """``secret`` is shown here and never again."""

    secret: str


class EndpointPage(BaseModel):
    """Newest first; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[EndpointView]
    next_after: str | None


class AttemptView(BaseModel):
    """One request.

    ``result`` is ``delivered``, ``gone``, ``throttled`` or ``failed``; ``response_excerpt`` the start of the answer, at
    most 1,024 bytes; ``error`` why there was none.
    """

    number: int
    at: datetime
    url: str | None
    result: str
    status_code: int | None
    error: str | None
    duration_ms: int
    response_excerpt: str


class DeliveryHeadView(BaseModel):
    """A delivery: its ``id`` is the ``webhook-id`` of every attempt. ``run_id`` is null where it is about no import."""

    id: str
    endpoint_id: str
    event_id: str
    event_type: str | None
    run_id: str | None
    status: DeliveryState
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    last_attempt: AttemptView | None


class DeliveryPage(BaseModel):
    """Newest first; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[DeliveryHeadView]
    next_after: str | None


class DeliveryView(DeliveryHeadView):
    """With what is sent, and every attempt in order."""

    body: Any
    log: list[AttemptView]


class ReplayView(BaseModel):
    """``deliveries`` are sent again. Where there may be more, ``next_since`` is the ``since`` to go on with."""

    deliveries: int
    next_since: datetime | None


_OF_HEAD: Final = {"id", "endpoint_id", "event_id", "created_at", "next_attempt_at"}
WEBHOOK_MODELS = (NewEndpoint, EndpointChanges, SecretRotation, ReplayRequest)
"""What request bodies refer to."""


def read_new(body: object) -> tuple[dict[str, Any], str | None]:
    """The endpoint that is wanted, and its secret."""
    asked, _ = read_part(NewEndpoint, body)
    return _stored(asked.model_dump(exclude={"secret"})), asked.secret


def read_changes(body: object) -> dict[str, Any]:
    """What of an endpoint is to be changed."""
    asked, members = read_part(EndpointChanges, body)
    return _stored(asked.model_dump(include=set(members)))


def _stored(asked: dict[str, Any]) -> dict[str, Any]:
    """With lists as they are stored, each entry once, and ids of templates as the model has them."""
    for name in ("event_types", "template_ids"):
        if asked.get(name) is not None:
            asked[name] = list(dict.fromkeys(map(model_id, asked[name])))
    return asked


def present_endpoint(stored: WebhookEndpoint) -> EndpointView:
    return EndpointView(**_members(stored))


def present_made(made: MadeEndpoint) -> NewEndpointView:
    return NewEndpointView(**_members(made.endpoint), secret=made.secret)


def present_endpoints(found: Sequence[WebhookEndpoint], *, more: bool) -> EndpointPage:
    return EndpointPage(data=[present_endpoint(each) for each in found], next_after=found[-1].id if more else None)


def present_head(head: DeliveryHead) -> DeliveryHeadView:
    return DeliveryHeadView(
        **head.model_dump(include=_OF_HEAD | {"attempts"}),
        status=DeliveryState(head.state),
        event_type=head.event_type or None,
        run_id=head.run_id or None,
        last_attempt=None if head.last is None else _attempt(head.last),
    )


def present_deliveries(found: Sequence[DeliveryHead], *, more: bool) -> DeliveryPage:
    return DeliveryPage(data=[present_head(each) for each in found], next_after=found[-1].id if more else None)


def present_delivery(stored: WebhookDelivery) -> DeliveryView:
    log = [_attempt(each) for each in stored.attempts]
    return DeliveryView(
        **stored.model_dump(include=_OF_HEAD),
        status=DeliveryState(stored.state),
        event_type=stored.event_type or None,
        run_id=stored.run_id or None,
        attempts=len(log),
        last_attempt=log[-1] if log else None,
        body=json.loads(stored.body),
        log=log,
    )


def present_replay(replay: Replay) -> ReplayView:
    return ReplayView(deliveries=replay.deliveries, next_since=replay.next_since)


def overlap_of(rotation: SecretRotation) -> timedelta:
    return timedelta(seconds=rotation.overlap_seconds)


def _members(stored: WebhookEndpoint) -> dict[str, Any]:
    same = EndpointView.model_fields.keys() & WebhookEndpoint.model_fields.keys() - {"template_id"}
    return {
        **stored.model_dump(include=same),
        "template_id": stored.template_id or None,
        "status": _status(stored),
        "previous_secret_until": stored.previous_until,
    }


def _status(stored: WebhookEndpoint) -> EndpointStatus:
    if not stored.enabled:
        return EndpointStatus.OFF if stored.disabled_at is None else EndpointStatus.DISABLED
    if stored.paused_until is not None and stored.paused_until > datetime.now(UTC):
        return EndpointStatus.PAUSED
    return EndpointStatus.ACTIVE


def _attempt(stored: dict[str, Any]) -> AttemptView:
    return AttemptView(
        number=stored["number"],
        at=stored["at"],
        url=stored.get("url") or None,
        result=stored["result"],
        status_code=stored.get("status_code"),
        error=stored.get("error"),
        duration_ms=stored["duration_ms"],
        response_excerpt=stored.get("response_excerpt", ""),
    )
