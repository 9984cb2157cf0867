"""What stands before the header of a CSV file and after its data: titles, comments, metadata, totals.

The template says it (``skip_rows``, ``comment_prefix``, ``skip_footer_rows``); where it does not, what is plain by its
shape is left out, and the plan says so. What is not plain stays: a row too many can be seen, one too few cannot.
"""

import csv
import re
from collections.abc import Sequence

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import Template
from services.parser.formats.api import footers
from services.parser.formats.api.footers import filled, first_text
from services.parser.formats.api.headers import clean_name, normalised, squeezed
from services.parser.formats.csv.grammar import Grammar, Record

_MAX_PREFACE = 40
_COMMENT = "#"
_DIGIT = re.compile(r"\d")
_RULE = re.compile(r"\s*[-+=:|]*[-=]{3}[-+=:|]*\s*")
"""A cell of the line that parts a drawn table's header from its rows; a single dash is a cell that is empty."""


class Headers:
    """What the header may be called, by the fields of a template."""

    def __init__(self, template: Template) -> None:
        names = {
            name
            for field in template.fields
            for name in (field.source, field.name, field.label, *field.aliases)
            if name is not None
        }
        self._wanted = {normalised(name) for name in names}
        self._squeezed = {squeezed(name) for name in names} - {""}
        self.fields = len(template.fields)

    def fitting(self, cells: Record) -> int:
        """How many of the cells are called like fields."""
        names = {clean_name(cell) for cell in cells if cell}
        return len(
            {squeezed(name) for name in names if normalised(name) in self._wanted or squeezed(name) in self._squeezed}
        )

    def find(self, records: Sequence[Record]) -> int:
        """Which of a file's first records is the header; the first one unless another plainly is.

        Plainly it is another if the first has no name of a field, and

        - it has at least two (all, if the template has one field), more than any other record, and more cells than
          what stands before it, unless it has all names; or
        - all before it have one cell, or begin with ``#``; behind it every row has as many cells, and it has no digits;
          and it has three cells or more, or a blank line or such a comment before it.
        """
        first = records[: _MAX_PREFACE + 1]
        if not first or self.fitting(first[0]):
            return 0
        fits = [0, *(self.fitting(cells) for cells in first[1:])]
        most = max(fits)
        place = fits.index(most)
        is_header = most >= min(2, self.fields) and most > 0
        if is_header and (most == self.fields > 1 or _is_preface(records[:place], filled(records[place]))):
            return place
        return 0 if most else _by_shape(first)


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


def _is_preface(records: Sequence[Record], header: int) -> bool:
    return all(filled(cells) < header or first_text(cells).startswith(_COMMENT) for cells in records)


def _by_shape(records: Sequence[Record]) -> int:
    place = 0
    while place < len(records) and (filled(records[place]) <= 1 or first_text(records[place]).startswith(_COMMENT)):
        place += 1
    if not place or place + 2 >= len(records):
        return 0
    header, rows = records[place], records[place + 1 :]
    width = len(header)
    plain = all(len(cells) == width for cells in rows) and filled(header) == width
    commented = all(first_text(cells).startswith(_COMMENT) for cells in records[:place])
    named = not any(_DIGIT.search(cell or "") for cell in header)
    return place if plain and named and (width > 2 or commented) else 0


def _may_have_footer(text: str) -> bool:
    """A quick look at the last lines: almost no file has anything there."""
    end = text[-4_000:].rstrip()
    lines = [line.strip(" \"';,\t|") for line in re.split(r"\r\n|\r|\n", end)[-footers.MOST_ROWS :]]
    return any(
        not line or footers.is_total(re.split(r"[;,\t|\"]", line)[0]) or footers.is_count(line) for line in lines
    )
