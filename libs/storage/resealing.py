"""Which key each stored secret is encrypted with, and its encryption with the first one.

Which secrets there are the document models say (``Sealed``). Nothing of what a secret belongs to changes but its
encryption, and that by compare-and-set: beside services that replace secrets, and beside a second one of its kind.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pymongo import UpdateOne

from libs.storage.client import Document, Mongo
from libs.storage.documents import DOCUMENTS
from libs.storage.sealing import SealedField, SecretKeys, Standing, sealed_fields
from libs.telemetry.failpoints import failpoint

DOCUMENTS_AT_A_TIME: Final = 500
WRITES_AT_A_TIME: Final = 100
BYTES_AT_A_TIME: Final = 8 * 1024 * 1024
PASSES: Final = 5
"""Secrets that were replaced in the moment of their encryption are looked at again, so often."""
EXAMPLES: Final = 3

SEALED_DOCUMENTS: Final[Mapping[str, tuple[SealedField, ...]]] = {
    kind.Settings.name: fields  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - of every one
    for kind in DOCUMENTS
    if (fields := tuple(sealed_fields(kind)))
}
"""The encrypted fields, by collection."""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What the secrets of a collection are encrypted with.

    Attributes:
        current: secrets that are encrypted with the first key.
        outdated: those with another one.
        unreadable: those with none of the keys.
        examples: ids of documents with some of these.
        more: it was not looked at all there are.
    """

    current: int = 0
    outdated: int = 0
    unreadable: int = 0
    examples: tuple[str, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class _Secret:
    document: Document
    field: SealedField
    sealed: bytes | str


class Resealing:
    """The stored secrets of an installation.

    Args:
        mongo: the databases.
        keys: the first one is the one to be used.
    """

    def __init__(self, mongo: Mongo, keys: SecretKeys) -> None:
        self._mongo = mongo
        self._keys = keys

    async def look(self, collection: str, most_bytes: int | None = None) -> KeyUse:
        """What the secrets of a collection are encrypted with.

        Args:
            collection: one of ``SEALED_DOCUMENTS``.
            most_bytes: look at the first so many bytes of them only.
        """
        counts, examples, size = Counter[Standing](), list[str](), 0
        async for secret in self._secrets(collection):
            if most_bytes is not None and size > most_bytes:
                return _use(counts, examples, more=True)
            size += len(secret.sealed)
            standing = self._keys.standing(secret.sealed)
            counts[standing] += 1
            if standing is Standing.UNREADABLE and len(examples) < EXAMPLES:
                examples.append(secret.document["_id"])
        return _use(counts, examples, more=False)

    async def renew(self, collection: str) -> int:
        """Encrypt with the first key what is encrypted with another one; how many secrets that were.

        May be stopped and repeated: what is done is found to be done. What none of the keys opens stays as it is.
        """
        renewed = 0
        for _ in range(PASSES):
            changed, missed = await self._pass(collection)
            renewed += changed
            if not missed:
                break
        return renewed

    async def _pass(self, collection: str) -> tuple[int, int]:
        """How many secrets were encrypted anew, and how many somebody had changed meanwhile."""
        changed = missed = 0
        writes, size = list[UpdateOne](), 0

        async def write() -> None:
            nonlocal changed, missed, size
            if writes:
                answer = await self._mongo.state[collection].bulk_write(writes, ordered=False)
                changed += answer.matched_count
                missed += len(writes) - answer.matched_count
                failpoint("secrets.some_renewed")
            writes.clear()
            size = 0

        async for secret in self._secrets(collection):
            if self._keys.standing(secret.sealed) is not Standing.OUTDATED:
                continue
            renewed = self._keys.renewed(secret.sealed)
            as_it_was = {"_id": secret.document["_id"], secret.field.guard: _at(secret.document, secret.field.guard)}
            stored = renewed.decode() if isinstance(secret.sealed, str) else renewed
            writes.append(UpdateOne(as_it_was, {"$set": {secret.field.path: stored}}))
            size += len(renewed)
            if len(writes) >= WRITES_AT_A_TIME or size >= BYTES_AT_A_TIME:
                await write()
        await write()
        return changed, missed

    async def _secrets(self, collection: str) -> AsyncIterator[_Secret]:
        """All secrets, document by document."""
        fields = SEALED_DOCUMENTS[collection]
        wanted = dict.fromkeys((path for field in fields for path in (field.path, field.guard)), 1)
        after: Document = {}
        while True:
            found = self._mongo.state[collection].find(after, wanted).sort("_id", 1).limit(DOCUMENTS_AT_A_TIME)
            last: Document | None = None
            async for last in found:
                for field in fields:
                    sealed = _at(last, field.path)
                    if isinstance(sealed, bytes | str):
                        yield _Secret(last, field, sealed)
            if last is None:
                return
            after = {"_id": {"$gt": last["_id"]}}


def _use(counts: Counter[Standing], examples: list[str], *, more: bool) -> KeyUse:
    return KeyUse(
        counts[Standing.CURRENT], counts[Standing.OUTDATED], counts[Standing.UNREADABLE], tuple(examples), more
    )


def _at(document: Mapping[str, Any], path: str) -> object:
    """What stands at a path; ``None`` where nothing does."""
    value: object = document
    for name in path.split("."):
        value = cast("Mapping[str, object]", value).get(name) if isinstance(value, Mapping) else None
    return value
