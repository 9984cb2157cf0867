"""Asks the target which values of a batch its live records hold already."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from libs.contracts.record_keys import key_value
from libs.contracts.templates import ImportMode, asked_keys, combination
from libs.storage.client import Collection, Document, Mongo
from libs.storage.target_keys import KEY_TYPES, KeysNotUniqueError, TargetKey, TargetKeys, holders_of
from services.validator.domain.compilation import CompiledTemplate, UniqueConstraint

VALUES_PER_QUERY: Final = 1_000
VALUES_PER_SCAN: Final = 100_000
"""Where all records of a collection are looked through for them."""
BYTES_PER_QUERY: Final = 4 * 1024 * 1024

_Rows = npt.NDArray[np.uint32]
_Value = tuple[str, Any]
Keys = Mapping[tuple[str, ...], TargetKey]
"""By their fields."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TargetLookup:
    """Looks up values among the live records of a tenant."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    def constraints(self, compiled: CompiledTemplate) -> list[str]:
        """Names of the constraints that the target is asked about."""
        return [constraint.name for constraint in _asked(compiled)]

    async def keys(self, compiled: CompiledTemplate, tenant_id: str, *, registering: bool) -> Keys:
        """By what records are found; by nothing where there is no collection, for a check makes none.

        Args:
            compiled: the template of the run.
            tenant_id: whose records.
            registering: what the template asks for may come to bind the tenant's records; a run that only tries a file
                finds them by what binds them anyway, and else by their fields, without an index.

        Raises:
            PermanentError: ``KEYS_NOT_UNIQUE``; records break already what the template asks for.
        """
        resource = compiled.template.target_resource
        if not await self._mongo.target.list_collection_names(filter={"name": resource}):
            return {}
        wanted = [key.names for key in asked_keys(compiled.template)] if registering else []
        try:
            keys = await TargetKeys(self._mongo).require(tenant_id, resource, wanted)
        except KeysNotUniqueError as error:
            raise error.of_run(resource) from error
        return {key.names: key for key in keys}

    async def rows_in_target(
        self, compiled: CompiledTemplate, tenant_id: str, keys: Keys, valid: pa.Table
    ) -> dict[str, _Rows]:
        """Per constraint, the rows of a batch whose values a live record of the target holds; ascending.

        Where the template has an upsert key, the record with the row's own key does not count: the row
        will update it. In mode ``update`` a row whose key no record has is not written, so it is none of them.
        Numbers are compared by value, whatever their type; a list holds none of its elements.

        Args:
            compiled: the template of the run.
            tenant_id: whose records.
            keys: what ``keys`` returned.
            valid: a checked batch.
        """
        options = self._mongo.target.codec_options.with_options(
            tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
        )
        collection = self._mongo.target.get_collection(compiled.template.target_resource, codec_options=options)
        rows: _Rows = valid[ROW].to_numpy()
        own: list[Any] | None = None
        if compiled.upsert_key is not None:
            own = [_comparable(key) for key in _field_values(valid, compiled.upsert_key)]
        asked = _Asked(collection, tenant_id, keys, compiled.upsert_key)
        found: dict[str, _Rows] = {}
        for constraint in _asked(compiled):
            names = combination(*constraint.fields)
            columns = [_field_values(valid, name) for name in names]
            owners = await asked.owners(names, columns)
            held = [at for at, owner in owners.items() if own is None or owner != own[at]]
            if held and compiled.template.mode is ImportMode.UPDATE and compiled.upsert_key is not None:
                of_held = _field_values(valid.take(held), compiled.upsert_key)
                written = await asked.owners((compiled.upsert_key,), [of_held])
                held = [held[at] for at in written]
            found[constraint.name] = rows[np.array(held, np.int64)]
        return found


@dataclass(frozen=True, slots=True)
class _Asked:
    """The live records of a tenant in one collection.

    Attributes:
        upsert_key: of the template.
    """

    collection: Collection
    tenant_id: str
    keys: Keys
    upsert_key: str | None

    async def owners(self, names: tuple[str, ...], columns: Sequence[Sequence[Any]]) -> dict[int, _Value]:
        """Positions of the rows whose values a record holds, ascending, and the upsert key of that record.

        Args:
            names: the fields.
            columns: the values of each, one per row.
        """
        found: dict[int, _Value] = {}
        for part in _parts(columns, VALUES_PER_QUERY if names in self.keys else VALUES_PER_SCAN):
            values = [tuple(column[at] for column in columns) for at in part]
            holding = _holding(self.tenant_id, names, self.keys.get(names), values)
            holders = await _holders(self.collection, holding, names, values, self.upsert_key)
            for at, each in zip(part, values, strict=True):
                owner = holders.get(tuple(map(_comparable, each)))
                if owner is not None:
                    found[at] = owner
        return found


def _asked(compiled: CompiledTemplate) -> Iterator[UniqueConstraint]:
    for constraint in compiled.constraints:
        # The record with the row's own key never counts, and no other can have that key.
        if constraint.against_target and constraint.fields != (compiled.upsert_key,):
            yield constraint


def _parts(columns: Sequence[Sequence[Any]], most: int) -> Iterator[list[int]]:
    """Positions of the rows that have all values, in parts small enough for one query."""
    part: list[int] = []
    size = 0
    for at, values in enumerate(zip(*columns, strict=True)):
        if None in values:
            continue
        part.append(at)
        size += sum(4 * len(value) for value in values if isinstance(value, str))
        if len(part) == most or size > BYTES_PER_QUERY:
            yield part
            part, size = [], 0
    if part:
        yield part


def _holding(
    tenant_id: str, names: Sequence[str], key: TargetKey | None, values: Sequence[tuple[Any, ...]]
) -> Document:
    """The filter of the live records that hold one of ``values``; where there is no key, of some more."""
    if key is not None:
        return holders_of(tenant_id, key, values)
    some = {
        name: {"$in": list(each), "$type": KEY_TYPES}
        for name, each in zip(names, zip(*values, strict=True), strict=True)
    }
    return {"tenant_id": tenant_id, "is_deleted": False, **some}


async def _holders(
    collection: Collection,
    holding: Document,
    names: Sequence[str],
    values: Sequence[tuple[Any, ...]],
    upsert_key: str | None,
) -> dict[tuple[_Value, ...], _Value]:
    """Which of the values live records hold, and the upsert key of each holder.

    ``MinKey``, which no row has, stands for a record without an upsert key, and for several records that hold the same.
    A record whose fields are not what its entry says, because another application changed them, holds nothing here.

    Args:
        collection: of the target.
        holding: what finds the records.
        names: the fields that the values are of.
        values: those of each row.
        upsert_key: of the template.
    """
    projection = {name: True for name in (*names, upsert_key) if name is not None}
    wanted = {tuple(map(_comparable, each)) for each in values}
    holders: dict[tuple[_Value, ...], _Value] = {}
    async for record in collection.find(holding, projection, batch_size=VALUES_PER_QUERY + 1):
        held = tuple(_comparable(record.get(name)) for name in names)
        if held in wanted:
            own = _comparable(MinKey() if upsert_key is None else record.get(upsert_key, MinKey()))
            holders[held] = own if holders.get(held, own) == own else _comparable(MinKey())
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
    """The value as Python compares it when it should compare it as entries of keys are compared."""
    match value:
        case bool():
            return "bool", value
        case str():
            return "str", key_value(value)
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
