"""Which row is the header, where titles, comments or metadata stand before it.

The template says it (``skip_rows``); where it does not, what is plain by its shape is left out, and the plan says so.
What is not plain stays: a row too many can be seen, one too few cannot.
"""

import re
from collections.abc import Sequence
from typing import Final

from libs.contracts.templates import Template
from services.parser.formats.api.footers import Record, filled, first_text
from services.parser.formats.api.headers import clean_name, counted, normalised, squeezed

MAX_PREFACE: Final = 40
"""Rows before a header that is found."""
_COMMENT = "#"
_DIGIT = re.compile(r"\d")


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
          what stands before it, unless it has all names; and none of them twice under a row that may say of what; or
        - all before it have one cell, or begin with ``#``; behind it every row has as many cells, and it has no digits;
          and it has three cells or more, or a blank line or such a comment before it.
        """
        first = records[: MAX_PREFACE + 1]
        if not first or self.fitting(first[0]):
            return 0
        fits = [0, *(self.fitting(cells) for cells in first[1:])]
        most = max(fits)
        place = fits.index(most)
        is_header = most >= min(2, self.fields) and most > 0 and not self._is_grouped(first[place - 1], first[place])
        if is_header and (most == self.fields > 1 or _is_preface(records[:place], filled(records[place]))):
            return place
        return 0 if most else _by_shape(first)

    def _is_grouped(self, before: Record, cells: Record) -> bool:
        """Whether a name of a field stands twice, and the row before may say of what: *Home*, *Work*."""
        names = [name for name in (squeezed(clean_name(cell)) for cell in cells if cell) if name in self._squeezed]
        return filled(before) > 1 and len(set(names)) < len(names)


def left_out(rows: int) -> str:
    """The note that says how many rows before the header are left out."""
    return f"header: {counted(rows, 'row')} before it {'is' if rows == 1 else 'are'} no data and left out, detected"


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
