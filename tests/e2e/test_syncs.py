"""Syncs through the whole stack: what they delete, when they ask, one after another, and back."""

import csv
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.client import GatewayClient, eventually
from tests.oracle import Oracle
from tests.receiver import Receiver

pytestmark = pytest.mark.servers


def sync_template(resource: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "name": f"sync {resource}",
        "target_resource": resource,
        "import_mode": "sync",
        "upsert_key": "sku",
        "scope_filter": {"source": "erp"},
        "default_values": {"source": "erp"},
        "field_mapping": [
            {"source": "sku", "target": "sku", "required": True},
            {"source": "name", "target": "name", "required": True},
            {"source": "price", "target": "price", "transform": "decimal:2"},
        ],
        **changes,
    }


def csv_of(numbers: Iterable[int], price: str = "1.00") -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["sku", "name", "price"])
    writer.writerows([f"S{number:06d}", f"Name {number}", price] for number in numbers)
    return out.getvalue().encode()


def execute(gateway: GatewayClient, run_id: str, confirm: object = None) -> httpx.Response:
    query = {} if confirm is None else {"confirm_deletes": str(confirm)}
    return gateway.http.post(f"/imports/runs/{run_id}/execute", params=query)


def synced(gateway: GatewayClient, template_id: str, content: bytes, confirm: object = "true") -> dict[str, Any]:
    """The run at its end."""
    run = gateway.wait(gateway.upload(template_id, content)["id"], "validated")
    assert run["status"] == "validated", run["error"]
    assert execute(gateway, run["id"], confirm).status_code in {200, 202}
    return gateway.wait(run["id"])


def live(oracle: Oracle, resource: str, **conditions: object) -> set[str]:
    return {record["sku"] for record in oracle.target[resource].find({"is_deleted": False, **conditions})}


def names(numbers: Iterable[int]) -> set[str]:
    return {f"S{number:06d}" for number in numbers}


