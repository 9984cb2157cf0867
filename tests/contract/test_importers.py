"""The importers API against its reference; ``docs/contract-importers.md`` says which test holds which part of it."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import xlsxwriter
from bson import ObjectId

from deploy.local.stack import Stack
from services.gateway.access.api_keys import digest, new_key
from tests.client import GatewayClient, eventually
from tests.contract import importers_reference as reference
from tests.contract.comparing import assert_like, quoted
from tests.oracle import Oracle
from tests.receiver import Receiver

pytestmark = pytest.mark.servers
IMPORTERS, IMPORTS = f"{reference.BASE}/importers", f"{reference.BASE}/imports"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENDS = {"completed", "failed"}


@pytest.fixture
def http(gateway: GatewayClient) -> httpx.Client:
    """A client with the stack's API key."""
    return gateway.http


def create(http: httpx.Client, **changes: object) -> dict[str, Any]:
    body = {**quoted(reference.CREATE), "webhook_url": None, **changes}
    answer = http.post(IMPORTERS, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def start(http: httpx.Client, importer_id: str, content: bytes, name: str = "rows.csv", **parts: str) -> dict[str, Any]:
    form = {"importer_id": importer_id, **parts}
    answer = http.post(IMPORTS, data=form, files={"file": (name, content)})
    assert answer.status_code == 201, answer.text
    return answer.json()


def ended(http: httpx.Client, import_id: str) -> dict[str, Any]:
    """The import at its end; on the way it has only the documented statuses."""

    def look() -> dict[str, Any] | None:
        shown = http.get(f"{IMPORTS}/{import_id}").json()
        assert shown["status"] in reference.STATUSES
        return shown if shown["status"] in ENDS else None

    return eventually(look, f"the import {import_id} ends")


def imported(http: httpx.Client, importer: dict[str, Any], content: bytes, **parts: str) -> dict[str, Any]:
    return ended(http, start(http, importer["id"], content, **parts)["id"])


def records(oracle: Oracle, importer: dict[str, Any]) -> list[dict[str, Any]]:
    return list(oracle.target[importer["target_resource"]].find(sort=[("_import.row", 1)]))


def text_field(name: str, **members: object) -> dict[str, Any]:
    return {"name": name, "type": "text", **members}


# --- Importers -----------------------------------------------------------------------------------


def test_list_importers(http: httpx.Client) -> None:
    made = [create(http, **quoted(reference.CREATE))["id"] for _ in range(2)]
    answer = http.get(IMPORTERS, params={"limit": 1000})
    assert answer.status_code == 200
    listed = [each for each in answer.json() if each["id"] in made]
    assert len(listed) == 2
    # Of what is listed the reference shows no 'updated_at'.
    assert_like(listed, quoted(reference.LIST), ("updated_at", *reference.ADDITIONS))


def test_skip_and_limit(http: httpx.Client) -> None:
    field = text_field("a")
    for number in range(101):
        create(http, name=f"many {number}", fields=[field], target_resource="contract_many")
    everything = http.get(IMPORTERS, params={"limit": 1000}).json()
    assert len(everything) > 100
    assert http.get(IMPORTERS).json() == everything[:100]
    assert http.get(IMPORTERS, params={"skip": 99, "limit": 2}).json() == everything[99:101]
    assert http.get(IMPORTERS, params={"skip": len(everything)}).json() == []


def test_get_importer(http: httpx.Client) -> None:
    made = create(http, **quoted(reference.CREATE))
    answer = http.get(f"{IMPORTERS}/{made['id']}")
    assert answer.status_code == 200
    assert_like(answer.json(), quoted(reference.IMPORTER), reference.ADDITIONS)
    documented = quoted(reference.IMPORTER)
    for member in documented.keys() - {"id", "key", "created_at", "updated_at"}:
        assert answer.json()[member] == documented[member], member


def test_create_importer(http: httpx.Client) -> None:
    asked = quoted(reference.CREATE)
    answer = http.post(IMPORTERS, json=asked)
    made = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"{IMPORTERS}/{made['id']}")
    assert_like(made, quoted(reference.IMPORTER), reference.ADDITIONS)
    computed = {"id": "email", "label": "Email Address"}
    assert made["fields"] == [{**asked["fields"][0], **computed}]
    assert {**made, **asked} == {**made, "fields": asked["fields"]}
    assert len({create(http)[member] for member in ("id", "key") for _ in range(2)}) == 4


