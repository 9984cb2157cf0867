"""Single fields, converted without a template around them."""

from typing import Any, NamedTuple

import polars as pl

from libs.contracts.templates import TemplateField
from services.validator.domain.checks import Check
from services.validator.domain.field_types import conversion
from services.validator.domain.reading import Reading
from services.validator.domain.steps import Steps, evaluate

TYPED_CELLS = Reading(typed_cells=True)


class Converted(NamedTuple):
    """What became of one text.

    Attributes:
        value: from the column that is not null.
        column: its name.
        codes: of the checks that the text breaks.
        messages: of those checks.
        key: as compared by ``unique``.
        comparable: as compared by ``compare``.
    """

    value: Any
    column: str | None
    codes: list[str]
    messages: list[str]
    key: str | None
    comparable: Any


def converted(field: TemplateField, *texts: str | None, reading: Reading | None = None) -> list[Converted]:
    """The conversion of texts in one batch; blanks around a text go, as the transforms do it."""
    steps = Steps()
    text = steps.let(pl.col("text").str.strip_chars())
    text = steps.let(pl.when(text != "").then(text))
    made = conversion(field, text, steps, reading or Reading())
    assert made.comparable is not None
    outputs = {
        **made.columns,
        "key": made.key,
        "comparable": made.comparable,
        **{f"check:{at}": _answer(check) for at, check in enumerate(made.checks)},
    }
    frame = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
    rows = evaluate(frame, steps.stages, [expr.alias(f"out:{name}") for name, expr in outputs.items()]).to_dicts()
    return [_converted(row, list(made.columns), [(check.code, check.message) for check in made.checks]) for row in rows]


def _answer(check: Check) -> pl.Expr:
    return check.broken if check.number is None else check.broken == check.number


def _converted(row: dict[str, Any], columns: list[str], checks: list[tuple[str, str]]) -> Converted:
    filled = [name for name in columns if row[f"out:{name}"] is not None]
    assert len(filled) <= 1
    broken = [check for number, check in enumerate(checks) if row[f"out:check:{number}"]]
    column = filled[0] if filled else None
    return Converted(
        None if column is None else row[f"out:{column}"],
        column,
        [code for code, _ in broken],
        [message for _, message in broken],
        row["out:key"],
        row["out:comparable"],
    )


def result(field: TemplateField, text: str | None, reading: Reading | None = None) -> object:
    """The value of one text, or the list of the codes that it breaks."""
    found = converted(field, text, reading=reading)[0]
    return found.codes or found.value
