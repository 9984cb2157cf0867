"""Every format passes the tests that every format passes; and the tests find what does not."""

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from xml.sax.saxutils import escape

import pytest
import xlsxwriter

from deploy.local.demo import EXAMPLES
from libs.formats.file_types import CSV, EXCEL, FIXED_WIDTH, JSON, XML
from services.parser.formats.api import (
    FileFacts,
    FileFormat,
    Layout,
    ParsedBatch,
    ParsePlan,
    Reader,
    ReaderLimits,
    Sampler,
    Template,
)
from services.parser.formats.api.conformance import FormatConformance
from services.parser.formats.registry import file_format

ODD_HEADERS = ("a", "a", " b ", "", "c\t\u0007", "\ufeffd", "x" * 100, "x" * 101, "(other)")
MOST_EXCEL_CHARS = 30_000
MOST_WIDTH = 100_000


class TestCsv(FormatConformance):
    file_type = CSV.name
    odd_columns = ODD_HEADERS
    delimiter, line_end = ",", "\n"

    def file_format(self) -> FileFormat:
        return file_format(self.file_type)

    def write(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
        out = io.StringIO()
        csv.writer(out, delimiter=self.delimiter, lineterminator=self.line_end).writerows([columns, *rows])
        return out.getvalue().encode()


class TestCsvOfOtherPrograms(TestCsv):
    delimiter, line_end = ";", "\r\n"

    def source(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Mapping[str, object]:
        del columns, rows
        return {"delimiter": ";", "encoding": "utf-16"}

    def write(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
        return super().write(columns, rows).decode().encode("utf-16")


class TestJson(FormatConformance):
    file_type = JSON.name
    odd_columns = (" b ", "", "b", "c\t\u0007", "\ufeffd", "x" * 100, "(other)", "a.b")

    def file_format(self) -> FileFormat:
        return file_format(self.file_type)

    def write(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
        return json.dumps([dict(zip(columns, row, strict=True)) for row in rows], ensure_ascii=False).encode()


class TestJsonLines(TestJson):
    def write(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
        return "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows).encode()


class TestXml(FormatConformance):
    file_type = XML.name
    odd_columns = ("a", "a.b", "@a", "x" * 100)

    def file_format(self) -> FileFormat:
        return file_format(self.file_type)

    def write(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
        return f"<rows>{''.join(self._row(columns, row) for row in rows)}</rows>".encode()

    def _row(self, columns: Sequence[str], row: Sequence[str]) -> str:
        attributes = "".join(f' {name[1:]}="{text}"' for name, text in zip(columns, row, strict=True) if name[0] == "@")
        cells = "".join(
            f"<{name}>{escape(text)}</{name}>" for name, text in zip(columns, row, strict=True) if name[0] != "@"
        )
        return f"<row{attributes}>{cells}</row>"


class TestFixedWidth(FormatConformance):
    file_type = FIXED_WIDTH.name
    odd_columns = ODD_HEADERS

    def file_format(self) -> FileFormat:
        return file_format(self.file_type)

    def _widths(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
        cells = zip(*rows, strict=True) if rows else [()] * len(columns)
        return [min(max(map(len, texts), default=1) + 1, MOST_WIDTH) for texts in cells]

    def source(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Mapping[str, object]:
        widths = self._widths(columns, rows)
        return {
            "column_widths": [
                {"name": name or None, "width": width} for name, width in zip(columns, widths, strict=True)
            ]
        }

    def write(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
        widths = self._widths(columns, rows)
        lines = ("".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows)
        return "".join(line.rstrip() + "\n" for line in lines).encode()


class TestExcel(FormatConformance):
    file_type = EXCEL.name
    odd_columns = ODD_HEADERS
    examples = 8

    def file_format(self) -> FileFormat:
        return file_format(self.file_type)

    def write(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
        out = io.BytesIO()
        with xlsxwriter.Workbook(out, {"constant_memory": True}) as book:
            sheet = book.add_worksheet()
            for place, row in enumerate([columns, *rows]):
                for column, text in enumerate(row):
                    sheet.write_string(place, column, text)
        return out.getvalue()

    def large_record(self, size: int) -> bytes:
        cells = ["x" * MOST_EXCEL_CHARS] * (size // MOST_EXCEL_CHARS)
        return self.write([str(at) for at in range(len(cells))], [cells])


class TestLogfmt(FormatConformance):
    """The example for authors of formats."""

    file_type = "logfmt"
    odd_columns = ("a", "\ufeffb", "b", "c\u0007", "x" * 100, "x" * 101, "(other)")

    @pytest.fixture(autouse=True)
    def importable(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.syspath_prepend(str(EXAMPLES / "formats"))
        yield
        sys.modules.pop("rowdock_logfmt", None)

    def file_format(self) -> FileFormat:
        example: FileFormat = import_module("rowdock_logfmt").LogfmtFormat()
        return example

    def write(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
        return "".join(f"{' '.join(map(self._pair, columns, row))}\n" for row in rows).encode()

    def _pair(self, name: str, text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'{name}="{escaped}"'


class _Broken:
    """CSV with a fault that the tests must find."""

    def __init__(self) -> None:
        self.sound = file_format(CSV.name)

    def sampler(self, template: Template, file: FileFacts, limits: ReaderLimits) -> Sampler:
        return self.sound.sampler(template, file, limits)

    def reader(self, plan: ParsePlan, limits: ReaderLimits) -> Reader:
        return self.sound.reader(plan, limits)


class _Hoarding(_Broken):
    class Hoard:
        def __init__(self, reader: Reader) -> None:
            self.reader, self.data = reader, bytearray()

        def feed(self, data: bytes) -> list[ParsedBatch]:
            self.data += data
            return []

        def close(self) -> list[ParsedBatch]:
            return [*self.reader.feed(bytes(self.data)), *self.reader.close()]

    def reader(self, plan: ParsePlan, limits: ReaderLimits) -> Reader:
        return self.Hoard(super().reader(plan, limits))


class _ByPieces(_Broken):
    class Pieces:
        def __init__(self, reader: Reader) -> None:
            self.reader = reader

        def feed(self, data: bytes) -> list[ParsedBatch]:
            return [*self.reader.feed(data.replace(b"x", b"y") if len(data) > 100 else data)]

        def close(self) -> list[ParsedBatch]:
            return [*self.reader.close()]

    def reader(self, plan: ParsePlan, limits: ReaderLimits) -> Reader:
        return self.Pieces(super().reader(plan, limits))


class _Crashing(_Broken):
    class Crash(_ByPieces.Pieces):
        def feed(self, data: bytes) -> list[ParsedBatch]:
            data.decode()
            return super().feed(data)

    def reader(self, plan: ParsePlan, limits: ReaderLimits) -> Reader:
        return self.Crash(self.sound.reader(plan, limits))


class _Unlimited(_Broken):
    def reader(self, plan: ParsePlan, limits: ReaderLimits) -> Reader:
        rows, sizes = 10 * limits.max_rows, 10 * limits.max_cell_bytes
        return super().reader(plan, replace(limits, max_rows=rows, max_cell_bytes=sizes, issue_cells=3))


class _Unclean(_Broken):
    class Unclean:
        def __init__(self, sampler: Sampler) -> None:
            self.feed, self.sampler = sampler.feed, sampler

        def layout(self) -> Layout:
            layout = self.sampler.layout()
            return replace(layout, columns=tuple(f"{name}\t" for name in layout.columns))

    def sampler(self, template: Template, file: FileFacts, limits: ReaderLimits) -> Sampler:
        return self.Unclean(super().sampler(template, file, limits))


class _Unstorable(_Unclean):
    class Unclean(_Unclean.Unclean):
        def layout(self) -> Layout:
            layout = self.sampler.layout()
            return replace(layout, settings={**layout.settings, "options": {"widths": (1, 2)}})


@pytest.mark.parametrize(
    ("broken", "finding"),
    [
        (_Hoarding, "test_memory_does_not_grow_with_the_file"),
        (_ByPieces, "test_the_batches_do_not_depend_on_the_pieces"),
        (_Crashing, "test_a_damaged_file_ends_as_rows_or_a_refusal"),
        (_Crashing, "test_the_batches_do_not_depend_on_the_pieces"),
        (_Unlimited, "test_an_issue_keeps_only_so_much_of_its_row"),
        (_Unlimited, "test_a_cell_may_be_as_large_as_the_limit_and_no_larger"),
        (_Unlimited, "test_a_file_of_too_many_rows_is_refused"),
        (_Unclean, "test_columns_are_unique_and_clean"),
        (_Unstorable, "test_a_repeated_parse_gives_the_same_batches"),
    ],
)
def test_a_fault_of_a_format_is_found(broken: type[_Broken], finding: str) -> None:
    class Conformance(TestCsv):
        def file_format(self) -> FileFormat:
            return broken()

    with pytest.raises((AssertionError, UnicodeDecodeError)):
        getattr(Conformance(), finding)()
