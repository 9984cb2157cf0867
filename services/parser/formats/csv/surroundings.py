"""What stands around the data of a CSV file and is none of it: lines of a drawn table, totals."""

import csv
import re
from collections.abc import Sequence

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from services.parser.formats.api import footers
from services.parser.formats.api.footers import filled
from services.parser.formats.csv.grammar import Grammar, Record

_RULE = re.compile(r"\s*[-+=:|]*[-=]{3}[-+=:|]*\s*")
"""A cell of the line that parts a drawn table's header from its rows; a single dash is a cell that is empty."""


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
