"""Arrow's decimals and decimal texts as the Decimal128 that PyMongo makes of the same numbers."""

from decimal import Decimal, Inexact
from typing import Any

import pyarrow as pa
import pytest
from bson import Decimal128, Int64
from hypothesis import given
from hypothesis import strategies as st

from services.writer.domain.decimal128 import comparable, decimal_cells, encode_decimals

LARGEST = 10**34 - 1
decimals = st.integers(0, 30)
coefficients = (
    st.integers(-LARGEST, LARGEST)
    | st.integers(-10, 10)
    | st.sampled_from([2**63, 2**64 - 1, 2**64, -(2**64), -(2**63), LARGEST, -LARGEST])
)


def scaled(coefficient: int, places: int) -> Decimal:
    """``coefficient`` with ``places`` decimals, without rounding to the context's digits."""
    return Decimal((int(coefficient < 0), tuple(map(int, str(abs(coefficient)))), -places))


@given(decimals, st.lists(st.none() | coefficients, max_size=20), st.data())
def test_bytes_are_those_of_bson(places: int, numbers: list[int | None], data: st.DataObject) -> None:
    values = [None if number is None else scaled(number, places) for number in numbers]
    column = pa.array(values, pa.decimal128(38, places))
    start = data.draw(st.integers(0, len(values)))
    wanted = [None if value is None else Decimal128(value) for value in values[start:]]
    assert decimal_cells(column[start:]) == wanted
    bids = encode_decimals(column[start:]).tolist()
    assert [bid for bid, value in zip(bids, wanted, strict=True) if value is not None] == [
        value.bid for value in wanted if value is not None
    ]


@given(st.lists(st.none() | st.decimals(-(10**20), 10**20, allow_nan=False, places=5), max_size=20))
def test_texts_are_what_bson_makes_of_them(numbers: list[Decimal | None]) -> None:
    column = pa.array([None if number is None else str(number) for number in numbers], pa.string())
    assert decimal_cells(column) == [None if number is None else Decimal128(number) for number in numbers]


@pytest.mark.parametrize(
    ("places", "number", "text"),
    [
        (2, "0.00", "0.00"),
        (0, "0", "0"),
        (2, "1.50", "1.50"),
        (2, "-1.50", "-1.50"),
        (30, "-0.000000000000000000000000000001", "-1E-30"),
        (0, "9" * 34, "9" * 34),
        (30, "-9999." + "9" * 30, "-9999." + "9" * 30),
        (4, "18446744073709551616.0000", "18446744073709551616.0000"),
        (0, "-18446744073709551616", "-18446744073709551616"),
    ],
)
def test_the_digits_and_the_exponent_stay(places: int, number: str, text: str) -> None:
    (cell,) = decimal_cells(pa.array([Decimal(number)], pa.decimal128(38, places)))
    assert str(cell) == text


@pytest.mark.parametrize("number", [10**34, -(10**34), 10**37, -(10**38) + 1])
def test_more_than_34_digits_are_an_error(number: int) -> None:
    column = pa.array([Decimal(1), Decimal(number)], pa.decimal128(38, 0))
    with pytest.raises(OverflowError, match="34 digits"):
        encode_decimals(column)


def test_what_lies_below_a_null_is_no_number() -> None:
    below = pa.py_buffer((7).to_bytes(16, "little") + (10**37).to_bytes(16, "little"))
    column = pa.Array.from_buffers(pa.decimal128(38, 1), 2, [pa.py_buffer(b"\x01"), below])
    assert decimal_cells(column) == [Decimal128("0.7"), None]


def test_a_text_of_more_than_34_digits_is_an_error() -> None:
    with pytest.raises(Inexact):
        encode_decimals(pa.array(["1" * 35], pa.string()))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Decimal128("1.50"), Decimal128("1.5")),
        (Decimal128("12"), 12),
        (Decimal128("12.00"), Int64(12)),
        (Decimal128("0.5"), 0.5),
        (Decimal128("-0"), 0),
        (Decimal128("1E+3"), 1000),
    ],
)
def test_equal_numbers_are_equal_keys(one: object, other: object) -> None:
    assert comparable(one) == comparable(other)
    assert hash(comparable(one)) == hash(comparable(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [(Decimal128("0.1"), 0.1), (Decimal128("1"), "1"), (Decimal128("sNaN"), 1), (Decimal128("NaN"), Decimal128("NaN"))],
)
def test_different_numbers_are_different_keys(one: Any, other: Any) -> None:  # noqa: ANN401
    assert {comparable(one): 1}.get(comparable(other)) is None
