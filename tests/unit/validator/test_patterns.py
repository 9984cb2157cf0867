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
    ("pattern", "problem"),
    [
        ("(?=a)b", "at character 1, '(?=': look-around, including look-ahead and look-behind, is not supported; "),
        ("ab(?<!a)b", "at character 3, '(?<!': look-around, including look-ahead and look-behind, is not supported; "),
        (r"(a)\1", r"at character 4, '\\1': backreferences are not supported; "),
        ("[", "at character 1, '[': unclosed character class"),
        ("é(a", "at character 2, '(': unclosed group"),
        ("a)", "at character 2, ')': unopened group"),
        ("a)|(b", "at character 2, ')': unopened group"),
        ("*a", "at character 1, '*': repetition operator missing expression"),
        ("a{2,1}", "at character 2, '{2,1}': invalid repetition count range, the start must be <= the end"),
        (r"\p{Nope}", r"at character 1, '\\p{Nope}': Unicode property not found"),
        ("(?P<n>a)(?P<n>b)", "at character 5, 'n': duplicate capture group name"),
        ("a(?i", "at its end: expected flag but got end of regex"),
        ("a\\", r"at character 2, '\\': incomplete escape sequence, reached end of pattern prematurely"),
        ("^^^(", "at character 4, '(': unclosed group"),
        (r"\w{1000}", "it is too large once its repetitions are written out; "),
        ("(" * 300 + ")" * 300, "at character 251, '(((("),
        ("(?x) a # comment", "unclosed group; a comment of (?x) has to end with a line break"),
        ("(?x)a\n(", "unclosed group"),
    ],
)
def test_a_refusal_says_where_and_why(pattern: str, problem: str) -> None:
    said = pattern_problem(pattern)
    assert said is not None
    assert said.startswith(problem)
    assert "\n" not in said
    assert len(said) < 300


def test_every_refused_pattern_of_a_template_is_named() -> None:
    first = TemplateField(name="first", rules=(Regex(pattern="[a-z]+"), Regex(pattern="(?=a)")))
    second = TemplateField(name="second", rules=(Regex(pattern="["),))
    problems = check_patterns(template(first, second))
    assert len(problems) == 2
    assert problems[0].startswith("field 'first': the pattern '(?=a)' cannot be used: ")
    assert problems[1].startswith("field 'second'")
    assert check_patterns(template(TemplateField(name="f"))) == []
