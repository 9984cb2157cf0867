"""The reader against the standard library's csv module over the whole text."""

import csv
import io
from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from services.parser.formats.api.batches import ParsedBatch, digest
from services.parser.formats.api.limits import MIB, ReaderLimits
from services.parser.formats.csv.reader import CsvReader

LIMITS = ReaderLimits()
Row = tuple[str | None, ...] | str
"""Cells, or the code of the issue."""


def plan_of(columns: int, **changes: object) -> ParsePlan:
    names = tuple(f"n{index}" for index in range(columns))
    return ParsePlan.model_validate({"columns": names, "has_header": False, **changes})


def read(data: bytes, plan: ParsePlan, limits: ReaderLimits = LIMITS, cuts: tuple[int, ...] = ()) -> list[ParsedBatch]:
    reader = CsvReader(plan, limits)
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
        return refused.detail
    return rows_of(batches), [(digest(batch), batch.issues) for batch in batches]


def rows_of(batches: list[ParsedBatch]) -> list[Row]:
    """All rows in order; checks on the way that numbers, ranges and schema are as promised."""
    rows: list[Row] = []
    for seq, batch in enumerate(batches):
        assert batch.seq == seq
        assert batch.row_from == len(rows) + 1
        found: dict[int, Row] = {issue.row: issue.code for issue in batch.issues}
        table = batch.table.to_pydict()
        assert batch.table.schema.types[0] == pa.uint32()
        assert set(batch.table.schema.types[1:]) <= {pa.string()}
        assert list(table["_row"]) == sorted(table["_row"])
        assert [issue.row for issue in batch.issues] == sorted(issue.row for issue in batch.issues)
        names = batch.table.column_names[1:]
        assert names == [f"c{index}" for index in range(len(names))]
        found |= dict(zip(table["_row"], zip(*(table[name] for name in names), strict=True), strict=True))
        assert len(found) == batch.rows == batch.table.num_rows + len(batch.issues) > 0
        assert sorted(found) == list(range(batch.row_from, batch.row_to + 1))
        rows += [found[number] for number in sorted(found)]
    return rows


def oracle(data: bytes, plan: ParsePlan, limits: ReaderLimits = LIMITS) -> list[Row] | None:
    """What the file holds, or ``None`` where it must be refused."""
    text = data.decode(plan.encoding, "surrogateescape")
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines, delimiter=plan.delimiter, strict=True)
    width = len(plan.columns)
    rows: list[Row] = []
    skip, header, before = plan.skip_rows, plan.has_header, 0
    try:
        for cells in reader:
            raw = "".join(lines[before : reader.line_num])
            before = reader.line_num
            stripped = raw.removesuffix("\n").removesuffix("\r") if raw.endswith("\n") else raw.removesuffix("\r")
            if skip:
                skip -= 1
            elif not cells:
                continue
            elif header:
                header = False
            elif len(stripped.encode("utf-8", "surrogateescape")) > limits.max_record_bytes:
                rows.append("ROW_TOO_LARGE")
            else:
                codes = (cell_code(cell, limits) for cell in cells)
                code = next((code for code in codes if code), None)
                extra = any(cell.strip() for cell in cells[width:])
                kept = [*cells[:width], *[None] * (width - len(cells))]
                rows.append(code or ("EXTRA_CELLS" if extra else tuple(kept)))
    except csv.Error:
        return None
    return rows


def cell_code(cell: str, limits: ReaderLimits) -> str | None:
    if "\0" in cell:
        return "NUL_CHARACTER"
    if any("\udc00" <= character <= "\udcff" for character in cell):
        return "UNDECODABLE_BYTES"
    return "CELL_TOO_LARGE" if len(cell.encode()) > limits.max_cell_bytes else None


def check(data: bytes, plan: ParsePlan, limits: ReaderLimits = LIMITS, cuts: tuple[int, ...] = ()) -> None:
    expected = oracle(data, plan, limits)
    if expected is None:
        with pytest.raises(FileRefusedError, match="QUOTE"):
            read(data, plan, limits, cuts)
    else:
        assert rows_of(read(data, plan, limits, cuts)) == expected


