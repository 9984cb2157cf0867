"""One data set as a file of every format."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.renderings import write_csv, write_fixed_width, write_json, write_ndjson, write_xlsx, write_xml
from tests.client import PlantedFile

FORMATS = ("csv", "json", "ndjson", "xml", "xlsx", "fixed_width")
_WRITERS = {"csv": write_csv, "json": write_json, "ndjson": write_ndjson, "xml": write_xml, "xlsx": write_xlsx}
_FILE_TYPES = {"ndjson": "json", "xlsx": "excel"}


def rendered(name: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """Rows of text in a format; an empty text is an empty cell."""
    out = io.BytesIO()
    if name == "fixed_width":
        write_fixed_width(out, header, rows, widths(header, rows))
    else:
        _WRITERS[name](out, header, rows)
    return out.getvalue()


def source_of(name: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """What a template in the engine's vocabulary says about reading that file."""
    if name == "fixed_width":
        return {"file_type": name, "column_widths": widths(header, rows)}
    return {"file_type": _FILE_TYPES.get(name, name)}


def planted_as(name: str, planted: PlantedFile) -> tuple[PlantedFile, dict[str, Any]]:
    """The same rows in a format, and what the template says about reading them."""
    header, *rows = csv.reader(io.StringIO(planted.content.decode()))
    return replace(planted, content=rendered(name, header, rows)), source_of(name, header, rows)


def widths(header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, int]:
    """Widths that every cell fits in, in characters."""
    columns = zip(*rows, strict=True)
    return {name: max(map(len, cells)) + 1 for name, cells in zip(header, columns, strict=True)}
