"""From a template and the plan of a file to expressions over the file's columns: compiled once, run for every batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from libs.batches.columns import OVERFLOW, ROW, cell_column, decimal_column, extra_column, original_column
from libs.contracts.errors import PermanentError
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RowErrorCode, RunErrorCode
from libs.contracts.templates import Concat, FieldType, ImportMode, InvalidRows, Template, TemplateField, Unique
from libs.patterns import check_patterns
from services.validator.domain.care import FULL_CARE, NO_CARE, Care
from services.validator.domain.checks import Check
from services.validator.domain.deletions import Deletion, deletion
from services.validator.domain.field_types import conversion
from services.validator.domain.reading import Reading, reading
from services.validator.domain.rules import Subject, required_check, rule_checks
from services.validator.domain.steps import Steps
from services.validator.domain.transforms import checked_text, dates_read_as, source_cell

MAX_RECORD_BYTES: Final = 8 * 1024 * 1024
"""Texts of one record, as UTF-8; its document has a limit of 16 MiB, and more in it than these texts."""
MOST_VARIANTS: Final = 8
"""A template is compiled with a little more care so many times, then with all of it."""
# Names of the engine's own columns hold a colon, which no field name can.
FAULTY: Final = "faulty:"
"""Whether a row breaks any check."""
REFUSED: Final = "refused:"
"""Whether a row is rejected."""
DELETES: Final = "deletes:"
"""Whether a row asks for its record to be deleted; only where the template names a column for that."""
_ROW_TOO_LARGE = (
    f"The texts of this row are longer than {MAX_RECORD_BYTES // 1024**2} MiB, which no record can hold. "
    "Shorten its cells, or import fewer columns."
)


def key_column(constraint: str) -> str:
    """The column with the values that are compared for a constraint."""
    return f"key:{constraint}"


@dataclass(frozen=True, slots=True)
class UniqueConstraint:
    """A field, or several together, whose values rows of one file may not share.

    Of rows with the same value the first keeps it where there is a rule ``unique``, and all others are rejected;
    else, for the upsert key alone, the last one is written and all others are skipped.

    Attributes:
        name: column of ``CheckedBatch.keys``.
        fields: names of the fields; the one that carries the rule first.
        columns: headers of their source columns.
        types: their types.
        by_rule: whether there is a rule ``unique``; else it is only the upsert key.
        against_target: whether no live record of the target may hold the value either.
        message: the template's own message.
    """

    name: str
    fields: tuple[str, ...]
    columns: tuple[str, ...]
    types: tuple[FieldType, ...]
    by_rule: bool = False
    against_target: bool = False
    message: str | None = None


@dataclass(frozen=True, slots=True)
class RowCheck:
    """A check with its field and source column, the name of the step with the text, and that which ``answer`` reads."""

    field: str | None
    column: str | None
    check: Check
    text: str | None
    step: str
    answer: pl.Expr


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
        answers: whether a row breaks each of them, never null.
        constraints: whose values are compared over the whole file.
        upsert_key: the field that finds a row's record, in modes that have one.
        null_words: what means "no value" in those fields that ``care`` does not look at closely; their types refuse it.
        plan: the file's.
        care: how closely it looks at the cells of a batch.
        careful: the same template and plan with the care that batches have needed.
        deletes: whether rows may ask for their record to be deleted.
        sweeps: whether records that the file does not hold are deleted.
    """

    template: Template
    columns: dict[str, str]
    sources: tuple[str, ...]
    reads: tuple[tuple[TemplateField, tuple[str, ...]], ...]
    stages: tuple[tuple[pl.Expr, ...], ...]
    outputs: tuple[pl.Expr, ...]
    values: tuple[str, ...]
    optional: frozenset[str]
    checks: tuple[RowCheck, ...]
    answers: tuple[pl.Expr, ...]
    constraints: tuple[UniqueConstraint, ...]
    upsert_key: str | None
    null_words: Mapping[str, frozenset[str]]
    plan: ParsePlan
    care: Care
    careful: "Careful"
    deletes: bool = False
    sweeps: bool = False

    def with_care(self, care: Care) -> "CompiledTemplate":
        """The same with at least that care: the one that earlier batches needed, if that is enough.

        A file is alike from its beginning to its end, so what one batch needed is taken for granted in the next ones.
        """
        latest = self.careful.latest or self
        if latest.care.covers(care):
            return latest
        self.careful.made += 1
        wanted = latest.care.joined(care) if self.careful.made < MOST_VARIANTS else FULL_CARE
        self.careful.latest = _compiled(self.template, self.plan, wanted, self.careful)
        return self.careful.latest


@dataclass(slots=True)
class Careful:
    """What threads that check batches of one run share. Whoever loses a race compiles once more.

    Attributes:
        latest: the template with the care that batches have needed so far.
        made: how often that was compiled.
    """

    latest: CompiledTemplate | None = None
    made: int = 0


