"""Patterns are matched in the cheapest way that has the same result, and what they cost does not stay."""

import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs import patterns as patterns_of_users
from libs.contracts.errors import PermanentError
from libs.contracts.templates import Regex, TemplateField
from libs.patterns import MAX_PATTERNS, ascii_whole_match, pattern_problem, pattern_problems, whole_match
from services.validator.domain.checking import check_batch
from services.validator.domain.pattern_matching import PatternMatch
from tests.unit.validator.batches import check, compiled, errors, parsed_batch, rejected

ATOMS = (
    r"\w", r"\d", r"\s", r"\W", r"\D", r"\S", r"\b", r"\B", ".", "a", "k", "K", "s", "Z", "_", "7", " ", "-", "[a-f]",
    "[^a-f]",
    "[[:alpha:]]", "[[:^digit:]]", r"[\w-]", r"[\d\s]", "(?:ab|k)", "(s)", "(?i:k)", "(?i:S)", r"\.", r"\x41",
    r"\u{17f}",
    r"\u{212a}", r"\pL", r"\p{Greek}", "é", "(?u:\\w)", r"\t", "^", "$", "|",
)  # fmt: skip
QUANTIFIERS = ("", "", "", "?", "*", "+", "{2}", "{0,3}", "*?")
patterns = st.builds(
    lambda flags, parts: flags + "".join(atom + quantifier for atom, quantifier in parts),
    st.sampled_from(("", "", "(?i)", "(?s)", "(?m)", "(?x)", "(?U)")),
    st.lists(st.tuples(st.sampled_from(ATOMS), st.sampled_from(QUANTIFIERS)), min_size=1, max_size=5),
)
TEXT_SIGNS = "abfkKsSZ_7 -.\t\n\x1c\x7fAé\u017f\u212aβ\u0661"
texts = st.lists(
    st.one_of(st.none(), st.text(st.sampled_from(TEXT_SIGNS), max_size=5)),
    max_size=12,
)


@settings(max_examples=200)
@given(pattern=patterns, values=texts)
def test_the_result_is_that_of_the_whole_pattern_in_unicode(pattern: str, values: list[str | None]) -> None:
    if pattern_problem(pattern) is not None:
        return
    series = pl.Series("texts", values, dtype=pl.String)
    expected = series.str.contains(whole_match(pattern)).to_list()
    assert PatternMatch.of(pattern).matches(series).to_list() == expected


@pytest.mark.parametrize("pattern", [r"\w{3}", "[A-Z]{2}[0-9]+", "(?i)ab|cd", r"\d\s\b", "[[:alpha:]]"])
def test_most_patterns_have_a_form_for_ascii(pattern: str) -> None:
    assert ascii_whole_match(pattern) is not None


@pytest.mark.parametrize("pattern", ["a.c", r"\W", "[^a]", r"\p{L}", "é", r"(?i)\u{17f}", r"(?i)\x{212a}"])
def test_some_have_none(pattern: str) -> None:
    assert ascii_whole_match(pattern) is None


def test_values_of_both_kinds_in_one_column() -> None:
    field = TemplateField(name="f", rules=(Regex(pattern=r"\w{4}"),))
    batch = check(field, "ABCD", "Ärgl", "ÄÖÜ", None, "ab-d", "αβγδ")
    assert [row.row for row in rejected(batch)] == [3, 5]


def test_a_pattern_that_the_engine_refuses_stops_the_run_by_name() -> None:
    with pytest.raises(PermanentError, match="INVALID_PATTERN"):
        check(TemplateField(name="f", rules=(Regex(pattern=r"\w{1000}"),)), "é")


def test_as_many_large_patterns_as_the_budget_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns_of_users, "MAX_SIZE", 3)
    some = [rf"\w{{200}}{number}" for number in range(5)]
    [(refused, problem)] = pattern_problems(some).items()
    assert refused == some[3]
    assert problem.startswith("from this one on, the patterns of the template are together too large")


def test_many_small_patterns_are_no_burden() -> None:
    assert pattern_problems(f"[A-Z]{{2}}{number}" for number in range(MAX_PATTERNS)) == {}


def test_thousands_of_patterns_are_refused_unseen() -> None:
    some = [rf"\w{{200}}{number}" for number in range(8_000)]
    assert pattern_problems(some) == {
        some[MAX_PATTERNS]: f"the template has 8,000 different patterns; use at most {MAX_PATTERNS}"
    }


@pytest.mark.parametrize("cell", ["x", "xé"])
def test_memory_does_not_stay(cell: str) -> None:
    program = f"""
import resource
import polars as pl
from services.validator.domain.checking import check_batch
from services.validator.domain.pattern_matching import PatternMatch
PatternMatch.of("a").matches(pl.Series(["x", "é"]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
values = pl.DataFrame({{"t": [{cell!r}]}})
for number in range(12):
    values.select(PatternMatch.of(rf"\\w{{{{200}}}}{{number}}").expression(pl.col("t")))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    root = Path(__file__).parents[3]
    grown = subprocess.run(
        [sys.executable, "-c", program], cwd=root, check=True, capture_output=True, text=True, timeout=120
    )
    assert int(grown.stdout) < (150_000 if cell == "xé" else 20_000)


def test_forty_large_patterns_cost_an_ascii_row_next_to_nothing() -> None:
    rules = [tuple(Regex(pattern=rf"\w{{200}}cost{field}_{number}") for number in range(20)) for field in range(2)]
    fields = [TemplateField(name=f"a{number}", rules=each) for number, each in enumerate(rules)]
    began = time.process_time()
    batch = check_batch(compiled(*fields), parsed_batch(["x"], ["y"]))
    assert time.process_time() - began < 2
    assert len(errors(batch)) == 40
