"""Which regular expressions can be used, and what is said about the others."""

import pytest

from libs.contracts.templates import Regex, TemplateField
from libs.patterns import check_patterns, pattern_problem
from tests.unit.validator.batches import template


@pytest.mark.parametrize(
    "pattern",
    [
        "a",
        "[A-Z]{2}[0-9]+",
        "(a|b)*c",
        r"\d{4}-\d{2}",
        r"\p{L}+",
        "(?i)abc",
        "^a$",
        "a+?",
        "(?P<year>[0-9]{4})",
        "(a+)+",
    ],
)
def test_patterns_that_can_be_used(pattern: str) -> None:
    assert pattern_problem(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=a)b", "look-around"),
        ("(?<!a)b", "look-around"),
        (r"(a)\1", "backreferences are not supported"),
        ("[", "unclosed character class"),
        ("(a", "unclosed group"),
        ("a)", "unopened group"),
        ("a)|(b", "unopened group"),
        ("*a", "repetition operator missing expression"),
        ("a{2,1}", "invalid repetition count range"),
        (r"\p{Nope}", "Unicode property not found"),
        (r"\w{1000}", "exceeds size limit"),
        ("(?x) a # comment", "unclosed group"),
        ("a\\", "incomplete escape sequence"),
    ],
)
def test_refusals_are_the_engines_own_words(pattern: str, reason: str) -> None:
    problem = pattern_problem(pattern)
    assert problem is not None
    assert reason in problem
    assert "expression:" not in problem


def test_every_refused_pattern_of_a_template_is_named() -> None:
    first = TemplateField(name="first", rules=(Regex(pattern="[a-z]+"), Regex(pattern="(?=a)")))
    second = TemplateField(name="second", rules=(Regex(pattern="["),))
    problems = check_patterns(template(first, second))
    assert len(problems) == 2
    assert problems[0].startswith("field 'first': the pattern '(?=a)' cannot be used: ")
    assert problems[1].startswith("field 'second'")
    assert check_patterns(template(TemplateField(name="f"))) == []
