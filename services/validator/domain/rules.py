"""The rules of a field as checks; each rule looks at the checked text or at the number."""

from collections.abc import Iterator

import polars as pl

from libs.contracts.templates import Max, MaxLength, Min, MinLength, OneOf, Regex, Required, TemplateField, Unique
from libs.rules.patterns import whole_match
from services.validator.domain.checks import (
    ABOVE_MAXIMUM,
    BELOW_MINIMUM,
    NOT_ALLOWED,
    PATTERN_MISMATCH,
    REQUIRED,
    TOO_LONG,
    TOO_SHORT,
    Check,
)

_SHOWN_VALUES = 10
_WIDEST_WHOLE_BOUND = 2**64


def required_check(text: pl.Expr, message: str | None = None) -> Check:
    """Broken where the field is empty."""
    return Check(REQUIRED, message or "A value is required. Fill in this cell.", text.is_null())


def rule_checks(field: TemplateField, text: pl.Expr, numbers: tuple[pl.Expr, ...]) -> Iterator[Check]:
    """The checks of a field's rules, in the order of the template.

    All but ``required`` let empty values pass: comparisons with null are null. ``unique`` is a
    question about the whole file, which the barrier answers.

    Args:
        field: the field.
        text: checked text, null where empty. Lengths count Unicode code points.
        numbers: the columns that the value of a number field may be in; empty for other types.
    """
    for rule in field.rules:
        match rule:
            case Required():
                yield required_check(text, rule.message)
            case MinLength():
                message = rule.message or f"This is too short. Write at least {rule.value} characters."
                yield Check(TOO_SHORT, message, text.str.len_chars() < rule.value)
            case MaxLength():
                message = rule.message or f"This is too long. Shorten it to at most {rule.value} characters."
                yield Check(TOO_LONG, message, text.str.len_chars() > rule.value)
            case Min():
                message = rule.message or f"This is too small. The number must be {_bound(rule.value)} or more."
                below = [number < _bound(rule.value) for number in numbers]
                yield Check(BELOW_MINIMUM, message, pl.any_horizontal(below))
            case Max():
                message = rule.message or f"This is too large. The number must be {_bound(rule.value)} or less."
                above = [number > _bound(rule.value) for number in numbers]
                yield Check(ABOVE_MAXIMUM, message, pl.any_horizontal(above))
            case Regex():
                message = rule.message or f"This does not have the expected form: {rule.pattern}"
                yield Check(PATTERN_MISMATCH, message, ~text.str.contains(whole_match(rule.pattern)))
            case OneOf():
                yield Check(NOT_ALLOWED, rule.message or _allowed(rule.values), ~text.is_in(rule.values))
            case Unique():
                pass


def _bound(value: float) -> int | float:
    """The bound as an integer where it is one, so that int64 values beyond 2**53 are compared exactly."""
    return int(value) if value.is_integer() and abs(value) <= _WIDEST_WHOLE_BOUND else value


def _allowed(values: tuple[str, ...]) -> str:
    shown = ", ".join(values[:_SHOWN_VALUES])
    more = f" and {len(values) - _SHOWN_VALUES} more" if len(values) > _SHOWN_VALUES else ""
    return f"This value is not allowed. Use one of: {shown}{more}."
