"""Finds the records that hold exactly what a row says, by their bytes.

Most rows of a file that comes again change nothing. What such a row would write is encoded for the whole batch at once,
and a record is the same where its bytes are: nothing of it is decoded. Where a record was made by another template or
by somebody else, with other types or in another order, its bytes differ, and it is decoded and compared by value.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from libs.contracts.templates import SYSTEM_TIMES, Template
from services.writer.domain.batch_plan import upsert_keys
from services.writer.domain.record_encoding import RecordEncoder
from services.writer.domain.record_keys import Key

_AFTER_ID: Final = 4 + 1 + len(b"_id\0") + 12
_ID: Final = b"\x07_id\0"
"""How a document begins, behind its length, whose ``_id`` is an ObjectId: then the next element is at ``_AFTER_ID``."""


class SameRecords:
    """The rows of one batch as a look-up of their records returns them.

    Args:
        table: a checked batch of ``template``.
        template: the template.
        compared: fields that the run may change; with the upsert key and nothing else but what is noted on every record
            they are all that is looked up.
        extra: see ``extra_keys.extra_columns``.
        keys: what records of the tenant carry an entry of.
        deletes: whether ``is_deleted`` and ``deleted_at`` are looked up too.
    """

    def __init__(
        self,
        table: pa.Table,
        template: Template,
        compared: Collection[str],
        extra: Sequence[tuple[str, str]],
        keys: Sequence[Key],
        *,
        deletes: bool,
    ) -> None:
        # Run, tenant and time stand in no part that is compared.
        encoder = RecordEncoder(template, "0" * 24, "", datetime.now(UTC), extra, keys)
        names = {*compared, template.upsert_key}
        values, entries = encoder.encode_compared(table, [name for name in names if name is not None])
        self._values = upsert_keys(table, template)
        self._row = {each: row for row, each in enumerate(values.column().to_pylist())}
        self._ends: list[Any] = entries.column().to_pylist()
        self._last = {value: row for row, value in enumerate(self._values)}
        times = [b"\x09" + name.encode() + b"\0" for name in SYSTEM_TIMES if name not in template.sets]
        self._next = b"\x08is_deleted\0" if deletes else [*times, b"\x03_import\0"][0]

    def key_of(self, record: bytes) -> Any:  # noqa: ANN401
        """The upsert key of the row that a record equals; ``None`` where there is none, or it has to be compared.

        A document begins with what a row says or it does not, so a name that was found in the middle of a text, instead
        of where the rest begins, can hide that the record is the same, and never make it so.
        """
        if not record.startswith(_ID, 4):
            return None
        row = self._row.get(record[_AFTER_ID : record.find(self._next, _AFTER_ID)])
        if row is None or not record.endswith(self._ends[row]):
            return None
        value = self._values[row]
        return value if self._last[value] == row else None
