"""The commands that users of the import engine know, as they are written down for them, against the whole stack.

Each is quoted as it stands there and translated by its own arguments alone; the ids in it (``664a...`` a template,
``664b...`` a run, ``664c...`` a rejected row) are those of this test. What it answers is what is said beside it.
"""

import shlex
from typing import Any, Final

import httpx
import pytest

from deploy.local.stack import Stack, make_organization
from tests.client import GatewayClient
from tests.oracle import Oracle

pytestmark = pytest.mark.servers

HOST: Final = "http://localhost:5001"
UPLOAD = """
curl -X POST "http://localhost:5001/imports/upload" \\
  -H "Authorization: Bearer $TOKEN" \\
  -F "template_id=664a..." \\
  -F "file=@products.csv"
"""
PREVIEW = """
curl -X POST "http://localhost:5001/imports/preview" \\
  -H "Authorization: Bearer $TOKEN" \\
  -F "template_id=664a..." \\
  -F "file=@products.csv"
"""
EXECUTE = """
curl -X POST "http://localhost:5001/imports/runs/664b.../execute" \\
  -H "Authorization: Bearer $TOKEN"
"""
CANCEL = 'curl -X POST "http://localhost:5001/imports/runs/664b.../cancel"'
REVERT = 'curl -X POST "http://localhost:5001/imports/runs/664b.../revert"'
REJECTED = 'curl "http://localhost:5001/imports/rejected?run_id=664b..."'
CORRECT = """
curl -X PUT "http://localhost:5001/imports/rejected/664c..." \\
  -H "Content-Type: application/json" \\
  -d '{"corrected_data": {"sku": "ABC123", "price": "199.00"}}'
"""
RETRY = 'curl -X POST "http://localhost:5001/imports/rejected/664c.../retry"'
RETRY_ALL = 'curl -X POST "http://localhost:5001/imports/runs/664b.../retry-all"'
DISCARD = 'curl -X POST "http://localhost:5001/imports/rejected/664c.../discard"'
UPLOAD_FOR_TENANT = """
curl -X POST "http://localhost:5001/imports/upload" \\
  -F "template_id=664a..." \\
  -F "target_tenant_id=664b..." \\
  -F "file=@products.csv"
"""

PRODUCTS = b"""SKU,Name,Price,Active,Updated
P1, Anvil ,10.00,true,2026-01-01
P2,Bellows,20.00,yes,2026-01-02
P3,Chisel,30.00,ja,2026-01-03
P4,Drill,40.00,0,2026-01-04
P5,Eyelet,50.00,false,2026-01-05
P6,Forge,cheap,true,2026-01-06
P7,Gauge,dear,true,2026-01-07
P8,Hammer,free,true,2026-01-08
"""
WITHOUT_P5 = b"".join(line for line in PRODUCTS.splitlines(keepends=True)[:6] if not line.startswith(b"P5")) + (
    b"ABC123,Forge,199.00,true,2026-01-06\nP7,Gauge,70.00,true,2026-01-07\n"
)


def products_sync(resource: str, **changes: object) -> dict[str, Any]:
    """The template of the reference, member for member; only the collection is the test's own."""
    return {
        "name": "products-sync",
        "description": "Daily product catalogue sync from ERP",
        "file_type": "csv",
        "delimiter": ",",
        "encoding": "utf-8",
        "has_header": True,
        "target_resource": resource,
        "import_mode": "sync",
        "upsert_key": "sku",
        "scope_filter": {"source": "erp"},
        "field_mapping": [
            {"source": "SKU", "target": "sku", "required": True},
            {"source": "Name", "target": "name", "required": True, "transform": "trim"},
            {"source": "Price", "target": "price", "transform": "decimal:2"},
            {"source": "Active", "target": "is_active", "transform": "boolean"},
            {"source": "Updated", "target": "updated_at", "transform": "date:YYYY-MM-DD"},
        ],
        "default_values": {"source": "erp"},
        "required_columns": ["SKU", "Name"],
        **changes,
    }


class Shell:
    """Sends what a command says.

    Attributes:
        ids: what stands for ``664a...`` and the others.
        file: content of ``products.csv``.
    """

    def __init__(self, gateway: GatewayClient) -> None:
        self._gateway = gateway
        self.ids: dict[str, str] = {}
        self.file = PRODUCTS

    def __call__(self, command: str, **ids: str) -> dict[str, Any]:
        answer = self.send(command, **ids)
        assert answer.status_code in {200, 201}, f"{command}\n{answer.status_code} {answer.text}"
        return answer.json()

    def send(self, command: str, **ids: str) -> httpx.Response:
        for name, identifier in {**self.ids, **ids}.items():
            command = command.replace(f"{name[1:]}...", identifier)
        program, *words = shlex.split(command.replace("\\\n", " "))
        assert (program, "..." in command) == ("curl", False), command
        method, path, body = "GET", "", None
        headers: dict[str, str] = {}
        form: dict[str, tuple[str | None, bytes]] = {}
        arguments = iter(words)
        for word in arguments:
            match word:
                case "-X":
                    method = next(arguments)
                case "-H":
                    name, _, value = next(arguments).partition(": ")
                    headers[name] = value
                case "-d":
                    body = next(arguments).encode()
                case "-F":
                    name, _, value = next(arguments).partition("=")
                    form[name] = ("products.csv", self.file) if value == "@products.csv" else (None, value.encode())
                case _:
                    assert word.startswith(HOST), word
                    path = word.removeprefix(HOST)
        # Where the reference leaves the header out, it leaves it to the reader.
        assert headers.pop("Authorization", "Bearer $TOKEN") == "Bearer $TOKEN"
        return self._gateway.http.request(method, path, headers=headers, content=body, files=form or None)


