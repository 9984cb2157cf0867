"""Internal producers of an organization: by their public keys it is known who has sent a message."""

import binascii
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast

from bson import ObjectId
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pymongo import ReturnDocument

from libs.storage.client import Collection, Document
from libs.storage.documents import RequestProducer
from services.gateway.access import revocation
from services.gateway.access.principal import Principal
from services.gateway.errors import LimitError, Problem, Versions, invalid_input, not_found

MAX_LIVE_PRODUCERS: Final = 100
"""Of one organization."""
MAX_TEMPLATES: Final = 1_000
MAX_KEY_CHARS: Final = 1_000
_RAW_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class WantedProducer:
    """A producer that somebody registers.

    Attributes:
        name: for people; runs are started by ``producer:`` and this.
        public_key: Ed25519, as PEM or as Base64 of its 32 bytes.
        templates: ids of those that it may use; any where it says nothing.
        expires_at: when its key stops working, if ever.
    """

    name: str
    public_key: str
    templates: tuple[str, ...] | None = None
    expires_at: datetime | None = None


class Producers:
    """The producers of organizations. What a principal asks for concerns its own organization only."""

    @property
    def _producers(self) -> Collection:
        return cast("Collection", RequestProducer.get_pymongo_collection())  # pyright: ignore[reportUnknownMemberType]

    async def add(self, principal: Principal, wanted: WantedProducer, identifier: str | None = None) -> RequestProducer:
        """Register a producer; under ``identifier``, or find the one that was registered under it before.

        Raises:
            InvalidInputError: at ``public_key`` or ``expires_at``.
            LimitError: ``TOO_MANY_PRODUCERS``.
        """
        read_public_key(wanted.public_key)
        mine: Document = {"_id": identifier, "tenant_id": principal.tenant_id}
        if identifier is not None and (found := await self._producers.find_one(mine)) is not None:
            return RequestProducer.read(found)
        now = datetime.now(UTC)
        if wanted.expires_at is not None and wanted.expires_at <= now:
            raise invalid_input(Problem("expires_at", "INVALID", "lies in the past; leave it out for no end"))
        live = {"tenant_id": principal.tenant_id, **_live()}
        if await self._producers.count_documents(live, limit=MAX_LIVE_PRODUCERS) == MAX_LIVE_PRODUCERS:
            raise LimitError(
                "TOO_MANY_PRODUCERS",
                f"an organization has at most {MAX_LIVE_PRODUCERS} producers; revoke one that is not needed any more",
            )
        producer = RequestProducer(
            _id=identifier or str(ObjectId()),
            tenant_id=principal.tenant_id,
            name=wanted.name,
            public_key=wanted.public_key,
            templates=None if wanted.templates is None else list(wanted.templates),
            created_at=now,
            expires_at=wanted.expires_at,
        )
        await self._producers.insert_one(producer.model_dump(by_alias=True))
        return producer

    async def page(
        self, principal: Principal, limit: int, after: str | None = None
    ) -> tuple[list[RequestProducer], bool]:
        """Producers, live or not, the newest first, and whether there are more."""
        mine: Document = {"tenant_id": principal.tenant_id}
        if after is not None:
            mine["_id"] = {"$lt": after}
        found = await self._producers.find(mine).sort("_id", -1).limit(limit + 1).to_list()
        return [RequestProducer.read(each) for each in found[:limit]], len(found) > limit

    async def get(self, principal: Principal, producer_id: str) -> RequestProducer:
        """One of them.

        Raises:
            NotFoundError: the organization has none of that id.
        """
        found = await self._producers.find_one({"_id": producer_id, "tenant_id": principal.tenant_id})
        if found is None:
            raise not_found("producer", producer_id)
        return RequestProducer.read(found)

    async def revoke(self, principal: Principal, producer_id: str, wanted: Versions = None) -> RequestProducer:
        """Let a producer ask for nothing from now on. It stays in the list, and stays revoked.

        Raises:
            NotFoundError: as ``get``.
            OutdatedError: it has none of the versions that are ``wanted``.
        """
        found = await revocation.revoke(self._producers, "producer", principal.tenant_id, producer_id, wanted)
        return RequestProducer.read(found)

    async def live(self, producer_id: str) -> RequestProducer | None:
        """A producer whose key works now, by the clock of the database; ``None`` where there is none of that id."""
        found = await self._producers.find_one_and_update(
            {"_id": producer_id, **_live()},
            {"$currentDate": {"last_used_at": True}},
            return_document=ReturnDocument.AFTER,
        )
        return None if found is None else RequestProducer.read(found)


def read_public_key(text: str) -> Ed25519PublicKey:
    """An Ed25519 key, from PEM or from Base64 of its 32 bytes.

    Raises:
        InvalidInputError: at ``public_key``: it is none.
    """
    try:
        if "-----" in text[:MAX_KEY_CHARS]:
            key = load_pem_public_key(text[:MAX_KEY_CHARS].encode())
            if isinstance(key, Ed25519PublicKey):
                return key
        elif len(raw := b64decode(text[:MAX_KEY_CHARS], validate=True)) == _RAW_BYTES:
            return Ed25519PublicKey.from_public_bytes(raw)
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        pass
    message = (
        "is no public Ed25519 key; send it as PEM, such as 'openssl pkey -in private.pem -pubout' prints it, or as "
        "Base64 of its 32 bytes, and never the private key"
    )
    raise invalid_input(Problem("public_key", "INVALID", message))


def _live() -> Document:
    return {"revoked_at": None, "$or": [{"expires_at": None}, {"$expr": {"$gt": ["$expires_at", "$$NOW"]}}]}
