from typing import Any

import pyarrow as pa
import pytest

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.planning.styles import StyleSearch


def search_of(
    values: list[str | None], field: dict[str, Any], file_type: str = "csv", **changes: object
) -> StyleSearch:
    template = Template.model_validate(
        {"name": "t", "target_resource": "things", "fields": [{"name": "f", **field}], **changes}
    )
    search = StyleSearch(template, ParsePlan(file_type=file_type, columns=("f",), mapping={"f": 0}))
    if search.needed:
        search.look(pa.table({"c0": pa.array(values, pa.string())}))
    return search


NUMBER, DATE = {"type": "number"}, {"type": "date"}


@pytest.mark.parametrize(
    ("values", "style"),
    [
        pytest.param(["1.5"], "point", id="one decimal"),
        pytest.param(["1,5"], "comma", id="one decimal, comma"),
        pytest.param(["1,234.5"], "point", id="thousands and decimals"),
        pytest.param(["1.234,50"], "comma", id="thousands and decimals, comma"),
        pytest.param(["1,234,567"], "point", id="two groups"),
        pytest.param(["1.234.567"], "comma", id="two groups, comma style"),
        pytest.param(["0.125"], "point", id="no group starts with 0"),
        pytest.param(["-0,125"], "comma", id="no group starts with 0, comma"),
        pytest.param(["1234.567"], "point", id="four digits are no group"),
        pytest.param(["1234,567"], "comma", id="four digits are no group, comma"),
        pytest.param(["1 234,5"], "comma", id="blank between thousands"),
        pytest.param(["1\u00a0234.567"], "point", id="hard blank between thousands"),
        pytest.param(["1'234.567"], "point", id="Swiss"),
        pytest.param([".5"], "point", id="no digit before"),
        pytest.param([" 1,2345 "], "comma", id="four decimals"),
        pytest.param(["1.234", "2.500", "1,5"], "comma", id="one value decides for all"),
        pytest.param(["1,234", "2.5"], "point", id="one value decides for all, point"),
        pytest.param(["1.5e3"], "point", id="exponent"),
    ],
)
def test_numbers_tell_their_style(values: list[str | None], style: str) -> None:
    other = {"point": "comma", "comma": "point"}[style]
    search = search_of([*values, None, "", "x"], NUMBER, default_decimal_style=other)
    assert not search.open
    plan = search.plan()
    assert plan.decimal_styles == {"f": style}
    assert len(plan.notes) == 1


@pytest.mark.parametrize("values", [["1.234"], ["1,234", "12,345"], ["-999.999"]])
@pytest.mark.parametrize("default", ["point", "comma"])
def test_ambiguous_numbers_take_the_default_which_is_said(values: list[str | None], default: str) -> None:
    search = search_of(values, NUMBER, default_decimal_style=default)
    assert search.open
    plan = search.plan()
    assert plan.decimal_styles == {"f": default}
    assert "the template's default, because its values can be read in two ways" in plan.notes[0]


@pytest.mark.parametrize("values", [["1"], ["1000", None], ["", "abc"], ["2024-01-01"]])
def test_what_says_nothing_is_not_noted(values: list[str | None]) -> None:
    search = search_of(values, NUMBER)
    assert not search.open
    assert search.plan().decimal_styles == {"f": "point"}
    assert search.plan().notes == ()


@pytest.mark.parametrize(
    ("values", "order"),
    [
        pytest.param(["25/04/2025"], "dmy", id="day first"),
        pytest.param(["04/25/2025"], "mdy", id="month first"),
        pytest.param(["03.04.2025", "31.12.2024"], "dmy", id="one value decides for all"),
        pytest.param(["3-4-2025", "4-13-2025"], "mdy", id="dashes and single digits"),
        pytest.param(["25/04/2025 14:05"], "dmy", id="with a time"),
        pytest.param([" 25/4/2025 "], "dmy", id="blanks around"),
        pytest.param(["25/04/2025", "26/04/2025", "04/27/2025"], "dmy", id="majority"),
    ],
)
def test_dates_tell_their_order(values: list[str | None], order: str) -> None:
    search = search_of([*values, None, "", "x"], DATE, default_date_order={"dmy": "mdy", "mdy": "dmy"}[order])
    assert not search.open
    assert search.plan().date_orders == {"f": order}
    assert len(search.plan().notes) == 1


@pytest.mark.parametrize("default", ["dmy", "mdy"])
def test_ambiguous_dates_take_the_default_which_is_said(default: str) -> None:
    search = search_of(["03/04/2025", "12/12/2024"], DATE, default_date_order=default)
    assert search.open
    assert search.plan().date_orders == {"f": default}
    assert "can be read in two ways" in search.plan().notes[0]


@pytest.mark.parametrize("values", [["2025-04-03"], ["2025/04/03"], ["31 March 2024"], ["45678"], [None]])
def test_dates_that_are_read_in_one_way_only_leave_nothing_open(values: list[str | None]) -> None:
    search = search_of(values, DATE)
    assert not search.open
    assert search.plan().notes == ()


def test_a_tie_takes_the_default() -> None:
    search = search_of(["25/04/2025", "04/25/2025"], DATE, default_date_order="mdy")
    assert search.plan().date_orders == {"f": "mdy"}


@pytest.mark.parametrize(
    "field",
    [
        pytest.param({"type": "text"}, id="text"),
        pytest.param({"type": "date", "date_format": "DD/MM/YYYY"}, id="format given"),
        pytest.param({"type": "date", "date_order": "mdy"}, id="order given"),
        pytest.param({"type": "number", "decimal_style": "comma"}, id="style given"),
        pytest.param({"type": "number", "transforms": [{"type": "replace", "find": ","}]}, id="rewritten"),
        pytest.param({"type": "number", "transforms": [{"type": "constant", "value": "1"}]}, id="constant"),
        pytest.param({"type": "date", "transforms": [{"type": "concat", "columns": ["f"]}]}, id="concat"),
    ],
)
def test_what_the_template_decides_is_not_searched(field: dict[str, Any]) -> None:
    search = search_of(["25/04/2025", "1,5"], field)
    assert not search.needed
    assert search.plan().date_orders == search.plan().decimal_styles == {}


def test_normalised_dates_have_an_order_too() -> None:
    field = {"type": "text", "transforms": [{"type": "normalize_date"}]}
    assert search_of(["04/25/2025"], field).plan().date_orders == {"f": "mdy"}


@pytest.mark.parametrize("file_type", ["excel", "json"])
def test_numbers_that_a_format_writes_itself_say_nothing(file_type: str) -> None:
    assert search_of(["1.5", "2.25", "1,5"], NUMBER, file_type).plan().decimal_styles == {"f": "comma"}
    plan = search_of(["1.234"], NUMBER, file_type, default_decimal_style="comma").plan()
    assert plan.decimal_styles == {"f": "point"}
    assert plan.notes == ()


def test_later_rows_decide_what_the_first_leave_open() -> None:
    search = search_of(["03/04/2025"], DATE)
    assert search.open
    search.look(pa.table({"c0": pa.array(["04/13/2025"], pa.string())}))
    assert not search.open
    assert search.plan().date_orders == {"f": "mdy"}
