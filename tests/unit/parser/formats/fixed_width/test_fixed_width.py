"""The format ``fixed_width`` against plain slicing of lines."""

import re
from itertools import accumulate, pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.formats.api.batches import ParsedBatch, digest
from services.parser.formats.api.file_format import FileFacts, Layout
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.fixed_width.reader import FixedWidthReader
from services.parser.formats.registry import file_format
from services.parser.planning.plan import make_plan
from tests.reading import read_file

LIMITS = ReaderLimits()
FIXED_WIDTH = file_format("fixed_width")
Row = tuple[str | None, ...] | str
"""Cells, or the code of the issue."""


def template_of(widths: tuple[int, ...] = (3, 4), names: tuple[str, ...] = (), **source: object) -> Template:
    columns = [{"width": w, "name": names[i] if i < len(names) else None} for i, w in enumerate(widths)]
    return Template.model_validate(
        {
            "name": "t",
            "target_resource": "things",
            "source": {"file_type": "fixed_width", "column_widths": columns, **source},
            "fields": [{"name": f"f{index}"} for index in range(len(widths))],
        }
    )


def layout_of(data: bytes, template: Template, limits: ReaderLimits = LIMITS) -> Layout:
    sampler = FIXED_WIDTH.sampler(template, FileFacts(len(data)), limits)
    for start in range(0, len(data), 1000):
        if sampler.feed(data[start : start + 1000]):
            break
    return sampler.layout()


def plan_of(*widths: int, **changes: object) -> ParsePlan:
    names = tuple(f"n{index}" for index in range(len(widths)))
    return ParsePlan.model_validate(
        {"columns": names, "widths": widths, "has_header": False, "batch_rows": 7, **changes}
    )


def read(data: bytes, plan: ParsePlan, limits: ReaderLimits = LIMITS, cuts: tuple[int, ...] = ()) -> list[ParsedBatch]:
    reader = FixedWidthReader(plan, limits)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    batches = [batch for start, end in pairwise(edges) for batch in reader.feed(data[start:end])]
    return [*batches, *reader.close()]


@pytest.mark.parametrize(
    ("line", "given", "is_header"),
    [
        ("f0 f1", {}, True),
        (" F0f_1 ", {}, True),
        ("f0 f2", {}, False),
        ("f1 f0", {}, False),
        ("f0 f1", {"has_header": False}, False),
    ],
)
def test_a_line_of_all_the_names_is_no_row(line: str, given: dict[str, bool], *, is_header: bool) -> None:
    found = read_file(f"\n{line}\n7  Anna\n".encode(), template_of(names=("F0", "f 1"), **given))
    assert found.rows == (1 if is_header else 2)
    assert any(note.startswith("header") for note in found.plan.notes) is is_header


def test_a_line_of_some_names_is_a_row() -> None:
    assert read_file(b"f0 \n7  Anna\n", template_of(names=("f0",))).rows == 2


def rows_of(batches: list[ParsedBatch]) -> list[Row]:
    rows: list[Row] = []
    for batch in batches:
        assert batch.row_from == len(rows) + 1
        assert set(batch.table.schema.types[1:]) <= {pa.string()}
        found: dict[int, Row] = {issue.row: issue.code for issue in batch.issues}
        for cells in batch.table.to_pylist():
            number, *texts = cells.values()
            found[number] = tuple(texts)
        assert sorted(found) == list(range(batch.row_from, batch.row_to + 1))
        rows += [found[number] for number in sorted(found)]
    return rows


