"""Exact numbers as BSON holds them, and as Python compares them.

Decimal128 is IEEE 754-2008 decimal128 with a binary coefficient
(https://bsonspec.org/spec.html, https://github.com/mongodb/specifications/blob/master/source/bson-decimal128/decimal128.md):
128 bits, of which the highest is the sign, the next 14 the biased exponent, and the rest the coefficient.
"""

from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from bson import Decimal128

Column: TypeAlias = "pa.Array[Any]"
Words: TypeAlias = npt.NDArray[np.uint64]

_EXPONENT_BIAS = 6176
_EXPONENT_BIT, _SIGN_BIT = np.uint64(49), np.uint64(63)
"""Of the higher 64 bits."""
_LARGEST = 10**34 - 1
_LARGEST_HIGH, _LARGEST_LOW = np.uint64(_LARGEST >> 64), np.uint64(_LARGEST & 2**64 - 1)


def encode_decimals(column: Column) -> npt.NDArray[np.void]:
    """The 16 bytes of every value as BSON writes them; meaningless where the value is null.

    Args:
        column: ``decimal128(38, N)``, or the decimal texts of numbers.

    Raises:
        OverflowError: a number of ``column`` has more than 34 digits.
        decimal.DecimalException: a text is no number, or has more than 34 significant digits.
    """
    words = _from_fixed_point(column) if pa.types.is_decimal(column.type) else _from_text(column)
    return words.view("V16")[:, 0]


def decimal_cells(column: Column) -> list[Decimal128 | None]:
    """The values of such a column as objects."""
    bids: list[bytes] = encode_decimals(column).tolist()
    valid = column.is_valid().to_pylist()
    return [Decimal128.from_bid(bid) if there else None for bid, there in zip(bids, valid, strict=True)]


def comparable(value: Any) -> Any:  # noqa: ANN401
    """``value`` so that Python compares and hashes it as the server does: a ``Decimal`` for a ``Decimal128``.

    To both, numbers are equal that have the same exact value, whatever their types and their trailing zeros.
    """
    if not isinstance(value, Decimal128):
        return value
    number = value.to_decimal()
    # Python refuses to compare a signalling NaN.
    return Decimal("NaN") if number.is_nan() else number


def _from_fixed_point(column: Column) -> Words:
    """Arrow holds 128 bits of two's complement, the lower 64 first, with the number of decimals in the type."""
    memory = memoryview(column.buffers()[1] or b"")
    numbers: Words = np.frombuffer(memory, "<u8").reshape(-1, 2)[column.offset : column.offset + len(column)]
    negative = numbers[:, 1] >> _SIGN_BIT
    complement = np.uint64(0) - negative
    words = np.empty((len(column), 2), "<u8")
    low = (numbers[:, 0] ^ complement) + negative
    high = (numbers[:, 1] ^ complement) + (negative & (low == 0))
    if (high >= _LARGEST_HIGH).any():
        beyond = (high > _LARGEST_HIGH) | ((high == _LARGEST_HIGH) & (low > _LARGEST_LOW))
        if (beyond & column.is_valid().to_numpy(zero_copy_only=False)).any():
            raise OverflowError("a number has more than the 34 digits that BSON can hold")
    words[:, 0] = low
    words[:, 1] = high | np.uint64(_EXPONENT_BIAS - column.type.scale) << _EXPONENT_BIT | negative << _SIGN_BIT
    return words


def _from_text(column: Column) -> Words:
    nothing = bytes(16)
    texts: list[str | None] = column.to_pylist()
    bids = {text: Decimal128(text).bid for text in set(texts) if text is not None}
    joined = b"".join(nothing if text is None else bids[text] for text in texts)
    return np.frombuffer(joined, "<u8").reshape(-1, 2)
