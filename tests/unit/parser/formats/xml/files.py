"""XML files through the format, for the tests of it."""

from collections.abc import Iterable
from itertools import pairwise
from xml.etree import ElementTree as ET

import pyarrow as pa
from hypothesis import strategies as st

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.formats.api.batches import ParsedBatch
from services.parser.formats.api.file_format import FileFacts, Layout
from services.parser.formats.api.limits import MIB, ReaderLimits
from services.parser.formats.registry import file_format
from services.parser.formats.xml.reader import XmlReader
from services.parser.planning.plan import make_plan

LIMITS = ReaderLimits()
XML = file_format("xml")
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
Row = dict[str, str | None] | str
"""Cells that are there, by column, or the code of the issue."""


def template_of(*columns: str, **source: object) -> Template:
    reads_nothing = {"name": "f", "transforms": [{"type": "constant", "value": "x"}]}
    fields = [{"name": f"f{index}", "column": column} for index, column in enumerate(columns)] or [reads_nothing]
    return Template.model_validate(
        {"name": "t", "target_resource": "things", "source": {"file_type": "xml", **source}, "fields": fields}
    )


def layout_of(data: bytes, template: Template, limits: ReaderLimits = LIMITS) -> Layout:
    sampler = XML.sampler(template, FileFacts(len(data)), limits)
    for start in range(0, len(data), 100_000):
        if sampler.feed(data[start : start + 100_000]):
            break
    return sampler.layout()


def plan_of(data: bytes, template: Template, limits: ReaderLimits = LIMITS, batch_rows: int = 7) -> ParsePlan:
    layout = layout_of(data, template, limits)
    return make_plan(layout, template, "xml", batch_rows=batch_rows, batch_bytes=4 * MIB, limits=limits)


def read(data: bytes, plan: ParsePlan, limits: ReaderLimits = LIMITS, cuts: tuple[int, ...] = ()) -> list[ParsedBatch]:
    reader = XML.reader(plan, limits)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    batches = [batch for start, end in pairwise(edges) for batch in reader.feed(data[start:end])]
    return [*batches, *reader.close()]


def rows_of(batches: list[ParsedBatch], columns: tuple[str, ...]) -> list[Row]:
    rows: list[Row] = []
    for batch in batches:
        assert batch.row_from == len(rows) + 1
        assert set(batch.table.schema.types[1:]) <= {pa.string()}
        found: dict[int, Row] = {issue.row: issue.code for issue in batch.issues}
        for record in batch.table.to_pylist():
            number, *cells = record.values()
            found[number] = {name: cell for name, cell in zip(columns, cells, strict=True) if cell is not None}
        assert sorted(found) == list(range(batch.row_from, batch.row_to + 1))
        rows += [found[number] for number in sorted(found)]
    return rows


def rows_in(data: bytes | str, limits: ReaderLimits = LIMITS, **source: object) -> list[Row]:
    data = data.encode() if isinstance(data, str) else data
    plan = plan_of(data, template_of(**source), limits)
    return rows_of(read(data, plan, limits), plan.columns)


def read_all(data: Iterable[bytes]) -> int:
    reader = XmlReader(ParsePlan(columns=("r",)), ReaderLimits())
    return sum(batch.rows for piece in data for batch in reader.feed(piece))


NAMES = st.sampled_from(["a", "b", "c"])
TEXT = st.text(alphabet="ab\n <&>\"'å€😀\u2028", max_size=8)


def to_element(name: str, text: str, attributes: dict[str, str], children: list[ET.Element]) -> ET.Element:
    element = ET.Element(name, attributes)
    element.text = text
    element.extend(children)
    return element


LEAVES = st.builds(to_element, NAMES, TEXT, st.dictionaries(NAMES, TEXT, max_size=2), st.just([]))
ELEMENTS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        to_element, NAMES, TEXT, st.dictionaries(NAMES, TEXT, max_size=2), st.lists(inner, max_size=3)
    ),
    max_leaves=20,
)
DOCUMENTS = st.lists(ELEMENTS, max_size=15).map(lambda rows: to_element("c", "", {}, rows))
CUTS = st.lists(st.integers(0, 10_000), max_size=6).map(tuple)
