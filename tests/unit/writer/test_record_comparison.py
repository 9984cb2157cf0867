"""Which values of a row differ from those of its record, and so are written."""

import math
from collections.abc import Container
from datetime import timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, Int64

from services.writer.domain.batch_plan import BatchPlan, plan_batch, upsert_keys
from tests.unit.writer.checked_batches import CONTACTS, WIDE, WIDE_EXTRA, Raw, checked_batch
from tests.unit.writer.planned_batches import NOON, OTHER_RUN, WRITTEN_AT, plan


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


def wide_plan(row: dict[str, Any], record: dict[str, Any], fields: Container[str] = ()) -> BatchPlan:
    """``row`` over the record that has its price."""
    table = checked_batch(WIDE, [{"_row": 4, "price": Decimal("1.50"), **row}], WIDE_EXTRA)
    assert upsert_keys(table, WIDE) == [Decimal("1.5")]
    held = {"_id": 1, "price": Decimal128("1.5"), "source": "import", **record}
    return plan_batch(table, {Decimal("1.50"): held}, WIDE, fields, OTHER_RUN, WRITTEN_AT, WIDE_EXTRA)


@pytest.mark.parametrize(
    ("field", "held", "cell"),
    [
        ("whole", Decimal128("12"), Decimal(12)),
        ("whole", Int64(12), Decimal(12)),
        ("whole", 12.0, Decimal(12)),
        ("fine", Decimal128("1.50"), Decimal("1.5")),
        ("fine", 0.5, Decimal("0.5")),
        ("any", Decimal128("0.12345678901234567890"), Decimal("0.12345678901234567890")),
        ("any", Decimal128("12"), 12),
        ("any", Decimal128("1.5"), 1.5),
        ("whole", None, None),
    ],
)
def test_equal_numbers_of_any_type(field: str, held: object, cell: object) -> None:
    assert wide_plan({field: cell}, {field: held}, [field]).skipped == {"UNCHANGED": [4]}


@pytest.mark.parametrize(
    ("field", "held", "cell", "written"),
    [
        ("fine", 0.1, Decimal("0.1"), Decimal128("0." + "1" + "0" * 29)),
        ("whole", Decimal128("12"), Decimal(13), Decimal128("13")),
        ("whole", True, Decimal(1), Decimal128("1")),
        ("whole", "1", Decimal(1), Decimal128("1")),
        ("whole", Decimal128("sNaN"), Decimal(1), Decimal128("1")),
        ("whole", Decimal128("1"), None, None),
        ("whole", Decimal128("1"), Raw("one"), "one"),
        ("any", Decimal128("0.1"), 0.1, 0.1),
        ("any", 1.5, Decimal("0.12345678901234567890"), Decimal128("0.12345678901234567890")),
    ],
)
def test_different_numbers(field: str, held: object, cell: object, written: object) -> None:
    (update,) = wide_plan({field: cell}, {field: held}, [field]).updates
    assert update.changes.keys() == {field, "updated_at", "_import"}
    assert (update.changes[field], type(update.changes[field])) == (written, type(written))
    assert update.before is not None
    assert update.before.restore == {field: held}


@pytest.mark.parametrize(
    ("held", "row"),
    [
        ({"City": "x", "_id": None, "other": "y"}, {"extra": {"City": "x"}}),
        ({"City": "x", "Town": "z"}, {"extra": {"City": "x"}, "_more": {"Town": "z", "none": None}}),
        (None, {}),
        ("text", {"_more": {"none": None}}),
    ],
)
def test_equal_extra(held: object, row: dict[str, Any]) -> None:
    assert wide_plan(row, {"extra": held}).skipped == {"UNCHANGED": [4]}


@pytest.mark.parametrize(
    ("held", "row", "written"),
    [
        ({"City": "x"}, {"extra": {"City": "y"}}, {"City": "y", "_id": None, "a\uff0eb": None}),
        ({"old": "x"}, {"extra": {"_id": "7"}}, {"old": "x", "City": None, "_id": "7", "a\uff0eb": None}),
        ({}, {"_more": {"city": "z"}}, {"City": None, "_id": None, "a\uff0eb": None, "city_2": "z"}),
        ("text", {"extra": {"City": "y"}}, {"City": "y", "_id": None, "a\uff0eb": None}),
    ],
)
def test_different_extra_is_written_whole(held: object, row: dict[str, Any], written: object) -> None:
    (update,) = wide_plan(row, {"extra": held}).updates
    assert update.changes.keys() == {"extra", "updated_at", "_import"}
    assert update.changes["extra"] == written
    assert update.before is not None
    assert update.before.restore == {"extra": held}


def test_extra_without_a_column_says_nothing() -> None:
    table = checked_batch(WIDE, [{"_row": 4, "price": Decimal(1)}])
    held = {"_id": 1, "price": Decimal128("1"), "source": "import", "extra": {"City": "x"}}
    planned = plan_batch(table, {Decimal(1): held}, WIDE, [], OTHER_RUN, WRITTEN_AT)
    assert planned.skipped == {"UNCHANGED": [4]}
