"""What the owner of a run is told of a sheet."""

from collections.abc import Iterator, Mapping
from typing import Any

from libs.contracts.templates import SourceFormat
from services.parser.formats.api.headers import counted
from services.parser.formats.excel.workbook import cell_reference

_SHOWN = 10


def notes_of(said: Mapping[str, Any], source: SourceFormat) -> Iterator[str]:
    """Sentences about merged cells, about what is hidden, and about headers that name no column.

    Args:
        said: content of the layout frame.
        source: the template's.
    """
    if said["merged"]:
        yield (
            f"the sheet has {said['merged']:,} merged areas: the value of each stands in its top left cell alone, "
            "the others are empty"
        )
    if said["hidden_rows"]:
        yield _hidden(counted(said["hidden_rows"], "row"), said["hidden_rows"], "hidden_rows", source.hidden_rows)
    if said["hidden_columns"]:
        columns: list[int] = said["hidden_columns"]
        names = ", ".join(_letters(column) for column in columns[:_SHOWN]) + (", …" if len(columns) > _SHOWN else "")
        what = f"{counted(len(columns), 'column')} ({names})"
        yield _hidden(what, len(columns), "hidden_columns", source.hidden_columns)
    for column in said["strays"][:_SHOWN]:
        yield (
            f"the cell {cell_reference(said['header_place'], column)} stands far to the right of the header and names "
            "no column; rows with cells there are rejected"
        )


def _hidden(what: str, number: int, setting: str, choice: str) -> str:
    verb = "is" if number == 1 else "are"
    if choice == "skip":
        return f"{what} of the sheet {verb} hidden and left out, as the template says"
    return (
        f"{what} of the sheet {verb} hidden and read like all others; {setting}: skip in the template leaves them out"
    )


def _letters(column: int) -> str:
    return cell_reference(0, column).rstrip("0123456789")
