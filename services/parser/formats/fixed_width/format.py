"""The format ``fixed_width``."""

import re
import unicodedata
from collections.abc import Sequence

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import Template
from services.parser.formats.api.edges import trimmed
from services.parser.formats.api.encoding import open_decoder
from services.parser.formats.api.file_format import FileFacts, Layout
from services.parser.formats.api.headers import column_names, numbered_names, squeezed
from services.parser.formats.api.limits import MIB, ReaderLimits
from services.parser.formats.api.sampling import TextSample
from services.parser.formats.fixed_width.reader import FixedWidthReader, LineCutter

SAMPLE_BYTES = MIB
"""How much of the file's start is looked at; the header must end within it."""
_FEWEST_LINES = 2
_HEADER_NOTE = "header: the first line, because it has the names of the columns"


class FixedWidthSampler:
    """Finds out the encoding, and the names where they stand in the file."""

    def __init__(self, template: Template, file: FileFacts, limits: ReaderLimits) -> None:
        self._source = template.source
        self._limits = limits
        self._start = TextSample(file, template.source.encoding, SAMPLE_BYTES)

    def feed(self, data: bytes) -> bool:
        """See ``file_format.Sampler``."""
        return self._start.feed(data)

    def layout(self) -> Layout:
        """Names of the template win over those of the header line; without both a column is ``column_1``, ….

        Raises:
            FileRefusedError: ``EMPTY_FILE``, ``HEADER_TOO_LARGE``, ``NO_COLUMN_WIDTHS``, ``NOT_TEXT``,
                ``UNCLEAR_WIDTHS``, ``UNKNOWN_ENCODING``.
        """
        source, sample = self._source, self._start.sample()
        if not source.column_widths:
            raise FileRefusedError(
                RunErrorCode.NO_COLUMN_WIDTHS,
                "the template does not say how wide the columns are; add column_widths to it",
            )
        encoding = sample.encoding
        widths = tuple(column.width for column in source.column_widths)
        text = open_decoder(encoding.name).decode(sample.data[encoding.bom_bytes :], sample.whole_file)
        lines = re.split(r"\r\n|\r|\n", trimmed(text, whole_file=sample.whole_file))
        complete = lines if sample.whole_file else lines[:-1]
        first = next((line for line in complete[source.skip_rows :] if line.strip(" ")), None)
        if first is None and sample.whole_file:
            raise FileRefusedError(
                RunErrorCode.EMPTY_FILE,
                "the file has no line with text"
                + (f" after the {source.skip_rows:,} that the template's skip_rows drops" if source.skip_rows else "")
                + "; upload a file with rows",
            )
        given = [column.name for column in source.column_widths]
        cutter = LineCutter(widths, encoding.name, in_bytes=source.width_unit == "bytes")
        named = source.has_header is None and first is not None and _names_columns(cutter.cut(first)[0], given)
        has_header = source.has_header is True or named
        if has_header and first is None:
            raise FileRefusedError(
                RunErrorCode.HEADER_TOO_LARGE,
                f"the header line does not end within the file's first {SAMPLE_BYTES:,} bytes; look for missing line "
                "ends, or set has_header to false in the template",
            )
        if source.width_unit == "characters":
            behind = source.skip_rows + has_header
            refuse_other_units([line for line in complete if line.strip(" ")][behind:], sum(widths), encoding.name)
        header = cutter.cut(first)[0] if has_header and first is not None else []
        header += [""] * (len(widths) - len(header))
        numbered = numbered_names(len(widths))
        columns, notes = column_names(
            [name or title or number for name, title, number in zip(given, header, numbered, strict=False)],
            self._limits.max_header_chars,
        )
        return Layout(
            columns=columns,
            named=has_header or any(given),
            notes=(*([encoding.note] if encoding.note else []), *([_HEADER_NOTE] if named else []), *notes),
            settings={
                "encoding": encoding.name,
                "bom_bytes": encoding.bom_bytes,
                "skip_rows": source.skip_rows,
                "has_header": has_header,
                "widths": widths,
                "width_unit": source.width_unit,
                "options": {"tidy": True, "tabs_shift": True},
            },
        )


def _names_columns(cells: Sequence[str], names: Sequence[str | None]) -> bool:
    """Whether the cells of a line are the names that the template gives all columns, and no data."""
    given = [squeezed(name or "") for name in names]
    return all(given) and [squeezed(cell) for cell in cells] == given


def refuse_other_units(lines: Sequence[str], width: int, encoding: str) -> None:
    """Refuse a file whose lines are padded by something else than characters: read as such, cells lose their ends to
    the columns before them, and nothing looks wrong.

    Lines with other letters than those of ASCII tell, if all of them are too short, and all others as wide as the
    columns. One such line alone may have lost the blanks at its end.

    Args:
        lines: of the data, without their ends.
        width: of all columns, in characters.
        encoding: of the file.

    Raises:
        FileRefusedError: ``UNCLEAR_WIDTHS``.
    """
    foreign = [line for line in lines if not line.isascii()]
    plain = len(lines) - len(foreign)
    if len(lines) < _FEWEST_LINES or not foreign or any(len(line) >= width for line in foreign):
        return
    if any(len(line) != width for line in lines if line.isascii()):
        return
    if all(len(line.encode(encoding, "replace")) == width for line in foreign):
        raise FileRefusedError(
            RunErrorCode.UNCLEAR_WIDTHS,
            f"each line has {width:,} bytes, and those with letters beyond ASCII have fewer characters; set width_unit "
            "to 'bytes' in the template, so that column_widths count bytes",
        )
    if plain and all(_places(line) == width for line in foreign):
        raise FileRefusedError(
            RunErrorCode.UNCLEAR_WIDTHS,
            f"each line is {width:,} places wide, but wide letters of East Asia fill two places each, so the columns "
            "cannot be cut by characters; export the file with columns of characters or bytes, or as CSV",
        )


def _places(line: str) -> int:
    """How wide a line is where each letter has one place and a wide one two (UAX #11)."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in line
    )


class FixedWidthFormat:
    """Lines whose columns have fixed widths."""

    def sampler(self, template: Template, file: FileFacts, limits: ReaderLimits) -> FixedWidthSampler:
        """See ``file_format.FileFormat``."""
        return FixedWidthSampler(template, file, limits)

    def reader(self, plan: ParsePlan, limits: ReaderLimits) -> FixedWidthReader:
        """See ``file_format.FileFormat``."""
        return FixedWidthReader(plan, limits)
