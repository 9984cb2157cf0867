"""The columnar engine: a template becomes Polars expressions once, a batch is one pass over them.

In: a parsed batch (``_row`` and the cells ``c0``, ``c1``, … as text). Out: a checked batch
(``_row`` and typed columns) and the rejected rows with their reasons. Guarantee: each row of the
input is in exactly one of the two. Python looks at single rows only where they have errors.

Memory is bounded: a batch whose cells are many, or whose texts a transform can make much
longer, is checked in several parts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    OVERFLOW,
    ROW,
    ROW_TYPE,
    TEXT,
    WARNINGS,
    cell_column,
    decimal_column,
    decimal_type,
    extra_column,
    original_column,
)
from libs.contracts.errors import PermanentError
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import KEYED_MODES, Concat, FieldType, InvalidRows, Template, TemplateField, Unique
from libs.rules.patterns import check_patterns
from services.validator.domain.checks import MORE_ERRORS, REQUIRED, ROW_TOO_LARGE, Check
from services.validator.domain.field_types import conversion
from services.validator.domain.reading import reading
from services.validator.domain.rows import RejectedRows, RowError, shown
from services.validator.domain.rules import Subject, required_check, rule_checks
from services.validator.domain.steps import Steps, evaluate
from services.validator.domain.transforms import checked_text, dates_read_as, source_cell, text_bound

MAX_ROW_ERRORS: Final = 100
MAX_ROW_ERROR_CHARS: Final = 30_000
"""Of the messages of one row: a hundred of ours, or fifteen of the longest that a template can bring."""
MAX_RECORD_BYTES: Final = 8 * 1024 * 1024
"""Texts of one record, as UTF-8; its document has a limit of 16 MiB, and more in it than these texts."""
MAX_BATCH_BYTES: Final = 192 * 1024 * 1024
"""Values of one checked batch."""
_PART_CELLS = 1_250_000
_PART_BYTES = 48 * 1024 * 1024
_FAULTY_ROWS = 250
"""Rows whose errors are put together at a time."""
# Names of the engine's own columns hold a colon, which no field name can.
_FAULTY = "faulty:"
_REFUSED = "refused:"
_KEY = "key:"
_ROW_TOO_LARGE = (
    f"The texts of this row are longer than {MAX_RECORD_BYTES // 1024**2} MiB, which no record can hold. "
    "Shorten its cells, or import fewer of them."
)

_ARROW_TYPES: dict[pl.DataType, pa.DataType] = {
    pl.String(): TEXT,
    pl.Boolean(): BOOLEAN,
    pl.Int64(): INTEGER,
    pl.Float64(): DOUBLE,
    pl.UInt32(): ROW_TYPE,
    pl.Datetime("ms", "UTC"): DATE,
}


@dataclass(frozen=True, slots=True)
class Question:
    """What the barrier asks about the values of a field, or of several together, in the whole file.

    Attributes:
        name: column of ``CheckedBatch.keys``.
        fields: names of the fields; the one that carries the rule first.
        columns: headers of their source columns.
        types: their types.
        unique: whether no two rows may hold the same; else it is only the upsert key.
        against_target: whether no live record of the target may hold it either.
        message: the template's own message.
    """

    name: str
    fields: tuple[str, ...]
    columns: tuple[str, ...]
    types: tuple[FieldType, ...]
    unique: bool = False
    against_target: bool = False
    message: str | None = None


@dataclass(frozen=True, slots=True)
class _RowCheck:
    """A check with its field and source column, and the names of the steps with the text and the answer."""

    field: str | None
    column: str | None
    check: Check
    text: str | None
    answer: str


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """A template version and a file's plan, ready to check batches; immutable, so threads may share it.

    Attributes:
        template: what was compiled.
        columns: header of the source column, per field.
        sources: columns read from a parsed batch.
        reads: the columns that each field's text is made of.
        stages: intermediate results, from the cells on.
        outputs: everything that a batch is asked, over the stages.
        values: names of the value columns of a checked batch, in order.
        optional: those columns among them that a batch without a value in them does not have.
        checks: the checks, in the order in which errors are reported.
        questions: what the barrier compares across batches.
        upsert_key: the field that finds a row's record, in modes that have one.
    """

    template: Template
    columns: dict[str, str]
    sources: tuple[str, ...]
    reads: tuple[tuple[TemplateField, tuple[str, ...]], ...]
    stages: tuple[tuple[pl.Expr, ...], ...]
    outputs: tuple[pl.Expr, ...]
    values: tuple[str, ...]
    optional: frozenset[str]
    checks: tuple[_RowCheck, ...]
    questions: tuple[Question, ...]
    upsert_key: str | None


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """What became of a parsed batch.

    Attributes:
        valid: the checked batch; rows ascending.
        rejected: the other rows.
        warnings: rows of ``valid`` that carry warnings (``invalid_rows=keep`` only).
        keys: for templates with questions about the whole file, ``_row`` and one string column
            per question, for the rows of ``valid``; null where a row has no value.
    """

    valid: pa.Table
    rejected: RejectedRows
    warnings: int
    keys: pa.Table | None


def compile_template(template: Template, plan: ParsePlan) -> CompiledTemplate:
    """Compile a template for files that are read by a certain plan.

    A field without a column in the file is empty in every row, unless a transform fills it.

    Args:
        template: the template.
        plan: which column each field has, and how dates and numbers are meant.

    Raises:
        PermanentError: ``INVALID_PATTERN``, listing every regular expression that the engine refuses.
    """
    if problems := check_patterns(template):
        raise PermanentError("INVALID_PATTERN", "; ".join(problems))
    read = reading(template, plan)
    steps = Steps()
    headers = {field.name: _header(field, plan) for field in template.fields}
    key = template.upsert_key if template.mode in KEYED_MODES else None
    questions = _questions(template, headers, key)
    named = {name: pl.col(cell_column(at)) for name, at in plan.concat_columns.items() if at is not None}
    keep = template.invalid_rows is InvalidRows.KEEP
    subjects: dict[str, Subject] = {}
    own_checks: dict[str, tuple[Check, ...]] = {}
    values: dict[str, pl.Expr] = {}
    optional: dict[str, pl.Expr] = {}
    for field in template.fields:
        at = plan.mapping.get(field.name)
        cell = pl.lit(None, dtype=pl.String) if at is None else pl.col(cell_column(at))
        text, text_checks = checked_text(field, cell, named, read, steps)
        converted = conversion(dates_read_as(field), text, steps, read)
        subjects[field.name] = Subject(field, headers[field.name], text, converted)
        own_checks[field.name] = (*text_checks, *converted.checks)
        values |= converted.columns
        if keep and not converted.keeps_text:
            cell = source_cell(field, cell, named)
            original = pl.when(cell != "").then(cell).otherwise(text)
            optional[original_column(field.name)] = pl.when(text.is_not_null() & converted.key.is_null()).then(original)
    extra = {extra_column(at): _text_or_null(pl.col(cell_column(at))) for at in plan.unmatched if at != plan.overflow}
    if plan.overflow is not None and template.include_unmatched_columns:
        optional[OVERFLOW] = _text_or_null(pl.col(cell_column(plan.overflow)))
    optional_names = {*optional, *({*map(decimal_column, subjects)} & values.keys())}
    values |= extra | optional

    checks: list[_RowCheck] = []
    answers: list[pl.Expr] = []
    texts: list[pl.Expr] = []
    for subject in subjects.values():
        name = subject.field.name
        field_checks = _field_checks(subject, subjects, own_checks[name], is_key=name == key)
        for check in field_checks:
            answers.append(steps.let(check.broken))
            names = subject.text.meta.output_name(), answers[-1].meta.output_name()
            checks.append(_RowCheck(name, subject.column, check, *names))
        if field_checks:
            texts.append(subject.text)
    all_texts = [*(subject.text for subject in subjects.values()), *extra.values()]
    too_large = steps.let(pl.sum_horizontal(text.str.len_bytes() for text in all_texts) > MAX_RECORD_BYTES)
    answers.append(too_large)
    size = Check(ROW_TOO_LARGE, _ROW_TOO_LARGE, too_large)
    checks.append(_RowCheck(None, None, size, None, too_large.meta.output_name()))

    keys = {question.name: _joint_key(question, subjects) for question in questions}
    faulty = steps.let(pl.any_horizontal(answers).fill_null(value=False))
    refused = faulty
    if keep:
        refused = too_large if key is None else too_large | keys[key].is_null()
    return CompiledTemplate(
        template=template,
        columns=headers,
        sources=(ROW, *_sources(template, plan)),
        reads=tuple((field, _reads(field, plan)) for field in template.fields),
        stages=steps.stages,
        outputs=(
            pl.col(ROW),
            *(expr.alias(name) for name, expr in values.items()),
            *(expr.alias(f"{_KEY}{name}") for name, expr in keys.items()),
            *texts,
            *answers,
            faulty.alias(_FAULTY),
            refused.alias(_REFUSED),
        ),
        values=(ROW, *values),
        optional=frozenset(optional_names),
        checks=tuple(checks),
        questions=questions,
        upsert_key=key,
    )


def _header(field: TemplateField, plan: ParsePlan) -> str:
    at = plan.mapping.get(field.name)
    return plan.columns[at] if at is not None and at < len(plan.columns) else field.source


def _reads(field: TemplateField, plan: ParsePlan) -> tuple[str, ...]:
    """The columns of a parsed batch that a field's text is made of."""
    indexes = [plan.mapping.get(field.name)]
    for transform in field.transforms:
        if isinstance(transform, Concat):
            indexes += [plan.concat_columns.get(name) for name in transform.columns]
    return tuple(cell_column(at) for at in indexes if at is not None)


