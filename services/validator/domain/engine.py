"""The columnar engine: a template becomes Polars expressions once, a batch is one pass over them.

In: a parsed batch (``_row`` and the cells ``c0``, ``c1``, … as text). Out: a checked batch
(``_row`` and typed columns) and the rejected rows with every reason. Guarantee: each row of the
input is in exactly one of the two. Python looks at single rows only where they have errors.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from libs.contracts.errors import PermanentError
from libs.contracts.templates import ImportMode, InvalidRows, Template, TemplateField
from libs.rules.patterns import check_patterns
from services.validator.domain.checks import REQUIRED, Check
from services.validator.domain.field_types import Conversion, conversion, integer_column
from services.validator.domain.rows import ROW, RejectedRow, RowError, original_cells, shown
from services.validator.domain.rules import required_check, rule_checks
from services.validator.domain.steps import Steps, evaluate
from services.validator.domain.transforms import checked_text

WARNINGS: Final = "_warnings"
# Names of the engine's own columns hold a colon, which no field name can.
_FAULTY = "faulty:"
_KEY = "key:"

_ARROW_TYPES: dict[pl.DataType, pa.DataType] = {
    pl.String(): pa.string(),
    pl.Boolean(): pa.bool_(),
    pl.Int64(): pa.int64(),
    pl.Float64(): pa.float64(),
    pl.UInt32(): pa.uint32(),
    pl.Datetime("ms", "UTC"): pa.timestamp("ms", tz="UTC"),
}


def raw_column(name: str) -> str:
    """The column that holds a field's original texts which could not be converted."""
    return f"_raw_{name}"


@dataclass(frozen=True, slots=True)
class _FieldCheck:
    """A check with its field and source column, and the names of the steps with the text and the answer."""

    field: str
    column: str
    check: Check
    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """A template version and a file's mapping, ready to check batches; immutable, so threads may share it.

    Attributes:
        template: what was compiled.
        columns: header of the source column, per field.
        sources: columns read from a parsed batch.
        stages: intermediate results, from the cells on.
        outputs: everything that a batch is asked, over the stages.
        values: names of the value columns of a checked batch, in order.
        checks: the checks, in the order in which errors are reported.
        questions: fields whose values the barrier compares across batches.
        raw: names of the columns that take original texts, with ``invalid_rows=keep``.
    """

    template: Template
    columns: dict[str, str]
    sources: tuple[str, ...]
    stages: tuple[tuple[pl.Expr, ...], ...]
    outputs: tuple[pl.Expr, ...]
    values: tuple[str, ...]
    checks: tuple[_FieldCheck, ...]
    questions: tuple[str, ...]
    raw: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """What became of a parsed batch.

    Attributes:
        valid: the checked batch; rows ascending.
        rejected: the other rows, ascending.
        warnings: rows of ``valid`` that carry warnings (``invalid_rows=keep`` only).
        keys: for templates with questions about the whole file, ``_row`` and one string column
            per field in question, for the rows of ``valid``; null where a row has no value.
    """

    valid: pa.Table
    rejected: list[RejectedRow]
    warnings: int
    keys: pa.Table | None