def test_a_sync_deletes_asks_and_is_taken_back(
    gateway: GatewayClient, oracle: Oracle, resource: str, receiver: Receiver
) -> None:
    template = gateway.create_template(sync_template(resource, webhook_url=receiver.url))
    first = synced(gateway, template["id"], csv_of(range(20_000)), None)
    assert (first["status"], first["created_count"], first["deleted_count"]) == ("completed", 20_000, 0)
    oracle.target[resource].insert_many(
        [{**record, "source": "shop"} for record in ({"sku": f"X{at}", "tenant_id": tenant, "is_deleted": False}
            for at, tenant in [(1, first["target_tenant_id"]), (2, "another")])]
    )  # fmt: skip
    before = {record["_id"]: record for record in oracle.target[resource].find({"source": "erp"})}
    # Half of the records would go.
    run = gateway.wait(gateway.upload(template["id"], csv_of(range(10_000, 20_500), "2.00"))["id"], "validated")
    refused = execute(gateway, run["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "DELETES_NOT_CONFIRMED")
    assert "confirm_deletes=10000" in refused.json()["detail"]
    asked = gateway.run(run["id"])
    assert (asked["status"], asked["sync"]["stage"], asked["sync"]["delete_count"]) == (
        "validated",
        "unconfirmed",
        10_000,
    )
    assert asked["sync"]["reasons"] == ["LARGE_SHARE"]
    assert execute(gateway, run["id"], 9_999).json()["code"] == "DELETES_NOT_CONFIRMED"
    assert execute(gateway, run["id"], "some").status_code in {400, 422}
    assert live(oracle, resource, source="erp") == names(range(20_000))
    assert execute(gateway, run["id"], 10_000).status_code in {200, 202}
    run = gateway.wait(run["id"])
    assert (run["status"], run["deleted_count"], run["created_count"]) == ("completed", 10_000, 500)
    assert run["updated_count"] == 10_000
    assert run["total_rows"] == 10_500 == run["written_count"] + run["rejected_count"] + run["skipped_count"]
    assert len(run["deleted_ids"]) == 1_000
    pages, query = list[str](), dict[str, object]()
    while True:
        page = gateway.http.get(f"/imports/runs/{run['id']}/deleted", params={"limit": 900, **query}).json()
        pages += page["data"]
        if page["next_after"] is None:
            break
        query = {"after": page["next_after"]}
    gone = {str(record["_id"]) for record in oracle.target[resource].find({"is_deleted": True})}
    assert len(pages) == 10_000 == len(gone & set(pages))
    assert live(oracle, resource, source="erp") == names(range(10_000, 20_500))
    assert live(oracle, resource, source="shop") == {"X1", "X2"}
    assert gateway.try_revert(run["id"]).status_code in {200, 202}
    eventually(lambda: gateway.run(run["id"])["status"] == "reverted", "the sync is reverted")
    reverted = gateway.run(run["id"])["reverted"]
    assert reverted == {"removed_count": 500, "restored_count": 10_000, "returned_count": 10_000, "kept_count": 0}
    assert {record["_id"]: record for record in oracle.target[resource].find({"source": "erp"})} == before

    def told() -> bool:
        bodies = [body["data"] for _, body in receiver.verified(template["webhook_secret"])]
        return sum("question" in data for data in bodies) == 2

    eventually(told, "the receiver was asked twice")


def test_rejected_rows_protect_their_record(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    template = gateway.create_template(sync_template(resource))
    synced(gateway, template["id"], csv_of(range(100)))
    content = (
        csv_of(range(95)).replace(b"S000007,Name 7,1.00", b"S000007,,1.00").replace(b"Name 8,1.00", b"Name 8,much")
    )
    run = gateway.wait(gateway.upload(template["id"], content)["id"], "validated")
    answer = execute(gateway, run["id"])
    assert answer.status_code in {200, 202}, answer.text
    run = gateway.wait(run["id"])
    assert (run["rejected_count"], run["deleted_count"], run["status"]) == (2, 5, "completed")
    assert live(oracle, resource) == names(range(95))
    # A row whose record nobody can tell may mean any of those that would go.
    unclear = csv_of(range(94)).replace(b"S000007,Name 7", b",Name 7")
    run = gateway.wait(gateway.upload(template["id"], unclear)["id"], "validated")
    refused = execute(gateway, run["id"])
    assert refused.json()["code"] == "DELETES_NOT_CONFIRMED"
    assert gateway.run(run["id"])["sync"]["reasons"] == ["UNCLEAR_KEYS"]
    gateway.try_cancel(run["id"])
    assert live(oracle, resource) == names(range(95))


def test_runs_that_execute_themselves_stop_where_they_would_ask(
    gateway: GatewayClient, oracle: Oracle, resource: str
) -> None:
    template = gateway.create_template(sync_template(resource, auto_execute=True))
    run = gateway.wait(gateway.upload(template["id"], csv_of(range(100)))["id"], "completed")
    assert run["created_count"] == 100
    small = gateway.wait(gateway.upload(template["id"], csv_of(range(10, 100)))["id"])
    assert (small["status"], small["deleted_count"]) == ("completed", 10)
    empty = gateway.upload(template["id"], csv_of([]))

    def asks() -> bool:
        found = gateway.run(empty["id"])
        return found["sync"] is not None and found["sync"]["stage"] == "unconfirmed"

    eventually(asks, "the run asks")
    found = gateway.run(empty["id"])
    assert (found["status"], found["sync"]["reasons"]) == ("validated", ["EMPTY_FILE", "LARGE_SHARE"])
    assert "names no record" in found["sync"]["message"]
    assert live(oracle, resource) == names(range(10, 100))


def test_twenty_syncs_at_once_come_one_after_another(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    template = gateway.create_template(sync_template(resource, auto_execute=True))
    gateway.wait(gateway.upload(template["id"], csv_of(range(2_000)))["id"], "completed")
    ids = [gateway.upload(template["id"], csv_of(range(at, 2_000 + at), f"{at}.00"))["id"] for at in range(1, 21)]
    runs = [gateway.wait(run_id, seconds=240) for run_id in ids]
    assert [(run["status"], run["error"]) for run in runs] == [("completed", None)] * 20
    for run in runs:
        assert run["total_rows"] == 2_000 == run["written_count"] + run["skipped_count"]
    moments = [[datetime.fromisoformat(run[name]) for name in ("executing_at", "finished_at")] for run in runs]
    overlapping = [each for each in pairwise(sorted(moments)) if each[0][1] > each[1][0]]
    assert overlapping == []
    # What is there is what the last one of them held, every record of it.
    last = max(range(20), key=lambda at: moments[at][1]) + 1
    assert live(oracle, resource) == names(range(last, 2_000 + last))
    prices = {str(record["price"]) for record in oracle.target[resource].find({"is_deleted": False})}
    assert prices == {f"{last}.00"}


def _xml(numbers: Iterable[int]) -> bytes:
    rows = "".join(f"<row><sku>S{at:06d}</sku><name>Name {at}</name><price>1.00</price></row>" for at in numbers)
    return f"<rows>{rows}</rows>".encode()


def _json(numbers: Iterable[int]) -> bytes:
    return json.dumps([{"sku": f"S{at:06d}", "name": f"Name {at}", "price": "1.00"} for at in numbers]).encode()


def _json_lines(numbers: Iterable[int]) -> bytes:
    return b"".join(_json([at])[1:-1] + b"\n" for at in numbers)


def _xlsx(numbers: Iterable[int]) -> bytes:
    openpyxl = pytest.importorskip("openpyxl")
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in [["sku", "name", "price"], *([f"S{at:06d}", f"Name {at}", "1.00"] for at in numbers)]:
        book.active.append(row)
    book.save(out)
    assert zipfile.is_zipfile(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("made", "file_type"),
    [(csv_of, "csv"), (_json, "json"), (_json_lines, "json"), (_xml, "xml"), (_xlsx, "excel")],
    ids=["csv", "json", "json_lines", "xml", "xlsx"],
)
def test_a_file_that_is_cut_off_deletes_nothing_unasked(
    made: Callable[[Iterable[int]], bytes], file_type: str, gateway: GatewayClient, oracle: Oracle, resource: str
) -> None:
    chance = random.Random(file_type)
    template = gateway.create_template(sync_template(resource, file_type=file_type))
    whole = made(range(200))
    run = synced(gateway, template["id"], whole)
    assert (run["status"], run["total_rows"]) == ("completed", 200), run["error"]
    for _ in range(6):
        # Few rows are missing, so that the share alone would let it pass; not exactly behind a line.
        at = chance.randrange(len(whole) * 85 // 100, len(whole) - 3)
        while whole[at - 1 : at] == b"\n":
            at += 1
        answer = gateway.http.post(
            "/imports/upload", data={"template_id": template["id"]}, files={"file": ("rows", whole[:at])}
        )
        if answer.status_code >= 400:
            continue
        run = gateway.wait(answer.json()["id"], "validated")
        if run["status"] == "validated":
            refused = execute(gateway, run["id"])
            ended = gateway.wait(run["id"], "validated")
            assert ended["deleted_count"] == 0, (at, whole[at - 40 : at])
            assert refused.status_code == 409 or ended["total_rows"] >= 200
            gateway.try_cancel(run["id"])
        else:
            assert run["status"] == "failed"
        assert live(oracle, resource) >= names(range(200))
