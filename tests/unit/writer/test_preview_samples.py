"""The first rows of each kind as a preview shows them."""

import json
from datetime import UTC, datetime
from typing import Any

import bson
import pyarrow as pa
from bson import Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.reasons import RowErrorCode
from libs.contracts.rejections import RowError
from services.writer.domain.batch_plan import BatchPlan, BeforeImage, RecordUpdate
from services.writer.domain.preview_samples import MOST_FIELDS, MOST_SAMPLES, Samples, shown_value
from tests.unit.writer.checked_batches import CONTACTS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
nested: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.binary(max_size=3)
    | st.datetimes() | st.sampled_from([Int64(1), Decimal128("1.50"), ObjectId(), DatetimeMS(2**62), NOON]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


def updates(*rows: int, **changes: object) -> list[RecordUpdate]:
    before = BeforeImage(restore=dict.fromkeys(changes, "old"), remove=[])
    return [RecordUpdate(row, f"record {row}", dict(changes), before) for row in rows]


def plan(updated: list[RecordUpdate], deleted: list[RecordUpdate]) -> BatchPlan:
    return BatchPlan(pa.table({}), updated, {}, deleted)


@given(nested)
def test_every_value_of_a_record_can_be_sent(value: object) -> None:
    text = json.dumps(shown_value(value), allow_nan=False)
    assert len(text) < 1_000_000


def test_values_are_shown_as_json_has_them() -> None:
    assert shown_value(float("nan")) == "nan"
    assert shown_value(NOON) == shown_value(NOON.replace(tzinfo=None)) == "2026-03-01T12:00:00Z"
    assert shown_value(Decimal128("1.50")) == "1.50"
    assert shown_value("x" * 10_000) == "x" * 200
    assert shown_value({"a": {"b": 1}, "c": 2}) == {"a": "{…}", "c": 2}
    assert shown_value({str(number): 1 for number in range(1_000)}) == {str(number): 1 for number in range(MOST_FIELDS)}


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12)), max_size=4))
def test_of_each_kind_the_first_are_kept_in_the_order_of_the_file(sizes: list[tuple[int, int, int]]) -> None:
    samples, row = Samples(CONTACTS), 0
    expected: dict[str, list[int]] = {"update": [], "delete": [], "skip": []}
    for updated, deleted, skipped in sizes:
        numbers = [
            range(row, row + updated),
            range(row + 100, row + 100 + deleted),
            range(row + 200, row + 200 + skipped),
        ]
        for kind, some in zip(expected, numbers, strict=True):
            expected[kind] += some
        samples.add(plan(updates(*numbers[0], name="new"), updates(*numbers[1])), [], [], {"UNCHANGED": numbers[2]}, {})
        row += 1_000
    found = {kind: [each["row"] for each in samples.found[kind]] for kind in expected}
    assert found == {kind: rows[:MOST_SAMPLES] for kind, rows in expected.items()}
    assert all(samples.wanted(kind) == MOST_SAMPLES - len(rows) for kind, rows in found.items())


def test_samples_say_what_would_change() -> None:
    samples = Samples(CONTACTS)
    record = {"_id": 1, "tenant_id": "t", "email": "a", "_import": {"row": 1}, "created_at": NOON, "is_deleted": False}
    error = RowError("email", "Mail", RowErrorCode.DUPLICATE_KEY, "another record holds it")
    changes = updates(2, name="new", updated_at=NOON, _import={"row": 2})
    new = BatchPlan(pa.table({}), [*changes, RecordUpdate(3, 7, {"name": "x"}, None)], {}, updates(5))
    samples.add(new, [bson.encode(record)], [1], {"UNCHANGED": [8], "NOT_FOUND": [7]}, {9: (error,)})
    samples.add_missing(["gone"])
    assert samples.found == {
        "create": [{"row": 1, "after": {"email": "a"}}],
        "update": [
            {"row": 2, "record_id": "record 2", "changes": {"name": {"before": "old", "after": "new"}}},
            {"row": 3, "record_id": "7", "changes": {"name": {"before": None, "after": "x"}}},
        ],
        "delete": [{"row": 5, "record_id": "record 5"}, {"row": None, "record_id": "gone"}],
        "skip": [{"row": 7, "code": "NOT_FOUND"}, {"row": 8, "code": "UNCHANGED"}],
        "reject": [
            {"row": 9, "errors": [{"field": "email", "code": "DUPLICATE_KEY", "message": "another record holds it"}]}
        ],
    }
