"""The columnar engine: one pass of a compiled template over a batch.

In: a parsed batch, text cells. Out: a checked batch, typed columns, and the rejected rows with their reasons.
Guarantee: each row of the input is in exactly one of the two, or asks for its record to be deleted.
Python looks at single rows only where they have errors.

Memory is bounded: a batch whose cells are many, or whose texts a transform can make much
longer, is checked in several parts.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from libs.batches.columns import (
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    ROW,
    ROW_TYPE,
    TEXT,
    WARNINGS,
    cell_columns,
    decimal_type,
    value_columns,
)
from libs.batches.tables import BatchRejections
from libs.contracts.errors import PermanentError
from libs.contracts.reasons import RowErrorCode, RunErrorCode
from libs.contracts.rejections import RowError, shown
from libs.contracts.templates import InvalidRows, TemplateField
from services.validator.domain.care import Care
from services.validator.domain.compilation import DELETES, FAULTY, REFUSED, CompiledTemplate, RowCheck, key_column
from services.validator.domain.field_types import may_be_read_closely
from services.validator.domain.pattern_matching import PatternRefusedError
from services.validator.domain.spelling import beyond_ascii
from services.validator.domain.steps import evaluate
from services.validator.domain.transforms import text_bound

MAX_ROW_ERRORS: Final = 100
MAX_ROW_ERROR_CHARS: Final = 30_000
"""Of the messages of one row: a hundred of ours, or fifteen of the longest that a template can bring."""
MAX_BATCH_BYTES: Final = 192 * 1024 * 1024
"""Values of one checked batch."""
_PART_CELLS = 1_250_000
_PART_BYTES = 48 * 1024 * 1024
_FAULTY_ROWS = 250
"""Rows whose errors are put together at a time."""

_ARROW_TYPES: dict[pl.DataType, pa.DataType] = {
    pl.String(): TEXT,
    pl.Boolean(): BOOLEAN,
    pl.Int64(): INTEGER,
    pl.Float64(): DOUBLE,
    pl.UInt32(): ROW_TYPE,
    pl.Datetime("ms", "UTC"): DATE,
}


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """What became of a parsed batch.

    Attributes:
        valid: the checked batch; rows ascending.
        rejected: the other rows.
        deletions: the rows that ask for their record to be deleted, with the columns of the upsert key alone;
            ``None`` where the template names no column for that.
        warnings: rows of ``valid`` that carry warnings (``invalid_rows=keep`` only).
        held: of a sync, the row number and the columns of the upsert key of every row that has one, rejected or not;
            else ``None``.
        unclear_keys: of a sync, the rows whose upsert key is missing or broken: nobody knows which record they mean.
        keys: for templates with unique constraints, the row number and one string column per
            constraint, for the rows of ``valid`` and ``deletions``; null where a row has no value.
    """

    valid: pa.Table
    rejected: BatchRejections
    warnings: int
    keys: pa.Table | None
    deletions: pa.Table | None = None
    held: pa.Table | None = None
    unclear_keys: int = 0


def check_batch(compiled: CompiledTemplate, parsed: pa.Table) -> CheckedBatch:
    """Check every row of a parsed batch.

    With ``invalid_rows`` skip and block a row with any error is rejected (what block means for the run
    is decided where the whole run is seen). With keep it stays, with null for a value that could not be
    converted, the original text in ``_raw_<field>`` and its errors in ``_warnings``; only a row
    without a value for the upsert key, or too large for a record, or of which it is not clear whether it deletes its
    record, is rejected even then.

    A row has at most 100 errors, with messages of 30,000 characters: where it would have more, the last one
    tells how many.

    Args:
        compiled: the template for the file that the batch was cut from.
        parsed: a parsed batch.

    Raises:
        PermanentError: ``BATCH_TOO_LARGE``, the transforms of the template make too much of the rows;
            ``INVALID_PATTERN``, values beyond ASCII need more of a pattern than the engine compiles.
    """
    cells = parsed.select(list(compiled.sources))
    keep = compiled.template.invalid_rows is InvalidRows.KEEP
    outcomes: list[pl.DataFrame] = []
    holding: list[pl.DataFrame] = []
    errors: dict[int, tuple[RowError, ...]] = {}
    warnings = size = unclear = 0
    parts = _parts(compiled, cells)
    for part in parts:
        compiled, frame = _with_due_care(compiled, part)
        refused = frame[REFUSED]
        errors |= _errors(compiled, frame, refused)
        if compiled.sweeps:
            holding.append(_holding(compiled, frame))
            unclear += _unclear_keys(compiled, frame)
        columns = [*compiled.values, *_keys(compiled), *([DELETES] if compiled.deletes else [])]
        if keep:
            kept = _kept_faulty(compiled, frame)
            warned = {row: warnings_json(found) for row, found in _errors(compiled, frame, kept).items()}
            warnings += len(warned)
            frame = frame.with_columns(with_warnings(warned))
            columns.append(WARNINGS)
        outcome = frame[columns]
        outcomes.append(outcome.filter(~refused) if refused.any() else outcome)
        if len(parts) > 1:
            size += _arrow_bytes(outcomes[-1])
        if size > MAX_BATCH_BYTES:
            raise PermanentError(
                RunErrorCode.BATCH_TOO_LARGE,
                f"with this template, the rows from {parsed[ROW][0]} to {parsed[ROW][-1]} would have more than "
                f"{MAX_BATCH_BYTES // 1024**2} MiB; let fewer fields of the template read the same column, or "
                "shorten what the transforms 'replace', 'default' and 'constant' write",
            )
    outcome = outcomes[0] if len(outcomes) == 1 else pl.concat(outcomes)
    keys = _key_table(compiled, outcome)
    deletions = None
    if compiled.deletes:
        deletions = _deletions(compiled, outcome.filter(DELETES))
        outcome = outcome.filter(~pl.col(DELETES)).drop(DELETES)
    empty = [name for name in compiled.optional if outcome[name].null_count() == outcome.height]
    return CheckedBatch(
        valid=to_arrow(outcome.drop(*_keys(compiled), *empty)),
        rejected=BatchRejections(parsed, errors),
        warnings=warnings,
        keys=keys,
        deletions=deletions,
        held=to_arrow(pl.concat(holding)) if holding else None,
        unclear_keys=unclear,
    )


def _with_due_care(compiled: CompiledTemplate, part: pa.Table) -> tuple[CompiledTemplate, pl.DataFrame]:
    """The part evaluated, and the template with the care that it needed."""
    compiled = compiled.with_care(Care(beyond_ascii(part), frozenset()))
    frame = _evaluated(compiled, part)
    if not frame[FAULTY].any():
        return compiled, frame
    fields = {field.name: field for field in compiled.template.fields if field.name in compiled.null_words}
    asked = {check.step: (check, fields[check.field]) for check in compiled.checks if check.field in fields}
    met = {field.name for check, field in asked.values() if _deserves_a_closer_look(check, field, compiled, frame)}
    if not met:
        return compiled, frame
    compiled = compiled.with_care(Care(frozenset(), frozenset(met)))
    return compiled, _evaluated(compiled, part)


def _deserves_a_closer_look(
    check: RowCheck, field: TemplateField, compiled: CompiledTemplate, frame: pl.DataFrame
) -> bool:
    """Whether a check, or any that reads the same step, refuses a text that is a value, or none, if read closely."""
    if check.text is None:
        return False
    broken = frame[check.step] if check.check.number is None else frame[check.step] > 0
    if not broken.any():
        return False
    words = compiled.null_words[field.name]
    texts: list[str | None] = frame[check.text].filter(broken).to_list()
    return any(text is not None and (text in words or may_be_read_closely(field, text)) for text in texts)


def _kept_faulty(compiled: CompiledTemplate, frame: pl.DataFrame) -> pl.Series:
    """Rows that are written although they break a check."""
    kept = frame[FAULTY] & ~frame[REFUSED]
    return kept & ~frame[DELETES] if compiled.deletes else kept


def _deletions(compiled: CompiledTemplate, outcome: pl.DataFrame) -> pa.Table:
    field = next(field for field in compiled.template.fields if field.name == compiled.upsert_key)
    columns = [column.name for column in value_columns(field, outcome.columns)]
    empty = [name for name in columns if name in compiled.optional and outcome[name].null_count() == outcome.height]
    return to_arrow(outcome[[ROW, *columns]].drop(empty))


def _holding(compiled: CompiledTemplate, frame: pl.DataFrame) -> pl.DataFrame:
    field = next(field for field in compiled.template.fields if field.name == compiled.upsert_key)
    columns = [column.name for column in cell_columns(field, frame.columns)]
    return frame.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in columns))[[ROW, *columns]]


def _unclear_keys(compiled: CompiledTemplate, frame: pl.DataFrame) -> int:
    """A key that breaks a rule may be half of one: the row may mean another record than the one it names."""
    broken = [check.answer.fill_null(value=False) for check in compiled.checks if check.field == compiled.upsert_key]
    missing = pl.col(key_column(compiled.upsert_key or "")).is_null()
    return frame.select(pl.any_horizontal(missing, *broken).sum()).item()


def _evaluated(compiled: CompiledTemplate, part: pa.Table) -> pl.DataFrame:
    try:
        return evaluate(pl.DataFrame(part), compiled.stages, compiled.outputs)
    except PatternRefusedError as refusal:
        raise PermanentError(RunErrorCode.INVALID_PATTERN, str(refusal)) from None


def _parts(compiled: CompiledTemplate, cells: pa.Table) -> list[pa.Table]:
    """The batch in as many parts of equal height as memory asks for."""
    rows = cells.num_rows
    sizes = {name: cells[name].nbytes for name in compiled.sources}
    texts = sum(text_bound(field, sum(sizes[name] for name in reads), rows) for field, reads in compiled.reads)
    parts = max(-(-rows * len(compiled.reads) // _PART_CELLS), -(-texts // _PART_BYTES), 1)
    height = max(-(-rows // parts), 1)
    return [cells.slice(start, height) for start in range(0, max(rows, 1), height)]


def _arrow_bytes(outcome: pl.DataFrame) -> int:
    """About what the values need in Arrow, where rows share no text as they do in Polars."""
    texts = outcome.select(pl.col(pl.String).str.len_bytes().sum())
    return outcome.height * outcome.width * 8 + sum(texts.row(0))


def _errors(compiled: CompiledTemplate, frame: pl.DataFrame, wanted: pl.Series) -> dict[int, tuple[RowError, ...]]:
    """The errors of the wanted rows."""
    errors: dict[int, tuple[RowError, ...]] = {}
    if wanted.any():
        asked = dict.fromkeys(name for check in compiled.checks for name in (check.text, check.step) if name)
        for faulty in frame[[ROW, *asked]].filter(wanted).iter_slices(_FAULTY_ROWS):
            errors |= _errors_of(compiled, faulty)
    return errors


def _errors_of(compiled: CompiledTemplate, faulty: pl.DataFrame) -> dict[int, tuple[RowError, ...]]:
    answers = faulty.select(compiled.answers).to_numpy()
    at_rows, numbers = np.nonzero(answers)
    told = _told(at_rows, np.array([len(check.check.message) for check in compiled.checks])[numbers])
    rows: list[int] = faulty[ROW].to_list()
    errors: list[list[RowError]] = [[] for _ in rows]
    texts: dict[str, list[str | None]] = {}
    found: list[tuple[int, int]] = np.column_stack((at_rows[told], numbers[told])).tolist()
    for at, number in found:
        check = compiled.checks[number]
        value = ""
        if check.text is not None:
            if check.text not in texts:
                texts[check.text] = faulty[check.text].to_list()
            value = shown(texts[check.text][at] or "")
        errors[at].append(RowError(check.field, check.column, check.check.code, check.check.message, value))
    untold: list[int] = np.bincount(at_rows[~told], minlength=len(rows)).tolist()
    for of_row, more in zip(errors, untold, strict=True):
        if more:
            what = "one more error" if more == 1 else f"{more} more errors"
            message = f"This row has {what}. Correct the ones before, and upload the file again to see the rest."
            of_row.append(RowError(None, None, RowErrorCode.MORE_ERRORS, message, ""))
    return dict(zip(rows, map(tuple, errors), strict=True))


def _told(at_rows: npt.NDArray[np.int64], chars: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which errors are stored: all of a row that has few, else the first and room for one that counts the rest.

    Args:
        at_rows: ascending position of each error's row.
        chars: length of each error's message.
    """
    first = np.searchsorted(at_rows, at_rows)
    rank = np.arange(len(at_rows)) - first
    spent = np.cumsum(chars)
    spent += chars[first] - spent[first]
    few = np.bincount(at_rows) <= MAX_ROW_ERRORS
    short = np.bincount(at_rows, weights=chars) <= MAX_ROW_ERROR_CHARS
    return (few & short)[at_rows] | ((rank < MAX_ROW_ERRORS - 1) & (spent <= MAX_ROW_ERROR_CHARS))


