"""Cells that the reading library hides: errors such as ``#N/A``, and formulas whose value is not stored.

It hands both out as empty cells, so they are looked for in the file itself. A map of marks holds, by row
and column (from 0), the text of the error, or ``""`` for a formula without a value.
"""

import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator

from services.parser.formats.excel.workbook import column_index

Marks = dict[int, dict[int, str]]

_P = rb"(?:[\w.-]+:)?"
"""Prefix of a namespace."""
_ERROR_CELL = re.compile(
    rb"<" + _P + rb"c(?=[^<>]*\st\s*=\s*[\"']e[\"'])([^<>]*)(?<!/)>(.*?)</" + _P + rb"c\s*>", re.DOTALL
)
_FORMULA_CELL = re.compile(
    rb"<" + _P + rb"c(\s[^<>]*)(?<!/)>\s*<" + _P + rb"f(?:\s[^<>]*)?(?:/>|(?<!/)>[^<]*</" + _P + rb"f\s*>)\s*"
    rb"(?:<" + _P + rb"v\s*/>|<" + _P + rb"v\s*>\s*</" + _P + rb"v\s*>)?\s*</" + _P + rb"c\s*>"
)
_REFERENCE = re.compile(rb"\sr\s*=\s*[\"']([A-Z]{1,3})([0-9]{1,7})[\"']")
_TYPE = re.compile(rb"\st\s*=\s*[\"'](\w+)[\"']")
_VALUE = re.compile(rb"<" + _P + rb"v\s*>([^<]*)<")


def xlsx_marks(pieces: Iterable[bytes]) -> Marks:
    """Marks of a worksheet part (``xl/worksheets/sheet1.xml``).

    A cell that does not say where it stands is left out; every program that is known writes that.

    Args:
        pieces: the part's bytes, in pieces.
    """
    marks: Marks = defaultdict(dict)
    carry: list[bytes] = []
    for piece in pieces:
        cut = piece.rfind(b"row>") + 4
        if cut < 4:  # no row ends here
            carry.append(piece)
            continue
        _look(b"".join([*carry, piece[:cut]]), marks)
        carry = [piece[cut:]]
    _look(b"".join(carry), marks)
    return dict(marks)


def _look(rows: bytes, marks: Marks) -> None:
    if b'"e"' in rows or b"'e'" in rows:
        for attributes, content in _ERROR_CELL.findall(rows):
            value = _VALUE.search(content)
            _mark(attributes, value[1].decode("utf-8", "replace").strip() if value else "#ERROR!", marks)
    if b"<f" in rows or b":f" in rows:
        for attributes in _FORMULA_CELL.findall(rows):
            kind = _TYPE.search(attributes)
            if kind is None or kind[1] not in {b"str", b"e", b"s"}:  # an empty text is a value
                _mark(attributes, "", marks)


def _mark(attributes: bytes, text: str, marks: Marks) -> None:
    reference = _REFERENCE.search(attributes)
    if reference is not None:
        marks[int(reference[2]) - 1][column_index(reference[1].decode())] = text


_ODS_TAG = re.compile(rb"<(/?)table:(table|table-row|table-cell|covered-table-cell)(?=[\s/>])([^<>]*)>")
_REPEATED = re.compile(rb"table:number-(?:rows|columns)-repeated=\"([0-9]{1,7})\"")
_ODS_ERROR = re.compile(rb"value-type=\"error\"")
_ODS_TEXT = re.compile(rb"<text:p[^<>]*>([^<]*)<")
_TEXT_WITHIN = 400
_MOST_REPEATS = 2**14
"""Of one cell: a longer run is formatting, and a file may claim any number."""


def ods_marks(content: bytes, sheet: int) -> Marks:
    """Marks of one table of an ODS ``content.xml``.

    Args:
        content: the part.
        sheet: index of the table.
    """
    marks: Marks = {}
    if not _ODS_ERROR.search(content):
        return marks
    for rows, columns, attributes, end in _ods_cells(content, sheet):
        if _ODS_ERROR.search(attributes):
            text = _ODS_TEXT.match(content, end, end + _TEXT_WITHIN)
            shown = text[1].decode("utf-8", "replace") if text else "#ERROR!"
            for row in rows[:_MOST_REPEATS]:
                marks.setdefault(row, {}).update(dict.fromkeys(columns[:_MOST_REPEATS], shown))
    return marks


def _ods_cells(content: bytes, sheet: int) -> Iterator[tuple[range, range, bytes, int]]:
    """Rows, columns, attributes and end of the tag of every cell of a table."""
    table, column = -1, 0
    rows = range(0)
    for tag in _ODS_TAG.finditer(content):
        closing, name, attributes = tag.groups()
        if name == b"table":
            table += not closing
        elif table != sheet or closing:
            continue
        elif name == b"table-row":
            rows = range(rows.stop, rows.stop + _repeats(attributes))
            column = 0
        else:
            columns = range(column, column + _repeats(attributes))
            column = columns.stop
            yield rows, columns, attributes, tag.end()


def _repeats(attributes: bytes) -> int:
    repeated = _REPEATED.search(attributes)
    return int(repeated[1]) if repeated else 1


_BOF, _EOF, _SHEET, _DATE_MODE, _BOOL_ERROR, _FORMULA = 0x0809, 0x000A, 0x0085, 0x0022, 0x0205, 0x0006
_XLS_ERRORS = {
    0x00: "#NULL!",
    0x07: "#DIV/0!",
    0x0F: "#VALUE!",
    0x17: "#REF!",
    0x1D: "#NAME?",
    0x24: "#NUM!",
    0x2A: "#N/A",
}


def xls_date_1904(stream: bytes) -> bool:
    """Whether serial numbers of dates count from 1904, from a ``Workbook`` stream (``[MS-XLS]``)."""
    return any(kind == _DATE_MODE and stream[at : at + 2] == b"\1\0" for kind, at, _ in _records(stream, 0))


def xls_marks(stream: bytes, sheet: int) -> Marks:
    """Marks of one sheet of a ``Workbook`` stream (``[MS-XLS]``).

    Args:
        stream: all of it.
        sheet: index of the sheet.
    """
    marks: Marks = {}
    starts = [
        struct.unpack_from("<I", stream, at)[0]
        for kind, at, size in _records(stream, 0)
        if kind == _SHEET and size >= 4
    ]
    if sheet >= len(starts):
        return marks
    for kind, at, size in _records(stream, starts[sheet]):
        code: int | None = None
        if kind == _BOOL_ERROR and size >= 8 and stream[at + 7]:
            code = stream[at + 6]
        elif kind == _FORMULA and size >= 14 and stream[at + 12 : at + 14] == b"\xff\xff" and stream[at + 6] == 2:
            code = stream[at + 8]
        if code is not None:
            row, column = struct.unpack_from("<HH", stream, at)
            marks.setdefault(row, {})[column] = _XLS_ERRORS.get(code, "#ERROR!")
    return marks


def _records(stream: bytes, start: int) -> Iterator[tuple[int, int, int]]:
    """Kind, offset of the content, and size of every record of a substream, without the ones within it."""
    at, depth = start, 0
    while at + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, at)
        if at + 4 + size > len(stream):
            return
        if kind == _BOF:
            depth += 1
        elif kind == _EOF:
            depth -= 1
            if depth <= 0:
                return
        elif depth == 1:
            yield kind, at + 4, size
        at += 4 + size
