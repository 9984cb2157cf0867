"""The interface of Rowporter on a whole stack, held against every request, answer, table and default of its reference.

Which test holds which item of the reference stands in docs/contract-rowporter.md.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from deploy.local.stack import Stack, make_organization
from tests.client import eventually
from tests.contract.comparing import assert_like
from tests.contract.rowporter_reference import (
    BRANDING,
    BRANDING_CHANGES,
    BRANDING_SAVED,
    COLUMN_DEFAULTS,
    DUPLICATE,
    ERROR,
    IMPORT,
    IMPORT_ADDITIONS,
    IMPORT_LIST,
    TEMPLATE_ADDITIONS,
    TEMPLATE_BY_CURL,
    TEMPLATE_DEFAULTS,
    TEMPLATE_LIST,
    TEMPLATE_REQUEST,
    TYPES,
    Json,
)
from tests.oracle import Oracle
from tests.receiver import Receiver

pytestmark = pytest.mark.servers

TEMPLATES, IMPORTS, BRANDING_URL = "/api/v1/templates", "/api/v1/imports", "/api/v1/organization/branding"
CONTACTS = b"Email Address,Full Name\n" + b"".join(
    b"%s,Person %d\n" % (b"nobody" if n % 30 == 0 else b"p%d@example.com" % n, n) for n in range(1, 151)
)
"""150 rows, of which every thirtieth has no address."""
LISTED_TEMPLATE, LISTED_IMPORT = TEMPLATE_LIST["data"][0], IMPORT_LIST["data"][0]
COLUMNS = [
    {"key": "email", "name": "Email Address", "type": "email", "required": True},
    {"key": "name", "name": "Full Name", "type": "string"},
]


@pytest.fixture(scope="module")
def http(stack: Stack) -> Iterator[httpx.Client]:
    """A client of an organization of these tests' own, with a paid plan."""
    key = make_organization(stack, "Contract", plan="starter")
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=stack.gateway, headers=headers, timeout=60, trust_env=False) as client:
        yield client


