"""What a batch does to the records that exist."""

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import bson
import pytest
from bson import Int64, ObjectId
from bson.codec_options import CodecOptions
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.ids import record_id
from libs.contracts.templates import FieldType, ImportMode, Template, TemplateField
from services.writer.domain.batch_plan import BatchPlan, plan_batch, split_conflicts, upsert_keys
from services.writer.domain.record_encoding import RecordEncoder
from tests.unit.writer.checked_batches import CONTACTS, RUN_ID, TENANT_ID, Raw, checked_batch

OTHER_RUN = RUN_ID[:-1] + "9"
WRITTEN_AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
FIELDS = [field.name for field in CONTACTS.fields]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0)
)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats() | st.sampled_from([0, 1, 1.0, 0.0])
contacts = st.fixed_dictionaries(
    {
        "email": st.sampled_from("abcde") | st.none(),
        "name": st.none() | st.text(max_size=3),
        "age": st.none() | st.integers(0, 3) | st.just(Raw("many")),
        "amount": st.none() | numbers,
        "joined": st.none() | moments,
        "active": st.none() | st.booleans() | st.just(Raw("perhaps")),
    }
)
batches = st.lists(contacts, max_size=8).map(
    lambda batch: [{"_row": number, **row} for number, row in enumerate(batch, start=1)]
)


def plan(rows: list[dict[str, Any]], existing: dict[Any, Any], fields: list[str] = FIELDS) -> BatchPlan:
    return plan_batch(checked_batch(CONTACTS, rows), existing, CONTACTS, fields, OTHER_RUN, WRITTEN_AT)


def imported(rows: list[dict[str, Any]], *, tz_aware: bool = False) -> dict[Any, dict[str, Any]]:
    """The records that an earlier run made of the rows, as they come from the database."""
    encoded = RecordEncoder(CONTACTS, RUN_ID, TENANT_ID, WRITTEN_AT).encode(checked_batch(CONTACTS, rows))
    records = bson.decode_all(encoded.blob.tobytes(), CodecOptions(tz_aware=tz_aware))
    return {record["email"]: record for record in records}


