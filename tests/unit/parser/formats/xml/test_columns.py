"""Rows that are taken together, as columns, are those that expat tells of, and so is what is refused."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import cycle
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.xml import columns
from services.parser.formats.xml.blocks import RowBlock
from services.parser.formats.xml.columns import XmlColumns
from services.parser.formats.xml.rows import Stray, XmlRows
from tests.unit.parser.formats.xml.files import ELEMENTS, LIMITS, TEXT, XSI

COLUMNS = ("a", None, "b", "b.c", "b.a", "r", "c")
ALIKE = "<r><a>{}</a><b>{}</b></r>"
SPLICES = [
    *("<c>", "</c>", "<r>", "</r>", "<r/>", "<", ">", "&", "]]>", "&amp;", "&#10;", "&#xe5;", "&x;", "\r", "\r\n"),
    *(
        "\n",
        " ",
        "\t",
        "\x01",
        "\x7f",
        "\ufffe",
        "\uffff",
        "å",
        "<!-- > <r><a>1</a></r> < -->",
        "<![CDATA[<a>]]>",
        "<?p?>",
    ),
    *("<a>", "</a>", "<b>", "</b>", "<a/>", "<a z='>'/>", "<x:a>1</x:a>", "<r xmlns:x='u'>", "<![CDATA[<a>]]>"),
    *(
        "<s>1</s>",
        ALIKE.format("&lt;&amp;gt;", "x > y"),
        ALIKE.format(" \n ", "\r"),
        "</r><r>",
        f"<a {XSI} xsi:nil='1'/>",
    ),
]
Record = dict[str | None, str | None] | Stray | None


def records_of(xml: XmlRows) -> list[Record]:
    found: list[Record] = []
    for row, _ in xml.rows:
        if isinstance(row, RowBlock):
            records = zip(*(column.to_pylist() for column in row.columns), strict=True)
            found += [present(zip(COLUMNS, cells, strict=True)) for cells in records]
        elif row is None or isinstance(row, Stray):
            found.append(row)
        else:
            pairs = row.items() if isinstance(row, dict) else zip(COLUMNS, row, strict=True)
            found.append(present(pairs))
    return found


def present(pairs: Iterable[tuple[str | None, str | None]]) -> dict[str | None, str | None]:
    return {name: cell for name, cell in pairs if cell is not None}


def outcome(xml: XmlRows, data: bytes, piece: int) -> list[Record] | tuple[str, str]:
    """The rows, or why the file is refused."""
    try:
        for start in range(0, len(data), piece):
            xml.feed(data[start : start + piece])
        xml.feed(b"", final=True)
    except FileRefusedError as refused:
        return refused.code, refused.detail
    return records_of(xml)


def by_expat(
    data: bytes, path: tuple[str, ...] = ("*", "*"), piece: int | None = None
) -> list[Record] | tuple[str, str]:
    return outcome(XmlRows("utf-8", LIMITS, COLUMNS, path), data, piece or len(data) or 1)


def taken_together(data: bytes, piece: int = 10_000) -> int:
    xml = XmlColumns("utf-8", LIMITS, COLUMNS)
    outcome(xml, data, piece)
    return sum(row.rows for row, _ in xml.rows if isinstance(row, RowBlock))


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Rows of few patterns, most of them with plain texts, and then some damage."""
    patterns = draw(st.lists(ELEMENTS, min_size=1, max_size=3))
    document = ET.Element("c")
    for choice, texts in draw(
        st.lists(st.tuples(st.integers(0, 9), st.lists(TEXT, min_size=1, max_size=3)), max_size=30)
    ):
        row = deepcopy(patterns[max(0, choice - 7) % len(patterns)])
        for element, text in zip(row.iter(), cycle(texts), strict=False):
            element.text = (element.text and f"x{text}") or element.text
            if choice % 3:
                element.attrib.clear()
        document.append(row)
    if draw(st.booleans()):
        ET.indent(document)
    text = ET.tostring(document, "unicode")
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2, 5]))):
        at = draw(st.integers(0, len(text)))
        if draw(st.booleans()):
            at = text.find(draw(st.sampled_from([">", "<"])), at) % (len(text) + 1) + draw(st.integers(0, 1))
        text = text[:at] + draw(st.sampled_from(SPLICES)) + text[at + draw(st.sampled_from([0, 0, 0, 1, 4])) :]
    return text.encode()


PLAIN = "".join(ALIKE.format(number, number) for number in range(20))


@given(documents(), st.sampled_from([7, 50, 300, 10_000]), st.sampled_from([("*", "*"), ("c", "r"), ("c", "r", "a")]))
@example(f"<c>{PLAIN}<!-- > {PLAIN} < -->{PLAIN}</c>".encode(), 10_000, ("*", "*"))
@example(f"<c>{PLAIN}\n\n å {PLAIN}<r><a>&x;</a></r></c>".encode(), 10_000, ("*", "*"))
@example("<c />å<c>".encode(), 7, ("*", "*"))
@settings(max_examples=600, deadline=None)
def test_rows_and_refusals_are_those_of_expat(data: bytes, piece: int, path: tuple[str, ...]) -> None:
    found = outcome(XmlColumns("utf-8", LIMITS, COLUMNS, path), data, piece)
    # What expat complains about first behind the root depends on where its pieces end.
    assert found in (by_expat(data, path), by_expat(data, path, piece))


