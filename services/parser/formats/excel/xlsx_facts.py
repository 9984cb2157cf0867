"""The facts of a worksheet part of an .xlsx, by patterns over its bytes: rows that have nothing special cost little."""

import re
from collections.abc import Iterable, Iterator, Sequence

from services.parser.formats.excel.number_formats import is_date, zero_mask
from services.parser.formats.excel.sheet_facts import SheetFacts
from services.parser.formats.excel.sheet_marks import XlsxMarks
from services.parser.formats.excel.workbook import cell_reference, column_index

_P = rb"(?:[\w.-]+:)?"
_HEAD_BYTES = 16 * 1024 * 1024
_HIDDEN = re.compile(rb"\shidden\s*=\s*[\"'](?:1|true)[\"']")
_HIDDEN_ROW = re.compile(rb"<" + _P + rb"row(?=[^<>]*\shidden\s*=\s*[\"'](?:1|true)[\"'])(\s[^<>]*)>")
_COLUMN = re.compile(rb"<" + _P + rb"col\s([^<>]*)>")
_BOUNDS = re.compile(rb"\b(min|max)\s*=\s*[\"']([0-9]{1,7})[\"']")
_DATA = re.compile(rb"<" + _P + rb"sheetData[\s>/]")
_ROW_NUMBER = re.compile(rb"\sr\s*=\s*[\"']([0-9]{1,7})[\"']")
_REFERENCE = re.compile(rb"\sr\s*=\s*[\"']([A-Z]{1,3})([0-9]{1,7})[\"']")
_STYLE = re.compile(rb"\ss\s*=\s*[\"']([0-9]{1,7})[\"']")
_TYPE = re.compile(rb"\st\s*=\s*[\"'](\w+)[\"']")
_ATTRIBUTE = rb"\s+[\w.:-]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*')"
_NO_REFERENCE = re.compile(rb"<" + _P + rb"(?:c|row)(?:(?!\s+r\s*=)" + _ATTRIBUTE + rb")*\s*/?>")
_ROW_OR_CELL = re.compile(rb"<(" + _P + rb")(c|row)((?:" + _ATTRIBUTE + rb")*)(\s*/?>)")
_NO_DATES = (b"v>-", b"v>60<", b"v>60.")
"""How values begin that no date has, where Excel's calendar counts."""
_VALUE = re.compile(rb">\s*(-[^<]*|60(?:\.[0-9]*)?)\s*<")
_TAG_WITHIN = 10_000
"""Bytes from the tag of a cell to its value: those of a formula are between them."""
_ISO_DURATION = re.compile(rb"<" + _P + rb"c(\s[^<>]*\st\s*=\s*[\"']d[\"'][^<>]*)>\s*<" + _P + rb"v>\s*(-?P[^<]*)</")
_DURATION = re.compile(
    r"(-?)P(?:([0-9]{1,6})D)?(?:T(?:([0-9]{1,7})H)?(?:([0-9]{1,7})M)?(?:([0-9]{1,7})(?:[.,]([0-9]{1,6})[0-9]*)?S)?)?"
)
_LETTERS = re.compile(rb"[A-Z]{1,3}")
_BLANKS_BEFORE_A_ROW = 64
_UNSHOWABLE = "#####"
"""What Excel shows of a date before its calendar begins."""
_NO_DAY = "1900-02-29"


def duration_text(iso: str) -> str | None:
    """``36:05:00`` for ``PT36H5M``, as ``sheet_rows`` writes durations; ``None`` for what is none."""
    found = _DURATION.fullmatch(iso.strip())
    if found is None:
        return None
    sign, days, hours, minutes, seconds, fraction = found.groups()
    whole = ((int(days or 0) * 24 + int(hours or 0)) * 60 + int(minutes or 0)) * 60 + int(seconds or 0)
    text = f"{sign}{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    fraction = (fraction or "").rstrip("0")
    return f"{text}.{fraction}" if fraction else text


