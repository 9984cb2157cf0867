"""Which order dates have and what stands before decimals, decided per column for the whole file.

``03/04/2025`` and ``1.234`` say nothing alone; ``25/04/2025`` and ``1.234,50`` speak for their whole
column. Where a column holds only what can be read both ways, the search asks for more of the file, to
its end if need be; what is still open then is the template's default, and the run says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import polars as pl
import pyarrow as pa

from libs.batches.columns import cell_column
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import (
    DateOrder,
    DecimalStyle,
    FieldType,
    NormalizeDate,
    RemoveSpecialChars,
    Replace,
    Template,
    TemplateField,
)

_REWRITING = (Replace, RemoveSpecialChars)
"""Transforms after which the type sees another text than the file holds."""

_DAY_OR_MONTH = r"^\s*(?:0?[1-9]|1[0-2])"
_DAY_ONLY = r"^\s*(?:1[3-9]|2[0-9]|3[01])"
_SECOND_MONTH, _SECOND_DAY_ONLY = r"[./-](?:0?[1-9]|1[0-2])", r"[./-](?:1[3-9]|2[0-9]|3[01])"
_YEAR = r"[./-][0-9]{4}\b"
_SIGN = r"^\s*[+\-\u2212]?\s*"
_BLANK = r"[ \u00a0\u202f'\u2019]"


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Patterns that speak for a style, and the one of texts that several styles can read."""

    styles: Mapping[StrEnum, str]
    ambiguous: str


_DATES = _Evidence(
    {
        DateOrder.DMY: f"{_DAY_ONLY}{_SECOND_MONTH}{_YEAR}",
        DateOrder.MDY: f"{_DAY_OR_MONTH}{_SECOND_DAY_ONLY}{_YEAR}",
    },
    f"{_DAY_OR_MONTH}{_SECOND_MONTH}{_YEAR}",
)


def _number_pattern(decimal: str, thousands: str) -> str:
    """Numbers that only this style reads."""
    groups = rf"[1-9][0-9]{{0,2}}(?:{thousands}[0-9]{{3}})"
    blanks = rf"[0-9]{{1,3}}(?:{_BLANK}[0-9]{{3}})+{decimal}[0-9]+"
    # A group has three digits and the first does not start with 0: anything else after the sign is decimals.
    plain = rf"(?:0+|[0-9]{{4,}}){decimal}[0-9]+|[0-9]*{decimal}(?:[0-9]{{1,2}}|[0-9]{{4,}})"
    return rf"{_SIGN}(?:{groups}+{decimal}[0-9]+|{groups}{{2,}}|{blanks}|{plain})(?:[eE][+-]?[0-9]+)?\s*$"


_NUMBERS = _Evidence(
    {
        DecimalStyle.POINT: _number_pattern(r"\.", ","),
        DecimalStyle.COMMA: _number_pattern(",", r"\."),
    },
    rf"{_SIGN}[1-9][0-9]{{0,2}}[.,][0-9]{{3}}\s*$",
)
_PLAIN_NUMBER = r"^[+-]?[0-9]+\.[0-9]+$"

S = TypeVar("S", DateOrder, DecimalStyle)


@dataclass(slots=True)
class _Question(Generic[S]):
    """The style of one field's column.

    Attributes:
        column: name of the column in parsed batches.
        votes: texts that speak for each style.
        ambiguous: whether texts have been seen that several styles can read.
    """

    field: str
    column: str
    evidence: _Evidence
    default: S
    typed: bool
    votes: dict[S, int]
    ambiguous: bool = False

    def look(self, texts: pl.Series) -> None:
        if self.typed:
            texts = texts.filter(~texts.str.contains(_PLAIN_NUMBER))
        for style in self.votes:
            self.votes[style] += int(texts.str.contains(self.evidence.styles[style]).sum())
        self.ambiguous = self.ambiguous or bool(texts.str.contains(self.evidence.ambiguous).any())

    @property
    def open(self) -> bool:
        return self.ambiguous and not any(self.votes.values())

    @property
    def style(self) -> S:
        most = max(self.votes.values())
        best = [style for style, votes in self.votes.items() if votes == most]
        return best[0] if most and len(best) == 1 else self.default

    def note(self, words: Mapping[StrEnum, str]) -> str | None:
        said = words[self.style]
        if any(self.votes.values()):
            mixed = sum(votes > 0 for votes in self.votes.values()) > 1
            return f"field {self.field!r}: {said}, {'as most values of its column' if mixed else 'by its values'}"
        if self.ambiguous:
            return f"field {self.field!r}: {said}, the template's default, because its values can be read in two ways"
        return None