def _sources(template: Template, plan: ParsePlan) -> list[str]:
    read = {name: None for field in template.fields for name in _reads(field, plan)}
    unread = [*plan.unmatched, *([] if plan.overflow is None else [plan.overflow])]
    return list(read | {cell_column(at): None for at in unread})


def _text_or_null(cell: pl.Expr) -> pl.Expr:
    return pl.when(cell != "").then(cell)


def _questions(template: Template, headers: Mapping[str, str], key: str | None) -> tuple[Question, ...]:
    """One question per field or combination; two rules about the same are one question."""
    types = {field.name: field.type for field in template.fields}

    def question(*fields: str) -> Question:
        columns, kinds = tuple(headers[each] for each in fields), tuple(types[each] for each in fields)
        return Question("+".join(fields), fields, columns, kinds)

    questions: dict[str, Question] = {}
    for field in template.fields:
        for rule in field.rules:
            if isinstance(rule, Unique):
                asked = question(field.name, *rule.fields)
                asked = questions.get(asked.name, asked)
                questions[asked.name] = replace(
                    asked,
                    unique=True,
                    against_target=asked.against_target or rule.against_target,
                    message=asked.message or rule.message,
                )
        if field.name == key:
            questions.setdefault(field.name, question(field.name))
    return tuple(questions.values())


