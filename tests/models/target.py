"""The model of a target: the records of one organization, and what keeps two of them from sharing a value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.models.templates import Value, as_compared

Id = tuple[Any, ...]
By = tuple[int, int | None] | None
"""The run that last wrote a record, and the row of it; none where a sync deleted what its file did not hold."""


@dataclass(frozen=True)
class Record:
    """A record.

    Attributes:
        id: run and row that created it, or ``("other", number)``.
        fields: of the template; what is not there is not in the record either.
        extra: columns without a field.
        deleted: whether it is marked as deleted.
        by: who wrote it last, of Rowdock's runs.
        version: how often these have.
        warnings: what was wrong with the row that wrote it last.
        stamp: number of the moment when it was last written by a run.
        edited: whether anybody else has ever changed it.
    """

    id: Id
    fields: Mapping[str, Value]
    extra: Mapping[str, str | None] | None = None
    deleted: bool = False
    by: By = None
    version: int | None = None
    warnings: tuple[tuple[str | None, str], ...] = ()
    stamp: int = 0
    edited: bool = False

    def get(self, name: str) -> Value:
        return self.fields.get(name)

    def holds(self, key: str) -> Value:
        """What it holds of a key of the target, as that is compared."""
        return None if self.deleted else as_compared(self.get(key))


@dataclass(frozen=True)
class Image:
    """A record as it was before a run changed it."""

    row: int | None
    before: Record
    fields: tuple[str, ...]
    """Those that the run changed."""
    extra: bool
    deletes: bool


@dataclass
class Target:
    """The records by id, and the fields in which no two live ones may hold the same.

    The fields in the order in which they came to be such: the server looks at the first of them first.
    """

    records: dict[Id, Record] = field(default_factory=dict[Id, Record])
    keys: dict[str, None] = field(default_factory=dict[str, None])
    stamps: int = 0

    def live(self) -> Iterable[Record]:
        return (record for record in self.records.values() if not record.deleted)

    def holder(self, key: str, value: Value) -> Record | None:
        """The live record that holds a value."""
        if value is None:
            return None
        return next((record for record in self.live() if record.holds(key) == value), None)

    def copy(self) -> "Target":
        return Target(dict(self.records), dict(self.keys), self.stamps)

    def stamp(self) -> int:
        self.stamps += 1
        return self.stamps

    def collides(self, record: Record) -> str | None:
        """The key by which the server refuses a record beside those that are there."""
        for key in self.keys:
            holder = self.holder(key, record.holds(key))
            if holder is not None and holder.id != record.id:
                return key
        return None

    def put(self, record: Record) -> None:
        self.records[record.id] = record

    def edit(self, record_id: Id, **fields: Value) -> None:
        """Somebody else changes fields of a record."""
        record = self.records[record_id]
        self.put(replace(record, fields={**record.fields, **fields}, edited=True))

    def mark(self, record_id: Id) -> None:
        """Somebody else marks a record as deleted."""
        self.put(replace(self.records[record_id], deleted=True, edited=True))
