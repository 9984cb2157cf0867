"""The same correction of many rejected rows, through the whole stack."""

from typing import Any

import httpx
import pytest

from tests.client import GatewayClient
from tests.e2e.test_imports import imported
from tests.e2e.test_retrying import by_row, codes, corrected, ended, template, written
from tests.oracle import Oracle

pytestmark = pytest.mark.servers

ROWS = b"""Sku,Name,Price
A1,Anvil,10.00
A2,Bellows,12.00 each
A3,Chisel,free
A4,Drill,15.50 each
A5,Eyelet,each
A1,Forge,99.00 each
"""
NOT_EACH = {
    "code": "NOT_A_NUMBER",
    "field": "price",
    "change": {"type": "replace", "old": " each", "new": "", "match": "part"},
}


def correct_all(gateway: GatewayClient, run_id: str, body: dict[str, Any], query: str = "") -> httpx.Response:
    return gateway.http.post(f"/imports/runs/{run_id}/correct-all{query}", json=body)


def done(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_rows_with_one_error_are_counted_corrected_checked_and_retried(
    gateway: GatewayClient, oracle: Oracle, resource: str
) -> None:
    run = imported(gateway, ROWS, template(resource))
    rows = by_row(gateway, run["id"])
    assert {row: codes(each) for row, each in rows.items()} == {row: ["NOT_A_NUMBER"] for row in range(2, 7)}
    nothing = gateway.http.get(f"/imports/runs/{run['id']}/correct-all")
    assert (nothing.status_code, nothing.json()["code"]) == (409, "NO_BULK_CORRECTION")
    counted = done(correct_all(gateway, run["id"], NOT_EACH, "?dry_run=true"))
    assert (counted["matching_count"], counted["changed_count"], counted["unchanged_count"]) == (5, 3, 2)
    assert [(each["row"], each["before"], each["after"]) for each in counted["examples"]] == [
        (2, "12.00 each", "12.00"), (4, "15.50 each", "15.50"), (6, "99.00 each", "99.00")
    ]  # fmt: skip
    assert (counted["column"], counted["checked"], counted["remaining_count"]) == ("Price", False, None)
    assert by_row(gateway, run["id"]) == rows
    # Between the count and the change somebody corrects a row, which is still wrong.
    corrected(gateway, rows[4]["id"], price="15.50 each, perhaps")
    made = done(correct_all(gateway, run["id"], {**NOT_EACH, "as_of": counted["as_of"]}))
    assert (made["matching_count"], made["changed_count"], made["unchanged_count"]) == (5, 2, 2)
    assert made["left"] == {"corrected_since": 1, "not_checked": 0, "too_long": 0}
    assert (made["checked"], made["remaining_count"]) == (True, 1)
    assert done(gateway.http.get(f"/imports/runs/{run['id']}/correct-all")) == made
    after = by_row(gateway, run["id"])
    assert {
        row: (each["state"], codes(each), each["corrected_data"], each["checked"]) for row, each in after.items()
    } == {
        2: ("corrected", [], {"Price": "12.00"}, True),
        3: ("open", ["NOT_A_NUMBER"], None, True),
        4: ("corrected", ["NOT_A_NUMBER"], {"Price": "15.50 each, perhaps"}, True),
        5: ("open", ["NOT_A_NUMBER"], None, True),
        6: ("corrected", ["DUPLICATE_VALUE"], {"Price": "99.00"}, True),
    }
    assert written(oracle, resource) == {"A1": (1, "Anvil")}
    assert oracle.state["runs"].count_documents({"purpose": "check"}) == 0
    # The same request once more finds nothing of its rows any more, and a new one only what is still wrong.
    again = done(correct_all(gateway, run["id"], {**NOT_EACH, "as_of": counted["as_of"]}))
    assert (again["matching_count"], again["changed_count"], again["left"]["corrected_since"]) == (3, 0, 1)
    priced = {"code": "NOT_A_NUMBER", "field": "price", "change": {"type": "set", "new": 0}}
    assert done(correct_all(gateway, run["id"], priced))["changed_count"] == 3
    renamed = {"code": "DUPLICATE_VALUE", "field": "sku", "change": {"type": "replace", "old": "A1", "new": "A6"}}
    made = done(correct_all(gateway, run["id"], renamed))
    assert (made["changed_count"], made["remaining_count"], made["examples"][0]["after"]) == (1, 0, "A6")
    assert by_row(gateway, run["id"])[6]["corrected_data"] == {"Sku": "A6", "Price": "99.00"}
    retry = ended(gateway, gateway.http.post(f"/imports/runs/{run['id']}/retry-all"))
    assert (retry["total_rows"], retry["written_count"]) == (5, 5)
    prices = {each["sku"]: str(each["price"]) for each in oracle.target[resource].find({})}
    assert prices == {"A1": "10.00", "A2": "12.00", "A3": "0.00", "A4": "0.00", "A5": "0.00", "A6": "99.00"}
    none = done(correct_all(gateway, run["id"], priced))
    assert (none["matching_count"], none["checked"]) == (0, False)


def test_rows_that_are_changed_together_are_compared_with_each_other(gateway: GatewayClient, resource: str) -> None:
    rows = b"Sku,Name,Price\nA1,Anvil,1\n,Bellows,2\n,Chisel,3\n"
    run = imported(gateway, rows, template(resource))
    same = {"code": "REQUIRED", "field": "sku", "change": {"type": "set", "new": "B1"}}
    made = done(correct_all(gateway, run["id"], same))
    assert (made["changed_count"], made["remaining_count"]) == (2, 1)
    assert {row: codes(each) for row, each in by_row(gateway, run["id"]).items()} == {2: [], 3: ["DUPLICATE_VALUE"]}
    cleared = {"code": "DUPLICATE_VALUE", "field": "sku", "column": "name", "change": {"type": "clear"}}
    assert done(correct_all(gateway, run["id"], cleared))["remaining_count"] == 1
    assert by_row(gateway, run["id"])[3]["corrected_data"] == {"Sku": "B1", "Name": None}


def test_what_cannot_be_changed_is_refused(gateway: GatewayClient, resource: str) -> None:
    run = imported(gateway, ROWS, template(resource))
    wanted = {"code": "NOT_A_NUMBER", "field": "price"}
    setting = {"type": "set", "new": "1"}
    for body, place, code in (
        ({"field": "price", "change": setting}, "body.code", "MISSING"),
        ({**wanted, "field": "colour", "change": setting}, "body.field", "UNKNOWN_FIELD"),
        ({**wanted, "column": "Colour", "change": setting}, "body.column", "UNKNOWN_COLUMN"),
        ({**wanted, "change": {"type": "guess"}}, "body.change", "INVALID"),
        ({**wanted, "change": {"type": "set"}}, "body.change.new", "MISSING"),
        ({**wanted, "change": {"type": "set", "new": ["1"]}}, "body.change.new", "INVALID"),
        ({**wanted, "change": {"type": "set", "new": "1\0"}}, "body.change.new", "INVALID"),
        ({**wanted, "change": {"type": "set", "new": "1" * 1_025}}, "body.change.new", "INVALID"),
        ({**wanted, "change": {**NOT_EACH["change"], "old": ""}}, "body.change.old", "MISSING"),
        ({**wanted, "change": setting, "as_of": "yesterday"}, "body.as_of", "INVALID"),
        ({**wanted, "change": setting, "as_of": "2026-01-01T00:00:00"}, "body.as_of", "INVALID"),
        ({**wanted, "change": setting, "rows": [1]}, "body.rows", "UNKNOWN_FIELD"),
    ):  # fmt: skip
        refused = correct_all(gateway, run["id"], body)
        (problem,) = refused.json()["errors"]
        assert (refused.status_code, problem["location"], problem["code"]) == (422, place, code), refused.text
    assert correct_all(gateway, "0" * 24, {**wanted, "change": setting}).status_code == 404
    reverted = gateway.http.post(f"/imports/runs/{run['id']}/revert")
    gateway.wait(reverted.json()["id"], "reverted")
    refused = correct_all(gateway, run["id"], {**wanted, "change": setting})
    assert (refused.status_code, refused.json()["code"]) == (409, "WRONG_STATE")
