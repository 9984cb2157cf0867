"""Each rule on the values that pass, break or escape it."""

import pytest

from libs.contracts.templates import (
    FieldType,
    Max,
    MaxLength,
    Min,
    MinLength,
    OneOf,
    Regex,
    Required,
    Rule,
    TemplateField,
    Transform,
    Trim,
    Unique,
    Upper,
)
from tests.unit.validator.batches import check, errors, outcome

RULES: list[Rule] = [
    Required(),
    MinLength(value=2),
    MaxLength(value=2),
    Regex(pattern="x+"),
    OneOf(values=("x", "y")),
]


def codes(rule: Rule, cell: str | None, field_type: FieldType = FieldType.TEXT, integer: bool = False) -> list[str]:
    batch = check(TemplateField(name="f", type=field_type, integer=integer, rules=(rule,)), cell)
    return [error.code for rejected in batch.rejected for error in rejected.errors]


@pytest.mark.parametrize(
    ("field_type", "cell", "broken"),
    [
        ("text", "", True),
        ("text", None, True),
        ("text", " ", False),
        ("text", "x", False),
        ("text", "0", False),
        ("number", " ", True),
        ("number", "0", False),
        ("email", " \t", True),
        ("date", "\n", True),
        ("boolean", "", True),
        ("boolean", "false", False),
    ],
)
def test_required(field_type: FieldType, cell: str | None, broken: bool) -> None:
    assert codes(Required(), cell, field_type) == (["REQUIRED"] if broken else [])


@pytest.mark.parametrize(
    ("cell", "too_short", "too_long"),
    [
        ("a", True, False),
        ("ab", True, False),
        ("abc", False, False),
        ("abcd", False, False),
        ("abcde", False, True),
        ("åäö", False, False),
        ("åä", True, False),
        ("\U0001f600\U0001f600", True, False),
        ("\U0001f600\U0001f600\U0001f600", False, False),
        ("e\u0301e\u0301", False, False),
        ("   ", False, False),
        ("日本語日本", False, True),
        ("", False, False),
        (None, False, False),
    ],
)
def test_lengths_count_characters(cell: str | None, too_short: bool, too_long: bool) -> None:
    assert codes(MinLength(value=3), cell) == (["TOO_SHORT"] if too_short else [])
    assert codes(MaxLength(value=4), cell) == (["TOO_LONG"] if too_long else [])


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize(
    ("bound", "cell", "below", "above"),
    [
        (0, "0", False, False),
        (0, "-1", True, False),
        (0, "1", False, True),
        (1.5, "1", True, False),
        (1.5, "2", False, True),
        (-0.5, "0", False, True),
        (2**53, "9007199254740993", False, True),
        (2**53 + 2, "9007199254740993", True, False),
        (2**63, "9223372036854775807", True, False),
        (-(2**63), "-9223372036854775808", False, False),
        (1e300, "9223372036854775807", True, False),
        (-1e300, "-9223372036854775808", False, True),
        (0, "", False, False),
        (0, None, False, False),
    ],
)
def test_bounds_of_whole_numbers(integer: bool, bound: float, cell: str | None, below: bool, above: bool) -> None:
    assert codes(Min(value=bound), cell, FieldType.NUMBER, integer) == (["BELOW_MINIMUM"] if below else [])
    assert codes(Max(value=bound), cell, FieldType.NUMBER, integer) == (["ABOVE_MAXIMUM"] if above else [])


@pytest.mark.parametrize(
    ("bound", "cell", "below", "above"),
    [
        (0, "0.0", False, False),
        (0, "-0.0", False, False),
        (0, "-0.1", True, False),
        (0.1, "0.1", False, False),
        (0.1, "1e-1", False, False),
        (0.3, "0.30000000000000004", False, True),
        (10, "10.0", False, False),
        (10, "9.99", True, False),
        (10, "1e1", False, False),
        (1e300, "1e301", False, True),
        (-1e300, "-1e301", True, False),
    ],
)
def test_bounds_of_decimals(bound: float, cell: str, below: bool, above: bool) -> None:
    assert codes(Min(value=bound), cell, FieldType.NUMBER) == (["BELOW_MINIMUM"] if below else [])
    assert codes(Max(value=bound), cell, FieldType.NUMBER) == (["ABOVE_MAXIMUM"] if above else [])


def test_bounds_say_nothing_about_what_is_no_number() -> None:
    assert codes(Min(value=5), "x", FieldType.NUMBER) == ["NOT_A_NUMBER"]