@pytest.mark.parametrize("splice", SPLICES)
@pytest.mark.parametrize("place", ["{}<r>", "<r>{}<a>", "<a>{}1", "<a>1{}", "</a>{}<b>", "</b>{}</r>", "</r>{}"])
def test_a_row_that_is_not_like_the_others(place: str, splice: str) -> None:
    odd = "<r><a>1</a><b>2</b></r>"
    odd = odd.replace(place.format(""), place.format(splice), 1)
    data = f"<c>\n{PLAIN}\n å {odd}{PLAIN}\n{PLAIN}</c>".encode()
    expected = by_expat(data)
    assert outcome(XmlColumns("utf-8", LIMITS, COLUMNS), data, 10_000) == expected
    assert taken_together(data) >= 15


@pytest.mark.parametrize(
    ("row", "fewest"),
    [
        pytest.param(lambda at: ALIKE.format(at, "ä"), 980, id="alike"),
        pytest.param(lambda at: ALIKE.format(at, "x &amp; &lt;y&gt;"), 0, id="nothing to learn from but entities"),
        pytest.param(lambda at: ALIKE.format(at, "x &amp; y" if at % 2 else "x"), 980, id="entities"),
        pytest.param(lambda at: ALIKE.format(at, "") if at % 3 else "<r><a/><b>1</b></r>", 980, id="empty"),
        pytest.param(lambda at: f"<r><b>\n<c>{at}</c>\n<a>\n</a></b></r>\n", 0, id="nothing but line ends"),
        pytest.param(lambda at: f"<r>\n  <b>\n    <c>{at}</c>\n  </b>\n</r>\n", 980, id="nested and indented"),
        pytest.param(lambda at: f"<r>\r\n  <a>{at}</a>\r\n</r>\r\n", 980, id="lines of Windows"),
        pytest.param(lambda at: f"<r><a>{at}\nx</a></r>", 980, id="texts of several lines"),
        pytest.param(lambda at: f"<r{at % 3}><a>{at}</a></r{at % 3}>", 0, id="rows of several names"),
        pytest.param(
            lambda at: "<r><c>1</c>" + "<a>1</a>" * (at & 1) + "<b>2</b>" * (at >> 1 & 1) + "</r>",
            800,
            id="cells that are missing",
        ),
        pytest.param(
            lambda at: ALIKE.format(at, "&#9;") if at % 50 == 7 else ALIKE.format(at, at), 900, id="a few others"
        ),
        pytest.param(lambda at: f"<r z='{at}'><a>1</a></r>", 0, id="attributes"),
        pytest.param(lambda _: "<r><a>1</a><a>2</a></r>", 0, id="repeated"),
        pytest.param(lambda _: "<r><a>1</a><z>2</z></r>", 0, id="not of the plan"),
        pytest.param(lambda _: "<r><r>1</r></r>", 0, id="named like the row"),
    ],
)
def test_how_many_rows_are_taken_together(row: Callable[[int], str], fewest: int) -> None:
    data = f"<c>{''.join(row(at) for at in range(1_000))}</c>".encode()
    assert outcome(XmlColumns("utf-8", LIMITS, COLUMNS), data, 100_000) == by_expat(data)
    taken = taken_together(data, 100_000)
    assert taken >= fewest
    assert fewest or not taken


def test_prefixes_that_are_not_declared_any_more() -> None:
    group = "<x:g xmlns:x='u'>" + "<x:r><x:a>1</x:a></x:r>" * 9 + "</x:g>"
    undeclared = group.replace("<x:g xmlns:x='u'>", "<g>").replace("</x:g>", "</g>")
    data = f"<c>{group}{undeclared}</c>".encode()
    expected = by_expat(data, ("c", "g", "r"))
    assert expected[0] == "MALFORMED_XML"
    assert outcome(XmlColumns("utf-8", LIMITS, COLUMNS, ("c", "g", "r")), data, 10_000) == expected


def test_rows_that_are_large() -> None:
    limits = ReaderLimits(max_record_bytes=400, max_cell_bytes=100)
    rows = [ALIKE.format("x" * (at % 200), "y" * (at % 500)) for at in range(1_000)]
    xml = XmlColumns("utf-8", limits, COLUMNS)
    outcome(xml, f"<c>{''.join(rows)}</c>".encode(), 10_000)
    for row, _ in xml.rows:
        if isinstance(row, RowBlock):
            assert max(len(cell or "") for column in row.columns for cell in column.to_pylist()) <= 100


def test_the_same_after_rows_that_differ_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_FIRST_PAUSE", 2)
    names = ("a", "b", "c")
    differing = ["<r>" + f"<a>{at}</a>" * (at % 7) + f"<b>{at}</b>" * (at % 5) + "</r>" for at in range(3_000)]
    alike = ["<r>" + "".join(f"<{name}>{at}</{name}>" for name in names) + "</r>" for at in range(20_000)]
    data = f"<c>{''.join([*alike[:100], *differing, *alike, *differing])}</c>".encode()
    assert outcome(XmlColumns("utf-8", LIMITS, COLUMNS), data, 50_000) == by_expat(data)
    assert taken_together(data, 50_000) > 5_000