def compile_template(
    template: Template, mapping: dict[str, int | None], columns: Sequence[str] = ()
) -> CompiledTemplate:
    """Compile a template for files with a certain mapping.

    Args:
        template: the template.
        mapping: field name to index of its column in the file; ``None`` or absent where the file
            has no such column, and every cell counts as missing.
        columns: headers of the file, to name them in errors; the template's own names without.

    Raises:
        PermanentError: ``INVALID_PATTERN``, listing every regular expression that the engine refuses.
    """
    if problems := check_patterns(template):
        raise PermanentError("INVALID_PATTERN", "; ".join(problems))
    key = template.upsert_key if template.mode is ImportMode.UPSERT else None
    questions = tuple(field.name for field in template.fields if field.unique or field.name == key)
    keep = template.invalid_rows is InvalidRows.KEEP
    headers: dict[str, str] = {}
    steps = Steps()
    values: dict[str, pl.Expr] = {}
    others: list[pl.Expr] = []
    checks: list[_FieldCheck] = []
    answers: list[pl.Expr] = []
    raw: list[str] = []
    for field in template.fields:
        index = mapping.get(field.name)
        headers[field.name] = columns[index] if index is not None and index < len(columns) else field.source
        cell = pl.lit(None, dtype=pl.String) if index is None else pl.col(f"c{index}")
        text = checked_text(field, cell, steps)
        converted = conversion(field, text, steps)
        values |= converted.columns
        field_checks = _field_checks(field, text, converted, is_key=field.name == key)
        for check in field_checks:
            answer = steps.let(check.broken)
            answers.append(answer)
            names = text.meta.output_name(), answer.meta.output_name()
            checks.append(_FieldCheck(field.name, headers[field.name], check, *names))
        if field_checks:
            others.append(text)
        if field.name in questions:
            others.append(converted.key.alias(f"{_KEY}{field.name}"))
        if keep and not converted.keeps_text:
            raw.append(raw_column(field.name))
            original = pl.when(cell != "").then(cell).otherwise(text)
            others.append(pl.when(text.is_not_null() & converted.key.is_null()).then(original).alias(raw[-1]))
    faulty = pl.any_horizontal(answers).fill_null(value=False) if answers else pl.lit(value=False)
    used = sorted({index for index in mapping.values() if index is not None})
    return CompiledTemplate(
        template=template,
        columns=headers,
        sources=(ROW, *(f"c{index}" for index in used)),
        stages=steps.stages,
        outputs=(
            pl.col(ROW),
            *(expr.alias(name) for name, expr in values.items()),
            *others,
            *answers,
            faulty.alias(_FAULTY),
        ),
        values=(ROW, *values),
        checks=tuple(checks),
        questions=questions,
        raw=tuple(raw),
    )


def _field_checks(field: TemplateField, text: pl.Expr, converted: Conversion, *, is_key: bool) -> list[Check]:
    """Emptiness first, then the type, then the other rules."""
    rules = list(rule_checks(field, text, converted.numbers))
    if is_key and not field.required:
        # A record without its key could never be found again.
        rules.append(required_check(text))
    rules.sort(key=lambda check: check.code != REQUIRED)
    required = sum(check.code == REQUIRED for check in rules)
    return [*rules[:required], *converted.checks, *rules[required:]]


def check_batch(compiled: CompiledTemplate, parsed: pa.Table) -> CheckedBatch:
    """Check every row of a parsed batch.

    With ``invalid_rows`` skip and block a row with any error is rejected (what block means for the run
    is decided where the whole run is seen). With keep it stays, with null for a value that could not be
    converted, the original text in ``_raw_<field>`` and its errors in ``_warnings``; only a row
    without a value for the upsert key is rejected even then.

    Args:
        compiled: the template for the file that the batch was cut from.
        parsed: ``_row`` (uint32, ascending) and ``c0``, ``c1``, … (string), null for missing cells.
    """
    cells = pl.DataFrame(parsed.select(list(compiled.sources)))
    frame = evaluate(cells, compiled.stages, compiled.outputs)
    faulty = frame[_FAULTY]
    if compiled.template.invalid_rows is InvalidRows.KEEP:
        return _keep_faulty(compiled, parsed, frame, faulty)
    rejected = _rejected(compiled, parsed, frame, faulty)
    outcome = frame[[*compiled.values, *_keys(compiled)]]
    return _checked(compiled, outcome.filter(~faulty) if rejected else outcome, rejected)


