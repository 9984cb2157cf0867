"""Cells that the reading library hides: errors such as ``#N/A``, and formulas whose value is not stored.

It hands both out as empty cells, so they are looked for in the file itself. A map of marks holds, by row
and column (from 0), the text of the error, or ``""`` for a formula without a value.
"""

import re
import struct
from collections.abc import Iterator

from services.parser.formats.excel.workbook import column_index

Marks = dict[int, dict[int, str]]

_P = rb"(?:[\w.-]+:)?"
"""Prefix of a namespace."""
_ERROR_CELL = re.compile(
    rb"<" + _P + rb"c(?=[^<>]*\st\s*=\s*[\"']e[\"'])([^<>]*)(?<!/)>(.*?)</" + _P + rb"c\s*>", re.DOTALL
)
_FORMULA_CELL = re.compile(
    rb"<" + _P + rb"c(\s[^<>]*)(?<!/)>\s*<" + _P + rb"f(?:\s[^<>]*)?(?:/>|(?<!/)>[^<]*</" + _P + rb"f\s*>)\s*"
    rb"(<" + _P + rb"v\s*/>|<" + _P + rb"v\s*>\s*</" + _P + rb"v\s*>)?\s*</" + _P + rb"c\s*>"
)
_REFERENCE = re.compile(rb"\sr\s*=\s*[\"']([A-Z]{1,3})([0-9]{1,7})[\"']")
_TYPE = re.compile(rb"\st\s*=\s*[\"'](\w+)[\"']")
_VALUE = re.compile(rb"<" + _P + rb"v\s*>([^<]*)<")


class XlsxMarks:
    """Marks of a worksheet part (``xl/worksheets/sheet1.xml``).

    Args:
        marks: where they are put.
    """

    def __init__(self, marks: Marks) -> None:
        self._marks = marks

    def look(self, rows: bytes) -> None:
        """Look at some whole rows; their cells say where they stand."""
        if b'"e"' in rows or b"'e'" in rows:
            for attributes, content in _ERROR_CELL.findall(rows):
                value = _VALUE.search(content)
                self.put(attributes, value[1].decode("utf-8", "replace").strip() if value else "#ERROR!")
        if b"<f" in rows or b":f" in rows:
            for attributes, value in _FORMULA_CELL.findall(rows):
                kind = _TYPE.search(attributes)
                # An empty text is a value, where it is one: a cell without any was never calculated.
                if kind is None or kind[1] not in {b"str", b"e", b"s"} or not value:
                    self.put(attributes, "")

    def put(self, attributes: bytes, text: str) -> None:
        """Mark the cell of a tag with these attributes."""
        reference = _REFERENCE.search(attributes)
        if reference is not None:
            self._marks.setdefault(int(reference[2]) - 1, {})[column_index(reference[1].decode())] = text


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
    return any(kind == _DATE_MODE and stream[at : at + 2] == b"\1\0" for kind, at, _ in xls_records(stream, 0))


def xls_marks(stream: bytes, sheet: int) -> Marks:
    """Marks of one sheet of a ``Workbook`` stream (``[MS-XLS]``).

    Args:
        stream: all of it.
        sheet: index of the sheet.
    """
    marks: Marks = {}
    starts = xls_sheet_starts(stream)
    if sheet >= len(starts):
        return marks
    for kind, at, size in xls_records(stream, starts[sheet]):
        code: int | None = None
        if kind == _BOOL_ERROR and size >= 8 and stream[at + 7]:
            code = stream[at + 6]
        elif kind == _FORMULA and size >= 14 and stream[at + 12 : at + 14] == b"\xff\xff" and stream[at + 6] == 2:
            code = stream[at + 8]
        if code is not None:
            row, column = struct.unpack_from("<HH", stream, at)
            marks.setdefault(row, {})[column] = _XLS_ERRORS.get(code, "#ERROR!")
    return marks


def xls_sheet_starts(stream: bytes) -> list[int]:
    """Offsets of the sheets in a ``Workbook`` stream."""
    return [
        struct.unpack_from("<I", stream, at)[0]
        for kind, at, size in xls_records(stream, 0)
        if kind == _SHEET and size >= 4
    ]


def xls_records(stream: bytes, start: int) -> Iterator[tuple[int, int, int]]:
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
