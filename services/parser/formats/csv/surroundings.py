"""What stands around the data of a CSV file and is none of it: lines of a drawn table, totals; and files whose cells or
lines are parted by something else than CSV knows."""

import csv
import re
from collections.abc import Iterator, Sequence

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from services.parser.formats.api import footers
from services.parser.formats.api.footers import filled
from services.parser.formats.csv.grammar import Grammar, Record

_RULE = re.compile(r"\s*[-+=:|]*[-=]{3}[-+=:|]*\s*")
"""A cell of the line that parts a drawn table's header from its rows; a single dash is a cell that is empty."""
_LINE_END = re.compile(r"[\r\n]")
_OTHER_LINE_END = re.compile("[\x1e\x85\u2028\u2029]|….*…")
"""The ellipsis is what U+0085 becomes where a text of a mainframe is read as Windows-1252."""
_PART_OF_DELIMITERS = frozenset("~|^*#@!%&+=:;,\\/§¦¬")
_DELIMITERS = frozenset(";,|~^")
_SURE_RECORDS = 2


def refuse_drawing(records: Sequence[Record]) -> None:
    """Refuse a table as psql, mysql and Markdown draw it: its line of dashes would be a row, its blanks part of cells.

    Raises:
        FileRefusedError: ``DRAWN_TABLE``.
    """
    for cells in records[:2]:
        filled = [cell for cell in cells if cell and cell.strip()]
        if filled and all(_RULE.fullmatch(cell) for cell in filled):
            raise FileRefusedError(
                RunErrorCode.DRAWN_TABLE,
                "the header has a line of dashes beside it, so the file is a table drawn for people to look at, and "
                "where its cells begin and end cannot be known; export the data as CSV (psql: \\copy … csv header), or "
                "remove that line",
            )


def refuse_other_line_ends(text: str) -> None:
    """Refuse a file that is one line to us, because its lines end as mainframes and some programs end them.

    Args:
        text: the file, or its beginning.

    Raises:
        FileRefusedError: ``UNCLEAR_HEADER``.
    """
    if not _LINE_END.search(text) and (found := _OTHER_LINE_END.search(text)):
        raise FileRefusedError(
            RunErrorCode.UNCLEAR_HEADER,
            f"the file has no line feed, but U+{ord(found[0][0]):04X}: if its lines end with that, write line feeds "
            "in its place",
        )


def refuse_long_delimiter(records: Sequence[Record], delimiter: str) -> None:
    """Refuse a file whose delimiter has several characters: the others would be part of its cells.

    Raises:
        FileRefusedError: ``BAD_DELIMITER``.
    """
    if len(records) < _SURE_RECORDS or min(map(len, records)) == 1:
        return
    before = _common((cell or "")[-1:] for cells in records for cell in cells[:-1])
    behind = _common((cell or "")[:1] for cells in records for cell in cells[1:])
    if (before and behind) or {before, behind} & _DELIMITERS:
        raise FileRefusedError(
            RunErrorCode.BAD_DELIMITER,
            f"between all cells stands {before + delimiter + behind!r}, and a delimiter is one character; replace it "
            "in the file, by a tab for instance",
        )


def _common(edges: Iterator[str]) -> str:
    """The one sign that all of them are, or nothing; in most files the first of them tells."""
    first = next(edges)
    return first if first in _PART_OF_DELIMITERS and all(edge == first for edge in edges) else ""


def footer_rows(text: str, grammar: Grammar, width: int) -> tuple[int, list[str]]:
    """How many rows at the end of a whole file are plainly no data, see ``footers``, and the notes that say so."""
    if width < 2 or not _may_have_footer(text):
        return 0, []
    rows: list[Record] = []
    gaps: list[bool] = []
    gap = False
    try:
        for cells in grammar.records(text):
            if filled(cells):
                rows.append(cells)
                gaps.append(gap)
            gap = not cells
    except csv.Error:
        return 0, []
    return footers.judged(rows, gaps, width)


def _may_have_footer(text: str) -> bool:
    """A quick look at the last lines: almost no file has anything there."""
    end = text[-4_000:].rstrip()
    lines = [line.strip(" \"';,\t|") for line in re.split(r"\r\n|\r|\n", end)[-footers.MOST_ROWS :]]
    return any(
        not line or footers.is_total(re.split(r"[;,\t|\"]", line)[0]) or footers.is_count(line) for line in lines
    )