CASES: dict[str, tuple[bytes, list[Row]]] = {
    "plain": (b"abcdefg\n123   4\n", [("abc", "defg"), ("123", "4")]),
    "padding on both sides goes": (b" a  bc \n", [("a", "bc")]),
    "tabs and leading zeros stay": (b"007\t0 1\n", [("007", "\t0 1")]),
    "inner spaces stay": (b"a b c d\n", [("a b", "c d")]),
    "no line end at the end": (b"abcdefg", [("abc", "defg")]),
    "every kind of line end": (b"abc1\r\ndef2\rghi3\njkl4", [("abc", "1"), ("def", "2"), ("ghi", "3"), ("jkl", "4")]),
    "other separators are text": ("a\u2028b\x0b\x1cc\x85".encode(), [("a\u2028b", "\x0b\x1cc\x85")]),
    "short line, cell cut": (b"abcd\nab\n", [("abc", "d"), ("ab", None)]),
    "short line, exactly at the edge": (b"abc\n", [("abc", None)]),
    "short line, cell begins with a space": (b"abc \n", [("abc", "")]),
    "empty and space-only lines are no rows": (b"abc\n\n       \n          \nd", [("abc", None), ("d", None)]),
    "a tab is a cell": (b"\t\n", [("\t", None)]),
    "blank behind the last column": (b"abcdefg   \t \nx", [("abc", "defg"), ("x", None)]),
    "text behind the last column": (b"abcdefgh\nabc", ["EXTRA_CELLS", ("abc", None)]),
    "NUL": (b"a\0cdefg\nabc", ["NUL_CHARACTER", ("abc", None)]),
    "not UTF-8": (b"a\xffcdefg\nabc", ["UNDECODABLE_BYTES", ("abc", None)]),
    "cut-off character at the end": (b"abc\nab\xc3", [("abc", None), "UNDECODABLE_BYTES"]),
    "characters are counted": ("åäöÅÄÖÉ\n€€€𝄞".encode(), [("åäö", "ÅÄÖÉ"), ("€€€", "𝄞")]),
    "a combining accent counts": ("e\u0301ab\n".encode(), [("e\u0301a", "b")]),
}


@pytest.mark.parametrize(("data", "expected"), CASES.values(), ids=CASES)
def test_rows(data: bytes, expected: list[Row]) -> None:
    assert rows_of(read(data, plan_of(3, 4))) == expected


@pytest.mark.parametrize(("data", "expected"), CASES.values(), ids=CASES)
def test_rows_in_another_encoding(data: bytes, expected: list[Row]) -> None:
    try:
        wide = data.decode().encode("utf-16-le")
    except UnicodeDecodeError:
        wide = b"a\0" + b"\0\xdc" + b"c\0\n\0"  # half of a surrogate pair
        expected = ["UNDECODABLE_BYTES"]
    assert rows_of(read(wide, plan_of(3, 4, encoding="utf-16-le"))) == expected


@pytest.mark.parametrize(
    ("encoding", "text", "expected"),
    [
        ("utf-8", "åb1234\n", [("åb", "1234")]),
        ("utf-8", "abcåä\nabc", [("abc", "åä"), ("abc", None)]),
        ("utf-8", "abå123\nabc", ["SPLIT_CHARACTER", ("abc", None)]),
        ("utf-8", "abc123é\nabc", ["SPLIT_CHARACTER", ("abc", None)]),
        ("utf-8", "abc12€", ["SPLIT_CHARACTER"]),
        ("utf-8", "abcd\nåå", [("abc", "d"), "SPLIT_CHARACTER"]),
        ("cp1252", "abå123é", [("abå", "123é")]),
        ("cp932", "日a本b\nabc", [("日a", "本b"), ("abc", None)]),
        ("cp932", "a日日", [("a日", "日")]),
        ("cp932", "日日日", ["SPLIT_CHARACTER"]),
        ("cp932", "abc1234\n", [("abc", "1234")]),
        ("utf-16-le", "ab", ["SPLIT_CHARACTER"]),
    ],
)
def test_widths_in_bytes(encoding: str, text: str, expected: list[Row]) -> None:
    plan = plan_of(3, 4, encoding=encoding, width_unit="bytes")
    assert rows_of(read(text.encode(encoding), plan)) == expected