TOKENS = st.sampled_from(
    [
        *[b"a", b"bcd", b",", b",", b'"', b'""', b'","', b"\n", b"\n", b"\r", b"\r\n", b'"\n"', b" ", b";"],
        *["é".encode(), "\ufeff".encode(), "\u2028".encode(), b"\x0b", b"\x1c", b"\xc2\x85"],
    ]
)
DIRT = st.sampled_from([b"\0", b"\xff", b"\xc3", b"\x81"])
SOUP = st.lists(TOKENS, max_size=60).map(b"".join)
DIRTY_SOUP = st.lists(st.one_of(TOKENS, TOKENS, TOKENS, DIRT), max_size=60).map(b"".join)
CELLS = st.text(alphabet='ab,"\n\r é\u2028;', max_size=8)


@st.composite
def written_files(draw: st.DrawFn) -> bytes:
    """Well-formed files: rows of mostly the same width, quoted as some program would."""
    width = draw(st.integers(1, 4))
    widths = st.one_of(st.just(width), st.just(width), st.integers(0, 5))
    rows = draw(st.lists(widths.flatmap(lambda n: st.lists(CELLS, min_size=n, max_size=n)), max_size=12))
    out = io.StringIO(newline="")
    ends = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    quoting = draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
    csv.writer(out, lineterminator=ends, quoting=quoting).writerows(rows)
    text = out.getvalue()
    return (text if draw(st.booleans()) else text.removesuffix(ends)).encode()


FILES = st.one_of(SOUP, DIRTY_SOUP, written_files())
CUTS = st.lists(st.integers(0, 10_000), max_size=6).map(tuple)
SMALL_LIMITS = st.builds(
    ReaderLimits,
    block_bytes=st.integers(1, 40),
    max_record_bytes=st.integers(2, 60),
    max_cell_bytes=st.integers(1, 20),
)
PLANS = st.builds(
    plan_of,
    st.integers(1, 4),
    has_header=st.booleans(),
    skip_rows=st.sampled_from([0, 0, 1, 2]),
    delimiter=st.sampled_from([",", ",", ";"]),
    batch_rows=st.integers(1, 5),
    batch_bytes=st.integers(1, 40),
)


@settings(max_examples=200)
@given(FILES, PLANS, CUTS, st.integers(1, 200))
@example(b'"a""b",c\n"d', plan_of(2), (), 200)
@example(b'"a\n\n\nb",c\nd,e\n', plan_of(2), (3,), 5)
@example(b"\xef\xbb\xbfa,b\n", plan_of(2), (), 100)
@example(b"\xef\xbb\xbf,b\n\xef\xbb\xbfa,b\n", plan_of(2), (), 1)
@example(b'""\n\n""\r\r""', plan_of(1), (), 3)
@example(b"a,b\r\r\nc,d\r", plan_of(2), (4,), 4)
@example(b'a"b,c\n"d",e"\n', plan_of(2), (), 100)
def test_reads_what_the_standard_library_reads(
    data: bytes, plan: ParsePlan, cuts: tuple[int, ...], block_bytes: int
) -> None:
    check(data, plan, replace(LIMITS, block_bytes=block_bytes), cuts)


@settings(max_examples=200)
@given(FILES, PLANS, CUTS, SMALL_LIMITS)
def test_limits_hold_whatever_the_blocks(
    data: bytes, plan: ParsePlan, cuts: tuple[int, ...], limits: ReaderLimits
) -> None:
    check(data, plan, limits, cuts)


@settings(max_examples=200)
@given(FILES, PLANS, CUTS, SMALL_LIMITS, st.integers(1, 40))
def test_batches_do_not_depend_on_feeds_or_blocks(
    data: bytes, plan: ParsePlan, cuts: tuple[int, ...], limits: ReaderLimits, block_bytes: int
) -> None:
    expected = outcome(data, plan, limits)
    assert outcome(data, plan, replace(limits, block_bytes=block_bytes), cuts) == expected


