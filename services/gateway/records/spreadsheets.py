"""Tables that spreadsheet programs open: CSV and workbooks, made piece by piece in constant memory.

The cells come from other people's files. No program may take one for a formula: in CSV such a cell gets an apostrophe
in front, in a workbook every cell says that it is a text.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from zipfile import ZIP_DEFLATED, ZipFile

from libs.contracts.corrections import cut_to_cell, harmless

Cell = str | int | float | Decimal | None

MAX_WORKBOOK_ROWS: Final = 1_048_576
"""Of a sheet, with its header."""
MAX_WORKBOOK_COLUMNS: Final = 16_384


def csv_lines(rows: Iterable[Sequence[Cell]]) -> bytes:
    """Lines of a CSV file in UTF-8, with commas."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\r\n")
    writer.writerows([harmless(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return sink.getvalue().encode()


def told(reasons: Sequence[Mapping[str, Any]]) -> str:
    """Reasons (``code``, ``message``, perhaps ``column`` and ``field``) as one text."""
    return "; ".join(
        " ".join(filter(None, (reason["code"], reason.get("column") or reason.get("field")))) + f": {reason['message']}"
        for reason in reasons
    )


class Workbook:
    """A workbook with one sheet. What each call returns follows what the one before has returned. Whoever gives it up
    before its end closes it.

    Raises:
        RuntimeError: by ``rows`` and ``end``, where the sheet gets 2 GiB large.
    """

    def __init__(self) -> None:
        self._sink = _Sink()
        self._archive = ZipFile(self._sink, "w", ZIP_DEFLATED, compresslevel=1)
        for name, content in _PARTS.items():
            self._archive.writestr(name, content)
        self._sheet = self._archive.open("xl/worksheets/sheet1.xml", "w")
        self._sheet.write(_SHEET_START)

    def rows(self, rows: Iterable[Sequence[Cell]]) -> bytes:
        """The next rows; the first one is the header."""
        self._sheet.write("".join(_row(row) for row in rows).encode())
        return self._sink.taken()

    def end(self) -> bytes:
        """What is left."""
        self._sheet.write(_SHEET_END)
        self.close()
        return self._sink.taken()

    def close(self) -> None:
        """Nothing more is wanted."""
        self._sheet.close()
        self._archive.close()


class _Sink(io.RawIOBase):
    """A file that can only be written; what was written is taken from it."""

    def __init__(self) -> None:
        super().__init__()
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        assert isinstance(data, bytes)
        self._written += data
        return len(data)

    def taken(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


def _row(cells: Sequence[Cell]) -> str:
    return f"<row>{''.join(map(_cell, cells))}</row>"


def _cell(cell: Cell) -> str:
    if cell is None or cell == "":
        return "<c/>"
    if not isinstance(cell, str):
        written = str(cell)
        if sum(map(str.isdecimal, written)) <= _EXACT_DIGITS or isinstance(cell, float):
            return f"<c><v>{written}</v></c>"
        cell = written
    return f'<c t="inlineStr"><is><t xml:space="preserve">{_text(cell)}</t></is></c>'


def _text(text: str) -> str:
    return cell_text(text).translate(_MARKUP)


def cell_text(text: str) -> str:
    """``text`` as a cell of a workbook writes it: cut to what it holds, without characters that XML cannot hold."""
    text = cut_to_cell(text)
    if "_x" in text:
        text = _ESCAPED.sub("_x005F_", text)
    return text.translate(_CONTROLS)


_EXACT_DIGITS: Final = 15
"""A spreadsheet program loses the others of a number; more are kept as text."""
_ESCAPED = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
"""What would be read as a character that XML cannot hold."""
_CONTROLS: Final[dict[int, str]] = {code: f"_x{code:04X}_" for code in (*range(9), *range(0xB, 0x20), 0xFFFE, 0xFFFF)}
_MARKUP: Final[dict[int, str]] = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_MADE_OF = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS: Final[dict[str, str]] = {
    "[Content_Types].xml": (
        f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_MADE_OF}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_MADE_OF}.worksheet+xml"/></Types>'
    ),
    "_rels/.rels": (
        f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
    ),
    "xl/workbook.xml": (
        f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}">'
        '<sheets><sheet name="rows" sheetId="1" r:id="rId1"/></sheets></workbook>'
    ),
    "xl/_rels/workbook.xml.rels": (
        f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>'
    ),
}
_SHEET_START: Final = (
    f'{_XML}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
    '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><sheetData>'
).encode()
_SHEET_END: Final = b"</sheetData></worksheet>"
