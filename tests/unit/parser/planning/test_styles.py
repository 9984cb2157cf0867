from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.planning.styles import StyleSearch
from tests.reading import TODAY


def search_of(
    values: list[str | None], field: dict[str, Any], file_type: str = "csv", **changes: object
) -> StyleSearch:
    template = Template.model_validate(
        {"name": "t", "target_resource": "things", "fields": [{"name": "f", **field}], **changes}
    )
    search = StyleSearch(template, ParsePlan(file_type=file_type, columns=("f",), mapping={"f": 0}), TODAY)
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


@pytest.mark.parametrize("values", [["2025-04-03"], ["2025/04/03"], ["31 March 2024"], ["2024", "456789"], [None]])
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
        pytest.param({"type": "email"}, id="address"),
        pytest.param({"type": "date", "date_format": "DD/MM/YYYY"}, id="format given"),
        pytest.param({"type": "number", "decimal_style": "comma", "currency": "EUR"}, id="style and currency given"),
        pytest.param({"type": "number", "transforms": [{"type": "constant", "value": "1"}]}, id="constant"),
        pytest.param({"type": "date", "transforms": [{"type": "concat", "columns": ["f"]}]}, id="concat"),
    ],
)
def test_what_the_template_decides_is_not_searched(field: dict[str, Any]) -> None:
    search = search_of(["25/04/2025", "1,5"], field)
    assert not search.needed
    assert search.plan().date_orders == search.plan().decimal_styles == {}


def test_an_order_that_the_template_gives_is_not_searched() -> None:
    plan = search_of(["25/04/2025", "25/04/25"], {"type": "date", "date_order": "mdy"}).plan()
    assert (plan.date_orders, plan.short_years, plan.notes) == ({}, {}, ())


def test_normalised_dates_have_an_order_too() -> None:
    field = {"type": "text", "transforms": [{"type": "normalize_date"}]}
    assert search_of(["04/25/2025"], field).plan().date_orders == {"f": "mdy"}


@pytest.mark.parametrize("field", [DATE, {**DATE, "date_order": "dmy"}, {"transforms": [{"type": "normalize_date"}]}])
@pytest.mark.parametrize("day", ["310324", "010124", "01124"])
def test_beside_days_in_digits_no_number_counts_days(field: dict[str, Any], day: str) -> None:
    assert search_of(["45382"], field).open
    assert search_of(["45382", "45383.5", "2024-03-31"], field).plan().uncounted_days == ()
    for values in (["10124", day], [day, "45382.5"]):
        search = search_of(values, field)
        assert not search.open
        assert search.plan().uncounted_days == ("f",)
        [note] = search.plan().notes
        assert "date_format" in note


def test_cells_that_are_numbers_to_their_file_count_days() -> None:
    template = Template.model_validate({"name": "t", "target_resource": "things", "fields": [{"name": "f", **DATE}]})
    plan = ParsePlan(file_type="excel", typed_cells=True, columns=("f",), mapping={"f": 0})
    search = StyleSearch(template, plan, TODAY)
    search.look(pa.table({"c0": pa.array(["10124", "310324"], pa.string())}))
    assert search.plan().uncounted_days == ()


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


@pytest.mark.parametrize(
    ("values", "style"),
    [
        pytest.param(["1.250,00-"], "comma", id="minus behind"),
        pytest.param(["(1,234.50)"], "point", id="brackets"),
        pytest.param(["$1,234.50"], "point", id="currency"),
        pytest.param(["1.234,50 \u20ac"], "comma", id="currency behind"),
        pytest.param(["12,34,567"], "point", id="Indian"),
        pytest.param(["12,5 %"], "comma", id="percent"),
        pytest.param(["1\u2009234,5"], "comma", id="thin blank"),
        pytest.param(["\uff11\uff0c\uff12\uff13\uff14\uff0e\uff15"], "point", id="full width"),
        pytest.param([",5"], "comma", id="no digit before"),
    ],
)
def test_dressed_numbers_tell_their_style(values: list[str | None], style: str) -> None:
    search = search_of(values, NUMBER, default_decimal_style={"point": "comma", "comma": "point"}[style])
    assert search.plan().decimal_styles == {"f": style}
    assert search.plan().columns_read["f"].decided_by == "values"


@pytest.mark.parametrize(
    ("transforms", "values", "style"),
    [
        pytest.param([{"type": "replace", "find": "ca. "}], ["ca. 1,5"], "comma", id="word before"),
        pytest.param([{"type": "replace", "find": " kg"}], ["1.234,50 kg", "3 kg"], "comma", id="unit"),
        pytest.param([{"type": "replace", "find": ",", "replace": "."}], ["1,5"], "point", id="comma made a point"),
        pytest.param(
            [{"type": "replace", "find": "x", "replace": "y" * 2_000}], ["x" * 90, "1,5"], "comma", id="growing"
        ),
        pytest.param([{"type": "upper"}, {"type": "replace", "find": "KG"}], ["1,5kg"], "comma", id="two transforms"),
    ],
)
def test_the_style_is_that_of_the_rewritten_text(
    transforms: list[dict[str, str]], values: list[str | None], style: str
) -> None:
    other = {"point": "comma", "comma": "point"}[style]
    search = search_of(values, {**NUMBER, "transforms": transforms}, default_decimal_style=other)
    assert search.plan().decimal_styles == {"f": style}


