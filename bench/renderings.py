"""One set of rows in every format that Rowdock reads."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO
from xml.sax.saxutils import escape

import xlsxwriter

Row = Sequence[object]

FIXED_WIDTHS = {
    "id": 9,
    "first_name": 12,
    "last_name": 12,
    "email": 44,
    "phone": 18,
    "city": 12,
    "signup_date": 11,
    "balance": 11,
    "active": 5,
    "notes": 40,
}
"""Of the columns of contacts, in characters."""


def write_csv(out: BinaryIO, header: Sequence[str], rows: Iterable[Row]) -> None:
    """Comma-separated, with a header line."""
    out.write(csv_lines([header]))
    _in_blocks(out, csv_lines, rows)


def csv_lines(rows: Iterable[Row]) -> bytes:
    """Rows as lines of CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def write_json(out: BinaryIO, header: Sequence[str], rows: Iterable[Row]) -> None:
    """One array of objects; every value is a string."""
    out.write(b"[\n")
    out.writelines((b",\n" if number else b"") + _object(header, row) for number, row in enumerate(rows))
    out.write(b"\n]\n")


def write_ndjson(out: BinaryIO, header: Sequence[str], rows: Iterable[Row]) -> None:
    """An object a line; every value is a string."""
    out.writelines(_object(header, row) + b"\n" for row in rows)


def _object(header: Sequence[str], row: Row) -> bytes:
    return json.dumps(dict(zip(header, map(str, row), strict=True)), separators=(",", ":")).encode()


def write_xml(out: BinaryIO, header: Sequence[str], rows: Iterable[Row]) -> None:
    """An element a row, an element a cell."""
    out.write(b'<?xml version="1.0" encoding="UTF-8"?>\n<contacts>\n')
    for row in rows:
        cells = "".join(f"<{name}>{escape(str(cell))}</{name}>" for name, cell in zip(header, row, strict=True))
        out.write(f"<contact>{cells}</contact>\n".encode())
    out.write(b"</contacts>\n")


def write_fixed_width(
    out: BinaryIO, header: Sequence[str], rows: Iterable[Row], column_widths: Mapping[str, int] = FIXED_WIDTHS
) -> None:
    """Cells padded to their widths, in characters; no header line."""
    widths = [column_widths[name] for name in header]
    out.writelines(
        "".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).encode() + b"\n"
        for row in rows
    )


def write_xlsx(out: BinaryIO, header: Sequence[str], rows: Iterable[Row]) -> None:
    """One worksheet with real numbers and dates."""
    with xlsxwriter.Workbook(out, {"constant_memory": True, "default_date_format": "yyyy-mm-dd"}) as workbook:
        sheet = workbook.add_worksheet("Contacts")
        sheet.write_row(0, 0, header)
        for number, row in enumerate(rows, 1):
            for column, cell in enumerate(row):
                sheet.write(number, column, _number_or_cell(cell) if header[column] == "balance" else cell)


def _number_or_cell(cell: object) -> object:
    return float(str(cell)) if str(cell).replace(".", "").isdecimal() else cell


def _in_blocks(out: BinaryIO, lines: Callable[[Iterable[Row]], bytes], rows: Iterable[Row]) -> None:
    block: list[Row] = []
    for row in rows:
        block.append(row)
        if len(block) == 10_000:
            out.write(lines(block))
            block.clear()
    out.write(lines(block))


RENDERERS: dict[str, tuple[str, Callable[[BinaryIO, Sequence[str], Iterable[Row]], None]]] = {
    "csv": ("csv", write_csv),
    "xlsx": ("excel", write_xlsx),
    "json": ("json", write_json),
    "ndjson": ("json", write_ndjson),
    "xml": ("xml", write_xml),
    "fixed_width": ("fixed_width", write_fixed_width),
}
"""File extension to ``file_type`` and the function that writes it."""


def render(file: Path, extension: str, header: Sequence[str], rows: Iterable[Row]) -> None:
    """Write rows into a file of the format."""
    with file.open("wb") as out:
        RENDERERS[extension][1](out, header, rows)
