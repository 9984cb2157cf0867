"""A workbook read as the parser reads it: its layout, its batches, or why it is refused."""

import pytest

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import RowIssue
from libs.contracts.templates import Template
from services.parser.formats.api.batches import ParsedBatch
from services.parser.formats.api.file_format import FileFacts, Layout
from services.parser.formats.api.limits import MIB, ReaderLimits
from services.parser.formats.excel.format import ExcelFormat, ExcelReader
from services.parser.formats.excel.settings import ExcelSettings
from services.parser.planning.plan import make_plan

Source = str | int | bool | None


LIMITS = ReaderLimits()


SETTINGS = ExcelSettings()


def template(columns: tuple[str, ...] = (), **source: Source) -> Template:
    """A template with a text field for each of the columns; with a field for the first column without any."""
    fields = [
        {"name": f"f{index}", "type": "text", "column": column} for index, column in enumerate(columns or ("column_1",))
    ]
    return Template.model_validate({"name": "t", "target_resource": "things", "source": source, "fields": fields})


def layout_of(data: bytes, settings: ExcelSettings = SETTINGS, **source: Source) -> Layout:
    sampler = ExcelFormat(settings).sampler(template(**source), FileFacts(len(data)), LIMITS)
    for start in range(0, len(data), 100_000):
        assert not sampler.feed(data[start : start + 100_000])
    return sampler.layout()


def reader_of(
    data: bytes, layout: Layout, columns: tuple[str, ...] | None = None, limits: ReaderLimits = LIMITS
) -> ExcelReader:
    plan = make_plan(
        layout, template(columns or layout.columns), "excel", batch_rows=1_000, batch_bytes=MIB, limits=limits
    )
    reader = ExcelFormat().reader(plan, limits)
    assert list(reader.feed(data)) == []
    return reader


def batches_of(data: bytes, columns: tuple[str, ...] | None = None, **source: Source) -> list[ParsedBatch]:
    return list(reader_of(data, layout_of(data, **source), columns).close())


def rows_of(batches: list[ParsedBatch]) -> list[tuple[str | None, ...]]:
    """The rows that became cells; checks that every row is in one place."""
    rows: list[tuple[str | None, ...]] = []
    number = 0
    for batch in batches:
        assert batch.row_from == number + 1
        assert batch.rows == batch.table.num_rows + len(batch.issues)
        number = batch.row_to
        rows += list(zip(*(column.to_pylist() for column in batch.table.columns[1:]), strict=True))
    return rows


def issues_of(batches: list[ParsedBatch]) -> list[RowIssue]:
    return [issue for batch in batches for issue in batch.issues]


def refusal(data: bytes, settings: ExcelSettings = SETTINGS, **source: Source) -> FileRefusedError:
    with pytest.raises(FileRefusedError) as refused:
        layout_of(data, settings, **source)
    return refused.value