def keyed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last row of each key."""
    return list({row["email"]: row for row in rows if row["email"] is not None}.values())


@settings(deadline=None)
@given(batches, batches)
def test_every_row_has_one_place(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    planned = plan(new, imported(keyed(old)))
    created = planned.create["_row"].to_pylist()
    updated = [update.row for update in planned.updates]
    skipped = [row for rows in planned.skipped.values() for row in rows]
    assert sorted(created + updated + skipped) == [row["_row"] for row in new]
    old_keys = {row["email"] for row in keyed(old)}
    assert all((row["email"] in old_keys) == (row["_row"] not in created) for row in keyed(new))


@settings(deadline=None)
@given(batches, st.booleans())
def test_rows_that_were_imported_are_unchanged(rows: list[dict[str, Any]], tz_aware: bool) -> None:
    last = keyed(rows)
    planned = plan(last, imported(last, tz_aware=tz_aware))
    assert planned.updates == []
    assert planned.create.num_rows == 0


@settings(deadline=None)
@given(batches, batches)
def test_the_record_becomes_the_row_and_the_before_image_the_record(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> None:
    records = imported(keyed(old))
    wanted = imported(keyed(new))
    by_id = {record["_id"]: record for record in records.values()}
    for update in plan(new, records).updates:
        record = by_id[update.record_id]
        after = {**record, **update.changes}
        for field in FIELDS:
            assert bson.encode({"": after[field]}) == bson.encode({"": wanted[record["email"]][field]}) or (
                after[field] == wanted[record["email"]][field]
            )
        assert update.before is not None
        assert update.before.remove == []
        assert bson.encode({**after, **update.before.restore}) == bson.encode(record)


@pytest.mark.parametrize(
    ("field", "held", "cell"),
    [
        ("amount", 1, 1.0),
        ("amount", 1.0, 1),
        ("amount", Int64(2**53), 2**53),
        ("amount", math.nan, math.nan),
        ("age", 7.0, 7),
        ("joined", NOON, NOON),
        ("joined", NOON.replace(tzinfo=None), NOON),
        ("joined", NOON.astimezone(timezone(timedelta(hours=5))), NOON),
        ("active", True, True),
        ("note", None, None),
        ("note", "", ""),
        ("age", "many", Raw("many")),
    ],
)
def test_equal(field: str, held: object, cell: object) -> None:
    record = {"_id": 1, "email": "a", field: held}
    assert plan([{"_row": 4, "email": "a", field: cell}], {"a": record}, [field]).updates[0].changes.keys() == {
        *CONTACTS.default_values.keys() - {"nothing"},
        "updated_at",
        "_import",
    }
    record |= CONTACTS.default_values
    assert plan([{"_row": 4, "email": "a", field: cell}], {"a": record}, [field]).skipped == {"UNCHANGED": [4]}


@pytest.mark.parametrize(
    ("field", "held", "cell"),
    [
        ("amount", True, 1),
        ("age", False, 0),
        ("active", 1, True),
        ("active", 0.0, False),
        ("age", "7", 7),
        ("amount", 2**53 + 1, float(2**53)),
        ("joined", NOON + timedelta(milliseconds=1), NOON),
        ("joined", "2026-03-01", NOON),
        ("note", "", None),
        ("note", None, ""),
        ("note", ["x"], "x"),
        ("age", 7, None),
        ("age", 7, Raw("7")),
    ],
)
def test_different(field: str, held: object, cell: object) -> None:
    record = {"_id": 1, "email": "a", **CONTACTS.default_values, field: held}
    (update,) = plan([{"_row": 4, "email": "a", field: cell}], {"a": record}, [field]).updates
    assert update.changes.keys() == {field, "updated_at", "_import"}
    assert update.before is not None
    assert update.before.restore == {field: held}
    assert update.before.remove == ["updated_at", "_import"]


def test_a_missing_field_equals_null_only() -> None:
    record = {"_id": 1, "email": "a", **CONTACTS.default_values}
    assert plan([{"_row": 1, "email": "a"}], {"a": record}).skipped == {"UNCHANGED": [1]}
    (update,) = plan([{"_row": 1, "email": "a", "note": ""}], {"a": record}).updates
    assert update.changes["note"] == ""


def test_a_field_without_a_column_says_nothing() -> None:
    record = {"_id": 1, "email": "a", **CONTACTS.default_values, "name": "Ana", "age": 5}
    (update,) = plan([{"_row": 1, "email": "a", "age": 6}], {"a": record}, ["email", "age"]).updates
    assert update.changes.keys() == {"age", "updated_at", "_import"}


def test_whole_numbers_are_64_bit_in_updates_too() -> None:
    record = {"_id": 1, "email": "a", **CONTACTS.default_values}
    (update,) = plan([{"_row": 1, "email": "a", "age": 6, "amount": 2}], {"a": record}).updates
    assert type(update.changes["age"]) is Int64
    assert type(update.changes["amount"]) is Int64


def test_origin_of_an_update() -> None:
    warnings = [{"field": "age", "code": "NOT_A_NUMBER", "message": "age is no number"}]
    record = {"_id": 1, "email": "a", "_import": {"run_id": RUN_ID, "row": 9, "version": 4}}
    (update,) = plan([{"_row": 3, "email": "a", "age": Raw("x"), "_warnings": warnings}], {"a": record}).updates
    assert update.changes["updated_at"] == WRITTEN_AT
    assert update.changes["_import"] == {"run_id": OTHER_RUN, "row": 3, "version": 5, "warnings": warnings}


@pytest.mark.parametrize("origin", [None, "other", {}, {"version": "x"}])
def test_a_record_without_a_version(origin: object) -> None:
    (update,) = plan([{"_row": 3, "email": "a"}], {"a": {"_id": 1, "email": "a", "_import": origin}}).updates
    assert update.changes["_import"]["version"] == 1


def test_a_record_that_the_run_created_has_no_before_image() -> None:
    record = {"_id": ObjectId(record_id(OTHER_RUN, 1)), "email": "a"}
    (update,) = plan([{"_row": 2, "email": "a"}], {"a": record}).updates
    assert update.before is None


def test_the_last_row_of_a_key_wins() -> None:
    rows = [{"_row": number, "email": email} for number, email in [(1, "a"), (2, "b"), (5, "a"), (6, None), (9, "a")]]
    planned = plan(rows, {})
    assert planned.create["_row"].to_pylist() == [2, 9]
    assert planned.skipped == {"DUPLICATE_UPSERT_KEY": [1, 5], "EMPTY_UPSERT_KEY": [6]}


def test_append_creates_every_row() -> None:
    template = CONTACTS.model_copy(update={"mode": ImportMode.APPEND, "upsert_key": None})
    table = checked_batch(template, [{"_row": 1, "email": "a"}, {"_row": 2, "email": "a"}])
    planned = plan_batch(table, {"a": {"_id": 1, "email": "a"}}, template, FIELDS, OTHER_RUN, WRITTEN_AT)
    assert (planned.create, planned.updates, planned.skipped) == (table, [], {})


@pytest.mark.parametrize(
    ("kind", "integer", "cell", "key"),
    [
        (FieldType.NUMBER, True, 7, 7),
        (FieldType.NUMBER, False, 7, 7.0),
        (FieldType.NUMBER, False, 7.5, 7.5),
        (FieldType.NUMBER, False, Raw("seven"), "seven"),
        (FieldType.DATE, False, NOON, NOON.replace(tzinfo=None)),
        (FieldType.BOOLEAN, False, True, True),
    ],
)
def test_a_key_of_any_type_finds_its_record(kind: FieldType, integer: bool, cell: object, key: object) -> None:
    template = Template(
        name="keys",
        target_resource="keys",
        mode=ImportMode.UPSERT,
        upsert_key="key",
        fields=(TemplateField(name="key", type=kind, integer=integer),),
    )
    table = checked_batch(template, [{"_row": 1, "key": cell}])
    assert upsert_keys(table, template) == [key]
    planned = plan_batch(table, {key: {"_id": 1, "key": key}}, template, [], OTHER_RUN, WRITTEN_AT)
    assert planned.skipped == {"UNCHANGED": [1]}


def test_conflicts_of_an_append() -> None:
    template = CONTACTS.model_copy(update={"mode": ImportMode.APPEND, "upsert_key": None})
    emails = ["a", "b", None, "b", None, "c"]
    table = checked_batch(template, [{"_row": row, "email": email} for row, email in enumerate(emails, start=1)])
    writable, rejected = split_conflicts(table, template, "email", {"a": {"_id": 1, "email": "a"}})
    assert writable["_row"].to_pylist() == [2, 3, 5, 6]
    assert [(rejection.row, rejection.field, rejection.code, rejection.message) for rejection in rejected] == [
        (1, "email", "DUPLICATE_KEY", "a record with email 'a' exists already"),
        (4, "email", "DUPLICATE_KEY", "row 2 has email 'b' already"),
    ]


def test_a_records_own_value_is_no_conflict() -> None:
    table = checked_batch(CONTACTS, [{"_row": 1, "email": "a", "note": "x"}, {"_row": 2, "email": "b", "note": "y"}])
    taken = {"x": {"_id": 1, "email": "a", "note": "x"}, "y": {"_id": 2, "email": "c", "note": "y"}}
    writable, rejected = split_conflicts(table, CONTACTS, "note", taken)
    assert writable["_row"].to_pylist() == [1]
    assert [rejection.row for rejection in rejected] == [2]
