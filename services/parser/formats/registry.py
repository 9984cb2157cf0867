"""The registry of file formats: ``file_type`` to the format that reads it."""

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from libs.formats.file_types import CSV, ENTRY_POINTS, EXCEL, FIXED_WIDTH, JSON, XML, file_types
from services.parser.formats.api.file_format import FileFormat
from services.parser.formats.csv.format import CsvFormat
from services.parser.formats.excel.format import ExcelFormat
from services.parser.formats.fixed_width.format import FixedWidthFormat
from services.parser.formats.json.format import JsonFormat
from services.parser.formats.xml.format import XmlFormat

_BUILT_IN: dict[str, Callable[[], FileFormat]] = {
    CSV.name: CsvFormat,
    JSON.name: JsonFormat,
    XML.name: XmlFormat,
    FIXED_WIDTH.name: FixedWidthFormat,
    EXCEL.name: ExcelFormat,
}


@cache
def file_format(file_type: str) -> FileFormat:
    """The format of a name; built-in ones cannot be replaced.

    Raises:
        FileRefusedError: ``UNKNOWN_FILE_TYPE``.
    """
    if (built_in := _BUILT_IN.get(file_type)) is not None:
        return built_in()
    for entry in entry_points(group=ENTRY_POINTS, name=file_type):
        registered: Callable[[], FileFormat] = entry.load()
        return registered()
    raise FileRefusedError(
        RunErrorCode.UNKNOWN_FILE_TYPE,
        f"the template reads files of the format {file_type!r}, which is not installed; what is installed is "
        f"{', '.join(file_types())}; choose one of these, or have the package with the format installed",
    )
