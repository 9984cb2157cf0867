"""Templates with more errors than anybody reads: judged in time that grows with their size, and no faster."""

import time
from typing import Any

import pytest

from services.gateway.errors import InvalidTemplateError
from services.gateway.http.request_shape import MAX_FOUND
from tests.unit.gateway.http.engine.template_bodies import read_template, template

MAX_SECONDS = 4.0
"""Of processor time; what is quadratic takes minutes."""


def refusal(body: object) -> InvalidTemplateError:
    began = time.thread_time()
    with pytest.raises(InvalidTemplateError) as caught:
        read_template(body)
    assert time.thread_time() - began < MAX_SECONDS
    assert 1 <= len(caught.value.problems) <= MAX_FOUND
    return caught.value


def fields(number: int, **members: object) -> list[dict[str, Any]]:
    return [{"target": f"f{at}", **members} for at in range(number)]


def test_members_that_are_unknown() -> None:
    error = refusal(template(**{f"unknown_{number}": 1 for number in range(9_000)}))
    assert error.problems[0].location == "body.unknown_0"
    assert len(error.problems) + error.untold == 9_000


def test_more_than_are_named_at_all() -> None:
    error = refusal(template(**{f"unknown_{number}": 1 for number in range(60_000)}))
    assert [(problem.location, problem.message) for problem in error.problems] == [
        ("body", "60,000 parts of it cannot be read; mend the template")
    ]


@pytest.mark.parametrize("widths", [[0] * 40_000, {f"column {number}": 0 for number in range(20_000)}])
def test_widths(widths: object) -> None:
    error = refusal(template(file_type="fixed_width", column_widths=widths))
    assert {problem.location for problem in error.problems} == {"body.column_widths"}


def test_a_mistake_in_each_rule_of_each_field() -> None:
    error = refusal(template(field_mapping=fields(500, validators=[{"type": "compare"}] * 20)))
    assert len(error.problems) + error.untold == 500 * 20 * 2


def test_rules_about_fields_that_there_are_not() -> None:
    unique = {"type": "unique", "fields": [f"g{number}" for number in range(10)]}
    assert refusal(template(field_mapping=fields(500, validators=[unique] * 15))).untold > 70_000


def test_one_name_for_all() -> None:
    error = refusal(template(field_mapping=[{"target": "same"}] * 500))
    assert len(error.problems) == 499


def test_entries_that_are_no_objects() -> None:
    error = refusal(template(field_mapping=[{"target": "good"}, 1, "x", None, [], {"target": "fine"}]))
    assert [problem.location for problem in error.problems] == [f"body.field_mapping[{at}]" for at in (1, 2, 3, 4)]


def test_default_values() -> None:
    error = refusal(template(default_values={f"d{number}": [1] for number in range(30_000)}))
    assert error.problems[0].message == "at most 500 default values can be given; these are 30,000"


def test_thousands_of_patterns() -> None:
    rules = [[{"type": "regex", "pattern": rf"\w{{200}}{at}_{number}"} for number in range(20)] for at in range(400)]
    error = refusal(template(field_mapping=[{"target": f"f{at}", "validators": each} for at, each in enumerate(rules)]))
    [problem] = error.problems
    assert (problem.location, problem.code) == ("body.field_mapping[25].validators[0].pattern", "INVALID_PATTERN")
    assert problem.message == "the template has 8,000 different patterns; use at most 500"