def test_defaults(http: httpx.Client) -> None:
    made = http.post(IMPORTERS, json={"name": "Least", "fields": [{"name": "first_name", "type": "text"}]}).json()
    kinds = {"boolean": bool, "number": int}
    for line in reference.OPTIONS.strip().splitlines():
        name, kind, default, _ = line.split(" ", 3)
        assert made[name] == json.loads(default), name
        assert default == "null" or type(made[name]) is kinds[kind], name
    assert (made["description"], made["webhook_url"], made["webhook_enabled"]) == (None, None, True)
    [field] = made["fields"]
    given = {"name": "first_name", "display_name": None, "type": "text"}
    computed = {"id": "first_name", "label": "First Name"}
    assert field == {**given, **computed, "validators": [], "transformations": [], "options": None}


def test_update_importer(http: httpx.Client) -> None:
    """The same members as for creation, all of them optional."""
    made = create(http)
    url = f"{IMPORTERS}/{made['id']}"
    changes = {
        **quoted(reference.CREATE),
        "name": "Customers",
        "description": None,
        "fields": [{"name": "age", "type": "number"}],
        "webhook_enabled": False,
        **{line.split(" ")[0]: True for line in reference.OPTIONS.strip().splitlines()},
        "webhook_data_sample_size": 3,
    }
    assert changes.keys() == quoted(reference.CREATE).keys()
    expected = made
    for member, value in changes.items():
        answer = http.put(url, json={member: value})
        assert answer.status_code == 200, answer.text
        assert answer.json().keys() == {*quoted(reference.IMPORTER), *reference.ADDITIONS}
        unread = {name: answer.json()[name] for name in ("updated_at", "webhook_secret", "errors", "fields")}
        expected = {**expected, member: value, **unread}
        assert answer.json() == expected, member
    assert [field["name"] for field in http.get(url).json()["fields"]] == ["age"]


def test_delete_importer(http: httpx.Client) -> None:
    url = f"{IMPORTERS}/{create(http)['id']}"
    answer = http.delete(url)
    assert (answer.status_code, answer.content) == (204, b"")
    assert http.get(url).status_code == http.put(url, json={}).status_code == http.delete(url).status_code == 404


def test_data_in_webhooks_is_kept(http: httpx.Client) -> None:
    made = create(http, include_data_in_webhook=True)
    assert made["include_data_in_webhook"] is True
    assert made["errors"] == []


# --- Imports -------------------------------------------------------------------------------------

CUSTOMERS = b"CSV Column Name,Customer Name,Left Over\nA@B.example ,Ann,x\nc@d.example,Cem,y\n"
CUSTOMER_FIELDS = [*quoted(reference.CREATE)["fields"], text_field("name")]


def workbook(content: bytes) -> bytes:
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream) as book:
        sheet = book.add_worksheet()
        for number, line in enumerate(content.decode().splitlines()):
            sheet.write_row(number, 0, line.split(","))
    return stream.getvalue()


@pytest.mark.parametrize("name", ["customers.csv", "customers.xlsx"])
def test_create_import(http: httpx.Client, oracle: Oracle, name: str) -> None:
    importer = create(http, fields=CUSTOMER_FIELDS)
    content = workbook(CUSTOMERS) if name.endswith("xlsx") else CUSTOMERS
    started = start(http, importer["id"], content, name, mapping=reference.MAPPING)
    assert_like(started, quoted(reference.STARTED))
    assert started["importer_id"] == importer["id"]
    assert started["status"] in reference.STATUSES
    shown = ended(http, started["id"])
    assert_like(shown, quoted(reference.IMPORT), reference.IMPORT_ADDITIONS)
    assert {**shown, **started, "status": "completed"} == shown
    assert (shown["num_rows"], shown["num_errors"], shown["errors"], shown["error"]) == (2, 0, [], None)
    assert shown["completed_at"] >= shown["created_at"]
    written = [(each["email"], each["name"], each.get("extra")) for each in records(oracle, importer)]
    assert written == [("a@b.example", "Ann", None), ("c@d.example", "Cem", None)]


@pytest.mark.parametrize("include", [True, False])
def test_unmatched_columns(http: httpx.Client, oracle: Oracle, include: bool) -> None:
    importer = create(http, fields=CUSTOMER_FIELDS, include_unmatched_columns=include)
    assert imported(http, importer, CUSTOMERS, mapping=reference.MAPPING)["status"] == "completed"
    extra = [each.get("extra") for each in records(oracle, importer)]
    assert extra == ([{"Left Over": "x"}, {"Left Over": "y"}] if include else [None, None])