@settings(max_examples=200)
@given(FILES, PLANS, CUTS)
def test_batches_are_cut_greedily(data: bytes, plan: ParsePlan, cuts: tuple[int, ...]) -> None:
    if oracle(data, plan) is None:
        return
    batches = read(data, plan, LIMITS, cuts)
    sizes: list[int] = []
    for row, issues in ((row, batch.issues) for batch in batches for row in range(batch.row_from, batch.row_to + 1)):
        kept = [issue.cells for issue in issues if issue.row == row]
        batch = next(batch for batch in batches if batch.row_from <= row <= batch.row_to)
        cells = kept[0] if kept else next(r for r in batch.table.to_pylist() if r["_row"] == row).values()
        sizes.append(sum(len(cell.encode()) for cell in cells if isinstance(cell, str)))
    expected: list[int] = []
    used = 0
    for size in sizes:
        if expected and expected[-1] < plan.batch_rows and used + size <= plan.batch_bytes:
            expected[-1] += 1
            used += size
        else:
            expected.append(1)
            used = size
    assert [batch.rows for batch in batches] == expected


@settings(max_examples=200)
@given(
    st.binary(max_size=80), CUTS, st.integers(1, 60), st.sampled_from(["utf-16-le", "utf-32-be", "shift_jis", "cp1252"])
)
def test_any_bytes_in_any_encoding_end_as_rows_or_a_refusal(
    data: bytes, cuts: tuple[int, ...], block_bytes: int, encoding: str
) -> None:
    plan = plan_of(2, encoding=encoding)
    limits = replace(LIMITS, block_bytes=block_bytes)
    assert outcome(data, plan, limits, cuts) == outcome(data, plan)


@settings(max_examples=200)
@given(st.text(alphabet='ab,"\n\r é€', max_size=60), CUTS, st.sampled_from(["utf-16-le", "utf-32-be", "cp1252"]))
def test_an_encoding_changes_nothing(text: str, cuts: tuple[int, ...], encoding: str) -> None:
    check(text.encode(encoding), plan_of(2, encoding=encoding), LIMITS, cuts)


@pytest.mark.parametrize(
    ("encoding", "data", "rows"),
    [
        ("cp1252", b"a,b\n\x81,c\nd,e\n", [("a", "b"), "UNDECODABLE_BYTES", ("d", "e")]),
        ("shift_jis", b"a,b\n\x83\n\x83\x41,e\n", [("a", "b"), "UNDECODABLE_BYTES", ("ア", "e")]),
        ("shift_jis", b"\xc3,\xa9\n\xa0\xa1,x\n", [("ﾃ", "ｩ"), "UNDECODABLE_BYTES"]),
        ("utf-16-le", "a,b\n".encode("utf-16-le") + b"\x00\xd8,\0", [["a", "b"], "UNDECODABLE_BYTES"]),
        ("utf-16-le", "a,b\n".encode("utf-16-le") + b"c", [("a", "b"), "UNDECODABLE_BYTES"]),
        ("utf-8", b"a,b\n\xc3,c\n\xc3\xa9,e\n", [("a", "b"), "UNDECODABLE_BYTES", ("é", "e")]),
    ],
)
def test_an_undecodable_byte_costs_its_row_only(encoding: str, data: bytes, rows: list[Row]) -> None:
    expected = [tuple(row) if isinstance(row, list) else row for row in rows]
    assert rows_of(read(data, plan_of(2, encoding=encoding))) == expected


def test_a_byte_order_mark_is_dropped_once_even_in_pieces() -> None:
    data = b"\xef\xbb\xbfn0,n1\n\xef\xbb\xbfa,b\n"
    plan = plan_of(2, has_header=True, bom_bytes=3)
    assert rows_of(read(data, plan, LIMITS, (1, 2))) == [("\ufeffa", "b")]


