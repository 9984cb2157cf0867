"""The rules of a field as checks; each rule looks at the checked text, at the number, or at another field."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

import polars as pl

from libs.contracts.reasons import RowErrorCode
from libs.contracts.templates import (
    TEXTUAL_TYPES,
    Compare,
    FieldType,
    Max,
    MaxLength,
    Min,
    MinLength,
    OneOf,
    Regex,
    Required,
    RequiredIf,
    TemplateField,
    Trim,
    Unique,
)
from services.validator.domain import spelling
from services.validator.domain.checks import Check
from services.validator.domain.conversions import Conversion
from services.validator.domain.pattern_matching import PatternMatch

_SHOWN_VALUES = 10
_SHOWN_PATTERN_CHARS = 80
_WIDEST_WHOLE_BOUND = 2**64
_DECIMAL_DIGITS = 38
_CONTEXT = Context(prec=_DECIMAL_DIGITS)
_RELATIONS = {
    "eq": "equal to",
    "ne": "different from",
    "lt": "less than",
    "le": "at most",
    "gt": "greater than",
    "ge": "at least",
}
_DATE_RELATIONS = _RELATIONS | {"lt": "before", "le": "on or before", "gt": "after", "ge": "on or after"}


@dataclass(frozen=True, slots=True)
class Subject:
    """A field of a file as its rules see it.

    Attributes:
        field: the field.
        column: header of its source column.
        text: checked text, null where empty.
        converted: its value.
        beyond: whether there may be more than ASCII in the text.
    """

    field: TemplateField
    column: str
    text: pl.Expr
    converted: Conversion
    beyond: bool

    @property
    def composed(self) -> pl.Expr:
        """The text as NFC, which lengths are counted in and words are found by."""
        return spelling.composed(self.text, beyond=self.beyond)

    @property
    def is_empty(self) -> pl.Expr:
        """Whether there is nothing to read in the field. A text of blanks stays what it is, and is none."""
        empty = self.text.is_null()
        blanks = self.field.type is FieldType.TEXT and not any(isinstance(each, Trim) for each in self.field.transforms)
        return empty | spelling.is_blank(self.text).fill_null(value=False) if blanks else empty


def nfc(words: Iterable[str]) -> list[str]:
    """Words as ``Subject.composed`` has them."""
    return [unicodedata.normalize("NFC", word) for word in words]


def required_check(subject: Subject, message: str | None = None) -> Check:
    """Broken where the field is empty."""
    return Check(RowErrorCode.REQUIRED, message or "A value is required. Fill in this cell.", subject.is_empty)


def rule_checks(subject: Subject, subjects: Mapping[str, Subject]) -> Iterator[Check]:
    """The checks of a field's rules, in the order of the template.

    All but ``required`` and ``required_if`` let empty values pass: comparisons with null are null.
    ``unique`` is about the whole file, see ``duplicates``.

    Args:
        subject: the field. Lengths count Unicode code points, of composed text.
        subjects: all fields by name.
    """
    text = subject.composed
    for rule in subject.field.rules:
        match rule:
            case Required():
                yield required_check(subject, rule.message)
            case RequiredIf():
                yield _required_if(rule, subject, subjects[rule.field])
            case MinLength() | MaxLength():
                yield _length_check(rule, text)
            case Min() | Max():
                yield _bound_check(rule, subject)
            case Regex():
                message = rule.message or _form_message(rule.pattern)
                matches = PatternMatch.of(rule.pattern).expression(text, beyond=subject.beyond)
                yield Check(RowErrorCode.PATTERN_MISMATCH, message, ~matches)
            case OneOf():
                message = rule.message or f"This value is not allowed. Use one of: {_listed(rule.values)}."
                yield Check(RowErrorCode.NOT_ALLOWED, message, ~text.is_in(nfc(rule.values)))
            case Compare():
                yield _comparison(rule, subject, subjects[rule.field])
            case Unique():
                pass


def _form_message(pattern: str) -> str:
    """A pattern is no explanation for most people, but for the one they can ask."""
    shown = pattern if len(pattern) <= _SHOWN_PATTERN_CHARS else f"{pattern[:_SHOWN_PATTERN_CHARS]}…"
    return (
        "This does not have the form that the template asks for. Compare it with rows that are accepted, or ask "
        f"whoever made the template, and mention its pattern {shown}"
    )


def _required_if(rule: RequiredIf, subject: Subject, other: Subject) -> Check:
    if rule.values is None:
        wanted, condition = ~other.is_empty, f"{other.column!r} has a value"
    else:
        wanted, condition = (
            other.composed.is_in(nfc(rule.values)),
            f"{other.column!r} is {_listed(rule.values, ' or ')}",
        )
    message = rule.message or f"A value is required here where {condition}. Fill in this cell."
    return Check(RowErrorCode.REQUIRED, message, subject.is_empty & wanted)


def _length_check(rule: MinLength | MaxLength, text: pl.Expr) -> Check:
    if isinstance(rule, MinLength):
        message = rule.message or f"This is too short. Write at least {rule.value} characters."
        return Check(RowErrorCode.TOO_SHORT, message, text.str.len_chars() < rule.value)
    message = rule.message or f"This is too long. Shorten it to at most {rule.value} characters."
    return Check(RowErrorCode.TOO_LONG, message, text.str.len_chars() > rule.value)


def _bound_check(rule: Min | Max, subject: Subject) -> Check:
    limit = int(rule.value) if rule.value.is_integer() and abs(rule.value) <= _WIDEST_WHOLE_BOUND else rule.value
    literal = _literal(rule, subject.field)
    if isinstance(rule, Min):
        message = rule.message or f"This is too small. The number must be {limit} or more."
        broken = [number < literal for number in subject.converted.numbers]
        return Check(RowErrorCode.BELOW_MINIMUM, message, pl.any_horizontal(broken))
    message = rule.message or f"This is too large. The number must be {limit} or less."
    broken = [number > literal for number in subject.converted.numbers]
    return Check(RowErrorCode.ABOVE_MAXIMUM, message, pl.any_horizontal(broken))


def _literal(rule: Min | Max, field: TemplateField) -> pl.Expr:
    """The bound in the type of the numbers, so that both are compared exactly.

    A bound with more decimals than the field has is moved to the next number that the field can have.
    """
    if field.decimals is not None:
        rounding = ROUND_CEILING if isinstance(rule, Min) else ROUND_FLOOR
        widest = Decimal((0, (9,) * _DECIMAL_DIGITS, -field.decimals))
        bound = min(max(Decimal(repr(rule.value)), widest.copy_negate()), widest)
        exact = bound.quantize(Decimal((0, (1,), -field.decimals)), rounding, _CONTEXT)
        return pl.lit(exact, pl.Decimal(_DECIMAL_DIGITS, field.decimals))
    # As an integer where it is one: int64 values beyond 2**53 are no doubles.
    whole = rule.value.is_integer() and abs(rule.value) <= _WIDEST_WHOLE_BOUND
    return pl.lit(int(rule.value) if whole else rule.value)


def _comparison(rule: Compare, subject: Subject, other: Subject) -> Check:
    one, two = subject.converted.comparable, other.converted.comparable
    if subject.field.type in TEXTUAL_TYPES:
        one, two = (spelling.composed(each.converted.comparable, beyond=each.beyond) for each in (subject, other))
    match rule.operator:
        case "eq":
            holds = one == two
        case "ne":
            holds = one != two
        case "lt":
            holds = one < two
        case "le":
            holds = one <= two
        case "gt":
            holds = one > two
        case "ge":
            holds = one >= two
    relations = _DATE_RELATIONS if subject.field.type is FieldType.DATE else _RELATIONS
    message = rule.message or (
        f"This must be {relations[rule.operator]} the value of {other.column!r}. Correct one of the two cells."
    )
    return Check(RowErrorCode.COMPARISON_FAILED, message, ~holds)


def _listed(values: tuple[str, ...], separator: str = ", ") -> str:
    shown = separator.join(values[:_SHOWN_VALUES])
    return f"{shown} and {len(values) - _SHOWN_VALUES} more" if len(values) > _SHOWN_VALUES else shown
