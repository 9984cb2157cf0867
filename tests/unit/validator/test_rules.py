"""Each rule on the values that pass, break or escape it."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.templates import (
    Compare,
    FieldType,
    Max,
    MaxLength,
    Min,
    MinLength,
    OneOf,
    Regex,
    Required,
    RequiredIf,
    Rule,
    TemplateField,
    Transform,
    Trim,
    Unique,
    Upper,
)
from services.validator.domain.checking import check_batch
from tests.unit.validator.batches import check, compiled, errors, outcome, parsed_batch

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
        ("text", " ", True),
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
        ("e\u0301e\u0301", True, False),
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


@pytest.mark.parametrize(
    ("decimals", "bound", "cell", "below", "above"),
    [
        (2, 0.1, "0.10", False, False),
        (2, 0.1, "0.09", True, False),
        (2, 0.1, "0.11", False, True),
        (2, 0.105, "0.10", True, False),
        (2, 0.105, "0.11", False, True),
        (2, -0.105, "-0.10", False, True),
        (2, -0.105, "-0.11", True, False),
        (0, 1.5, "1", True, False),
        (0, 1.4, "2", False, True),
        (2, 9007199254740993, "9007199254740992.01", False, True),
        (2, 1e22, "10000000000000000000000.00", False, False),
        (2, 1e22, "9999999999999999999999.99", True, False),
        (2, 1e22, "10000000000000000000000.01", False, True),
        (2, 1e300, "1", True, False),
        (2, -1e300, "1", False, True),
        (30, 0.1, "0.1", False, False),
        (2, 5, "", False, False),
    ],
)
def test_bounds_of_exact_decimals(decimals: int, bound: float, cell: str, below: bool, above: bool) -> None:
    def broken(rule: Rule) -> list[str]:
        field = TemplateField(name="f", type=FieldType.NUMBER, decimals=decimals, rules=(rule,))
        return [error.code for error in errors(check(field, cell))]

    assert broken(Min(value=bound)) == (["BELOW_MINIMUM"] if below else [])
    assert broken(Max(value=bound)) == (["ABOVE_MAXIMUM"] if above else [])


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
    ("values", "cell", "other", "broken"),
    [
        (None, "", "x", True),
        (None, None, "x", True),
        (None, "a", "x", False),
        (None, "", "", False),
        (None, "", None, False),
        (None, " ", "x", True),
        (("x", "y"), "", "x", True),
        (("x", "y"), "", "y", True),
        (("x", "y"), "", "z", False),
        (("x", "y"), "", "X", False),
        (("x", "y"), "", "", False),
        (("x", "y"), "a", "x", False),
    ],
)
def test_required_if(values: tuple[str, ...] | None, cell: str | None, other: str | None, broken: bool) -> None:
    fields = (TemplateField(name="f", rules=(RequiredIf(field="g", values=values),)), TemplateField(name="g"))
    assert codes_of_row(fields, cell, other) == (["REQUIRED"] if broken else [])


def codes_of_row(fields: tuple[TemplateField, ...], *cells: str | None) -> list[str]:
    return [error.code for error in errors(check_batch(compiled(*fields), parsed_batch(*([cell] for cell in cells))))]


def test_required_if_looks_at_the_transformed_text_of_a_field_that_comes_later() -> None:
    fields = (
        TemplateField(name="f", rules=(RequiredIf(field="g", values=("YES",)),)),
        TemplateField(name="g", transforms=(Trim(), Upper())),
    )
    assert codes_of_row(fields, "", " yes") == ["REQUIRED"]
    assert codes_of_row(fields, "", "no") == []


@pytest.mark.parametrize(
    ("kind", "cell", "operator", "other", "holds"),
    [
        ("text", "a", "eq", "a", True),
        ("text", "a", "eq", "A", False),
        ("text", "a", "ne", "b", True),
        ("text", "a", "ne", "a", False),
        ("text", "", "eq", "a", True),
        ("text", "a", "ne", "", True),
        ("number", "2", "gt", "1", True),
        ("number", "10", "gt", "9", True),
        ("number", "1", "gt", "1.0", False),
        ("number", "1", "ge", "1.0", True),
        ("number", "1", "eq", "1.0", True),
        ("number", "-2", "lt", "-1.5", True),
        ("number", "1e3", "le", "999", False),
        ("number", "9007199254740993", "gt", "9007199254740992", True),
        ("number", "12345678901234567890.5", "gt", "12345678901234567890.4", True),
        ("number", "0.1", "lt", "0.10000000000000000001", True),
        ("number", "0", "le", "-0", True),
        ("number", "", "gt", "5", True),
        ("number", "1", "gt", None, True),
        ("date", "2024-03-31", "ge", "2024-03-30", True),
        ("date", "2024-03-30", "ge", "2024-03-31", False),
        ("date", "2024-03-31T00:00Z", "eq", "2024-03-31", True),
        ("date", "0999-01-01", "lt", "1999-01-01", True),
        ("date", "2024-03-31", "gt", "2024-03-31T01:00+02:00", True),
        ("boolean", "yes", "eq", "1", True),
        ("boolean", "yes", "ne", "1", False),
    ],
)
def test_compare(kind: FieldType, cell: str, operator: str, other: str | None, holds: bool) -> None:
    rule = Compare.model_validate({"operator": operator, "field": "g"})
    fields = (TemplateField(name="f", type=kind, rules=(rule,)), TemplateField(name="g", type=kind))
    assert codes_of_row(fields, cell, other) == ([] if holds else ["COMPARISON_FAILED"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"integer": True}, {}),
        ({"decimals": 2}, {}),
        ({"decimals": 2}, {"decimals": 5}),
        ({"integer": True}, {"decimals": 0}),
    ],
    ids=str,
)
def test_numbers_of_every_kind_are_compared_exactly(one: dict[str, int], other: dict[str, int]) -> None:
    rule = Compare(operator="gt", field="g")
    fields = (
        TemplateField(name="f", type=FieldType.NUMBER, rules=(rule,), **one),
        TemplateField(name="g", type=FieldType.NUMBER, **other),
    )
    assert codes_of_row(fields, "9007199254740993", "9007199254740992") == []
    assert codes_of_row(fields, "7", "7") == ["COMPARISON_FAILED"]


@settings(max_examples=60)
@given(st.integers(-(2**70), 2**70), st.integers(-(2**70), 2**70), st.integers(0, 12))
def test_comparing_is_what_python_compares(one: int, other: int, decimals: int) -> None:
    left, right = Decimal(one).scaleb(-decimals), Decimal(other).scaleb(-decimals)
    for operator, holds in (("lt", left < right), ("ge", left >= right), ("eq", left == right)):
        rule = Compare.model_validate({"operator": operator, "field": "g"})
        fields = (
            TemplateField(name="f", type=FieldType.NUMBER, rules=(rule,)),
            TemplateField(name="g", type=FieldType.NUMBER),
        )
        assert codes_of_row(fields, f"{left:f}", f"{right:f}") == ([] if holds else ["COMPARISON_FAILED"])


def test_nothing_is_compared_with_what_is_no_value() -> None:
    fields = (
        TemplateField(name="f", type=FieldType.NUMBER, rules=(Compare(operator="gt", field="g"),)),
        TemplateField(name="g", type=FieldType.NUMBER),
    )
    assert codes_of_row(fields, "1", "x") == ["NOT_A_NUMBER"]


@pytest.mark.parametrize(
    ("rule", "kind", "words"),
    [
        (RequiredIf(field="g"), "date", "'Other' has a value"),
        (RequiredIf(field="g", values=("2024-01-01", "b")), "date", "'Other' is 2024-01-01 or b"),
        (Compare(operator="gt", field="g"), "date", "after the value of 'Other'"),
        (Compare(operator="ne", field="g"), "text", "different from the value of 'Other'"),
        (Compare(operator="lt", field="g"), "number", "less than the value of 'Other'"),
        (Compare(operator="gt", field="g", message="Later!"), "date", "Later!"),
        (RequiredIf(field="g", message="Say why."), "date", "Say why."),
    ],
    ids=lambda value: getattr(value, "type", None),
)
def test_messages_about_two_fields_name_the_other_column(rule: Rule, kind: FieldType, words: str) -> None:
    fields = (
        TemplateField(name="f", type=kind, rules=(rule,)),
        TemplateField(name="g", type=kind, column="Other"),
    )
    same = {"date": "2024-01-01", "number": "1", "text": "a"}[kind]
    cell = "" if isinstance(rule, RequiredIf) else same
    message = errors(check_batch(compiled(*fields), parsed_batch([cell], [same])))[0].message
    assert words in message


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


def test_a_pattern_is_shown_to_the_one_who_can_read_it() -> None:
    (message,) = messages(TemplateField(name="f", rules=(Regex(pattern="[a-z]{3}"),)), ["1"])
    assert message.startswith("This does not have the form that the template asks for.")
    assert message.endswith("mention its pattern [a-z]{3}")
    (message,) = messages(TemplateField(name="f", rules=(Regex(pattern="a" * 300),)), ["1"])
    assert message.endswith(f"{'a' * 80}…")
    (message,) = messages(TemplateField(name="f", rules=(Regex(pattern="a", message="Three letters."),)), ["1"])
    assert message == "Three letters."
