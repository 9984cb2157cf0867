"""Rejected rows that are corrected and retried, through the whole stack."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.client import GatewayClient, eventually, planted_file, planted_template
from tests.e2e.test_imports import imported
from tests.e2e.test_reverting import records, reverted
from tests.oracle import Oracle
from tests.receiver import Receiver

pytestmark = pytest.mark.servers

ROWS = b"""Sku,Name,Price
A1,Anvil,10.00
A2,Bellows,cheap
A3,,3.50
A1,Chisel,4.00
A5,Drill,dear
A6,Eyelet,free
"""


def template(resource: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "name": f"tools {resource}",
        "target_resource": resource,
        "import_mode": "append",
        "field_mapping": [
            {"source": "Sku", "target": "sku", "required": True, "validators": [{"type": "unique"}]},
            {"source": "Name", "target": "name", "required": True},
            {"source": "Price", "target": "price", "transform": "decimal:2"},
        ],
        **changes,
    }


def correct(gateway: GatewayClient, record_id: str, **data: object) -> httpx.Response:
    return gateway.http.put(f"/imports/rejected/{record_id}", json={"corrected_data": data})


def corrected(gateway: GatewayClient, record_id: str, **data: object) -> dict[str, Any]:
    answer = correct(gateway, record_id, **data)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(gateway: GatewayClient, answer: httpx.Response) -> dict[str, Any]:
    """The retry of an answer once it has ended."""
    assert answer.status_code in {200, 202}, answer.text
    return gateway.wait(answer.json()["id"])


def retried(gateway: GatewayClient, record_id: str) -> dict[str, Any]:
    return ended(gateway, gateway.http.post(f"/imports/rejected/{record_id}/retry"))


def by_row(gateway: GatewayClient, run_id: str) -> dict[int, dict[str, Any]]:
    rows = gateway.rejected(run_id, 1_000)
    assert len({each["row"] for each in rows}) == len(rows)
    return {each["row"]: each for each in rows}


def codes(record: dict[str, Any]) -> list[str]:
    return [error["code"] for error in record["errors"]]


def written(oracle: Oracle, resource: str) -> dict[str, tuple[int, str]]:
    found = oracle.target[resource].find({"is_deleted": False})
    return {each["sku"]: (each["_import"]["row"], each["name"]) for each in found}


def test_rows_are_corrected_checked_and_written_once(
    gateway: GatewayClient, oracle: Oracle, resource: str, receiver: Receiver
) -> None:
    run = imported(gateway, ROWS, template(resource, webhook_url=receiver.url))
    assert (run["written_count"], run["rejected_count"]) == (1, 5)
    assert run["rejected_rows"]["open"] == 5
    rows = by_row(gateway, run["id"])
    assert {row: codes(each) for row, each in rows.items()} == {
        2: ["NOT_A_NUMBER"], 3: ["REQUIRED"], 4: ["DUPLICATE_VALUE"], 5: ["NOT_A_NUMBER"], 6: ["NOT_A_NUMBER"]
    }  # fmt: skip
    # Corrections are checked at once, by names of fields or headers.
    still = corrected(gateway, rows[2]["id"], price="still cheap", Name="Bellows, large")
    assert (codes(still), still["state"], still["checked"]) == (["NOT_A_NUMBER"], "corrected", True)
    assert still["corrected_data"] == {"Name": "Bellows, large", "Price": "still cheap"}
    good = corrected(gateway, rows[2]["id"], Price=20)
    assert (good["errors"], good["corrected_data"]) == ([], {"Price": "20"})
    # What was written before counts: row 1 has A1.
    taken = corrected(gateway, rows[3]["id"], name="Cold chisel", sku="A1")
    assert codes(taken) == ["DUPLICATE_VALUE"]
    assert "Row 1 " in taken["errors"][0]["message"]
    assert oracle.target[resource].count_documents({}) == 1
    assert oracle.state["runs"].count_documents({"purpose": "check"}) == 0
    # One row is retried; the run of it is a run of its own.
    retry = retried(gateway, rows[2]["id"])
    assert (retry["status"], retry["written_count"], retry["parent_run_id"]) == ("completed", 1, run["id"])
    assert (retry["total_rows"], retry["file_name"]) == (1, run["file_name"])
    assert written(oracle, resource) == {"A1": (1, "Anvil"), "A2": (2, "Bellows")}
    again = gateway.http.post(f"/imports/rejected/{rows[2]['id']}/retry")
    assert (again.status_code, again.json()["code"]) == (409, "WRONG_ROW_STATE")
    assert correct(gateway, rows[2]["id"], price="1").json()["code"] == "WRONG_ROW_STATE"
    # All that were corrected: one is written, one is rejected again with its new error, the others stay.
    corrected(gateway, rows[5]["id"], price="50.00")
    retry = ended(gateway, gateway.http.post(f"/imports/runs/{run['id']}/retry-all"))
    assert (retry["total_rows"], retry["written_count"], retry["rejected_count"]) == (2, 1, 1)
    outcomes = {each["row"]: each["outcome"] for each in gateway.rows(retry["id"])}
    assert outcomes == {3: "rejected", 5: "created"}
    history = {each["row"]: [reason["code"] for reason in each["reasons"]] for each in gateway.rows(run["id"])}
    assert (history[2], history[3], history[5]) == (["NOT_A_NUMBER"], ["REQUIRED"], ["NOT_A_NUMBER"])
    after = by_row(gateway, run["id"])
    assert {row: each["state"] for row, each in after.items()} == {
        2: "written", 3: "open", 4: "open", 5: "written", 6: "open"
    }  # fmt: skip
    assert codes(after[3]) == ["DUPLICATE_VALUE"]
    assert (after[3]["corrected_data"], after[3]["retry_run_id"]) == ({"Sku": "A1", "Name": "Cold chisel"}, retry["id"])
    nothing = gateway.http.post(f"/imports/runs/{run['id']}/retry-all")
    assert (nothing.status_code, nothing.json()["code"]) == (409, "NOTHING_TO_RETRY")
    (mine,) = gateway.rejected(retry["id"])
    assert mine["state"] == "returned"
    assert correct(gateway, mine["id"], sku="X").json()["code"] == "IS_A_RETRY"
    # One is given up.
    discarded = gateway.http.post(f"/imports/rejected/{rows[6]['id']}/discard").json()
    assert discarded["state"] == "discarded"
    retry = ended(gateway, gateway.http.post(f"/imports/runs/{run['id']}/retry-all?include_uncorrected=true"))
    assert (retry["total_rows"], retry["rejected_count"]) == (2, 2)
    # The counts of the run are history; what has become of its rows is told beside them.
    shown = gateway.run(run["id"])
    assert (shown["written_count"], shown["rejected_count"]) == (1, 5)
    expected = {"open": 2, "corrected": 0, "retrying": 0, "retried_written": 2, "retried_skipped": 0, "discarded": 1}
    assert shown["rejected_rows"] == {**expected, "returned": 0}
    open_rows = gateway.http.get(f"/imports/rejected?run_id={run['id']}&status=open").json()["data"]
    assert [each["row"] for each in open_rows] == [3, 4]
    assert set(written(oracle, resource)) == {"A1", "A2", "A5"}


def test_names_that_are_not_clear_are_refused(gateway: GatewayClient, resource: str) -> None:
    run = imported(gateway, ROWS, template(resource))
    record_id = by_row(gateway, run["id"])[2]["id"]
    for data, code in (
        ({"colour": "red"}, "UNKNOWN_COLUMN"),
        ({"Price": "1", "price": "2"}, "CONFLICT"),
        ({"Price": ["1"]}, "INVALID"),
        ({"Price": "1\0"}, "INVALID"),
    ):
        refused = gateway.http.put(f"/imports/rejected/{record_id}", json={"corrected_data": data})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, code)
        assert refused.json()["errors"][0]["location"].startswith("body.corrected_data[")
    for body in ({}, [], {"corrected_data": 1}, {"corrected_data": {}, "more": 1}):
        assert gateway.http.put(f"/imports/rejected/{record_id}", json=body).status_code == 422
    back = corrected(gateway, record_id)
    assert (back["state"], back["corrected_data"], codes(back)) == ("open", None, ["NOT_A_NUMBER"])
    assert gateway.http.get("/imports/rejected/nothing").json()["code"] == "REJECTED_ROW_NOT_FOUND"


def test_two_retries_at_once_write_a_row_once(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    planted = planted_file(2_000, bad_share=0.2)
    run = imported(gateway, planted.content, planted_template(resource))
    paths = [f"/imports/runs/{run['id']}/retry-all?include_uncorrected=true"] * 4
    rows = by_row(gateway, run["id"])
    for row in list(rows)[:3]:
        corrected(gateway, rows[row]["id"], email=f"mended{row}@example.com")
        paths.append(f"/imports/rejected/{rows[row]['id']}/retry")
    with ThreadPoolExecutor(len(paths)) as clients:
        answers = list(clients.map(gateway.http.post, paths))
    assert {each.status_code for each in answers} <= {200, 202, 409}
    assert any(each.status_code != 409 for each in answers)
    for answer in answers:
        if answer.status_code != 409:
            gateway.wait(answer.json()["id"])

    def settled() -> bool:
        shown = gateway.run(run["id"])["rejected_rows"]
        return shown["retrying"] == 0 and gateway.http.get(f"/imports/runs/{run['id']}").status_code == 200

    eventually(settled, "the retries are settled")
    for row in list(rows)[:3]:
        if by_row(gateway, run["id"])[row]["state"] != "written":
            retried(gateway, rows[row]["id"])
    mended = oracle.target[resource].count_documents({"email": {"$regex": "^mended"}})
    assert mended == 3
    assert oracle.target[resource].count_documents({}) == len(planted.valid) + 3
    assert gateway.run(run["id"])["rejected_rows"]["open"] == len(planted.rejected) - 3


def test_the_last_row_of_the_whole_file_wins(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    """Row 2 of the key was rejected, row 3 was written; a retried row 2 comes too late, a retried row 5 does not."""
    content = b"sku,name,price\nB1,one,1\nB2,old,x\nB2,new,3\nB1,kept,4\nB1,last,x\n"
    columns = [{"source": name, "target": name} for name in ("sku", "name")]
    columns.append({"source": "price", "target": "price", "type": "number"})
    keyed = template(resource, import_mode="upsert", upsert_key="sku", field_mapping=columns)
    run = imported(gateway, content, keyed)
    rows = by_row(gateway, run["id"])
    assert set(rows) == {2, 5}
    for row in rows:
        assert corrected(gateway, rows[row]["id"], price="9")["errors"] == []
    retry = ended(gateway, gateway.http.post(f"/imports/runs/{run['id']}/retry-all"))
    assert (retry["updated_count"], retry["skipped"]) == (1, {"DUPLICATE_UPSERT_KEY": 1})
    after = by_row(gateway, run["id"])
    assert {row: (each["state"], each["skip_reason"]) for row, each in after.items()} == {
        2: ("skipped", "DUPLICATE_UPSERT_KEY"), 5: ("written", None)
    }  # fmt: skip
    assert {sku: name for sku, (_, name) in written(oracle, resource).items()} == {"B1": "last", "B2": "new"}


def test_retries_are_taken_back_before_their_parent(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    before = records(oracle, resource)
    run = imported(gateway, ROWS, template(resource))
    after_run = records(oracle, resource)
    rows = by_row(gateway, run["id"])
    corrected(gateway, rows[2]["id"], price="2")
    retry = retried(gateway, rows[2]["id"])
    refused = gateway.try_revert(run["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "HAS_RETRIES")
    assert retry["id"] in refused.json()["detail"]
    reverted(gateway, retry["id"])
    assert records(oracle, resource) == after_run
    assert by_row(gateway, run["id"])[2]["state"] == "corrected"
    assert retried(gateway, rows[2]["id"])["written_count"] == 1
    reverted(gateway, by_row(gateway, run["id"])[2]["retry_run_id"])
    reverted(gateway, run["id"])
    assert records(oracle, resource) == before
    assert correct(gateway, rows[3]["id"], name="x").json()["code"] == "WRONG_STATE"


def test_what_the_revert_of_a_retry_keeps_has_the_row_of_the_file(
    gateway: GatewayClient, oracle: Oracle, resource: str
) -> None:
    run = imported(gateway, ROWS, template(resource))
    fifth = by_row(gateway, run["id"])[5]
    corrected(gateway, fifth["id"], price="5.00")
    retry = retried(gateway, fifth["id"])
    assert retry["total_rows"] == retry["written_count"] == 1
    oracle.target[resource].update_one({"sku": "A5"}, {"$set": {"name": "Somebody's"}})
    kept = reverted(gateway, retry["id"])["kept"]
    assert [(each["row"], each["reason"], each["fields"]) for each in kept] == [(5, "CHANGED", ["name"])]


def test_a_retry_of_a_sync_deletes_nothing(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    columns = [{"source": name, "target": name} for name in ("sku", "name")]
    columns.append({"source": "price", "target": "price", "type": "number"})
    keyed = template(
        resource, import_mode="sync", upsert_key="sku", field_mapping=columns,
        scope_filter={"source": "erp"}, default_values={"source": "erp"},
    )  # fmt: skip
    content = b"sku,name,price\nC1,one,1\nC2,two,x\nC3,three,3\n"
    run = imported(gateway, content, keyed)
    assert run["status"] == "completed", run
    row = by_row(gateway, run["id"])[2]
    assert corrected(gateway, row["id"], price=2)["errors"] == []
    retry = retried(gateway, row["id"])
    assert (retry["status"], retry["written_count"], retry["deleted_count"]) == ("completed", 1, 0)
    assert set(written(oracle, resource)) == {"C1", "C2", "C3"}
    assert oracle.target[resource].count_documents({"source": "erp", "is_deleted": False}) == 3


def test_rows_that_could_not_be_read_need_every_cell(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    run = imported(gateway, ROWS + b"A7,Ferrule,7.00,what,is,this\n", template(resource))
    row = by_row(gateway, run["id"])[7]
    assert codes(row) == ["EXTRA_CELLS"]
    missing = correct(gateway, row["id"], price="7")
    assert (missing.status_code, missing.json()["errors"][0]["code"]) == (422, "MISSING")
    assert retried(gateway, row["id"])["rejected_count"] == 1
    assert codes(by_row(gateway, run["id"])[7]) == ["EXTRA_CELLS"]
    assert corrected(gateway, row["id"], sku="A7", name="Ferrule", price="7.00")["errors"] == []
    assert retried(gateway, row["id"])["written_count"] == 1
    assert written(oracle, resource)["A7"] == (7, "Ferrule")


def test_a_cancelled_retry_gives_its_rows_back(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    planted = planted_file(20_000, bad_share=0.5)
    run = imported(gateway, planted.content, planted_template(resource))
    gateway.http.timeout = httpx.Timeout(120)
    with ThreadPoolExecutor(1) as client:
        path = f"/imports/runs/{run['id']}/retry-all?include_uncorrected=true"
        answer = client.submit(gateway.http.post, path)

        def begun() -> str | None:
            found = (oracle.state["runs"].find_one({"_id": run["id"]}) or {}).get("retry_at_work")
            return found if found and gateway.run_outliving_faults(found) else None

        cancelled = gateway.try_cancel(eventually(begun, "the retry is at work"))
        assert cancelled.status_code in {200, 202, 409}
        gateway.wait(answer.result().json()["id"])

    def given_back() -> bool:
        return gateway.run(run["id"])["rejected_rows"]["open"] == len(planted.rejected)

    eventually(given_back, "every row is open again")
