r"""Which grammar the records of a file's start are written in, for one delimiter.

The usual one is RFC 4180: quotes that enclose cells, doubled within them. What else there is must show itself:

- blanks between delimiter and quote: ``a, "b,c"``;
- a backslash before quotes, where the usual reading breaks or comes out uneven;
- dumps of MySQL and PostgreSQL: a cell of just ``\N``;
- cells in single quotes, all of a column;
- no quoting at all: where the usual reading breaks, or makes one cell of what would be whole rows, and every line has
  the header's number of cells if quotes are text like any other.
"""

import csv
import io
import re
from dataclasses import dataclass, replace
from itertools import islice

from libs.contracts.errors import FileRefusedError
from libs.contracts.templates import SourceFormat
from services.parser.formats.csv.grammar import ESCAPE, QUOTE, Grammar, Record

_SINGLE = "'"
_ENCLOSED = re.compile("'(?:[^']++|'')*+'")
_NUMBER = re.compile(r"(?=[^\d]*+\d)[+\d.,:/\s-]*+")
_FEW_LINES = 3


@dataclass(frozen=True, slots=True)
class Quoting:
    """What was found.

    Attributes:
        grammar: how records are written.
        note: what of that was found out rather than told, for the owner of the run.
        unproven: whether the start has no quoted cell, so that one further on may be text.
        doubt: why nobody can know how the file is meant; ``None`` where one can.
    """

    grammar: Grammar
    note: str | None = None
    unproven: bool = False
    doubt: str | None = None


def find_quoting(text: str, source: SourceFormat, delimiter: str, *, whole_file: bool) -> Quoting:
    """The grammar of a file that starts with ``text``: complete lines, from the header's on.

    Args:
        text: all of the file, or its start up to a line end.
        source: what the template says; that is not asked again.
        delimiter: what separates cells.
        whole_file: whether there is no more.
    """
    told = Grammar(
        delimiter,
        quote=QUOTE if source.quote_char is None else source.quote_char,
        escape=source.escape_char or "",
        comment=source.comment_prefix or "",
    )
    note = None
    if source.escape_char is None and ESCAPE in text:
        told, note = _with_escapes(text, told)
    elif source.escape_char:
        told = replace(told, letters=delimiter == "\t" or _null_cells(text, told))
    if source.quote_char is None and QUOTE not in text:
        if _in_single_quotes(text, delimiter):
            return Quoting(replace(told, quote=_SINGLE), "quotes: cells are enclosed in ', detected")
        return Quoting(told, note, unproven=source.quote_char is None)
    if not told.quote or told.quote not in text:
        return Quoting(told, note)
    if re.search(rf"(?:\A|[\r\n{re.escape(delimiter)}]) +{re.escape(told.quote)}", _without_comments(text, told)):
        spaced = replace(told, blanks=True)
        if _view(text, spaced).is_better_than(_view(text, told)):
            told, note = spaced, "quotes: blanks between quotes and delimiters are dropped, detected"
    if source.quote_char is not None:
        return Quoting(told, note)
    return _none_or(text, told, note, whole_file=whole_file)


@dataclass(frozen=True, slots=True)
class _View:
    """The records of a text as a grammar reads them.

    Attributes:
        records: those that are not blank lines, and how many lines each takes.
        lines: where the last of them ends.
        broken: whether the grammar broke, or the text ends within a record.
    """

    records: list[tuple[Record, int]]
    lines: int
    broken: bool

    @property
    def width(self) -> int:
        return len(self.records[0][0]) if self.records else 0

    @property
    def even(self) -> float:
        """The share of records that are as wide as the first."""
        return sum(len(cells) == self.width for cells, _ in self.records) / max(1, len(self.records))

    def is_better_than(self, other: "_View") -> bool:
        """Whether this is how the file is meant rather than the other, which is the simpler one."""
        return (not self.broken, self.even) >= (not other.broken, other.even)


def _view(text: str, grammar: Grammar) -> _View:
    found = grammar.records(text)
    records: list[tuple[Record, int]] = []
    lines, broken = 0, False
    try:
        for cells in found:
            if cells:
                records.append((cells, found.lines - lines))
            lines = found.lines
    except csv.Error:
        broken = True
    return _View(records, lines, broken)


def _null_cells(text: str, grammar: Grammar) -> bool:
    return (
        re.search(rf"(?:\A|[\r\n{re.escape(grammar.delimiter)}])\\N(?=[\r\n{re.escape(grammar.delimiter)}]|\Z)", text)
        is not None
    )


def _with_escapes(text: str, told: Grammar) -> tuple[Grammar, str | None]:
    if _null_cells(text, told):
        dump = replace(told, escape=ESCAPE, letters=True)
        return dump, r"escapes: a backslash as in dumps of MySQL and PostgreSQL; cells of \N are missing; detected"
    if told.quote and ESCAPE + told.quote in text:
        escaped, usual = _view(text, replace(told, escape=ESCAPE)), _view(text, told)
        uneven = usual.broken or usual.even < escaped.even
        if uneven and escaped.is_better_than(usual):
            return replace(told, escape=ESCAPE), r"escapes: \" is a quote within a cell, detected"
    return told, None


