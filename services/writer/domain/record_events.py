"""What a batch does to records, in the words of ``records.changed.v1``: JSON, cut into what one message holds.

Of new records and of changes that were told by bytes, which are most, nothing is made but text; of the others a
dictionary each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from bson import ObjectId

from libs.batches.columns import TEXT
from libs.contracts.events import MAX_CHANGES_BYTES
from libs.contracts.ids import RECORD_ROW_BYTES, record_prefix
from libs.contracts.templates import RecordEvents, Template
from libs.values.json_values import as_json
from services.writer.domain.batch_plan import BatchPlan, RecordUpdate, row_numbers, take_rows
from services.writer.domain.document_slots import Column, Mask
from services.writer.domain.encoded_changes import EncodedChanges
from services.writer.domain.json_columns import encode, joined, json_column
from services.writer.domain.revert_plan import Restore, RevertPlan
from services.writer.domain.row_differences import extra_cells

MAX_VALUES_BYTES: Final = 16 * 1024 * 1024
"""Of the changes of one batch, beyond which values are left out: they are held in memory, and in one transaction."""
_HEX_DIGITS: Final = 24
"""Of an ``ObjectId``."""
_LEFT_OUT: Final = ',"values_left_out":true}'
MAX_ID_CHARS: Final = 256
"""Of ids that another application has made; longer ones are told by their digest."""


class ChangesOfRecords:
    """Tells what the batches of one run change; nothing where its template has nothing told.

    Args:
        template: the run's copy of its template.
        run_id: of the run.
        extra: columns of the checked batch and their keys in ``extra``, see ``extra_keys.extra_columns``.
    """

    def __init__(self, template: Template, run_id: str, extra: Sequence[tuple[str, str]] = ()) -> None:
        self._template = template
        self._extra = extra
        self.told = template.record_events is not RecordEvents.OFF
        self._fields = template.record_events in {RecordEvents.FIELDS, RecordEvents.VALUES}
        self._values = template.record_events is RecordEvents.VALUES
        self._names = {*template.sets, "extra"}
        self._prefix = record_prefix(run_id).hex()

    def written(self, plan: BatchPlan, table: pa.Table) -> list[str]:
        """The changes of each message about a batch that is written.

        Args:
            plan: of the batch.
            table: its rows.
        """
        if not self.told:
            return []
        updated = [(each.row, self._changed("updated", each, each.row)) for each in plan.updates]
        if plan.encoded is not None:
            updated = sorted([*updated, *self._encoded(plan.encoded, table)])
        deleted = (self._changed("deleted", each, each.row) for each in plan.deletions)
        return _chunks([*self._created(plan.create), *(told for _, told in updated), *deleted])

    def swept(self, deletions: Iterable[RecordUpdate]) -> list[str]:
        """The same of records that a sync deletes because its file does not hold them."""
        return _chunks([self._changed("deleted", each, None) for each in deletions]) if self.told else []

    def taken_back(self, plan: RevertPlan, *, of_rows: bool) -> list[str]:
        """The same of a batch that is reverted; rows are named where its records were changed by any."""
        if not self.told:
            return []
        removed = (_change(each, "removed", _row_of(each)) for each in plan.remove)
        return _chunks([*removed, *(self._put_back(each, of_rows=of_rows) for each in plan.restore)])

    def _created(self, table: pa.Table) -> list[tuple[str, str]]:
        rows = row_numbers(table)
        heads = [
            f'{{"id":"{self._prefix}{row:0{2 * RECORD_ROW_BYTES}x}","operation":"created","row":{row}' for row in rows
        ]
        return self._finished(heads, lambda: self._values_of(table))

    def _finished(self, heads: list[str], values: Callable[[], list[str]]) -> list[tuple[str, str]]:
        """What is always told, and behind it the values that are told of the first ones."""
        if not self._values or not heads:
            return [(head + "}", "") for head in heads]
        made = values()
        return list(zip(heads, [*made, *[_LEFT_OUT] * (len(heads) - len(made))], strict=True))

    @cached_property
    def _defaults(self) -> dict[str, str]:
        """JSON of the default values, by field."""
        return {name: encode(as_json(value)) for name, value in self._template.default_values.items()}

    def _values_of(self, table: pa.Table) -> list[str]:
        """What new records hold, behind what is always told of them; of the first ones, where it is very much."""
        constants = "".join(f',"{name}":{text}' for name, text in self._defaults.items())
        table = _that_can_be_told(table, len(constants))
        parts: list[Column | str] = []
        for field in self._template.fields:
            parts += [f'{"," if parts else ""}"{field.name}":', json_column(table, field)]
        if self._template.include_unmatched_columns:
            parts += [',"extra":', pa.array(map(encode, extra_cells(table, self._extra)), TEXT)]
        texts: list[Any] = joined(',"values":{', *parts, f"{constants}}}}}").to_pylist()
        return texts

    def _encoded(self, changes: EncodedChanges, table: pa.Table) -> Iterable[tuple[int, tuple[str, str]]]:
        """By row, what ``_changed`` tells of the same changes."""
        ids = changes.ids.tobytes().hex()
        begins = range(0, len(ids), _HEX_DIGITS)
        heads = [
            f'{{"id":"{ids[begin : begin + _HEX_DIGITS]}","operation":"updated","row":{row}'
            for begin, row in zip(begins, changes.rows, strict=True)
        ]
        if self._fields:
            names = _listed((differs, f'"{name}"') for name, differs in changes.differing)
            fields: list[Any] = joined(',"fields":[', names, "]").to_pylist()
            heads = [head + named for head, named in zip(heads, fields, strict=True)]
        return zip(changes.rows, self._finished(heads, lambda: self._changed_values(changes, table)), strict=True)

    def _changed_values(self, changes: EncodedChanges, table: pa.Table) -> list[str]:
        """What records hold now in the fields that changed, as ``_values_of``."""
        rows = take_rows(table, np.searchsorted(row_numbers(table), changes.rows).tolist())
        rows = _that_can_be_told(rows, sum(map(len, self._defaults.values())))
        told: dict[str, Column | str] = {name: f'"{name}":{text}' for name, text in self._defaults.items()}
        names = {name for name, _ in changes.differing}
        for field in self._template.fields:
            if field.name in names:
                told[field.name] = joined(f'"{field.name}":', json_column(rows, field))
        parts = ((differs[: rows.num_rows], told[name]) for name, differs in changes.differing)
        texts: list[Any] = joined(',"values":{', _listed(parts), "}}").to_pylist()
        return texts

    def _changed(self, operation: str, change: RecordUpdate, row: int | None) -> tuple[str, str]:
        values = {name: value for name, value in change.changes.items() if name in self._names}
        return self._told(change.record_id, operation, row, list(values), values)

    def _put_back(self, restore: Restore, *, of_rows: bool) -> tuple[str, str]:
        values = {name: value for name, value in restore.values.items() if name in self._names}
        fields = [*values, *(name for name in restore.remove if name in self._names)]
        operation = "returned" if restore.returns else "restored"
        return self._told(restore.record_id, operation, restore.row if of_rows else None, fields, values)

    def _told(
        self,
        record_id: object,
        operation: str,
        row: int | None,
        fields: Sequence[str],
        values: Mapping[str, Any],
    ) -> tuple[str, str]:
        head, _ = _change(record_id, operation, row)
        if self._fields:
            head = f'{head[:-1]},"fields":{encode(fields)}}}'
        if not self._values or not fields:
            return head, ""
        return head[:-1], f',"values":{encode(as_json(values))}}}'


def _that_can_be_told(table: pa.Table, more: int) -> pa.Table:
    """As many of the first rows as there is room for; each has ``more`` bytes besides its own."""
    size = table.nbytes + more * table.num_rows
    return table if size <= MAX_VALUES_BYTES else table.slice(0, max(1, table.num_rows * MAX_VALUES_BYTES // size))


def _listed(parts: Iterable[tuple[Mask, Column | str]]) -> Column:
    """Of each row the texts of those columns whose mask holds there, with commas between them."""
    nothing = pa.scalar(None, TEXT)
    shown = [
        pc.if_else(pa.array(mask), pa.scalar(text, TEXT) if isinstance(text, str) else text, nothing)
        for mask, text in parts
    ]
    join: Any = pc.binary_join_element_wise
    return join(*shown, ",", null_handling="skip")


def _change(record_id: object, operation: str, row: int | None) -> tuple[str, str]:
    named: dict[str, object] = {"id": _shown(record_id), "operation": operation}
    return encode(named if row is None else {**named, "row": row}), ""


def _shown(record_id: object) -> str:
    shown = str(record_id)
    if len(shown) <= MAX_ID_CHARS:
        return shown
    return f"sha256:{hashlib.sha256(shown.encode()).hexdigest()}"


def _row_of(record_id: object) -> int | None:
    """The row that created a record, see ``libs.contracts.ids.record_id``."""
    assert isinstance(record_id, ObjectId)
    return int.from_bytes(record_id.binary[-RECORD_ROW_BYTES:], "big")


def _chunks(changes: Iterable[tuple[str, str]]) -> list[str]:
    """The changes of each message, with commas between them.

    Args:
        changes: of each the JSON that is always told, and behind it that with its values, if any.
    """
    chunks: list[str] = []
    some: list[str] = []
    size, left = 0, MAX_VALUES_BYTES
    for head, values in changes:
        text, length = head, len(head.encode()) if not head.isascii() else len(head)
        if values:
            more = len(values.encode()) if not values.isascii() else len(values)
            if length + more > MAX_CHANGES_BYTES or more > left:
                text += _LEFT_OUT
                length = len(text.encode())
            else:
                text += values
                length += more
                left -= more
        if some and size + length + 1 > MAX_CHANGES_BYTES:
            chunks.append(",".join(some))
            some, size = [], 0
        some.append(text)
        size += length + 1
    return [*chunks, ",".join(some)] if some else chunks
