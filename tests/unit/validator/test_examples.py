"""What people are shown of how a column was read."""

import pytest

from libs.contracts.templates import Concat, Replace, TemplateField
from services.validator.domain.checking import check_batch
from services.validator.domain.examples import examples
from tests.unit.validator.batches import compiled, parsed_batch

DAY = TemplateField.model_validate({"name": "day", "type": "date", "date_order": "dmy"})
PRICE = TemplateField.model_validate({"name": "price", "type": "number", "decimal_style": "comma", "currency": "EUR"})
NAME = TemplateField(name="name")


def shown(*fields: TemplateField, cells: list[list[str | None]], **more: object) -> dict[str, list[tuple[object, ...]]]:
    by = compiled(*fields, **more)
    parsed = parsed_batch(*cells)
    found = examples(by, parsed, check_batch(by, parsed))
    return {name: [(each["text"], each["value"], each["error"]) for each in some] for name, some in found.items()}


def test_the_first_the_longest_and_a_refused_one() -> None:
    texts = ["03/04/2025", None, "03/04/2025", "", "5/4/2025 14:05", "6/4/2025", "30/02/2025", "7/4/2025"]
    assert shown(DAY, cells=[texts])["day"] == [
        ("03/04/2025", "2025-04-03T00:00:00Z", None),
        ("5/4/2025 14:05", "2025-04-05T14:05:00Z", None),
        ("30/02/2025", None, "INVALID_DATE"),
    ]


def test_the_shortest_where_none_is_refused_and_fewer_where_there_are_fewer() -> None:
    found = shown(PRICE, cells=[["1.234,50", "12.345,50 €", "7,5", "8,55"]])
    assert found["price"] == [("1.234,50", 1234.5, None), ("12.345,50 €", 12345.5, None), ("7,5", 7.5, None)]
    assert shown(PRICE, cells=[["5"]])["price"] == [("5", 5, None)]
    assert shown(PRICE, cells=[[None]])["price"] == []
    assert shown(PRICE, cells=[[]])["price"] == []


def test_what_is_rejected_for_another_reason_is_no_example() -> None:
    found = shown(NAME, DAY, cells=[["a", "b"], ["1/2/2025", "x"]])
    assert found == {
        "name": [("a", "a", None)],
        "day": [("1/2/2025", "2025-02-01T00:00:00Z", None), ("x", None, "INVALID_DATE")],
    }


def test_a_row_that_is_kept_says_what_is_wrong_with_its_text() -> None:
    found = shown(DAY, NAME, cells=[["x"], ["a"]], invalid_rows="keep")
    assert found == {"day": [("x", None, "INVALID_DATE")], "name": [("a", "a", None)]}


@pytest.mark.parametrize("cells", [["ca. 5"]])
def test_the_text_is_that_of_the_file(cells: list[str | None]) -> None:
    field = PRICE.model_copy(update={"transforms": (Replace(find="ca. "),)})
    assert shown(field, cells=[cells])["price"] == [("ca. 5", 5, None)]


def test_what_is_made_of_several_columns_has_no_example() -> None:
    field = NAME.model_copy(update={"transforms": (Concat(columns=("a", "b")),)})
    assert shown(field, cells=[["x"]]) == {}