def test_undecodable_byte_is_one_byte_wide() -> None:
    plan = plan_of(1, 2, encoding="cp932", width_unit="bytes")
    (batch,) = read("日".encode("cp932")[:1] + b"\n" + "a日".encode("cp932"), plan)
    assert [issue.code for issue in batch.issues] == ["UNDECODABLE_BYTES"]
    assert batch.table.to_pylist() == [{"_row": 2, "c0": "a", "c1": "日"}]


@pytest.mark.parametrize(
    ("data", "code", "message", "column"),
    [
        (b"\nabcdefgh", "EXTRA_CELLS", r"^line 2: the row has 3 cells and the file has 2 columns; .*widths", 2),
        ("x\nabé".encode(), "SPLIT_CHARACTER", r"^line 2, column 'n0': .*width_unit", 0),
        (b"a\0", "NUL_CHARACTER", r"^line 1, column 'n0'", 0),
        (b"abc\xff", "UNDECODABLE_BYTES", r"^line 1, column 'n1': byte 0xFF is not utf-8", 1),
    ],
)
def test_issue_names_line_and_column(data: bytes, code: str, message: str, column: int) -> None:
    (batch,) = read(data, plan_of(3, 4, width_unit="bytes"))
    (issue,) = batch.issues
    assert (issue.code, issue.column) == (code, column)
    assert re.search(message, issue.message)
    assert issue.cells


def test_line_numbers_go_on_over_blocks() -> None:
    limits = ReaderLimits(block_bytes=8)
    (batch,) = read(b"abc\n\n" * 10 + b"\0\n", plan_of(3, batch_rows=100), limits)
    assert batch.issues[0].message.startswith("line 21, ")
    assert batch.issues[0].row == 11


def test_oversized_line_is_an_issue_and_the_rest_goes_on() -> None:
    limits = ReaderLimits(max_record_bytes=40, block_bytes=16)
    data = b"abc\n" + b"x" * 41 + b"\r\n" + b"def\n" + b"y" * 40 + b"\n" + b"z" * 1000
    batches = read(data, plan_of(3, batch_rows=100), limits)
    assert rows_of(batches) == [("abc",), "ROW_TOO_LARGE", ("def",), "EXTRA_CELLS", "ROW_TOO_LARGE"]
    assert "line 2: the line has 41 bytes and at most 40" in batches[0].issues[0].message
    assert "line 5: the line has 1,000 bytes" in batches[0].issues[2].message
    assert batches[0].issues[2].cells[0] == "zzz"


def test_large_cell_is_an_issue() -> None:
    limits = ReaderLimits(max_cell_bytes=5)
    assert rows_of(read("abcdef\nåäö\nabcde".encode(), plan_of(6), limits)) == [
        "CELL_TOO_LARGE",
        "CELL_TOO_LARGE",
        ("abcde",),
    ]


def test_endless_line_is_not_kept() -> None:
    reader = FixedWidthReader(plan_of(3), ReaderLimits(max_record_bytes=100_000))
    for _ in range(64):
        assert reader.feed(b"x" * 64 * 1024) == []
        assert len(reader._carry) <= 100_000
    assert rows_of([*reader.feed(b"\nabc"), *reader.close()]) == ["ROW_TOO_LARGE", ("abc",)]


def test_very_many_short_lines_of_many_columns() -> None:
    plan = plan_of(*[2] * 100, batch_rows=100_000)
    rows = rows_of(read(b"a\n" * 25_000, plan))
    assert len(rows) == 25_000
    assert set(rows) == {("a", *[None] * 99)}


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(FileRefusedError, match="TOO_MANY_ROWS"):
        read(b"a\nb\nc\n", plan_of(1), ReaderLimits(max_rows=2))


