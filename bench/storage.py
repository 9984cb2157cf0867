"""How many bytes MongoDB and Kafka store, by what they are for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from deploy.local.stack import Stack
from libs.storage.files import BUCKET

FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "file": (f"{BUCKET}.files", f"{BUCKET}.chunks"),
    "rows": ("batch_payloads",),
    "rejected": ("rejected_records",),
    "ledger": ("runs", "batches"),
    "outbox": ("outbox",),
    "webhooks": ("webhook_deliveries",),
}
"""Collections of the state by what they are for: the file as it came, tables of rows, …"""
TARGET: Final = "target"
INTERNAL_PREFIX: Final = "__"
NO_SUCH_COLLECTION: Final = 26


@dataclass(frozen=True, slots=True)
class Bytes:
    """Of a family.

    Attributes:
        data: of its documents.
        stored: of its blocks on disk, compressed.
        indexes: of its indexes on disk.
    """

    data: int = 0
    stored: int = 0
    indexes: int = 0

    def __add__(self, other: "Bytes") -> "Bytes":
        return Bytes(self.data + other.data, self.stored + other.stored, self.indexes + other.indexes)

    def minus(self, other: "Bytes") -> "Bytes":
        """What it is more than another."""
        return Bytes(self.data - other.data, self.stored - other.stored, self.indexes - other.indexes)


def stored_bytes(client: MongoClient[dict[str, Any]], stack: Stack) -> dict[str, Bytes]:
    """Bytes of each of ``FAMILIES``, and of all ``TARGET`` collections together."""
    found = {family: family_bytes(client, stack, family) for family in FAMILIES}
    target = client[stack.target_database].command("dbStats")
    found[TARGET] = Bytes(int(target["dataSize"]), int(target["storageSize"]), int(target["indexSize"]))
    return found


def family_bytes(client: MongoClient[dict[str, Any]], stack: Stack, family: str) -> Bytes:
    """Bytes of one of ``FAMILIES``."""
    state = client[stack.database]
    return sum((_of(state[name]) for name in FAMILIES[family]), Bytes())


def kafka_bytes(stack: Stack) -> dict[str, int]:
    """Bytes of the log of each topic, of Kafka's own together under ``__``; nothing of another broker."""
    found: dict[str, int] = {}
    for partition in (stack.directory / "data" / "kafka").glob("*-*"):
        topic, _, number = partition.name.rpartition("-")
        if not number.isdecimal():
            continue
        name = INTERNAL_PREFIX if topic.startswith(INTERNAL_PREFIX) else topic
        size = sum(segment.stat().st_size for segment in partition.glob("*.log"))
        found[name] = found.get(name, 0) + size
    return found


def _of(collection: Any) -> Bytes:  # noqa: ANN401 - a collection of pymongo
    try:
        told = collection.aggregate([{"$collStats": {"storageStats": {}}}]).next()["storageStats"]
    except OperationFailure as error:
        if error.code != NO_SUCH_COLLECTION:
            raise
        return Bytes()
    return Bytes(int(told["size"]), int(told["storageSize"]), int(told["totalIndexSize"]))
