"""From the cell as it stands in the file to the text that type and rules are applied to."""

import polars as pl

from libs.contracts.templates import (
    Capitalize,
    Default,
    FieldType,
    Lower,
    Replace,
    TemplateField,
    Transform,
    Trim,
    Upper,
)
from services.validator.domain.steps import Steps


def checked_text(field: TemplateField, cell: pl.Expr, steps: Steps) -> pl.Expr:
    """The text of a field, null where it is empty.

    A missing cell and an empty cell are the same: empty. The transforms are applied in the
    order of the template. Afterwards, for every type but ``text``, blanks around the text are
    dropped, as HTML does with the input of ``type=email`` and ``type=number`` before it looks at
    it; so a cell of blanks is empty there, while in a ``text`` field blanks are content unless a
    ``trim`` says otherwise.

    Args:
        field: the field with its transforms.
        cell: a string expression, null or ``""`` where the file has nothing.
        steps: takes the intermediate results.

    Returns:
        A column without ``""``.
    """
    text = cell
    for transform in field.transforms:
        text = _applied(transform, text, field.type, steps)
    return steps.let(_without_empty(text, field.type, steps))


def _applied(transform: Transform, text: pl.Expr, field_type: FieldType, steps: Steps) -> pl.Expr:
    match transform:
        case Trim():
            return text.str.strip_chars()
        case Upper():
            return text.str.to_uppercase()
        case Lower():
            return text.str.to_lowercase()
        case Capitalize():
            return text.str.to_titlecase()
        case Default():
            return _without_empty(text, field_type, steps).fill_null(transform.value)
        case Replace():
            # Nothing to find in a null: a missing cell stays missing.
            return text.str.replace_all(transform.find, transform.replace, literal=True)


def _without_empty(text: pl.Expr, field_type: FieldType, steps: Steps) -> pl.Expr:
    if field_type is not FieldType.TEXT:
        text = text.str.strip_chars()
    text = steps.let(text)
    return pl.when(text != "").then(text)
