"""How numbers are written: from the text of a cell to the plain number that it stands for, or to none.

A plain number is ``-1234.5e-2``: nothing between the thousands, a point before the decimals. What is read, by the
``DecimalStyle`` of the whole column:

- point: ``1234.5``, ``1,234.5``, ``12,34,567.5``, ``1 234.5``, ``1'234.5``, ``.5``, ``5.``
- comma: ``1234,5``, ``1.234,5``, ``1 234,5``, ``1'234,5``, ``,5``, ``5,``

Groups have three digits (in the Indian way two but for the last) and one separator throughout, and the first does not
start with 0. Around the digits may stand a minus or plus, also apart from them or behind; the brackets of accountants
in place of a minus; a percent sign; a currency. Digits, blanks, dashes and signs may be those of other scripts
(``folding``). A plus behind needs two decimals, since ``90+`` means something else. Anything else, units above all,
is no number.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

import polars as pl

from libs.contracts.templates import DecimalStyle, Percent
from libs.values.currencies import SPELLINGS
from libs.values.folding import folded

PLAIN, PERCENT, CURRENCY, FOREIGN, UNCLEAR = "plain", "percent", "currency", "foreign", "unclear"
"""Columns of what ``NumberReader.read`` gives."""

_TEXT = pl.col("text")
_MINUS = "\u2212"
_MARKS: Final = {DecimalStyle.POINT: ".", DecimalStyle.COMMA: ","}
_SEPARATORS: Final = {DecimalStyle.POINT: ", '\u00a0\u202f\u2019", DecimalStyle.COMMA: ". '\u00a0\u202f\u2019"}
_SCHEMA: Final = pl.Schema(
    {
        PLAIN: pl.String(),
        PERCENT: pl.Boolean(),
        CURRENCY: pl.String(),
        FOREIGN: pl.Boolean(),
        UNCLEAR: pl.Boolean(),
    }
)

_ALREADY_PLAIN = r"^[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_GROUP_OR_DECIMALS = r"^[+-]?[1-9][0-9]{0,2}\.[0-9]{3}$"
_CURRENCY = "|".join(re.escape(name) for name in SPELLINGS)
_SIGNS = ("sign", "sign_inner", "behind", "behind_outer")
_OPENED, _CLOSED = ("open", "open_inner"), ("close_inner", "close")
_BODY = r"[.,\x{66b}]?[0-9](?:[0-9.,' \x{66b}\x{66c}]*[0-9])?[.,]?(?:[eE][+-]?[0-9]+)?"
_DRESSED = (
    rf"^(?P<open>\()? *(?P<sign>[+-])? *(?P<before>{_CURRENCY})? *(?P<sign_inner>[+-])? *(?P<open_inner>\()? *"
    rf"(?P<percent_before>%)? *(?P<body>{_BODY}) *(?P<percent>%)? *(?P<behind>[+-])? *(?P<close_inner>\))? *"
    rf"(?P<after>{_CURRENCY})? *(?P<behind_outer>[+-])? *(?P<close>\))?$"
)
_DIGITS = "[0-9](?:.*[0-9])?"
"""From the first digit of a text to its last one."""
_NUMBER = r"^[0-9](?:[0-9.,' \x{66b}\x{66c}]*[0-9])?(?:[.,]?[eE][+-]?[0-9]+)?$"
"""What may stand there, within ``_BODY``."""
_ONE, _ONE_SCALED = "5", "5e5"
_ARABIC = "[\u066b\u066c]"
_DRESSES: Final = {
    **dict.fromkeys(("dress", "mark_before", "mark_behind"), pl.String()),
    **dict.fromkeys(("valid", "needs_decimals", "negative", PERCENT), pl.Boolean()),
    CURRENCY: pl.String(),
    FOREIGN: pl.Boolean(),
}
_MOST_DRESSES: Final = 1_000
"""That are remembered of a column."""
_ENDS_WITH_A_MARK = r"[.,]$"
_TWO_DECIMALS = r"[.,][0-9]{2,}$"


class NumberReader:
    """Reads the numbers of one column.

    Args:
        style: of the whole column.
        percent: what a percent sign means; nothing is said, and so none is read, where absent.
        currencies: the names of currencies that amounts may have; ``None`` for any.
        point_too: a plain number has a point whatever the style is, because the format writes its numbers so.
        mixed: there are also texts with a decimal comma in the column, so that nobody can tell what ``1.234`` is.
    """

    def __init__(
        self,
        style: DecimalStyle,
        *,
        percent: Percent | None = None,
        currencies: Collection[str] | None = frozenset(),
        point_too: bool = False,
        mixed: bool = False,
    ) -> None:
        mark = _MARKS[style]
        self._pattern = _pattern(style, _SEPARATORS[style], rf"[+\-{_MINUS}]?", f"[{mark}][0-9]+")
        self._replaced = {**dict.fromkeys(_SEPARATORS[style], ""), mark: ".", _MINUS: "-"}
        self._point_too = point_too and style is DecimalStyle.COMMA
        self._mixed = mixed and self._point_too
        self._dressed = _Dressed(style, percent, currencies)

    def read(self, texts: pl.Series) -> pl.DataFrame:
        """What each of some texts says.

        Args:
            texts: without nulls and blanks around.

        Returns:
            ``plain``: the plain number, null where there is none that can be taken. ``percent``: whether a number has a
            percent sign. ``currency``: the name of the currency of a number. ``foreign``: whether it is no name
            that the column may have. ``unclear``: whether it is a whole number to one who wrote the text, and one
            with decimals to the format.
        """
        texts = texts.alias("text")
        if self._mixed and (unclear := texts.str.contains(_GROUP_OR_DECIMALS)).any():
            read = self._read(texts)
            plain = read[PLAIN].zip_with(~unclear, pl.Series([None], dtype=pl.String).new_from_index(0, len(texts)))
            return read.with_columns(plain.alias(PLAIN), unclear.alias(UNCLEAR))
        return self._read(texts)

    def _read(self, texts: pl.Series) -> pl.DataFrame:
        plain = self._in_style(texts)
        if self._point_too:
            plain = texts.zip_with(texts.str.contains(_ALREADY_PLAIN), plain)
        left = plain.is_null()
        if not left.any():
            return _undressed(plain)
        at = left.arg_true()
        rest = self._dressed.read(folded(texts.gather(at)))
        if rest is None:
            return _undressed(plain)
        spread = rest.select(pl.all().gather(_places(at, len(texts))))
        return spread.with_columns(plain.zip_with(~left, spread[PLAIN]).alias(PLAIN))

    def _in_style(self, texts: pl.Series) -> pl.Series:
        in_style = texts.str.contains(self._pattern)
        if not in_style.any():
            return pl.Series(texts.name, [None], pl.String).new_from_index(0, len(texts))
        return texts.set(~in_style, None).str.replace_many(list(self._replaced), list(self._replaced.values()))


def _places(at: pl.Series, length: int) -> pl.Series:
    """Where each of ``length`` rows is in a selection of the rows ``at``; null for all others."""
    none = pl.Series([None], dtype=pl.UInt32).new_from_index(0, length)
    return none.scatter(at, pl.int_range(len(at), dtype=pl.UInt32, eager=True))


def _undressed(plain: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({PLAIN: plain}).with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in _SCHEMA.items() if name != PLAIN
    )


def _pattern(style: DecimalStyle, separators: Iterable[str], sign: str, decimals: str) -> str:
    """Numbers of a style, from their sign to their exponent."""
    ways = ["[0-9]+", *(rf"[1-9][0-9]{{0,2}}(?:[{separator}][0-9]{{3}})+" for separator in separators)]
    if style is DecimalStyle.POINT:
        ways.append("[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}")
    return f"^{sign}(?:{'|'.join(ways)})(?:{decimals})?(?:[eE]{sign}[0-9]+)?$"


class _Dressed:
    """Reads numbers with a sign, a percent or a currency around them, and those without a digit beside their mark.

    What stands before the first digit and behind the last one are a few texts in a column. So the pattern that knows
    all of them is asked about each of these once, around a digit that stands for what is between.
    """

    def __init__(self, style: DecimalStyle, percent: Percent | None, currencies: Collection[str] | None) -> None:
        mark, separator = _MARKS[style], {DecimalStyle.POINT: ",", DecimalStyle.COMMA: "."}[style]
        self._whole = _pattern(style, f"{separator} '", "", f"[{mark}][0-9]*")
        self._fraction = rf"^[{mark}][0-9]+(?:[eE][+-]?[0-9]+)?$"
        self._arabic = {"\u066b": mark, "\u066c": separator}
        self._replaced = {**dict.fromkeys(f"{separator} '", ""), mark: "."}
        self._percent = percent
        self._currencies = None if currencies is None else list(currencies)
        # Threads share it: one that does not see what another has found out finds it out again.
        self._known = pl.DataFrame(schema=_DRESSES)

    def read(self, texts: pl.Series) -> pl.DataFrame | None:
        """As ``NumberReader.read``, or ``None`` where none of the texts is a number; for folded texts."""
        digits = texts.str.extract(_DIGITS, 0)
        numbers = digits.str.contains(_NUMBER).fill_null(value=False)
        if not numbers.any():
            return None
        at = numbers.arg_true()
        read = self._read(self._dressed(texts.gather(at), digits.gather(at)))
        return read if len(at) == len(texts) else read.select(pl.all().gather(_places(at, len(texts))))

    def _dressed(self, texts: pl.Series, digits: pl.Series) -> pl.DataFrame:
        """The body of each number, and what is known of its dress."""
        one, scaled = pl.lit(_ONE), pl.lit(_ONE_SCALED)
        exponent = digits.str.contains("[eE]")
        stand_in = pl.when(pl.lit(exponent)).then(scaled).otherwise(one) if exponent.any() else one
        dress = texts.to_frame("text").select(dress=_TEXT.str.replace(_DIGITS, stand_in)).to_series()
        known = self._known
        dresses = dress.unique()
        new = dresses.filter(~dresses.is_in(known["dress"].to_list()))
        if len(new):
            known = pl.concat([known, self._dresses(new)])
            if known.height <= _MOST_DRESSES:
                self._known = known
        frame = pl.DataFrame([dress, digits.alias("digits")]).join(known, on="dress", how="left", maintain_order="left")
        body = pl.concat_str("mark_before", "digits", "mark_behind")
        if digits.str.contains(_ARABIC).any() or known["mark_before"].str.contains(_ARABIC).any():
            body = body.str.replace_many(list(self._arabic), list(self._arabic.values()))
        return frame.with_columns(body=body)

    def _dresses(self, texts: pl.Series) -> pl.DataFrame:
        """What dresses mean, each around one of the two numbers that stand for all others."""
        groups = (
            texts.to_frame("dress").with_columns(parts=pl.col("dress").str.extract_groups(_DRESSED)).unnest("parts")
        )
        body, behind = pl.col("body"), pl.coalesce("behind", "behind_outer")
        percent, named = _has("percent", "percent_before"), _has("before", "after")
        opened, closed = _count(_OPENED), _count(_CLOSED)
        once = (opened == closed) & (_count(_SIGNS) + opened <= 1) & (_count(("percent", "percent_before")) <= 1)
        alone = ~(percent & (named | body.str.contains("e", literal=True)))
        minus = (behind == "-") & ~body.str.contains(_ENDS_WITH_A_MARK)
        valid = body.is_not_null() & once & alone & (behind.is_null() | (behind == "+") | minus)
        return groups.select(
            "dress",
            body.str.extract("^([^0-9]*)").fill_null("").alias("mark_before"),
            body.str.extract("([^0-9]*)$").fill_null("").alias("mark_behind"),
            valid.fill_null(value=False).alias("valid"),
            (behind == "+").fill_null(value=False).alias("needs_decimals"),
            ((pl.coalesce(*_SIGNS) == "-") | _has(*_OPENED)).fill_null(value=False).alias("negative"),
            percent.alias(PERCENT),
            pl.coalesce("before", "after").alias(CURRENCY),
            self._foreign().alias(FOREIGN),
        )

    def _foreign(self) -> pl.Expr:
        if self._currencies is None:
            return pl.lit(value=False)
        return pl.any_horizontal(
            pl.col(group).is_not_null() & ~pl.col(group).is_in(self._currencies) for group in ("before", "after")
        )

    def _read(self, frame: pl.DataFrame) -> pl.DataFrame:
        body = pl.col("body")
        number = body.str.contains(self._whole) | body.str.contains(self._fraction)
        if frame["needs_decimals"].any():
            number &= ~pl.col("needs_decimals") | body.str.contains(_TWO_DECIMALS)
        known = ~pl.col(PERCENT) if self._percent is None else pl.lit(value=True)
        return frame.with_columns(valid=pl.col("valid") & number).select(
            pl.when("valid", ~pl.col(FOREIGN), known).then(self._plain(frame)).alias(PLAIN),
            pl.when("valid").then(PERCENT).alias(PERCENT),
            pl.when("valid").then(CURRENCY).alias(CURRENCY),
            pl.when("valid").then(FOREIGN).alias(FOREIGN),
            pl.lit(None, pl.Boolean()).alias(UNCLEAR),
        )

    def _plain(self, frame: pl.DataFrame) -> pl.Expr:
        digits = pl.col("body").str.replace_many(list(self._replaced), list(self._replaced.values()))
        if (frame["mark_before"] != "").any():
            digits = pl.when(digits.str.starts_with(".")).then(pl.lit("0") + digits).otherwise(digits)
        if (frame["mark_behind"] != "").any() or (frame["dress"].str.contains(_ONE_SCALED, literal=True)).any():
            digits = digits.str.replace(r"\.($|[eE])", "${1}")
        signed = pl.when("negative").then(pl.lit("-") + digits).otherwise(digits)
        if self._percent is not Percent.FRACTION:
            return signed
        return pl.when(PERCENT).then(signed + "e-2").otherwise(signed)


def _has(*groups: str) -> pl.Expr:
    return pl.any_horizontal(pl.col(group).is_not_null() for group in groups)


def _count(groups: Collection[str]) -> pl.Expr:
    return pl.sum_horizontal(pl.col(group).is_not_null() for group in groups)
