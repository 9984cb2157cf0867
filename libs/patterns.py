"""A user's regular expression, as the engine that runs it sees it.

Patterns run in Rust's ``regex`` crate inside Polars: linear time, and for that reason no look-around
and no back-references. The gateway asks before it saves a template, the validator before it
checks a file; both ask the engine itself.
"""

import polars as pl
from polars.exceptions import ComputeError

from libs.contracts.templates import Regex, Template

MAX_SHOWN_CHARS = 40
_MARGIN = "    "
_ONE_ROW = pl.DataFrame({"text": [""]})


def whole_match(pattern: str) -> str:
    """The pattern that matches a text only as a whole; flags inside ``pattern`` stay inside."""
    return rf"\A(?:{pattern})\z"


def pattern_problem(pattern: str) -> str | None:
    r"""Why the engine refuses a pattern, in one line: where, in the engine's own words, and what to do; or ``None``.

    The bare pattern is tried first: ``a)|(b`` is no pattern, but would be one between the
    parentheses of ``whole_match``. The wrapped one is tried too, because a pattern may be fine
    alone and not there: ``(?x) a # comment`` swallows the closing parenthesis.
    """
    if (refusal := _refusal(pattern)) is not None:
        return f"{_place(pattern, refusal)}{_reason(refusal)}"
    if (refusal := _refusal(whole_match(pattern))) is not None:
        return f"{_reason(refusal)}; a comment of (?x) has to end with a line break"
    return None


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
    """One sentence for each ``regex`` rule of a template that the engine refuses."""
    return [
        f"field {field.name!r}: the pattern {rule.pattern!r} cannot be used: {problem}"
        for field in template.fields
        for rule in field.rules
        if isinstance(rule, Regex) and (problem := pattern_problem(rule.pattern)) is not None
    ]
