"""Ways to write a date, and reading texts of which each is written in one of them."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

import polars as pl

from libs.values.folding import folded
from services.validator.domain.conversions import Let, spread
from services.validator.domain.date_parts import TwoDigitYears, composed
from services.validator.domain.steps import Steps, evaluate

_GROUP_NAME = re.compile(r"\(\?P<([a-z_]+)>")
_TEXT = pl.col("text")
_NO_INSTANT: Final = pl.Series([None], dtype=pl.Int64)
_MAY_BE_RARE: Final = r"(?s)[0-9].*[0-9]|/Date\("
"""A cheap look at texts before all the rare ways are tried: each has two digits, or is what ASP.NET writes."""


class Way(NamedTuple):
    """A way to write a date.

    Attributes:
        pattern: of texts that are written so.
        read: from such texts to instants, null where there is none.
        first: reads some texts that another way would read differently, and so is tried before the others.
    """

    pattern: str
    read: Callable[[pl.Series], pl.Series]
    first: bool = False


def by_directives(directives: str, text: pl.Expr) -> pl.Expr:
    """The instant of texts of which a pattern says that they have exactly this form."""
    # Without the cache: it costs more than it saves on batches of distinct dates.
    return text.str.to_datetime(directives, time_unit="ms", strict=False, cache=False).cast(pl.Int64)


def by_groups(pattern: str, years: TwoDigitYears, text: pl.Expr, let: Let) -> pl.Expr:
    """The instant of texts that match, by the named groups of the pattern."""
    groups = let(text.str.extract_groups(pattern))
    return composed({name: groups.struct.field(name) for name in _GROUP_NAME.findall(pattern)}, let, years)


def by_expression(pattern: str, read: Callable[[pl.Expr], pl.Expr]) -> Way:
    """A way that an expression reads."""
    instant = read(_TEXT)

    def read_all(texts: pl.Series) -> pl.Series:
        return texts.to_frame("text").select(instant).to_series()

    return Way(pattern, read_all)


def quick(pattern: str, directives: str) -> Way:
    """A way of which the pattern leaves nothing open."""
    return by_expression(pattern, partial(by_directives, directives))


def by_pattern(pattern: str, years: TwoDigitYears, *, first: bool = False) -> Way:
    """A way that the named groups of the pattern tell all about."""
    return Way(pattern, _Grouped(pattern, years), first)


class _Grouped:
    """Reads texts by the named groups of a pattern.

    Those that no text has, such as the time of days without one, are not looked at.
    """

    def __init__(self, pattern: str, years: TwoDigitYears) -> None:
        self._pattern = pattern
        self._years = years
        self._compiled: dict[tuple[str, ...], tuple[tuple[tuple[pl.Expr, ...], ...], pl.Expr]] = {}

    def __call__(self, texts: pl.Series) -> pl.Series:
        groups = texts.str.extract_groups(self._pattern).struct.unnest()
        given = tuple(group.name for group in groups if group.null_count() < len(group))
        if (compiled := self._compiled.get(given)) is None:
            steps = Steps()
            instant = composed({name: pl.col(name) for name in given}, steps.let, self._years)
            compiled = self._compiled[given] = steps.stages, instant.alias("instant")
        stages, instant = compiled
        return evaluate(groups.select(given), stages, [instant]).to_series()


class Ways:
    """Reads texts written in different ways, of which none is another's but for those that are ``first``.

    A way that no text is written in costs no more than a look, and the rare ones nothing as long as the others read
    every text. To look is not for nothing, as the engine keeps few compiled patterns: so the ways that texts of the
    column were written in before are tried before the others.

    Args:
        ways: for texts as they stand.
        rare: for texts whose digits, blanks and dashes are made plain.
    """

    def __init__(self, ways: Sequence[Way], rare: Sequence[Way] = ()) -> None:
        self._ways = ways
        self._rare = rare
        # Threads share it. What one of them does not see of the others costs time only.
        self._met = frozenset[str]()

    def __call__(self, texts: pl.Series) -> pl.Series:
        if texts.null_count() == len(texts):
            return _NO_INSTANT.new_from_index(0, len(texts))
        left = _Left(texts.drop_nulls())
        met = self._met
        if met:
            left.read(way for way in self._ways if way.pattern in met)
            if left and any(way.pattern in met for way in self._rare):
                left.read_plain(way for way in self._rare if way.first or way.pattern in met)
        if left:
            left.read(way for way in self._ways if way.pattern not in met)
        if left and self._rare and left.some_match(_MAY_BE_RARE):
            left.read_plain(self._rare)
        if not left.met <= met:
            self._met |= left.met
        return spread(left.found, texts)


class _Left:
    """Texts, and those of them that no way has read yet.

    Attributes:
        found: the instants of all texts.
        met: the patterns of the ways that texts were written in.
    """

    def __init__(self, texts: pl.Series) -> None:
        self.found = _NO_INSTANT.new_from_index(0, len(texts))
        self.met = set[str]()
        self._texts = texts
        self._places = pl.int_range(len(texts), dtype=pl.UInt32, eager=True)

    def __bool__(self) -> bool:
        return len(self._texts) > 0

    def some_match(self, pattern: str) -> bool:
        return self._plain().str.contains(pattern).any()

    def read(self, ways: Iterable[Way]) -> None:
        """Read the texts as they stand."""
        self._read(self._texts, ways)

    def read_plain(self, ways: Iterable[Way]) -> None:
        """Read them with digits, blanks and dashes made plain, and the blanks single."""
        self._read(self._plain(), ways)

    def _plain(self) -> pl.Series:
        return folded(self._texts).str.replace_all("  +", " ")

    def _read(self, texts: pl.Series, ways: Iterable[Way]) -> None:
        for way in ways:
            if not self:
                return
            matches = texts.str.contains(way.pattern).fill_null(value=False)
            if matches.any():
                self.met.add(way.pattern)
                self.found.scatter(self._places.filter(matches), way.read(texts.filter(matches)))
                others = ~matches
                texts = texts.filter(others)
                self._texts, self._places = self._texts.filter(others), self._places.filter(others)
