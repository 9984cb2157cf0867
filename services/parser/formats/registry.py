"""The registry of file formats: ``file_type`` to the format that reads it."""

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points

from libs.contracts.errors import FileRefusedError
from libs.formats.content import ENTRY_POINTS
from services.parser.formats.api.file_format import FileFormat
from services.parser.formats.csv.format import CsvFormat
from services.parser.formats.excel.format import ExcelFormat
from services.parser.formats.fixed_width.format import FixedWidthFormat
from services.parser.formats.json.format import JsonFormat
from services.parser.formats.xml.format import XmlFormat

_BUILT_IN: dict[str, Callable[[], FileFormat]] = {
    "csv": CsvFormat,
    "json": JsonFormat,
    "excel": ExcelFormat,
    "xml": XmlFormat,
    "fixed_width": FixedWidthFormat,
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
        "UNKNOWN_FILE_TYPE",
        f"this installation has no format {file_type!r}; it has {', '.join(_BUILT_IN)}"
        "; install the package that brings it where the parser runs",
    )
