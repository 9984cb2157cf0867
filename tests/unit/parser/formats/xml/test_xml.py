"""The format ``xml``: what becomes a cell, what is refused, and rows counted by an independent parser."""

import json
import socket
import tracemalloc
from collections.abc import Iterable, Iterator
from copy import deepcopy
from itertools import chain, count, cycle, pairwise, repeat
from pathlib import Path
from xml.etree import ElementTree as ET

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.formats.api.batches import ParsedBatch, digest
from services.parser.formats.api.file_format import FileFacts, Layout
from services.parser.formats.api.limits import MIB, ReaderLimits
from services.parser.formats.registry import file_format
from services.parser.formats.xml import reader as xml_reader
from services.parser.formats.xml.format import SAMPLE_BYTES
from services.parser.formats.xml.reader import XmlReader, XmlRows
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
    assert rows_in(text) == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_rows_in_other_encodings(text: str, expected: list[Row], encoding: str) -> None:
    assert rows_in(text.encode(encoding)) == expected


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


DEEP = "<a>" * 200_000
REFUSED: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "EMPTY_FILE", "root element"),
    "blank": (b"\xef\xbb\xbf \n", "EMPTY_FILE", "root element"),
    "no XML": (b"a,b\n1,2\n", "MALFORMED_XML", "line 1, column 1: "),
    "only a comment": (b"<!-- x -->", "MALFORMED_XML", "no element found"),
    "only a declaration": (b"<?xml version='1.0'?>\n", "MALFORMED_XML", "line 2, column 1: no element"),
    "open comment": (b"<!-- x", "MALFORMED_XML", "line 1"),
    "wrong end tag": (b"<c>\n <r><a>1</b></r></c>", "MALFORMED_XML", "line 2, column 11: mismatched tag"),
    "cut off": (b"<c><r><a>1</a></r>\n<r>", "MALFORMED_XML", "line 2, column 4: no element found"),
    "second root": (b"<c/><c/>", "MALFORMED_XML", "junk after"),
    "unknown entity": (b"<c><r>&nbsp;</r></c>", "MALFORMED_XML", "undefined entity"),
    "NUL": (b"<c><r>a\0b</r></c>", "MALFORMED_XML", "not well-formed"),
    "unbound prefix": (b"<c><p:r/></c>", "MALFORMED_XML", "unbound prefix"),
    "attribute twice": (b"<c><r a='1' a='2'/></c>", "MALFORMED_XML", "duplicate attribute"),
    "long namespace": (b"<c xmlns='" + b"x" * 3_000 + b"'/>", "MALFORMED_XML", "namespace"),
    "late DOCTYPE": (b"<c><!DOCTYPE x><r/></c>", "MALFORMED_XML", "line 1"),
    "too deep": (DEEP.encode(), "XML_TOO_DEEP", "256"),
    "wrong declaration": (
        "<?xml version='1.0' encoding='utf-8'?>\n<c>\n<r>é</r></c>".encode("cp1252"),
        "WRONG_ENCODING",
        "line 3: byte 0xE9 is not utf-8",
    ),
    "cut-off character": (b"<c/>\n\xc3", "WRONG_ENCODING", "line 2: byte 0xC3"),
    "not UTF-16": (b"<?xml version='1.0' encoding='UTF-16'?><c/>", "WRONG_ENCODING", "says UTF-16"),
    "unknown encoding": (b"<?xml version='1.0' encoding='klingon'?><c/>", "UNKNOWN_ENCODING", "declaration names"),
}


@pytest.mark.parametrize(("data", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(data: bytes, code: str, message: str) -> None:
    with pytest.raises(FileRefusedError, match=message) as refused:
        rows_in(data)
    assert refused.value.code == code


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 20))


