"""A format of one's own: logfmt, lines of ``key=value`` pairs, as log shippers write them.

    level=info msg="user signed in" user=42

To use it, put this module into a package of yours, name it there as an entry point,

    [project.entry-points."rowdock.formats"]
    logfmt = "rowdock_logfmt:LogfmtFormat"

install that where gateway and parser run, and write ``"file_type": "logfmt"`` into a template.
"""

import json
import shlex

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.formats.api.batches import ParsedBatch
from services.parser.formats.api.collector import RowCollector
from services.parser.formats.api.file_format import OVERFLOW, FileFacts, Layout
from services.parser.formats.api.headers import column_names
from services.parser.formats.api.limits import ReaderLimits
from services.parser.planning.matching import headers_to_come

SAMPLE_BYTES = 1024 * 1024
MAX_NAME_CHARS = 300


def pairs_of(line: str) -> dict[str, str]:
    """The pairs of one line; a word without ``=`` is a key that is true. ``ValueError`` for an open quote."""
    words = (word.partition("=") for word in shlex.split(line))
    return {key: value if equals else "true" for key, equals, value in words}


class LogfmtSampler:
    """Finds the columns: the keys of the first lines, and those that the template asks for by name."""

    def __init__(self, template: Template, file: FileFacts) -> None:
        self._template = template
        self._size = file.size
        self._data = bytearray()

    def feed(self, data: bytes) -> bool:
        self._data += data[: SAMPLE_BYTES - len(self._data)]
        return len(self._data) == min(SAMPLE_BYTES, self._size)

    def layout(self) -> Layout:
        complete = len(self._data) == self._size
        lines = self._data.decode("utf-8", "replace").split("\n")
        keys: dict[str, None] = {}
        for line in lines if complete else lines[:-1]:
            try:
                keys |= dict.fromkeys(pairs_of(line))
            except ValueError:
                continue  # the reader names it
        if not keys:
            raise FileRefusedError("EMPTY_FILE", "the file has no line with a key=value pair")
        columns = tuple(keys)
        if not complete:
            columns, _ = column_names([*columns, *headers_to_come(self._template, columns), OVERFLOW], MAX_NAME_CHARS)
        return Layout(columns, complete=complete, overflow=None if complete else len(columns) - 1)


class LogfmtReader:
    """Reads line by line; a line that cannot be read costs its own row only."""

    def __init__(self, plan: ParsePlan, limits: ReaderLimits) -> None:
        self._rows = RowCollector(plan, limits, place="line", extra_hint="remove what is too much")
        self._limits = limits
        self._columns = plan.columns if plan.overflow is None else plan.columns[: plan.overflow]
        self._overflows = plan.overflow is not None
        self._rest = b""
        self._line = 0

    def feed(self, data: bytes) -> list[ParsedBatch]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self._limits.max_record_bytes:
            raise FileRefusedError("ROW_TOO_LARGE", f"line {self._line + len(lines) + 1} is too long to be read")
        for line in lines:
            self._add(line)
        return self._rows.take()

    def close(self) -> list[ParsedBatch]:
        self._add(self._rest)
        return self._rows.close()

    def _add(self, line: bytes) -> None:
        self._line += 1
        if not line.strip():
            return
        try:
            pairs = pairs_of(line.decode())
        except ValueError as error:
            text = line.decode("utf-8", "replace")
            self._rows.add_issue("MALFORMED_RECORD", f"line {self._line}: {error}; correct the line", [text])
            return
        cells = [pairs.pop(name, None) for name in self._columns]
        if self._overflows:
            cells.append(json.dumps(pairs) if pairs else None)
        self._rows.add_records([self._line], [cells], suspect=True)


class LogfmtFormat:
    """The ``file_type`` that a template names."""

    def sampler(self, template: Template, file: FileFacts, limits: ReaderLimits) -> LogfmtSampler:
        del limits  # a line is all that is held
        return LogfmtSampler(template, file)

    def reader(self, plan: ParsePlan, limits: ReaderLimits) -> LogfmtReader:
        return LogfmtReader(plan, limits)
