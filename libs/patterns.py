"""A user's regular expression, as the engine that runs it sees it.

Patterns run in Rust's ``regex`` crate inside Polars: linear time, and for that reason no look-around
and no back-references. What the engine refuses, it is asked itself.

Compiling is what costs: ``\\w{200}`` takes a tenth of a second and 19 MB, because ``\\w`` are a hundred thousand
characters. So a template has a budget, see ``pattern_problems``, and the engine's own cache is not left to fill up, see
``forget_compiled`` (docs/adr/0031).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import count
from types import MappingProxyType
from typing import Final

import polars as pl
from polars.exceptions import ComputeError

from libs.contracts.templates import Regex, Template

MAX_SHOWN_CHARS = 40
MAX_PATTERNS: Final = 500
"""Different patterns of one template."""
MAX_SIZE: Final = 48
"""What the patterns of one template may take compiled, in the engine's own limit of a single one (10 MiB)."""
_PATTERNS_AT_ONCE: Final = 32
_CACHED: Final = 32
"""How many compiled patterns the engine keeps, in each of its threads."""
_JUDGED: Final = 64
_MARGIN = "    "
_ONE_ROW = pl.DataFrame({"text": [""]})
_WRITTEN_CHARACTER = re.compile(r"\\[xuU]")
_numbers = count()


def whole_match(pattern: str) -> str:
    """The pattern that matches a text only as a whole; flags inside ``pattern`` stay inside."""
    return rf"\A(?:{pattern})\z"


def ascii_whole_match(pattern: str) -> str | None:
    """The pattern that matches the same ASCII texts as ``whole_match``, compiled in a hundredth of the time.

    ``None`` where there is none: for the engine, ``.`` or ``\\W`` without Unicode are bytes, not characters. A written
    character such as ``\\u{17f}``, the long s, may stand for an ASCII letter where case does not count.
    """
    if not pattern.isascii() or _WRITTEN_CHARACTER.search(pattern):
        return None
    narrow = rf"\A(?-u:{pattern})\z"
    return narrow if _refusal(narrow) is None else None


def forget_compiled() -> None:
    """Make the engine drop the compiled patterns that it keeps for this thread, by giving it tiny ones to keep."""
    text = pl.Series("text", [""])
    for _ in range(_CACHED + 1):
        text.str.contains(rf"\A[ab]{next(_numbers)}\z")


def pattern_problem(pattern: str) -> str | None:
    """``pattern_problems`` of a template with one pattern."""
    return pattern_problems([pattern]).get(pattern)


def pattern_problems(patterns: Iterable[str]) -> Mapping[str, str]:
    """Why patterns cannot be used together in one template, in one line each: where, in the engine's own words, and
    what to do.

    All of them are compiled, so this takes up to ten seconds. Other threads go on meanwhile: the engine holds no lock
    of Python.
    """
    distinct = tuple(dict.fromkeys(patterns))
    if len(distinct) > MAX_PATTERNS:
        message = f"the template has {len(distinct):,} different patterns; use at most {MAX_PATTERNS}"
        return {distinct[MAX_PATTERNS]: message}
    return _judged(distinct) if distinct else {}


@lru_cache(_JUDGED)
def _judged(patterns: tuple[str, ...]) -> Mapping[str, str]:
    problems: dict[str, str] = {}

    def judge() -> None:
        problems.update({each: problem for each in patterns if (problem := _syntax_problem(each)) is not None})
        _judge_size([each for each in patterns if each not in problems], problems)

    _in_one_thread(judge)
    return MappingProxyType(problems)


def _in_one_thread(work: Callable[[], None]) -> None:
    """Do ``work`` in a thread of the engine, where it compiles and keeps patterns in that thread alone."""

    def step(texts: pl.Series) -> pl.Series:
        work()
        return texts

    _ONE_ROW.select(pl.col("text").map_batches(step, return_dtype=pl.String))


def _syntax_problem(pattern: str) -> str | None:
    r"""What is wrong with the pattern by itself.

    The bare pattern is tried first: ``a)|(b`` is no pattern, but would be one between the
    parentheses of ``whole_match``. The wrapped one is tried too, because a pattern may be fine
    alone and not there: ``(?x) a # comment`` swallows the closing parenthesis.
    """
    # What can be had without Unicode costs next to nothing.
    if _refusal(f"(?-u){pattern}") is not None and (refusal := _refusal(pattern)) is not None:
        return f"{_place(pattern, refusal)}{_reason(refusal)}"
    if (refusal := _refusal(f"(?:{pattern}){{0}}")) is not None:
        return f"{_reason(refusal)}; a comment of (?x) has to end with a line break"
    return None


def _judge_size(patterns: Sequence[str], problems: dict[str, str]) -> None:
    """Find what is too large. As many patterns as fit into one are compiled as one: their size is counted in such."""
    size, at, width = 0, 0, _PATTERNS_AT_ONCE
    while at < len(patterns):
        if size == MAX_SIZE:
            problems[patterns[at]] = (
                "from this one on, the patterns of the template are together too large once their repetitions are "
                r"written out; use fewer of them, smaller ones, or [0-9A-Za-z_] instead of \w"
            )
            break
        some = patterns[at : at + width]
        # One behind the other: of alternatives the engine would share what they begin with.
        refusal = _refusal("".join(map(whole_match, some)))
        if refusal is None:
            size, at, width = size + 1, at + len(some), min(width * 2, _PATTERNS_AT_ONCE)
        elif len(some) > 1:
            width = len(some) // 2
        else:
            problems[some[0]] = _reason(refusal)
            at += 1
        forget_compiled()


def _refusal(pattern: str) -> str | None:
    try:
        _ONE_ROW.select(pl.col("text").str.contains(pattern))
    except ComputeError as refusal:
        return str(refusal).split("\n\nThis error occurred", 1)[0].strip()
    return None


def _reason(refusal: str) -> str:
    reason = refusal.rpartition("\nerror: ")[2]
    if "size limit" in reason:
        return "it is too large once its repetitions are written out; use fewer of them, or smaller ones than {1000}"
    if "look-around" in reason or "backreferences" in reason:
        return f"{reason}; leave it out: the engine has neither, so that every check ends in time"
    return reason


def _place(pattern: str, refusal: str) -> str:
    """Where the engine points at, by a line of carets under the pattern; it numbers the lines of a longer one."""
    lines = refusal.split("\n")
    if len(lines) != len(("title", "pattern", "carets", "error")):
        return ""
    carets = lines[2].removeprefix(_MARGIN)
    start = len(carets) - len(carets.lstrip())
    part = pattern[start : start + len(carets[start:].split(" ", 1)[0])]
    return f"at character {start + 1}, {part[:MAX_SHOWN_CHARS]!r}: " if part else "at its end: "


def check_patterns(template: Template) -> list[str]:
    """One sentence for each ``regex`` rule of a template whose pattern the engine cannot read.

    Nothing is compiled: how large a pattern may be was judged when the template was saved.
    """
    return [
        f"field {field.name!r}: the pattern {rule.pattern!r} cannot be used: {_reason(refusal)}"
        for field in template.fields
        for rule in field.rules
        if isinstance(rule, Regex) and (refusal := _refusal(f"(?:{rule.pattern}){{0}}")) is not None
    ]
