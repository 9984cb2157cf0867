"""Digests of keys are the same exactly where the server takes the keys for the same."""

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest
from bson import Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import given, settings
from hypothesis import strategies as st

from services.writer.domain.key_digests import NO_KEY, HeldKeys, digests, digests_of_records

MOMENT = datetime(1969, 12, 31, 23, 59, 59, 123_000)  # noqa: DTZ001 - as records are read


@pytest.mark.parametrize(
    "alike",
    [
        ["A1", "A1 ", "\u200bA1"],
        [1, 1.0, Decimal("1.00"), Int64(1), Decimal128("1"), Decimal128("1.0")],
        [0, -0.0, Decimal("-0.000")],
        [0.5, Decimal128("0.50")],
        [True],
        [False],
        ["1"],
        ["true"],
        [Decimal128("1E+6000")],
        [float("nan"), Decimal128("NaN"), Decimal128("sNaN")],
        [float("inf"), Decimal128("Infinity")],
        [float("-inf")],
        [Decimal128("0.1")],
        [0.1],
        [MOMENT, MOMENT.replace(tzinfo=UTC), DatetimeMS(-877)],
        [DatetimeMS(10**17)],
        ["caf\u00e9", "cafe\u0301"],
    ],
)
def test_what_is_one_key_has_one_digest(alike: list[object]) -> None:
    found = digests_of_records(alike, b"run")
    assert len(set(found.tolist())) == 1
    assert found[0] != NO_KEY
    ALL.setdefault(found[0], alike)
    assert ALL[found[0]] == alike or str(ALL[found[0]]) == str(alike)


ALL: dict[int, list[object]] = {}


def test_what_is_no_key() -> None:
    assert digests_of_records([None, ["a"], {"a": 1}, b"a", ObjectId()], b"run").tolist() == [NO_KEY] * 5


def test_every_run_has_its_own() -> None:
    assert digests(["a"], b"one")[0] != digests(["a"], b"other")[0]


@settings(max_examples=200)
@given(st.lists(st.integers(0, 30)), st.lists(st.one_of(st.none(), st.integers(0, 30))))
def test_what_a_file_does_not_hold(held: list[int], records: list[int | None]) -> None:
    keys = HeldKeys(len(held) + 3)
    for value in held:
        keys.add(digests([value], b""))
    keys.settle()
    assert keys.count == len(held)
    missing = keys.missing(digests(records, b"")).tolist()
    assert missing == [index for index, value in enumerate(records) if value is None or value not in held]
    assert not len(keys.missing(np.empty(0, np.uint64)))