@pytest.mark.parametrize(
    ("data", "width", "rows"),
    [
        (b"", 2, []),
        (b"a,b", 2, [("a", "b")]),
        (b"a\n", 3, [("a", None, None)]),
        (b"a,b,,\nc,d, \n", 2, [("a", "b"), ("c", "d")]),
        (b"a,b,x\nc,d\n", 2, ["EXTRA_CELLS", ("c", "d")]),
        (b",,\n", 3, [("", "", "")]),
        (b"\n\na,b\n\r\n\r\rc,d\n\n", 2, [("a", "b"), ("c", "d")]),
        (b'x\n\n""\ny\n', 1, [("x",), ("",), ("y",)]),
        (b"a,b\rc,d\re,f", 2, [("a", "b"), ("c", "d"), ("e", "f")]),
        (b'"a\n1",b\n"c\r\n2",d\n', 2, [("a\n1", "b"), ("c\r\n2", "d")]),
        (b"a,\0\nb,c\n", 2, ["NUL_CHARACTER", ("b", "c")]),
        (b"0012,NULL\n NA ,nan\n", 2, [("0012", "NULL"), (" NA ", "nan")]),
        ("a\u2028b,c\x0bd\x1ce\x85\n".encode(), 2, [("a\u2028b", "c\x0bd\x1ce\x85")]),
        (b'5" pipe,x\n', 2, [('5" pipe', "x")]),
    ],
)
def test_rows(data: bytes, width: int, rows: list[Row]) -> None:
    assert rows_of(read(data, plan_of(width))) == rows


def test_header_only_has_no_batches() -> None:
    assert read(b"n0,n1\n", plan_of(2, has_header=True)) == []


def test_skipped_records_count_blank_lines_and_the_header_is_the_next_that_is_not_blank() -> None:
    data = b'"Report\nof May"\n\n\nn0,n1\na,b\n'
    assert rows_of(read(data, plan_of(2, has_header=True, skip_rows=2))) == [("a", "b")]


def test_an_oversized_header_is_still_the_header() -> None:
    limits = replace(LIMITS, max_record_bytes=10)
    for data in (b"n0," + b"n" * 50 + b"\na,b\n", b"n0," + b"n" * 9 + b"\na,b\n"):
        assert rows_of(read(data, plan_of(2, has_header=True), limits)) == [("a", "b")]


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b'a,b\nc,"d\ne,f\n', "UNTERMINATED_QUOTE", ["line 2"]),
        (b'a,b\r\n"c\r\n",d\r\n"' + b"x\r\n" * 5_000, "UNTERMINATED_QUOTE", ["line 4"]),
        (b'a,b\n"c"d,e\n', "MALFORMED_QUOTE", ["line 2"]),
        (b'a,b\n"c\nd" e,f\n', "MALFORMED_QUOTE", ["line 3", "line 2"]),
        (b'a,b\n"' + b"c\n" * 5_000 + b'"d,e\n', "MALFORMED_QUOTE", ["line 5002", "line 2"]),
    ],
)
def test_broken_quotes_refuse_the_file_and_name_the_line(data: bytes, code: str, words: list[str]) -> None:
    for limits in (LIMITS, replace(LIMITS, max_record_bytes=1_000, block_bytes=300)):
        with pytest.raises(FileRefusedError) as refused:
            read(data, plan_of(2), limits, (7, 9))
        assert refused.value.code == code
        assert all(word in refused.value.detail for word in words)


@pytest.mark.parametrize("quote", [b"", b'"'])
def test_a_20_mb_cell_costs_its_row_only(quote: bytes) -> None:
    data = b"a,b\n" + quote + b"x" * 20_000_000 + quote + b",c\nd,e\n"
    batches = read(data, plan_of(2), LIMITS, tuple(range(0, len(data), 255 * 1024)))
    assert rows_of(batches) == [("a", "b"), "ROW_TOO_LARGE", ("d", "e")]
    (issue,) = batches[0].issues
    assert "line 2" in issue.message
    assert "4,194,304" in issue.message
    assert sum(map(len, issue.cells)) <= 1_000


