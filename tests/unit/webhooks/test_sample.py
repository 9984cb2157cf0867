"""Rows in a body: as JSON, and bounded."""

import json
import math
from datetime import UTC, datetime
from typing import Any

from bson import Decimal128, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from services.webhooks.domain.sample import MAX_BYTES, MAX_ROWS, Sample, as_json


def test_values_as_json() -> None:
    stored: dict[str, Any] = {
        "day": datetime(2024, 2, 29, tzinfo=UTC),
        "at": datetime(2024, 2, 29, 12, 30, 1, 5000, tzinfo=UTC),
        "price": Decimal128("12.30"),
        "id": ObjectId("1" * 24),
        "nan": math.nan,
        "many": [1, 2.5, None, True, {"a": b"\x00"}],
        "big": 2**62,
    }
    assert as_json(stored) == {
        "day": "2024-02-29T00:00:00Z",
        "at": "2024-02-29T12:30:01.005000Z",
        "price": "12.30",
        "id": "1" * 24,
        "nan": None,
        "many": [1, 2.5, None, True, {"a": "AA=="}],
        "big": 2**62,
    }


def test_only_what_the_template_sets() -> None:
    sample = Sample(5)
    sample.add({"_id": 1, "tenant_id": "t1", "name": "Ann", "_import": {"row": 1}}, frozenset({"name"}))
    assert sample.rows == [{"name": "Ann"}]


@given(st.lists(st.text(max_size=30_000), max_size=20), st.integers(0, 12))
def test_never_more_and_never_larger(names: list[str], most: int) -> None:
    sample = Sample(most)
    for name in names:
        if sample.full:
            break
        sample.add({"name": name}, frozenset({"name"}))
    size = len(json.dumps(sample.rows, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    assert len(sample.rows) <= most
    assert size <= MAX_BYTES + 2
    assert sample.rows == [{"name": name} for name in names[: len(sample.rows)]]


def test_no_more_than_anybody_may_have() -> None:
    sample = Sample(10 * MAX_ROWS)
    while not sample.full:
        sample.add({}, frozenset())
    assert len(sample.rows) == MAX_ROWS
