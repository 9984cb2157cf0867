"""What corrections of a rejected row mean: which cells of the row they replace, and by which texts."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import DecimalStyle
from services.gateway.errors import Problem, invalid_input
from services.gateway.shown import shown

MAX_CELL_BYTES: Final = 256 * 1024
MAX_NAMES_SHOWN: Final = 8

Cells = list[tuple[int, str | None]]
"""Index of the column and the text that stands there now, ascending; ``None`` for nothing."""


class CellColumn(NamedTuple):
    """A column of the file that a name means, and the field that it was named by."""

    at: int
    field: str | None


class Wrong(NamedTuple):
    """What is wrong with a name, or with a value."""

    code: str
    message: str


def corrected_cells(data: Mapping[str, object], plan: ParsePlan, *, every: bool = False) -> Cells:
    """The cells that ``data`` replaces, by headers of the file or names of fields.

    Numbers are written as the numbers of their column are.

    Args:
        data: names and values: texts, numbers, booleans, or null for an empty cell.
        plan: the plan of the run.
        every: whether every column of the file has to be named, because what is stored of the row may be a part of it.

    Raises:
        InvalidInputError: at ``corrected_data[…]``: a name that is unknown or means two columns, a column that is named
            twice, a value that no cell can hold; at ``corrected_data``: columns are missing.
    """
    problems: list[Problem] = []
    cells: dict[int, str | None] = {}
    named: dict[int, str] = {}
    for name, value in data.items():
        place = f"corrected_data[{shown(name)}]"
        column = column_named(name, plan)
        if isinstance(column, Wrong):
            problems.append(Problem(place, column.code, column.message))
        elif column.at in named:
            message = f"the column {shown(plan.columns[column.at])} is corrected by {shown(named[column.at])} already"
            problems.append(Problem(place, "CONFLICT", message))
        else:
            named[column.at] = name
            text, wrong = cell_text(value, plan, column)
            cells[column.at] = text
            if wrong is not None:
                problems.append(Problem(place, "INVALID", wrong))
    if every and data:
        if plan.overflow is not None:
            cells.setdefault(plan.overflow, None)
        missing = [plan.columns[at] for at in range(len(plan.columns)) if at not in cells]
        if missing and not problems:
            message = (
                "this row could not be read, so that what is stored of it may be a part of it; give every column of "
                f"the file a value, also {_listed(missing)}"
            )
            problems.append(Problem("corrected_data", "MISSING", message))
    if problems:
        raise invalid_input(*problems)
    return sorted(cells.items())


def shown_cells(cells: Cells, columns: Sequence[str]) -> dict[str, str | None]:
    """The same by header."""
    return {columns[at]: text for at, text in cells if at < len(columns)}


def column_named(name: str, plan: ParsePlan) -> CellColumn | Wrong:
    """The column that a name means."""
    header = plan.columns.index(name) if name in plan.columns else None
    at = plan.mapping.get(name)
    if header is not None and at is not None and at != header:
        message = (
            f"this is the header of one column and the field that the column {shown(plan.columns[at])} fills; name "
            "the other column by its header, or use a name that means one of them only"
        )
        return Wrong("AMBIGUOUS_NAME", message)
    if at is not None:
        return CellColumn(at, name)
    if header is not None:
        return CellColumn(header, _field_of(header, plan))
    if name in plan.mapping:
        return Wrong("NO_COLUMN", "the file has no column for this field, so there is no cell of it to correct")
    message = f"there is no column or field of this name; the columns are: {_listed(plan.columns)}"
    return Wrong("UNKNOWN_COLUMN", message)


def _field_of(at: int, plan: ParsePlan) -> str | None:
    return next((name for name, column in plan.mapping.items() if column == at and name in plan.decimal_styles), None)


def cell_text(value: object, plan: ParsePlan, column: CellColumn) -> tuple[str | None, str | None]:
    """The text of a cell, and what is wrong with the value."""
    match value:
        case None:
            text = None
        case bool():
            text = "true" if value else "false"
        case int() | float():
            text = _number(value, plan, column)
        case str():
            text = value
        case _:
            return None, "a cell is a text, a number, true, false, or null where it is empty"
    if text is not None and "\0" in text:
        return None, "a cell cannot hold the character NUL; remove it"
    if text is not None and len(text.encode()) > MAX_CELL_BYTES:
        return None, f"a correction has at most {MAX_CELL_BYTES // 1024:,} KiB; shorten it"
    return text, None


def _number(value: float, plan: ParsePlan, column: CellColumn) -> str:
    text = format(Decimal(repr(value)), "f")
    style = None if column.field is None or plan.typed_numbers else plan.decimal_styles.get(column.field)
    return text.replace(".", ",") if style is DecimalStyle.COMMA else text


def _listed(names: Sequence[str]) -> str:
    said = ", ".join(shown(name) for name in names[:MAX_NAMES_SHOWN])
    return f"{said}, …" if len(names) > MAX_NAMES_SHOWN else said