@pytest.mark.parametrize(
    ("data", "template", "columns", "named"),
    [
        pytest.param(b"abcdefg", template_of(), ("column_1", "column_2"), False, id="no names"),
        pytest.param(b"abcdefg", template_of(names=("id",)), ("id", "column_2"), True, id="some names"),
        pytest.param(b"\nid name\n", template_of(has_header=True), ("id", "name"), True, id="header"),
        pytest.param(b"x\nid name\n", template_of(has_header=True, skip_rows=1), ("id", "name"), True, id="skipped"),
        pytest.param(b"id name", template_of(names=("x",), has_header=True), ("x", "name"), True, id="given names win"),
        pytest.param(b"id\n", template_of(has_header=True), ("id", "column_2"), True, id="short header"),
        pytest.param(b"id id\n", template_of(has_header=True), ("id", "id_2"), True, id="repeated name"),
        pytest.param(b"id name and more\n", template_of(has_header=True), ("id", "name"), True, id="long header"),
    ],
)
def test_columns(data: bytes, template: Template, columns: tuple[str, ...], named: bool) -> None:
    layout = layout_of(data, template)
    assert (layout.columns, layout.named) == (columns, named)
    assert layout.complete
    assert layout.settings["widths"] == (3, 4)


def test_plan_reads_the_file_that_it_was_made_for() -> None:
    data = "\ufeffexport of today\r\n\r\nidåname\r\n\r\n001Åsa\r\n002Bo\r\n".encode()
    template = template_of(has_header=True, skip_rows=1)
    layout = layout_of(data, template)
    plan = make_plan(
        layout, template, "fixed_width", batch_rows=5, batch_bytes=1_000, limits=LIMITS, given=[("idå", "f0")]
    )
    reader = FIXED_WIDTH.reader(plan, LIMITS)
    batches = [batch for byte in data for batch in reader.feed(bytes([byte]))]
    assert rows_of([*batches, *reader.close()]) == [("001", "Åsa"), ("002", "Bo")]
    assert "utf-8" in layout.notes[0]


@pytest.mark.parametrize(
    ("data", "template", "code"),
    [
        pytest.param(b"", template_of(), "EMPTY_FILE", id="nothing"),
        pytest.param(b"\xef\xbb\xbf", template_of(), "EMPTY_FILE", id="only a mark"),
        pytest.param(b"\n   \n", template_of(), "EMPTY_FILE", id="blank"),
        pytest.param(b"a\nb\n", template_of(skip_rows=2), "EMPTY_FILE", id="all skipped"),
        pytest.param(b"x" * 1_100_000, template_of(has_header=True), "HEADER_TOO_LARGE", id="endless header"),
        pytest.param(b"x", template_of(encoding="klingon"), "UNKNOWN_ENCODING", id="unknown encoding"),
    ],
)
def test_refused(data: bytes, template: Template, code: str) -> None:
    with pytest.raises(FileRefusedError, match=code):
        layout_of(data, template)


def test_widths_are_needed() -> None:
    template = Template.model_validate({"name": "t", "target_resource": "x", "fields": [{"name": "a"}]})
    with pytest.raises(FileRefusedError, match="column_widths"):
        layout_of(b"abc", template)


TOKENS = ["a", "bc", " ", "  ", "\n", "\r", "\r\n", "\t", "å", "€", "𝄞", "\u2028", "\x85", "e\u0301", "\ufeff"]
TEXTS = st.lists(st.sampled_from(TOKENS), max_size=60).map("".join)
DIRT = st.lists(st.sampled_from([*(token.encode() for token in TOKENS), b"\xff", b"\xc3", b"\0"]), max_size=60)
CUTS = st.lists(st.integers(0, 10_000), max_size=6).map(tuple)
WIDTHS = st.lists(st.integers(1, 6), min_size=1, max_size=4)
SMALL_LIMITS = st.builds(
    ReaderLimits,
    block_bytes=st.integers(1, 40),
    max_record_bytes=st.integers(2, 60),
    max_cell_bytes=st.integers(1, 20),
)


