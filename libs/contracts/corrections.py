"""The file in which people correct rejected rows: what the gateway writes into it, and how the parser finds it again.

One row for each rejected row, in any order. Its own columns say which row it is; the others are the columns of the
run's file, found by their titles. A cell counts as corrected where it differs from what was handed out, so everything
that a spreadsheet program changes without being asked must make no difference here.
"""

import re
from collections.abc import Collection
from typing import Final, NamedTuple

SHEET: Final = "rejected rows"
MAX_WORKBOOK_CHARS: Final = 32_767
"""Of a cell of a workbook."""
_CUT: Final = "..."
FORMULA_STARTS: Final = tuple("=+-@\t\r")
"""With one of these begins what a program might take for a formula."""
_NUMBER: Final = re.compile(r"[+-]?[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?%?")


class OwnColumns(NamedTuple):
    """Titles of the columns that are none of the run's file.

    Attributes:
        row: number of the row.
        run: id of the run whose row it is.
        reasons: why it was rejected, for people; never read.
    """

    row: str
    run: str
    reasons: str


def own_columns(columns: Collection[str]) -> OwnColumns:
    """The titles beside ``columns``, which may be called likewise."""
    taken = set(columns)
    names: list[str] = []
    for name in ("_row", "_run", "_reasons"):
        while name in taken:
            name = f"_{name}"  # noqa: PLW2901
        names.append(name)
    return OwnColumns(*names)


def harmless(text: str) -> str:
    """``text`` as a cell of a CSV file that no program takes for a formula: one that might gets an apostrophe in front.

    Numbers stay as they are. A text that is like that already gets one more, so that ``unharmed`` gives back each.
    """
    return f"'{text}" if _needs_apostrophe(text) else text


def unharmed(cell: str) -> str:
    """The text of which ``harmless`` made ``cell``; a cell that was typed without the apostrophe is what it is."""
    return cell[1:] if cell.startswith("'") and _needs_apostrophe(cell[1:]) else cell


def _needs_apostrophe(text: str) -> bool:
    meant = text.lstrip("'")
    return meant.startswith(FORMULA_STARTS) and _NUMBER.fullmatch(meant) is None


def cut_to_cell(text: str) -> str:
    """As much of ``text`` as a cell of a workbook holds; three dots tell of the rest."""
    if len(text) <= MAX_WORKBOOK_CHARS:
        return text
    return f"{text[: MAX_WORKBOOK_CHARS - len(_CUT)]}{_CUT}"


def same_cell(handed_out: str | None, found: str | None) -> bool:
    """Whether a cell is still the one that was handed out.

    No difference are: an empty cell and one of nothing but blanks, how lines end, and what ``cut_to_cell`` leaves out.
    """
    before, after = handed_out or "", found or ""
    if before == after:
        return True
    if not before.strip() and not after.strip():
        return True
    before, after = _with_plain_line_ends(before), _with_plain_line_ends(after)
    return after in {before, _with_plain_line_ends(cut_to_cell(handed_out or ""))}


def _with_plain_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
