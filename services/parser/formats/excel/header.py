"""A header that does not name the columns: because it names groups of them, or is the title above the header."""

from collections.abc import Iterable

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from services.parser.formats.excel.sheet_facts import Area
from services.parser.formats.excel.sheet_rows import SheetRows
from services.parser.formats.excel.workbook import cell_reference


def refuse_grouped_header(rows: SheetRows, merged: Iterable[Area]) -> None:
    """Refuse a header with merged cells, if the row behind it names the columns under them.

    That row does so if all its cells are texts, two or more of them under one merged cell, and if it leaves out columns
    that the header names, or the header names groups alone.

    Raises:
        FileRefusedError: ``UNCLEAR_HEADER``.
    """
    place, second = rows.header_place, rows.second
    if not second or not all(isinstance(cell, str) for cell in second.values()):
        return
    index_of = {column: index for index, column in enumerate(rows.columns)}
    under: set[int] = set()
    group: Area | None = None
    for area in merged:
        top, left, bottom, right = area
        if top == place and left < right:
            within = {index_of[column] for column in range(left, right + 1) if column in index_of}
            if bottom == place and len(within & second.keys()) > 1:
                group = group or area
            under |= within
    named = {index for index, text in enumerate(rows.header) if text.strip()} - under
    if group is None or (named and named <= second.keys()):
        return
    _, left, _, right = group
    raise FileRefusedError(
        RunErrorCode.UNCLEAR_HEADER,
        f"row {place + 1} of the sheet is no header: the cells {cell_reference(place, left)} to "
        f"{cell_reference(place, right)} are merged, and row {place + 2} names the columns under them; set skip_rows "
        f"to {place + 1} in the template if that row names all columns, else write all names into one row",
    )
