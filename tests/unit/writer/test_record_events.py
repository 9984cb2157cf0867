"""What a batch does to records, as it is told."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson import Decimal128, ObjectId

from libs.contracts.events import MAX_CHANGES_BYTES, MAX_RECORDS_CHANGED_BYTES, RecordsChanged
from libs.contracts.ids import record_id
from libs.contracts.templates import RecordEvents, Template
from libs.values.json_values import as_json
from services.writer.domain import record_events
from services.writer.domain.batch_plan import BatchPlan, RecordUpdate
from services.writer.domain.record_encoding import RecordEncoder
from services.writer.domain.record_events import ChangesOfRecords
from services.writer.domain.revert_plan import Restore, RevertPlan
from tests.unit.writer.checked_batches import CONTACTS, RUN_ID, TENANT_ID, WIDE, WIDE_EXTRA, Raw, checked_batch

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {
        "_row": 1, "email": "å@x.se", "name": 'a "quote" \\ and %s \u2028 \n', "age": 7, "amount": 1.0, "active": True,
        "joined": datetime(2024, 2, 29, 12, 30, 0, 123_000, tzinfo=UTC), "note": None,
    },
    {"_row": 7, "email": "b", "amount": Decimal("12345678901234567890.125"), "age": Raw("old"), "joined": Raw("x")},
    {"_row": 4_000_000_000, "email": None, "amount": 2**53 + 1, "joined": datetime(33, 1, 1, tzinfo=UTC)},
]  # fmt: skip
PLAIN_ROWS: list[dict[str, Any]] = [
    {"_row": 1, "email": "a@x.se", "name": "Zoë", "age": -7, "amount": 0.1, "active": True, "note": "/ 'x' \x7f"},
    {"_row": 2, "email": "b@x.se", "amount": 1e300, "active": False, "joined": datetime(1000, 1, 1, tzinfo=UTC)},
    {"_row": 3, "name": "", "age": 2**63 - 1, "amount": -5.0, "joined": datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)},
]
"""Columns that become text as a whole."""
ODD_ROWS: list[dict[str, Any]] = [
    {"_row": 1, "joined": datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC), "amount": float("nan")},
    {"_row": 2, "joined": datetime(1, 1, 1, tzinfo=UTC), "amount": float("-inf")},
]
WIDE_ROWS: list[dict[str, Any]] = [
    {
        "_row": 1, "price": Decimal("1.20"), "whole": Decimal(3), "fine": Decimal("1E-30"), "any": 0.1, "size": "S",
        "extra": {"City": "Łódź %d", "_id": None, "a\uff0eb": ""},
    },
    {"_row": 2, "price": Decimal("-0.00"), "any": float("inf"), "extra": {"City": "x"}, "_more": {"more": "y"}},
]  # fmt: skip


def telling(template: Template, how: str) -> Template:
    return template.model_copy(update={"record_events": RecordEvents(how)})


def nothing_created() -> pa.Table:
    return checked_batch(CONTACTS, [])


def changes(chunks: list[str]) -> list[dict[str, Any]]:
    return [change for chunk in chunks for change in json.loads(f"[{chunk}]")]


@pytest.mark.parametrize(
    ("template", "rows", "extra"),
    [(CONTACTS, ROWS, ()), (CONTACTS, PLAIN_ROWS, ()), (CONTACTS, ODD_ROWS, ()), (WIDE, WIDE_ROWS, WIDE_EXTRA)],
    ids=["contacts", "plain", "odd", "wide"],
)
def test_values_of_created_records_are_what_is_written(
    template: Template, rows: list[dict[str, Any]], extra: tuple[tuple[str, str], ...]
) -> None:
    table = checked_batch(template, rows, extra)
    encoded = RecordEncoder(template, RUN_ID, TENANT_ID, NOW, extra).encode(table)
    options = bson.CodecOptions[dict[str, Any]](tz_aware=False)
    written = [bson.decode(encoded.document(index), options) for index in range(encoded.count)]
    names = [*template.sets, *(["extra"] if extra else [])]
    told = changes(
        ChangesOfRecords(telling(template, "values"), RUN_ID, extra).written(BatchPlan(table, [], {}), table)
    )
    assert told == [
        {
            "id": str(record["_id"]),
            "operation": "created",
            "row": record["_import"]["row"],
            "values": {name: as_json(record[name]) for name in names},
        }
        for record in written
    ]


@pytest.mark.parametrize("how", ["ids", "fields"])
def test_without_values_created_records_are_ids(how: str) -> None:
    table = checked_batch(CONTACTS, ROWS)
    told = changes(ChangesOfRecords(telling(CONTACTS, how), RUN_ID).written(BatchPlan(table, [], {}), table))
    rows = [row["_row"] for row in ROWS]
    assert told == [{"id": str(ObjectId(record_id(RUN_ID, row))), "operation": "created", "row": row} for row in rows]


def test_nothing_is_told_where_that_is_not_wanted() -> None:
    silent = ChangesOfRecords(CONTACTS, RUN_ID)
    update = RecordUpdate(1, 5, {"name": "x"}, None)
    table = checked_batch(CONTACTS, ROWS)
    assert silent.written(BatchPlan(table, [update], {}, [update]), table) == []
    assert silent.swept([update]) == []
    assert silent.taken_back(RevertPlan([ObjectId()], [], []), of_rows=True) == []


@pytest.mark.parametrize("how", ["ids", "fields", "values"])
def test_changed_records(how: str) -> None:
    system = {"_import": {}, "_keys": [], "updated_at": NOW}
    update = RecordUpdate(3, ObjectId(b"a" * 12), {"name": "x", "amount": Decimal128("1.50"), **system}, None)
    deletion = RecordUpdate(4, "theirs", {"is_deleted": True, "deleted_at": NOW, **system}, None)
    told = ChangesOfRecords(telling(CONTACTS, how), RUN_ID)
    found = changes(told.written(BatchPlan(nothing_created(), [update], {}, [deletion]), nothing_created()))
    more: list[dict[str, Any]] = [{}, {}]
    if how != "ids":
        more = [{"fields": ["name", "amount"]}, {"fields": []}]
    if how == "values":
        more[0]["values"] = {"name": "x", "amount": "1.50"}
    assert found == [
        {"id": "61" * 12, "operation": "updated", "row": 3, **more[0]},
        {"id": "theirs", "operation": "deleted", "row": 4, **more[1]},
    ]
    assert changes(told.swept([deletion])) == [{"id": "theirs", "operation": "deleted", **more[1]}]


def test_what_is_taken_back() -> None:
    created = ObjectId(record_id(RUN_ID, 9))
    restored = Restore(3, 1, {"name": "before", "_import": {}, "_keys": []}, ["note", "updated_at"], returns=False)
    returned = Restore(4, 2, {"is_deleted": False}, [], returns=True)
    plan = RevertPlan([created], [restored, returned], [])
    told = ChangesOfRecords(telling(CONTACTS, "values"), RUN_ID)
    assert changes(told.taken_back(plan, of_rows=True)) == [
        {"id": str(created), "operation": "removed", "row": 9},
        {"id": "1", "operation": "restored", "row": 3, "fields": ["name", "note"], "values": {"name": "before"}},
        {"id": "2", "operation": "returned", "row": 4, "fields": []},
    ]
    assert "row" not in changes(told.taken_back(RevertPlan([], [returned], []), of_rows=False))[0]


@pytest.mark.parametrize("how", ["ids", "values"])
def test_no_message_is_larger_than_allowed(how: str) -> None:
    rows: list[dict[str, Any]] = [{"_row": row, "email": "å" * 90, "note": str(row)} for row in range(1, 5_001)]
    table = checked_batch(CONTACTS, rows)
    chunks = ChangesOfRecords(telling(CONTACTS, how), RUN_ID).written(BatchPlan(table, [], {}), table)
    assert len(chunks) > 1
    assert [change["row"] for change in changes(chunks)] == list(range(1, 5_001))
    longest = "x" * 64
    for number, chunk in enumerate(chunks):
        message = RecordsChanged(
            event_id="0" * 32, occurred_at=NOW, run_id=longest, tenant_id=longest, template_id=longest,
            resource=longest, sequence="0" * 16, chunk=number, chunks=len(chunks),
        )  # fmt: skip
        text = message.as_json(chunk)
        assert len(text.encode()) <= MAX_RECORDS_CHANGED_BYTES
        assert len(RecordsChanged.model_validate_json(text).changes) == len(changes([chunk]))


def test_values_that_are_too_large_are_left_out() -> None:
    rows: list[dict[str, Any]] = [
        {"_row": 1, "name": "x"},
        {"_row": 2, "name": "å" * (MAX_CHANGES_BYTES // 2)},
        {"_row": 3, "name": "z"},
    ]
    huge = RecordUpdate(4, "y" * 70_000, {"name": "x" * MAX_CHANGES_BYTES}, None)
    plan = BatchPlan(checked_batch(CONTACTS, rows), [huge], {})
    chunks = ChangesOfRecords(telling(CONTACTS, "values"), RUN_ID).written(plan, plan.create)
    assert all(len(chunk.encode()) <= MAX_CHANGES_BYTES for chunk in chunks)
    told = changes(chunks)
    assert ["values" in each for each in told] == [True, False, True, False]
    assert [each.get("values_left_out", False) for each in told] == [False, True, False, True]
    assert told[3]["fields"] == ["name"]
    assert told[3]["id"].startswith("sha256:")


def test_values_of_a_batch_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_events, "MAX_VALUES_BYTES", 1_000)
    rows: list[dict[str, Any]] = [{"_row": row, "name": "x" * 200} for row in range(1, 11)]
    plan = BatchPlan(checked_batch(CONTACTS, rows), [], {})
    told = changes(ChangesOfRecords(telling(CONTACTS, "values"), RUN_ID).written(plan, plan.create))
    assert [each["row"] for each in told] == list(range(1, 11))
    assert 0 < sum("values" in each for each in told) < 5
    assert all(("values" in each) is not each.get("values_left_out", False) for each in told)


def test_values_are_not_even_made_where_they_are_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_events, "MAX_VALUES_BYTES", 20_000)
    template = telling(CONTACTS, "values").model_copy(update={"default_values": {"long": "x" * 2_000}})
    rows: list[dict[str, Any]] = [{"_row": row} for row in range(1, 1_001)]
    plan = BatchPlan(checked_batch(template, rows), [], {})
    told = changes(ChangesOfRecords(template, RUN_ID).written(plan, plan.create))
    assert [each["row"] for each in told] == list(range(1, 1_001))
    assert [("values" in each) for each in told].index(False) < 11
    assert all(("values" in each) is not each.get("values_left_out", False) for each in told)
