"""What is told of a row that is not written, or that is kept although something is wrong with it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from libs.contracts.reasons import RowErrorCode

MAX_SHOWN_CHARS: Final = 200


class RejectedState(StrEnum):
    """What has become of a rejected row since."""

    OPEN = "open"
    """Nothing."""
    CORRECTED = "corrected"
    """It has corrections that no retry has tried yet."""
    RETRYING = "retrying"
    """A retry is at it: nobody else can change it until that has ended."""
    WRITTEN = "written"
    """A retry has written it."""
    SKIPPED = "skipped"
    """To a retry it was sound, and there was nothing to change."""
    DISCARDED = "discarded"
    """Somebody gave it up."""
    RETURNED = "returned"
    """Of a retry: it is told and corrected as a row of the run that first rejected it."""


UNTOUCHED_STATES: Final = frozenset({RejectedState.OPEN, RejectedState.CORRECTED})
"""States in which a row can be corrected, retried and discarded."""
UNREAD_CODES: Final = frozenset(
    {
        RowErrorCode.EXTRA_CELLS,
        RowErrorCode.CELL_TOO_LARGE,
        RowErrorCode.ROW_TOO_LARGE,
        RowErrorCode.NUL_CHARACTER,
        RowErrorCode.UNDECODABLE_BYTES,
        RowErrorCode.SPLIT_CHARACTER,
        RowErrorCode.TAB_IN_LINE,
        RowErrorCode.CELL_ERROR,
        RowErrorCode.NOT_AN_OBJECT,
        RowErrorCode.MALFORMED_RECORD,
        RowErrorCode.NESTED_TOO_DEEP,
        RowErrorCode.DUPLICATE_KEY_IN_RECORD,
        RowErrorCode.NESTED_VALUE,
        RowErrorCode.LONE_SURROGATE,
        RowErrorCode.UNEXPECTED_ELEMENT,
        RowErrorCode.UNKNOWN_KEY,
    }
)
"""Of rows that the parser could not read, whose cells may be stored in part only."""


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
        unread: whether the parser could not read it, so that its cells may be cut.
    """

    row: int
    cells: list[str | None]
    errors: tuple[RowError, ...]
    unread: bool = False


def shown(text: str) -> str:
    """The beginning of ``text``, as much of it as an error shows: 200 characters."""
    return text[:MAX_SHOWN_CHARS]
