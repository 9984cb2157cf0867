"""The format ``xml``: what becomes a cell, and rows counted by an independent parser."""

import json
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.formats.api.batches import digest
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.xml.format import SAMPLE_BYTES
from tests.unit.parser.formats.xml.files import (
    CUTS,
    DOCUMENTS,
    XSI,
    Row,
    layout_of,
    plan_of,
    read,
    rows_in,
    rows_of,
    template_of,
)

CASES: dict[str, tuple[str, list[Row]]] = {
    "elements": ("<c><r><a>1</a><b>2</b></r><r><b>3</b></r></c>", [{"a": "1", "b": "2"}, {"b": "3"}]),
    "attributes": ('<c><r a="1" b=" x "/><r a="&lt;&#10;"/></c>', [{"a": "1", "b": " x "}, {"a": "<\n"}]),
    "rows of different tags": ("<c><x><a>1</a></x><y><a>2</a></y></c>", [{"a": "1"}, {"a": "2"}]),
    "empty and absent": ("<c><r><a/><b></b></r><r><b>1</b></r></c>", [{"a": "", "b": ""}, {"b": "1"}]),
    "nested": (
        "<c><r><address><city>Lund</city><geo><lat>55</lat></geo></address></r></c>",
        [{"address.city": "Lund", "address.geo.lat": "55"}],
    ),
    "nested attribute": (
        '<c><r><price currency="SEK">9.50</price></r></c>',
        [{"price.currency": "SEK", "price": "9.50"}],
    ),
    "repeated": ('<c><r><t>a</t><t/><t>"å"</t></r><r><t>c</t></r></c>', [{"t": '["a","","\\"å\\""]'}, {"t": "c"}]),
    "repeated and nested": (
        "<c><r><i><s>1</s><q>2</q></i><i><s>3</s></i></r></c>",
        [{"i.s": '["1","3"]', "i.q": "2"}],
    ),
    "text rows": ("<c><r>x</r><r> y </r><r/><r>\n</r></c>", [{"r": "x"}, {"r": " y "}, {}, {}]),
    "text beside children": ("<c><r>x<a>1</a>y</r></c>", [{"a": "1", "r": "xy"}]),
    "mixed content": ("<c><r><p>Hi <b>you</b> there</p></r></c>", [{"p.b": "you", "p": "Hi  there"}]),
    "indentation": ("<c>\n  <r>\n    <a>\n    </a>\n <b>\t</b>\n </r>\n</c>\n", [{"a": "", "b": "\t"}]),
    "space within text stays": ("<c><r><a>  x\n </a></r></c>", [{"a": "  x\n "}]),
    "CDATA": ("<c><r><a>1<![CDATA[<b>&amp;]]>2</a></r></c>", [{"a": "1<b>&amp;2"}]),
    "comments and instructions": (
        "<?p?><!-- <r/> --><c><!--x--><r><?p?><a>1<!--x-->2<?p q?>3</a></r><?p?></c><!--x-->",
        [{"a": "123"}],
    ),
    "characters": ("<c><r><a>&amp;&#x20AC;&#128512;\r\nå</a></r></c>", [{"a": "&€😀\nå"}]),
    "namespaces": (
        '<c xmlns="urn:d" xmlns:p="urn:p"><p:r p:x="1"><a>2</a><p:b>3</p:b></p:r></c>',
        [{"x": "1", "a": "2", "b": "3"}],
    ),
    "one local name of two namespaces": (
        '<c xmlns:p="urn:p" xmlns:q="urn:q"><r p:z="5" q:z="6"><p:a>1</p:a><q:a>2</q:a></r></c>',
        [{"z": '["5","6"]', "a": '["1","2"]'}],
    ),
    "attribute named like an element": (
        '<c><r id="1"><id>2</id></r><r id="3"/></c>',
        [{"@id": "1", "id": "2"}, {"@id": "3"}],
    ),
    "the same nested": ('<c><r><a id="1"><id>2</id></a></r></c>', [{"a.@id": "1", "a.id": "2"}]),
    "nil": (
        f'<c {XSI}><r><a xsi:nil="true"/><b xsi:nil="1" z="2"/><d xsi:nil="no">3</d></r><r xsi:t="x"><a>4</a></r></c>',
        [{"b.z": "2", "d": "3"}, {"a": "4"}],
    ),
    "nil and repeated": (
        f'<c {XSI}><r><a xsi:nil="true"/><a>1</a><a xsi:nil="true"/><a>2</a></r></c>',
        [{"a": '["1","2"]'}],
    ),
    "the root's own data": ('<c id="1">text<r><a>1</a></r>text</c>', [{"a": "1"}]),
    "an element within its like": ("<a><a><a><a>1</a></a></a></a>", [{"a.a": "1"}]),
    "no rows": ("<c/>", []),
    "no rows but text": ("<c>hello</c>", []),
    "unusual names": ("<c><r><é.x>1</é.x><_-/></r></c>", [{"é.x": "1", "_-": ""}]),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_rows(text: str, expected: list[Row]) -> None:
    assert rows_in(text, record_path="*") == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_rows_in_other_encodings(text: str, expected: list[Row], encoding: str) -> None:
    assert rows_in(text.encode(encoding), record_path="*") == expected


@pytest.mark.parametrize(
    ("data", "source", "note"),
    [
        ("<?xml version='1.0' encoding='iso-8859-1'?><c><r>åé</r></c>".encode("latin-1"), {}, "iso-8859-1, by an XML"),
        (
            '<?xml version="1.0" encoding="Shift_JIS" ?><c><r>åé</r></c>'.replace("åé", "日").encode("cp932"),
            {},
            "Shift_JIS",
        ),
        ("<?xml version='1.0' encoding='utf-8'?><c><r>åé</r></c>".encode("cp1252"), {"encoding": "cp1252"}, None),
        ("<?xml version='1.0' encoding='latin-1'?><c><r>åé</r></c>".encode("utf-8-sig"), {}, "byte order mark"),
        ("<?xml version='1.0'?><c><r>åé</r></c>".encode(), {}, "utf-8, the default"),
        ("<?xml version='1.0' encoding='cp037'?><c><r>åé</r></c>".encode("cp037"), {"encoding": "cp037"}, None),
    ],
)
def test_encoding(data: bytes, source: dict[str, str], note: str | None) -> None:
    plan = plan_of(data, template_of(**source))
    (cells,) = rows_of(read(data, plan), plan.columns)
    assert cells in ({"r": "åé"}, {"r": "日"})
    assert plan.notes == () if note is None else note in plan.notes[0]


def test_columns_in_order_of_appearance() -> None:
    layout = layout_of(b"<c><r><b/><a x='1'/></r><r y='2'><c/><a/></r></c>", template_of("z"))
    assert layout.columns == ("b", "a.x", "a", "y", "c")
    assert (layout.complete, layout.overflow, layout.named) == (True, False, True)


@pytest.mark.parametrize(
    ("expected", "columns"),
    [
        ((), ("a", "(other)")),
        (("A", "late name"), ("a", "late name", "(other)")),
        (("(other)",), ("a", "(other)", "(other)_2")),
        (("(other)", "(other)_2"), ("a", "(other)", "(other)_2", "(other)_3")),
    ],
)
def test_columns_of_a_file_that_goes_on(expected: tuple[str, ...], columns: tuple[str, ...]) -> None:
    data = b"<c>" + b"<r><a>1</a></r>" * 100_000 + b"<r><late/></r></c>"
    plan = plan_of(data, template_of(*expected))
    assert (plan.columns, plan.overflow) == (columns, len(columns) - 1)


def test_late_names_go_to_the_overflow_or_the_expected_column() -> None:
    data = b"<c>" + b"<r><a>1</a></r>" * 80_000
    data += b"<r><b>2</b></r><r><a>3</a><x y='4'>\"5</x><x>6</x></r><r><a/></r></c>"
    plan = plan_of(data, template_of("a", "b"), batch_rows=5_000)
    *first, one, two, three = rows_of(read(data, plan), plan.columns)
    assert len(first) == 80_000
    assert first[-1] == {"a": "1"}
    assert (one, three) == ({"b": "2"}, {"a": ""})
    assert isinstance(two, dict)
    assert two["a"] == "3"
    assert json.loads(two["(other)"] or "") == {"x.y": "4", "x": '["\\"5","6"]'}


def test_a_file_without_rows_has_no_missing_columns() -> None:
    plan = plan_of(b"<c/>", template_of("a"))
    assert plan.columns == ("a", "(other)")
    assert read(b"<c/>", plan) == []


def test_names_beyond_the_plan_are_extra_cells() -> None:
    (batch,) = read(b"<c><r><a>1</a><b>2</b></r><r><a>1</a><b/></r></c>", ParsePlan(columns=("a",)))
    (issue,) = batch.issues
    assert (issue.row, issue.code, issue.cells) == (1, "EXTRA_CELLS", ("1", "2"))


def test_long_names_are_cut_and_their_values_kept() -> None:
    limits = ReaderLimits(max_header_chars=5)
    assert rows_in("<c><r><abcdefg>1</abcdefg><abcdex>2</abcdex></r></c>", limits) == [{"abcde": '["1","2"]'}]


def test_large_cells_are_issues() -> None:
    limits = ReaderLimits(max_cell_bytes=10)
    text = "<c><r><a>0123456789</a></r><r><a>01234567890</a></r><r a='ååååå€'/><r><a>1234</a><a>1234</a></r></c>"
    assert rows_in(text, limits) == [{"a": "0123456789"}, "CELL_TOO_LARGE", "CELL_TOO_LARGE", "CELL_TOO_LARGE"]


def test_large_overflow_is_an_issue() -> None:
    plan = ParsePlan(columns=("a", "(other)"), overflow=1)
    data = b"<c><r><a>1</a></r><r><bcdefgh>12345678901234567890</bcdefgh></r></c>"
    limits = ReaderLimits(max_cell_bytes=20)
    assert rows_of(read(data, plan, limits), plan.columns) == [{"a": "1"}, "CELL_TOO_LARGE"]


def test_the_sample_may_end_anywhere() -> None:
    data = b"<c><r><a>1</a><b>" + "å".encode() * SAMPLE_BYTES + b"</b></r></c>"
    assert plan_of(data, template_of()).columns == ("a", "(other)")
    assert plan_of(b"<!--" + b" " * SAMPLE_BYTES + b"--><c/>", template_of("b")).columns == ("b", "(other)")


def texts_of(element: ET.Element) -> list[str]:
    """All texts of a row that are not blank, sorted."""
    own = (element.text or "") + "".join(child.tail or "" for child in element)
    return sorted(
        [text for text in [own, *element.attrib.values()] if text.strip()]
        + [text for child in element for text in texts_of(child)]
    )


def values_in(row: Row) -> list[str]:
    """The same of the cells that were read."""
    assert isinstance(row, dict)
    found: list[str] = []
    for cell in row.values():
        assert cell is not None
        values: list[str] = json.loads(cell) if cell.startswith('["') else [cell]
        found += [value for value in values if value.strip()]
    return sorted(found)


@given(DOCUMENTS, st.sampled_from(["utf-8", "utf-16", "us-ascii"]))
@settings(max_examples=150)
def test_every_text_of_every_row_is_there(document: ET.Element, encoding: str) -> None:
    rows = rows_in(ET.tostring(document, encoding, xml_declaration=True), record_path="*")
    parsed = ET.fromstring(ET.tostring(document))  # noqa: S314
    assert len(rows) == len(parsed)
    assert [values_in(row) for row in rows] == [texts_of(row) for row in parsed]


@given(DOCUMENTS, CUTS)
@settings(max_examples=100)
def test_batches_do_not_depend_on_pieces(document: ET.Element, cuts: tuple[int, ...]) -> None:
    data = ET.tostring(document, "utf-8")
    plan = ParsePlan(columns=("a", "b.c", "(other)"), overflow=2, batch_rows=3)
    limits = ReaderLimits(max_record_bytes=400, max_cell_bytes=30)
    try:
        whole = [digest(batch) for batch in read(data, plan, limits)]
    except FileRefusedError as refused:
        with pytest.raises(FileRefusedError, match=refused.code):
            read(data, plan, limits, cuts)
    else:
        assert whole == [digest(batch) for batch in read(data, plan, limits, cuts)]


def test_a_field_without_a_column_of_its_own_is_fed_by_a_name_that_comes_late() -> None:
    data = b"<r><i><sku>1</sku></i>" + b" " * SAMPLE_BYTES + b"<i><sku>2</sku><phone>3</phone><late>4</late></i></r>"
    template = template_of("sku")
    wanted = Template.model_validate({**template.model_dump(), "fields": [{"name": "sku"}, {"name": "phone"}]})
    plan = plan_of(data, wanted)
    assert plan.columns == ("sku", "phone", "(other)")
    _, late = rows_of(read(data, plan), plan.columns)
    assert late == {"sku": "2", "phone": "3", "(other)": '{"late":"4"}'}
