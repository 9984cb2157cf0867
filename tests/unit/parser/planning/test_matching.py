from typing import Any

import pytest

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.formats.api.file_format import Layout
from services.parser.formats.api.limits import ReaderLimits
from services.parser.planning.matching import Matching, expected_headers, match_columns
from services.parser.planning.plan import make_plan

Given = list[tuple[str, str | None]]


def template_of(*fields: dict[str, Any] | str, **changes: object) -> Template:
    return Template.model_validate(
        {
            "name": "t",
            "target_resource": "things",
            "fields": [{"name": field} if isinstance(field, str) else field for field in fields],
            **changes,
        }
    )


def matched(template: Template, *columns: str, given: Given | None = None) -> Matching:
    return match_columns(template, columns, given)


EMAIL = {"name": "email", "label": "E-Mail Address", "aliases": ["Mail", "Contact e-mail"]}


@pytest.mark.parametrize(
    ("header", "method", "surest"),
    [
        pytest.param("email", "exact", 1.0, id="own name"),
        pytest.param("E-Mail Address", "exact", 1.0, id="label"),
        pytest.param("EMAIL", "normalised", 1.0, id="case"),
        pytest.param("e_mail", "normalised", 1.0, id="signs"),
        pytest.param("e-mail  ADDRESS", "normalised", 1.0, id="label with other blanks"),
        pytest.param("\uff25\uff2d\uff21\uff29\uff2c", "normalised", 1.0, id="full width"),
        pytest.param("Mail", "alias", 1.0, id="alias"),
        pytest.param("contact_email", "alias", 1.0, id="alias with other signs"),
        pytest.param("E-Mail Adress", "fuzzy", 0.9, id="misspelt label"),
        pytest.param("Address e-mail", "fuzzy", 0.9, id="words in another order"),
        pytest.param("emial address", "fuzzy", 0.9, id="letters swapped"),
    ],
)
def test_a_field_without_a_column_finds_one(header: str, method: str, surest: float) -> None:
    found = matched(template_of(EMAIL), "id", header, "street")
    assert found.mapping == {"email": 1}
    match = found.matches["email"]
    assert match.method == method
    assert 0.75 < match.confidence <= surest


@pytest.mark.parametrize("header", ["e", "street", "female", "mall", "ema", "phone", "address"])
def test_what_is_not_similar_enough_is_not_guessed(header: str) -> None:
    assert matched(template_of(EMAIL), "id", header).mapping == {"email": None}


def test_a_named_column_is_never_guessed() -> None:
    found = matched(template_of({"name": "price", "column": "Price"}), "Prices", "Pryce")
    assert found.mapping == {"price": None}


@pytest.mark.parametrize(("header", "method"), [("Unit Price", "exact"), ("unit_price", "normalised")])
def test_a_named_column_is_found_without_regard_to_blanks_and_case(header: str, method: str) -> None:
    found = matched(template_of({"name": "price", "column": "Unit Price"}), "Price", header)
    assert found.mapping == {"price": 1}
    assert found.matches["price"].method == method


@pytest.mark.parametrize(
    ("column", "header"),
    [
        ("g:price", "price"),
        ("@id", "id"),
        ("@xml:lang", "lang"),
        ("ns1:Item.ns1:Unit-Price", "item.unit_price"),
        ("offer.@currency", "offer.currency"),
    ],
)
def test_a_path_into_xml_is_found_without_prefixes_and_marks_of_attributes(column: str, header: str) -> None:
    found = matched(template_of({"name": "f", "column": column}), "title", header)
    assert found.mapping == {"f": 1}
    assert found.matches["f"].method == "normalised"


@pytest.mark.parametrize(
    ("column", "headers"),
    [
        pytest.param("g:price", ("price", "Price"), id="two of them"),
        pytest.param("at 10:30", ("30",), id="a time"),
        pytest.param("ratio 1:b", ("b",), id="not the beginning of a name"),
        pytest.param("a@b", ("b",), id="an address"),
    ],
)
def test_other_colons_and_signs_are_part_of_the_name(column: str, headers: tuple[str, ...]) -> None:
    assert matched(template_of({"name": "f", "column": column}), *headers).mapping == {"f": None}


def test_a_header_that_begins_as_a_comment_is_found_by_its_name() -> None:
    template = template_of({"name": "chrom", "column": "CHROM"}, {"name": "pos", "column": "POS"})
    assert matched(template, "#CHROM", "POS").mapping == {"chrom": 0, "pos": 1}
    assert matched(template, "# chrom", "#POS").mapping == {"chrom": 0, "pos": None}
    assert matched(template, "#Chrom", "Chrom").mapping == {"chrom": 1, "pos": None}


def test_a_column_with_its_marks_is_taken_before_one_without() -> None:
    template = template_of({"name": "a", "column": "@id"}, {"name": "b", "column": "id"})
    assert matched(template, "id", "@id").mapping == {"a": 1, "b": 0}


