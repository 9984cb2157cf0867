"""Which cells the corrections of a row replace."""

import pytest

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import DecimalStyle
from services.gateway.errors import InvalidInputError
from services.gateway.records.corrected_cells import corrected_cells, shown_cells

PLAN = ParsePlan(
    columns=("Sku", "Price", "Note", "stock"),
    mapping={"sku": 0, "price": 1, "stock": 2, "colour": None},
    decimal_styles={"price": DecimalStyle.COMMA},
)


def refusal(**data: object) -> tuple[str, str]:
    with pytest.raises(InvalidInputError) as refused:
        corrected_cells(data, PLAN)
    (problem,) = refused.value.problems
    return problem.location, problem.code


def test_columns_are_named_by_headers_and_by_fields() -> None:
    cells = corrected_cells({"Note": None, "sku": "A1", "Price": "1"}, PLAN)
    assert cells == [(0, "A1"), (1, "1"), (2, None)]
    assert shown_cells(cells, PLAN.columns) == {"Sku": "A1", "Price": "1", "Note": None}


def test_numbers_are_written_as_those_of_their_column() -> None:
    assert corrected_cells({"price": 1234.5, "sku": 1e21}, PLAN) == [(0, "1" + 21 * "0"), (1, "1234,5")]
    assert corrected_cells({"Price": 1.5, "sku": 1.5}, PLAN) == [(0, "1.5"), (1, "1,5")]
    typed = PLAN.model_copy(update={"typed_numbers": True})
    assert corrected_cells({"price": 1.5}, typed) == [(1, "1.5")]
    assert corrected_cells({"Note": True}, PLAN) == [(2, "true")]


def test_what_is_not_clear_is_refused() -> None:
    assert refusal(stock="1") == ("corrected_data['stock']", "AMBIGUOUS_NAME")
    assert refusal(colour="red") == ("corrected_data['colour']", "NO_COLUMN")
    assert refusal(size="XL") == ("corrected_data['size']", "UNKNOWN_COLUMN")
    assert refusal(Sku="A", sku="B") == ("corrected_data['sku']", "CONFLICT")
    assert refusal(sku=["A"]) == ("corrected_data['sku']", "INVALID")
    assert refusal(sku="A\0") == ("corrected_data['sku']", "INVALID")
    assert refusal(sku="A" * 300_000) == ("corrected_data['sku']", "INVALID")


def test_a_row_that_could_not_be_read_needs_every_cell() -> None:
    with pytest.raises(InvalidInputError) as refused:
        corrected_cells({"sku": "A"}, PLAN, every=True)
    assert [problem.code for problem in refused.value.problems] == ["MISSING"]
    with_overflow = PLAN.model_copy(update={"columns": (*PLAN.columns, "(other)"), "overflow": 4})
    every = {"Sku": "A", "Price": "1", "Note": "", "stock": "3"}
    plan = with_overflow.model_copy(update={"mapping": {"sku": 0, "price": 1}})
    assert corrected_cells(every, plan, every=True) == [(0, "A"), (1, "1"), (2, ""), (3, "3"), (4, None)]
