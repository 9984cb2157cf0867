"""How the records of a CSV file are written: what its plan freezes beside delimiter and columns."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from libs.contracts.plan import ParsePlan
from services.parser.formats.csv.records import RecordScanner

QUOTE = '"'
ESCAPE = "\\"
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "0": "\0"}
_SENTINEL = 0xD800
"""A half of a surrogate pair that no decoder gives, plus a letter: an escaped letter, while records are cut."""
_NULL = chr(_SENTINEL + ord("N"))
_DECODED = {_SENTINEL + ord(letter): meant for letter, meant in _LETTERS.items()} | {_SENTINEL + ord("N"): "N"}
_SENTINELS = re.compile("[\ud800-\ud87f]")
Record = list[str | None]

if TYPE_CHECKING:
    from _csv import Reader as CsvReader


@dataclass(frozen=True)  # no slots: patterns are kept
class Grammar:
    r"""The grammar of one file.

    Attributes:
        delimiter: one ASCII character.
        quote: what cells are enclosed in; empty where the file knows no quoting: then every line is a record.
        escape: what makes the next quote, delimiter or line end part of the text; may be empty.
        letters: whether the escape is that of the dumps of MySQL and PostgreSQL: ``\n``, ``\t``, ``\r``, ``\b``, ``\0``
            stand for what they are called, and a cell of ``\N`` is missing. Without it an escape stands for itself
            before anything but a quote, a delimiter, a line end and an escape.
        blanks: whether blanks may stand between a quote and its delimiter.
        comment: what the lines begin with that are no records; may be empty.
    """

    delimiter: str
    quote: str = QUOTE
    escape: str = ""
    letters: bool = False
    blanks: bool = False
    comment: str = ""

    @staticmethod
    def of(plan: ParsePlan) -> "Grammar":
        """The grammar that a plan froze; plans of earlier releases have the usual one."""
        return Grammar(plan.delimiter, **plan.options.get("grammar", {}))

    @property
    def options(self) -> dict[str, Any]:
        """What ``of`` reads: whatever is not usual."""
        usual = Grammar(self.delimiter)
        members = ("quote", "escape", "letters", "blanks", "comment")
        return {name: getattr(self, name) for name in members if getattr(self, name) != getattr(usual, name)}

    @property
    def is_usual(self) -> bool:
        """Whether quotes alone make a text special, so that records may be followed piece by piece."""
        return not (self.escape or self.blanks or self.comment)

    def scanner(self, line: int) -> RecordScanner:
        """Somebody who follows a record that starts on that line."""
        return RecordScanner(self.delimiter.encode(), line, self.quote.encode())

    def is_special(self, block: bytes) -> bool:
        """Whether the block holds something that only ``records`` reads."""
        if self.escape and (escapes := block.count(self._escape_byte)):
            # Nothing but missing cells, the most frequent escape by far, are read at once all the same.
            return not self.letters or escapes != block.count(self._null_bytes)
        comment = self.comment.encode()
        return bool(comment) and (block.startswith(comment) or b"\n" + comment in block or b"\r" + comment in block)

    @property
    def null(self) -> str:
        """The cell that is missing where ``letters`` are known."""
        return f"{self.escape}N"

    def count_nulls(self, block: bytes) -> int:
        """How often the text of a missing cell stands in the block, alone or within a cell."""
        return block.count(self._null_bytes)

    def without_blanks(self, text: str) -> str:
        """``text`` without the blanks between quotes and delimiters; it has the same lines."""
        return self._blanks.sub(r"\1\2", text) if self.blanks and self.quote in text else text

    def records(self, text: str) -> "Records":
        """The records of a text that starts with one."""
        return Records(self, text)

    def neutral(self, text: str) -> str:
        """``text`` for ``scanner``: without blanks, with every escaped character made harmless."""
        text = self.without_blanks(text)
        return self._pairs.sub("xx", text) if self.escape else text

    def read(self, lines: Iterable[str]) -> "CsvReader":
        """The records of prepared lines, as the standard library reads them.

        Raises:
            csv.Error: the text breaks the grammar, or ends within a record.
        """
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            escapechar=self.escape or None,
            strict=True,
        )

    def prepared(self, text: str) -> str:
        """``text`` with escapes as the standard library understands them; it has the same lines."""
        text = self.without_blanks(text)
        if not self.escape or self.escape not in text:
            return text
        return self._pairs_or_end.sub(self._prepared_escape, text)

    def finished(self, cells: list[str]) -> Record:
        """The cells of a record of a prepared text that ``has_letters``."""
        return [cell if cell.isascii() else None if cell == _NULL else cell.translate(_DECODED) for cell in cells]

    def has_letters(self, prepared: str) -> bool:
        """Whether ``finished`` has anything to do."""
        return self.letters and _SENTINELS.search(prepared) is not None

    def _prepared_escape(self, found: re.Match[str]) -> str:
        what = found[1]
        if self.letters and what and what in "ntrb0N":
            return chr(_SENTINEL + ord(what))
        special = what and (self.letters or what in {self.escape, self.quote, self.delimiter, "\n", "\r"})
        return found[0] if special else 2 * self.escape + what

    @cached_property
    def _escape_byte(self) -> bytes:
        return self.escape.encode()

    @cached_property
    def _null_bytes(self) -> bytes:
        return self.null.encode()

    @cached_property
    def _pairs(self) -> re.Pattern[str]:
        return re.compile(f"{re.escape(self.escape)}.", re.DOTALL)

    @cached_property
    def _pairs_or_end(self) -> re.Pattern[str]:
        return re.compile(f"{re.escape(self.escape)}(.|\\Z)", re.DOTALL)

    @cached_property
    def _blanks(self) -> re.Pattern[str]:
        # Possessive, so that nothing is tried twice. A cell that is still open at the end loses the blanks before it.
        # A tab is a blank, too, unless it is the delimiter.
        return re.compile(
            rf"(\A|[\r\n{re.escape(self.delimiter)}])(?:[ \t](?<!{re.escape(self.delimiter)}))*+"
            rf"({re.escape(self.quote)}(?:[^{re.escape(self.quote)}]++|{re.escape(2 * self.quote)})*+"
            rf"(?:{re.escape(self.quote)}|\Z))"
            rf"(?:[ \t](?<!{re.escape(self.delimiter)}))*+(?=[\r\n{re.escape(self.delimiter)}]|\Z)"
        )


class Records:
    """Iterates the records of a text.

    Attributes:
        lines: physical lines up to the end of the last record that was answered, comments included.
    """

    def __init__(self, grammar: Grammar, text: str) -> None:
        self.lines = 0
        self._grammar = grammar
        prepared = grammar.prepared(text)
        self._finishes = grammar.has_letters(prepared)
        lines = io.StringIO(prepared, newline="")
        self._skipped = 0
        self._between = True
        self._reader = grammar.read(self._without_comments(lines) if grammar.comment else lines)

    def __iter__(self) -> Iterator[Record]:
        """The records.

        Raises:
            csv.Error: as ``Grammar.read``.
        """
        reader, finished = self._reader, self._grammar.finished if self._finishes else None
        for cells in reader:
            self.lines = reader.line_num + self._skipped
            self._between = True
            yield cast("Record", cells) if finished is None else finished(cells)

    def _without_comments(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            if self._between and line.startswith(self._grammar.comment):
                self._skipped += 1
                continue
            self._between = False
            yield line
