"""What the texts of a date column say about the order of their parts."""

from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

import polars as pl

from libs.contracts.date_formats import two_digit_years
from libs.contracts.plan import ColumnReading
from libs.contracts.templates import DateOrder, FieldType, NormalizeDate, TemplateField
from libs.values.folding import folded
from libs.values.rewriting import rewritten
from services.parser.planning.votes import decided_by

_DAY_OR_MONTH = "^(?:0?[1-9]|1[0-2])"
_DAY_ONLY = "^(?:1[3-9]|2[0-9]|3[01])"
_SECOND_MONTH, _SECOND_DAY_ONLY = "[./-] ?(?:0?[1-9]|1[0-2])", "[./-] ?(?:1[3-9]|2[0-9]|3[01])"
_YEAR, _SHORT_YEAR = "[./-] ?[0-9]{4}(?:[^0-9]|$)", "[./-] ?'?[0-9]{2}(?:[^0-9.]|$)"
_WORDS: Final = {
    DateOrder.DMY: "dates are read day before month",
    DateOrder.MDY: "dates are read month before day",
    DateOrder.YMD: "dates are read year first",
}
_SHORT = r"^(?P<first>[0-9]{1,2})(?P<sign>[./-]) ?(?P<second>[0-9]{1,2})[./-] ?'?(?P<third>[0-9]{1,2})(?:[^0-9.]|$)"
_LAST_MONTH, _LAST_DAY = 12, 31
_SURELY_DIFFERENT = 3
Position = Literal["first", "last"]


def reads_free_dates(of: TemplateField) -> bool:
    """Whether dates of a field are read without a format."""
    normalised = any(isinstance(transform, NormalizeDate) for transform in of.transforms)
    return normalised or (of.type is FieldType.DATE and of.date_format is None)


def date_texts(of: TemplateField, cells: pl.Series) -> pl.Series:
    """What is read as dates of the cells of a field."""
    return folded(rewritten(cells, of.transforms)).drop_nulls()


@dataclass(slots=True)
class ShortYears:
    """Dates of three numbers of at most two digits.

    Attributes:
        votes: dates whose year can only be the first or the last part.
        firsts: what the first parts are.
        thirds: what the last parts are.
        dashes: whether dashes separate them, as in ``24-03-31``, which nobody can tell from ``31-03-24``.
    """

    votes: dict[Position, int] = field(default_factory=lambda: {"first": 0, "last": 0})
    firsts: set[int] = field(default_factory=set[int])
    thirds: set[int] = field(default_factory=set[int])
    dashes: bool = False

    def look(self, texts: pl.Series) -> None:
        parts = texts.to_frame("text").select(pl.col("text").str.extract_groups(_SHORT)).unnest("text").drop_nulls()
        if not parts.height:
            return
        parts = parts.with_columns(pl.col("first", "second", "third").cast(pl.Int64))
        first, second, third = (pl.col(name) for name in ("first", "second", "third"))
        year_first = second.is_between(1, _LAST_MONTH) & third.is_between(1, _LAST_DAY)
        day, month = first.is_between(1, _LAST_DAY), first.is_between(1, _LAST_MONTH)
        year_last = (day & second.is_between(1, _LAST_MONTH)) | (month & second.is_between(1, _LAST_DAY))
        counted = parts.select((year_first & ~year_last).sum(), (year_last & ~year_first).sum().alias("last"))
        first_votes, last_votes = counted.row(0)
        self.votes["first"] += first_votes
        self.votes["last"] += last_votes
        self.firsts |= set(parts["first"].to_list())
        self.thirds |= set(parts["third"].to_list())
        self.dashes = self.dashes or bool((parts["sign"] == "-").any())

    @property
    def seen(self) -> bool:
        return bool(self.firsts)

    @property
    def position(self) -> Position | None:
        """Where the year stands: as dates say that can be read in one way only, else where the same few values come
        again and again, else last but between dashes."""
        first, last = self.votes["first"], self.votes["last"]
        if first or last:
            return None if first == last else "first" if first > last else "last"
        if len(self.thirds) == 1 and len(self.firsts) >= _SURELY_DIFFERENT:
            return "last"
        if len(self.firsts) == 1 and len(self.thirds) >= _SURELY_DIFFERENT:
            return "first"
        return None if self.dashes or not self.seen else "last"