@pytest.mark.parametrize(
    ("policy", "status", "written"),
    [({"disable_on_invalid_rows": True}, "failed", 0), ({"filter_invalid_rows": True}, "completed", 98),
     ({}, "completed", 100)],
    ids=["disable_on_invalid_rows", "filter_invalid_rows", "neither"],
)  # fmt: skip
def test_get_import_status_and_invalid_rows(
    http: httpx.Client, oracle: Oracle, policy: dict[str, bool], status: str, written: int
) -> None:
    importer = create(http, fields=CUSTOMER_FIELDS, **policy)
    emails = [f"user{row}@example.com" for row in range(1, 101)]
    emails[4], emails[70] = "nobody at example", ""
    shown = imported(http, importer, ("email,name\n" + "".join(f"{email},n\n" for email in emails)).encode())
    documented = quoted(reference.IMPORT)
    if status == "failed":
        documented["completed_at"] = None
    assert_like(shown, documented, reference.IMPORT_ADDITIONS)
    assert (shown["status"], shown["num_rows"], shown["num_errors"]) == (status, 100, 2)
    places = [(error["row"], error["field"]) for error in shown["errors"]]
    assert places == [(5, "email"), (71, "email")]
    assert shown["errors"][1]["message"] == "Email is required"
    assert (shown["completed_at"] is None) == (shown["error"] is not None) == (status == "failed")
    found = records(oracle, importer)
    assert len(found) == written
    kept = [each["email"] for each in found if each["_import"]["row"] == 5]
    assert kept == ([] if policy else ["nobody at example"])


# --- Fields --------------------------------------------------------------------------------------

TYPES: dict[str, tuple[str, object, str, dict[str, Any]]] = {
    "text": ("any thing", "any thing", "", {"validators": [{"type": "required"}]}),
    "email": ("a@example.com", "a@example.com", "nobody", {}),
    "number": ("12.5", 12.5, "many", {}),
    "date": ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC), "2023-02-29", {}),
    "phone": ("+1 650 253 0000", "+1 650 253 0000", "call me", {}),
    "boolean": ("yes", True, "perhaps", {}),
    "select": ("red", "red", "blue", {"options": ["red", "green"]}),
    "custom_regex": ("AB1234", "AB1234", "1234AB", {"validators": [json.loads(reference.VALIDATORS[5])]}),
}
"""By type: a text that passes, the value that is written, a text that does not pass, what the field needs."""


def test_field_types(http: httpx.Client, oracle: Oracle) -> None:
    assert tuple(TYPES) == reference.FIELD_TYPES
    fields = [{"name": f"a_{name}", "type": name, **needs} for name, (_, _, _, needs) in TYPES.items()]
    importer = create(http, fields=fields, filter_invalid_rows=True)
    good = [text for text, _, _, _ in TYPES.values()]
    rows = [good, *([*good[:at], TYPES[name][2], *good[at + 1 :]] for at, name in enumerate(TYPES))]
    content = "\n".join([",".join(field["name"] for field in fields), *(",".join(row) for row in rows)])
    shown = imported(http, importer, content.encode())
    found = [(error["row"], error["field"]) for error in shown["errors"]]
    assert found == [(at, f"a_{name}") for at, name in enumerate(TYPES, start=2)]
    [record] = records(oracle, importer)
    assert {name: record[f"a_{name}"] for name in TYPES} == {name: value for name, (_, value, _, _) in TYPES.items()}


BROKEN = {
    "required": ("", "x"),
    "min_length": ("ab", "abc"),
    "max_length": ("x" * 51, "x" * 50),
    "min": ("-1", "0"),
    "max": ("101", "100"),
    "regex": ("ab1234", "AB1234"),
    "unique": ("same", ""),
}
"""By validator: a text that breaks it, and one that does not."""


def test_validators(http: httpx.Client) -> None:
    rules = [json.loads(quote) for quote in reference.VALIDATORS]
    assert [rule["type"] for rule in rules] == list(BROKEN)
    kinds = {"min": "number", "max": "number"}
    fields = [{"name": rule["type"], "type": kinds.get(rule["type"], "text"), "validators": [rule]} for rule in rules]
    importer = create(http, fields=fields, filter_invalid_rows=True)
    assert [field["validators"] for field in importer["fields"]] == [[rule] for rule in rules]
    passing = [BROKEN[rule["type"]][1] for rule in rules]
    # The first row that has a value keeps it; the one that repeats it is the last.
    rows = [[*passing[:-1], "same"]]
    rows += [[*passing[:at], BROKEN[rule["type"]][0], *passing[at + 1 :]] for at, rule in enumerate(rules)]
    content = "\n".join([",".join(BROKEN), *(",".join(row) for row in rows)])
    shown = imported(http, importer, content.encode())
    expected = [
        {"row": row, "field": rule["type"], "message": rule["message"]} for row, rule in enumerate(rules, start=2)
    ]
    assert shown["errors"] == expected


CHANGED = {
    "trim": ("  a b  ", "a b"),
    "uppercase": ("Abc", "ABC"),
    "lowercase": ("ABc", "abc"),
    "capitalize": ("ann marie", "Ann Marie"),
    "remove_special_chars": ("a-b c!1", "ab c1"),
    "normalize_phone": ("650.253.0000", "(650) 253-0000"),
    "normalize_date": ("Feb 29 2024", "2024-02-29"),
    "default": ("", "N/A"),
    "replace": ("a b c", "a_b_c"),
}
"""By transformation: a text of the file, and what is written of it."""


