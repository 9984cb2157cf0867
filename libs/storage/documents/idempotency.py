"""Requests that may be repeated."""

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import BaseModel
from pymongo import ASCENDING, IndexModel

from libs.storage.documents.state_document import StateDocument
from libs.storage.sealing import Sealed


class RecordedAnswer(BaseModel):
    """The first answer to a request.

    Attributes:
        status: of it.
        headers: its own; those that every answer has are not among them.
        body: compressed and encrypted; ``None`` where it was too large to be kept.
    """

    status: int
    headers: list[tuple[str, str]]
    body: Annotated[bytes | None, Sealed(guard="token")] = None


class IdempotencyRecord(StateDocument):
    """What became of the request that was made with an ``Idempotency-Key``; its id is a digest of organization, caller
    and key.

    Attributes:
        tenant_id: the organization of the caller.
        request: a digest of method, path and query.
        content: a digest of what was sent, once it has arrived.
        effect_id: the id of what is created, the same in every attempt.
        began_at: when the first attempt began.
        token: the attempt that is at work, or was last.
        lease_until: until when it is believed to be alive (server time).
        tag: what the answer is about, where another request may take the key over.
        expires_at: when the key is free again.
    """

    tenant_id: str
    request: str
    content: str | None = None
    effect_id: str
    began_at: datetime
    token: str
    lease_until: datetime
    answer: RecordedAnswer | None = None
    tag: str | None = None
    expires_at: datetime

    class Settings:
        name = "idempotency_keys"
        indexes: ClassVar = [
            IndexModel([("tenant_id", ASCENDING)], name="tenant"),
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
        ]
