"""The first rows that a run has written, as they stand in the target.

Records that a run created are one range of ``_id``, in the order of the file; those that it changed have before-images
with their rows. Both are read along an index, and no further than the sample takes. A record that another run has
written since shows that one's values, so it is left out.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.collection import AsyncCollection

from libs.contracts.ids import MAX_ROWS_PER_RUN, record_id
from libs.storage.client import Document, Mongo, decode_document
from libs.storage.documents import RunDocument, UndoEntry
from services.webhooks.domain.sample import MAX_BYTES, MAX_ROWS, Sample, Wanted

EXTRA: Final = "extra"
"""Where columns are kept that no field asks for."""
AT_A_TIME: Final = 50
_ASKED: Final = (
    "include_data_in_webhook",
    "webhook_data_sample_size",
    "target_resource",
    "fields.name",
    "default_values",
)
_STORED: CodecOptions[RawBSONDocument] = CodecOptions(RawBSONDocument)


class WrittenRows:
    """Reads runs and their target."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._runs = mongo.state[RunDocument.Settings.name]
        self._images = mongo.state[UndoEntry.Settings.name]

    async def of(self, tenant_id: str, run_id: str) -> list[dict[str, Any]] | None:
        """The rows that the run's template wants in the event of its completion, or ``None`` where it wants none."""
        if (wanted := await self._wanted(run_id)) is None:
            return None
        sample = Sample(wanted.rows)
        async for raw in self._records(tenant_id, run_id, wanted):
            if sample.full or len(raw) > MAX_BYTES:  # nothing of it would fit
                break
            # Decoding and encoding 64 KiB takes a millisecond or so, but there may be a thousand of them.
            await asyncio.to_thread(_add, sample, raw, wanted.names)
        return sample.rows

    async def _wanted(self, run_id: str) -> Wanted | None:
        run = await self._runs.find_one({"_id": run_id}, dict.fromkeys((f"template.{name}" for name in _ASKED), 1))
        if run is None or not run["template"].get("include_data_in_webhook"):
            return None
        template = run["template"]
        most = template.get("webhook_data_sample_size")
        sets = {field["name"] for field in template["fields"]} | set(template.get("default_values") or ())
        return Wanted(MAX_ROWS if most is None else most, template["target_resource"], frozenset({*sets, EXTRA}))

    async def _records(self, tenant_id: str, run_id: str, wanted: Wanted) -> AsyncIterator[bytes]:
        """Records in the order of their rows: of the created and the changed ones whichever comes next."""
        target = self._mongo.target[wanted.resource].with_options(codec_options=_STORED)
        fields = dict.fromkeys(wanted.names, 1)
        mine = {"tenant_id": tenant_id, "_import.run_id": run_id}
        created = _Cursor(_created(target, run_id, mine, fields))
        changed = _Cursor(self._changed(target, run_id, mine, fields))
        await created.forward()
        await changed.forward()
        while created.next is not None or changed.next is not None:
            first = min((each for each in (created, changed) if each.next is not None), key=_Cursor.row)
            _, raw = first.next or (0, b"")
            yield raw
            await first.forward()

    async def _changed(
        self, target: "AsyncCollection[RawBSONDocument]", run_id: str, mine: Document, fields: Document
    ) -> AsyncIterator[tuple[int, bytes]]:
        images = self._images.find(
            {"run_id": run_id, "row": {"$gt": 0}, "deletes": {"$ne": True}}, {"row": 1, "record_id": 1}
        )
        rows: dict[Any, int] = {}
        async for image in images.sort("row", 1):
            rows[image["record_id"]] = image["row"]
            if len(rows) == AT_A_TIME:
                for found in await _found(target, rows, mine, fields):
                    yield found
                rows.clear()
        for found in await _found(target, rows, mine, fields):
            yield found


def _add(sample: Sample, raw: bytes, names: frozenset[str]) -> None:
    sample.add(decode_document(raw), names)


class _Cursor:
    """The next of some records with their rows."""

    def __init__(self, found: AsyncIterator[tuple[int, bytes]]) -> None:
        self._found = found
        self.next: tuple[int, bytes] | None = None

    def row(self) -> int:
        return self.next[0] if self.next is not None else MAX_ROWS_PER_RUN + 1

    async def forward(self) -> None:
        self.next = await anext(self._found, None)


async def _created(
    target: "AsyncCollection[RawBSONDocument]", run_id: str, mine: Document, fields: Document
) -> AsyncIterator[tuple[int, bytes]]:
    ids = {"$gte": ObjectId(record_id(run_id, 0)), "$lte": ObjectId(record_id(run_id, MAX_ROWS_PER_RUN))}
    async for each in target.find({"_id": ids, **mine}, fields, batch_size=AT_A_TIME).sort("_id", 1):
        yield int.from_bytes(each["_id"].binary[8:]), bytes(each.raw)


async def _found(
    target: "AsyncCollection[RawBSONDocument]", rows: dict[Any, int], mine: Document, fields: Document
) -> list[tuple[int, bytes]]:
    if not rows:
        return []
    found = target.find({"_id": {"$in": list(rows)}, **mine}, fields)
    return sorted([(rows[each["_id"]], bytes(each.raw)) async for each in found], key=lambda each: each[0])
