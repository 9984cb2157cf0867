"""Which texts match a pattern, at the least cost of compiling it (docs/adr/0031)."""

import time
from dataclasses import dataclass
from typing import Final, Self

import polars as pl
from polars.exceptions import ComputeError

from libs.patterns import ascii_whole_match, forget_compiled, whole_match

_LARGE_SECONDS: Final = 0.01
"""A pattern that takes longer to compile takes a megabyte or more. Erring costs time only."""


class PatternRefusedError(Exception):
    """The engine refuses a pattern in Unicode; says which, and why. One text, so that it passes through Polars."""


@dataclass(frozen=True, slots=True)
class PatternMatch:
    """Matches whole texts with a pattern.

    Attributes:
        pattern: in Unicode, as it is meant.
        for_ascii: one that matches the same ASCII texts and is small; ``None`` where there is none.
    """

    pattern: str
    for_ascii: str | None

    @classmethod
    def of(cls, pattern: str) -> Self:
        """The match of a template's pattern."""
        return cls(whole_match(pattern), ascii_whole_match(pattern))

    def expression(self, texts: pl.Expr, *, beyond: bool = True) -> pl.Expr:
        """Whether each text matches; null where there is none.

        Args:
            texts: any texts.
            beyond: whether there may be more than ASCII in them.
        """
        if self.for_ascii is not None and not beyond:
            return texts.str.contains(self.for_ascii)
        return texts.map_batches(self.matches, return_dtype=pl.Boolean, is_elementwise=True)

    def matches(self, texts: pl.Series) -> pl.Series:
        """Whether each text matches; null where there is none.

        Raises:
            PatternRefusedError: the engine refuses it.
        """
        if self.for_ascii is None:
            return self._in_unicode(texts)
        found = texts.str.contains(self.for_ascii)
        beyond_ascii = (texts.str.len_bytes() != texts.str.len_chars()).fill_null(value=False)
        if beyond_ascii.any():
            found = found.scatter(beyond_ascii.arg_true(), self._in_unicode(texts.filter(beyond_ascii)))
        return found

    def _in_unicode(self, texts: pl.Series) -> pl.Series:
        began = time.perf_counter()
        try:
            pl.Series([""]).str.contains(self.pattern)
        except ComputeError as refusal:
            reason = str(refusal).split("\n\n", 1)[0].splitlines()[-1]
            raise PatternRefusedError(f"the pattern {self.pattern!r} cannot be used: {reason}") from None
        large = time.perf_counter() - began > _LARGE_SECONDS
        found = texts.str.contains(self.pattern)
        if large:
            forget_compiled()
        return found
