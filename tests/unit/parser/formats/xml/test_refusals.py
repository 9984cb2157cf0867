"""The format ``xml``: what is refused, what costs its row, and how much is kept of what never ends."""

import socket
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import chain, count, repeat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from services.parser.formats.api.limits import MIB, ReaderLimits
from services.parser.formats.xml import events
from services.parser.formats.xml import rows as xml_rows
from services.parser.formats.xml.reader import XmlReader
from tests.unit.parser.formats.xml.files import (
    CUTS,
    LIMITS,
    layout_of,
    read,
    read_all,
    rows_in,
    rows_of,
    template_of,
)

DEEP = "<a>" * 200_000
REFUSED: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "EMPTY_FILE", "an element for every row"),
    "blank": (b"\xef\xbb\xbf \n", "EMPTY_FILE", "an element for every row"),
    "no XML": (b"a,b\n1,2\n", "MALFORMED_XML", "line 1, column 1: "),
    "only a comment": (b"<!-- x -->", "MALFORMED_XML", "ends before its last element"),
    "only a declaration": (b"<?xml version='1.0'?>\n", "MALFORMED_XML", "line 2, column 1: the file ends before"),
    "open comment": (b"<!-- x", "MALFORMED_XML", "line 1"),
    "wrong end tag": (b"<c>\n <r><a>1</b></r></c>", "MALFORMED_XML", "line 2, column 11: an end tag stands here"),
    "cut off": (b"<c><r><a>1</a></r>\n<r>", "MALFORMED_XML", "line 2, column 4: the file ends before"),
    "second root": (b"<c/><c/>", "MALFORMED_XML", "the root element has ended"),
    "unknown entity": (b"<c><r>&nbsp;</r></c>", "MALFORMED_XML", "an entity stands here that is not defined"),
    "NUL": (b"<c><r>a\0b</r></c>", "MALFORMED_XML", "a character stands here that may not"),
    "unbound prefix": (b"<c><p:r/></c>", "MALFORMED_XML", "that no xmlns declares"),
    "attribute twice": (b"<c><r a='1' a='2'/></c>", "MALFORMED_XML", "the same attribute twice"),
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


DECLARED = "<?xml version='1.0' encoding='{}'?>\n<c>\n{}<r><a>{}</a></r></c>"
PLAIN_ROWS = "<r><a>plain</a></r>\n" * 100_000


@pytest.mark.parametrize("declared", ["ISO-8859-1", "windows-1252", "koi8-r", "iso-8859-15"])
@pytest.mark.parametrize("before", ["", PLAIN_ROWS], ids=["at the start", "beyond the sample"])
def test_utf8_that_is_declared_as_something_else_is_refused(declared: str, before: str) -> None:
    data = DECLARED.format(declared, before, "M\u00fcller").encode()
    with pytest.raises(FileRefusedError, match=rf"line {3 + before.count(chr(10)):,}".replace(",", "")) as refused:
        rows_in(data)
    assert refused.value.code == "WRONG_ENCODING"
    assert "written in UTF-8" in refused.value.detail


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ("ISO-8859-1", "M\u00fcller \u00abCAF\u00c9\u00bb"),
        ("windows-1251", "\u041c\u043e\u0441\u043a\u0432\u0430"),
        ("koi8-r", "\u043c\u043e\u0441\u043a\u0432\u0430"),
        ("iso-8859-7", "\u0391\u03b8\u03ae\u03bd\u03b1"),
        ("gb2312", "\u4e00\u4e9b"),
        ("shift_jis", "\u5c71\u7530"),
        ("utf-8", "M\u00fcller"),
    ],
)
def test_what_is_written_as_declared_is_read(declared: str, text: str) -> None:
    data = DECLARED.format(declared, "", text).encode(declared)
    assert rows_in(data) == [{"a": text}]


def test_the_encoding_of_the_template_is_not_doubted() -> None:
    data = DECLARED.format("ISO-8859-1", "", "M\u00fcller").encode()
    assert rows_in(data, encoding="utf-8") == [{"a": "M\u00fcller"}]
    assert rows_in(data, encoding="latin-1") == [{"a": "M\u00c3\u00bcller"}]


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
    monkeypatch.setattr(events, "_MAX_NAMES_BYTES", 4 * MIB)
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


def test_kinds_of_elements_are_forgotten_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_rows, "_MAX_KINDS", 1_000)
    names = [f"<a{number}><b c='1'/></a{number}>" for number in range(300)]
    rows = "".join(f"<r{number}><x y='1'>" + "".join(names) + f"</x></r{number}>" for number in range(10))
    assert (
        rows_of(read(f"<c>{rows}</c>".encode(), ParsePlan(columns=("x.y",), overflow=None)), ("x.y",))
        == ["EXTRA_CELLS"] * 10
    )


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