@pytest.mark.parametrize(
    ("pattern", "cell", "matches"),
    [
        ("[A-Z]{2}", "AB", True),
        ("[A-Z]{2}", "ABC", False),
        ("[A-Z]{2}", "xAB", False),
        ("[A-Z]{2}", "AB\n", False),
        ("a|ab", "ab", True),
        ("a|b", "ab", False),
        ("^ab$", "ab", True),
        ("(?i)ab", "AB", True),
        ("(?m)^a$", "a\na", False),
        (".*", "a\nb", False),
        ("(?s).*", "a\nb", True),
        (r"\d+", "12", True),
        (r"\p{Lu}\p{L}+", "Åsa", True),
        ("x", "", True),
        ("x", None, True),
        ("(a+)+$", "a" * 5000 + "b", False),
        (r"\.", ".", True),
        ("a.c", "a.c", True),
    ],
)
def test_regex_matches_the_whole_text(pattern: str, cell: str | None, matches: bool) -> None:
    assert codes(Regex(pattern=pattern), cell) == ([] if matches else ["PATTERN_MISMATCH"])


@pytest.mark.parametrize(
    ("cell", "allowed"),
    [
        ("lead", True),
        ("customer", True),
        ("Lead", False),
        ("lead ", False),
        (" lead", False),
        ("leads", False),
        ("lea", False),
        ("åäö", True),
        ("lead,customer", False),
        ("", True),
        (None, True),
    ],
)
def test_enum_is_exact(cell: str | None, allowed: bool) -> None:
    assert codes(OneOf(values=("lead", "customer", "åäö")), cell) == ([] if allowed else ["NOT_ALLOWED"])


def test_the_message_about_a_long_enum_names_the_first_values() -> None:
    rule = OneOf(values=tuple(str(at) for at in range(100, 150)))
    message = errors(check(TemplateField(name="f", rules=(rule,)), "x"))[0].message
    assert "100, 101" in message
    assert "and 40 more" in message
    assert "149" not in message


def test_unique_is_no_question_for_a_single_batch() -> None:
    batch = check(TemplateField(name="f", rules=(Unique(),)), "a", "a")
    assert not batch.rejected


@pytest.mark.parametrize(
    ("transforms", "cell"), [((), "ABC"), ((Upper(),), "abc"), ((Trim(),), " ABC "), ((Trim(), Upper()), " aBc ")]
)
def test_rules_look_at_the_transformed_text(transforms: tuple[Transform, ...], cell: str) -> None:
    rules: tuple[Rule, ...] = (Regex(pattern="[A-Z]{3}"), MaxLength(value=3), OneOf(values=("ABC",)))
    assert outcome(TemplateField(name="f", transforms=transforms, rules=rules), cell) == "ABC"


def test_every_broken_rule_is_reported_emptiness_and_type_first() -> None:
    rules: tuple[Rule, ...] = (
        Max(value=1),
        Regex(pattern="[a-z]"),
        MinLength(value=3),
        OneOf(values=("q",)),
        Required(),
    )
    field = TemplateField(name="f", type=FieldType.NUMBER, rules=rules)
    assert outcome(field, "55") == ["ABOVE_MAXIMUM", "PATTERN_MISMATCH", "TOO_SHORT", "NOT_ALLOWED"]
    assert outcome(field, "#") == ["NOT_A_NUMBER", "PATTERN_MISMATCH", "TOO_SHORT", "NOT_ALLOWED"]
    assert outcome(field, "") == ["REQUIRED"]


@pytest.mark.parametrize("rule", [*RULES, Min(value=5), Max(value=5)], ids=lambda rule: rule.type)
def test_the_templates_own_message_wins(rule: Rule) -> None:
    numeric = isinstance(rule, Min | Max)
    field_type = FieldType.NUMBER if numeric else FieldType.TEXT
    cells = ["4", "6"] if numeric else ["", "z", "zzz"]
    own = rule.model_copy(update={"message": "Ask Ada."})
    own_messages = messages(TemplateField(name="f", type=field_type, rules=(own,)), cells)
    default_messages = messages(TemplateField(name="f", type=field_type, rules=(rule,)), cells)
    assert own_messages == {"Ask Ada."}
    assert len(default_messages) == 1
    assert all(len(message) > 20 for message in default_messages)


def messages(field: TemplateField, cells: list[str]) -> set[str]:
    return {error.message for row in check(field, *cells).rejected for error in row.errors}