def compile_template(template: Template, plan: ParsePlan) -> CompiledTemplate:
    """Compile a template for files that are read by a certain plan.

    A field without a column in the file is empty in every row, unless a transform fills it. Of a row that deletes its
    record only the upsert key is checked and compared.

    Args:
        template: the template.
        plan: which column each field has, and how dates and numbers are meant.

    Raises:
        PermanentError: ``INVALID_PATTERN``, listing every regular expression that the engine refuses;
            ``MODE_NOT_SUPPORTED``, a release that knows no deletions has made the plan.
    """
    if problems := check_patterns(template):
        raise PermanentError(RunErrorCode.INVALID_PATTERN, "; ".join(problems))
    return _compiled(template, plan, NO_CARE, Careful())


def _compiled(template: Template, plan: ParsePlan, care: Care, careful: Careful) -> CompiledTemplate:
    read = reading(template, plan)
    steps = Steps()
    deleting = _deletion(template, plan, read, steps)
    headers = {field.name: _header(field, plan) for field in template.fields}
    key = template.upsert_key if template.matches_by_key else None
    constraints = _constraints(template, headers, key)
    compared = {name for constraint in constraints for name in constraint.fields}
    named = {name: pl.col(cell_column(at)) for name, at in plan.concat_columns.items() if at is not None}
    keep = template.invalid_rows is InvalidRows.KEEP
    subjects: dict[str, Subject] = {}
    own_checks: dict[str, tuple[Check, ...]] = {}
    values: dict[str, pl.Expr] = {}
    optional: dict[str, pl.Expr] = {}
    for field in template.fields:
        at = plan.mapping.get(field.name)
        cell = pl.lit(None, dtype=pl.String) if at is None else pl.col(cell_column(at))
        checked = checked_text(field, cell, named, read, steps, is_key=field.name in compared, care=care)
        text = checked.text
        converted = conversion(dates_read_as(field), text, steps, read, closely=care.closely(field.name))
        subjects[field.name] = Subject(field, headers[field.name], text, converted, checked.beyond)
        own_checks[field.name] = (*checked.checks, *converted.checks)
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

    asked = _Asked(steps, deleting)
    texts: list[pl.Expr] = []
    for subject in subjects.values():
        name = subject.field.name
        field_checks = _field_checks(subject, subjects, own_checks[name], is_key=name == key)
        for check in field_checks:
            asked.add(check, name, subject.column, subject.text, of_deleted=name == key)
        if field_checks:
            texts.append(subject.text)
    all_texts = [*(subject.text for subject in subjects.values()), *extra.values()]
    if deleting is not None:
        header = plan.columns[plan.delete_column or 0]
        asked.add(deleting.unclear, None, header, deleting.text, of_deleted=True)
        texts.append(deleting.text)
    size = pl.sum_horizontal(text.str.len_bytes() for text in all_texts)
    too_large = asked.add(Check(RowErrorCode.ROW_TOO_LARGE, _ROW_TOO_LARGE, size > MAX_RECORD_BYTES))

    keys = _compared_keys(constraints, subjects, key, deleting)
    faulty = steps.let(pl.any_horizontal(*asked.broken.values()).fill_null(value=False))
    refused = faulty
    if keep:
        fatal = [too_large, *([] if key is None else [keys[key].is_null()])]
        fatal += [] if deleting is None else [deleting.unclear.broken]
        refused = pl.any_horizontal(fatal).fill_null(value=False)
    return CompiledTemplate(
        template=template,
        columns=headers,
        sources=(ROW, *_sources(template, plan)),
        reads=tuple((field, _reads(field, plan)) for field in template.fields),
        stages=steps.stages,
        outputs=(
            pl.col(ROW),
            *(expr.alias(name) for name, expr in values.items()),
            *(expr.alias(key_column(name)) for name, expr in keys.items()),
            *texts,
            *map(pl.col, asked.broken),
            faulty.alias(FAULTY),
            refused.alias(REFUSED),
            *([] if deleting is None else [deleting.wanted.alias(DELETES)]),
        ),
        values=(ROW, *values),
        optional=frozenset(optional_names),
        checks=tuple(asked.checks),
        answers=tuple(one.answer.fill_null(value=False).alias(str(at)) for at, one in enumerate(asked.checks)),
        constraints=constraints,
        upsert_key=key,
        null_words={
            field.name: frozenset[str]() if read.named_null_words(field) is not None else read.usual_null_words(field)
            for field in template.fields
            if not care.closely(field.name)
        },
        plan=plan,
        care=care,
        careful=careful,
        deletes=deleting is not None,
        sweeps=template.mode is ImportMode.SYNC,
    )


