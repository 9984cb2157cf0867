"""Parsed batches and small templates for the tests of the validator's engine."""

from collections.abc import Sequence

import pyarrow as pa

from libs.contracts.plan import ParsePlan
from libs.contracts.rejections import RejectedRow, RowError
from libs.contracts.templates import Template, TemplateField
from services.validator.domain.checking import CheckedBatch, check_batch
from services.validator.domain.compilation import CompiledTemplate, compile_template


def parsed_batch(*columns: Sequence[str | None], first_row: int = 1) -> pa.Table:
    """A parsed batch with one list of cells per column."""
    rows = range(first_row, first_row + len(columns[0]))
    cells = {f"c{at}": pa.array(column, pa.string()) for at, column in enumerate(columns)}
    return pa.table({"_row": pa.array(rows, pa.uint32()), **cells})


def template(*fields: TemplateField, **more: object) -> Template:
    return Template(name="test", target_resource="things", fields=fields, **more)


def compiled(*fields: TemplateField, **more: object) -> CompiledTemplate:
    """A template whose fields are the file's columns, in order."""
    mapping: dict[str, int | None] = {field.name: at for at, field in enumerate(fields)}
    return compile_template(template(*fields, **more), ParsePlan(mapping=mapping))


def check(field: TemplateField, *cells: str | None, **more: object) -> CheckedBatch:
    """A batch of one column, checked."""
    return check_batch(compiled(field, **more), parsed_batch(cells))


def outcome(field: TemplateField, cell: str | None) -> object:
    """The value of a cell, or the list of its error codes."""
    batch = check(field, cell)
    if batch.rejected:
        return [error.code for error in errors(batch)]
    row = batch.valid.to_pylist()[0]
    values = [row[name] for name in (field.name, f"_int_{field.name}", f"_dec_{field.name}") if name in row]
    return next((value for value in values if value is not None), None)


def rejected(batch: CheckedBatch) -> list[RejectedRow]:
    """The rejected rows, all at once."""
    return list(batch.rejected)


def errors(batch: CheckedBatch) -> list[RowError]:
    """The errors of all rejected rows."""
    return [error for row in batch.rejected for error in row.errors]
