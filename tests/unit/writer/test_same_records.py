"""Records are the same as their rows by their bytes, or else they are read."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson import Int64, ObjectId

from libs.contracts.record_keys import KEYS
from libs.storage.key_entries import TargetKey
from services.writer.domain.record_encoding import RecordEncoder
from services.writer.domain.same_records import SameRecords
from tests.unit.writer.checked_batches import CONTACTS, RUN_ID, TENANT_ID, checked_batch

KEY = TargetKey(ObjectId(), ("email",))
COMPARED = [*(field.name for field in CONTACTS.fields), *CONTACTS.default_values]
ROWS: list[dict[str, Any]] = [
    {"_row": 1, "email": "a@example.com", "name": "A", "age": 3, "amount": 2, "active": True, "note": "updated_at\0"},
    {"_row": 2, "email": "b@example.com", "name": None, "amount": 2.5, "joined": datetime(2026, 1, 1, tzinfo=UTC)},
    {"_row": 3, "email": None, "name": "nobody"},
]


def same_as(table: pa.Table, *, deletes: bool = False) -> SameRecords:
    return SameRecords(table, CONTACTS, COMPARED, (), [KEY], deletes=deletes)


def looked_up(table: pa.Table, *, deletes: bool = False) -> list[dict[str, Any]]:
    """The records that the rows make, as a look-up returns them."""
    encoded = RecordEncoder(CONTACTS, RUN_ID, TENANT_ID, datetime.now(UTC), (), [KEY]).encode(table)
    wanted = {"_id", KEYS, "_import", "created_at", "updated_at", *COMPARED}
    wanted |= {"is_deleted", "deleted_at"} if deletes else set()
    records = (bson.decode(encoded.document(at)) for at in range(encoded.count))
    return [{name: value for name, value in record.items() if name in wanted} for record in records]


@pytest.mark.parametrize("deletes", [False, True])
def test_what_an_import_has_written_is_the_same(deletes: bool) -> None:
    table = checked_batch(CONTACTS, ROWS)
    same = same_as(table, deletes=deletes)
    found = [same.key_of(bson.encode(record)) for record in looked_up(table, deletes=deletes)]
    assert found == ["a@example.com", "b@example.com", None]


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another value": lambda record: record.update(name="B"),
    "a value of another type": lambda record: record.update(age=3.0),
    "no such field": lambda record: record.pop("note"),
    "null": lambda record: record.update(active=None),
    "one field more": lambda record: record.update({KEYS: record.pop(KEYS), "later": 1}),
    "another entry": lambda record: record[KEYS][0].update(a="b@example.com"),
    "an entry of another key": lambda record: record[KEYS].append({"s": ObjectId(), "a": 1}),
    "no entry": lambda record: record.pop(KEYS),
    "another default value": lambda record: record.update(rank=Int64(8)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_differs_has_to_be_read(change: Callable[[dict[str, Any]], object]) -> None:
    table = checked_batch(CONTACTS, ROWS)
    record = looked_up(table)[0]
    assert same_as(table).key_of(bson.encode(record)) == "a@example.com"
    change(record)
    assert same_as(table).key_of(bson.encode(record)) is None


def test_ids_of_other_applications_have_to_be_read() -> None:
    table = checked_batch(CONTACTS, ROWS)
    record = looked_up(table)[0]
    assert same_as(table).key_of(bson.encode({**record, "_id": "one of theirs"})) is None


def test_of_rows_with_one_key_only_the_last_one_counts() -> None:
    first, last = {**ROWS[0], "name": "before"}, {**ROWS[0], "_row": 2}
    before, after = looked_up(checked_batch(CONTACTS, [first, last]))
    same = same_as(checked_batch(CONTACTS, [first, last]))
    assert same.key_of(bson.encode(before)) is None
    assert same.key_of(bson.encode(after)) == "a@example.com"
