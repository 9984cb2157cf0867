"""A user's regular expression, as the engine that runs it sees it.

Patterns run in Rust's ``regex`` crate inside Polars: linear time, and for that reason no look-around
and no back-references. The gateway asks before it saves a template, the validator before it
checks a file; both ask the engine itself.
"""

import polars as pl
from polars.exceptions import ComputeError

from libs.contracts.templates import Regex, Template

_ONE_ROW = pl.DataFrame({"text": [""]})


def whole_match(pattern: str) -> str:
    """The pattern that matches a text only as a whole; flags inside ``pattern`` stay inside."""
    return rf"\A(?:{pattern})\z"


def pattern_problem(pattern: str) -> str | None:
    r"""Why the engine refuses a pattern, in the engine's own words, or ``None``.

    The bare pattern is tried first: ``a)|(b`` is no pattern, but would be one between the
    parentheses of ``whole_match``. The wrapped one is tried too, because a pattern may be fine
    alone and not there: ``(?x) a # comment`` swallows the closing parenthesis.
    """
    for candidate in (pattern, whole_match(pattern)):
        try:
            _ONE_ROW.select(pl.col("text").str.contains(candidate))
        except ComputeError as refusal:
            return str(refusal).split("\n\nThis error occurred", 1)[0].removeprefix("regex error: ").strip()
    return None


def check_patterns(template: Template) -> list[str]:
    """One sentence for each ``regex`` rule of a template that the engine refuses."""
    return [
        f"field {field.name!r}: the pattern {rule.pattern!r} cannot be used: {problem}"
        for field in template.fields
        for rule in field.rules
        if isinstance(rule, Regex) and (problem := pattern_problem(rule.pattern)) is not None
    ]