@pytest.fixture
def shell(gateway: GatewayClient) -> Shell:
    return Shell(gateway)


def live(oracle: Oracle, resource: str) -> dict[str, Any]:
    return {each["sku"]: each for each in oracle.target[resource].find({"is_deleted": False})}


def test_a_file_is_uploaded_previewed_executed_mended_and_taken_back(
    gateway: GatewayClient, oracle: Oracle, resource: str, shell: Shell
) -> None:
    template_id = gateway.create_template(products_sync(resource))["id"]
    shell.ids["_664a"] = template_id
    # 1. Upload a file, get a validated run: "ImportRun in status validated with preview_rows".
    run = shell(UPLOAD)
    assert (run["status"], run["total_rows"]) == ("validated", 8)
    assert [row["name"] for row in run["preview_rows"]] == ["Anvil", "Bellows", "Chisel", "Drill", "Eyelet"]
    assert live(oracle, resource) == {}
    # 2. "compute full diff … without touching the database".
    diff = shell(PREVIEW)
    assert {name: diff[name] for name in ("to_create", "to_update", "to_delete", "to_skip")} == {
        "to_create": 5, "to_update": 0, "to_delete": 0, "to_skip": 0
    }  # fmt: skip
    assert [sample["after"]["sku"] for sample in diff["samples"]["create"]] == ["P1", "P2", "P3", "P4", "P5"]
    assert live(oracle, resource) == {}
    # 3. "ImportRun in status completed with created_count etc."
    run = shell(EXECUTE, _664b=run["id"])
    counts = ("created_count", "updated_count", "deleted_count", "skipped_count", "rejected_count")
    assert (run["status"], [run[name] for name in counts]) == ("completed", [5, 0, 0, 0, 3])
    records = live(oracle, resource)
    assert {sku: (str(each["price"]), each["is_active"]) for sku, each in records.items()} == {
        "P1": ("10.00", True), "P2": ("20.00", True), "P3": ("30.00", True), "P4": ("40.00", False),
        "P5": ("50.00", False),
    }  # fmt: skip
    assert {each["source"] for each in records.values()} == {"erp"}
    # "List all rejected records for a run": "original parsed data and the list of errors".
    rejected = {each["row"]: each for each in shell(REJECTED, _664b=run["id"])["data"]}
    assert {row: each["data"]["SKU"] for row, each in rejected.items()} == {6: "P6", 7: "P7", 8: "P8"}
    assert {error["code"] for each in rejected.values() for error in each["errors"]} == {"NOT_A_NUMBER"}
    # "Submit corrections", "Retry a single corrected record".
    corrected = shell(CORRECT, _664c=rejected[6]["id"])
    assert (corrected["state"], corrected["errors"]) == ("corrected", [])
    retry = shell(RETRY, _664c=rejected[6]["id"])
    assert (retry["status"], retry["created_count"]) == ("completed", 1)
    # "Retry everything that has been corrected": the row that nobody has corrected stays.
    again = CORRECT.replace('"sku": "ABC123", "price": "199.00"', '"price": "70.00"')
    assert shell(again, _664c=rejected[7]["id"])["errors"] == []
    retry = shell(RETRY_ALL, _664b=run["id"])
    assert (retry["status"], retry["created_count"]) == ("completed", 1)
    # "Or give up on a record".
    assert shell(DISCARD, _664c=rejected[8]["id"])["state"] == "discarded"
    assert set(live(oracle, resource)) == {"P1", "P2", "P3", "P4", "P5", "ABC123", "P7"}
    states = {each["row"]: each["state"] for each in shell(REJECTED, _664b=run["id"])["data"]}
    assert states == {6: "written", 7: "written", 8: "discarded"}
    # "soft-delete anything in the scope that is not in the file", and "restores soft-deleted records".
    shell.file = WITHOUT_P5
    second = shell(EXECUTE, _664b=shell(UPLOAD)["id"])
    assert (second["deleted_count"], second["unchanged_count"], second["created_count"]) == (1, 6, 0)
    (gone,) = oracle.target[resource].find({"is_deleted": True})
    assert (gone["sku"], second["deleted_ids"]) == ("P5", [str(gone["_id"])])
    reverted = shell(REVERT, _664b=second["id"])
    assert reverted["status"] == "reverted"
    (back,) = oracle.target[resource].find({"sku": "P5"})
    assert (back["is_deleted"], back.get("deleted_at")) == (False, None)