class _Asked:
    """What every row is asked.

    Attributes:
        checks: in the order in which errors are reported.
        broken: whether a row breaks one of the checks that read a step, by the name of that step.
    """

    def __init__(self, steps: Steps, deleting: Deletion | None) -> None:
        self._steps = steps
        self._deleting = deleting
        self._shared: dict[tuple[str, bool], pl.Expr] = {}
        self.checks: list[RowCheck] = []
        self.broken: dict[str, pl.Expr] = {}

    def add(
        self,
        check: Check,
        field: str | None = None,
        column: str | None = None,
        text: pl.Expr | None = None,
        *,
        of_deleted: bool = False,
    ) -> pl.Expr:
        """One more check, and what tells whether a row breaks it.

        Args:
            check: to add.
            field: that it is about; the row as a whole where absent.
            column: header of the source column.
            text: that is shown with the error.
            of_deleted: it is also broken by rows that delete their record, and write no other value.
        """
        deleting = None if of_deleted else self._deleting
        if check.number is None:
            read = self._steps.let(check.broken if deleting is None else check.broken & ~deleting.wanted)
            step, answer = read.meta.output_name(), read
            self.broken[step] = read
        else:
            read = self._shared_step(check.broken, deleting)
            step, answer = read.meta.output_name(), read == check.number
        shown = None if text is None else text.meta.output_name()
        self.checks.append(RowCheck(field, column, check, shown, step, answer))
        return answer

    def _shared_step(self, numbers: pl.Expr, deleting: Deletion | None) -> pl.Expr:
        """The step with the numbers of checks that exclude each other, made once for all of them."""
        name = numbers.meta.output_name(), deleting is not None
        if name not in self._shared:
            read = numbers if deleting is None else self._steps.let(pl.when(~deleting.wanted).then(numbers))
            self._shared[name] = read
            self.broken[read.meta.output_name()] = self._steps.let(read > 0)
        return self._shared[name]


def _compared_keys(
    constraints: Sequence[UniqueConstraint],
    subjects: Mapping[str, Subject],
    upsert_key: str | None,
    deleting: Deletion | None,
) -> dict[str, pl.Expr]:
    """What is compared, by constraint. Of a row that deletes, the other values are not written: they keep nothing from
    any row."""
    keys = {constraint.name: _joint_key(constraint, subjects) for constraint in constraints}
    if deleting is None:
        return keys
    return {name: each if name == upsert_key else pl.when(~deleting.wanted).then(each) for name, each in keys.items()}


def _deletion(template: Template, plan: ParsePlan, read: Reading, steps: Steps) -> Deletion | None:
    if template.delete_column is None:
        return None
    if plan.delete_column is None:
        raise PermanentError(
            RunErrorCode.MODE_NOT_SUPPORTED,
            "a service of an earlier release, which cannot delete records by a column, has read this file; once all "
            "services are of this release, upload it again",
        )
    return deletion(pl.col(cell_column(plan.delete_column)), read, steps)


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
    unread = [*plan.unmatched, *(at for at in (plan.overflow, plan.delete_column) if at is not None)]
    return list(read | {cell_column(at): None for at in unread})


def _text_or_null(cell: pl.Expr) -> pl.Expr:
    return pl.when(cell != "").then(cell)


def _constraints(template: Template, headers: Mapping[str, str], key: str | None) -> tuple[UniqueConstraint, ...]:
    """One per field or combination; two rules about the same are one constraint."""
    types = {field.name: field.type for field in template.fields}

    def constraint(*fields: str) -> UniqueConstraint:
        columns, kinds = tuple(headers[each] for each in fields), tuple(types[each] for each in fields)
        return UniqueConstraint("+".join(fields), fields, columns, kinds)

    constraints: dict[str, UniqueConstraint] = {}
    for field in template.fields:
        for rule in field.rules:
            if isinstance(rule, Unique):
                found = constraint(field.name, *rule.fields)
                found = constraints.get(found.name, found)
                constraints[found.name] = replace(
                    found,
                    by_rule=True,
                    against_target=found.against_target or rule.against_target,
                    message=found.message or rule.message,
                )
        if field.name == key:
            constraints.setdefault(field.name, constraint(field.name))
    return tuple(constraints.values())


def _joint_key(constraint: UniqueConstraint, subjects: Mapping[str, Subject]) -> pl.Expr:
    """The key of one field as it is; of several, each with its length before it, so that no two combinations agree.

    Null where one of them is.
    """
    keys = [subjects[name].converted.key for name in constraint.fields]
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
        rules.append(required_check(subject))
    rules.sort(key=lambda check: check.code != RowErrorCode.REQUIRED)
    required = sum(check.code == RowErrorCode.REQUIRED for check in rules)
    return [*rules[:required], *own, *rules[required:]]
