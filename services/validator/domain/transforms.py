"""From the cell as it stands in the file to the text that type and rules are applied to."""

import dataclasses
from collections.abc import Mapping
from typing import Final, NamedTuple

import polars as pl

from libs.contracts.reasons import RowErrorCode
from libs.contracts.templates import (
    TEXTUAL_TYPES,
    Capitalize,
    Concat,
    Constant,
    Default,
    FieldType,
    Lower,
    NormalizeDate,
    NormalizePhone,
    RemoveSpecialChars,
    Replace,
    TemplateField,
    Transform,
    Trim,
    Upper,
)
from libs.values.rewriting import changed
from services.validator.domain import dates, phones, spelling
from services.validator.domain.care import FULL_CARE, Care
from services.validator.domain.checks import Check
from services.validator.domain.reading import Reading
from services.validator.domain.steps import Steps

MAX_TEXT_BYTES: Final = 1024 * 1024
"""What a replacement may make of one cell, as UTF-8."""

_TOO_LARGE = (
    f"A replacement that the template makes turns this into a text longer than {MAX_TEXT_BYTES // 1024**2} MiB. "
    "Shorten the cell, or have the transform 'replace' of the template changed."
)
_NO_TEXT = pl.lit(None, dtype=pl.String)


class CheckedText(NamedTuple):
    """The text of a field after its transforms.

    Attributes:
        text: a column without ``""``, null where the field is empty.
        checks: what a transform itself can refuse.
        beyond: whether there may be more than ASCII in the text.
    """

    text: pl.Expr
    checks: tuple[Check, ...] = ()
    beyond: bool = True


def source_cell(field: TemplateField, cell: pl.Expr, columns: Mapping[str, pl.Expr]) -> pl.Expr:
    """The cell that the transforms begin with: that of the field's own column, unless a ``concat`` names others.

    Args:
        field: the field with its transforms.
        cell: the field's own cell; null or ``""`` where the file has nothing.
        columns: the cells of all columns that a ``concat`` names and the file has.
    """
    for transform in reversed(field.transforms):
        match transform:
            case Concat():
                return _joined([columns[name] for name in transform.columns if name in columns], beyond=True)
            case Constant():
                return _NO_TEXT
            case _:
                pass
    return cell


def checked_text(
    field: TemplateField,
    cell: pl.Expr,
    columns: Mapping[str, pl.Expr],
    reading: Reading,
    steps: Steps,
    *,
    is_key: bool = False,
    care: Care = FULL_CARE,
) -> CheckedText:
    """The text of a field, null where it is empty.

    A missing cell and an empty cell are the same: empty. So is one that holds a word for "no value". The transforms
    are applied in the order of the template. Afterwards, for every type but ``text``, the text is cleaned
    (``spelling``), as HTML drops the blanks of ``type=email`` and ``type=number`` before it looks at them; so a cell of
    blanks is empty there, while in a ``text`` field blanks are content unless a ``trim`` says otherwise, or records are
    found by the field.

    Args:
        field: the field with its transforms.
        cell: the field's own cell, a string expression; null or ``""`` where the file has nothing.
        columns: the cells of all columns that a ``concat`` names and the file has.
        reading: what the file's dates and phone numbers mean, and which words stand for no value.
        steps: takes the intermediate results.
        is_key: whether rows or records are compared by the field: then its text is as it is compared.
        care: what of it may be needed.
    """
    beyond = _goes_beyond(field, cell, columns, care)
    named = reading.named_null_words(field)
    if named is not None:
        cell = spelling.without_words(cell, named, beyond=beyond)
        columns = {name: spelling.without_words(each, named, beyond=beyond) for name, each in columns.items()}
    usual = frozenset[str]() if named is not None else reading.usual_null_words(field)
    changes = _Changes(field, columns, reading, steps, usual, beyond)
    text = cell
    for transform in field.transforms:
        text = changes.of(transform, text)
    typed = field.type is not FieldType.TEXT
    if (typed or is_key) and not _trims_last(field):
        text = spelling.cleaned(text, beyond=beyond)
    if usual and care.closely(field.name):
        text = spelling.without_words(steps.let(text), usual, beyond=False)
    if is_key and field.type in TEXTUAL_TYPES:
        text = spelling.as_compared(text)
    if reading.empty_zero_dates and field.type is FieldType.DATE:
        text = dates.without_zero_dates(steps.let(text))
    text = steps.let(text)
    return CheckedText(steps.let(pl.when(text != "").then(text)), tuple(changes.checks), beyond)


