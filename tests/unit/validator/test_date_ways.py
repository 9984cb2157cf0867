"""Dates of one column in many ways: what was met before decides which ways are tried first, and nothing else."""

from datetime import date
from itertools import product

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.templates import DateOrder
from services.validator.domain.date_parts import TwoDigitYears
from services.validator.domain.date_ways import Ways
from services.validator.domain.free_dates import Spelling, free_dates

_DAYS = (
    "2024-03-31", "2024/3/31", "2024.03.31", "20240331", "31.03.2024", "31/3/2024", "31-03-2024", "03/31/2024",
    "04/03/2024", "31.03.24", "24-03-31", "31 March 2024", "31-MAR-24", "March 31st, 2024", "31. März 2024",
    "31 de marzo de 2024", "2024年3月31日", "令和6年3月31日", "31MAR2024", "2024-Mar-31",
    "\uff12\uff10\uff12\uff14-03-31", "2024. 3. 31.", "1952-01-02-10:03", "1952-01-02Z",
)  # fmt: skip
_TIMES = (
    "", "T14:05", " 14:05:00", "T14:05:00Z", " 16:05:00+02", "-14.05.00.000000", "T24:00", " 2:05 PM", ":14:05:00",
    " 02.05.00.000 PM +02:00", "T140500", " 14:05:00,5 UTC", ", 14:05 Uhr", "-14:05:00",
)  # fmt: skip
_OTHERS = (
    "45382", "/Date(1711893900000)/", "Sun, 31 Mar 2024 10:05:00 EDT", "Sun Mar 31 14:05:00 UTC 2024",
    "Mar 31 2024  2:05PM", "x", "7", "31/04/2024", "2024", "1711893900",
)  # fmt: skip
_TEXTS = [*map("".join, product(_DAYS, _TIMES)), *_OTHERS]


def ways(order: DateOrder) -> Ways:
    return free_dates(Spelling(order, TwoDigitYears("last", today=date(2026, 6, 15))))


def read(by: Ways, *texts: str) -> list[int | None]:
    found: list[int | None] = by(pl.Series(texts, dtype=pl.String)).to_list()
    return found


@pytest.mark.parametrize("order", DateOrder)
def test_one_text_means_one_thing_whatever_was_read_before(order: DateOrder) -> None:
    alone = read(ways(order), *_TEXTS)
    assert any(alone)
    used = ways(order)
    assert [read(used, text)[0] for text in _TEXTS] == alone
    assert read(used, *reversed(_TEXTS)) == alone[::-1]


@given(st.lists(st.lists(st.sampled_from(_TEXTS), max_size=4), max_size=6))
def test_batches_do_not_change_each_other(batches: list[list[str]]) -> None:
    used = ways(DateOrder.DMY)
    assert [read(used, *texts) for texts in batches] == [read(ways(DateOrder.DMY), *texts) for texts in batches]


def test_a_way_that_is_to_be_tried_first_is_so_although_another_was_met() -> None:
    used = ways(DateOrder.DMY)
    assert read(used, "2024-03-31-14.05.00.000000") == read(ways(DateOrder.DMY), "2024-03-31 14:05:00")
    assert read(used, "2024-03-31-14:05") == read(ways(DateOrder.DMY), "2024-03-31")
