"""Records are told from their rows by their bytes, and what is told is what reading them would have told."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson import Decimal128, Int64, ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.reasons import SkipReason
from libs.contracts.record_keys import KEYS
from libs.contracts.templates import Template
from libs.storage.key_entries import TargetKey
from services.writer.domain import record_events
from services.writer.domain.batch_plan import AS_IN_FILE, CHANGED, plan_batch, upsert_keys
from services.writer.domain.before_image import before_image
from services.writer.domain.encoded_changes import ChangeEncoder
from services.writer.domain.record_changes import statement
from services.writer.domain.record_encoding import RecordEncoder
from services.writer.domain.record_events import ChangesOfRecords
from services.writer.domain.row_comparison import ComparedRecords, RowComparison
from tests.unit.writer.checked_batches import (
    CONTACTS,
    RUN_ID,
    TENANT_ID,
    WIDE,
    WIDE_EXTRA,
    Raw,
    checked_batch,
)
from tests.unit.writer.planned_batches import NOON, OTHER_RUN, WRITTEN_AT
from tests.unit.writer.test_record_events import changes, telling

KEY = TargetKey(ObjectId(), ("email",))
COMPARED = [*(field.name for field in CONTACTS.fields), *CONTACTS.default_values]
ROWS: list[dict[str, Any]] = [
    {"_row": 1, "email": "a@example.com", "name": "A", "age": 3, "amount": 2, "active": True, "note": "updated_at\0"},
    {"_row": 2, "email": "b@example.com", "name": None, "amount": 2.5, "joined": datetime(2026, 1, 1, tzinfo=UTC)},
    {"_row": 3, "email": None, "name": "nobody"},
]
_READ: CodecOptions[dict[str, Any]] = CodecOptions(
    dict, tz_aware=False, uuid_representation=4, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


def comparison(table: pa.Table, *, deletes: bool = False) -> RowComparison:
    return RowComparison(table, CONTACTS, COMPARED, (), [KEY], deletes=deletes)


def looked_up(
    table: pa.Table,
    *,
    deletes: bool = False,
    template: Template = CONTACTS,
    extra: tuple[tuple[str, str], ...] = (),
    key: TargetKey = KEY,
) -> list[dict[str, Any]]:
    """The records that the rows make, as a look-up returns them."""
    encoded = RecordEncoder(template, RUN_ID, TENANT_ID, NOON, extra, [key]).encode(table)
    fields = {field.name for field in template.fields}
    wanted = {"_id", KEYS, "_import", "created_at", "updated_at", "extra", *fields, *template.default_values}
    wanted |= {"is_deleted", "deleted_at"} if deletes else set()
    records = (bson.decode(encoded.document(at)) for at in range(encoded.count))
    return [{name: value for name, value in record.items() if name in wanted} for record in records]


def encoder(template: Template = CONTACTS, run_id: str = OTHER_RUN) -> ChangeEncoder:
    return ChangeEncoder(template, run_id, TENANT_ID, template.target_resource, WRITTEN_AT)


def told(table: pa.Table, *records: Mapping[str, Any], change: ChangeEncoder | None = None) -> ComparedRecords:
    return comparison(table).of([bson.encode(record) for record in records], change)


@pytest.mark.parametrize("deletes", [False, True])
def test_what_an_import_has_written_is_unchanged(deletes: bool) -> None:
    table = checked_batch(CONTACTS, ROWS)
    records = [bson.encode(record) for record in looked_up(table, deletes=deletes)]
    found = comparison(table, deletes=deletes).of([records[1], b"".join([records[0], records[2]])], encoder())
    assert sorted(found.unchanged) == ["a@example.com", "b@example.com"]
    assert (found.changed, found.changes) == ([], None)
    assert bson.decode_all(found.others)[0]["email"] is None


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], bool]] = {
    "another value": (lambda record: record.update(name="B"), True),
    "null": (lambda record: record.update(active=None), True),
    "another default value": (lambda record: record.update(rank=Int64(8)), False),
    "a value of another type": (lambda record: record.update(age=3.0), False),
    "a text for a number": (lambda record: record.update(age="3"), True),
    "no such field": (lambda record: record.pop("note"), False),
    "a list": (lambda record: record.update(note=["a"]), False),
    "one field more": (lambda record: record.update({KEYS: record.pop(KEYS), "later": 1}), False),
    "another entry": (lambda record: record[KEYS][0].update(a="b@example.com"), False),
    "an entry of another key": (lambda record: record[KEYS].append({"s": ObjectId(), "a": 1}), False),
    "no entry": (lambda record: record.pop(KEYS), False),
    "the key in another spelling": (lambda record: record.update(email="a@example.com "), False),
    "warnings of the run before": (
        lambda record: record.update(name="B", _import={**record["_import"], "warnings": []}),
        False,
    ),
    "nothing noted": (lambda record: record.update(name="B", _import=None), False),
    "another application's id": (lambda record: record.update(name="B", _id="one of theirs"), False),
    "no time of the last change": (lambda record: record.update(name="B", updated_at=record.pop("updated_at")), False),
}


@pytest.mark.parametrize(("change", "by_bytes"), CHANGES.values(), ids=CHANGES.keys())
def test_what_differs_is_told_by_bytes_or_left_to_be_read(
    change: Callable[[dict[str, Any]], object], by_bytes: bool
) -> None:
    table = checked_batch(CONTACTS, ROWS)
    record = looked_up(table)[0]
    assert told(table, record).unchanged == ["a@example.com"]
    change(record)
    found = told(table, record, change=encoder())
    assert found.unchanged == []
    assert found.changed == (["a@example.com"] if by_bytes else [])
    assert found.others == (b"" if by_bytes else bson.encode(record))
    unread = told(table, record)
    assert (unread.changed, unread.changes, unread.others) == ([], None, bson.encode(record))


def test_what_the_run_has_created_or_changed_itself_is_left_to_be_read() -> None:
    table = checked_batch(CONTACTS, ROWS)
    record = {**looked_up(table)[0], "name": "B"}
    assert told(table, record, change=encoder(run_id=RUN_ID)).changed == []
    changed = {**record, "_import": {**record["_import"], "run_id": OTHER_RUN}}
    assert told(table, changed, change=encoder()).changed == []
    assert told(table, record, change=encoder()).changed == ["a@example.com"]


def test_a_row_with_warnings_is_left_to_be_read() -> None:
    table = checked_batch(CONTACTS, [{**ROWS[0], "_warnings": [{"code": "X"}]}, ROWS[1]])
    records = [{**record, "name": "B"} for record in looked_up(checked_batch(CONTACTS, ROWS))]
    assert told(table, *records, change=encoder()).changed == ["b@example.com"]


def test_where_two_keys_bind_records_changes_are_left_to_be_read() -> None:
    table = checked_batch(CONTACTS, ROWS)
    keys = [KEY, TargetKey(ObjectId(), ("name",))]
    encoded = RecordEncoder(CONTACTS, RUN_ID, TENANT_ID, NOON, (), keys).encode(table)
    record = {name: bson.decode(encoded.document(0))[name] for name in looked_up(table)[0]}
    both = RowComparison(table, CONTACTS, COMPARED, (), keys, deletes=False)
    assert both.of([bson.encode(record)], encoder()).unchanged == ["a@example.com"]
    assert both.of([bson.encode({**record, "note": "another"})], encoder()).changed == []


def test_of_rows_with_one_key_only_the_last_one_counts() -> None:
    first, last = {**ROWS[0], "name": "before"}, {**ROWS[0], "_row": 2}
    table = checked_batch(CONTACTS, [first, last])
    before, after = looked_up(table)
    assert told(table, before).unchanged == []
    assert told(table, after).unchanged == ["a@example.com"]
    found = told(table, before, change=encoder())
    assert found.changes is not None
    assert found.changes.rows == [2]
    assert told(table, before, after).others == bson.encode(before) + bson.encode(after), "two records of one row"


def test_a_row_that_spells_the_key_of_a_later_one_otherwise_does_not_count() -> None:
    rows = [{**ROWS[0], "email": "a@example.com"}, {**ROWS[0], "_row": 2, "email": "a@EXAMPLE.com"}]
    table = checked_batch(CONTACTS, rows)
    first, _ = looked_up(table)
    found = told(table, first, change=encoder())
    assert (found.unchanged, found.changed, found.others) == ([], [], bson.encode(first))


def test_nothing_found_and_a_batch_without_records() -> None:
    table = checked_batch(CONTACTS, ROWS)
    assert comparison(table).of([], encoder()) == ComparedRecords([], [], None, b"")


@pytest.mark.parametrize("most", [1, 1_500, 10_000])
def test_values_of_changes_are_told_as_far_as_there_is_room(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_events, "MAX_VALUES_BYTES", most)
    rows = [{"_row": row, "email": f"{row}@example.com", "name": "x" * 100, "age": row % 2} for row in range(1, 21)]
    table = checked_batch(CONTACTS, rows)
    records = [
        {**record, "age": Int64(1), **({} if at % 3 else {"name": "y"})} for at, record in enumerate(looked_up(table))
    ]
    found = told(table, *records, change=encoder())
    existing = dict.fromkeys(found.unchanged, AS_IN_FILE) | dict.fromkeys(found.changed, CHANGED)
    plan = plan_batch(table, existing, CONTACTS, COMPARED, OTHER_RUN, WRITTEN_AT, (), [KEY], encoded=found.changes)
    events = changes(ChangesOfRecords(telling(CONTACTS, "values"), OTHER_RUN).written(plan, table))
    assert [event["row"] for event in events] == plan.updated_rows
    left_out = [event.pop("values_left_out", False) for event in events]
    assert left_out == sorted(left_out)
    assert left_out[-1] is (most < 10_000)
    for event, left in zip(events, left_out, strict=True):
        row, differs = event["row"], ["name"] * (event["row"] % 3 == 1) + ["age"] * (event["row"] % 2 == 0)
        assert event == {
            "id": str(records[row - 1]["_id"]),
            "operation": "updated",
            "row": row,
            "fields": differs,
            **({} if left else {"values": {name: rows[row - 1][name] for name in differs}}),
        }


TEXTS = st.one_of(st.none(), st.sampled_from(["", "a", "b", "é", "\0", "x" * 300]))
NUMBERS = st.one_of(
    st.none(),
    st.sampled_from([0, 1, 2**53, 2**53 + 1]),
    st.sampled_from([0.0, -0.0, 1.0, 2.5, math.nan, math.inf, float(2**53)]),
    st.sampled_from([Decimal("1.10"), Decimal("1.1"), Decimal("0.1")]),
    st.sampled_from([Raw("1"), Raw("many")]),
)
DATES = st.one_of(st.none(), st.sampled_from([NOON, NOON + timedelta(milliseconds=1), NOON - timedelta(days=40_000)]))
WHOLE = st.one_of(st.none(), st.sampled_from([0, 1, -1, 2**62]), st.just(Raw("x")))
BOOLEANS = st.one_of(st.none(), st.booleans(), st.just(Raw("perhaps")))
VALUES = st.fixed_dictionaries(
    {"name": TEXTS, "age": WHOLE, "amount": NUMBERS, "joined": DATES, "active": BOOLEANS, "note": TEXTS}
)
HELD = st.sampled_from(
    [
        None,
        "",
        "a",
        0,
        1,
        Int64(1),
        1.0,
        -0.0,
        math.nan,
        True,
        NOON,
        [1],
        {"a": 1},
        Decimal128("1.10"),
        ObjectId("0" * 24),
    ]
)
EDITS = st.dictionaries(
    st.sampled_from(["name", "age", "amount", "joined", "active", "note", "source", "nothing", "weight", "created_at"]),
    HELD,
    max_size=2,
)


@settings(max_examples=400)
@given(
    before=st.lists(VALUES, min_size=1, max_size=6),
    after=st.lists(VALUES, min_size=1, max_size=6),
    edits=st.lists(EDITS, min_size=6, max_size=6),
    order=st.permutations(range(6)),
)
def test_told_by_bytes_as_by_reading(
    before: list[dict[str, Any]], after: list[dict[str, Any]], edits: list[dict[str, Any]], order: list[int]
) -> None:
    """Every statement and before-image is the one that reading the records gives, byte for byte, and every event says
    the same."""
    keys = [f"{number}@example.com" for number in range(6)]
    old = [{"_row": number + 10, "email": keys[number], **values} for number, values in enumerate(before)]
    new = [{"_row": number + 1, "email": keys[order[number]], **values} for number, values in enumerate(after)]
    records = looked_up(checked_batch(CONTACTS, old))
    records = [{**record, **edit} for record, edit in zip(records, edits, strict=False)]
    assert_as_read(CONTACTS, checked_batch(CONTACTS, new), (), KEY, records)


PRICE = TargetKey(ObjectId(), ("price",))
CELLS = st.fixed_dictionaries(
    {
        "whole": st.one_of(st.none(), st.sampled_from([Decimal(1), Decimal(2)])),
        "fine": st.one_of(st.none(), st.sampled_from([Decimal("0.1"), Decimal("0.10")])),
        "any": NUMBERS,
        "phone": TEXTS,
        "size": TEXTS,
        "extra": st.dictionaries(st.sampled_from(["City", "_id", "a\uff0eb"]), TEXTS),
    }
)


@settings(max_examples=200)
@given(before=st.lists(CELLS, min_size=1, max_size=4), after=st.lists(CELLS, min_size=1, max_size=4))
def test_exact_numbers_and_unmatched_columns_told_by_bytes_as_by_reading(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    def rows(values: list[dict[str, Any]]) -> pa.Table:
        numbered = [{"_row": at + 1, "price": Decimal(at), **cells} for at, cells in enumerate(values)]
        return checked_batch(WIDE, numbered, WIDE_EXTRA)

    records = looked_up(rows(before), template=WIDE, extra=WIDE_EXTRA, key=PRICE)
    assert_as_read(WIDE, rows(after), WIDE_EXTRA, PRICE, records)


def assert_as_read(
    template: Template,
    table: pa.Table,
    extra: tuple[tuple[str, str], ...],
    key: TargetKey,
    records: list[dict[str, Any]],
) -> None:
    names = [field.name for field in template.fields]
    compared = [*names, *template.default_values, *(["extra"] if template.include_unmatched_columns else [])]
    rows = RowComparison(table, template, compared, extra, [key], deletes=False)
    encoded = [bson.encode(record) for record in records]
    found = rows.of([b"".join(encoded)], encoder(template))

    read = [bson.decode(record, _READ) for record in encoded]
    (name,) = key.names
    values = upsert_keys(table, template)
    by_value = {value: record for record in read for value in values if _same(record[name], value)}
    plan = plan_batch(table, by_value, template, names, OTHER_RUN, WRITTEN_AT, extra, [key])
    statements = {each.row: statement(each.record_id, each.changes, origin=each.origin) for each in plan.updates}
    images = {
        each.row: before_image(OTHER_RUN, TENANT_ID, template.target_resource, each, WRITTEN_AT, deletes=False)
        for each in plan.updates
    }
    row_of = dict(zip(values, table["_row"].to_pylist(), strict=True))
    assert {row_of[value] for value in found.unchanged} <= {*plan.skipped.get(SkipReason.UNCHANGED, [])}
    if found.changes is not None:
        by_bytes = found.changes
        assert by_bytes.rows == sorted([row_of[value] or 0 for value in found.changed])
        for at, row in enumerate(by_bytes.rows):
            assert by_bytes.statements.document(at) == statements[row]
            assert by_bytes.before_images.document(at) == images[row]
    left = bson.decode_all(found.others, _READ)
    existing = dict.fromkeys(found.unchanged, AS_IN_FILE) | dict.fromkeys(found.changed, CHANGED)
    existing |= {value: record for record in left for value in values if _same(record[name], value)}
    whole = plan_batch(table, existing, template, names, OTHER_RUN, WRITTEN_AT, extra, [key], encoded=found.changes)
    assert whole.updated_rows == plan.updated_rows
    assert whole.skipped == plan.skipped
    assert whole.create["_row"].equals(plan.create["_row"])
    for how in ("ids", "fields", "values"):
        events = ChangesOfRecords(telling(template, how), OTHER_RUN, extra)
        assert changes(events.written(whole, table)) == changes(events.written(plan, table)), how


def _same(held: object, value: object) -> bool:
    return (held.to_decimal() if isinstance(held, Decimal128) else held) == value
