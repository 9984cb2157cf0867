"""Compares the rows of a checked batch with records, value by value, as Python has them."""

from collections.abc import Callable, Container, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from itertools import compress
from operator import itemgetter, ne
from typing import Any, cast

import pyarrow as pa
from bson import Decimal128, Int64

from libs.batches.columns import OVERFLOW, WARNINGS, CellColumn, CellKind, cell_columns
from libs.batches.extra_keys import Overflow
from libs.contracts.templates import FieldType, Template, TemplateField
from services.writer.domain.decimal128 import comparable, decimal_cells

Record = Mapping[str, Any]


class RowDifferences:
    """Compares rows with records; all rows are turned into Python values at once.

    Args:
        table: a checked batch of ``template``.
        template: the template.
        file_fields: those that are compared, besides the upsert key and the default values.
        extra: columns of the checked batch and their keys in ``extra``.
    """

    def __init__(
        self,
        table: pa.Table,
        template: Template,
        file_fields: Container[str],
        extra: Sequence[tuple[str, str]],
    ) -> None:
        # The key is equal by definition; with it there is always something to compare.
        fields = [f for f in template.fields if f.name in file_fields or f.name == template.upsert_key]
        columns = [field_cells(table, field) for field in fields]
        columns += [[value] * table.num_rows for value in template.default_values.values()]
        self._names = [*(field.name for field in fields), *template.default_values]
        self._integers = {field.name for field in fields if field.type is FieldType.NUMBER}
        self._rows: Sequence[tuple[Any, ...]] = list(zip(*columns, strict=True))
        # For Python True equals 1; only values that are not text can be taken for one another.
        self._not_text = [
            index
            for index, name in enumerate(self._names)
            if name in template.default_values or fields[index].type in (FieldType.NUMBER, FieldType.BOOLEAN)
        ]
        self._places = range(len(self._names))
        self._held = _values_of(self._names)
        self._extra = extra_cells(table, extra) if template.include_unmatched_columns else None
        self.warnings: list[str | None] = (
            table[WARNINGS].to_pylist() if WARNINGS in table.column_names else [None] * table.num_rows
        )

    def of(self, index: int, record: Record) -> dict[str, Any]:
        """The fields of the row at ``index`` whose values differ from the record's."""
        changes = self._fields_of(index, record)
        if self._extra is not None:
            held: object = record.get("extra")
            before: Record = cast("Record", held) if isinstance(held, Mapping) else {}
            if any(before.get(key) != text for key, text in self._extra[index].items()):
                changes["extra"] = {**before, **self._extra[index]}
        return changes

    def has_extra_of(self, index: int, record: Record) -> bool:
        """Whether ``extra`` of a record is what the row at ``index`` says, and nothing more."""
        return self._extra is None or record.get("extra", {}) == self._extra[index]

    def _fields_of(self, index: int, record: Record) -> dict[str, Any]:
        row = self._rows[index]
        try:
            held = self._held(record)
        except KeyError:
            held = tuple(record.get(name) for name in self._names)
        # Nearly every row of a repeated import ends here: one comparison in C.
        if held == row and not any(_differs(held[place], row[place]) for place in self._not_text):
            return {}
        # Most values of a changed record are equal: only the others are looked at, and those that Python mistakes.
        mistaken = [place for place in self._not_text if type(held[place]) is not type(row[place])]
        doubtful = {*compress(self._places, map(ne, held, row)), *mistaken}
        return {
            self._names[place]: self._written(place, row[place])
            for place in sorted(doubtful)
            if _differs(held[place], row[place])
        }

    def _written(self, place: int, value: Any) -> Any:  # noqa: ANN401
        return Int64(value) if type(value) is int and self._names[place] in self._integers else value


def _values_of(names: Sequence[str]) -> Callable[[Record], tuple[Any, ...]]:
    """A function from a record to the tuple of its values; it raises KeyError where one is missing."""
    if len(names) == 1:
        return lambda record: (record[names[0]],)
    return itemgetter(*names)


def extra_cells(table: pa.Table, extra: Sequence[tuple[str, str]]) -> list[dict[str, str | None]]:
    """What the columns and the overflow of each row say about ``extra``."""
    keys = [key for _, key in extra]
    columns: list[list[str | None]] = [table[column].to_pylist() for column, _ in extra]
    cells = [dict(zip(keys, texts, strict=True)) for texts in zip(*columns, strict=True)] if columns else []
    cells = cells or [{} for _ in range(table.num_rows)]
    if OVERFLOW in table.column_names:
        overflow = Overflow(keys)
        for texts, more in zip(cells, table[OVERFLOW].to_pylist(), strict=True):
            if more is not None:
                texts.update(overflow.entries(more))
    return cells


def _differs(held: object, value: object) -> bool:
    if held == value:
        return isinstance(held, bool) is not isinstance(value, bool)
    if isinstance(held, Decimal128) or isinstance(value, Decimal128):
        return _differs(comparable(held), comparable(value))
    if isinstance(held, datetime) and isinstance(value, datetime):
        return _naive(held) != value
    # Not a number equals nothing, not even itself.
    return held == held or value == value


def _naive(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def field_cells(table: pa.Table, field: TemplateField) -> list[Any]:
    """The values of a template's field as Python objects, as records hold them."""
    columns = [column_values(table, column) for column in cell_columns(field, table.column_names)]
    return reduce(_first_of, columns)


def column_values(table: pa.Table, column: CellColumn) -> list[Any]:
    """The values of one column as Python objects, as records hold them."""
    cells = table[column.name]
    match column.kind:
        case CellKind.DECIMAL:
            return [cell for piece in cells.chunks for cell in decimal_cells(piece)]
        case CellKind.DATE:
            # Through numpy: naive datetimes come 25 times faster than Arrow's aware ones.
            return cells.to_numpy().astype("datetime64[ms]").tolist()
        case _:
            return cells.to_pylist()


def _first_of(preferred: list[Any], other: list[Any]) -> list[Any]:
    return [second if first is None else first for first, second in zip(preferred, other, strict=True)]