def _rejected(
    compiled: CompiledTemplate, parsed: pa.Table, frame: pl.DataFrame, refused: pl.Series
) -> list[RejectedRow]:
    if not refused.any():
        return []
    asked = {name for check in compiled.checks for name in (check.text, check.answer)}
    errors = _errors(compiled, frame[[ROW, *asked]].filter(refused))
    originals = original_cells(parsed, list(errors))
    return [RejectedRow(row, cells, errors[row]) for row, cells in originals.items()]


def _errors(compiled: CompiledTemplate, faulty: pl.DataFrame) -> dict[int, tuple[RowError, ...]]:
    answers = faulty.select(pl.col(asked.answer).fill_null(value=False) for asked in compiled.checks)
    rows: list[int] = faulty[ROW].to_list()
    errors: dict[int, list[RowError]] = {row: [] for row in rows}
    texts: dict[str, list[str | None]] = {}
    for at, number in np.argwhere(answers.to_numpy()).tolist():
        asked = compiled.checks[number]
        if asked.text not in texts:
            texts[asked.text] = faulty[asked.text].to_list()
        check = asked.check
        errors[rows[at]].append(
            RowError(asked.field, asked.column, check.code, check.message, shown(texts[asked.text][at]))
        )
    return {row: tuple(found) for row, found in errors.items()}


def _keep_faulty(compiled: CompiledTemplate, parsed: pa.Table, frame: pl.DataFrame, faulty: pl.Series) -> CheckedBatch:
    template = compiled.template
    keyless = (
        frame[f"{_KEY}{template.upsert_key}"].is_null()
        if template.mode is ImportMode.UPSERT
        else pl.repeat(value=False, n=frame.height, dtype=pl.Boolean, eager=True)
    )
    rejected = _rejected(compiled, parsed, frame, keyless)
    warned = _errors(compiled, frame.filter(faulty & ~keyless))
    warnings = {row: warnings_json(errors) for row, errors in warned.items()}
    kept = frame.filter(~keyless).with_columns(with_warnings(warnings))
    raw = [name for name in compiled.raw if kept[name].null_count() < kept.height]
    return _checked(compiled, kept, rejected, (*raw, WARNINGS), len(warnings))


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


def _checked(
    compiled: CompiledTemplate,
    frame: pl.DataFrame,
    rejected: list[RejectedRow],
    more: Sequence[str] = (),
    warnings: int = 0,
) -> CheckedBatch:
    keys = _keys(compiled)
    return CheckedBatch(
        valid=to_arrow(frame[[*compiled.values, *more]]),
        rejected=rejected,
        warnings=warnings,
        keys=to_arrow(frame[[ROW, *keys]]).rename_columns([ROW, *compiled.questions]) if keys else None,
    )


def _keys(compiled: CompiledTemplate) -> list[str]:
    return [f"{_KEY}{name}" for name in compiled.questions]


def to_arrow(frame: pl.DataFrame) -> pa.Table:
    """A frame of checked columns in the Arrow types of the checked batch."""
    schema = pa.schema([(name, _ARROW_TYPES[dtype]) for name, dtype in frame.schema.items()])
    return frame.to_arrow().cast(schema)


def preview(valid: pa.Table, limit: int) -> list[dict[str, Any]]:
    """The first rows of a checked batch as JSON values: field name to value.

    Dates are ISO 8601 with ``Z``, empty values ``None``; a value that could not be converted shows
    its original text.

    Args:
        valid: a checked batch.
        limit: most rows.
    """
    rows: list[dict[str, Any]] = valid.slice(0, limit).to_pylist()
    return [_preview_row(row) for row in rows]


def _preview_row(row: dict[str, Any]) -> dict[str, Any]:
    shown_row: dict[str, Any] = {}
    for name, value in row.items():
        if not name.startswith("_"):
            whole, raw = row.get(integer_column(name)), row.get(raw_column(name))
            first = next((each for each in (value, whole, raw) if each is not None), None)
            shown_row[name] = _json_value(first)
    return shown_row


def _json_value(value: object) -> object:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