def create(http: httpx.Client, body: Json) -> Json:
    answer = http.post(TEMPLATES, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def start(http: httpx.Client, template_id: str, content: bytes = CONTACTS, **parts: str) -> Json:
    form = {"template_id": template_id, **parts}
    answer = http.post(IMPORTS, data=form, files={"file": ("contacts.csv", content, "text/csv")})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{IMPORTS}/{answer.json()['id']}"
    return answer.json()


def ended(http: httpx.Client, import_id: str) -> Json:
    def at_its_end() -> Json | None:
        shown = http.get(f"{IMPORTS}/{import_id}").json()
        return shown if shown["status"] != "PENDING" else None

    return eventually(at_its_end, f"{import_id} has ended")


def moments(*texts: str) -> list[datetime]:
    return [datetime.fromisoformat(text) for text in texts]


# --- templates --------------------------------------------------------------------------------------


def test_a_template_of_every_member(http: httpx.Client) -> None:
    made = create(http, TEMPLATE_REQUEST)
    assert {name: made[name] for name in TEMPLATE_REQUEST} == TEMPLATE_REQUEST
    assert made["id"].startswith("tpl_")
    assert_like(made, LISTED_TEMPLATE | DUPLICATE, TEMPLATE_ADDITIONS)
    assert http.get(f"{TEMPLATES}/{made['id']}").json() == made


def test_the_defaults_of_a_template(http: httpx.Client) -> None:
    made = create(http, TEMPLATE_BY_CURL)
    assert {name: made[name] for name in TEMPLATE_DEFAULTS} == TEMPLATE_DEFAULTS
    assert made["columns"] == [COLUMN_DEFAULTS | column for column in TEMPLATE_BY_CURL["columns"]]


def test_the_list_of_templates(http: httpx.Client) -> None:
    total = http.get(TEMPLATES).json()["pagination"]["total"]
    made = [create(http, TEMPLATE_REQUEST)["id"] for _ in range(2)]
    answer = http.get(TEMPLATES)
    assert answer.status_code == 200
    assert answer.json().keys() == TEMPLATE_LIST.keys()
    others = TEMPLATE_ADDITIONS | {"allowPartialImport", "embedEnabled"}
    assert_like(answer.json()["data"][-1], LISTED_TEMPLATE, others)
    assert answer.json()["pagination"] == {"page": 1, "limit": 20, "total": total + 2, "totalPages": 1}
    page = http.get(TEMPLATES, params={"page": total + 2, "limit": 1}).json()
    assert [each["id"] for each in page["data"]] == made[1:]
    assert page["pagination"] == {"page": total + 2, "limit": 1, "total": total + 2, "totalPages": total + 2}
    assert http.get(TEMPLATES, params={"limit": 100}).status_code == 200
    assert http.get(TEMPLATES, params={"limit": 101}).status_code == 400


def test_a_template_is_changed_and_deleted(http: httpx.Client) -> None:
    made = create(http, TEMPLATE_REQUEST)
    changed = http.patch(f"{TEMPLATES}/{made['id']}", json={"name": "Updated Template Name"})
    assert changed.status_code == 200
    expected = made | {"name": "Updated Template Name", "updatedAt": changed.json()["updatedAt"]}
    assert changed.json() == expected
    assert http.delete(f"{TEMPLATES}/{made['id']}").status_code == 204
    assert http.get(f"{TEMPLATES}/{made['id']}").status_code == 404


def test_a_template_is_duplicated(http: httpx.Client) -> None:
    made = create(http, TEMPLATE_REQUEST)
    answer = http.post(f"{TEMPLATES}/{made['id']}/duplicate")
    assert answer.status_code == 201
    copied = answer.json()
    assert_like(copied, DUPLICATE, TEMPLATE_ADDITIONS | {"importCount"})
    assert copied["id"].startswith("tpl_")
    assert copied["id"] != made["id"]
    assert copied["name"] == f"{made['name']} (Copy)"
    own = {"id", "name", "createdAt", "updatedAt", "target_resource"}
    assert {name: copied[name] for name in copied.keys() - own} == {name: made[name] for name in made.keys() - own}


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_columns(http: httpx.Client, kind: str) -> None:
    made = create(http, {"name": kind, "columns": [{"key": "x", "name": "X", "type": kind}]})
    assert made["columns"] == [COLUMN_DEFAULTS | {"key": "x", "name": "X", "type": kind}]


def test_every_validation_rule(http: httpx.Client) -> None:
    """A row for each rule that breaks it alone, between rows that break none."""
    rules: dict[str, tuple[str, object, str, str, str]] = {
        "short": ("minLength", 3, "string", "abc", "ab"),
        "long": ("maxLength", 3, "string", "abc", "abcd"),
        "least": ("min", 2, "number", "2", "1"),
        "most": ("max", 2, "number", "2", "3"),
        "pattern": ("regex", "^[a-z]+$", "string", "abc", "ABC"),
        "choice": ("enum", ["a", "b"], "string", "a", "c"),
    }
    columns: list[dict[str, Any]] = [
        {
            "key": key,
            "name": key,
            "type": kind,
            "validations": [{"type": rule, "value": value, "message": f"{key} is broken"}],
        }
        for key, (rule, value, kind, _, _) in rules.items()
    ]
    columns.append(
        {
            "key": "once",
            "name": "once",
            "type": "string",
            "validations": [{"type": "unique", "value": True, "message": "once is broken"}],
        }
    )
    good = [each[3] for each in rules.values()]
    rows = [[*good, "u0"]]
    for number, each in enumerate(rules.values()):
        rows.append([*good[:number], each[4], *good[number + 1 :], f"u{number + 1}"])
    rows.append([*good, "u0"])
    content = "\n".join(map(",".join, [[*rules, "once"], *rows])).encode()
    made = create(http, {"name": "Rules", "columns": columns, "allowPartialImport": True})
    shown = ended(http, start(http, made["id"], content)["id"])
    assert (shown["status"], shown["validRows"], shown["errorRows"]) == ("COMPLETED", 1, 7)
    found = {(error["row"], error["key"], error["message"]) for error in shown["errors"]}
    assert found == {(row, key, f"{key} is broken") for row, key in enumerate([*rules, "once"], start=2)}


def test_required_suggested_and_extra_columns(http: httpx.Client, stack: Stack, oracle: Oracle) -> None:
    del stack
    columns = [
        {"key": "email", "name": "Contact", "type": "email", "required": True, "suggestedMappings": ["E-Mail"]},
        {"key": "note", "name": "Note", "type": "string"},
    ]
    for allowed in (True, False):
        body = {"name": "Extra", "columns": columns, "allowExtraColumns": allowed, "skipHeaderRows": 2}
        made = create(http, body | {"allowPartialImport": True})
        content = b"a title,,\nE-Mail,Note,Other\na@example.com,n,o\n,n,o\n"
        shown = ended(http, start(http, made["id"], content)["id"])
        assert (shown["totalRows"], shown["validRows"], shown["errorRows"]) == (2, 1, 1)
        assert shown["columnMapping"] == {"E-Mail": "email", "Note": "note"}
        [record] = oracle.target[made["target_resource"]].find({})
        assert (record["email"], record["note"]) == ("a@example.com", "n")
        assert record.get("extra") == ({"Other": "o"} if allowed else None)


# --- imports ----------------------------------------------------------------------------------------


def test_an_import_from_its_upload_to_its_webhook(http: httpx.Client, receiver: Receiver, oracle: Oracle) -> None:
    made = create(
        http,
        {"name": "Contact Import", "columns": COLUMNS, "allowPartialImport": True, "webhook_url": receiver.url},
    )
    metadata = {"source": "dashboard", "$set": {"a.b": [1, None]}}
    begun = start(http, made["id"], metadata=json.dumps(metadata), externalUserId="user-123")
    not_yet: Json = dict.fromkeys(("columnMapping", "metadata", "completedAt", "webhookDeliveredAt"))
    assert_like(begun, IMPORT | not_yet, IMPORT_ADDITIONS)
    import_id = begun["id"]
    assert import_id.startswith("imp_")
    ended(http, import_id)

    def told() -> Json | None:
        shown = http.get(f"{IMPORTS}/{import_id}").json()
        return shown if shown["webhookStatus"] == "DELIVERED" else None

    shown = eventually(told, "the receiver was told")
    assert_like(shown, IMPORT | {"metadata": None}, IMPORT_ADDITIONS)
    expected = {
        "templateId": made["id"],
        "fileName": "contacts.csv",
        "fileType": "csv",
        "fileSize": len(CONTACTS),
        "totalRows": 150,
        "validRows": 145,
        "errorRows": 5,
        "columnMapping": {"Email Address": "email", "Full Name": "name"},
        "status": "COMPLETED",
        "metadata": metadata,
        "externalUserId": "user-123",
        "webhookStatus": "DELIVERED",
        "webhookAttempts": 1,
        "template": {"id": made["id"], "name": "Contact Import", "columns": made["columns"]},
    }
    assert {name: shown[name] for name in expected} == expected
    created, completed, delivered = moments(shown["createdAt"], shown["completedAt"], shown["webhookDeliveredAt"])
    assert created < completed < delivered
    assert oracle.target[made["target_resource"]].count_documents({}) == 145
    assert http.get(f"{TEMPLATES}/{made['id']}").json()["importCount"] == 1
    [listed] = http.get(IMPORTS, params={"templateId": made["id"]}).json()["data"]
    assert_like(listed, LISTED_IMPORT | {"metadata": None})
    both = LISTED_IMPORT.keys() - {"templateName"}
    assert {name: listed[name] for name in both} == {name: shown[name] for name in both}
    assert listed["templateName"] == "Contact Import"
    # What was imported stays as it was, whatever becomes of the template.
    assert http.patch(f"{TEMPLATES}/{made['id']}", json={"name": "Other"}).status_code == 200
    assert http.delete(f"{TEMPLATES}/{made['id']}").status_code == 204
    assert http.get(f"{IMPORTS}/{import_id}").json() == shown


def test_without_partial_imports_one_error_is_enough(http: httpx.Client, oracle: Oracle) -> None:
    made = create(http, {"name": "All or nothing", "columns": COLUMNS})
    shown = ended(http, start(http, made["id"])["id"])
    assert (shown["status"], shown["totalRows"], shown["errorRows"]) == ("FAILED", 150, 5)
    assert shown["error"]
    assert shown["webhookStatus"] is None
    assert (shown["webhookAttempts"], shown["webhookDeliveredAt"]) == (0, None)
    assert (shown["metadata"], shown["externalUserId"]) == (None, None)
    assert [error["row"] for error in shown["errors"]] == [30, 60, 90, 120, 150]
    assert oracle.target[made["target_resource"]].count_documents({}) == 0


def test_the_list_of_imports(http: httpx.Client) -> None:
    body = {"name": "Listed", "columns": COLUMNS}
    made, other = create(http, body), create(http, body)
    good = b"Email Address,Full Name\na@example.com,A\n"
    ids = [start(http, made["id"], content)["id"] for content in (good, CONTACTS, good)]
    statuses = [ended(http, each)["status"] for each in ids]
    assert statuses == ["COMPLETED", "FAILED", "COMPLETED"]

    def listed(**query: str | int) -> tuple[list[str], Json]:
        answer = http.get(IMPORTS, params={"templateId": made["id"], **query})
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["data"]], answer.json()["pagination"]

    assert listed() == (ids[::-1], {"page": 1, "limit": 20, "total": 3, "totalPages": 1})
    assert listed(status="COMPLETED")[0] == [ids[2], ids[0]]
    assert listed(status="FAILED") == ([ids[1]], {"page": 1, "limit": 20, "total": 1, "totalPages": 1})
    assert listed(status="PENDING")[0] == []
    assert listed(page=2, limit=2) == ([ids[0]], {"page": 2, "limit": 2, "total": 3, "totalPages": 2})
    assert http.get(IMPORTS, params={"templateId": other["id"]}).json()["data"] == []
    assert http.get(IMPORTS).json()["pagination"]["total"] >= 3
    for query in ({"status": "completed"}, {"limit": 101}, {"page": 0}):
        answer = http.get(IMPORTS, params=query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BAD_REQUEST")


# --- branding ---------------------------------------------------------------------------------------


def test_branding(http: httpx.Client) -> None:
    before = http.get(BRANDING_URL)
    assert (before.status_code, before.json()) == (200, BRANDING | {"logoUrl": None})
    saved = http.put(BRANDING_URL, json=BRANDING_CHANGES)
    assert (saved.status_code, saved.json()) == (200, BRANDING_SAVED)
    assert http.get(BRANDING_URL).json() == BRANDING | BRANDING_CHANGES


# --- errors -----------------------------------------------------------------------------------------


def test_errors(http: httpx.Client) -> None:
    def refused(answer: httpx.Response) -> tuple[int, str]:
        assert answer.json().keys() == ERROR.keys()
        assert answer.json()["error"].keys() == ERROR["error"].keys()
        assert answer.headers["content-type"] == "application/json"
        return answer.status_code, answer.json()["error"]["code"]

    nameless = http.post(TEMPLATES, json={name: TEMPLATE_REQUEST[name] for name in TEMPLATE_REQUEST if name != "name"})
    assert (nameless.status_code, nameless.json()) == (400, ERROR)
    assert refused(http.get(TEMPLATES, params={"page": "x"})) == (400, "BAD_REQUEST")
    assert refused(http.get(f"{TEMPLATES}/tpl_abc123")) == (404, "NOT_FOUND")
    assert refused(http.post(f"{TEMPLATES}/tpl_abc123/duplicate")) == (404, "NOT_FOUND")
    for url in (TEMPLATES, f"{TEMPLATES}/tpl_abc123", BRANDING_URL):
        for key in ("Bearer sk_live_xxx", "Basic xxx", ""):
            assert refused(http.get(url, headers={"Authorization": key})) == (401, "UNAUTHORIZED")
    # Under a path that vocabularies share an error is of all of them until it is known which is meant.
    shared = http.get(f"{IMPORTS}/imp_abc123")
    assert shared.status_code == 404
    assert {"error", "detail", "status_code"} <= shared.json().keys()


def test_what_goes_with_a_template_only(http: httpx.Client) -> None:
    made = create(http, {"name": "Parts", "columns": COLUMNS})
    for parts, said in (
        ({"metadata": "[]"}, "metadata must be a JSON object"),
        ({"metadata": "{"}, "metadata"),
        ({"externalUserId": ""}, "externalUserId must be a text"),
        ({"importer_id": "x"}, "importer_id"),
    ):
        answer = http.post(IMPORTS, data={"template_id": made["id"], **parts}, files={"file": ("a.csv", CONTACTS)})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["code"] == "VALIDATION_ERROR"
        assert said in answer.json()["error"]["message"]


def test_the_same_upload_again(http: httpx.Client) -> None:
    made = create(http, {"name": "Again", "columns": COLUMNS, "allowPartialImport": True})
    key = {"Idempotency-Key": made["id"]}

    def upload(**parts: str) -> httpx.Response:
        form = {"template_id": made["id"], **parts}
        return http.post(IMPORTS, data=form, files={"file": ("contacts.csv", CONTACTS)}, headers=key)

    first, again = upload(metadata='{"a": 1}'), upload(metadata='{ "a":1 }')
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    other = upload(metadata='{"a": 2}')
    assert (other.status_code, other.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
