"""Files of every shape through all five services, judged by the oracle."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from deploy.local.stack import Stack
from tests.client import GatewayClient, PlantedFile, eventually, planted_file, planted_template
from tests.oracle import Oracle
from tests.receiver import Receiver

pytestmark = pytest.mark.servers


def imported(gateway: GatewayClient, content: bytes, template: dict[str, Any]) -> dict[str, Any]:
    """The terminal run of ``content``, executed where it validates."""
    template_id = gateway.create_template(template)["id"]
    run = gateway.wait(gateway.upload(template_id, content)["id"], "validated")
    if run["status"] == "validated":
        gateway.execute(run["id"])
        run = gateway.wait(run["id"])
    return run


def rows_of_batches(oracle: Oracle, run: dict[str, Any]) -> list[int]:
    """In the order of the file."""
    return [batch["rows"] for batch in oracle.state["batches"].find({"run_id": run["id"]}, sort=[("seq", 1)])]


def test_every_row_ends_in_exactly_one_place(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    planted = planted_file(23_456)
    run = imported(gateway, planted.content, planted_template(resource))
    oracle.assert_exactly_once(run["id"], planted, resource)
    assert run["total_rows"] == planted.rows
    assert run["written_count"] == len(planted.valid)
    assert run["rejected_count"] == len(planted.rejected)
    assert rows_of_batches(oracle, run) == [10_000, 10_000, 3_456]
    assert {status for _, status in oracle.terminal_events(run["id"])} == {"completed"}
    reasons = gateway.rejected(run["id"])
    assert all(record["errors"][0]["code"] == "INVALID_EMAIL" for record in reasons)
    assert all(record["data"]["email"] == "nobody at example" for record in reasons)


def test_the_records_are_typed(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    run = imported(gateway, planted_file(1, bad_share=0).content, planted_template(resource))
    record = oracle.target[resource].find_one({"_import.run_id": run["id"]})
    assert record is not None
    assert (record["sku"], record["amount"]) == ("S00000001", 1.5)
    assert record["day"] == datetime(2024, 2, 29, tzinfo=UTC)
    assert record["is_deleted"] is False
    assert record["_import"]["row"] == 1


def test_an_upsert_takes_the_last_row_of_a_key_and_then_changes_nothing(
    gateway: GatewayClient, oracle: Oracle, resource: str
) -> None:
    planted = planted_file(12_000, repeated_share=0.05)
    template = planted_template(resource, import_mode="upsert", upsert_key="sku")
    assert planted.skipped
    first = imported(gateway, planted.content, template)
    oracle.assert_exactly_once(first["id"], planted, resource)
    assert rows_of_batches(oracle, first) == [5_000, 5_000, planted.rows - 10_000]
    second = imported(gateway, planted.content, template)
    assert second["status"] == "completed"
    assert second["skipped"] == {"DUPLICATE_UPSERT_KEY": len(planted.skipped), "UNCHANGED": len(planted.valid)}
    assert second["written_count"] == 0
    changed = planted.content.replace(b",Name ", b",Renamed ")
    third = imported(gateway, changed, template)
    assert third["updated_count"] == len(planted.valid)
    assert oracle.state["undo"].count_documents({"run_id": third["id"]}) == len(planted.valid)
    assert oracle.target[resource].count_documents({}) == len(planted.valid)
    row, sku = next(iter(planted.valid.items()))
    record = oracle.target[resource].find_one({"sku": sku})
    assert record is not None
    assert record["name"] == f"Renamed {row}"


def test_an_update_changes_what_is_there_and_skips_the_rest(
    gateway: GatewayClient, oracle: Oracle, resource: str
) -> None:
    keyed = planted_template(resource, import_mode="upsert", upsert_key="sku")
    imported(gateway, planted_file(6_000).content, keyed)
    planted = planted_file(12_000, repeated_share=0.05, seed=2)
    held = set(oracle.target[resource].distinct("sku"))
    changed = planted.content.replace(b",Name ", b",Renamed ")
    run = imported(gateway, changed, {**keyed, "import_mode": "update"})
    updated = planted.only_with(held)
    oracle.assert_exactly_once(run["id"], updated, resource)
    not_found = len(planted.valid) - len(updated.valid)
    assert run["skipped"] == {"DUPLICATE_UPSERT_KEY": len(planted.skipped), "NOT_FOUND": not_found}
    assert (run["created_count"], run["updated_count"]) == (0, len(updated.valid))
    assert oracle.target[resource].count_documents({}) == len(held)
    assert oracle.target[resource].count_documents({"name": {"$regex": "^Renamed"}}) == len(updated.valid)


def test_a_column_deletes_records(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    """Of rows that delete nothing but the key is looked at; a later file may create the record anew."""
    planted = planted_file(12_000, repeated_share=0.05)
    template = planted_template(resource, import_mode="upsert", upsert_key="sku")
    template["field_mapping"][2]["validators"] = [{"type": "unique"}]
    imported(gateway, planted.content, template)
    deleting = planted.deleting(0.2)
    run = imported(gateway, deleting.content, {**template, "delete_column": "gone"})
    oracle.assert_exactly_once(run["id"], deleting, resource)
    oracle.assert_before_images(run["id"], len(deleting.valid))
    assert (run["deleted_count"], run["created_count"]) == (len(deleting.deleted), 0)
    assert run["updated_count"] == len(deleting.valid) - len(deleting.deleted)
    gone = oracle.target[resource].find({"is_deleted": True}, {"_id": 1}).distinct("_id")
    assert len(run["deleted_ids"]) == 1_000 < len(gone)
    assert set(run["deleted_ids"]) <= {str(record_id) for record_id in gone}
    again = imported(gateway, deleting.content, {**template, "delete_column": "gone"})
    assert again["skipped"]["NOT_FOUND"] == len(deleting.deleted)
    anew = imported(gateway, planted.content, template)
    assert (anew["created_count"], anew["error"]) == (len(deleting.deleted), None)


def test_unique_holds_across_the_batches_of_a_file(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    lines = [f"S{number % 11_000},Name,a@example.com,1,2024-01-01" for number in range(12_000)]
    content = "\n".join(["sku,name,email,amount,day", *lines]).encode()
    template = planted_template(resource)
    template["field_mapping"][0]["validators"] = [{"type": "unique"}]
    run = imported(gateway, content, template)
    planted = PlantedFile(content, {row: f"S{row - 1}" for row in range(1, 11_001)}, frozenset(range(11_001, 12_001)))
    oracle.assert_exactly_once(run["id"], planted, resource)


def test_block_writes_nothing_when_a_row_is_invalid(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    planted = planted_file(7_000)
    run = imported(gateway, planted.content, planted_template(resource, invalid_rows="block"))
    assert run["status"] == "failed"
    assert run["error"]["code"] == "INVALID_ROWS"
    assert oracle.target[resource].count_documents({}) == 0
    settled = oracle.settled(run["id"])
    counts = settled["counts"]
    assert counts["rows"] == counts["written"] + counts["rejected"] + counts["skipped"] == planted.rows
    oracle.assert_nothing_left(settled)


def test_keep_writes_invalid_rows_with_warnings(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    planted = planted_file(7_000)
    run = imported(gateway, planted.content, planted_template(resource, invalid_rows="keep"))
    assert run["status"] == "completed"
    assert run["written_count"] == planted.rows
    assert run["warning_count"] == len(planted.rejected)
    warned = {record["_import"]["row"] for record in oracle.target[resource].find({"_import.warnings": {"$ne": None}})}
    assert warned == planted.rejected


HEADER = b"sku,name,email,amount,day\n"
ROW = b"S1,Anna,anna@example.com,1.5,2024-01-01\n"


@pytest.mark.parametrize(
    ("content", "status", "code", "rows"),
    [
        pytest.param(b"", "failed", "EMPTY_FILE", 0, id="empty"),
        pytest.param(b"\xef\xbb\xbf", "failed", "EMPTY_FILE", 0, id="byte order mark only"),
        pytest.param(b"\n\n\r\n", "failed", "EMPTY_FILE", 0, id="blank lines only"),
        pytest.param(HEADER, "completed", None, 0, id="header only"),
        pytest.param(HEADER + ROW, "completed", None, 1, id="one row"),
        pytest.param(b"sku\nS1\n", "failed", "MISSING_COLUMNS", 0, id="one column"),
        pytest.param(bytes(range(256)) * 3, "failed", "UNKNOWN_ENCODING", 0, id="no text"),
        pytest.param(HEADER + b'S1,"Anna\n', "failed", "UNTERMINATED_QUOTE", 0, id="unterminated quote"),
        pytest.param(
            HEADER.strip() + b"," + b",".join(b"x%d" % n for n in range(5_000)) + b"\n" + ROW.strip() + b",1" * 5_000,
            "completed",
            None,
            1,
            id="5,000 columns",
        ),
        pytest.param(
            HEADER + ROW + b'S2,"' + b"x" * 20_000_000 + b'",b@example.com,1,2024-01-01\n' + ROW.replace(b"S1", b"S3"),
            "completed",
            None,
            3,
            id="20 MB cell",
        ),
    ],
)
def test_odd_files_end_with_a_clear_reason(
    gateway: GatewayClient, oracle: Oracle, resource: str, content: bytes, status: str, code: str | None, rows: int
) -> None:
    run = imported(gateway, content, planted_template(resource))
    assert run["status"] == status, run["error"]
    assert (run["error"] or {}).get("code") == code
    assert run["total_rows"] == rows
    assert run["written_count"] + run["rejected_count"] + run["skipped_count"] == rows
    oracle.assert_nothing_left(oracle.settled(run["id"]))


def test_a_lying_extension_is_refused_at_the_door(gateway: GatewayClient, resource: str) -> None:
    template_id = gateway.create_template(planted_template(resource))["id"]
    answer = gateway.http.post(
        "/imports/upload", data={"template_id": template_id}, files={"file": ("rows.csv", b"PK\x03\x04" + bytes(100))}
    )
    assert answer.status_code == 415
    assert answer.json()["code"] == "UNSUPPORTED_FILE"


def test_a_key_that_another_template_made_unique_is_rejected_row_by_row(
    gateway: GatewayClient, oracle: Oracle, resource: str
) -> None:
    first = planted_file(100, bad_share=0)
    imported(gateway, first.content, planted_template(resource, import_mode="upsert", upsert_key="sku"))
    again = planted_file(6_000, bad_share=0)
    run = imported(gateway, again.content, planted_template(resource))
    planted = PlantedFile(
        again.content,
        {row: sku for row, sku in again.valid.items() if row > 100},
        frozenset(range(1, 101)),
    )
    oracle.assert_exactly_once(run["id"], planted, resource)
    assert gateway.rejected(run["id"])[0]["errors"][0]["code"] == "DUPLICATE_KEY"


def test_work_is_shared_among_replicas(stack: Stack, gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    planted = planted_file(60_000)
    run = imported(gateway, planted.content, planted_template(resource))
    oracle.assert_exactly_once(run["id"], planted, resource)
    for service in ("validator", "writer"):
        shares = [httpx.get(f"{replica.url}/metrics", trust_env=False).text for replica in stack.services[service]]
        assert len(shares) == 2
        assert all('outcome="done"' in share for share in shares), service


def test_the_receiver_gets_signed_webhooks(gateway: GatewayClient, receiver: Receiver, resource: str) -> None:
    template = gateway.create_template(planted_template(resource, webhook_url=receiver.url))
    run = gateway.wait(gateway.upload(template["id"], planted_file(10).content)["id"], "validated")
    gateway.execute(run["id"])
    expected = ["import.completed", "import.started", "import.validated"]
    eventually(lambda: sorted(_types(receiver, template)) == expected, "three webhooks")
    completed = next(body for _, body in receiver.verified(template["webhook_secret"]) if body["event"] == expected[0])
    assert completed["import_id"] == run["id"]
    assert completed["num_rows"] == 10


def _types(receiver: Receiver, template: dict[str, Any]) -> list[str]:
    return [body["type"] for _, body in receiver.verified(template["webhook_secret"])]
