"""What the texts of a number column say about how they are written."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from libs.contracts.plan import ColumnReading
from libs.contracts.templates import DecimalStyle, TemplateField
from libs.values.currencies import SURE_SPELLINGS, common_currency
from libs.values.numbers import CURRENCY, PERCENT, PLAIN, NumberReader
from libs.values.rewriting import rewritten
from services.parser.planning.votes import decided_by

_WHOLE = r"^[+-]?[0-9]+$"
_PLAIN_NUMBER = r"^[+-]?[0-9]+\.[0-9]+$"
# No group of thousands has one, two or more than three digits behind the sign, or such digits before it.
_SURELY: Final = {
    style: rf"^[+-]?(?:[0-9]+{mark}(?:[0-9]{{1,2}}|[0-9]{{4,}})|(?:0+|[0-9]{{4,}}){mark}[0-9]+)$"
    for style, mark in ((DecimalStyle.POINT, "[.]"), (DecimalStyle.COMMA, ","))
}
_READERS: Final = {style: NumberReader(style, currencies=None) for style in DecimalStyle}
_WORDS: Final = {
    DecimalStyle.POINT: "numbers are read with a decimal point (1,234.5)",
    DecimalStyle.COMMA: "numbers are read with a decimal comma (1.234,5)",
}


@dataclass(slots=True)
class NumberColumn:
    """The column of one number field.

    Attributes:
        of: the field.
        column: name of the column in parsed batches.
        default: the style where the column does not tell.
        typed: the format writes its own numbers with a point, and so these say nothing about the others.
        votes: texts that only one style reads.
        ambiguous: whether texts have been seen that the styles read differently.
        currencies: how often amounts name which currency.
        percents: whether a number with a percent sign has been seen.
    """

    of: TemplateField
    column: str
    default: DecimalStyle
    typed: bool
    votes: dict[DecimalStyle, int] = field(default_factory=lambda: dict.fromkeys(DecimalStyle, 0))
    ambiguous: bool = False
    currencies: Counter[str] = field(default_factory=Counter[str])
    percents: bool = False

    def look(self, cells: pl.Series) -> None:
        """Take more cells into account."""
        texts = rewritten(cells, self.of.transforms)
        texts = texts.filter(~texts.str.contains(_WHOLE))
        if self.typed:
            texts = texts.filter(~texts.str.contains(_PLAIN_NUMBER))
        # What is plain to see of most numbers costs two looks.
        for style, pattern in _SURELY.items():
            surely = texts.str.contains(pattern)
            self.votes[style] += int(surely.sum())
            texts = texts.filter(~surely)
        if not len(texts):
            return
        found = {style: reader.read(texts) for style, reader in _READERS.items()}
        point, comma = (
            found[style][PLAIN].is_not_null() | found[style][PERCENT].fill_null(value=False) for style in found
        )
        self.votes[DecimalStyle.POINT] += int((point & ~comma).sum())
        self.votes[DecimalStyle.COMMA] += int((comma & ~point).sum())
        self.ambiguous = self.ambiguous or bool(self._differ(*found.values()).any())
        named = found[DecimalStyle.POINT][CURRENCY].zip_with(point, found[DecimalStyle.COMMA][CURRENCY]).drop_nulls()
        if len(named):
            counted = named.filter(named.is_in(list(SURE_SPELLINGS))).value_counts()
            self.currencies.update(dict(counted.rows()))
        self.percents = self.percents or any(bool(each[PERCENT].any()) for each in found.values())

    @staticmethod
    def _differ(point: pl.DataFrame, comma: pl.DataFrame) -> pl.Series:
        return (point[PLAIN] != comma[PLAIN]).fill_null(value=False)

    @property
    def open(self) -> bool:
        """Whether more of the column may decide."""
        return self.of.decimal_style is None and self.ambiguous and not any(self.votes.values())

    @property
    def style(self) -> DecimalStyle:
        if self.of.decimal_style is not None:
            return self.of.decimal_style
        most = max(self.votes.values())
        best = [style for style, votes in self.votes.items() if votes == most]
        return best[0] if most and len(best) == 1 else self.default

    @property
    def mixed(self) -> bool:
        """Whether it has numbers of the format and texts with a decimal comma."""
        return self.typed and self.style is DecimalStyle.COMMA and self.votes[DecimalStyle.COMMA] > 0

    @property
    def currency(self) -> str | None:
        return self.of.currency or common_currency(self.currencies)[0]

    def notes(self) -> list[str]:
        """What was found out, for the owner of the run."""
        said: list[str] = []
        name = f"field {self.of.name!r}:"
        if (why := self._why()) is not None:
            said.append(f"{name} {_WORDS[self.style]}, {why}")
        currency, several = common_currency(self.currencies)
        if self.of.currency is None and currency is not None:
            others = "; amounts that name another currency are refused" if several else ""
            said.append(f"{name} amounts are in {currency}, {'as most' if several else 'by its'} values{others}")
        elif self.of.currency is None and several:
            said.append(f"{name} amounts name several currencies, none of them most often, and are refused")
        if self.mixed:
            said.append(f"{name} texts such as 1.234 are refused, because numbers of the file have a point")
        if self.percents and self.of.percent is None:
            said.append(f"{name} numbers with a percent sign are refused; say 'percent' in the template")
        return said

    def _why(self) -> str | None:
        if self.of.decimal_style is not None:
            return None
        if any(self.votes.values()):
            mixed = sum(votes > 0 for votes in self.votes.values()) > 1
            return "as most values of its column" if mixed else "by its values"
        return "the template's default, because its values can be read in two ways" if self.ambiguous else None

    def reading(self) -> ColumnReading:
        """How the column is read."""
        decided = "template" if self.of.decimal_style is not None else decided_by(self.votes.values())
        return ColumnReading(
            decimal_style=self.style, currency=self.currency, percent=self.of.percent, decided_by=decided
        )
