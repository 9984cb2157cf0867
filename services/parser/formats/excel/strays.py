"""One cell far away from all others makes a used range of millions of cells, each of which would take memory.

A sheet that is nearly all empty is read from a copy without such cells. Their rows are noted, so that they are rejected
and not lost: what stands there can belong to no column, or to no row that anybody sees.
"""

import io
import re
import zipfile
from collections.abc import Iterator

from services.parser.formats.excel.sheet_facts import SheetFacts
from services.parser.formats.excel.workbook import column_index
from services.parser.formats.excel.xlsx_facts import References, XlsxScan, whole_rows

_MOST_CELLS = 4_000_000
"""Of a used range whose cells are mostly blank; one takes some 24 bytes."""
_BLANK_TO_FULL = 8
_WIDEST_GAP = 100
_LONGEST_GAP = 10_000
_PIECE_BYTES = 1024 * 1024
_P = rb"(?:[\w.-]+:)?"
_ROW = re.compile(rb"<" + _P + rb"row(\s[^<>]*?)(?:/>|(?<!/)>(.*?)</" + _P + rb"row\s*>)", re.DOTALL)
_ROW_TAG = re.compile(rb"<" + _P + rb"row\s[^<>]*?\br\s*=\s*[\"']([0-9]{1,7})[\"']")
_CELL = re.compile(rb"<" + _P + rb"c(\s[^<>]*?)(?:/>|(?<!/)>(.*?)</" + _P + rb"c\s*>)", re.DOTALL)
_REFERENCE = re.compile(rb"\sr\s*=\s*[\"']([A-Z]{1,3})([0-9]{1,7})[\"']")
_NOT_NEEDED = re.compile(r"^xl/(?:worksheets|media|drawings|charts|embeddings|pivotCache|pivotTables)/", re.IGNORECASE)


def without_strays(archive: zipfile.ZipFile, part: str, scan: XlsxScan) -> io.BytesIO | None:
    """A copy of a workbook in which a sheet has no cells far away; they are noted among the facts of the scan.

    Args:
        archive: the workbook.
        part: name of the sheet's part.
        scan: of that part.

    Returns:
        ``None`` where the sheet can be read as it is.
    """
    columns = scan.last_columns
    if not columns:
        return None
    area = scan.rows * (columns[-1] + 1)
    if area <= _MOST_CELLS or area <= _BLANK_TO_FULL * scan.cells:
        return None
    last_column = columns[0]
    for column in columns:
        if column - last_column > _WIDEST_GAP:
            break
        last_column = column
    strip = _Strip(last_column, _last_row(archive, part), scan.facts)
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for entry in archive.infolist():
            if entry.filename != part and not _NOT_NEEDED.match(entry.filename):
                target.writestr(entry.filename, archive.read(entry))
        with target.open(part, "w", force_zip64=True) as sheet:
            for rows in _rows(archive, part):
                sheet.write(strip.of(rows))
    copy.seek(0)
    return copy


def _rows(archive: zipfile.ZipFile, part: str) -> Iterator[bytes]:
    references = References()
    with archive.open(part) as sheet:
        pieces = iter(lambda: sheet.read(_PIECE_BYTES), b"")
        yield from (references.given(rows) for rows in whole_rows(pieces))


def _last_row(archive: zipfile.ZipFile, part: str) -> int:
    """The last row before the first long run of blank rows."""
    last = 0
    for rows in _rows(archive, part):
        for text in _ROW_TAG.findall(rows):
            number = int(text)
            if last and number - last > _LONGEST_GAP:
                return last
            last = number
    return last


class _Strip:
    def __init__(self, last_column: int, last_row: int, facts: SheetFacts) -> None:
        self._last_column = last_column
        self._last_row = last_row
        self._facts = facts

    def of(self, rows: bytes) -> bytes:
        """Some whole rows without the cells that are far away."""
        return _ROW.sub(self._row, rows)

    def _row(self, found: re.Match[bytes]) -> bytes:
        if b"<" not in (found[2] or b""):
            return b"" if found[2] is None else found[0]
        return (
            found[0][: found.start(2) - found.start()]
            + _CELL.sub(self._cell, found[2])
            + found[0][found.end(2) - found.start() :]
        )

    def _cell(self, found: re.Match[bytes]) -> bytes:
        reference = _REFERENCE.search(found[1])
        if reference is None:
            return found[0]
        row, column = int(reference[2]), column_index(reference[1].decode())
        if row <= self._last_row and column <= self._last_column:
            return found[0]
        if found[2] and row - 1 not in self._facts.beyond:
            self._facts.beyond[row - 1] = column
        self._facts.marks.get(row - 1, {}).pop(column, None)
        return b""
