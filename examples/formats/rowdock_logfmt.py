"""A format of one's own: logfmt, lines of ``key=value`` pairs, as log shippers write them.

    level=info msg="user signed in" user=42

To use it, put this module into a package of yours, name it there as an entry point,

    [project.entry-points."rowdock.formats"]
    logfmt = "rowdock_logfmt:LogfmtFormat"

install that where gateway and parser run, and write ``"file_type": "logfmt"`` into a template.
"""

import json
import re

from services.parser.formats.api import (
    MIB,
    FileFacts,
    FileRefusedError,
    Layout,
    ParsedBatch,
    ParsePlan,
    ReaderLimits,
    RowCollector,
    Template,
    column_keys,
    column_names,
)

SAMPLE_BYTES = MIB
PAIR = re.compile(r'\s*([^\s="]+)(?:=(?:"((?:[^"\\]++|\\.)*+)"|([^\s"]*)))?(?!\S)')
ESCAPE = re.compile(r"\\(.)")


def pairs_of(line: bytes) -> dict[str, str]:
    """The pairs of one line; a word without ``=`` is a key that is true. ``ValueError`` for what is none."""
    text, at = line.decode().rstrip(), 0
    pairs: dict[str, str] = {}
    while at < len(text):
        found = PAIR.match(text, at)
        if found is None:
            raise ValueError(f"no pair begins at {at}")
        key, quoted, plain = found.groups()
        pairs[key] = ESCAPE.sub(r"\1", quoted) if quoted is not None else "true" if plain is None else plain
        at = found.end()
    return pairs


class LogfmtSampler:
    """Finds the columns: the keys of the first lines."""

    def __init__(self, file: FileFacts, limits: ReaderLimits) -> None:
        self._size = file.size
        self._limits = limits
        self._data = bytearray()

    def feed(self, data: bytes) -> bool:
        self._data += data[: SAMPLE_BYTES - len(self._data)]
        return len(self._data) == min(SAMPLE_BYTES, self._size)

    def layout(self) -> Layout:
        complete = len(self._data) == self._size
        lines = bytes(self._data).split(b"\n")
        keys: dict[str, None] = {}
        for line in lines if complete else lines[:-1]:
            try:
                keys |= dict.fromkeys(pairs_of(line))
            except ValueError:
                continue  # the reader names it
        if not keys:
            raise FileRefusedError("EMPTY_FILE", "the file has no line with a key=value pair; write one line a record")
        columns, notes = column_names(list(keys), self._limits.max_header_chars)
        return Layout(columns, complete=complete, overflow=not complete, keys=tuple(keys), notes=tuple(notes))


class LogfmtReader:
    """Reads line by line; a line that cannot be read costs its own row only."""

    def __init__(self, plan: ParsePlan, limits: ReaderLimits) -> None:
        self._rows = RowCollector(plan, limits, place="line", extra_hint="remove what is too much")
        self._limits = limits
        self._keys = column_keys(plan)[: plan.overflow]
        self._overflows = plan.overflow is not None
        self._rest = b""
        self._line = 0

    def feed(self, data: bytes) -> list[ParsedBatch]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._add(line)
        if len(self._rest) > self._limits.max_record_bytes:
            raise self._too_long()
        return self._rows.take()

    def close(self) -> list[ParsedBatch]:
        self._add(self._rest)
        return self._rows.close()

    def _add(self, line: bytes) -> None:
        if len(line) > self._limits.max_record_bytes:
            raise self._too_long()
        self._line += 1
        if not line.strip():
            return
        try:
            pairs = pairs_of(line)
        except ValueError:
            text = line.decode("utf-8", "replace")
            message = f"line {self._line}: a quote is not closed, or the text is not UTF-8; correct the line"
            self._rows.add_issue("MALFORMED_RECORD", message, [text])
            return
        cells = [pairs.pop(key, None) for key in self._keys]
        if self._overflows:
            cells.append(json.dumps(pairs) if pairs else None)
        self._rows.add_records([self._line], [cells], suspect=True)

    def _too_long(self) -> FileRefusedError:
        return FileRefusedError(
            "ROW_TOO_LARGE",
            f"line {self._line + 1} has more than {self._limits.max_record_bytes:,} bytes, the most that can be read; "
            "shorten it",
        )


class LogfmtFormat:
    """The ``file_type`` that a template names."""

    def sampler(self, template: Template, file: FileFacts, limits: ReaderLimits) -> LogfmtSampler:
        del template  # its fields are matched with the columns later
        return LogfmtSampler(file, limits)

    def reader(self, plan: ParsePlan, limits: ReaderLimits) -> LogfmtReader:
        return LogfmtReader(plan, limits)
