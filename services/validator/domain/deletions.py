"""Rows that ask for their record to be deleted: what the column says that the template names for it."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from libs.contracts.reasons import RowErrorCode
from libs.contracts.templates import FieldType, TemplateField
from services.validator.domain.checks import Check
from services.validator.domain.field_types import yes_or_no
from services.validator.domain.reading import Reading
from services.validator.domain.steps import Steps
from services.validator.domain.transforms import checked_text
from services.validator.domain.words import SHOWN_WORDS

DELETE_WORD: Final = "delete"
_COLUMN: Final = TemplateField.model_construct(name="deletes:", type=FieldType.BOOLEAN)
"""The column is read as one of a boolean field; no field can have this name."""
_UNCLEAR: Final = (
    f"This does not tell whether the record is to be deleted. Write {DELETE_WORD!r} or a yes to delete it, a no or "
    f"nothing to keep it: {SHOWN_WORDS}."
)


@dataclass(frozen=True, slots=True)
class Deletion:
    """What is asked of every row.

    Attributes:
        text: of the cell, null where it is empty.
        wanted: whether the row deletes its record; never null.
        unclear: the check for a cell that says neither yes nor no.
    """

    text: pl.Expr
    wanted: pl.Expr
    unclear: Check


def deletion(cell: pl.Expr, reading: Reading, steps: Steps) -> Deletion:
    """What the cell of the template's ``delete_column`` asks for; an empty one asks for nothing.

    Args:
        cell: a string expression; null or ``""`` where the file has nothing.
        reading: which words mean yes, no and nothing.
        steps: takes the intermediate results.
    """
    text = checked_text(_COLUMN, cell, {}, reading, steps).text
    meant = yes_or_no(_COLUMN, text, steps.let, reading)
    answer = steps.let(pl.when(text.str.to_lowercase() == DELETE_WORD).then(pl.lit(value=True)).otherwise(meant))
    unclear = text.is_not_null() & answer.is_null()
    return Deletion(
        text, steps.let(answer.fill_null(value=False)), Check(RowErrorCode.UNCLEAR_DELETION, _UNCLEAR, unclear)
    )
