"""The facts of a sheet of an .xls: its records, ``[MS-XLS]``."""

import struct
from collections.abc import Iterator

from services.parser.formats.excel.number_formats import zero_mask
from services.parser.formats.excel.sheet_facts import SheetFacts
from services.parser.formats.excel.sheet_marks import xls_marks, xls_records, xls_sheet_starts

_FORMAT, _XF = 0x041E, 0x00E0
_ROW, _COLUMNS = 0x0208, 0x007D
_NUMBER, _RK, _MULTIPLE_RK, _FORMULA = 0x0203, 0x027E, 0x00BD, 0x0006
_HIDDEN_ROW, _HIDDEN_COLUMN = 0x20, 0x01
_RK_BYTES = 6


def xls_facts(stream: bytes, sheet: int) -> SheetFacts:
    """The facts of one sheet.

    Args:
        stream: the ``Workbook`` stream.
        sheet: its index.
    """
    facts = SheetFacts(marks=xls_marks(stream, sheet))
    starts = xls_sheet_starts(stream)
    if sheet >= len(starts):
        return facts
    masks = _masks(stream)
    for kind, at, size in xls_records(stream, starts[sheet]):
        if kind == _ROW and size >= 16:
            if stream[at + 12] & _HIDDEN_ROW:
                facts.hidden_rows.add(struct.unpack_from("<H", stream, at)[0])
        elif kind == _COLUMNS and size >= 10:
            first, last, _, _, flags = struct.unpack_from("<5H", stream, at)
            if flags & _HIDDEN_COLUMN:
                facts.hidden_columns.update(range(first, min(last, 255) + 1))
        elif masks:
            for row, column, style in _numbers(stream, kind, at, size):
                if style in masks:
                    facts.masks.add(row, column, masks[style])
    return facts


def _masks(stream: bytes) -> dict[int, str]:
    """Zero masks by the number of a cell's style."""
    codes: dict[int, str] = {}
    formats: list[int] = []
    for kind, at, size in xls_records(stream, 0):
        if kind == _FORMAT and size > 5:
            number, chars, wide = struct.unpack_from("<HHB", stream, at)
            text = stream[at + 5 : at + min(size, 5 + chars * (1 + (wide & 1)))]
            codes[number] = text.decode("utf-16-le" if wide & 1 else "latin-1", "replace")
        elif kind == _XF and size >= 4:
            formats.append(struct.unpack_from("<H", stream, at + 2)[0])
    known = {number: mask for number, code in codes.items() if (mask := zero_mask(code)) is not None}
    return {style: known[number] for style, number in enumerate(formats) if number in known}


def _numbers(stream: bytes, kind: int, at: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Row, column and style of the number cells of a record."""
    if kind in {_NUMBER, _RK, _FORMULA} and size >= 10:
        yield struct.unpack_from("<3H", stream, at)
    elif kind == _MULTIPLE_RK and size >= 6 + _RK_BYTES:
        row, first = struct.unpack_from("<HH", stream, at)
        for index in range((size - 6) // _RK_BYTES):
            yield row, first + index, struct.unpack_from("<H", stream, at + 4 + index * _RK_BYTES)[0]