def test_the_surest_comparison_takes_the_column_and_no_other_field_gets_it() -> None:
    found = matched(template_of("names", "name"), "name")
    assert found.mapping == {"names": None, "name": 0}
    found = matched(template_of("name", "names"), "Name", "Names")
    assert found.mapping == {"name": 0, "names": 1}


def test_two_fields_may_name_the_same_column_and_nobody_guesses_it_then() -> None:
    template = template_of({"name": "a", "column": "sku"}, {"name": "b", "column": "sku"}, "sku")
    assert matched(template, "sku", "other").mapping == {"a": 0, "b": 0, "sku": None}


def test_columns_that_differ_in_signs_only_are_found_exactly_or_not_at_all() -> None:
    assert matched(template_of("a_b"), "a_b", "a-b").mapping == {"a_b": 0}
    assert matched(template_of("a_b"), "a-b", "a b").mapping == {"a_b": None}


def test_the_uploads_mapping_decides_alone() -> None:
    given: Given = [("Mail", "email"), ("name", None)]
    found = matched(template_of("email", "name"), "Mail", "name", "email", given=given)
    assert found.mapping == {"email": 0, "name": None}
    assert found.matches["email"].method == "given"
    assert found.ignored == {1}


def test_a_mapping_that_only_leaves_columns_out_leaves_the_rest_to_the_names() -> None:
    found = matched(template_of("email", "name"), "email", "name", "Name", given=[("name", None)])
    assert found.mapping == {"email": 0, "name": 2}
    assert found.ignored == {1}
    columns = ("column_1", "column_2")
    found = match_columns(template_of("email", "name"), columns, [("column_1", None)], named=False)
    assert found.mapping == {"email": None, "name": 1}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([("Maul", "email")], "the file has no column 'Maul'"),
        ([("Mail", "phone")], "the template has no field 'phone'"),
    ],
)
def test_an_impossible_mapping_refuses_the_file(given: Given, words: str) -> None:
    with pytest.raises(FileRefusedError, match=words) as refused:
        matched(template_of("email"), "Mail", given=given)
    assert refused.value.code == "BAD_MAPPING"


def test_constants_and_concats_read_no_column_of_their_own() -> None:
    template = template_of(
        {"name": "source", "transforms": [{"type": "constant", "value": "erp"}]},
        {"name": "full", "transforms": [{"type": "concat", "columns": ["First", "Last"]}]},
        {"name": "sku", "column": "SKU"},
        required_columns=["Price"],
    )
    assert matched(template, "source", "full", "SKU").mapping == {"source": None, "full": None, "sku": 2}
    assert expected_headers(template) == ["SKU", "First", "Last", "Price"]


def plan_of(template: Template, *columns: str, complete: bool = True, overflow: bool = False) -> ParsePlan:
    layout = Layout(columns, complete=complete, overflow=overflow)
    return make_plan(layout, template, "csv", batch_rows=10, batch_bytes=1_000, limits=ReaderLimits())


def test_unmatched_columns_are_those_that_nobody_reads() -> None:
    template = template_of(
        "sku",
        {"name": "full", "transforms": [{"type": "concat", "columns": ["First", "Last"]}]},
        include_unmatched_columns=True,
    )
    plan = plan_of(template, "First", "Colour", "sku", "Size", overflow=True)
    assert plan.unmatched == (1, 3)
    assert plan.concat_columns == {"First": 0, "Last": None}
    assert plan_of(template_of("sku"), "sku", "Colour").unmatched == ()


@pytest.mark.parametrize(("columns", "rows"), [(1, 10), (100_000, 10), (200_000, 5), (600_000, 1)])
def test_a_batch_of_a_wide_file_has_fewer_rows(columns: int, rows: int) -> None:
    layout = Layout(("sku", *map(str, range(columns - 1))))
    limits = ReaderLimits(max_columns=columns)
    plan = make_plan(layout, template_of("sku"), "csv", batch_rows=10, batch_bytes=1_000, limits=limits)
    assert plan.batch_rows == rows


def test_a_guess_is_said_on_the_run() -> None:
    (note,) = plan_of(template_of(EMAIL), "E-Mail Adress").notes
    assert "'email' reads the column 'E-Mail Adress', which is only similar" in note


@pytest.mark.parametrize(
    ("columns", "complete", "missing"),
    [
        (("Last",), True, None),
        (("Colour",), True, "'First', 'Last'"),
        (("Colour",), False, None),
    ],
)
def test_a_required_concat_needs_one_of_its_columns(
    columns: tuple[str, ...], complete: bool, missing: str | None
) -> None:
    transforms = [{"type": "concat", "columns": ["First", "Last"]}]
    template = template_of({"name": "full", "transforms": transforms, "rules": [{"type": "required"}]})
    if missing is None:
        assert plan_of(template, *columns, complete=complete).mapping == {"full": None}
        return
    with pytest.raises(FileRefusedError, match=f"no column {missing}"):
        plan_of(template, *columns, complete=complete)
