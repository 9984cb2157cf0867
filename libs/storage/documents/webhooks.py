"""Receivers of events and what is sent to them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel

from libs.contracts.listening import Listener
from libs.storage.documents.leases import Lease
from libs.storage.documents.state_document import StateDocument
from libs.storage.sealing import Sealed

OF_ORGANIZATION = ""
"""The ``template_id`` of an endpoint that belongs to no template. A text, because earlier releases read no other."""
MAX_LISTENERS: Final = 100
"""Most endpoints of an organization that are looked at; the gateway makes no more than half of them."""
LISTENING: Final[Mapping[str, int]] = MappingProxyType(
    dict.fromkeys(("event_types", "template_ids", "hears_since", "created_at"), 1)
)
"""The members of an endpoint that say what it hears of."""
KEEP_RUNLESS_DAYS = 30
"""How long a delivery that belongs to no run is kept; the others go with their run."""


class WebhookEndpoint(StateDocument):
    """A receiver of events; the signing secrets are encrypted.

    Attributes:
        template_id: whose events it gets, or ``OF_ORGANIZATION``: those of all templates, unless it names some.
        description: for people.
        event_types: the only ones that it gets; ``None`` for all.
        template_ids: of an organization's: the only templates whose events it gets; ``None`` for all.
        hears_since: events before then are none of its business; ``None`` for a template's.
        previous_secret, previous_until: the secret before, with which is signed too until then.
        replaced_by: by which request, so that one that is repeated does not replace it again.
        disabled_at, disabled_reason: when and why Rowdock itself stopped sending; switched off by its owner, it has
            neither.
        failures: attempts that failed since the last one that did not.
        failing_since: when the first of those was made.
        paused_until: nothing is sent before then; after it one attempt, which decides how it goes on.
        pauses: how many there were since an attempt went well.
        version: rises with every change of what its owner says, or Rowdock in switching it off; not with how it does.
            Release 0.1 stored none.
    """

    tenant_id: str
    template_id: str
    url: str
    encrypted_secret: Annotated[str, Sealed()]
    enabled: bool = True
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    created_at: datetime
    description: str = ""
    event_types: list[str] | None = None
    template_ids: list[str] | None = None
    hears_since: datetime | None = None
    previous_secret: Annotated[str | None, Sealed()] = None
    previous_until: datetime | None = None
    replaced_by: str | None = None
    failures: int = 0
    failing_since: datetime | None = None
    paused_until: datetime | None = None
    pauses: int = 0
    version: int = 1

    class Settings:
        name = "webhook_endpoints"
        indexes: ClassVar = [
            IndexModel([("tenant_id", ASCENDING), ("template_id", ASCENDING)], name="template"),
            IndexModel([("tenant_id", ASCENDING), ("_id", DESCENDING)], name="newest"),
            IndexModel(
                [("tenant_id", ASCENDING), ("created_at", ASCENDING)],
                name="of_organization",
                partialFilterExpression={"template_id": OF_ORGANIZATION},
            ),
            IndexModel(
                [("tenant_id", ASCENDING), ("disabled_at", ASCENDING)],
                name="given_up",
                partialFilterExpression={"disabled_at": {"$type": "date"}},
            ),
        ]


def of_organization(tenant_id: object) -> dict[str, object]:
    """What matches the endpoints of an organization that belong to no template."""
    return {"tenant_id": tenant_id, "template_id": OF_ORGANIZATION}


def listener(stored: Mapping[str, Any]) -> Listener:
    """What an endpoint hears of, which was read with the members of ``LISTENING`` at least."""
    return Listener(
        id=stored["_id"],
        event_types=_names(stored.get("event_types")),
        template_ids=_names(stored.get("template_ids")),
        since=stored.get("hears_since") or stored["created_at"],
    )


def _names(stored: Sequence[str] | None) -> frozenset[str] | None:
    return None if stored is None else frozenset(stored)


class WebhookDelivery(StateDocument):
    """One event for one receiver, with every attempt; see ``services.webhooks.domain.delivery``.

    Attributes:
        run_id: empty where it is about no run.
        event_type: such as ``import.completed``; empty for those of earlier releases.
        resent_after: how many attempts there had been when it was last asked for again; the schedule counts from there.
        trace: ``traceparent`` below which its attempts stand.
        occurred_at: when the event was; ``None`` in those of earlier releases.
    """

    tenant_id: str
    endpoint_id: str
    run_id: str
    event_id: str
    body: bytes
    state: str = "pending"
    attempts: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    next_attempt_at: datetime | None = None
    lease: Lease | None = None
    created_at: datetime
    event_type: str = ""
    resent_after: int = 0
    trace: str | None = None
    occurred_at: datetime | None = None

    class Settings:
        name = "webhook_deliveries"
        indexes: ClassVar = [
            IndexModel(
                [
                    ("state", ASCENDING),
                    ("tenant_id", ASCENDING),
                    ("endpoint_id", ASCENDING),
                    ("next_attempt_at", ASCENDING),
                ],
                name="turns",
            ),
            IndexModel([("tenant_id", ASCENDING), ("run_id", ASCENDING)], name="tenant_run"),
            IndexModel([("endpoint_id", ASCENDING), ("state", ASCENDING)], name="endpoint"),
            IndexModel(
                [
                    ("tenant_id", ASCENDING),
                    ("endpoint_id", ASCENDING),
                    ("state", ASCENDING),
                    ("created_at", DESCENDING),
                    ("_id", DESCENDING),
                ],
                name="newest",
            ),
            IndexModel(
                [("created_at", ASCENDING)],
                name="of_no_run",
                expireAfterSeconds=KEEP_RUNLESS_DAYS * 86_400,
                partialFilterExpression={"run_id": ""},
            ),
        ]
