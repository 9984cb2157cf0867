"""Why a file lacks a column, and what its owner is told to do."""

from typing import Any

import pytest

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.formats.api.file_format import Layout
from services.parser.formats.api.limits import ReaderLimits
from services.parser.planning.plan import make_plan

Given = list[tuple[str, str | None]]
REQUIRED = [{"type": "required"}]


def plan_of(layout: Layout, *fields: dict[str, Any], given: Given | None = None, **changes: object) -> ParsePlan:
    template = Template.model_validate({"name": "t", "target_resource": "things", "fields": list(fields), **changes})
    return make_plan(layout, template, "csv", given, batch_rows=10, batch_bytes=1_000, limits=ReaderLimits())


def refusal(layout: Layout, *fields: dict[str, Any], given: Given | None = None, **changes: object) -> str:
    with pytest.raises(FileRefusedError) as refused:
        plan_of(layout, *fields, given=given, **changes)
    assert refused.value.code == "MISSING_COLUMNS"
    return refused.value.detail


SKU = {"name": "sku", "rules": REQUIRED}
NAME = {"name": "name", "label": "Full Name", "rules": REQUIRED}


def test_a_column_that_is_not_there() -> None:
    assert refusal(Layout(("code", "price")), SKU, NAME) == (
        "the file has no column 'sku', 'Full Name'; its columns are 'code', 'price'; correct the header row of the "
        "file, or the column names in the template"
    )


@pytest.mark.parametrize(("settings", "hinted"), [({"has_delimiter": True}, True), ({}, False)])
def test_one_column_may_be_all_of_them(settings: dict[str, bool], hinted: bool) -> None:
    detail = refusal(Layout(("sku;name",), settings={"has_delimiter": settings.get("has_delimiter", False)}), SKU, NAME)
    assert ("the delimiter is another one" in detail) is hinted


def test_a_column_that_the_mapping_leaves_out() -> None:
    assert refusal(Layout(("sku", "Full Name")), SKU, NAME, given=[("sku", None)]) == (
        "the mapping of this upload leaves out the column 'sku', so nothing can be read for the field 'sku'; let the "
        "mapping take it in"
    )
    both: Given = [("sku", None), ("Full Name", None)]
    assert refusal(Layout(("sku", "Full Name")), SKU, NAME, given=both) == (
        "the mapping of this upload leaves out the columns 'sku', 'Full Name', so nothing can be read for the fields "
        "'sku', 'name'; let the mapping take them in"
    )


def test_a_field_that_the_mapping_forgets() -> None:
    assert refusal(Layout(("sku", "Full Name")), SKU, NAME, given=[("Full Name", "name")]) == (
        "the mapping of this upload names no column for the field 'sku'; add one of the file's columns, which are "
        "'sku', 'Full Name', or send no mapping to have them found by their names"
    )


def test_a_file_without_a_header_that_is_too_narrow() -> None:
    layout = Layout(("column_1",), named=False)
    assert refusal(layout, SKU, NAME) == (
        "the file has 1 column and no header row, so each field reads the column at its own place in the template, and "
        "none is left for the field 'name'; add the missing columns, or set has_header to true if the first row holds "
        "names"
    )


def test_a_numbered_column_of_a_file_without_a_header() -> None:
    layout = Layout(("column_1", "column_2"), named=False)
    detail = refusal(layout, {"name": "sku", "column": "column_9", "rules": REQUIRED}, {"name": "name"})
    assert "the file has no column 'column_9'; its columns are 'column_1', 'column_2'" in detail


def test_columns_that_are_too_alike() -> None:
    assert "several columns could be 'Sku': 'SKU', 'sku'; write the header in the template exactly as" in refusal(
        Layout(("SKU", "sku", "name")), {"name": "code", "column": "Sku", "rules": REQUIRED}, {"name": "name"}
    )


def test_all_reasons_are_told() -> None:
    detail = refusal(Layout(("sku", "x")), SKU, NAME, given=[("sku", None)], required_columns=["Price"])
    assert detail.startswith("the mapping of this upload leaves out the column 'sku'")
    assert "; the file has no column 'Price', 'Full Name'; its columns are 'sku', 'x'" in detail


def test_nothing_that_the_template_reads() -> None:
    assert "the file has no column 'a', 'b'" in refusal(Layout(("c",)), {"name": "a"}, {"name": "b"})


def test_of_many_columns_the_first_are_listed() -> None:
    detail = refusal(Layout(tuple(f"c{number}" for number in range(100))), SKU)
    assert "'c0', 'c1', " in detail
    assert "'c29' and 70 more" in detail
    assert "c30" not in detail


DELETING: dict[str, Any] = {"mode": "upsert", "upsert_key": "sku", "delete_column": "Gone"}


def test_the_column_that_marks_records_to_delete() -> None:
    layout = Layout(("sku", "city", "gone"))
    plan = plan_of(layout, SKU, include_unmatched_columns=True, **DELETING)
    assert (plan.delete_column, plan.unmatched) == (2, (1,))
    assert plan_of(layout, SKU).delete_column is None
    told = plan_of(layout, SKU, given=[("city", "sku")], **DELETING)
    assert (told.mapping, told.delete_column) == ({"sku": 1}, 2)
    by_place = plan_of(Layout(("column_1", "column_2"), named=False), SKU, **{**DELETING, "delete_column": "column_2"})
    assert by_place.delete_column == 1


def test_a_field_may_read_that_column_too() -> None:
    fields = SKU, {"name": "left", "column": "Gone"}
    plan = plan_of(Layout(("sku", "Gone")), *fields, **DELETING)
    assert (plan.mapping, plan.delete_column) == ({"sku": 0, "left": 1}, 1)


def test_a_file_without_it_is_refused_for_nobody_could_tell_what_goes() -> None:
    assert "the file has no column 'Gone'; its columns are 'sku', 'gnoe'" in refusal(
        Layout(("sku", "gnoe")), SKU, **DELETING
    )


def test_a_mapping_must_not_leave_it_out() -> None:
    with pytest.raises(FileRefusedError, match="take it out of the mapping") as refused:
        plan_of(Layout(("sku", "Gone")), SKU, given=[("gone", None)], **DELETING)
    assert refused.value.code == "BAD_MAPPING"


def test_records_whose_keys_are_not_all_known_may_have_it_later() -> None:
    plan = plan_of(Layout(("sku",), complete=False), SKU, **DELETING)
    assert plan.columns[plan.delete_column or 0] == "Gone"
