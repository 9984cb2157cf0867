"""Which letters mean yes and no in a column.

An ``N`` alone says no in every language that is known; beside it may stand ``Y``, ``J``, ``O`` or ``S``. A column whose
letters are no pair is read without letters, so that nobody's ``A`` and ``N`` becomes only no.
"""

from dataclasses import dataclass, field

import polars as pl

from libs.contracts.letters import LETTER_PAIRS, pair_of
from libs.contracts.plan import ColumnReading
from libs.contracts.templates import TemplateField
from libs.values.rewriting import rewritten

_MOST_LETTERS = 10
"""Kept of a column; no pair has more than two."""


@dataclass(slots=True)
class BooleanColumn:
    """The column of one boolean field.

    Attributes:
        of: the field.
        column: name of the column in parsed batches.
        seen: single letters, in lower case.
    """

    of: TemplateField
    column: str
    seen: set[str] = field(default_factory=set[str])

    def look(self, cells: pl.Series) -> None:
        """Take more cells into account."""
        if self.of.true_values or len(self.seen) >= _MOST_LETTERS:
            return
        texts = rewritten(cells, self.of.transforms).str.strip_chars()
        letters: list[str] = texts.filter(texts.str.contains("^[A-Za-z]$")).str.to_lowercase().unique().to_list()
        self.seen.update(letters)

    @property
    def open(self) -> bool:
        """Whether the other letter of a pair may still come."""
        return len(self.seen) == 1 and any(self.seen <= set(pair) for pair in LETTER_PAIRS)

    @property
    def pair(self) -> str | None:
        """The letter for yes and the one for no; ``""`` where the letters are no pair, ``None`` without letters."""
        return pair_of(self.seen) if self.seen else None

    def notes(self) -> list[str]:
        """What was found out, for the owner of the run."""
        if self.pair is None:
            return []
        if not self.pair:
            letters = ", ".join(sorted(self.seen)).upper()
            return [f"field {self.of.name!r}: {letters} is no pair of letters for yes and no, and refused"]
        return [f"field {self.of.name!r}: {self.pair[0].upper()} is read as true, {self.pair[1].upper()} as false"]

    def reading(self) -> ColumnReading:
        """How the column is read."""
        if self.of.true_values:
            return ColumnReading(words=(*self.of.true_values, *self.of.false_values), decided_by="template")
        return ColumnReading(words=tuple((self.pair or "").upper()), decided_by="values" if self.pair else None)
