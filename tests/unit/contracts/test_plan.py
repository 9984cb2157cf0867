"""Plans of this release and of the one before."""

import pytest

from libs.contracts.plan import ParsePlan


@pytest.mark.parametrize(
    ("file_type", "delimiter", "typed_numbers", "typed_cells"),
    [
        ("csv", ";", False, False),
        ("json", None, True, False),
        ("excel", None, True, True),
        ("xml", None, False, False),
        ("fixed_width", None, False, False),
        ("a_format_of_somebody", None, False, False),
    ],
)
def test_a_plan_of_release_0_1_has_the_traits_of_its_format(
    file_type: str, delimiter: str | None, typed_numbers: bool, typed_cells: bool
) -> None:
    plan = ParsePlan.model_validate({"file_type": file_type, "delimiter": ";"})
    assert (plan.shown_delimiter, plan.typed_numbers, plan.typed_cells) == (delimiter, typed_numbers, typed_cells)


def test_what_a_plan_says_itself_holds() -> None:
    stored = {"file_type": "excel", "typed_cells": False, "typed_numbers": False, "has_delimiter": True}
    plan = ParsePlan.model_validate_json(ParsePlan.model_validate(stored).model_dump_json())
    assert (plan.typed_cells, plan.typed_numbers, plan.shown_delimiter) == (False, False, ",")
