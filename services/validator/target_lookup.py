"""Asks the target which values of a batch its live records hold already."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from bson import Decimal128, MinKey
from bson.codec_options import DatetimeConversion
from bson.datetime_ms import DatetimeMS

from libs.batches.columns import ROW, decimal_column, integer_column
from libs.storage.client import Collection, Document, Mongo
from libs.storage.unique_keys import KEY_TYPES
from services.validator.domain.compilation import CompiledTemplate, UniqueConstraint

VALUES_PER_QUERY: Final = 1_000
BYTES_PER_QUERY: Final = 4 * 1024 * 1024

_Rows = npt.NDArray[np.uint32]
_Value = tuple[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TargetLookup:
    """Looks up values among the live records of a tenant."""

    def __init__(self, mongo: Mongo) -> None:
        self._target = mongo.target

    def constraints(self, compiled: CompiledTemplate) -> list[str]:
        """Names of the constraints that the target is asked about."""
        return [constraint.name for constraint in _asked(compiled)]

    async def rows_in_target(self, compiled: CompiledTemplate, tenant_id: str, valid: pa.Table) -> dict[str, _Rows]:
        """Per constraint, the rows of a batch whose values a live record of the target holds; ascending.

        Where the template has an upsert key, the record with the row's own key does not count: the row
        will update it. Numbers are compared by value, whatever their type; a list holds none of its elements.

        Args:
            compiled: the template of the run.
            tenant_id: whose records.
            valid: a checked batch.
        """
        options = self._target.codec_options.with_options(
            tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
        )
        collection = self._target.get_collection(compiled.template.target_resource, codec_options=options)
        rows: _Rows = valid[ROW].to_numpy()
        own: list[Any] | None = None
        if compiled.upsert_key is not None:
            own = [_comparable(key) for key in _field_values(valid, compiled.upsert_key)]
        found: dict[str, _Rows] = {}
        for constraint in _asked(compiled):
            columns = [_field_values(valid, name) for name in constraint.fields]
            held = [False] * valid.num_rows
            for part in _parts(columns):
                values = [[column[at] for at in part] for column in columns]
                holders = await _holders(collection, tenant_id, constraint, values, compiled.upsert_key)
                for at in part:
                    keys = holders.get(tuple(_comparable(column[at]) for column in columns))
                    held[at] = keys is not None and (own is None or keys != (own[at], own[at]))
            found[constraint.name] = rows[np.array(held, np.bool_)]
        return found


def _asked(compiled: CompiledTemplate) -> Iterator[UniqueConstraint]:
    for constraint in compiled.constraints:
        # The record with the row's own key never counts, and no other can have that key.
        if constraint.against_target and constraint.fields != (compiled.upsert_key,):
            yield constraint


def _parts(columns: Sequence[Sequence[Any]]) -> Iterator[list[int]]:
    """Positions of the rows that have all values, in parts small enough for one query."""
    part: list[int] = []
    size = 0
    for at, values in enumerate(zip(*columns, strict=True)):
        if None in values:
            continue
        part.append(at)
        size += sum(4 * len(value) for value in values if isinstance(value, str))
        if len(part) == VALUES_PER_QUERY or size > BYTES_PER_QUERY:
            yield part
            part, size = [], 0
    if part:
        yield part


async def _holders(
    collection: Collection,
    tenant_id: str,
    constraint: UniqueConstraint,
    columns: Sequence[Sequence[Any]],
    key: str | None,
) -> dict[tuple[_Value, ...], tuple[_Value, _Value]]:
    """Which of the combinations live records hold, and the lowest and highest upsert key among their holders.

    However many records hold one, two keys tell whether there is another than the row's own. A record without
    the key has ``MinKey``, which no row has.

    Args:
        columns: the values of each field, all of the same rows.
    """
    wanted = {tuple(map(_comparable, values)) for values in zip(*columns, strict=True)}
    match: Document = {"tenant_id": tenant_id, "is_deleted": False}
    for name, values in zip(constraint.fields, columns, strict=True):
        match[name] = {"$in": list({_comparable(value): value for value in values}.values()), "$type": KEY_TYPES}
    holder: Any = {"$literal": MinKey()} if key is None else {"$ifNull": [f"${key}", {"$literal": MinKey()}]}
    group: Document = {
        "_id": [f"${name}" for name in constraint.fields],
        "lowest": {"$min": holder},
        "highest": {"$max": holder},
    }
    cursor = await collection.aggregate([{"$match": match}, {"$group": group}], allowDiskUse=True)
    holders: dict[tuple[_Value, ...], tuple[_Value, _Value]] = {}
    async for record in cursor:
        values = tuple(map(_comparable, record["_id"]))
        if values in wanted:
            holders[values] = (_comparable(record["lowest"]), _comparable(record["highest"]))
    return holders


def _field_values(valid: pa.Table, name: str) -> list[Any]:
    """The values of a field as BSON has them; ``None`` where a row has none."""
    values: list[Any] = valid[name].to_pylist()
    for other in (integer_column(name), decimal_column(name)):
        if other in valid.column_names:
            numbers = valid[other].to_pylist()
            values = [value if number is None else number for value, number in zip(values, numbers, strict=True)]
            values = [Decimal128(value) if isinstance(value, str) else value for value in values]
    return [Decimal128(value) if isinstance(value, Decimal) else value for value in values]


def _comparable(value: object) -> _Value:
    """The value as Python compares it when it should compare it as MongoDB does."""
    match value:
        case bool() | str():
            return type(value).__name__, value
        case int() | float():
            return "number", value
        case Decimal128():
            return "number", value.to_decimal()
        case datetime():
            return "date", round((value - _EPOCH).total_seconds() * 1000)
        case DatetimeMS():
            return "date", int(value)
        case _:
            return "other", repr(value)
