"""Files through the parser's formats and plans, without servers: what a run would be made of."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan, RowIssue
from libs.contracts.templates import Template
from libs.formats.content import HEAD_BYTES, file_type_of, recognise, refusal
from services.parser.formats.api.batches import ParsedBatch
from services.parser.formats.api.file_format import FileFacts
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.registry import file_format
from services.parser.planning.plan import make_plan
from services.parser.planning.styles import StyleSearch

CHUNK_BYTES = 64 * 1024
TODAY = date(2026, 6, 15)
"""The day of the plans."""


@dataclass(frozen=True, slots=True)
class ReadFile:
    """What became of a file."""

    plan: ParsePlan
    batches: tuple[ParsedBatch, ...]

    @property
    def rows(self) -> int:
        return sum(batch.rows for batch in self.batches)

    @property
    def issues(self) -> list[RowIssue]:
        return [issue for batch in self.batches for issue in batch.issues]

    @property
    def table(self) -> pa.Table:
        """All rows that became cells; columns ``_row``, ``c0``, ``c1``, …."""
        return pa.concat_tables([batch.table for batch in self.batches])

    def cells(self) -> list[tuple[str | None, ...]]:
        """Those rows as tuples, in the order of the file."""
        if not self.batches:
            return []
        columns: list[list[str | None]] = [column.to_pylist() for column in self.table.columns[1:]]
        return list(zip(*columns, strict=True))


def plan_file(
    content: bytes,
    template: Template,
    given: Sequence[tuple[str, str | None]] | None = None,
    limits: ReaderLimits | None = None,
) -> ParsePlan:
    """The plan that a run of this file would freeze.

    Raises:
        FileRefusedError: as the run would fail.
    """
    limits = limits or ReaderLimits()
    kind = recognise(content[:HEAD_BYTES])
    wanted = template.source.file_type
    if (reason := refusal(wanted, kind)) is not None:
        raise FileRefusedError("UNSUPPORTED_FILE", reason)
    file_type = wanted or file_type_of(kind)
    sampler = file_format(file_type).sampler(template, FileFacts(len(content)), limits)
    for chunk in chunks(content):
        if sampler.feed(chunk):
            break
    layout = sampler.layout()
    plan = make_plan(layout, template, file_type, given, batch_rows=5_000, batch_bytes=4 * 1024 * 1024, limits=limits)
    search = StyleSearch(template, plan, TODAY)
    if search.needed:
        for batch in parse(content, plan, limits):
            search.look(batch.table)
            if not search.open:
                break
    return search.plan()


def parse(content: bytes, plan: ParsePlan, limits: ReaderLimits | None = None) -> Iterator[ParsedBatch]:
    """The batches of a file."""
    reader = file_format(plan.file_type).reader(plan, limits or ReaderLimits())
    for chunk in chunks(content):
        yield from reader.feed(chunk)
    yield from reader.close()


def read_file(content: bytes, template: Template) -> ReadFile:
    """Plan and batches of a file."""
    plan = plan_file(content, template)
    return ReadFile(plan, tuple(parse(content, plan)))


def chunks(content: bytes) -> Iterable[bytes]:
    """The content in the pieces that a store would give."""
    return (content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES))
