"""What is told of a row that is not written, or that is kept although something is wrong with it."""

from dataclasses import dataclass
from typing import Final

from libs.contracts.reasons import RowErrorCode

MAX_SHOWN_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class RowError:
    """One reason against a row.

    Attributes:
        field: field of the template; ``None`` where no one field is to blame.
        column: header of its source column, as far as there is one.
        code: one of ``RowErrorCode``, or a format's own.
        message: what is wrong and how to fix it.
        value: the beginning of the text that was judged (``shown``); ``None`` where there is none.
    """

    field: str | None
    column: str | None
    code: RowErrorCode | str
    message: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that is not written.

    Attributes:
        row: 1-based number over the data rows of the file.
        cells: the cells as they stand in the file, in its order; ``None`` for a missing cell.
        errors: the reasons, in the order of the template.
    """

    row: int
    cells: list[str | None]
    errors: tuple[RowError, ...]


def shown(text: str) -> str:
    """The beginning of ``text``, as much of it as an error shows: 200 characters."""
    return text[:MAX_SHOWN_CHARS]