def test_transformations(http: httpx.Client, oracle: Oracle) -> None:
    transformations = quoted(reference.TRANSFORMATIONS)["transformations"]
    assert [each["type"] for each in transformations] == list(CHANGED)
    fields = [text_field(f"a_{each['type']}", transformations=[each]) for each in transformations]
    importer = create(http, fields=fields)
    assert [field["transformations"] for field in importer["fields"]] == [[each] for each in transformations]
    content = ",".join(field["name"] for field in fields) + "\n" + ",".join(text for text, _ in CHANGED.values())
    assert imported(http, importer, content.encode())["errors"] == []
    [record] = records(oracle, importer)
    assert {name: record[f"a_{name}"] for name in CHANGED} == {name: after for name, (_, after) in CHANGED.items()}


# --- Webhook events ------------------------------------------------------------------------------


def test_webhook_events(http: httpx.Client, receiver: Receiver) -> None:
    hooks = {"webhook_url": receiver.url, "webhook_secret": SECRET, "fields": CUSTOMER_FIELDS}
    importers = [create(http, **hooks), create(http, **hooks, disable_on_invalid_rows=True)]
    shown = [imported(http, importer, b"email,name\na@example.com,Ann\n,Cem\n") for importer in importers]
    assert [each["status"] for each in shown] == ["completed", "failed"]

    def delivered() -> dict[tuple[str, str], dict[str, Any]] | None:
        bodies = [body for _, body in receiver.verified(SECRET)]
        found = {(body["event"], body["import_id"]): body for body in bodies}
        wanted = {("import.completed", shown[0]["id"]), ("import.failed", shown[1]["id"])}
        return found if wanted | {("import.started", each["id"]) for each in shown} <= found.keys() else None

    found = eventually(delivered, "all events arrive")
    for event, number in (("import.started", 0), ("import.completed", 0), ("import.failed", 1)):
        body = found[event, shown[number]["id"]]
        assert_like(body, quoted(reference.EVENTS[event]), reference.EVENT_ADDITIONS)
        assert body["importer_id"] == importers[number]["id"]
    assert found["import.completed", shown[0]["id"]]["num_rows"] == 2
    assert found["import.failed", shown[1]["id"]]["error"] == shown[1]["error"]


# --- Errors --------------------------------------------------------------------------------------


def read_only_key(stack: Stack, oracle: Oracle) -> str:
    key = new_key()
    known = oracle.state["api_keys"].find_one({"digest": digest(stack.api_key)})
    assert known is not None
    made = {"_id": str(ObjectId()), "digest": digest(key), "scopes": ["read"], "name": "reader"}
    oracle.state["api_keys"].insert_one({**known, **made})
    return key


@pytest.mark.parametrize(
    ("status", "method", "path", "request_parts"),
    [
        (400, "POST", IMPORTERS, {"content": b"{"}),
        (401, "GET", IMPORTERS, {"headers": {"Authorization": ""}}),
        (401, "GET", IMPORTERS, {"headers": {"Authorization": "Bearer sk_live_unknown"}}),
        (403, "POST", IMPORTERS, {"headers": {"Authorization": "Bearer READER"}, "json": {}}),
        (404, "GET", f"{IMPORTERS}/0b0f4c0e-3a55-4e0f-9a57-0f1f6a8f2c11", {}),
        (404, "GET", f"{IMPORTS}/0b0f4c0e-3a55-4e0f-9a57-0f1f6a8f2c11", {}),
        (405, "PATCH", IMPORTERS, {}),
        (401, "POST", IMPORTS, {"headers": {"Authorization": ""}}),
        (422, "POST", IMPORTERS, {"json": {"name": "Without fields"}}),
        (422, "GET", f"{IMPORTERS}?limit=none", {}),
        (422, "POST", IMPORTS, {"data": {"mapping": "{}"}, "files": {"file": b""}}),
    ],
)
def test_errors(
    http: httpx.Client,
    stack: Stack,
    oracle: Oracle,
    status: int,
    method: str,
    path: str,
    request_parts: dict[str, Any],
) -> None:
    if "READER" in str(request_parts):
        request_parts = {**request_parts, "headers": {"Authorization": f"Bearer {read_only_key(stack, oracle)}"}}
    answer = http.request(method, path, **request_parts)
    assert (answer.status_code, answer.json()["status_code"]) == (status, status), answer.text
    # Where it is not known yet which vocabulary is spoken, an error has the members of both.
    shared = ["error"] if path.startswith(IMPORTS) else []
    assert_like(answer.json(), quoted(reference.ERROR), (*reference.ERROR_ADDITIONS, *shared))
    assert answer.json()["detail"]