def whole_rows(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that end behind a row, but for the last one."""
    carry: list[bytes] = []
    for piece in pieces:
        cut = piece.rfind(b"row>") + 4
        if cut < 4:  # no row ends here
            carry.append(piece)
            continue
        yield b"".join([*carry, piece[:cut]])
        carry = [piece[cut:]]
    yield b"".join(carry)


class XlsxScan:
    """What a worksheet part holds.

    Args:
        formats: see ``number_formats.cell_formats``.
        date_1904: whether the workbook counts from 1904.

    Attributes:
        facts: what was found so far.
        rows: number of the last row so far.
        cells: number of cells, blank ones included.
    """

    def __init__(self, formats: Sequence[str | int], *, date_1904: bool) -> None:
        self.facts = SheetFacts()
        self._marks = XlsxMarks(self.facts.marks)
        self._masks: dict[bytes, str] = {}
        for style, code in enumerate(formats):
            mask = zero_mask(code) if isinstance(code, str) else None
            if mask is not None:
                self._masks[b"%d" % style] = mask
        self._dates = frozenset(b"%d" % style for style, code in enumerate(formats) if is_date(code))
        self._date_1904 = date_1904
        self._head: list[bytes] | None = []
        self._references = References()

    @property
    def rows(self) -> int:
        return self._references.row

    @property
    def last_columns(self) -> list[int]:
        """Columns of the last cells of rows, ascending."""
        letters = {found[0] for start in self._references.columns if (found := _LETTERS.match(start))}
        return sorted(column_index(each.decode()) for each in letters)

    @property
    def cells(self) -> int:
        return self._references.cells

    def take(self, pieces: Iterable[bytes]) -> None:
        """Take the part's bytes, in pieces."""
        for rows in whole_rows(pieces):
            self._look(rows)

    def _look(self, rows: bytes) -> None:
        rows = self._references.given(rows)
        if self._head is not None:
            self._look_at_head(rows)
        self._marks.look(rows)
        if b"hidden" in rows and _HIDDEN.search(rows):
            for attributes in _HIDDEN_ROW.findall(rows):
                if (number := _ROW_NUMBER.search(attributes)) is not None:
                    self.facts.hidden_rows.add(int(number[1]) - 1)
        if self._masks:
            self._look_for_masks(rows)
        if self._dates:
            self._look_for_odd_dates(rows)
        if b"P" in rows and (b'"d"' in rows or b"'d'" in rows):
            for attributes, value in _ISO_DURATION.findall(rows):
                if (text := duration_text(value.decode("utf-8", "replace"))) is not None:
                    self._put(attributes, text)

    def _look_at_head(self, rows: bytes) -> None:
        assert self._head is not None
        self._head.append(rows)
        head = b"".join(self._head)
        data = _DATA.search(head)
        if data is None and len(head) < _HEAD_BYTES:
            self._head = [head]
            return
        self._head = None
        for attributes in _COLUMN.findall(head, 0, data.start() if data else len(head)):
            bounds = {name: int(number) for name, number in _BOUNDS.findall(attributes)}
            if _HIDDEN.search(b" " + attributes) and bounds.keys() == {b"min", b"max"}:
                self.facts.hidden_columns.update(range(bounds[b"min"] - 1, min(bounds[b"max"], 16_384)))

    def _look_for_masks(self, rows: bytes) -> None:
        for found in _STYLE.finditer(rows):
            if found[1] not in self._masks:
                continue
            attributes = _tag_around(rows, found.start())
            kind, reference = _TYPE.search(attributes), _REFERENCE.search(attributes)
            if reference is not None and (kind is None or kind[1] == b"n"):
                column = column_index(reference[1].decode())
                self.facts.masks.add(int(reference[2]) - 1, column, self._masks[found[1]])

    def _look_for_odd_dates(self, rows: bytes) -> None:
        """Numbers that are formatted as dates and are none: before the calendar begins, and 29 February 1900."""
        for needle in _NO_DATES:
            at = rows.find(needle)
            while at >= 0:
                self._judge_date(rows, at + 1)
                at = rows.find(needle, at + len(needle))

    def _judge_date(self, rows: bytes, at: int) -> None:
        value = _VALUE.match(rows, at)
        before = max(0, at - _TAG_WITHIN)
        attributes = _tag_around(rows, max(rows.rfind(quote, before, at) for quote in (b' r="', b" r='")))
        style, kind = _STYLE.search(attributes), _TYPE.search(attributes)
        if value is None or style is None or style[1] not in self._dates or (kind is not None and kind[1] != b"n"):
            return
        if value[1].startswith(b"-"):
            self._marks.put(attributes, _UNSHOWABLE)
        elif not self._date_1904:
            self._put(attributes, _NO_DAY)

    def _put(self, attributes: bytes, text: str) -> None:
        if (reference := _REFERENCE.search(attributes)) is not None:
            self.facts.texts.setdefault(int(reference[2]) - 1, {})[column_index(reference[1].decode())] = text


def _tag_around(rows: bytes, at: int) -> bytes:
    """The tag around an index."""
    return rows[rows.rfind(b"<", 0, at) : rows.find(b">", at)] if at >= 0 else b""


class References:
    """Gives rows and cells that do not say where they stand, as they may, their places.

    Attributes:
        row: number of the last row.
        cells: number of the cells, roughly.
        columns: beginnings of the references of the last cells of rows.
    """

    def __init__(self) -> None:
        self.row = 0
        self.cells = 0
        self.columns: set[bytes] = set()
        self._column = 0

    def given(self, rows: bytes) -> bytes:
        """The same with references everywhere."""
        cells = rows.count(b'<c r="')
        self.cells += cells
        numbered = True
        for row in rows.split(b"row>"):
            at = row.rfind(b' r="')
            if at >= 0:
                self.columns.add(row[at + 4 : at + 7])
                numbered = numbered and row.find(b'<row r="', 0, _BLANKS_BEFORE_A_ROW) >= 0
        if numbered and cells and cells == rows.count(b"<c"):
            last = _ROW_NUMBER.match(rows, rows.rfind(b'<row r="') + 4)
            self.row = int(last[1]) if last else self.row
            return rows
        if not _NO_REFERENCE.search(rows):
            for number in _ROW_NUMBER.findall(rows):
                self.row = max(self.row, int(number))
            return rows
        return _ROW_OR_CELL.sub(self._with_reference, rows)

    def _with_reference(self, tag: re.Match[bytes]) -> bytes:
        prefix, name, attributes, end = tag.groups()
        if name == b"row":
            number = _ROW_NUMBER.search(attributes)
            self.row = int(number[1]) if number else self.row + 1
            self._column = 0
            return tag[0] if number else b'<%brow r="%d"%b%b' % (prefix, self.row, attributes, end)
        reference = _REFERENCE.search(attributes)
        self._column = column_index(reference[1].decode()) + 1 if reference else self._column + 1
        self.cells += 1
        if reference:
            return tag[0]
        place = cell_reference(self.row - 1, self._column - 1).encode()
        return b'<%bc r="%b"%b%b' % (prefix, place, attributes, end)
