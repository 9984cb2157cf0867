"""Date formats as people write them in templates: ``YYYY-MM-DD``, ``D. MMMM YYYY [at] h:mm A``.

Tokens:

- year ``YYYY``, ``YY`` (69 to 99 are 1969 to 1999, 00 to 68 are 2000 to 2068, as POSIX ``strptime`` has it, unless the
  template has a ``two_digit_year_pivot``)
- month ``MM``, ``M`` (one or two digits), ``MMMM`` (March), ``MMM`` (Mar); read in any case and also in German, French,
  Spanish, Italian, Portuguese, Dutch and Swedish, written in English
- day ``DD``, ``D``; name of the day ``dddd`` (Sunday), ``ddd`` (Sun)
- hour ``HH``, ``H`` (0 to 23); ``hh``, ``h`` (1 to 12) together with ``A`` or ``a`` (AM, pm)
- minute ``mm``, ``m``; second ``ss``, ``s``; millisecond ``SSS``
- offset from UTC ``Z``: ``Z``, ``+02:00``, ``+0200`` or ``+02``
- seconds since 1970 ``X``, milliseconds ``x``, instead of all the others

Between them ``- / . : , T``, spaces, and any text in brackets: ``[at]``. Blanks at either end mean nothing, as around
the values themselves.
"""

import re
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Final, NamedTuple

MEANINGS: Final = {
    "YYYY": "year",
    "YY": "year",
    "MMMM": "month",
    "MMM": "month",
    "MM": "month",
    "M": "month",
    "DD": "day",
    "D": "day",
    "dddd": "weekday",
    "ddd": "weekday",
    "HH": "hour",
    "H": "hour",
    "hh": "hour",
    "h": "hour",
    "mm": "minute",
    "m": "minute",
    "ss": "second",
    "s": "second",
    "SSS": "millisecond",
    "A": "half",
    "a": "half",
    "Z": "offset",
    "X": "seconds since 1970",
    "x": "milliseconds since 1970",
}
"""What each token stands for; ``half`` is the half of the day."""

SINCE_1970: Final = frozenset({"X", "x"})
DEFAULT_PIVOT: Final = 69
"""The first two-digit year of the 20th century (POSIX, ``strptime``, ``%y``)."""

YEARS_AHEAD: Final = 20
"""How far ahead a two-digit year is believed to be without a word of the template."""

_TOKENS = "|".join(sorted(MEANINGS, key=len, reverse=True))
_PART = re.compile(
    rf"\[(?P<quoted>[^\[\]]*)\]|(?P<token>{_TOKENS})"
    r"|(?P<sign>[-/.:, T])|(?P<unknown>.)",
    re.DOTALL,
)
_LETTERS = frozenset({"MMMM", "MMM", "dddd", "ddd", "A", "a", "Z"})
_OF_ONE_OR_TWO_DIGITS = frozenset({"M", "D", "H", "h", "m", "s"})
_TWELVE_HOURS = frozenset({"hh", "h"})


class Part(NamedTuple):
    """A token of a date format, or the literal text between two tokens."""

    text: str
    is_token: bool


def two_digit_years(pivot: int | None, today: date, *, past: bool = False, any_century: bool = False) -> str:
    """What years of two digits mean, such as ``1969 to 2046``.

    Args:
        pivot: the template's.
        today: the day of the plan.
        past: no date is after that day.
        any_century: no year is too far ahead, because a format asks for it.
    """
    first, last = 1900 + (DEFAULT_PIVOT if pivot is None else pivot), 1999 + (DEFAULT_PIVOT if pivot is None else pivot)
    if past:
        first, last = (today.year - 99, today.year) if pivot is None else (min(first, today.year - 99), today.year)
    elif pivot is None and not any_century:
        last = min(last, today.year + YEARS_AHEAD)
    return f"{first} to {last}"


def holds_two_digit_years(date_format: str) -> bool:
    return any(part.is_token and part.text == "YY" for part in date_format_parts(date_format))


def date_format_parts(date_format: str) -> list[Part]:
    """The tokens and literal texts of a date format without problems, in order."""
    parts = [
        Part(found["token"] or found["sign"] or found["quoted"] or "", is_token=found["token"] is not None)
        for found in _PART.finditer(date_format)
    ]
    telling = [at for at, part in enumerate(parts) if part.text.strip()]
    if not telling:
        return []
    parts = parts[telling[0] : telling[-1] + 1]
    parts[0] = parts[0]._replace(text=parts[0].text.lstrip())
    parts[-1] = parts[-1]._replace(text=parts[-1].text.rstrip())
    return [part for part in parts if part.text]


def date_format_problem(date_format: str) -> str | None:
    """Why a date format cannot work, or ``None``. All its problems in one sentence."""
    unknown = list(dict.fromkeys(found["unknown"] for found in _PART.finditer(date_format) if found["unknown"]))
    problems: list[str] = []
    if unknown:
        problems.append(
            f"holds {', '.join(map(repr, unknown))}, but only the tokens {' '.join(MEANINGS)}, the signs - / . : , "
            "space T and text in [brackets] are understood"
        )
    problems += _token_problems(date_format_parts(date_format))
    return f"date_format {date_format!r} {'; it '.join(problems)}" if problems else None


def _token_problems(parts: Sequence[Part]) -> list[str]:
    tokens = [part.text for part in parts if part.is_token]
    meanings = [MEANINGS[token] for token in tokens]
    problems: list[str] = []
    if not SINCE_1970.isdisjoint(tokens):
        return [] if len(parts) == 1 else [f"must hold {next(iter(SINCE_1970 & {*tokens}))} alone"]
    if not {"year", "month", "day"} <= set(meanings):
        problems.append("must hold YYYY, MM and DD, or other tokens for year, month and day")
    repeated = sorted({meaning for meaning in meanings if meanings.count(meaning) > 1})
    problems += [f"holds a token for the {meaning} twice" for meaning in repeated]
    if _TWELVE_HOURS.isdisjoint(tokens) == ("half" in meanings):
        problems.append("must hold hh (or h) and A (or a) together: one says nothing without the other")
    problems += [
        f"holds {one.text} directly before digits, so nobody could tell where it ends"
        for one, other in pairwise(parts)
        if one.is_token and one.text in _OF_ONE_OR_TWO_DIGITS and _starts_with_a_digit(other)
    ]
    return problems


def _starts_with_a_digit(part: Part) -> bool:
    return part.text not in _LETTERS if part.is_token else part.text[:1].isdecimal()