def test_a_cell_over_its_limit_costs_its_row_only() -> None:
    big = "é" * (MIB // 2)
    data = f"a,b\n{big},c\n{big}x,d\ne,f\n".encode()
    batches = read(data, plan_of(2))
    assert rows_of(batches) == [("a", "b"), (big, "c"), "CELL_TOO_LARGE", ("e", "f")]
    assert batches[0].issues[0].column == 0


def test_issues_are_small_and_can_be_stored() -> None:
    data = b"a\0" + b"x" * 2_000 + b"\xff,y" * 300 + b"\n"
    (batch,) = read(data, plan_of(2))
    (issue,) = batch.issues
    assert issue.code == "NUL_CHARACTER"
    assert len(issue.cells) == LIMITS.issue_cells
    assert {len(cell) for cell in issue.cells} <= {1_000, len("y\\xff")}
    assert issue.cells[0].startswith("a\\x00x")
    assert issue.model_dump_json().encode()


def test_issue_of_an_extra_cell_without_a_column_name() -> None:
    (batch,) = read(b"a,b,\xff\n", plan_of(2))
    assert "line 1, cell 3: byte 0xFF is not utf-8" in batch.issues[0].message


def test_5000_columns() -> None:
    row = ",".join(map(str, range(5_000))).encode()
    data = row + b"\n" + b"\n".join([row] * 50) + b'\n"x"' + row[1:]
    rows = rows_of(read(data, plan_of(5_000, has_header=True)))
    assert rows == [*[tuple(map(str, range(5_000)))] * 50, ("x", *map(str, range(1, 5_000)))]


@pytest.mark.parametrize("data", [b"a,b\n" * 4, b'a,b\n"c",d"\n' * 2, b"a,b\n" * 3 + b"x" * 200 + b"\n"])
def test_too_many_rows(data: bytes) -> None:
    limits = replace(LIMITS, max_rows=3, max_record_bytes=100)
    with pytest.raises(FileRefusedError, match="TOO_MANY_ROWS"):
        read(data, plan_of(2), limits)


def test_rows_over_the_batch_bytes_get_batches_of_their_own() -> None:
    data = b"aaaaaaaa,b\nc,d\neeeeeeeee,f\n,\n,\n"
    batches = read(data, plan_of(2, batch_bytes=4))
    assert [batch.rows for batch in batches] == [1, 1, 1, 2]


def test_digest_tells_contents_apart() -> None:
    files = [b"a,b\n", b"ab,\n", b"a\n", b"a,\n", b"a,b\nc,d\n", b"a,b,c\n", b"a,b,d\n", b"\xff,b\n"]
    digests = [digest(batch) for data in files for batch in read(data, plan_of(2))]
    assert len(set(digests)) == len(files)
    assert digests == [digest(batch) for data in files for batch in read(data, plan_of(2), LIMITS, (1, 2, 3))]


def test_a_batch_keeps_at_most_a_few_blocks_in_memory() -> None:
    batches = read(b"abc,def\n" * 400_000, plan_of(2, batch_rows=100))
    assert max(batch.table.get_total_buffer_size() for batch in batches) <= 5 * MIB


@pytest.mark.parametrize("block_bytes", [1_000, LIMITS.block_bytes])
def test_irregular_quotes_in_every_row(block_bytes: int) -> None:
    """Irregular quotes and records over several lines send every block the slow way, with a carry."""
    row = b'a"b,"c\nd\n",5" x\n'
    data = row * 20_000
    limits = replace(LIMITS, block_bytes=block_bytes)
    rows = rows_of(read(data, plan_of(3), limits))
    assert rows == [('a"b', "c\nd\n", '5" x')] * 20_000
