"""What the soak concludes from its samples."""

import pytest

from bench.samples import BARS, CURVE_COLUMNS, Growth, curve
from bench.traffic import percentile


def test_growth_is_that_of_the_line_and_not_of_the_last_value() -> None:
    leaking = [(10.0 * at, 100 + at) for at in range(61)]
    assert Growth.of(leaking).gained == pytest.approx(60)
    wobbling = [(10.0 * at, 100 + (-1) ** at) for at in range(60)]
    assert Growth.of([*wobbling, (600.0, 160)]).gained < 10, "a peak at the end is no growth"


@pytest.mark.parametrize("series", [[], [(0.0, 5.0)], [(0.0, 5.0), (0.0, 7.0)]])
def test_too_few_samples_show_no_growth(series: list[tuple[float, float]]) -> None:
    assert Growth.of(series).gained == 0


def test_a_curve_has_a_bar_a_value_and_no_more_than_fit() -> None:
    assert curve([0, 7, 14]) == f"{BARS[0]}{BARS[4]}{BARS[7]}"
    assert len(curve([1.0] * 1_000)) == CURVE_COLUMNS
    assert curve([0, 0]) == BARS[0] * 2
    assert curve([]) == ""


@pytest.mark.parametrize(("share", "expected"), [(0.5, 10), (0.95, 19), (1.0, 20)])
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    assert percentile(range(1, 21), share) == expected