@pytest.mark.parametrize(
    "dtd",
    [
        f'<!DOCTYPE c [<!ENTITY l0 "ha">{LAUGHS}]>',
        '<!DOCTYPE c [<!ENTITY l19 SYSTEM "file://SECRET">]>',
        '<!DOCTYPE c [<!ENTITY l19 SYSTEM "http://127.0.0.1:PORT/x">]>',
        '<!DOCTYPE c SYSTEM "http://127.0.0.1:PORT/x.dtd">',
        '<!DOCTYPE c PUBLIC "x" "http://127.0.0.1:PORT/x.dtd">',
        '<!DOCTYPE c [<!ENTITY % p SYSTEM "http://127.0.0.1:PORT/x"> %p;]>',
        '<!DOCTYPE c [<!ENTITY l19 "' + "x" * 100_000 + '">]>',
        "<!DOCTYPE c>",
        "<!doctype html>",
    ],
)
@pytest.mark.parametrize("before", ["", "<?xml version='1.0'?>\n", "<!-- > --> <?p ?> <!---->\n"])
def test_doctype_is_refused_and_nothing_is_fetched(
    dtd: str, before: str, listener: socket.socket, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    dtd = dtd.replace("PORT", str(listener.getsockname()[1])).replace("SECRET", str(secret))
    data = f"{before}{dtd}<c><r>&l19;</r></c>".encode()
    with pytest.raises(FileRefusedError, match="XML_DTD_FORBIDDEN"):
        layout_of(data, template_of())
    for cuts in ((), tuple(range(300))):
        with pytest.raises(FileRefusedError, match="XML_DTD_FORBIDDEN"):
            read(data, ParsePlan(columns=("r",)), LIMITS, cuts)
    with pytest.raises(FileRefusedError, match="XML_DTD_FORBIDDEN"):
        read(data, ParsePlan(columns=("r",)), ReaderLimits(max_record_bytes=1_000), ())
    with pytest.raises(BlockingIOError):
        listener.accept()


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


@pytest.mark.parametrize("inner", ["<a>{}</a>", "<a b='1'><x/>{}<x/></a>", "{}", "<a><![CDATA[{}]]></a>"])
def test_a_row_of_any_size_is_one_issue(inner: str) -> None:
    large = inner.format("x" * 5 * MIB)
    rows = rows_in(f"<c><r><a>1</a></r><r>{large}</r><r>2</r><r>{large}</r><r><a>3</a></r></c>")
    assert rows == [{"a": "1"}, "ROW_TOO_LARGE", {"(other)": '{"r":"2"}'}, "ROW_TOO_LARGE", {"a": "3"}]


def test_a_row_of_many_cells_is_one_issue() -> None:
    limits = ReaderLimits(max_columns=100)
    cells = "".join(f"<a{number}/>" for number in range(101))
    assert rows_in(f"<c><r><a/></r><r>{cells}</r><r><a/></r></c>", limits)[1] == "ROW_TOO_LARGE"
    assert rows_in(f"<c><r>{cells * 500}</r><r><a/></r></c>", limits)[0] == "ROW_TOO_LARGE"


def pieces(text: str) -> Iterator[bytes]:
    return repeat(text.encode() * (64 * 1024 // len(text)))


def numbered(text: str) -> Iterator[bytes]:
    for start in count(0, 4_000):
        yield "".join(text.format(number) for number in range(start, start + 4_000)).encode()


@pytest.mark.parametrize(
    ("start", "endless", "code"),
    [
        pytest.param("<c><r", pieces("x"), "XML_TOKEN_TOO_LARGE", id="name"),
        pytest.param("<c><r ", numbered("a{}='' "), "XML_TOKEN_TOO_LARGE", id="attributes"),
        pytest.param("<c><r a='", pieces("x"), "XML_TOKEN_TOO_LARGE", id="attribute"),
        pytest.param("<c><!-- ", pieces("x"), "XML_TOKEN_TOO_LARGE", id="comment"),
        pytest.param("<c><?p ", pieces("x"), "XML_TOKEN_TOO_LARGE", id="instruction"),
        pytest.param("", pieces(" "), "XML_TOKEN_TOO_LARGE", id="nothing before the root"),
        pytest.param("<!--", pieces("x"), "XML_TOKEN_TOO_LARGE", id="comment before the root"),
        pytest.param("<c>", numbered("<a{}/>"), "XML_TOO_MANY_NAMES", id="names"),
        pytest.param(f"<c xmlns='{'x' * 2_000}'>", numbered("<a{}/>"), "XML_TOO_MANY_NAMES", id="names of a namespace"),
        pytest.param("<c>", numbered("<a xmlns:p{0}='u{0}'/>"), "XML_TOO_MANY_NAMES", id="prefixes"),
        pytest.param(
            "<c>" + "<r>x</r>" * 9 + "<r>" + "x" * 5 * MIB, pieces("<a>"), "XML_TOO_DEEP", id="depth, skipped"
        ),
    ],
)
def test_what_never_ends_is_refused(
    start: str, endless: Iterable[bytes], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xml_reader, "_MAX_NAMES_BYTES", 4 * MIB)
    with pytest.raises(FileRefusedError, match=code):
        read_all(chain([start.encode()], endless))


@pytest.mark.parametrize(
    ("start", "endless"),
    [
        pytest.param("<c><r>", pieces("x"), id="text"),
        pytest.param("<c><r><![CDATA[", pieces("x"), id="CDATA"),
        pytest.param("<c><r>", pieces("&amp;"), id="references"),
        pytest.param("<c><r>", pieces("<a>x</a>"), id="repeated elements"),
        pytest.param("<c><r>", pieces("x<a/>"), id="mixed content"),
        pytest.param("<c>", pieces("<!-- x -->"), id="comments"),
        pytest.param("<c>", pieces("x"), id="text of the root"),
        pytest.param("<c/>", pieces(" "), id="nothing after the root"),
    ],
)
def test_memory_does_not_grow(start: str, endless: Iterator[bytes]) -> None:
    reader = XmlReader(ParsePlan(columns=("r",)), ReaderLimits(max_record_bytes=128 * 1024))
    reader.feed(start.encode())
    tracemalloc.start()
    try:
        used: list[int] = []
        for _ in range(24):
            assert reader.feed(next(endless)) == []
            used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert max(used) < 4 * MIB
    assert used[-1] - used[8] < 64 * 1024


def read_all(data: Iterable[bytes]) -> int:
    reader = XmlReader(ParsePlan(columns=("r",)), ReaderLimits())
    return sum(batch.rows for piece in data for batch in reader.feed(piece))


def test_kinds_of_elements_are_forgotten_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_reader, "_MAX_KINDS", 1_000)
    names = [f"<a{number}><b c='1'/></a{number}>" for number in range(300)]
    rows = "".join(f"<r{number}><x y='1'>" + "".join(names) + f"</x></r{number}>" for number in range(10))
    assert (
        rows_of(read(f"<c>{rows}</c>".encode(), ParsePlan(columns=("x.y",), overflow=None)), ("x.y",))
        == ["EXTRA_CELLS"] * 10
    )


def test_the_sample_may_end_anywhere() -> None:
    data = b"<c><r><a>1</a><b>" + "å".encode() * SAMPLE_BYTES + b"</b></r></c>"
    assert plan_of(data, template_of()).columns == ("a", "(other)")
    assert plan_of(b"<!--" + b" " * SAMPLE_BYTES + b"--><c/>", template_of("b")).columns == ("b", "(other)")


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
    rows = rows_in(ET.tostring(document, encoding, xml_declaration=True))
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
        patch.setattr(xml_reader, "_PIECE_BYTES", buffer_bytes)
        patch.setattr(xml_reader, "_EVENTS_AT_ONCE", 5)
        patch.setattr(xml_reader, "_ROWS_PER_SHAPE", 2)
        xml = XmlRows("utf-8", LIMITS, SHAPE_COLUMNS)
        for start in range(0, len(data), piece_bytes or len(data)):
            xml.feed(data[start : start + (piece_bytes or len(data))])
        xml.feed(b"", final=True)
    found: list[dict[str | None, str | None]] = []
    for cells, _ in xml.rows:
        assert cells is not None
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


SOUP = [b"<c>", b"</c>", b"<r", b"<r>", b"</r>", b"/>", b">", b" a='1'", b"x", b"\xe5", b"&amp;", b"&", b"<!--", b"-->"]
SOUP += [b"<![CDATA[", b"]]>", b"<?p", b"?>", b"\n", b"\0", b"<!DOCTYPE", b"<?xml version='1.0' encoding='latin-1'?>"]


@given(st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(SOUP), max_size=40).map(b"".join)), CUTS)
@settings(max_examples=400)
def test_any_bytes_end_in_rows_or_a_refusal(data: bytes, cuts: tuple[int, ...]) -> None:
    limits = ReaderLimits(max_record_bytes=100, max_cell_bytes=10, max_columns=5)
    plan = ParsePlan(columns=("a", "r"))
    for attempt in (lambda: rows_in(data), lambda: rows_of(read(data, plan, limits, cuts), plan.columns)):
        try:
            attempt()
        except FileRefusedError as refused:
            assert refused.detail  # noqa: PT017  # anything else than rows and a refusal fails the test


