"""Values of records as clients see them."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from bson import Decimal128, Int64, ObjectId, Regex
from bson.datetime_ms import DatetimeMS

from services.gateway.records.stored_values import as_cell, as_json

DAY = datetime(2025, 3, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stored", "shown", "cell"),
    [
        (None, None, None),
        ("=1+1", "=1+1", "=1+1"),
        (True, True, "true"),
        (Int64(5), 5, 5),
        (2**60, 2**60, 2**60),
        (0.1, 0.1, 0.1),
        (float("nan"), "nan", "nan"),
        (Decimal128("12.50"), "12.50", Decimal("12.50")),
        (Decimal128("NaN"), "NaN", "NaN"),
        (DAY, "2025-03-31T00:00:00Z", "2025-03-31T00:00:00Z"),
        (DAY.replace(microsecond=5_000), "2025-03-31T00:00:00.005000Z", "2025-03-31T00:00:00.005000Z"),
        (DatetimeMS(10**15), "1000000000000000", "1000000000000000"),
        (ObjectId("a" * 24), "a" * 24, "a" * 24),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001"),
        (b"\x00\xff", "AP8=", "AP8="),
        ({"a": [Decimal128("1.0"), {"b": DAY}]}, {"a": ["1.0", {"b": "2025-03-31T00:00:00Z"}]}, None),
    ],
)
def test_a_value(stored: object, shown: Any, cell: object) -> None:  # noqa: ANN401
    assert as_json(stored) == shown
    json.dumps(as_json(stored), allow_nan=False)
    assert as_cell(stored) == (json.dumps(shown) if isinstance(stored, dict) else cell)


def test_what_nobody_expects_is_told() -> None:
    assert isinstance(as_json(Regex("^a")), str)
    assert isinstance(as_cell(Regex("^a")), str)