def _joint_key(question: Question, subjects: Mapping[str, Subject]) -> pl.Expr:
    """The key of one field as it is; of several, each with its length before it, so that no two combinations agree.

    Null where one of them is.
    """
    keys = [subjects[name].converted.key for name in question.fields]
    if len(keys) == 1:
        return keys[0]
    return pl.concat_str([part for key in keys for part in (key.str.len_chars(), pl.lit(":"), key)])


def _field_checks(
    subject: Subject, subjects: Mapping[str, Subject], own: Sequence[Check], *, is_key: bool
) -> list[Check]:
    """Emptiness first, then transforms and type, then the other rules."""
    rules = list(rule_checks(subject, subjects))
    if is_key and not subject.field.required:
        # A record without its key could never be found again.
        rules.append(required_check(subject.text))
    rules.sort(key=lambda check: check.code != REQUIRED)
    required = sum(check.code == REQUIRED for check in rules)
    return [*rules[:required], *own, *rules[required:]]


def check_batch(compiled: CompiledTemplate, parsed: pa.Table) -> CheckedBatch:
    """Check every row of a parsed batch.

    With ``invalid_rows`` skip and block a row with any error is rejected (what block means for the run
    is decided where the whole run is seen). With keep it stays, with null for a value that could not be
    converted, the original text in ``_raw_<field>`` and its errors in ``_warnings``; only a row
    without a value for the upsert key, or too large for a record, is rejected even then.

    A row has at most 100 errors, with messages of 30,000 characters: where it would have more, the last one
    tells how many.

    Args:
        compiled: the template for the file that the batch was cut from.
        parsed: ``_row`` (uint32, ascending) and ``c0``, ``c1``, … (string), null for missing cells.

    Raises:
        PermanentError: ``BATCH_TOO_LARGE``; the transforms of the template make too much of the rows.
    """
    cells = parsed.select(list(compiled.sources))
    keep = compiled.template.invalid_rows is InvalidRows.KEEP
    outcomes: list[pl.DataFrame] = []
    errors: dict[int, tuple[RowError, ...]] = {}
    warnings = size = 0
    parts = _parts(compiled, cells)
    for part in parts:
        frame = evaluate(pl.DataFrame(part), compiled.stages, compiled.outputs)
        refused = frame[_REFUSED]
        errors |= _errors(compiled, frame, refused)
        columns = [*compiled.values, *_keys(compiled)]
        if keep:
            warned = {
                row: warnings_json(found) for row, found in _errors(compiled, frame, frame[_FAULTY] & ~refused).items()
            }
            warnings += len(warned)
            frame = frame.with_columns(with_warnings(warned))
            columns.append(WARNINGS)
        outcome = frame[columns]
        outcomes.append(outcome.filter(~refused) if refused.any() else outcome)
        if len(parts) > 1:
            size += _arrow_bytes(outcomes[-1])
        if size > MAX_BATCH_BYTES:
            raise PermanentError(
                "BATCH_TOO_LARGE",
                f"with this template, the rows from {parsed[ROW][0]} to {parsed[ROW][-1]} would have more than "
                f"{MAX_BATCH_BYTES // 1024**2} MiB; read fewer fields from the same column, or shorten what the "
                "transforms 'replace', 'default' and 'constant' write",
            )
    outcome = outcomes[0] if len(outcomes) == 1 else pl.concat(outcomes)
    empty = [name for name in compiled.optional if outcome[name].null_count() == outcome.height]
    return CheckedBatch(
        valid=to_arrow(outcome.drop(*_keys(compiled), *empty)),
        rejected=RejectedRows(parsed, errors),
        warnings=warnings,
        keys=_key_table(compiled, outcome),
    )


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
        asked = dict.fromkeys(name for check in compiled.checks for name in (check.text, check.answer) if name)
        for faulty in frame[[ROW, *asked]].filter(wanted).iter_slices(_FAULTY_ROWS):
            errors |= _errors_of(compiled, faulty)
    return errors


