"""Which rows at the end of a table are plainly no data."""

import pytest

from services.parser.formats.api.footers import judged

Row = list[str | None]
HEADER: Row = ["id", "amount"]


@pytest.mark.parametrize(
    ("amounts", "total"),
    [
        (["5", "6"], "11"),
        (["5", None, " 6 "], "11.00"),
        (["1.005,5", "6", "2"], "1.013,50"),
        (["1,000", "2.50"], "1 002.5"),
        (["-5", "2"], "-3"),
        (["5", "n/a", "6"], "11"),
    ],
)
def test_a_total_that_is_the_sum_of_its_column_is_no_data(amounts: list[str | None], total: str) -> None:
    rows = [HEADER, *([str(number), amount] for number, amount in enumerate(amounts)), ["Total", total]]
    footer, notes = judged(rows, [False] * len(rows), 2)
    assert footer == 1
    assert notes == ["end: the last 1 row is no data and left out, detected"]


@pytest.mark.parametrize(
    ("amounts", "total"),
    [(["5", "6"], "12"), (["0", "0"], "0"), (["a", "b"], "c"), (["5", "6"], "11 EUR"), (["5"], "5")],
)
def test_one_that_is_not_stays_and_is_told(amounts: list[str], total: str) -> None:
    rows: list[Row] = [HEADER, *([str(number), amount] for number, amount in enumerate(amounts)), ["Summe", total]]
    footer, notes = judged(rows, [False] * len(rows), 2)
    assert footer == 0
    assert notes == ["1 row that looks like a total ('Summe') is read like all others"]


def test_a_sum_without_a_word_for_it_is_a_row() -> None:
    rows: list[Row] = [HEADER, ["a", "5"], ["b", "6"], ["c", "11"]]
    assert judged(rows, [False] * len(rows), 2) == (0, [])
