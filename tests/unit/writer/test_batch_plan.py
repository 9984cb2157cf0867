"""What a batch does to the records that exist."""

from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import Int64, ObjectId
from bson.codec_options import CodecOptions
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.ids import record_id
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import SkipReason
from libs.contracts.templates import FieldType, ImportMode, Template, TemplateField
from services.writer.domain.batch_plan import BatchPlan, fields_from_file, plan_batch, upsert_keys
from services.writer.domain.record_encoding import RecordEncoder
from tests.unit.writer.checked_batches import CONTACTS, RUN_ID, TENANT_ID, Raw, checked_batch
from tests.unit.writer.planned_batches import FIELDS, NOON, OTHER_RUN, WRITTEN_AT, plan

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


def imported(rows: list[dict[str, Any]], *, tz_aware: bool = False) -> dict[Any, dict[str, Any]]:
    """The records that an earlier run made of the rows, as they come from the database."""
    encoded = RecordEncoder(CONTACTS, RUN_ID, TENANT_ID, WRITTEN_AT).encode(checked_batch(CONTACTS, rows))
    records = bson.decode_all(encoded.blob.tobytes(), CodecOptions(tz_aware=tz_aware))
    return {record["email"]: record for record in records}


def keyed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last row of each key."""
    return list({row["email"]: row for row in rows if row["email"] is not None}.values())


@given(batches, batches)
def test_every_row_has_one_place(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    planned = plan(new, imported(keyed(old)))
    created = planned.create["_row"].to_pylist()
    updated = [update.row for update in planned.updates]
    skipped = [row for rows in planned.skipped.values() for row in rows]
    assert sorted(created + updated + skipped) == [row["_row"] for row in new]
    old_keys = {row["email"] for row in keyed(old)}
    assert all((row["email"] in old_keys) == (row["_row"] not in created) for row in keyed(new))


@given(batches, st.booleans())
def test_rows_that_were_imported_are_unchanged(rows: list[dict[str, Any]], tz_aware: bool) -> None:
    last = keyed(rows)
    planned = plan(last, imported(last, tz_aware=tz_aware))
    assert planned.updates == []
    assert planned.create.num_rows == 0


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
    assert update.changes["_import"] == {
        "run_id": OTHER_RUN,
        "row": 3,
        "version": 5,
        "updated_at": WRITTEN_AT,
        "warnings": warnings,
    }


@pytest.mark.parametrize(
    ("held", "created_at"),
    [
        ({"_import": {"created_at": NOON}, "created_at": WRITTEN_AT}, NOON),
        # By release 0.1, which kept the times at the top only.
        ({"_import": {"run_id": RUN_ID}, "created_at": NOON}, NOON),
        ({"_import": {"run_id": RUN_ID}}, None),
        # By another application: nobody here knows when.
        ({"created_at": NOON}, None),
    ],
    ids=["known", "release 0.1", "unknown", "another application"],
)
def test_when_a_record_was_created_stays(held: dict[str, Any], created_at: datetime | None) -> None:
    (update,) = plan([{"_row": 3, "email": "a", "age": 1}], {"a": {"_id": 1, "email": "a", **held}}).updates
    assert update.changes["_import"].get("created_at") == created_at
    assert update.changes["_import"]["updated_at"] == update.changes["updated_at"] == WRITTEN_AT
    assert "created_at" not in update.changes


def owner_of_times(rows: list[dict[str, Any]], record: dict[str, Any]) -> BatchPlan:
    """A template that maps both times, as a date and as text."""
    fields = [{"name": "key"}, {"name": "updated_at", "type": "date"}, {"name": "created_at"}]
    parts = {"fields": fields, "mode": "upsert", "upsert_key": "key", "name": "t", "target_resource": "t"}
    template = Template.model_validate(parts)
    names = ["key", "updated_at", "created_at"]
    return plan_batch(checked_batch(template, rows), {"a": record}, template, names, OTHER_RUN, WRITTEN_AT)


def test_times_that_a_template_owns_are_fields_like_any_other() -> None:
    origin = {"run_id": RUN_ID, "row": 1, "version": 1, "created_at": NOON, "updated_at": NOON}
    record = {"_id": 1, "key": "a", "updated_at": NOON, "created_at": "long ago", "_import": origin}
    row: dict[str, Any] = {"_row": 3, "key": "a", "updated_at": NOON, "created_at": "long ago"}
    assert owner_of_times([row], record).skipped == {"UNCHANGED": [3]}
    (update,) = owner_of_times([{**row, "updated_at": NOON - timedelta(days=1), "created_at": None}], record).updates
    assert update.changes == {
        "updated_at": NOON.replace(tzinfo=None) - timedelta(days=1),
        "created_at": None,
        "_import": {"run_id": OTHER_RUN, "row": 3, "version": 2, "created_at": NOON, "updated_at": WRITTEN_AT},
    }
    assert update.before is not None
    assert update.before.restore == {"updated_at": NOON, "created_at": "long ago", "_import": origin}


def test_the_first_owner_of_created_at_does_not_lose_when_the_record_was_made() -> None:
    record = {"_id": 1, "key": "a", "created_at": NOON, "updated_at": NOON, "_import": {"run_id": RUN_ID, "version": 1}}
    row: dict[str, Any] = {"_row": 3, "key": "a", "updated_at": NOON, "created_at": "last year"}
    (update,) = owner_of_times([row], record).updates
    assert update.changes["created_at"] == "last year"
    assert update.changes["_import"]["created_at"] == NOON


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


@given(batches, batches)
def test_an_update_does_what_an_upsert_does_but_creates_nothing(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> None:
    records = imported(keyed(old))
    template = CONTACTS.model_copy(update={"mode": ImportMode.UPDATE})
    planned = plan_batch(checked_batch(CONTACTS, new), records, template, FIELDS, OTHER_RUN, WRITTEN_AT)
    upserted = plan(new, records)
    assert planned.create.num_rows == 0
    assert planned.skipped.pop(SkipReason.NOT_FOUND, []) == upserted.create["_row"].to_pylist()
    assert planned.skipped == upserted.skipped
    assert bson.encode({"": [update.changes for update in planned.updates]}) == bson.encode(
        {"": [update.changes for update in upserted.updates]}
    )


def test_a_sync_plans_rows_as_an_upsert_does() -> None:
    template = CONTACTS.model_copy(update={"mode": ImportMode.SYNC})
    table = checked_batch(template, [{"_row": 1, "email": "a"}])
    planned = plan_batch(table, {}, template, FIELDS, OTHER_RUN, WRITTEN_AT)
    assert (planned.create.num_rows, planned.updates, planned.deletions) == (1, [], [])


@pytest.mark.parametrize(
    ("transforms", "columns", "told"),
    [
        ([], {"a": 0}, True),
        ([], {"a": None}, False),
        ([{"type": "default", "value": "x"}], {"a": None}, False),
        ([{"type": "constant", "value": "x"}], {"a": None}, True),
        ([{"type": "concat", "columns": ["One", "Two"]}], {}, True),
        ([{"type": "concat", "columns": ["Two", "Three"]}], {}, False),
        ([{"type": "trim"}, {"type": "concat", "columns": ["Two"]}, {"type": "constant", "value": "x"}], {}, True),
    ],
    ids=["column", "no column", "default", "constant", "concat", "concat of nothing", "several"],
)
def test_fields_that_a_file_says_something_about(
    transforms: list[dict[str, Any]], columns: dict[str, int | None], told: bool
) -> None:
    template = Template.model_validate(
        {"name": "t", "target_resource": "t", "fields": [{"name": "a", "transforms": transforms}]}
    )
    file = ParsePlan(columns=("One",), mapping=columns, concat_columns={"One": 0, "Two": None})
    assert fields_from_file(template, file) == ({"a"} if told else set())
