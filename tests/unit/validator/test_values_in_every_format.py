"""One table of written values as a file of every format: the same records, whatever the format."""

from typing import Any

import pytest

from libs.contracts.templates import Template
from services.validator.domain.checking import check_batch
from services.validator.domain.compilation import compile_template
from services.validator.domain.preview import preview
from tests.reading import read_file
from tests.renderings import FORMATS, rendered, source_of
from tests.unit.validator.batches import rejected

FIELDS: list[dict[str, Any]] = [
    {"name": "amount", "type": "number", "decimals": 2},
    {"name": "price", "type": "number"},
    {"name": "share", "type": "number", "percent": "fraction"},
    {"name": "pieces", "type": "number", "integer": True},
    {"name": "weight", "type": "number", "transforms": [{"type": "replace", "find": " kg"}]},
    {"name": "booked", "type": "date"},
    {"name": "changed", "type": "date"},
    {"name": "born", "type": "date", "past": True},
    {"name": "left", "type": "date"},
]
HEADER = [field["name"] for field in FIELDS]
ROWS = [
    [
        "1.250,00-",
        "€ 1,50",
        "12,5 %",
        "5,0",
        "1.234,5 kg",
        "31.03.24",
        "2024-03-31 16:05:00+02",
        "31.03.45",
        "0000-00-00",
    ],
    ["(0,50)", "2.000 €", "7%", "1E+3", "3 kg", "01.04.24", "31-MAR-24", "1. Mai 2001", "2024年3月31日"],
    [",75", "EUR 3", "0,5", "1.000,0", "0,125 kg", "15.12.23", "Sun, 31 Mar 2024 14:05:00 GMT", "30.06.26", "20240331"],
    ["12\u2009345,5", "4", "100 %", "7", "2,5 kg", "31.12.99", "2024-03-31T24:00", "29.02.00", "31 de marzo de 2024"],
]
RECORDS = [
    {
        "amount": -1250.0, "price": 1.5, "share": 0.125, "pieces": 5, "weight": 1234.5,
        "booked": "2024-03-31T00:00:00Z", "changed": "2024-03-31T14:05:00Z", "born": "1945-03-31T00:00:00Z",
        "left": None,
    },
    {
        "amount": -0.5, "price": 2000, "share": 0.07, "pieces": 1000, "weight": 3,
        "booked": "2024-04-01T00:00:00Z", "changed": "2024-03-31T00:00:00Z", "born": "2001-05-01T00:00:00Z",
        "left": "2024-03-31T00:00:00Z",
    },
    {
        "amount": 0.75, "price": 3, "share": 0.5, "pieces": 1000, "weight": 0.125,
        "booked": "2023-12-15T00:00:00Z", "changed": "2024-03-31T14:05:00Z", "born": "1926-06-30T00:00:00Z",
        "left": "2024-03-31T00:00:00Z",
    },
    {
        "amount": 12345.5, "price": 4, "share": 1, "pieces": 7, "weight": 2.5,
        "booked": "1999-12-31T00:00:00Z", "changed": "2024-04-01T00:00:00Z", "born": "2000-02-29T00:00:00Z",
        "left": "2024-03-31T00:00:00Z",
    },
]  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_records_in_every_format(name: str) -> None:
    source = source_of(name, HEADER, ROWS)
    if "column_widths" in source:
        source["column_widths"] = [{"name": key, "width": width} for key, width in source["column_widths"].items()]
    template = Template.model_validate(
        {
            "name": "t", "target_resource": "things", "fields": FIELDS, "source": source, "zero_dates": "empty",
            "default_decimal_style": "comma",
        }
    )  # fmt: skip
    file = read_file(rendered(name, HEADER, ROWS), template)
    compiled = compile_template(template, file.plan)
    checked = check_batch(compiled, file.table)
    assert [(each.row, each.errors) for each in rejected(checked)] == []
    assert preview(checked.valid, 10, file.plan.columns) == RECORDS
    assert file.plan.columns_read["price"].currency == "EUR"
    assert file.plan.short_years["booked"] == "last"


@pytest.mark.parametrize("name", FORMATS)
def test_a_group_of_thousands_is_never_taken_for_decimals(name: str) -> None:
    header, rows = ["amount"], [["1.234"], ["5,5"], ["12"]]
    source = source_of(name, header, rows)
    if "column_widths" in source:
        source["column_widths"] = [{"name": "amount", "width": 9}]
    fields = [{"name": "amount", "type": "number"}]
    template = Template.model_validate({"name": "t", "target_resource": "things", "fields": fields, "source": source})
    file = read_file(rendered(name, header, rows), template)
    checked = check_batch(compile_template(template, file.plan), file.table)
    found = [row["amount"] for row in preview(checked.valid, 10, file.plan.columns)]
    typed = name in {"json", "ndjson", "xlsx"}
    assert found == ([5.5, 12] if typed else [1234, 5.5, 12])
    assert [error.code for each in rejected(checked) for error in each.errors] == (["NOT_A_NUMBER"] if typed else [])
