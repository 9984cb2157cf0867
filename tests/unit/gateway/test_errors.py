"""What a refusal says as a whole."""

from collections.abc import Callable

import pytest

from services.gateway.errors import GatewayError, Problem, invalid_input, invalid_template, not_found


@pytest.mark.parametrize("refuse", [lambda *found: invalid_template(found), invalid_input])
def test_the_detail_says_what_the_first_problems_are(refuse: Callable[..., GatewayError]) -> None:
    problems = [Problem(f"fields[{number}].name", "INVALID", f"no. {number}") for number in range(5)]
    assert refuse(problems[0]).detail == "fields[0].name: no. 0"
    assert refuse(*problems[:3]).detail == "fields[0].name: no. 0; fields[1].name: no. 1; fields[2].name: no. 2"
    error = refuse(*problems)
    assert error.detail.endswith("fields[2].name: no. 2; and 2 more, see errors")
    placed = error.placed(lambda place: f"body.{place}")
    assert placed.detail.startswith("body.fields[0].name: no. 0; ")
    assert len(placed.problems) == 5


def test_a_long_identifier_is_cut() -> None:
    error = not_found("run", "x" * 1_000)
    assert error.code == "RUN_NOT_FOUND"
    assert len(error.detail) < 150
