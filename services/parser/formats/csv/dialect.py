"""How a CSV file is written, from its first bytes: grammar, header, columns."""

import csv
import io
import re
from dataclasses import dataclass, replace
from itertools import islice

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import SourceFormat, Template
from services.parser.formats.api.edges import trimmed
from services.parser.formats.api.encoding import Encoding, open_decoder
from services.parser.formats.api.file_format import Layout
from services.parser.formats.api.header_search import Headers, left_out
from services.parser.formats.api.headers import column_names, counted, numbered_names
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.csv.grammar import Grammar, Record
from services.parser.formats.csv.quoting import find_quoting
from services.parser.formats.csv.sink import is_blank
from services.parser.formats.csv.surroundings import (
    footer_rows,
    refuse_drawing,
    refuse_long_delimiter,
    refuse_other_line_ends,
)

SAMPLE_BYTES = 1024 * 1024
"""How much of the file's start ``detect_layout`` should be given; the header must end within it."""

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLED_RECORDS = 200
_QUOTING_CHARS = 256 * 1024
"""How much decides what quotes mean."""
_SEP = re.compile(r'"?sep=(.)\1*+"?[ \t]*+(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
"""The first line of files for Excel: it names the delimiter and is no row."""


def detect_layout(
    sample: bytes, template: Template, encoding: Encoding, *, whole_file: bool, limits: ReaderLimits
) -> Layout:
    """Decide how a CSV file is read and what its columns are.

    Records are counted as the CSV grammar finds them: ``skip_rows`` of them are dropped (blank lines
    included), then the first one that is not blank is the header, or without a header the first row,
    whose cells say how many columns there are: ``column_1``, ``column_2``, …. Where the template drops
    none, what plainly stands before the header is dropped (see ``header_search``).

    Args:
        sample: the file's first ``SAMPLE_BYTES`` bytes, or all of it.
        template: what the file must look like; its delimiter and its quotes win over detection.
        encoding: what ``EncodingDetector`` found (it knows the template's override).
        whole_file: whether ``sample`` is the whole file.
        limits: bound on header length.

    Raises:
        FileRefusedError: ``EMPTY_FILE``, ``UNKNOWN_ENCODING``, ``BAD_DELIMITER``, ``HEADER_TOO_LARGE``,
            ``MALFORMED_QUOTE``, ``UNTERMINATED_QUOTE``, ``DRAWN_TABLE``, ``UNCLEAR_HEADER``.
    """
    source = template.source
    has_header = source.has_header is not False
    text = open_decoder(encoding.name).decode(sample[encoding.bom_bytes :], whole_file)
    if not whole_file:
        text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    text = trimmed(text, whole_file=whole_file)
    headers = Headers(template)
    start, notes = _find_start(text, source, headers)
    seen = text[: text.rfind("\n", 0, _QUOTING_CHARS) + 1] if len(text) > _QUOTING_CHARS else text
    seen = seen or text
    refuse_other_line_ends(text)
    if has_header:
        refuse_drawing(start.records)
        refuse_long_delimiter(start.records, start.grammar.delimiter)
    quoting = find_quoting(seen, source, start.grammar.delimiter, whole_file=whole_file and len(seen) == len(text))
    if quoting.doubt is not None:
        raise FileRefusedError(RunErrorCode.MALFORMED_QUOTE, f"it cannot be known what quotes mean: {quoting.doubt}")
    if quoting.grammar != start.grammar:
        start = _read_start(text, quoting.grammar, start.skip_rows)
    if start.broken_at is not None and not start.records:
        raise _broken_header(text, start, whole_file=whole_file)
    if not start.records:
        raise _nothing_to_read(sample, encoding, start, source.skip_rows, whole_file=whole_file)
    if has_header and not source.skip_rows:
        start, preface_notes = _without_preface(start, headers)
        notes += preface_notes
    notes += [quoting.note] if quoting.note else []
    footer = source.skip_footer_rows
    if footer is None and whole_file:
        footer, footer_notes = footer_rows(text, start.grammar, len(start.cells))
        notes += footer_notes
    if has_header:
        columns, header_notes = column_names(start.cells, limits.max_header_chars)
        notes += header_notes
    else:
        columns = numbered_names(len(start.cells))
    options = {
        "tidy": True,
        "grammar": start.grammar.options,
        "skip_footer_rows": footer,
        "quotes_unproven": quoting.unproven and source.quote_char is None,
    }
    return Layout(
        columns=columns,
        named=has_header,
        notes=(*([encoding.note] if encoding.note else []), *notes),
        settings={
            "encoding": encoding.name,
            "bom_bytes": encoding.bom_bytes,
            "has_delimiter": True,
            "delimiter": start.grammar.delimiter,
            "skip_rows": start.skip_rows,
            "has_header": has_header,
            "options": {name: value for name, value in options.items() if value},
        },
    )


@dataclass(frozen=True, slots=True)
class _Start:
    """The file's first records as one grammar reads them.

    Attributes:
        skip_rows: how many records at the start are dropped.
        skipped: how many of these there were.
        records: up to ``_SAMPLED_RECORDS`` that are not blank, after the dropped ones.
        places: how many records stand before each of them, blank ones included.
        broken_at: physical lines before the record at which the grammar broke, if it did.
    """

    grammar: Grammar
    skip_rows: int
    skipped: int
    records: list[Record]
    places: list[int]
    broken_at: int | None

    @property
    def cells(self) -> list[str]:
        """Cells of the header, or of the first row; empty where there is none."""
        return [cell or "" for cell in self.records[0]] if self.records else []


def _read_start(text: str, grammar: Grammar, skip_rows: int) -> _Start:
    csv.field_size_limit(2**31 - 1)
    found = grammar.records(text)
    records: list[Record] = []
    places: list[int] = []
    seen = 0
    broken_at = None
    try:
        for record in found:
            seen += 1
            if seen > skip_rows and not is_blank(record):
                records.append(record)
                places.append(seen - 1)
                if len(records) == _SAMPLED_RECORDS:
                    break
    except csv.Error:
        broken_at = found.lines
    return _Start(grammar, skip_rows, min(seen, skip_rows), records, places, broken_at)


def _find_start(text: str, source: SourceFormat, headers: Headers) -> tuple[_Start, list[str]]:
    """The file's start by the template's delimiter, that of its first line, or the one that fits best."""
    told = _SEP.match(text)
    skips = sorted({source.skip_rows, source.skip_rows + 1} - ({0} if told else {source.skip_rows + 1}))
    if source.delimiter is not None:
        delimiters, notes = (_checked_delimiter(source.delimiter),), list[str]()
    elif told is not None and told[1].isascii() and told[1] not in "\"'\0":
        delimiters, notes = (told[1],), [f"delimiter: {_shown(told[1])}, by the file's first line"]
    else:
        delimiters, notes = _DELIMITERS, list[str]()
    usual = Grammar("", comment=source.comment_prefix or "")
    if source.quote_char is not None:
        usual = replace(usual, quote=source.quote_char)
    starts = [_read_start(text, replace(usual, delimiter=each), skip) for each in delimiters for skip in skips]
    best = _best(starts, source, headers)
    if len(delimiters) > 1 and best.records:
        notes.append(f"delimiter: {_shown(best.grammar.delimiter)}, detected")
    return best, notes


def _best(starts: list[_Start], source: SourceFormat, headers: Headers) -> _Start:
    """The candidate under which the file fits the template best and is most regular."""
    has_header = source.has_header is not False

    def fitness(start: _Start) -> tuple[float, float, float]:
        if not start.records:
            return (-1.0, 0.0, 0.0)
        first = headers.find(start.records) if has_header and not source.skip_rows else 0
        width = len(start.records[first])
        fitting = headers.fitting(start.records[first]) if has_header else int(width == headers.fields > 1)
        seen = len(start.records) - first + (start.broken_at is not None)
        regular = sum(len(record) == width for record in start.records[first:]) / seen
        return (float(fitting), regular, float(width))

    best = max(starts, key=fitness)
    if len(best.cells) == 1 and not fitness(best)[0]:
        # That every line is one cell may only hide a broken quote: then say what is broken.
        return next((start for start in starts if start.broken_at is not None and not start.records), best)
    return best


def _without_preface(start: _Start, headers: Headers) -> tuple[_Start, list[str]]:
    first = headers.find(start.records)
    if not first:
        return start, []
    skip = start.places[first]
    note = left_out(first)
    return replace(start, skip_rows=skip, records=start.records[first:], places=start.places[first:]), [note]


def _shown(delimiter: str) -> str:
    return "tab" if delimiter == "\t" else delimiter


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
    scanner = start.grammar.scanner(lines_before + 1)
    try:
        scanner.feed(start.grammar.neutral(rest).encode("utf-8", "surrogatepass"))
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
