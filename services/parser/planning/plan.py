"""From a file's layout and a template to the plan that is frozen on the run."""

from collections.abc import Sequence

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Concat, Template
from services.parser.formats.api.file_format import Layout
from services.parser.formats.api.limits import ReaderLimits
from services.parser.planning.matching import Columns, Matching, concat_columns, match_columns

MAX_BATCH_CELLS = 1_000_000
"""Every cell costs memory in every stage, also an empty one: of a wide file a batch has fewer rows."""
_SHOWN_COLUMNS = 30
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
        raise FileRefusedError(
            "TOO_MANY_COLUMNS",
            f"the file has {len(layout.columns):,} columns and at most {limits.max_columns:,} can be read; "
            "check the delimiter, or split the file",
        )
    matching = match_columns(template, layout, given)
    joined = concat_columns(template, layout.columns)
    if layout.complete:
        _refuse_missing(template, layout.columns, matching.mapping, joined)
    used = {*matching.mapping.values(), *joined.values(), *matching.ignored, layout.overflow}
    unmatched = [index for index in range(len(layout.columns)) if index not in used]
    return ParsePlan(
        **layout.settings,
        file_type=file_type,
        columns=layout.columns,
        overflow=layout.overflow,
        mapping=matching.mapping,
        matches=matching.matches,
        concat_columns=joined,
        unmatched=tuple(unmatched) if template.include_unmatched_columns else (),
        batch_rows=min(batch_rows, max(1, MAX_BATCH_CELLS // max(1, len(layout.columns)))),
        batch_bytes=batch_bytes,
        notes=(*layout.notes, *_guesses(matching, layout.columns)),
    )


def _guesses(matching: Matching, columns: Sequence[str]) -> list[str]:
    return [
        f"field {name!r} reads the column {columns[index]!r}, which is only similar ({match.confidence:.0%}); "
        "give a mapping if that is wrong"
        for name, match in matching.matches.items()
        if match.confidence < _DOUBTFUL and (index := matching.mapping[name]) is not None
    ]


def _refuse_missing(
    template: Template,
    columns: tuple[str, ...],
    mapping: dict[str, int | None],
    joined: dict[str, int | None],
) -> None:
    lookup = Columns(columns)
    mapped = {field.source for field in template.fields if mapping[field.name] is not None}
    missing = [name for name in template.required_columns if name not in mapped and lookup.find(name) is None]
    for field in template.fields:
        if not field.required or field.filled_when_empty or mapping[field.name] is not None:
            continue
        parts = [part for each in field.transforms if isinstance(each, Concat) for part in each.columns]
        if not any(joined[part] is not None for part in parts):
            missing += parts or [field.source]
    if not missing and not mapped and not any(index is not None for index in joined.values()):
        missing = [field.source for field in template.fields if field.reads_column]
    if missing:
        wanted = ", ".join(repr(name) for name in dict.fromkeys(missing))
        shown = ", ".join(repr(name) for name in columns[:_SHOWN_COLUMNS])
        more = len(columns) - _SHOWN_COLUMNS
        raise FileRefusedError(
            "MISSING_COLUMNS",
            f"the file has no column {wanted}; its columns are {shown}{f' and {more:,} more' if more > 0 else ''}; "
            "fix the header or the template (a wrong delimiter looks like this too)",
        )
