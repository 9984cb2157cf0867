"""Rows at the end of a table that are plainly no data: totals, counts, remarks.

What is not plain stays: a row too many can be seen, one too few cannot.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from services.parser.formats.api.headers import counted, listed

MOST_ROWS: Final = 5
_FEWEST_OTHERS: Final = 3
_TOTALS = frozenset(
    {
        *("total", "totals", "grand total", "subtotal", "sum", "sums", "summe", "summen", "gesamt", "gesamtsumme"),
        *("insgesamt", "total général", "total general", "totaux", "somme", "totale", "totali", "somma", "suma"),
        *(
            "total geral",
            "sumas",
            "totaal",
            "som",
            "summa",
            "razem",
            "итого",
            "всего",
            "celkem",
            "合計",
            "総計",
            "合计",
            "总计",
        ),
        *("합계", "총계"),
    }
)
_COUNTED = re.compile(
    r"\(?\s*+\d[\d.,\s]*+(?:rows?|records?|lines?|entries|results?|zeilen|datensätze|lignes|filas|registros|righe)\b[^\d]*"
)
_GROUPING = {".": re.compile(r"[\s,'\u2019]"), ",": re.compile(r"[\s.'\u2019]")}
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?")

Record = Sequence[str | None]


def plain_rows(rows: Sequence[Record], gaps: Sequence[bool], width: int) -> int:
    """How many of the last rows are no data.

    A row is plainly none if it is the last and

    - says how many rows there are, ``(12 rows)``, and nothing else; or
    - begins with a word such as ``Total``, and lacks a cell that every other row has or holds the sum of a column; or
    - is one cell alone, where all other rows have all of them, and has a blank line before it.

    Args:
        rows: all rows of the file that are not blank, the header first; one cell where a row has no others.
        gaps: whether there is a blank line before each.
        width: number of columns.
    """
    footer = 0
    most = min(MOST_ROWS, len(rows) - _FEWEST_OTHERS)
    while footer < most and _is_footer(rows, gaps, len(rows) - 1 - footer, width):
        footer += 1
    # Several such rows stand together: only the first of them has a gap before it.
    for more in range(footer + 1, most + 1):
        block = range(len(rows) - more, len(rows) - footer)
        if gaps[block[0]] and all(len(rows[place]) == 1 for place in block) and _has_more(rows[: block[0]], width):
            return more
    return footer


def judged(rows: Sequence[Record], gaps: Sequence[bool], width: int) -> tuple[int, list[str]]:
    """See ``plain_rows``; and what the owner of the run is told, also of totals that stay."""
    footer = plain_rows(rows, gaps, width)
    notes: list[str] = []
    if footer:
        are = "is" if footer == 1 else "are"
        notes.append(f"end: the last {counted(footer, 'row')} {are} no data and left out, detected")
    if within := _totals(rows[: len(rows) - footer], width):
        like = "looks like a total" if len(within) == 1 else "look like totals"
        words = listed(list(dict.fromkeys(map(first_text, within))))
        are = "is" if len(within) == 1 else "are"
        notes.append(f"{counted(len(within), 'row')} that {like} ({words}) {are} read like all others")
    return footer, notes


def _totals(rows: Sequence[Record], width: int) -> list[Record]:
    """The rows that begin with a word such as ``Total``, and lack a cell that all others have or come last."""
    named: list[Record] = []
    others: list[Record] = []
    for cells in rows[1:]:
        (named if is_total(first_text(cells)) else others).append(cells)
    if not named or not others:
        return []
    whole = [column for column in range(width) if all(_has(cells, column) for cells in others)]
    return [each for each in named if each is rows[-1] or not all(_has(each, column) for column in whole)]


def filled(cells: Record) -> int:
    """How many cells are not blank."""
    return sum(1 for cell in cells if cell and cell.strip())


def first_text(cells: Record) -> str:
    """The first cell that is not blank."""
    return next((cell.strip() for cell in cells if cell and cell.strip()), "")


def is_total(cell: str) -> bool:
    """Whether a cell is a word for a sum."""
    return cell.strip().casefold().rstrip(":.") in _TOTALS


def is_count(text: str) -> bool:
    """Whether a text begins with how many rows there are."""
    return _COUNTED.match(text.casefold()) is not None


def _is_footer(rows: Sequence[Record], gaps: Sequence[bool], place: int, width: int) -> bool:
    cells, others = rows[place], rows[1:place]
    if filled(cells) == 1 and _has_more(others, width):
        return (gaps[place] and len(cells) == 1) or _COUNTED.fullmatch(first_text(cells).casefold()) is not None
    if not is_total(first_text(cells)):
        return False
    lacking = [column for column in range(width) if not _has(cells, column)]
    return any(all(_has(other, column) for other in others) for column in lacking) or any(
        _is_sum(cells[column], [other[column] if column < len(other) else None for other in others])
        for column in range(min(width, len(cells)))
    )


def _is_sum(cell: str | None, others: Sequence[str | None]) -> bool:
    """Whether a cell is a number, and that which the others come to."""
    for decimal_mark in ".,":
        total = _number(cell, decimal_mark)
        if total and total == sum(_number(other, decimal_mark) or 0 for other in others):
            return True
    return False


def _number(cell: str | None, decimal_mark: str) -> Decimal | None:
    text = "" if cell is None else _GROUPING[decimal_mark].sub("", cell).replace(decimal_mark, ".")
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _has(cells: Record, column: int) -> bool:
    return column < len(cells) and bool((cells[column] or "").strip())


def _has_more(rows: Sequence[Record], width: int) -> bool:
    return all(len(cells) == width and filled(cells) > 1 for cells in rows)