def test_dates_have_the_order_of_the_rewritten_text() -> None:
    field = {**DATE, "transforms": [{"type": "replace", "find": "on "}]}
    assert search_of(["on 04/25/2025"], field).plan().date_orders == {"f": "mdy"}


@pytest.mark.parametrize(
    ("values", "currency"),
    [
        (["$5", "$1.50"], "$"),
        (["5 \u20ac", "EUR 7"], "EUR"),
        (["$5", "USD 7"], "USD"),
        (["5 \u20ac", "7 \u20ac", "$3"], "EUR"),
        (["5 \u20ac", "$3"], None),
        (["5", "7.5"], None),
        (["5 Ft"], None),
        (["5 kg"], None),
    ],
)
def test_amounts_tell_their_currency(values: list[str | None], currency: str | None) -> None:
    plan = search_of(values, NUMBER).plan()
    assert plan.currencies == ({} if currency is None else {"f": currency})
    assert plan.columns_read["f"].currency == currency


def test_several_currencies_are_told_of() -> None:
    assert any("none of them most often" in note for note in search_of(["5 \u20ac", "$3"], NUMBER).plan().notes)
    assert any(
        "another currency are refused" in note
        for note in search_of(["5 \u20ac", "7 \u20ac", "$3"], NUMBER).plan().notes
    )
    assert any("percent" in note for note in search_of(["5 %"], NUMBER).plan().notes)
    assert search_of(["5 %"], {**NUMBER, "percent": "fraction"}).plan().notes == ()


@pytest.mark.parametrize(
    ("values", "position", "order"),
    [
        pytest.param(["31.03.24", "01.02.23"], "last", "dmy", id="points"),
        pytest.param(["3/31/24"], "last", "mdy", id="slashes, month first"),
        pytest.param(["31/03/45"], "last", "dmy", id="no day 45"),
        pytest.param(["99-03-31"], "first", "dmy", id="no day 99"),
        pytest.param(["24-03-31", "24-04-15", "24-05-01"], "first", "dmy", id="the same year again"),
        pytest.param(["24/03/31", "24/04/15", "24/05/01"], "first", "dmy", id="the same year again, slashes"),
        pytest.param(["31-03-24", "15-04-24", "01-05-24"], "last", "dmy", id="the same year again, last"),
        pytest.param(["24-03-31", "23-04-15"], None, "dmy", id="dashes, nobody can tell"),
        pytest.param(["99-03-31", "31-03-99"], None, "dmy", id="both"),
        pytest.param(["31.03.2024"], None, "dmy", id="four digits"),
        pytest.param(["31.03.24", "04/25/2025", "04/26/2025"], "last", "mdy", id="majority of all"),
        pytest.param(["31.03.24 14:05"], "last", "dmy", id="with a time"),
    ],
)
def test_years_of_two_digits_tell_their_place(values: list[str | None], position: str | None, order: str) -> None:
    plan = search_of(values, DATE).plan()
    assert plan.short_years == ({} if position is None else {"f": position})
    assert plan.date_orders == {"f": order}


def test_the_default_order_may_be_year_first() -> None:
    assert search_of(["24-03-31"], DATE, default_date_order="ymd").plan().short_years == {"f": "first"}


@pytest.mark.parametrize(
    ("field", "changes", "years"),
    [
        (DATE, {}, "1969 to 2046"),
        (DATE, {"two_digit_year_pivot": 30}, "1930 to 2029"),
        ({**DATE, "past": True}, {}, "1927 to 2026"),
        ({**DATE, "date_format": "DD.MM.YY"}, {}, "1969 to 2068"),
        ({**DATE, "date_format": "DD.MM.YYYY"}, {}, None),
        ({**DATE, "date_order": "dmy"}, {}, "1969 to 2046"),
        (NUMBER, {}, None),
    ],
)
def test_the_plan_says_what_years_of_two_digits_mean(
    field: dict[str, Any], changes: dict[str, Any], years: str | None
) -> None:
    plan = search_of([], field, **changes).plan()
    assert plan.columns_read["f"].two_digit_years == years
    assert plan.today == TODAY


_NUMBERS = st.lists(
    st.sampled_from(["1.5", "1,5", "1.234", "1,234.5", "$5", "5 \u20ac", "(1)", "x", "", "12 %", "1.234,5", "7"]),
    max_size=12,
)
_DATES = st.lists(
    st.sampled_from(
        ["03/04/2025", "25/04/2025", "04/25/2025", "31.03.24", "24-03-31", "99-01-02", "03/04/24", "x", ""]
    ),
    max_size=12,
)


@given(st.one_of(_NUMBERS.map(lambda texts: (NUMBER, texts)), _DATES.map(lambda texts: (DATE, texts))), st.randoms())
def test_what_is_found_out_does_not_depend_on_the_order_of_the_rows(
    column: tuple[dict[str, Any], list[str | None]], random: Random
) -> None:
    field, texts = column
    shuffled = random.sample(texts, len(texts))
    assert search_of(shuffled, field).plan() == search_of(texts, field).plan()
