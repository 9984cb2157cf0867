"""From a file's layout and a template to the plan that is frozen on the run."""

from collections.abc import Sequence

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import Template
from services.parser.formats.api.file_format import Layout, PlanSettings
from services.parser.formats.api.headers import column_names, listed, squeezed
from services.parser.formats.api.limits import ReaderLimits
from services.parser.planning.matching import (
    Matching,
    concat_columns,
    find_delete_column,
    headers_to_come,
    match_columns,
)
from services.parser.planning.missing_columns import refuse_missing_columns

MAX_BATCH_CELLS = 1_000_000
"""Every cell costs memory in every stage, also an empty one: of a wide file a batch has fewer rows."""
OVERFLOW = "(other)"
"""Name of the column for what no other column can take, unless a column of the file is called so."""
_DOUBTFUL = 0.95


def make_plan(
    layout: Layout,
    template: Template,
    file_type: str,
    given: Sequence[tuple[str, str | None]] | None = None,
    *,
    batch_rows: int,
    batch_bytes: int,
    limits: ReaderLimits,
) -> ParsePlan:
    """The plan, but for the styles of dates and numbers (``styles.StyleSearch``).

    Args:
        layout: what the format found.
        template: what the file must look like.
        file_type: the format.
        given: the upload's own mapping, see ``matching.match_columns``.
        batch_rows: most rows of a batch.
        batch_bytes: most cell bytes of a batch.
        limits: bounds on columns.

    Raises:
        FileRefusedError: ``TOO_MANY_COLUMNS``, ``MISSING_COLUMNS``, ``BAD_MAPPING``.
    """
    if len(layout.columns) > limits.max_columns:
        check = "check the delimiter, or split the file" if layout.settings.get("has_delimiter") else "split the file"
        raise FileRefusedError(
            RunErrorCode.TOO_MANY_COLUMNS,
            f"the file has more than {limits.max_columns:,} columns, the most that can be read; {check}",
        )
    columns, settings = _all_columns(layout, template, limits)
    overflow = len(columns) - 1 if layout.overflow else None
    matching = match_columns(template, columns, given, named=layout.named, overflow=overflow)
    joined = concat_columns(template, columns)
    _refuse_hollow_columns(layout, matching)
    delete_column = find_delete_column(template, columns, matching)
    if layout.complete:
        refuse_missing_columns(template, layout, columns, matching, joined)
    used = {*matching.mapping.values(), *joined.values(), *matching.ignored, overflow, delete_column}
    unmatched = [index for index in range(len(columns)) if index not in used]
    return ParsePlan(
        **settings,
        file_type=file_type,
        columns=columns,
        overflow=overflow,
        mapping=matching.mapping,
        matches=matching.matches,
        concat_columns=joined,
        delete_column=delete_column,
        unmatched=tuple(unmatched) if template.include_unmatched_columns else (),
        batch_rows=min(batch_rows, max(1, MAX_BATCH_CELLS // max(1, len(columns)))),
        batch_bytes=batch_bytes,
        notes=(
            *layout.notes,
            *_guesses(matching, columns),
            *_empty_fields(template, layout, matching),
            *_other_spellings(layout, matching),
        ),
    )


def _all_columns(layout: Layout, template: Template, limits: ReaderLimits) -> tuple[tuple[str, ...], PlanSettings]:
    """The layout's columns, those that may come, and the overflow; and the settings, which say what rows call them."""
    to_come = headers_to_come(template, layout.columns)
    if layout.complete:
        to_come = _within_which_others_are(to_come, layout, template)
    last = [OVERFLOW] if layout.overflow else []
    columns, _ = column_names([*layout.columns, *to_come, *last], limits.max_header_chars)
    if layout.keys is None:
        return columns, layout.settings
    keys = [[key, index] for index, key in enumerate([*layout.keys, *to_come]) if key != columns[index]]
    return columns, {**layout.settings, "options": {**layout.settings.get("options", {}), "keys": keys}}


def _within_which_others_are(headers: Sequence[str], layout: Layout, template: Template) -> list[str]:
    """Headers for which a file that was read to its end has no value, but values within one.

    Their rows are told one by one, but for headers without which the file is refused anyway.
    """
    if not layout.nested:
        return []
    required = {*template.required_columns, *(field.source for field in template.fields if field.required)}
    within = [header for header in headers if any(name.startswith(f"{header}.") for name in layout.columns)]
    return [header for header in within if header not in required]


def _refuse_hollow_columns(layout: Layout, matching: Matching) -> None:
    """Refuse a file in which no field's column has a value, but values within it: every record would be empty.

    Raises:
        FileRefusedError: ``MISSING_COLUMNS``.
    """
    read = list(dict.fromkeys(index for index in matching.mapping.values() if index is not None))
    names = [layout.columns[index] for index in read if index < len(layout.columns)]
    if names and len(names) == len(read) and layout.hollow.issuperset(names):
        within = next(name for name in layout.columns if name.startswith(f"{names[0]}."))
        raise FileRefusedError(
            RunErrorCode.MISSING_COLUMNS,
            f"{listed(names)} of the file have no values of their own, only values within them, such as {within!r}; "
            "name those in the template",
        )


def _guesses(matching: Matching, columns: Sequence[str]) -> list[str]:
    return [
        f"field {name!r} reads the column {columns[index]!r}, which is only similar ({match.confidence:.0%}); "
        "give a mapping if that is wrong"
        for name, match in matching.matches.items()
        if match.confidence < _DOUBTFUL and (index := matching.mapping[name]) is not None
    ]


def _empty_fields(template: Template, layout: Layout, matching: Matching) -> list[str]:
    """What is said of fields that nothing is read for: a slip in a header would else be seen in the records only."""
    if matching.told:
        return []
    ignored = {layout.columns[index] for index in matching.ignored}
    within_others: dict[str, list[str]] = {}
    for name in layout.columns if layout.nested else ():
        within_others.setdefault(name.rpartition(".")[2], []).append(name)
    notes: list[str] = []
    for field in template.fields:
        if not field.reads_column or field.source in ignored:
            continue
        column = matching.mapping[field.name]
        if column is None:
            inner = within_others.get(field.source, [])
            within = (
                f"; {listed(inner)} within others is not read, name it in the template if it is meant" if inner else ""
            )
            notes.append(
                f"field {field.name!r}: the file has no column {field.source!r}, so nothing is read for it{within}"
            )
        elif not layout.complete and column >= len(layout.columns):
            notes.append(f"field {field.name!r}: no record at the start of the file has {field.source!r}")
        elif column < len(layout.columns) and layout.columns[column] in layout.hollow:
            notes.append(
                f"field {field.name!r}: {field.source!r} has no value at the start of the file, only within it"
            )
    return notes


def _other_spellings(layout: Layout, matching: Matching) -> list[str]:
    """Columns of records that name their own cells, which are not read beside one whose name is spelled otherwise:
    records that have the one may lack the other."""
    if not layout.nested:
        return []
    mapped = {*matching.mapping.values()}
    columns = [(index, name) for index, name in enumerate(layout.columns) if squeezed(name)]
    read = {squeezed(name): index for index, name in columns if index in mapped}
    others: dict[str, list[str]] = {}
    for index, name in columns:
        if (other := read.get(squeezed(name), index)) != index:
            others.setdefault(layout.columns[other], []).append(name)
    return [
        f"the column {name!r} is read, and not what has nearly the same name: {listed(each)}"
        for name, each in others.items()
    ]
