"""Where a CSV record ends, for records that are too large to keep or too broken to parse.

The grammar is that of the standard library's ``csv`` module with ``strict=True``: a quote opens
a quoted cell only at the cell's start, ``""`` inside it is one quote, and after the closing quote
only a delimiter or a line end may follow. Only ``\\n``, ``\\r\\n`` and ``\\r`` end a record.
"""

import re
from enum import Enum

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode

_LINE_ENDS = frozenset(b"\r\n")


def count_line_ends(data: bytes, start: int = 0, end: int | None = None) -> int:
    """Number of physical line ends (``\\n``, ``\\r\\n``, ``\\r``) in ``data[start:end]``."""
    carriage_returns = data.count(b"\r", start, end)
    line_feeds = data.count(b"\n", start, end)
    return line_feeds + carriage_returns - (data.count(b"\r\n", start, end) if carriage_returns else 0)


class _State(Enum):
    CELL_START = 1
    PLAIN = 2
    QUOTED = 3
    QUOTE_IN_QUOTED = 4


class RecordScanner:
    """Follows one record over any number of pieces and keeps nothing of it.

    Whole cells and runs of quotes are passed over at once: a file of nothing but quotes must not take long.

    No piece but the last may end in ``\\r``: whether ``\\n`` follows decides where the record ends.

    Args:
        delimiter: one ASCII byte.
        line: 1-based physical line on which the record starts.
        quote: one ASCII byte, or none where the file knows no quoting.

    Attributes:
        size: bytes of the record seen so far, without its line end.
        line: physical line that the scanner has reached.
    """

    def __init__(self, delimiter: bytes, line: int, quote: bytes = b'"') -> None:
        self.size = 0
        self.line = line
        self._delimiter = delimiter[0]
        self._quote = quote[0] if quote else None
        self._state = _State.CELL_START if quote else _State.PLAIN
        self._opened_on = line
        if not quote:
            self._quoted = self._cells = re.compile(b"")
            self._plain_end = re.compile(rb"[\r\n]")
            return
        # Possessive, so that nothing is tried twice: linear in the bytes, whatever they are.
        self._quoted = re.compile(b"(?:[^" + re.escape(quote) + b"]++|" + re.escape(2 * quote) + b")*+")
        self._cells = re.compile(
            b"(?:(?:"
            + re.escape(quote)
            + b"(?:[^"
            + re.escape(quote)
            + b"]++|"
            + re.escape(2 * quote)
            + b")*+"
            + re.escape(quote)
            + b"|[^"
            + re.escape(quote + b"\r\n" + delimiter)
            + b"][^"
            + re.escape(b"\r\n" + delimiter)
            + b"]*+)?"
            + re.escape(delimiter)
            + b")*+"
        )
        # Between plain cells only a quote behind a delimiter matters; at the end it may be in the next piece.
        self._plain_end = re.compile(rb"[\r\n]|" + re.escape(delimiter) + b"(?=" + re.escape(quote) + rb"|\Z)")

    @property
    def quote_is_open(self) -> bool:
        return self._state is _State.QUOTED

    def feed(self, data: bytes) -> int | None:
        """Index just behind the record's line end, or ``None`` where the record goes on.

        Raises:
            FileRefusedError: ``MALFORMED_QUOTE``.
        """
        position = self._decisive(data, 0)
        while position < len(data):
            byte = data[position]
            if self._state is _State.QUOTED:
                self._state = _State.QUOTE_IN_QUOTED
            elif byte in _LINE_ENDS:
                self.size += position
                self.line += 1
                return position + (2 if data[position : position + 2] == b"\r\n" else 1)
            elif byte == self._delimiter:
                self._state = _State.CELL_START
            elif byte != self._quote:
                raise self._malformed()
            else:
                if self._state is _State.CELL_START:
                    self._opened_on = self.line
                self._state = _State.QUOTED
            position = self._decisive(data, position + 1)
        self.size += len(data)
        return None

    def _decisive(self, data: bytes, start: int) -> int:
        """Index of the next byte that can change the state; ``len(data)`` where there is none."""
        if self._state is _State.QUOTED:
            quoted = self._quoted.match(data, start)
            end = quoted.end() if quoted else start
            self.line += count_line_ends(data, start, end)
            return end
        if self._state is _State.CELL_START and (cells := self._cells.match(data, start)) is not None:
            self.line += count_line_ends(data, start, cells.end())
            start = cells.end()
        if self._state is _State.CELL_START and data[start : start + 1] not in (b'"', b""):
            self._state = _State.PLAIN
        if self._state is _State.PLAIN:
            found = self._plain_end.search(data, start)
            return found.start() if found else len(data)
        return start

    def unterminated(self) -> FileRefusedError:
        """The refusal of a file that ends inside a quoted cell."""
        return FileRefusedError(
            RunErrorCode.UNTERMINATED_QUOTE,
            f"the quote that opens a cell on line {self._opened_on} is never closed, so everything behind it "
            "would become one cell; close it, write a quote that belongs to the text twice, or set the template's "
            'quote_char to "" if quotes are plain text in this file',
        )

    def _malformed(self) -> FileRefusedError:
        opened = "" if self._opened_on == self.line else f" (it opened on line {self._opened_on})"
        return FileRefusedError(
            RunErrorCode.MALFORMED_QUOTE,
            f"line {self.line}: text follows the closing quote of a cell{opened}, so where the row ends cannot be "
            "known; write a quote inside a quoted cell twice and put nothing between the closing quote and the "
            'delimiter, or set the template\'s quote_char to "" if quotes are plain text in this file',
        )
