"""A few texts of each column with what they were read as, so that people see a wrong guess before they execute."""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

import polars as pl
import pyarrow as pa

from libs.batches.columns import ROW, WARNINGS, cell_column
from libs.contracts.rejections import RowError, shown
from services.validator.domain.checking import CheckedBatch
from services.validator.domain.compilation import CompiledTemplate
from services.validator.domain.preview import preview_value

EXAMPLES: Final = 3
"""Of each column."""
_ROWS = 200
"""That are looked at."""


class _Example(NamedTuple):
    row: int
    text: str
    error: str | None


def examples(compiled: CompiledTemplate, parsed: pa.Table, checked: CheckedBatch) -> dict[str, list[dict[str, Any]]]:
    """By field, the first text of its column, the longest one, and one that is refused or else the shortest.

    Each is ``{"text", "value", "error"}``: JSON values as in ``preview``, ``error`` the code of what is wrong with the
    text. Fields that are not made of one column alone have none.

    Args:
        compiled: what the batch was checked by.
        parsed: the first batch of a file.
        checked: what became of it.
    """
    first = pl.DataFrame(parsed.slice(0, _ROWS))
    rows: list[int] = first[ROW].to_list()
    errors = {row: checked.rejected.errors[row] for row in rows if row in checked.rejected.errors}
    valid = pl.DataFrame(checked.valid).filter(pl.col(ROW).is_in(rows))
    values = {row[ROW]: row for row in valid.to_dicts()}
    warned = _warned(values)
    chosen: dict[str, list[dict[str, Any]]] = {}
    for field in compiled.template.fields:
        at = compiled.plan.mapping.get(field.name)
        if at is None or not field.reads_column or cell_column(at) not in first.columns:
            continue
        told: dict[str, _Example] = {}
        for row, text in zip(rows, first[cell_column(at)].to_list(), strict=True):
            if text and text not in told:
                wrong = _error_of(field.name, errors.get(row, ()))
                if row in values or wrong is not None:
                    told[text] = _Example(row, text, wrong or warned.get((row, field.name)))
        chosen[field.name] = [
            {
                "text": shown(each.text),
                "value": None if each.error else preview_value(values[each.row], field.name),
                "error": each.error,
            }
            for each in _telling(list(told.values()))
        ]
    return chosen


def _telling(found: Sequence[_Example]) -> list[_Example]:
    if not found:
        return []
    refused = next((each for each in found if each.error is not None), min(found, key=lambda each: len(each.text)))
    longest = max(found, key=lambda each: len(each.text))
    return list(dict.fromkeys(chain((found[0], longest, refused), found)))[:EXAMPLES]


def _error_of(field: str, errors: Sequence[RowError]) -> str | None:
    return next((error.code for error in errors if error.field == field), None)


def _warned(values: Mapping[int, Mapping[str, Any]]) -> dict[tuple[int, str], str]:
    """Of rows that are kept in spite of errors, the code of each field that has one."""
    found: dict[tuple[int, str], str] = {}
    for row, each in values.items():
        for warning in json.loads(each.get(WARNINGS) or "[]"):
            found.setdefault((row, warning["field"]), warning["code"])
    return found
