"""Strangers are counted by address, in bounded memory."""

from services.gateway.access.rates import Kind
from services.gateway.access.strangers import MAX_ADDRESSES, Strangers


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def passes(strangers: Strangers, address: str) -> bool:
    told = strangers.count(address, Kind.READS)
    assert told is not None
    return told.passed


def test_a_window_lasts_a_minute() -> None:
    clock = Clock()
    strangers = Strangers(2, clock)
    assert [passes(strangers, "a") for _ in range(3)] == [True, True, False]
    assert passes(strangers, "b")
    left = strangers.allowance("a", Kind.WRITES)
    assert left is not None
    assert (left.passed, left.remaining, left.retry_after) == (False, 0, 60)
    clock.now = 59.5
    assert not passes(strangers, "a")
    clock.now = 60
    assert [passes(strangers, "a") for _ in range(3)] == [True, True, False]


def test_looking_counts_nothing() -> None:
    strangers = Strangers(1, Clock())
    for _ in range(3):
        left = strangers.allowance("a", Kind.READS)
        assert left is not None
        assert (left.passed, left.remaining) == (True, 1)
    assert passes(strangers, "a")


def test_without_a_limit_nothing_is_told() -> None:
    assert Strangers(0).count("a", Kind.READS) is None


def test_any_number_of_addresses_takes_bounded_memory() -> None:
    strangers = Strangers(1, Clock())
    for number in range(MAX_ADDRESSES + 10):
        assert passes(strangers, str(number))
    assert not passes(strangers, str(MAX_ADDRESSES))
    assert passes(strangers, "0")