def test_a_run_that_waits_is_cancelled(gateway: GatewayClient, oracle: Oracle, resource: str, shell: Shell) -> None:
    shell.ids["_664a"] = gateway.create_template(products_sync(resource))["id"]
    run = shell(UPLOAD)
    assert shell(CANCEL, _664b=run["id"])["status"] == "cancelled"
    assert shell.send(EXECUTE, _664b=run["id"]).status_code == 409
    assert live(oracle, resource) == {}
    # "POST /imports/dry-run validates a file without creating a run".
    before = gateway.http.get("/imports/runs").json()
    tried = shell(UPLOAD.replace("/imports/upload", "/imports/dry-run"))
    assert (tried["status"], tried["valid_rows"], tried["rejected_count"]) == ("validated", 5, 3)
    assert gateway.http.get("/imports/runs").json() == before


def test_an_import_is_routed_to_a_tenant_below(
    stack: Stack, gateway: GatewayClient, oracle: Oracle, resource: str, shell: Shell
) -> None:
    template = gateway.create_template(products_sync(resource, shared_with_children=True))
    shell.ids["_664a"] = template["id"]
    with GatewayClient(stack.gateway, make_organization(stack, "child", template["tenant_id"])) as child:
        child_id = child.create_template(products_sync(f"{resource}_own"))["tenant_id"]
        shared = child.http.get(f"/imports/templates/{template['id']}").json()
        assert (shared["shared_from_tenant_id"], shared["read_only"]) == (template["tenant_id"], True)
        run = shell(EXECUTE, _664b=shell(UPLOAD_FOR_TENANT, _664b=child_id)["id"])
        assert (run["status"], run["target_tenant_id"], run["created_count"]) == ("completed", child_id, 5)
        assert oracle.target[resource].distinct("tenant_id") == [child_id]
        # "The API validates that the current user has access to the target tenant".
        refused = Shell(child).send(UPLOAD_FOR_TENANT, _664a=template["id"], _664b=template["tenant_id"])
        assert (refused.status_code, refused.json()["code"]) == (404, "TENANT_NOT_FOUND")


FIRST = b"""SKU,Name,Price,Active,Updated,Gone
P1,Anvil,1.00,yes,2026-01-01,
P2,Bellows,2.00,yes,2026-01-01,
P3,Chisel,3.00,yes,2026-01-01,
P4,Drill,4.00,yes,2026-01-01,
P5,Eyelet,5.00,yes,2026-01-01,
"""
CHANGED = FIRST.replace(b"1.00,", b"1.50,") + b"P6,Forge,6.00,yes,2026-01-01,\n"
FLAGGED = b"".join(
    line.rstrip(b"\n") + flag + b"\n"
    for line, flag in zip(FIRST.splitlines(), (b"", b"true", b"1", b"yes", b"delete", b""), strict=True)
)


@pytest.mark.parametrize(
    ("content", "changes", "expected"),
    [
        (CHANGED, {"import_mode": "append"}, {"created_count": 6}),
        (CHANGED, {"import_mode": "create"}, {"created_count": 6}),
        (
            CHANGED,
            {"import_mode": "upsert", "upsert_key": "sku"},
            {"created_count": 1, "updated_count": 1, "unchanged_count": 4},
        ),
        (
            CHANGED,
            {"import_mode": "update", "upsert_key": "sku"},
            {"updated_count": 1, "unchanged_count": 4, "skipped": {"UNCHANGED": 4, "NOT_FOUND": 1}},
        ),
        (
            FLAGGED,
            {"import_mode": "upsert", "upsert_key": "sku", "delete_column": "Gone"},
            {"deleted_count": 4, "unchanged_count": 1},
        ),
    ],
    ids=("append", "create", "upsert", "update", "delete_column"),
)
def test_every_mode_does_what_its_line_says(
    gateway: GatewayClient,
    resource: str,
    shell: Shell,
    content: bytes,
    changes: dict[str, str],
    expected: dict[str, object],
) -> None:
    """``sync`` is above."""
    sync, run = products_sync(resource), dict[str, Any]()
    plain = {name: value for name, value in sync.items() if name not in {"scope_filter", "upsert_key"}}
    for number, (file, mode) in enumerate(((FIRST, {"import_mode": "append"}), (content, changes))):
        shell.ids["_664a"] = gateway.create_template({**plain, **mode, "name": f"products {number}"})["id"]
        shell.file = file
        run = shell(EXECUTE, _664b=shell(UPLOAD)["id"])
    counts = dict.fromkeys(("created_count", "updated_count", "deleted_count", "unchanged_count"), 0)
    wanted = {**counts, **expected}
    assert {name: run[name] for name in wanted} == wanted
