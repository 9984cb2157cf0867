"""Reads JSON files as the parser service does, for the tests of the format."""

from itertools import pairwise

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.formats.api.batches import ParsedBatch, digest
from services.parser.formats.api.file_format import FileFacts, Layout
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.json.format import JsonFormat
from services.parser.planning.plan import make_plan

LIMITS = ReaderLimits()
Row = tuple[str | None, ...] | str
"""Cells, or the code of the issue."""


def template(*fields: dict[str, object] | str, **more: object) -> Template:
    """A template of text fields."""
    given = [{"name": field} if isinstance(field, str) else field for field in fields]
    return Template.model_validate({"name": "t", "target_resource": "t", "fields": given, **more})


ANY = template("a")


def layout_of(data: bytes, wanted: Template = ANY, limits: ReaderLimits = LIMITS, step: int = 1 << 18) -> Layout:
    sampler = JsonFormat().sampler(wanted, FileFacts(size=len(data)), limits)
    for start in range(0, len(data), step):
        if sampler.feed(data[start : start + step]):
            break
    return sampler.layout()


def plan_of(data: bytes, wanted: Template = ANY, limits: ReaderLimits = LIMITS) -> ParsePlan:
    layout = layout_of(data, wanted, limits)
    return make_plan(layout, wanted, "json", batch_rows=5_000, batch_bytes=4 << 20, limits=limits)


def plain_plan(shape: str, columns: tuple[str, ...], *, start: int | None = None, **changes: object) -> ParsePlan:
    options = {"shape": shape, "start": int(shape == "array") if start is None else start, "keys": []}
    return ParsePlan.model_validate({"file_type": "json", "columns": columns, "options": options, **changes})


def read(data: bytes, plan: ParsePlan, limits: ReaderLimits = LIMITS, cuts: tuple[int, ...] = ()) -> list[ParsedBatch]:
    reader = JsonFormat().reader(plan, limits)
    batches: list[ParsedBatch] = []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        batches += reader.feed(data[start:end])
    return batches + reader.close()


def outcome(data: bytes, plan: ParsePlan, limits: ReaderLimits = LIMITS, cuts: tuple[int, ...] = ()) -> object:
    """All there is to compare: rows, digests and issues of the batches, or the refusal."""
    try:
        batches = read(data, plan, limits, cuts)
    except FileRefusedError as refused:
        return refused.code, refused.detail
    return rows_of(batches), [(digest(batch), batch.issues) for batch in batches]


def rows_of(batches: list[ParsedBatch]) -> list[Row]:
    """All rows in order; checks on the way that every row number is there once."""
    rows: list[Row] = []
    for batch in batches:
        found: dict[int, Row] = {issue.row: issue.code for issue in batch.issues}
        numbers, *columns = batch.table.columns
        cells = zip(*(column.to_pylist() for column in columns), strict=True) if columns else [()] * len(numbers)
        found |= dict(zip(numbers.to_pylist(), cells, strict=True))
        assert batch.table.num_rows + len(batch.issues) == batch.rows == len(found)
        assert sorted(found) == list(range(len(rows) + 1, len(rows) + 1 + batch.rows))
        rows += [found[number] for number in sorted(found)]
    return rows


def rows_in(data: bytes, wanted: Template = ANY) -> list[Row]:
    return rows_of(read(data, plan_of(data, wanted)))