def sliced(text: str, widths: list[int]) -> list[Row]:
    """What plain Python makes of it."""
    rows: list[Row] = []
    edges = [0, *accumulate(widths)]
    for line in re.split("\r\n|\r|\n", text):
        if line.strip(" "):
            cells = [line[a:b].strip(" ") if a < len(line) else None for a, b in pairwise(edges)]
            rows.append("EXTRA_CELLS" if line[edges[-1] :].strip() else tuple(cells))
    return rows


@given(TEXTS, WIDTHS, CUTS, st.sampled_from(["utf-8", "utf-16-le", "cp932"]))
@settings(max_examples=150)
def test_same_as_slicing(text: str, widths: list[int], cuts: tuple[int, ...], encoding: str) -> None:
    data = text.encode(encoding, "ignore")
    expected = sliced(data.decode(encoding), widths)
    assert rows_of(read(data, plan_of(*widths, encoding=encoding), LIMITS, cuts)) == expected


@given(TEXTS, WIDTHS)
@settings(max_examples=150)
def test_bytes_are_the_same_as_slicing_bytes(text: str, widths: list[int]) -> None:
    edges = [0, *accumulate(widths)]
    expected: list[Row] = []
    for line in re.split(rb"\r\n|\r|\n", text.encode()):
        if not line.strip(b" "):
            continue
        try:
            cells = [line[a:b].decode().strip(" ") if a < len(line) else None for a, b in pairwise(edges)]
            extra = line[edges[-1] :].decode().strip()
        except UnicodeDecodeError:
            expected.append("SPLIT_CHARACTER")
        else:
            expected.append("EXTRA_CELLS" if extra else tuple(cells))
    assert rows_of(read(text.encode(), plan_of(*widths, width_unit="bytes"))) == expected


@given(DIRT.map(b"".join), WIDTHS, CUTS, SMALL_LIMITS, st.sampled_from(["characters", "bytes"]), st.integers(0, 2))
@settings(max_examples=300)
def test_batches_do_not_depend_on_pieces(
    data: bytes, widths: list[int], cuts: tuple[int, ...], limits: ReaderLimits, unit: str, skip: int
) -> None:
    plan = plan_of(*widths, width_unit=unit, skip_rows=skip, has_header=skip == 1)
    whole, pieces = read(data, plan, limits), read(data, plan, limits, cuts)
    assert [digest(batch) for batch in whole] == [digest(batch) for batch in pieces]
    rows_of(pieces)


@given(st.binary(max_size=300), st.sampled_from([None, "utf-8", "utf-16", "cp932", "cp1252", "iso2022_jp", "hz"]))
@settings(max_examples=300)
def test_any_bytes_end_in_rows_or_a_refusal(data: bytes, encoding: str | None) -> None:
    template = template_of((3, 4), encoding=encoding, width_unit="bytes")
    try:
        layout = layout_of(data, template)
        plan = make_plan(layout, template, "fixed_width", batch_rows=5, batch_bytes=1_000, limits=LIMITS)
        rows_of(read(data, plan))
    except FileRefusedError as refused:
        assert refused.detail  # noqa: PT017  # anything else than rows and a refusal fails the test


@pytest.mark.parametrize("content", ["\ufeff\ufeffab  cd\n\ufeffef  gh\n\x1a", "ab  cd\nef  gh\n" + "\0" * 100])
def test_marks_of_beginnings_and_ends_are_no_text(content: str) -> None:
    widths = [{"name": "a", "width": 4}, {"name": "b", "width": 4}]
    fields = [{"name": "a"}, {"name": "b"}]
    source = {"file_type": "fixed_width", "column_widths": widths}
    template = Template.model_validate({"name": "t", "target_resource": "t", "fields": fields, "source": source})
    assert read_file(content.encode(), template).cells() == [("ab", "cd"), ("ef", "gh")]