@dataclasses.dataclass(slots=True)
class _Changes:
    """The transforms of one field.

    Attributes:
        columns: the cells that a ``concat`` joins.
        null_words: what a ``default`` replaces besides nothing.
        beyond: whether there may be more than ASCII in the text.
        checks: what they can refuse, as far as they were made.
    """

    field: TemplateField
    columns: Mapping[str, pl.Expr]
    reading: Reading
    steps: Steps
    null_words: frozenset[str]
    beyond: bool
    checks: list[Check] = dataclasses.field(default_factory=list[Check])

    def of(self, transform: Transform, text: pl.Expr) -> pl.Expr:
        """The text after a transform."""
        match transform:
            case Trim():
                return spelling.cleaned(text, beyond=self.beyond)
            case Concat():
                return _joined(
                    [self.columns[name] for name in transform.columns if name in self.columns], beyond=self.beyond
                )
            case Constant():
                return pl.lit(transform.value)
            case Default():
                return self._defaulted(transform, text)
            case Replace():
                return self._replaced(transform, text)
            case NormalizePhone():
                return self._normalised_phone(self.steps.let(text), self.reading.region(transform.region))
            case NormalizeDate():
                return self._normalised_date(transform, self.steps.let(text))
            case Upper() | Lower() | Capitalize() | RemoveSpecialChars():
                return changed(text, transform)

    def _defaulted(self, transform: Default, text: pl.Expr) -> pl.Expr:
        if self.field.type is not FieldType.TEXT:
            text = spelling.cleaned(text, beyond=self.beyond)
        text = self.steps.let(spelling.without_words(self.steps.let(text), self.null_words, beyond=False))
        return pl.when(text != "").then(text).fill_null(transform.value)

    def _replaced(self, transform: Replace, text: pl.Expr) -> pl.Expr:
        if _growth(transform) > 1:
            text, too_large = _grown(transform, self.steps.let(text), self.steps)
            self.checks.append(Check(RowErrorCode.TEXT_TOO_LARGE, _TOO_LARGE, too_large))
            return text
        return changed(text, transform)

    def _normalised_phone(self, text: pl.Expr, region: str) -> pl.Expr:
        trimmed = self.steps.let(spelling.cleaned(text, beyond=self.beyond))
        number = self.steps.let(phones.normalised(trimmed, region))
        return pl.when(number != trimmed).then(number).otherwise(text)

    def _normalised_date(self, transform: NormalizeDate, text: pl.Expr) -> pl.Expr:
        instant = dates.instant(
            spelling.cleaned(text, beyond=self.beyond),
            None,
            self.reading.date_order(self.field),
            self.steps.let,
            years=self.reading.two_digit_years(self.field),
            typed_cells=self.reading.typed_cells,
            date_1904=self.reading.date_1904,
            counted_days=self.field.name not in self.reading.uncounted_days,
        )
        return pl.coalesce(dates.formatted(instant, transform.format), text)


def _trims_last(field: TemplateField) -> bool:
    return bool(field.transforms) and isinstance(field.transforms[-1], Trim)


def _goes_beyond(field: TemplateField, cell: pl.Expr, columns: Mapping[str, pl.Expr], care: Care) -> bool:
    read = [cell]
    for transform in field.transforms:
        if isinstance(transform, Concat):
            read += [columns[name] for name in transform.columns if name in columns]
        if not transform.model_dump_json(exclude={"find", "columns", "region"}).isascii():
            return True
    return any(care.beyond_ascii(name) for each in read for name in each.meta.root_names())


def _joined(cells: list[pl.Expr], *, beyond: bool) -> pl.Expr:
    """The cells that are not empty, without the blanks around them, joined by spaces; ``""`` where all are."""
    if not cells:
        return _NO_TEXT
    trimmed = [spelling.cleaned(cell, beyond=beyond) for cell in cells]
    return pl.concat_str([pl.when(cell != "").then(cell) for cell in trimmed], separator=" ", ignore_nulls=True)


def _grown(transform: Replace, text: pl.Expr, steps: Steps) -> tuple[pl.Expr, pl.Expr]:
    """The text with a replacement that is longer than what it replaces, and where that would be too large.

    The size is computed before anything is replaced; text that would become too large stays as it is.
    """
    more = len(transform.replace.encode()) - len(transform.find.encode())
    size = text.str.len_bytes() + text.str.count_matches(transform.find, literal=True) * more
    too_large = steps.let((size > MAX_TEXT_BYTES) & text.str.contains(transform.find, literal=True))
    small = pl.when(~too_large).then(text)
    return pl.when(too_large).then(text).otherwise(changed(small, transform)), too_large


def _growth(transform: Replace) -> int:
    """How many times as many bytes a text can have after a replacement, rounded up."""
    return -(-len(transform.replace.encode()) // len(transform.find.encode()))


def text_bound(field: TemplateField, cell_bytes: int, rows: int) -> int:
    """About how many bytes the texts of a field can have at most.

    Args:
        field: the field.
        cell_bytes: UTF-8 bytes of all cells that the field is made of.
        rows: how many rows these are.
    """
    bound = cell_bytes
    for transform in field.transforms:
        match transform:
            case Constant():
                bound = rows * len(transform.value.encode())
            case Default():
                bound += rows * len(transform.value.encode())
            case Replace() if (growth := _growth(transform)) > 1:
                bound = min(bound * growth, max(bound, rows * MAX_TEXT_BYTES))
            case _:
                pass
    return bound


def dates_read_as(field: TemplateField) -> TemplateField:
    """The field as its dates stand after the transforms.

    Where they end in a ``normalize_date``, the text has its format, and is read by that: ``03.04.2025`` made by
    ``DD.MM.YYYY`` is the third of April whatever the order of the file was. A ``date_format`` of the field's own
    wins. After the transform only ``trim`` and ``default`` leave what it made alone.
    """
    if field.type is not FieldType.DATE or field.date_format is not None:
        return field
    changes = [transform for transform in field.transforms if not isinstance(transform, Trim | Default)]
    if not changes or not isinstance(changes[-1], NormalizeDate):
        return field
    return field.model_copy(update={"date_format": changes[-1].format, "date_order": None})
