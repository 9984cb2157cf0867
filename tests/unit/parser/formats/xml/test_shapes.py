"""Rows read by the shape of the row before are those that are found event by event."""

from copy import deepcopy
from itertools import cycle
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.parser.formats.xml import events
from services.parser.formats.xml import rows as xml_rows
from services.parser.formats.xml.blocks import RowBlock
from services.parser.formats.xml.rows import Stray, XmlRows
from tests.unit.parser.formats.xml.files import (
    ELEMENTS,
    LIMITS,
    TEXT,
    XSI,
    rows_in,
)

ALIKE = "<r><a>{}</a><b>{}</b></r>"
INDENTED = "<r>\n  <a>{}</a>\n  <b>\n    <c>{}</c>\n  </b>\n</r>"
SHAPES: dict[str, tuple[str, list[str], int]] = {
    "alike": (ALIKE.format(1, 2), [ALIKE.format("x  ", " "), ALIKE.format("&lt;€", "y")], 2),
    "another order": ("<r><b>1</b><a>2</a></r>", ["<r><b>3</b><a>4</a></r>"], 1),
    "one cell": ("<r><a>1</a></r>", ["<r><a>2</a></r>"], 1),
    "nested and indented": (INDENTED.format(1, 2), [INDENTED.format(3, 4)], 1),
    "indented otherwise": (INDENTED.format(1, 2), [INDENTED.format(3, 4).replace("    ", " ")], 0),
    "comments and instructions": (ALIKE.format(1, 2), ["<!-- --><r><a>3</a><?p?><b>4</b></r>"], 1),
    "an empty cell": ("<r><a/><b>1</b></r>", ["<r><a></a><b>2</b></r>", ALIKE.format(1, 2)], 1),
    "all cells empty": ("<r><a/><b/></r>", ["<r><a/><b/></r>"], 0),
    "no cells": ("<r/>", ["<r/>"], 0),
    "a line end": (ALIKE.format(1, 2), [ALIKE.format("\n", "x")], 0),
    "a line end, first": (ALIKE.format(1, "\n "), [ALIKE.format(3, 4), ALIKE.format(3, "\n ")], 0),
    "attributes for text": (ALIKE.format(1, 2), ["<r><a z='1'/><b>2</b></r>"], 0),
    "attributes": ("<r z='1'><a>1</a></r>", ["<r z='2'><a>2</a></r>"], 0),
    "nil": (ALIKE.format(1, 2), [f"<r><a {XSI} xsi:nil='1'/><b>2</b></r>"], 0),
    "an element for indentation": ("<r>\n<a>1</a>\n</r>", ["<r><b><a>2</a></b></r>"], 0),
    "text for indentation": ("<r>\n<a>1</a></r>", ["<r>x<a>2</a></r>"], 0),
    "text of the row": ("<r>1</r>", ["<r>2</r>", "<r> </r>"], 0),
    "mixed": ("<r>x<a>1</a></r>", ["<r>y<a>2</a></r>"], 0),
    "repeated": ("<r><a>1</a><a>2</a><b/></r>", ["<r><a>3</a><a>4</a><b/></r>"], 0),
    "not of the plan": ("<r><a>1</a><z>2</z></r>", ["<r><a>3</a><z>4</z></r>"], 0),
    # The text is parted by expat's buffer: the events are as many, and its second part is named like the row.
    "text like an end tag": ("<r><r>1</r></r>", ["<r><r>0123456789012345&#114;</r></r>"], 0),
}
SHAPE_COLUMNS = ("a", None, "b", "b.c", "r")


def records_of(
    data: bytes, buffer_bytes: int, piece_bytes: int | None = None
) -> tuple[list[dict[str | None, str | None]], int]:
    """Cells of every row, and how many rows were taken by the shape of one before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "PIECE_BYTES", buffer_bytes)
        patch.setattr(xml_rows, "_EVENTS_AT_ONCE", 5)
        patch.setattr(xml_rows, "_ROWS_PER_SHAPE", 2)
        xml = XmlRows("utf-8", LIMITS, SHAPE_COLUMNS)
        for start in range(0, len(data), piece_bytes or len(data)):
            xml.feed(data[start : start + (piece_bytes or len(data))])
        xml.feed(b"", final=True)
    found: list[dict[str | None, str | None]] = []
    for cells, _ in xml.rows:
        assert not isinstance(cells, Stray | RowBlock | None)
        pairs = cells.items() if isinstance(cells, dict) else zip(SHAPE_COLUMNS, cells, strict=True)
        found.append({name: cell for name, cell in pairs if cell is not None})
    return found, sum(not isinstance(cells, dict) for cells, _ in xml.rows)


@pytest.mark.parametrize(("first", "others", "taken"), SHAPES.values(), ids=SHAPES)
def test_rows_by_the_shape_of_the_row_before(first: str, others: list[str], taken: int) -> None:
    data = f"<c>\n{first}text\n{''.join(others)}</c>".encode()
    records, by_shape = records_of(data, 16)
    assert by_shape == taken
    # In so small pieces no row is whole.
    assert records_of(data, 16, 3) == (records, 0)


@given(
    st.lists(ELEMENTS, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.lists(TEXT, min_size=1, max_size=3)), max_size=40),
    st.booleans(),
    st.sampled_from([4, 16, 64 * 1024]),
)
@settings(max_examples=200)
def test_rows_do_not_depend_on_shapes(
    patterns: list[ET.Element], choices: list[tuple[int, list[str]]], indented: bool, buffer_bytes: int
) -> None:
    document = ET.Element("c")
    for choice, texts in choices:
        row = deepcopy(patterns[choice % len(patterns)])
        # Most texts are of one kind, so that rows are alike; some are empty or blank.
        for element, text in zip(row.iter(), cycle(texts), strict=False):
            element.text = (element.text and f"x{text}") or element.text
        document.append(row)
    if indented:
        ET.indent(document)
    data = ET.tostring(document, "utf-8")
    records, _ = records_of(data, buffer_bytes)
    assert records_of(data, buffer_bytes, 3) == (records, 0)


def test_rows_that_differ_all_the_time_and_rows_alike_after_them() -> None:
    names = ("a", "b", "c", "d")
    differing = [{name: f"{row}{name}" for bit, name in enumerate(names) if row >> bit & 1} for row in range(1, 1_000)]
    alike = [dict.fromkeys(names, str(row)) for row in range(10_000)]
    rows = [*alike[:100], *differing, *alike, *differing]
    text = "".join(f"<i>{''.join(f'<{name}>{cell}</{name}>' for name, cell in row.items())}</i>" for row in rows)
    assert rows_in(f"<r>{text}</r>") == rows