@pytest.mark.parametrize(
    ("text", "outcomes"),
    [
        pytest.param("ab\tx\nabcdefg\n", ["TAB_IN_LINE", ("abc", "defg")], id="short"),
        pytest.param("ab\tdefg\nab\tde\n", [("ab\t", "defg"), "TAB_IN_LINE"], id="as long as the columns"),
        pytest.param("abc\t12\nx\n", ["TAB_IN_LINE", ("x", None)], id="a short line without one"),
        pytest.param("\u00e9\tx\nabcdefg\n", ["TAB_IN_LINE", ("abc", "defg")], id="beyond ASCII"),
    ],
)
def test_a_tab_in_a_short_line_costs_the_row(text: str, outcomes: list[Row]) -> None:
    plan = plan_of(3, 4, options={"tidy": True, "tabs_shift": True})
    assert rows_of(read(text.encode(), plan)) == outcomes


def test_plans_of_earlier_releases_read_tabs_as_they_did() -> None:
    assert rows_of(read(b"ab\tx\n", plan_of(3, 4))) == [("ab\t", "x")]


def test_a_tab_costs_its_row_among_thousands_and_bytes_are_counted_where_the_widths_do() -> None:
    text = "".join("\u00e9\tx\n" if number == 700 else "\u00e9bcde\n" for number in range(1_000))
    template = template_of((3, 3), width_unit="bytes")
    batches = read(
        text.encode(),
        make_plan(
            layout_of(text.encode(), template),
            template,
            "fixed_width",
            batch_rows=5_000,
            batch_bytes=1_000_000,
            limits=LIMITS,
        ),
    )
    rows = rows_of(batches)
    assert [number for number, row in enumerate(rows) if row == "TAB_IN_LINE"] == [700]
    assert rows[699] == ("\u00e9b", "cde")


@pytest.mark.parametrize(
    ("lines", "encoding", "word"),
    [
        pytest.param(["\u5c71\u7530  12", "\u4f50    13", "abcdef14"], "cp932", "width_unit", id="bytes, Japanese"),
        pytest.param(["\u5c71\u7530  12", "\u4f50    13"], "cp932", "width_unit", id="bytes, no line of ASCII"),
        pytest.param(["M\u00fcll 12", "abcdef14"], "utf-8", "width_unit", id="bytes, one umlaut in UTF-8"),
        pytest.param(["\u5c71\u7530  12", "abcdef14"], "utf-8", "two places", id="places of a screen"),
    ],
)
def test_widths_that_do_not_count_characters_refuse_the_file(lines: list[str], encoding: str, word: str) -> None:
    data = "\n".join(lines).encode(encoding)
    with pytest.raises(FileRefusedError, match=word) as refused:
        layout_of(data, template_of((6, 2), encoding=encoding))
    assert refused.value.code == "UNCLEAR_WIDTHS"
    if word == "width_unit":
        layout_of(data, template_of((6, 2), encoding=encoding, width_unit="bytes"))


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["M\u00fcller12", "abcdef14"], id="characters"),
        pytest.param(["M\u00fcll 1", "abcdef1"], id="ends of lines are cut"),
        pytest.param(["M\u00fcll 1", "M\u00fcller12", "abcdef14"], id="one is as wide as the columns"),
        pytest.param(["M\u00fcll 1"], id="a single line"),
    ],
)
def test_lines_that_may_be_padded_by_characters_are_read(lines: list[str]) -> None:
    assert layout_of("\n".join(lines).encode(), template_of((6, 2))).settings["width_unit"] == "characters"


def test_the_header_and_what_stands_before_it_tell_nothing_of_widths() -> None:
    text = "Pr\u00fcfung\nn\u00e4me  nr\nabcdef12\nghijkl13\n"
    assert layout_of(text.encode(), template_of((6, 2), skip_rows=1, has_header=True)).columns == ("n\u00e4me", "nr")