@dataclass(slots=True)
class DateColumn:
    """The column of one field with dates.

    Attributes:
        of: the field.
        column: name of the column in parsed batches.
        default: the order where the column does not tell.
        votes: texts that speak for each order; of those with a year of two digits in ``short_votes``.
        ambiguous: whether texts have been seen that both orders can read; of those with a year of two digits in
            ``short_ambiguous``.
        short: the dates with a year of two digits.
    """

    of: TemplateField
    column: str
    default: DateOrder
    votes: dict[DateOrder, int] = field(default_factory=lambda: {DateOrder.DMY: 0, DateOrder.MDY: 0})
    short_votes: dict[DateOrder, int] = field(default_factory=lambda: {DateOrder.DMY: 0, DateOrder.MDY: 0})
    ambiguous: bool = False
    short_ambiguous: bool = False
    short: ShortYears = field(default_factory=ShortYears)

    @staticmethod
    def asks(of: TemplateField) -> bool:
        """Whether the order of a field's dates is to be found out."""
        return of.date_order is None and reads_free_dates(of)

    def look(self, texts: pl.Series) -> None:
        """Take more of the column into account, as ``date_texts`` gives it."""
        for votes, year in ((self.votes, _YEAR), (self.short_votes, _SHORT_YEAR)):
            votes[DateOrder.DMY] += int(texts.str.contains(_DAY_ONLY + _SECOND_MONTH + year).sum())
            votes[DateOrder.MDY] += int(texts.str.contains(_DAY_OR_MONTH + _SECOND_DAY_ONLY + year).sum())
        both = _DAY_OR_MONTH + _SECOND_MONTH
        self.ambiguous = self.ambiguous or bool(texts.str.contains(both + _YEAR).any())
        self.short_ambiguous = self.short_ambiguous or bool(texts.str.contains(both + _SHORT_YEAR).any())
        self.short.look(texts)

    @property
    def _all_votes(self) -> dict[DateOrder, int]:
        if self.position != "last":
            return self.votes
        return {order: votes + self.short_votes[order] for order, votes in self.votes.items()}

    @property
    def _ambiguous(self) -> bool:
        return self.ambiguous or (self.short_ambiguous and self.position == "last")

    @property
    def position(self) -> Position | None:
        """Where a year of two digits stands in a date of three numbers, where that is known."""
        if self.short.seen and self.short.position is None and self.default is DateOrder.YMD:
            return "first"
        return self.short.position

    @property
    def open(self) -> bool:
        """Whether more of the column may decide."""
        unplaced = self.short.seen and not any(self.short.votes.values()) and self.position is None
        return unplaced or (self._ambiguous and not any(self._all_votes.values()))

    @property
    def order(self) -> DateOrder:
        votes = self._all_votes
        most = max(votes.values())
        best = [order for order, count in votes.items() if count == most]
        return best[0] if most and len(best) == 1 else self.default

    def notes(self) -> list[str]:
        """What was found out, for the owner of the run."""
        name, said = f"field {self.of.name!r}:", list[str]()
        votes = self._all_votes
        if any(votes.values()):
            mixed = sum(count > 0 for count in votes.values()) > 1
            said.append(f"{name} {_WORDS[self.order]}, {'as most values of its column' if mixed else 'by its values'}")
        elif self._ambiguous:
            why = "the template's default, because its values can be read in two ways"
            said.append(f"{name} {_WORDS[self.order]}, {why}")
        if self.short.seen and self.position is None:
            said.append(
                f"{name} dates such as 24-03-31 are refused, because the year may be first or last; say date_order"
            )
        elif self.short.seen:
            said.append(f"{name} years of two digits are the {self.position} part of its dates")
        return said

    def reading(self, pivot: int | None, today: date) -> ColumnReading:
        """How the column is read."""
        return ColumnReading(
            date_order=self.order,
            two_digit_years=two_digit_years(pivot, today, past=self.of.past),
            decided_by=decided_by(self._all_votes.values()),
        )
