"""From the cell as it stands in the file to the text that type and rules are applied to."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import polars as pl

from libs.contracts.reasons import RowErrorCode
from libs.contracts.templates import (
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
from services.validator.domain import dates, phones
from services.validator.domain.checks import Check
from services.validator.domain.reading import Reading
from services.validator.domain.steps import Steps

MAX_TEXT_BYTES: Final = 1024 * 1024
"""What a replacement may make of one cell, as UTF-8."""

_SPECIAL_CHARS = r"[^\p{L}\p{M}\p{Nd}\s]"
"""Neither a letter (with the marks that belong to it) nor a decimal digit nor white space, in any script."""
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
    """

    text: pl.Expr
    checks: tuple[Check, ...] = ()


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
                return _joined([columns[name] for name in transform.columns if name in columns])
            case Constant():
                return _NO_TEXT
            case _:
                pass
    return cell


def checked_text(
    field: TemplateField, cell: pl.Expr, columns: Mapping[str, pl.Expr], reading: Reading, steps: Steps
) -> CheckedText:
    """The text of a field, null where it is empty.

    A missing cell and an empty cell are the same: empty. The transforms are applied in the
    order of the template. Afterwards, for every type but ``text``, blanks around the text are
    dropped, as HTML does with the input of ``type=email`` and ``type=number`` before it looks at
    it; so a cell of blanks is empty there, while in a ``text`` field blanks are content unless a
    ``trim`` says otherwise.

    Args:
        field: the field with its transforms.
        cell: the field's own cell, a string expression; null or ``""`` where the file has nothing.
        columns: the cells of all columns that a ``concat`` names and the file has.
        reading: what the file's dates and phone numbers mean.
        steps: takes the intermediate results.
    """
    text = cell
    checks: list[Check] = []
    for transform in field.transforms:
        match transform:
            case Concat():
                text = _joined([columns[name] for name in transform.columns if name in columns])
            case Constant():
                text = pl.lit(transform.value)
            case Default():
                text = _without_empty(text, field.type, steps).fill_null(transform.value)
            case Replace() if _growth(transform) > 1:
                text, too_large = _grown(transform, steps.let(text), steps)
                checks.append(Check(RowErrorCode.TEXT_TOO_LARGE, _TOO_LARGE, too_large))
            case Replace():
                # Nothing to find in a null: a missing cell stays missing.
                text = text.str.replace_all(transform.find, transform.replace, literal=True)
            case NormalizePhone():
                text = _normalised_phone(steps.let(text), reading.region(transform.region), steps)
            case NormalizeDate():
                text = _normalised_date(transform, steps.let(text), field, reading, steps)
            case _:
                text = _TEXT_TO_TEXT[type(transform)](text)
    text = _without_empty(text, field.type, steps)
    if reading.empty_zero_dates and field.type is FieldType.DATE:
        text = dates.without_zero_dates(steps.let(text))
    return CheckedText(steps.let(text), tuple(checks))


_TEXT_TO_TEXT: Final[Mapping[type[Transform], Callable[[pl.Expr], pl.Expr]]] = {
    Trim: lambda text: text.str.strip_chars(),
    Upper: lambda text: text.str.to_uppercase(),
    Lower: lambda text: text.str.to_lowercase(),
    Capitalize: lambda text: text.str.to_titlecase(),
    RemoveSpecialChars: lambda text: text.str.replace_all(_SPECIAL_CHARS, ""),
}


def _normalised_phone(text: pl.Expr, region: str, steps: Steps) -> pl.Expr:
    trimmed = steps.let(text.str.strip_chars())
    number = steps.let(phones.normalised(trimmed, region))
    return pl.when(number != trimmed).then(number).otherwise(text)


def _normalised_date(
    transform: NormalizeDate, text: pl.Expr, field: TemplateField, reading: Reading, steps: Steps
) -> pl.Expr:
    instant = dates.instant(
        text.str.strip_chars(),
        None,
        reading.date_order(field),
        steps.let,
        years=reading.two_digit_years(field),
        typed_cells=reading.typed_cells,
        date_1904=reading.date_1904,
    )
    return pl.coalesce(dates.formatted(instant, transform.format), text)


def _joined(cells: list[pl.Expr]) -> pl.Expr:
    """The cells that are not empty, without the blanks around them, joined by spaces; ``""`` where all are."""
    if not cells:
        return _NO_TEXT
    trimmed = [cell.str.strip_chars() for cell in cells]
    return pl.concat_str([pl.when(cell != "").then(cell) for cell in trimmed], separator=" ", ignore_nulls=True)


def _without_empty(text: pl.Expr, field_type: FieldType, steps: Steps) -> pl.Expr:
    if field_type is not FieldType.TEXT:
        text = text.str.strip_chars()
    text = steps.let(text)
    return pl.when(text != "").then(text)


def _grown(transform: Replace, text: pl.Expr, steps: Steps) -> tuple[pl.Expr, pl.Expr]:
    """The text with a replacement that is longer than what it replaces, and where that would be too large.

    The size is computed before anything is replaced; text that would become too large stays as it is.
    """
    more = len(transform.replace.encode()) - len(transform.find.encode())
    size = text.str.len_bytes() + text.str.count_matches(transform.find, literal=True) * more
    too_large = steps.let((size > MAX_TEXT_BYTES) & text.str.contains(transform.find, literal=True))
    small = pl.when(~too_large).then(text)
    replaced = small.str.replace_all(transform.find, transform.replace, literal=True)
    return pl.when(too_large).then(text).otherwise(replaced), too_large


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
