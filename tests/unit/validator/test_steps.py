"""Few rows and fields are checked in one plan, others step by step: what comes out is the same."""

from collections.abc import Iterator

import polars as pl
import pytest

from services.validator.domain.steps import Steps, evaluate


def steps_of(columns: int) -> tuple[Steps, list[pl.Expr]]:
    """For each column three steps that build on each other."""
    steps = Steps()
    outputs: list[pl.Expr] = []
    for at in range(columns):
        trimmed = steps.let(pl.col(f"c{at}").str.strip_chars())
        number = steps.let(trimmed.cast(pl.Int64, strict=False))
        doubled = steps.let(pl.when(number.is_null()).then(-1).otherwise(number * 2))
        outputs += [trimmed.alias(f"text{at}"), doubled.alias(f"doubled{at}")]
    return steps, outputs


def cells(rows: int) -> Iterator[str]:
    return (f" {row} " if row % 3 else "x" for row in range(rows))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (10, 10), (1_000, 50), (5_000, 2), (5_001, 2), (10, 51)])
def test_the_outcome_does_not_depend_on_how_many_rows_and_fields_there_are(rows: int, columns: int) -> None:
    steps, outputs = steps_of(columns)
    frame = pl.DataFrame({f"c{at}": list(cells(rows)) for at in range(columns)})
    found = evaluate(frame, steps.stages, outputs)
    assert found.shape == (rows, 2 * columns)
    for at in range(columns):
        assert found[f"text{at}"].to_list() == [cell.strip() for cell in cells(rows)]
        assert found[f"doubled{at}"].to_list() == [2 * row if row % 3 else -1 for row in range(rows)]
