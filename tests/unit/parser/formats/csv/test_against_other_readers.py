"""Generated files, read here and by two readers of the field, DuckDB and pandas, which are told the dialect.

Here it is found out, and the file's rows come back as they were written, but for what is no row. Where another
reader has something else, the test says why, and whose fault it is: theirs, ours, or a matter of taste.
"""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from libs.contracts.templates import Template
from tests.reading import ReadFile, read_file

Row = tuple[str, ...]
HEADER: Row = ("id", "name", "note")


@dataclass(frozen=True)
class Written:
    """A file, and how it was written."""

    rows: tuple[Row, ...]
    delimiter: str
    line_end: str
    quoting: int
    encoding: str

    @property
    def content(self) -> bytes:
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=self.delimiter, lineterminator=self.line_end, quoting=self.quoting)
        writer.writerows([HEADER, *self.rows])
        return out.getvalue().encode(self.encoding)

    @property
    def expected(self) -> list[Row]:
        """What is a row, see ``csv.sink``."""
        return [row for row in self.rows if any(cell.strip() for cell in row) and row != HEADER]

    @property
    def is_plain_too(self) -> bool:
        """Whether it is as good a file of tabs without quotes: each line is a row with a cell for each column."""
        lines = self.content.decode(self.encoding).split(self.line_end)[:-1]
        whole = all(line.count(self.delimiter) == len(HEADER) - 1 for line in lines)
        return self.delimiter == "\t" and whole and len(lines) > 1 + len(self.rows)


@st.composite
def written(draw: st.DrawFn) -> Written:
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    foreign = "é" if encoding == "cp1252" else "éЖ日"
    texts = st.text(st.sampled_from(list('ab1 ,;|\t"\n\\.#-' + foreign)), max_size=8)
    rows = draw(st.lists(st.tuples(st.integers(0, 10**6).map(str), texts, texts), min_size=1, max_size=8))
    extra = draw(st.lists(st.tuples(texts, texts, texts), max_size=2))
    return Written(
        (*rows, *extra),
        draw(st.sampled_from([",", ";", "\t", "|"])),
        draw(st.sampled_from(["\n", "\r\n"])),
        draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        encoding,
    )


def read(file: Written) -> ReadFile:
    # An encoding of before Unicode is found out by its language, and these texts have none.
    encoding = file.encoding if file.encoding == "cp1252" else None
    fields = [{"name": name} for name in HEADER]
    source = {"file_type": "csv", "encoding": encoding}
    template = Template.model_validate({"name": "t", "target_resource": "things", "fields": fields, "source": source})
    return read_file(file.content, template)


def here(file: Written) -> list[Row]:
    found = read(file)
    assert found.issues == []
    return [tuple(cell or "" for cell in row) for row in found.cells()]


def by_pandas(file: Written) -> list[Row]:
    table = pd.read_csv(
        io.BytesIO(file.content),
        sep=file.delimiter,
        encoding=file.encoding,
        dtype=str,
        keep_default_na=False,
        na_filter=False,
    )
    return [tuple(row) for row in table.itertuples(index=False)]


def by_duckdb(file: Written) -> list[Row]:
    with TemporaryDirectory() as folder, duckdb.connect() as database:
        path = Path(folder) / "file.csv"
        path.write_bytes(file.content.decode(file.encoding).encode())
        found = database.execute(
            "select * from read_csv(?, delim=?, quote='\"', escape='\"', header=true, all_varchar=true, "
            "null_padding=false, strict_mode=true, comment='')",
            [str(path), file.delimiter],
        ).fetchall()
    return [tuple(cell or "" for cell in row) for row in found]


@dataclass(frozen=True)
class Reason:
    """Why another reader may have other rows.

    Attributes:
        fault: ``theirs``, ``ours`` or ``taste``.
        because: in words.
        turns: what they make of the rows that were written.
    """

    fault: str
    because: str
    turns: Callable[[Written, list[Row]], list[Row]]


def _all_rows(file: Written, _: list[Row]) -> list[Row]:
    return list(file.rows)


REASONS = (Reason("taste", "rows of nothing but blanks are rows of empty cells to them", _all_rows),)


def explained(file: Written, found: list[Row]) -> Iterator[Reason]:
    for reason in REASONS:
        if reason.turns(file, file.expected) == found:
            yield reason


@pytest.mark.parametrize("reader", [by_pandas, by_duckdb])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(file=written())
def test_every_disagreement_is_explained(reader: Callable[[Written], list[Row]], file: Written) -> None:
    assume(not file.is_plain_too)
    assert here(file) == file.expected
    found = reader(file)
    if found != file.expected:
        assert list(explained(file, found)), f"{file}\n{file.content!r}\n{reader.__name__}: {found}"


def test_quotes_around_what_looks_like_rows_are_told() -> None:
    file = Written((("0", "", ""), ("", "\t\n", "\t")), "\t", "\n", csv.QUOTE_MINIMAL, "utf-8")
    assert file.is_plain_too
    assert here(file) == [("0", "", ""), ("", '"', ""), ('"', '"', '"')]
    assert [note for note in read(file).plan.notes if note.startswith("quotes: ")]


AB: list[Row] = [("1", "a"), ("2", "b")]


@pytest.mark.parametrize(
    ("fault", "because", "text", "rows"),
    [
        ("theirs", "the first line is Excel's, no header", "sep=;\nid;name\n1;a\n2;b\n", AB),
        ("theirs", "a mark between files is no text, and a header no row", "id,name\n1,a\n\ufeffid,name\n2,b\n", AB),
        ("taste", "rows of nothing but delimiters may be rows of empty cells", "id,name\n1,a\n,\n2,b\n,\n", AB),
        ("theirs", "Ctrl-Z ends a file of DOS", "id,name\n1,a\n2,b\n\x1a", AB),
        ("theirs", "a cell holds no rows", 'id\tname\n1\t"x\n2\tb\n3\t9"\n', [("1", '"x'), *AB[1:], ("3", '9"')]),
        ("theirs", r"a cell of \N is missing in dumps", "id\tname\n1\ta\n2\tb\n3\t\\N\n", [*AB, ("3", "")]),
        ("taste", '="1" is a formula to them', 'id,name\n="1",a\n="2",b\n', AB),
        ("theirs", "a count of rows is none", "id,name\n1,a\n2,b\n3,c\n\n(3 rows)\n", [*AB, ("3", "c")]),
    ],
)  # fmt: skip
def test_where_both_others_disagree(fault: str, because: str, text: str, rows: list[Row]) -> None:
    """Neither finds these out by itself, DuckDB's sniffer included; if one learns it, the line goes."""
    template = Template.model_validate(
        {"name": "t", "target_resource": "things", "fields": [{"name": "id"}, {"name": "name"}]}
    )
    found = [tuple(cell or "" for cell in row) for row in read_file(text.encode(), template).cells()]
    assert found == rows, (fault, because)
    separator = next(sign for sign in "\t;," if sign in text)
    table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    with TemporaryDirectory() as folder, duckdb.connect() as database:
        path = Path(folder) / "file.csv"
        path.write_text(text)
        sniffed = database.execute("select * from read_csv(?, all_varchar=true)", [str(path)]).fetchall()
    for theirs in (list(table.itertuples(index=False)), sniffed):
        assert [tuple(cell or "" for cell in row) for row in theirs] != rows, (fault, because)