def test_rows_that_differ_all_the_time_and_rows_alike_after_them() -> None:
    names = ("a", "b", "c", "d")
    differing = [{name: f"{row}{name}" for bit, name in enumerate(names) if row >> bit & 1} for row in range(1, 1_000)]
    alike = [dict.fromkeys(names, str(row)) for row in range(10_000)]
    rows = [*alike[:100], *differing, *alike, *differing]
    text = "".join(f"<i>{''.join(f'<{name}>{cell}</{name}>' for name, cell in row.items())}</i>" for row in rows)
    assert rows_in(f"<r>{text}</r>") == rows


def test_a_field_without_a_column_of_its_own_is_fed_by_a_name_that_comes_late() -> None:
    data = b"<r><i><sku>1</sku></i>" + b" " * SAMPLE_BYTES + b"<i><sku>2</sku><phone>3</phone><late>4</late></i></r>"
    template = template_of("sku")
    wanted = Template.model_validate({**template.model_dump(), "fields": [{"name": "sku"}, {"name": "phone"}]})
    plan = plan_of(data, wanted)
    assert plan.columns == ("sku", "phone", "(other)")
    _, late = rows_of(read(data, plan), plan.columns)
    assert late == {"sku": "2", "phone": "3", "(other)": '{"late":"4"}'}
