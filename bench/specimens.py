"""Ended runs in any number: copies of real ones, with ids, owner and times of their own."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Self, cast

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.database import Database

from libs.contracts.ids import delivery_id, record_prefix, run_event_id
from libs.storage.files import BUCKET

KEPT_FILES = (f"{BUCKET}.files", f"{BUCKET}.chunks", "batch_payloads")
"""What is removed long before its run."""
KEPT_WITH_RUN = ("batches", "rejected_records", "undo", "webhook_deliveries")
KEPT_FILES_AFTER = timedelta(days=30)
RECORDS = "records/"
AT_ONCE = 2_000
VERSIONS = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Specimen:
    """Everything that is stored of a run, as bytes.

    Ids and times have the same length wherever they are, so that a copy is made by replacing bytes.

    Attributes:
        run_id, tenant_id: of the run.
        endpoints: of the webhooks that it told.
        chunks: ids of the pieces of its file, which tell nothing of the run.
        moments: every time in it.
        parts: documents by collection; those of a resource of the target behind ``RECORDS``.
        vocabulary: of the interface that started it.
        status: of the run.
    """

    run_id: str
    tenant_id: str
    endpoints: Sequence[str]
    chunks: Sequence[bson.ObjectId]
    moments: Sequence[datetime]
    parts: Mapping[str, Sequence[bytes]]
    vocabulary: str
    status: str

    @classmethod
    def of(cls, state: Database[Document], target: Database[Document], run_id: str) -> Self:
        """What is stored of a run.

        Raises:
            LookupError: there is no such run.
        """
        run = state["runs"].find_one({"_id": run_id})
        if run is None:
            raise LookupError(run_id)
        parts: dict[str, list[Document]] = {"runs": [run]}
        for name in (*KEPT_WITH_RUN, "batch_payloads"):
            parts[name] = list(state[name].find({"run_id": run_id}))
        file_id = bson.ObjectId(run["file"]["id"])
        parts[f"{BUCKET}.files"] = list(state[f"{BUCKET}.files"].find({"_id": file_id}))
        parts[f"{BUCKET}.chunks"] = list(state[f"{BUCKET}.chunks"].find({"files_id": file_id}))
        resource = run["template"]["target_resource"]
        parts[RECORDS + resource] = list(target[resource].find({"_import.run_id": run_id}))
        endpoints = sorted({each["endpoint_id"] for each in parts["webhook_deliveries"]})
        moments = sorted({moment for some in parts.values() for each in some for moment in _moments(each)})
        chunks = [each["_id"] for each in parts[f"{BUCKET}.chunks"]]
        stored = {name: [bson.encode(each) for each in some] for name, some in parts.items() if some}
        vocabulary = str(run.get("vocabulary", "engine"))
        return cls(run_id, run["tenant_id"], endpoints, chunks, moments, stored, vocabulary, str(run["status"]))

    def without_file(self) -> Self:
        """As it is stored when its file was kept long enough."""
        run = cast("Document", bson.decode(self.parts["runs"][0], _AWARE))
        run["file_removed_at"] = run["finished_at"] + KEPT_FILES_AFTER
        parts = {name: some for name, some in self.parts.items() if name not in KEPT_FILES}
        parts["runs"] = [bson.encode(run)]
        moments = sorted({*self.moments, run["file_removed_at"]})
        return replace(self, moments=moments, parts=parts)

    def copy(self, run_id: str, tenant_id: str, earlier: timedelta) -> Iterator[tuple[str, bytes]]:
        """Collection and document of everything of a copy that happened so much earlier."""
        replaced = [
            (self.run_id.encode(), run_id.encode()),
            (bytes.fromhex(self.run_id), bytes.fromhex(run_id)),
            (record_prefix(self.run_id), record_prefix(run_id)),
            (self.tenant_id.encode(), tenant_id.encode()),
        ]
        for version in range(1, VERSIONS + 1):
            old, new = run_event_id(self.run_id, version), run_event_id(run_id, version)
            replaced += [(delivery_id(old, each).encode(), delivery_id(new, each).encode()) for each in self.endpoints]
            replaced.append((old.encode(), new.encode()))
        replaced += [(each.binary, bson.ObjectId().binary) for each in self.chunks]
        replaced += [(_stored(moment), _stored(moment - earlier)) for moment in self.moments]
        for name, some in self.parts.items():
            for document in some:
                yield name, _replaced(document, replaced)


def insert(state: Database[Document], target: Database[Document], copies: Iterator[tuple[str, bytes]]) -> int:
    """Store what ``Specimen.copy`` makes; how many documents that was."""
    count = 0
    while some := list(islice(copies, AT_ONCE)):
        by_collection: dict[str, list[RawBSONDocument]] = {}
        for name, document in some:
            by_collection.setdefault(name, []).append(RawBSONDocument(document))
        for name, documents in by_collection.items():
            where = target[name.removeprefix(RECORDS)] if name.startswith(RECORDS) else state[name]
            cast("Collection[Any]", where).insert_many(documents, ordered=False)
            count += len(documents)
    return count


_AWARE: Any = bson.CodecOptions(tz_aware=True)


def _moments(value: object) -> Iterator[datetime]:
    if isinstance(value, datetime):
        yield value if value.tzinfo else value.replace(tzinfo=UTC)
    elif isinstance(value, Mapping):
        for each in cast("Mapping[str, object]", value).values():
            yield from _moments(each)
    elif isinstance(value, list):
        for each in cast("list[object]", value):
            yield from _moments(each)


def _stored(moment: datetime) -> bytes:
    """A date as BSON has it: milliseconds in eight bytes."""
    return struct.pack("<q", (moment - _EPOCH) // timedelta(milliseconds=1))


def _replaced(document: bytes, replaced: Sequence[tuple[bytes, bytes]]) -> bytes:
    for old, new in replaced:
        document = document.replace(old, new)
    return document
