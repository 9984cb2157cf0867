"""How a CSV file is written, from its first bytes: delimiter, header, columns."""

import csv
import io
from dataclasses import dataclass
from itertools import islice

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import Template
from services.parser.formats.api.encoding import Encoding, open_decoder
from services.parser.formats.api.file_format import Layout
from services.parser.formats.api.headers import clean_name, column_names, counted, normalised, numbered_names
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.csv.records import RecordScanner

SAMPLE_BYTES = 1024 * 1024
"""How much of the file's start ``detect_layout`` should be given; the header must end within it."""

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLED_RECORDS = 200


def detect_layout(
    sample: bytes, template: Template, encoding: Encoding, *, whole_file: bool, limits: ReaderLimits
) -> Layout:
    """Decide how a CSV file is read and what its columns are.

    Records are counted as the CSV grammar finds them: ``skip_rows`` of them are dropped (blank lines
    included), then the first one that is not blank is the header, or without a header the first row,
    whose cells say how many columns there are: ``column_1``, ``column_2``, ….

    Args:
        sample: the file's first ``SAMPLE_BYTES`` bytes, or all of it.
        template: what the file must look like; its delimiter wins over detection.
        encoding: what ``EncodingDetector`` found (it knows the template's override).
        whole_file: whether ``sample`` is the whole file.
        limits: bound on header length.

    Raises:
        FileRefusedError: ``EMPTY_FILE``, ``UNKNOWN_ENCODING``, ``BAD_DELIMITER``, ``HEADER_TOO_LARGE``,
            ``MALFORMED_QUOTE``, ``UNTERMINATED_QUOTE``.
    """
    source = template.source
    has_header = source.has_header is not False
    text = open_decoder(encoding.name).decode(sample[encoding.bom_bytes :], whole_file)
    if not whole_file:
        text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    notes = [encoding.note] if encoding.note else []
    if source.delimiter is None:
        start = _detect_start(text, template, has_header=has_header)
        if start.cells:
            notes.append(f"delimiter: {'tab' if start.delimiter == chr(9) else start.delimiter}, detected")
    else:
        start = _read_start(text, _checked_delimiter(source.delimiter), source.skip_rows)
    if start.broken_at is not None and not start.cells:
        raise _broken_header(text, start, whole_file=whole_file)
    if not start.cells:
        raise _nothing_to_read(sample, encoding, start, source.skip_rows, whole_file=whole_file)
    if has_header:
        columns, header_notes = column_names(start.cells, limits.max_header_chars)
        notes += header_notes
    else:
        columns = numbered_names(len(start.cells))
    return Layout(
        columns=columns,
        named=has_header,
        notes=tuple(notes),
        settings={
            "encoding": encoding.name,
            "bom_bytes": encoding.bom_bytes,
            "has_delimiter": True,
            "delimiter": start.delimiter,
            "skip_rows": source.skip_rows,
            "has_header": has_header,
        },
    )


@dataclass(frozen=True, slots=True)
class _Start:
    """The file's first records as one delimiter reads them.

    Attributes:
        skipped: how many of ``skip_rows`` records there were.
        records: up to ``_SAMPLED_RECORDS`` that are not blank, after the skipped ones.
        broken_at: physical lines before the record at which the grammar broke, if it did.
    """

    delimiter: str
    skipped: int
    records: list[list[str]]
    broken_at: int | None

    @property
    def cells(self) -> list[str]:
        """Cells of the header, or of the first row; empty where there is none."""
        return self.records[0] if self.records else []


def _read_start(text: str, delimiter: str, skip_rows: int) -> _Start:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    skipped, lines = 0, 0
    records: list[list[str]] = []
    try:
        for record in reader:
            lines = reader.line_num
            if skipped < skip_rows:
                skipped += 1
            elif record:
                records.append(record)
                if len(records) == _SAMPLED_RECORDS:
                    break
    except csv.Error:
        return _Start(delimiter, skipped, records, lines)
    return _Start(delimiter, skipped, records, None)


def _detect_start(text: str, template: Template, *, has_header: bool) -> _Start:
    """The candidate under which the file fits the template best and is most regular."""
    wanted = {normalised(name) for field in template.fields for name in (field.source, field.name, *field.aliases)}

    def fitness(start: _Start) -> tuple[float, float, float]:
        if not start.cells:
            return (-1.0, 0.0, 0.0)
        width = len(start.cells)
        if has_header:
            fitting = len(wanted & {normalised(clean_name(cell)) for cell in start.cells})
        else:
            fitting = int(width == len(template.fields) > 1)
        seen = len(start.records) + (start.broken_at is not None)
        regular = sum(len(record) == width for record in start.records) / seen
        return (float(fitting), regular, float(width))

    starts = [_read_start(text, delimiter, template.source.skip_rows) for delimiter in _DELIMITERS]
    best = max(starts, key=fitness)
    if len(best.cells) == 1 and not fitness(best)[0]:
        # That every line is one cell may only hide a broken quote: then say what is broken.
        return next((start for start in starts if start.broken_at is not None and not start.cells), best)
    return best


def _checked_delimiter(delimiter: str) -> str:
    if not delimiter.isascii() or delimiter in '"\r\n\0':
        raise FileRefusedError(
            RunErrorCode.BAD_DELIMITER,
            f"the template's delimiter {delimiter!r} cannot separate cells; use one ASCII character such as , ; | or "
            "tab, but no quote and no line end",
        )
    return delimiter


def _broken_header(text: str, start: _Start, *, whole_file: bool) -> FileRefusedError:
    """Why the record at which the grammar broke, the header or one before it, cannot be read."""
    lines_before = start.broken_at or 0
    rest = "".join(islice(io.StringIO(text, newline=""), lines_before, None))
    scanner = RecordScanner(start.delimiter.encode(), lines_before + 1)
    try:
        scanner.feed(rest.encode("utf-8", "surrogatepass"))
    except FileRefusedError as malformed:
        return malformed
    return scanner.unterminated() if whole_file else _header_too_large()


def _nothing_to_read(
    sample: bytes, encoding: Encoding, start: _Start, skip_rows: int, *, whole_file: bool
) -> FileRefusedError:
    if len(sample) <= encoding.bom_bytes:
        return FileRefusedError(RunErrorCode.EMPTY_FILE, "the file is empty; upload one with a header row")
    if not whole_file:
        return _header_too_large()
    if skip_rows and start.skipped:
        return FileRefusedError(
            RunErrorCode.EMPTY_FILE,
            f"nothing is left of the file after its first {counted(start.skipped, 'row')}, because the template says "
            f"skip_rows = {skip_rows}; lower it, or upload the complete file",
        )
    return FileRefusedError(RunErrorCode.EMPTY_FILE, "the file holds only blank lines; upload a file with a header row")


def _header_too_large() -> FileRefusedError:
    return FileRefusedError(
        RunErrorCode.HEADER_TOO_LARGE,
        f"the first row does not end within the file's first {SAMPLE_BYTES:,} bytes; look for a quote that is never "
        "closed, or for missing line ends",
    )
