"""The same rows in every format end in the same places, with the same values."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import openpyxl
import pytest
from bson import Decimal128, Int64

from tests.client import GatewayClient, planted_file, planted_template
from tests.e2e.test_imports import imported
from tests.oracle import Oracle
from tests.renderings import FORMATS, planted_as, rendered, source_of

pytestmark = pytest.mark.servers

HEADER = (
    "SKU", "First", "Last", "Mail", "Qty", "Price", "Weight", "Day", "End", "Updated", "Phone", "Active", "Size",
    "Code", "Site", "Reason", "Colour",
)  # fmt: skip
GOOD = {
    "SKU": "00012",
    "First": "anna",
    "Last": "LINDQVIST",
    "Mail": "Anna@Example.com",
    "Qty": "12",
    "Price": "1.234,505",
    "Weight": "0,25",
    "Day": "25/03/2024",
    "End": "03/04/2024",
    "Updated": "2024-03-31 14:05",
    "Phone": "650 253 0000",
    "Active": "ja",
    "Size": "M",
    "Code": "AB1234",
    "Site": "https://example.com/a?b=c",
    "Reason": "",
    "Colour": "red",
}
TEMPLATE: dict[str, Any] = {
    "name": "everything",
    "include_unmatched_columns": True,
    "required_columns": [],
    "default_values": {"origin": "erp"},
    "field_mapping": [
        {
            "source": "SKU",
            "target": "sku",
            "transform": "trim",
            "required": True,
            "validators": [{"type": "regex", "pattern": "[0-9]{5}"}, {"type": "unique"}],
        },
        {"target": "full_name", "transform": "concat:First,Last", "transformations": [{"type": "capitalize"}]},
        {"source": "Mail", "target": "email", "type": "email", "transform": "lower"},
        {"source": "Qty", "target": "quantity", "transform": "integer", "validators": [{"type": "min", "value": 1}]},
        {
            "source": "Price",
            "target": "price",
            "transform": "decimal:2",
            "validators": [{"type": "max", "value": 9999}],
        },
        {"source": "Weight", "target": "weight", "type": "number"},
        {"source": "Day", "target": "day", "type": "date"},
        {
            "source": "End",
            "target": "end",
            "type": "date",
            "validators": [{"type": "compare", "operator": "ge", "field": "day"}],
        },
        {"source": "Updated", "target": "updated", "transform": "date:YYYY-MM-DD HH:mm"},
        {"source": "Phone", "target": "phone", "type": "phone", "transformations": [{"type": "normalize_phone"}]},
        {"source": "Active", "target": "active", "transform": "boolean"},
        {"source": "Size", "target": "size", "type": "select", "options": ["S", "M", "L"]},
        {
            "source": "Code",
            "target": "code",
            "type": "custom_regex",
            "validators": [{"type": "regex", "pattern": "^[A-Z]{2}\\d{4}$"}],
        },
        {"source": "Site", "target": "site", "type": "url", "validators": [{"type": "max_length", "value": 40}]},
        {
            "source": "Reason",
            "target": "reason",
            "validators": [{"type": "required_if", "field": "active", "values": ["nej"]}],
        },
        {"target": "kind", "transform": "constant:product"},
    ],
}
RECORD = {
    "sku": "00012",
    "full_name": "Anna Lindqvist",
    "email": "anna@example.com",
    "quantity": Int64(12),
    "price": Decimal128("1234.51"),
    "weight": 0.25,
    "day": datetime(2024, 3, 25, tzinfo=UTC),
    "end": datetime(2024, 4, 3, tzinfo=UTC),
    "updated": datetime(2024, 3, 31, 14, 5, tzinfo=UTC),
    "phone": "(650) 253-0000",
    "active": True,
    "size": "M",
    "code": "AB1234",
    "site": "https://example.com/a?b=c",
    "reason": None,
    "kind": "product",
    "origin": "erp",
    "extra": {"Colour": "red"},
}
FAULTS: list[tuple[dict[str, str], list[str]]] = [
    ({"SKU": ""}, ["REQUIRED"]),
    ({"SKU": "12"}, ["PATTERN_MISMATCH"]),
    ({"SKU": "00012"}, ["DUPLICATE_VALUE"]),
    ({"Mail": "anna at example"}, ["INVALID_EMAIL"]),
    ({"Qty": "1,5"}, ["NOT_AN_INTEGER"]),
    ({"Qty": "0"}, ["BELOW_MINIMUM"]),
    ({"Price": "12.345,00"}, ["ABOVE_MAXIMUM"]),
    ({"Weight": "heavy"}, ["NOT_A_NUMBER"]),
    ({"Day": "03/25/2024"}, ["INVALID_DATE"]),
    ({"End": "24/03/2024"}, ["COMPARISON_FAILED"]),
    ({"Updated": "31.03.2024 14:05"}, ["INVALID_DATE"]),
    ({"Phone": "123"}, ["INVALID_PHONE"]),
    ({"Active": "maybe"}, ["INVALID_BOOLEAN"]),
    ({"Size": "XL"}, ["INVALID_OPTION"]),
    ({"Code": "ab1234"}, ["PATTERN_MISMATCH"]),
    ({"Site": "example.com"}, ["INVALID_URL"]),
    ({"Site": "https://example.com/" + "x" * 40}, ["TOO_LONG"]),
    ({"Active": "nej"}, ["REQUIRED"]),
    ({"Mail": "x", "Qty": "y", "Day": "z"}, ["INVALID_EMAIL", "NOT_A_NUMBER", "INVALID_DATE"]),
]


def rows_of_everything() -> list[list[str]]:
    """The good row, then one row for each fault, each with a key of its own unless that is the fault."""
    changes = [{}, *({"SKU": f"{number:05d}", **fault} for number, (fault, _) in enumerate(FAULTS, 100))]
    return [[{**GOOD, **change}[name] for name in HEADER] for change in changes]


@pytest.mark.parametrize("name", FORMATS)
def test_a_template_with_everything_gives_the_same_in_every_format(
    gateway: GatewayClient, oracle: Oracle, resource: str, name: str
) -> None:
    rows = rows_of_everything()
    template = {**TEMPLATE, **source_of(name, HEADER, rows), "target_resource": resource}
    run = imported(gateway, rendered(name, HEADER, rows), template)
    assert run["status"] == "completed", run["error"]
    rejected = {record["row"]: [error["code"] for error in record["errors"]] for record in gateway.rejected(run["id"])}
    assert rejected == {row: codes for row, (_, codes) in enumerate(FAULTS, 2)}
    (record,) = oracle.target[resource].find({})
    assert {key: record[key] for key in RECORD} == RECORD
    assert type(record["quantity"]) is Int64
    assert run["plan"]["date_orders"]["day"] == "dmy"
    assert run["plan"]["decimal_styles"]["price"] == "comma"


def _count_csv(content: bytes) -> int:
    return sum(1 for row in csv.reader(io.StringIO(content.decode(), newline="")) if row) - 1


def _count_xlsx(content: bytes) -> int:
    sheet = openpyxl.load_workbook(io.BytesIO(content), read_only=True).worksheets[0]
    return sum(1 for _ in sheet.iter_rows()) - 1


COUNTS: dict[str, Callable[[bytes], int]] = {
    "csv": _count_csv,
    "json": lambda content: len(json.loads(content)),
    "ndjson": lambda content: len(content.splitlines()),
    "xml": lambda content: len(ElementTree.fromstring(content)),  # noqa: S314 - the test's own file
    "xlsx": _count_xlsx,
    "fixed_width": lambda content: len(content.splitlines()),
}
"""Rows of a file, by a reader that is not ours."""


@pytest.mark.parametrize("name", FORMATS)
def test_every_row_of_every_format_ends_in_exactly_one_place(
    gateway: GatewayClient, oracle: Oracle, resource: str, name: str
) -> None:
    planted, source = planted_as(name, planted_file(12_345, repeated_share=0.02, seed=3))
    assert COUNTS[name](planted.content) == planted.rows
    template = planted_template(resource, import_mode="upsert", upsert_key="sku", **source)
    run = imported(gateway, planted.content, template)
    oracle.assert_exactly_once(run["id"], planted, resource)
    assert run["total_rows"] == planted.rows
    assert run["written_count"] + run["rejected_count"] + run["skipped_count"] == planted.rows


@pytest.mark.parametrize("name", ["csv", "json", "xml", "xlsx"])
def test_auto_finds_the_format_in_the_content(gateway: GatewayClient, resource: str, name: str) -> None:
    content = rendered(name, ["sku", "name", "email"], [["S1", "Anna", "anna@example.com"]])
    template = planted_template(resource, file_type="auto")
    answer = gateway.upload(gateway.create_template(template)["id"], content, "upload.dat")
    run = gateway.wait(answer["id"], "validated")
    assert run["status"] == "validated", run["error"]
    assert run["plan"]["file_type"] == {"xlsx": "excel"}.get(name, name)
    assert (run["total_rows"], run["valid_rows"]) == (1, 1)


def test_fields_without_a_source_find_their_columns_and_the_run_says_how_sure_that_is(
    gateway: GatewayClient, oracle: Oracle, resource: str
) -> None:
    template = {
        "name": "guessing",
        "target_resource": resource,
        "field_mapping": [
            {"target": "email", "label": "E-Mail Address", "type": "email"},
            {"target": "first_name", "label": "First name"},
            {"target": "town", "aliases": ["City"]},
        ],
    }
    run = imported(gateway, b"E-Mail Adress,firstName,CITY,Shoe\na@example.com,Anna,Lund,42\n", template)
    assert run["status"] == "completed", run["error"]
    assert {field: match["method"] for field, match in run["plan"]["matches"].items()} == {
        "email": "fuzzy",
        "first_name": "normalised",
        "town": "alias",
    }
    assert 0.7 < run["plan"]["matches"]["email"]["confidence"] < 1
    assert any("only similar" in note for note in run["plan"]["notes"])
    (record,) = oracle.target[resource].find({})
    assert (record["email"], record["first_name"], record["town"]) == ("a@example.com", "Anna", "Lund")
    assert "extra" not in record


def test_the_uploads_mapping_decides(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    template = {
        "name": "mapped",
        "target_resource": resource,
        "include_unmatched_columns": True,
        "field_mapping": [{"target": "email", "type": "email"}, {"target": "name"}],
    }
    template_id = gateway.create_template(template)["id"]
    answer = gateway.http.post(
        "/imports/upload",
        data={"template_id": template_id, "mapping": json.dumps({"A": "email", "B": "name", "C": None})},
        files={"file": ("rows.csv", b"A,B,C,D\nx@example.com,Anna,secret,blue\n")},
    )
    run = gateway.wait(answer.json()["id"], "validated")
    gateway.execute(run["id"])
    assert gateway.wait(run["id"])["status"] == "completed"
    (record,) = oracle.target[resource].find({})
    assert (record["email"], record["name"], record["extra"]) == ("x@example.com", "Anna", {"D": "blue"})


def test_an_order_that_only_the_last_row_tells_holds_for_the_whole_column(
    gateway: GatewayClient, oracle: Oracle, resource: str
) -> None:
    days = ["03/04/2025"] * 9_000 + ["04/13/2025"]
    content = "day,note\n" + "".join(f"{day},{'x' * 200}\n" for day in days)
    template = {
        "name": "late",
        "target_resource": resource,
        "field_mapping": [{"source": "day", "target": "day", "type": "date"}],
    }
    run = imported(gateway, content.encode(), template)
    assert run["plan"]["date_orders"] == {"day": "mdy"}
    assert run["written_count"] == len(days)
    assert oracle.target[resource].count_documents({"day": datetime(2025, 3, 4, tzinfo=UTC)}) == 9_000