def _in_single_quotes(text: str, delimiter: str) -> bool:
    """Whether all cells of a column are enclosed in single quotes, and at least two."""
    if _SINGLE not in text:
        return False
    view = _view(text, Grammar(delimiter, quote=""))
    rows = [cells for cells, _ in view.records]
    header, *rest = rows if len(rows) > 1 else [[]]
    if header and all(cell and _ENCLOSED.fullmatch(cell) for cell in header):
        return True
    whole = _view(text, Grammar(delimiter, quote=_SINGLE))
    if whole.broken or whole.even < view.even or len(rest) < 2:
        return False
    columns = zip(*(cells for cells in rest if len(cells) == view.width), strict=False)
    return any(len(cells) > 1 and all(cell and _ENCLOSED.fullmatch(cell) for cell in cells) for cells in columns)


def _none_or(text: str, told: Grammar, note: str | None, *, whole_file: bool) -> Quoting:
    """Whether quotes are plain text after all."""
    usual = _view(text, told)
    if not usual.broken and told.delimiter != "\t" and all(lines == 1 for _, lines in usual.records):
        return Quoting(told, note, unproven=not _starts(text, told))
    plain = _view(text, replace(told, quote="", blanks=False))
    width = plain.width
    plainly = width > 1 and plain.even == 1 and width == (usual.width or width)
    several = [cells for cells, lines in usual.records if lines > 1]
    swallowed = [cells for cells in several if plainly and _are_rows(cells, told, width)]
    proven = sum(_needs_quotes(cells, told) for cells, lines in usual.records if lines == 1 or cells not in swallowed)
    rows = _without_comments(text, told)
    proven += re.search(rf'[^\r\n{re.escape(told.delimiter)}]""', rows) is not None  # a quote that was doubled
    bare = re.search(rf'[^\r\n"{re.escape(told.delimiter)}]"[^\r\n"{re.escape(told.delimiter)}]', rows) is not None
    none = Quoting(replace(told, quote="", blanks=False), "quotes: they are plain text in this file, detected")
    is_tab = told.delimiter == "\t"
    if usual.broken and not usual.records:
        return Quoting(told, note)  # what is wrong with a header is seen at once, and better mended
    if usual.broken:
        rest = sum(1 for _ in io.StringIO(text, newline="")) - usual.lines
        malformed = whole_file or (rest > _FEW_LINES and plainly) or _is_malformed(text, told, usual.lines)
        return none if malformed and plainly and not proven else Quoting(told, note)
    if swallowed and not proven:
        if is_tab or bare or _fit_the_columns(swallowed, usual, told):
            return none
        return Quoting(told, note)
    if swallowed and bare:
        return Quoting(
            told,
            doubt="some cells begin with one and others hold one, and lines that look like rows stand between; set "
            "the template's quote_char to '\"' if quotes enclose cells, or to \"\" if they are plain text",
        )
    if is_tab and bare and not proven and plainly:
        return none
    return Quoting(told, note, unproven=not _starts(text, told))


def _is_malformed(text: str, grammar: Grammar, lines: int) -> bool:
    """Whether text follows the closing quote of a record behind so many lines; otherwise it may go on further on."""
    rest = "".join(islice(io.StringIO(text, newline=""), lines, None))
    try:
        grammar.scanner(1).feed(grammar.neutral(rest).encode("utf-8", "surrogatepass"))
    except FileRefusedError:
        return True
    return False


def _without_comments(text: str, grammar: Grammar) -> str:
    if not grammar.comment:
        return text
    return "".join(line for line in io.StringIO(text, newline="") if not line.startswith(grammar.comment))


def _starts(text: str, grammar: Grammar) -> list[str]:
    """The text around each quote at the start of a cell."""
    return re.findall(rf"(?:\A|[\r\n{re.escape(grammar.delimiter)}]){re.escape(grammar.quote)}", text)


def _are_rows(cells: Record, grammar: Grammar, width: int) -> bool:
    """Whether each line of a record has the cells of a row, if quotes are plain text."""
    lines = re.split(r"\r\n|\r|\n", grammar.delimiter.join(cell or "" for cell in cells))
    return all(line.count(grammar.delimiter) == width - 1 for line in lines)


def _needs_quotes(cells: Record, grammar: Grammar) -> bool:
    """Whether a cell holds what only quotes keep together."""
    return any(cell and (grammar.delimiter in cell or "\n" in cell or "\r" in cell) for cell in cells)


def _fit_the_columns(swallowed: list[Record], usual: _View, grammar: Grammar) -> bool:
    """Whether the lines within records have numbers where the other rows have them."""
    others = [cells for cells, lines in usual.records[1:] if lines == 1 and len(cells) == usual.width]
    numeric = [
        column
        for column in range(usual.width)
        if len(others) > 1 and all(_NUMBER.fullmatch(cells[column] or "") for cells in others)
    ]
    lines = [
        line.split(grammar.delimiter)
        for cells in swallowed
        for line in re.split(r"\r\n|\r|\n", grammar.delimiter.join(cell or "" for cell in cells))
    ]
    return bool(numeric) and all(_NUMBER.fullmatch(line[column]) for line in lines for column in numeric)
