"""From the file's first bytes and the template to the plan by which the whole file is read."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Default, Template
from services.parser.domain.encoding import Encoding, open_decoder, show_marks
from services.parser.domain.limits import ReaderLimits
from services.parser.domain.records import RecordScanner

SAMPLE_BYTES = 1024 * 1024
"""How much of the file's start ``detect_plan`` should be given; the header must end within it."""

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLED_RECORDS = 200
_MAX_NOTES_PER_KIND = 20
_SHOWN_COLUMNS = 30


def detect_plan(
    sample: bytes,
    template: Template,
    encoding: Encoding,
    *,
    whole_file: bool,
    batch_rows: int,
    batch_bytes: int,
    limits: ReaderLimits,
) -> ParsePlan:
    """Decide how the file is read and which column feeds which field.

    Records are counted as the CSV grammar finds them: ``skip_rows`` of them are dropped (blank lines
    included), then the first one that is not blank is the header, or without a header the first row,
    whose cells say how many columns there are.

    With a header a field's source is looked up exactly, then without regard to case and to runs of
    space, ``_`` and ``-``, where only one column fits. Without one the columns are ``column_1``,
    ``column_2``, …; a field whose source is one of these names reads it, and any other field reads
    the column at its own position in the template.

    Args:
        sample: the file's first ``SAMPLE_BYTES`` bytes, or all of it.
        template: what the file must look like; its delimiter wins over detection.
        encoding: what ``EncodingDetector`` found (it knows the template's override).
        whole_file: whether ``sample`` is the whole file.
        batch_rows: most rows of a batch.
        batch_bytes: most cell bytes of a batch.
        limits: bounds on columns and header length.

    Raises:
        FileRefusedError: ``EMPTY_FILE``, ``UNKNOWN_ENCODING``, ``BAD_DELIMITER``, ``HEADER_TOO_LARGE``,
            ``TOO_MANY_COLUMNS``, ``MISSING_COLUMNS``, ``MALFORMED_QUOTE``, ``UNTERMINATED_QUOTE``.
    """
    source = template.source
    text = open_decoder(encoding.name).decode(sample[encoding.bom_bytes :], whole_file)
    if not whole_file:
        text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    notes = [encoding.note] if encoding.note else []
    if source.delimiter is None:
        start = _detect_start(text, template)
        if start.cells:
            notes.append(f"delimiter: {'tab' if start.delimiter == chr(9) else start.delimiter}, detected")
    else:
        start = _read_start(text, _checked_delimiter(source.delimiter), source.skip_rows)
    if start.broken_at is not None and not start.cells:
        raise _broken_header(text, start, whole_file=whole_file)
    if not start.cells:
        raise _nothing_to_read(sample, encoding, start, source.skip_rows, whole_file=whole_file)
    if len(start.cells) > limits.max_columns:
        raise FileRefusedError(
            "TOO_MANY_COLUMNS",
            f"the file has {len(start.cells):,} columns and at most {limits.max_columns:,} can be read; "
            "check the delimiter, or split the file",
        )
    if source.has_header:
        columns, header_notes = _column_names(start.cells, limits.max_header_chars)
        notes += header_notes
        mapping = _map_by_name(template, columns)
    else:
        columns = tuple(f"column_{number}" for number in range(1, len(start.cells) + 1))
        mapping = _map_by_position(template, columns)
    _refuse_missing(template, columns, mapping)
    return ParsePlan(
        encoding=encoding.name,
        bom_bytes=encoding.bom_bytes,
        delimiter=start.delimiter,
        skip_rows=source.skip_rows,
        has_header=source.has_header,
        columns=columns,
        mapping=mapping,
        batch_rows=batch_rows,
        batch_bytes=batch_bytes,
        notes=tuple(notes),
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


def _detect_start(text: str, template: Template) -> _Start:
    """The candidate under which the file fits the template best and is most regular."""
    wanted = {_normalised(field.source) for field in template.fields}

    def fitness(start: _Start) -> tuple[float, float, float]:
        if not start.cells:
            return (-1.0, 0.0, 0.0)
        width = len(start.cells)
        if template.source.has_header:
            fitting = len(wanted & {_normalised(_clean_name(cell)) for cell in start.cells})
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
            "BAD_DELIMITER",
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
        return FileRefusedError("EMPTY_FILE", "the file is empty (0 bytes of text); upload a file with a header row")
    if not whole_file:
        return _header_too_large()
    if skip_rows and start.skipped:
        return FileRefusedError(
            "EMPTY_FILE",
            f"nothing is left of the file after its first {start.skipped} records, because the template says "
            f"skip_rows = {skip_rows}; lower it, or upload the complete file",
        )
    return FileRefusedError("EMPTY_FILE", "the file holds only blank lines; upload a file with a header row")


def _header_too_large() -> FileRefusedError:
    return FileRefusedError(
        "HEADER_TOO_LARGE",
        "no complete first record was found at the start of the file; check its delimiter, line ends and quotes",
    )


def _clean_name(cell: str) -> str:
    """NFC, without control characters, byte order marks and surrounding whitespace."""
    kept = "".join(" " if c in "\t\r\n" else c for c in cell if unicodedata.category(c) != "Cc" or c in "\t\r\n")
    return show_marks(unicodedata.normalize("NFC", kept.replace("\ufeff", "")).strip())


def _column_names(cells: Sequence[str], max_chars: int) -> tuple[tuple[str, ...], list[str]]:
    """Unique column names of a header and what had to be changed.

    A name that stands in the header keeps its first place; the names made here avoid all of them.
    """
    cleaned = [_clean_name(cell) for cell in cells]
    cut = [name[:max_chars] for name in cleaned]
    long_names = [f"column {i}: header cut to {max_chars} characters" for i, n in enumerate(cleaned, 1) if n not in cut]
    taken = set(cut)
    seen: set[str] = set()
    next_number: dict[str, int] = {}
    names: list[str] = []
    made_up: list[str] = []
    for position, given in enumerate(cut, 1):
        name = given
        if not given or given in seen:
            base = given or f"column_{position}"
            number = next_number.get(base, 2)
            name = base if not given else f"{base}_{number}"
            while name in taken:
                name = f"{base}_{number}"
                number += 1
            next_number[base] = number
            taken.add(name)
            made_up.append(f"column {position}: {'repeated' if given else 'empty'} header, read as {name!r}")
        seen.add(given)
        names.append(name)
    return tuple(names), [*_capped(long_names), *_capped(made_up)]


def _capped(notes: list[str]) -> list[str]:
    more = len(notes) - _MAX_NOTES_PER_KIND
    return notes if more <= 0 else [*notes[:_MAX_NOTES_PER_KIND], f"… and {more:,} more columns like these"]


def _normalised(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFC", name)).strip().casefold()


class _Columns:
    """Looks headers up: exactly, then normalised where that is unambiguous."""

    def __init__(self, columns: Iterable[str]) -> None:
        self._exact: dict[str, int] = {}
        self._normalised: dict[str, int | None] = {}
        for index, name in enumerate(columns):
            self._exact[name] = index
            key = _normalised(name)
            self._normalised[key] = None if key in self._normalised else index

    def find(self, header: str) -> int | None:
        exact = self._exact.get(header)
        return self._normalised.get(_normalised(header)) if exact is None else exact


def _map_by_name(template: Template, columns: tuple[str, ...]) -> dict[str, int | None]:
    lookup = _Columns(columns)
    return {field.name: lookup.find(field.source) for field in template.fields}


def _map_by_position(template: Template, columns: tuple[str, ...]) -> dict[str, int | None]:
    indexes = {name: index for index, name in enumerate(columns)}
    mapping: dict[str, int | None] = {}
    for position, field in enumerate(template.fields):
        if re.fullmatch(r"column_[1-9]\d*", field.source):
            mapping[field.name] = indexes.get(field.source)
        else:
            mapping[field.name] = position if position < len(columns) else None
    return mapping


def _refuse_missing(template: Template, columns: tuple[str, ...], mapping: dict[str, int | None]) -> None:
    lookup = _Columns(columns)
    mapped = {field.source for field in template.fields if mapping[field.name] is not None}
    missing = [name for name in template.required_columns if name not in mapped and lookup.find(name) is None]
    missing += [
        field.source
        for field in template.fields
        if mapping[field.name] is None
        and field.required
        and not any(isinstance(transform, Default) for transform in field.transforms)
    ]
    if not missing and not mapped:
        missing = [field.source for field in template.fields]
    if missing:
        wanted = ", ".join(repr(name) for name in dict.fromkeys(missing))
        shown = ", ".join(repr(name) for name in columns[:_SHOWN_COLUMNS])
        more = len(columns) - _SHOWN_COLUMNS
        raise FileRefusedError(
            "MISSING_COLUMNS",
            f"the file has no column {wanted}; its columns are {shown}{f' and {more:,} more' if more > 0 else ''}; "
            "fix the header or the template (a wrong delimiter looks like this too)",
        )