def with_warnings(warnings: dict[int, str]) -> pl.Expr:
    """The column ``_warnings``: a row's JSON text, null for every other row."""
    return (
        pl.col(ROW)
        .replace_strict(list(warnings), list(warnings.values()), default=None, return_dtype=pl.String)
        .alias(WARNINGS)
    )


def warnings_json(errors: Sequence[RowError]) -> str:
    """Errors in the form that a kept row carries them: ``[{"field", "code", "message"}, …]``."""
    found = [{"field": error.field, "code": error.code, "message": error.message} for error in errors]
    return json.dumps(found, ensure_ascii=False)


def _keys(compiled: CompiledTemplate) -> list[str]:
    return [key_column(constraint.name) for constraint in compiled.constraints]


def _key_table(compiled: CompiledTemplate, outcome: pl.DataFrame) -> pa.Table | None:
    if not compiled.constraints:
        return None
    names = [ROW, *(constraint.name for constraint in compiled.constraints)]
    return to_arrow(outcome[[ROW, *_keys(compiled)]]).rename_columns(names)


def to_arrow(frame: pl.DataFrame) -> pa.Table:
    """A frame of checked columns in the Arrow types of the checked batch."""
    schema = pa.schema([(name, _arrow_type(dtype)) for name, dtype in frame.schema.items()])
    return frame.to_arrow().cast(schema)


def _arrow_type(dtype: pl.DataType) -> pa.DataType:
    return decimal_type(dtype.scale) if isinstance(dtype, pl.Decimal) else _ARROW_TYPES[dtype]