_DATE_WORDS: Mapping[StrEnum, str] = {
    DateOrder.DMY: "dates are read day before month",
    DateOrder.MDY: "dates are read month before day",
    DateOrder.YMD: "dates are read year first",
}
_NUMBER_WORDS: Mapping[StrEnum, str] = {
    DecimalStyle.POINT: "numbers are read with a decimal point (1,234.5)",
    DecimalStyle.COMMA: "numbers are read with a decimal comma (1.234,5)",
}


class StyleSearch:
    """Looks at a file's first rows, and at more of them while that can decide something.

    Left alone are fields for which the template decides (``date_format``, ``date_order``,
    ``decimal_style``), and those whose transforms rewrite the text before its type is looked at.
    """

    def __init__(self, template: Template, plan: ParsePlan) -> None:
        self._plan = plan
        typed = plan.typed_numbers
        number_default = DecimalStyle.POINT if typed else template.default_decimal_style
        self._dates: list[_Question[DateOrder]] = []
        self._numbers: list[_Question[DecimalStyle]] = []
        for field in template.fields:
            index = plan.mapping.get(field.name)
            if index is None or not field.reads_column or _rewritten(field):
                continue
            column = cell_column(index)
            if _asks_for_date_order(field):
                votes = {DateOrder.DMY: 0, DateOrder.MDY: 0}
                default = template.default_date_order
                self._dates.append(_Question(field.name, column, _DATES, default, typed=False, votes=votes))
            if field.type is FieldType.NUMBER and field.decimal_style is None:
                styles = {DecimalStyle.POINT: 0, DecimalStyle.COMMA: 0}
                question = _Question(field.name, column, _NUMBERS, number_default, typed=typed, votes=styles)
                self._numbers.append(question)

    @property
    def needed(self) -> bool:
        """Whether there is anything to find out."""
        return bool(self._dates or self._numbers)

    @property
    def open(self) -> bool:
        """Whether more of the file may decide what the rows so far do not."""
        return any(question.open for question in (*self._dates, *self._numbers))

    def look(self, table: pa.Table) -> None:
        """Take the rows of a parsed batch into account."""
        questions = (*self._dates, *self._numbers)
        columns = list(dict.fromkeys(question.column for question in questions))
        frame = pl.DataFrame(table.select(columns))
        for question in questions:
            question.look(frame[question.column].drop_nulls())

    def plan(self) -> ParsePlan:
        """The plan with every style decided."""
        notes = [question.note(_DATE_WORDS) for question in self._dates]
        notes += [question.note(_NUMBER_WORDS) for question in self._numbers]
        return self._plan.model_copy(
            update={
                "date_orders": {question.field: question.style for question in self._dates},
                "decimal_styles": {question.field: question.style for question in self._numbers},
                "notes": (*self._plan.notes, *(note for note in notes if note is not None)),
            }
        )


def _rewritten(field: TemplateField) -> bool:
    return any(isinstance(transform, _REWRITING) for transform in field.transforms)


def _asks_for_date_order(field: TemplateField) -> bool:
    if field.date_order is not None:
        return False
    normalised = any(isinstance(transform, NormalizeDate) for transform in field.transforms)
    return normalised or (field.type is FieldType.DATE and field.date_format is None)