def _errors_of(compiled: CompiledTemplate, faulty: pl.DataFrame) -> dict[int, tuple[RowError, ...]]:
    answers = faulty.select(pl.col(check.answer).fill_null(value=False) for check in compiled.checks).to_numpy()
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
            value = shown(texts[check.text][at])
        errors[at].append(RowError(check.field, check.column, check.check.code, check.check.message, value))
    untold: list[int] = np.bincount(at_rows[~told], minlength=len(rows)).tolist()
    for of_row, more in zip(errors, untold, strict=True):
        if more:
            message = f"This row has {more} more errors. Correct the ones before and check it again."
            of_row.append(RowError(None, None, MORE_ERRORS, message, ""))
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
    return [f"{_KEY}{question.name}" for question in compiled.questions]


def _key_table(compiled: CompiledTemplate, outcome: pl.DataFrame) -> pa.Table | None:
    if not compiled.questions:
        return None
    names = [ROW, *(question.name for question in compiled.questions)]
    return to_arrow(outcome[[ROW, *_keys(compiled)]]).rename_columns(names)


def to_arrow(frame: pl.DataFrame) -> pa.Table:
    """A frame of checked columns in the Arrow types of the checked batch."""
    schema = pa.schema([(name, _arrow_type(dtype)) for name, dtype in frame.schema.items()])
    return frame.to_arrow().cast(schema)


def _arrow_type(dtype: pl.DataType) -> pa.DataType:
    return decimal_type(dtype.scale) if isinstance(dtype, pl.Decimal) else _ARROW_TYPES[dtype]
