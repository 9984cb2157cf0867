"""Upsert keys as 64 bits each, so that ten million of them are held in 80 MB.

Two keys have the same digest where the server takes them for the same. Two others do with a probability of 2^-64: then
a record that a file does not hold is taken for one that it holds and stays. With ten million keys in the file this
happens to one of 2 * 10^12 records; which one that is, changes with the run.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from bson.datetime_ms import DatetimeMS

from libs.contracts.record_keys import key_value
from services.writer.domain.decimal128 import comparable

Digests = npt.NDArray[np.uint64]

NO_KEY: Final = 0
"""Stands for a value that is no key: null, or of a type that no file can hold."""
_BYTES: Final = 8
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def digests(values: Sequence[Any], salt: bytes) -> Digests:
    """The digest of each value.

    Args:
        values: as ``batch_plan.upsert_keys`` gives them.
        salt: at most 64 bytes; digests of different salts have nothing to do with one another.
    """
    blank = bytes(_BYTES)
    found = [
        blank if (told := _told(value)) is None else blake2b(told, digest_size=_BYTES, key=salt).digest()
        for value in values
    ]
    return np.frombuffer(b"".join(found), "<u8")


def digests_of_records(values: Iterable[Any], salt: bytes) -> Digests:
    """The digest of each value as a record holds it; dates are naive."""
    return digests([key_value(comparable(value)) for value in values], salt)


def _told(value: object) -> bytes | None:
    """A text that is the same for what is equal to the server."""
    match value:
        case str():
            return b"s" + value.encode("utf-8", "surrogatepass")
        case bool():
            return b"t" if value else b"f"
        case int() | float() | Decimal():
            return b"n" + _number(value)
        case datetime():
            moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
            since = moment - _EPOCH
            return b"d%d" % (since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000)
        case DatetimeMS():
            return b"d%d" % int(value)
        case _:
            return None


def _number(value: float | Decimal) -> bytes:
    if value != value:
        return b"nan"
    try:
        over, under = value.as_integer_ratio()
    except OverflowError:
        return b"inf" if value > 0 else b"-inf"
    # Hexadecimal: Python refuses to write thousands of decimal digits.
    return f"{over:x}/{under:x}".encode()


class HeldKeys:
    """The keys that a file holds.

    Args:
        rows: most keys that are added.
    """

    def __init__(self, rows: int) -> None:
        self._digests = np.empty(rows, np.uint64)
        self._count = 0

    @property
    def count(self) -> int:
        """How many were added."""
        return self._count

    def add(self, some: Digests) -> None:
        """More keys; ``NO_KEY`` is none."""
        self._digests[self._count : self._count + len(some)] = some
        self._count += len(some)

    def settle(self) -> None:
        """All are added."""
        self._digests = self._digests[: self._count]
        self._digests.sort()

    def missing(self, some: Digests) -> npt.NDArray[np.int64]:
        """Indexes of those in ``some`` that the file does not hold, ``NO_KEY`` among them; once it is settled."""
        if not len(self._digests):
            return np.arange(len(some))
        at = np.searchsorted(self._digests, some)
        held = self._digests[np.minimum(at, len(self._digests) - 1)] == some
        return np.flatnonzero(~held | (some == NO_KEY))
