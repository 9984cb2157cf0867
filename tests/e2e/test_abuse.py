"""Files and templates that want to do harm, or do so without wanting to: each has a fate that is said clearly.

The numbers are those of the project's list of abuse cases. After every case the services are the same
processes as before, and take an ordinary file.
"""

import io
import json
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import openpyxl
import pytest

from deploy.local.stack import Stack
from tests.client import GatewayClient, eventually
from tests.e2e.test_imports import imported
from tests.oracle import Oracle

pytestmark = pytest.mark.servers

Content = bytes | Callable[[], bytes]


@pytest.fixture(autouse=True)
def _services_survive(stack: Stack, gateway: GatewayClient) -> Iterator[None]:
    before = {name: process.pid for name, process in stack.supervisor.processes().items()}
    yield
    assert {name: process.pid for name, process in stack.supervisor.processes().items()} == before
    assert outcome(gateway, "survivors", b"name\nAnna\n", {}) == ("completed", None, 1, {})


def outcome(
    gateway: GatewayClient, resource: str, content: bytes, template: dict[str, Any], file_name: str = "rows.csv"
) -> tuple[str, str | None, int, dict[int, list[str]]]:
    """Status, error code, written rows, and the codes of rejected rows."""
    body: dict[str, Any] = {
        "name": "abuse",
        "target_resource": resource,
        "field_mapping": [{"source": "name", "target": "name"}],
        **template,
    }
    answer = gateway.http.post(
        "/imports/upload",
        data={"template_id": gateway.create_template(body)["id"]},
        files={"file": (file_name, content)},
    )
    if answer.status_code == 415:
        return "refused", answer.json()["code"], 0, {}
    run = gateway.wait(answer.json()["id"], "validated")
    if run["status"] == "validated":
        gateway.execute(run["id"])
        run = gateway.wait(run["id"])
    assert run["total_rows"] == run["written_count"] + run["rejected_count"] + run["skipped_count"]
    if run["error"]:
        assert len(run["error"]["message"]) > 20
    rejected = gateway.rejected(run["id"])
    assert all(error["message"] for record in rejected for error in record["errors"])
    codes = {record["row"]: [error["code"] for error in record["errors"]] for record in rejected}
    return run["status"], (run["error"] or {}).get("code"), run["written_count"], codes


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return out.getvalue()


def workbook(*rows: list[object]) -> bytes:
    out = io.BytesIO()
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    book.save(out)
    return out.getvalue()


def doctored(**changes: bytes) -> bytes:
    """A workbook of one name with some of its parts replaced."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook(["name"], ["Anna"]))) as sound,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        replaced = {name.replace("__", "/"): content for name, content in changes.items()}
        for name in [*sound.namelist(), *(set(replaced) - set(sound.namelist()))]:
            archive.writestr(name, replaced.get(name) or sound.read(name))
    return out.getvalue()


SHEET = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>%s</sheetData></worksheet>'


def zip_bomb() -> bytes:
    """A workbook of a megabyte whose sheet has 1.2 GB."""
    return doctored(**{"xl__worksheets__sheet1.xml": SHEET % (b" " * 1_200_000_000)})


FAR_CELLS = SHEET % (
    b'<row r="1"><c r="A1" t="inlineStr"><is><t>name</t></is></c></row>'
    b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
)
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
JSON, XML, EXCEL = {"file_type": "json"}, {"file_type": "xml"}, {"file_type": "excel"}
NUMBER = {"field_mapping": [{"source": "name", "target": "name", "type": "number"}]}


def numbers(*texts: str) -> bytes:
    return b"name\n" + "".join(f'"{text}"\n' for text in texts).encode()


CASES: list[Any] = [
    # encodings
    pytest.param(b"\xef\xbb\xbfname\nAnna\n", {}, ("completed", None, 1, {}), id="byte order mark"),
    pytest.param("\ufeffname\nÅsa\n".encode("utf-16-le"), {}, ("completed", None, 1, {}), id="utf-16-le"),
    pytest.param("name\nÅsa and friends\n".encode("utf-16-be"), {}, ("completed", None, 1, {}), id="utf-16-be bare"),
    pytest.param("name\nÅsa\n".encode("cp1252"), {}, ("completed", None, 1, {}), id="cp1252"),
    pytest.param(
        "name\n東京都\n".encode("shift_jis"),
        {"encoding": "shift_jis"},
        ("completed", None, 1, {}),
        id="shift-jis told",
    ),
    pytest.param(
        b"name\n" + "Åsa\n".encode() * 20_000 + b"\xc5sa\n",
        {},
        ("completed", None, 20_000, {20_001: ["UNDECODABLE_BYTES"]}),
        id="one bad byte far down",
    ),
    pytest.param(b"name\nA\0nna\nBo\n", {}, ("completed", None, 1, {1: ["NUL_CHARACTER"]}), id="NUL"),
    # shapes of CSV
    pytest.param(b"name,b\nA\nB,1,2\n\nC,1\n", {}, ("completed", None, 2, {2: ["EXTRA_CELLS"]}), id="ragged rows"),
    pytest.param(b"name,name,,NAME\nA,B,C,D\n", {}, ("completed", None, 1, {}), id="repeated and empty headers"),
    pytest.param(
        lambda: b"name," + b",".join(b"c%d" % n for n in range(100_000)) + b"\nA\n",
        {},
        ("failed", "TOO_MANY_COLUMNS", 0, {}),
        id="100,000 columns",
    ),
    pytest.param(
        lambda: b"name\n" + b"x" * (1024 * 1024 + 1) + b"\nBo\n",
        {},
        ("completed", None, 1, {1: ["CELL_TOO_LARGE"]}),
        id="cell of 1 MB",
    ),
    pytest.param(
        lambda: b"name\n" + b"x," * 5_000_000 + b"\nBo\n",
        {},
        ("completed", None, 1, {1: ["ROW_TOO_LARGE"]}),
        id="line of 10 MB",
    ),
    pytest.param(
        lambda: b'name\nA\n"open' + b"\nx" * 1_000_000, {}, ("failed", "UNTERMINATED_QUOTE", 0, {}), id="open quote"
    ),
    pytest.param(b'name\n"a\n""b"""\nc\n', {}, ("completed", None, 2, {}), id="quotes and line ends in quotes"),
    pytest.param(
        "name\r\na\u2028b\x85\rc\nd\x0be\x1c\n".encode(), {}, ("completed", None, 3, {}), id="kinds of line ends"
    ),
    pytest.param(b"name;b\n1,5;x\n2,25;y\n", {**NUMBER}, ("completed", None, 2, {}), id="semicolon and decimal comma"),
    # numbers and dates
    pytest.param(
        numbers("1e999", "1" * 400, "-0", "1_000", "\uff11\uff12", " 12 ", "NaN", "Infinity", "0x10", str(2**63)),
        NUMBER,
        (
            "completed",
            None,
            6,  # 1e999 and 2**63 are decimals, NaN is no value
            {
                2: ["NUMBER_OUT_OF_RANGE"],
                4: ["NOT_A_NUMBER"],
                8: ["NOT_A_NUMBER"],
                9: ["NOT_A_NUMBER"],
            },
        ),
        id="numbers that are none",
    ),
    pytest.param(
        b"name\n2024-01-01\n0000-01-01\n9999-12-31\n10000-01-01\n9999-12-31T23:59:59-14:00\n",
        {"field_mapping": [{"source": "name", "target": "name", "type": "date"}]},
        ("completed", None, 2, {2: ["INVALID_DATE"], 4: ["INVALID_DATE"], 5: ["INVALID_DATE"]}),
        id="years that BSON cannot hold",
    ),
    # JSON
    pytest.param(lambda: b"[" * 100_000, JSON, ("failed", "MALFORMED_JSON", 0, {}), id="JSON: deep"),
    pytest.param(
        b'[{"name": 1}, {"name": 2, "name": 3}]',
        JSON,
        ("completed", None, 1, {2: ["DUPLICATE_KEY_IN_RECORD"]}),
        id="JSON: repeated key",
    ),
    pytest.param(b'[{"name": NaN}]', JSON, ("failed", "MALFORMED_JSON", 0, {}), id="JSON: NaN"),
    pytest.param(b'[{"name": 1},]', JSON, ("failed", "MALFORMED_JSON", 0, {}), id="JSON: trailing comma"),
    pytest.param(b"42", JSON, ("failed", "NO_RECORDS", 0, {}), id="JSON: scalar"),
    pytest.param(
        b'[{"name": "a"}, 7, ["x"], {"name": "b"}]',
        JSON,
        ("completed", None, 2, {2: ["NOT_AN_OBJECT"], 3: ["NOT_AN_OBJECT"]}),
        id="JSON: mixed elements",
    ),
    pytest.param(
        b'{"name": "a"}\n{"name": \n{"name": "b"}\n',
        JSON,
        ("completed", None, 2, {2: ["MALFORMED_RECORD"]}),
        id="JSON: broken line of NDJSON",
    ),
    # XML
    pytest.param(
        LAUGHS + b"<r><i><name>&b;</name></i></r>",
        XML,
        ("failed", "XML_DTD_FORBIDDEN", 0, {}),
        id="XML: billion laughs",
    ),
    pytest.param(
        b'<!DOCTYPE r SYSTEM "file:///etc/passwd"><r/>',
        XML,
        ("failed", "XML_DTD_FORBIDDEN", 0, {}),
        id="XML: XXE of a file",
    ),
    pytest.param(lambda: b"<r>" + b"<a>" * 200_000, XML, ("failed", "XML_TOO_DEEP", 0, {}), id="XML: deep"),
    pytest.param(b"<r><i><name>A</name></i>", XML, ("failed", "MALFORMED_XML", 0, {}), id="XML: unfinished"),
    pytest.param(
        b"<r><i><name>A</name></i><i name='B'/><i xmlns='urn:x'><name>C</name></i></r>",
        XML,
        ("completed", None, 3, {}),
        id="XML: attributes and namespaces",
    ),
    # workbooks
    pytest.param(doctored, EXCEL, ("completed", None, 1, {}), id="workbook: sound"),
    pytest.param(
        lambda: workbook(["name", "b"], ["Anna", "#N/A"], ["#DIV/0!", 1], ["Bo", 2]),
        EXCEL,
        ("completed", None, 2, {2: ["CELL_ERROR"]}),
        id="workbook: error cells",
    ),
    pytest.param(
        lambda: doctored(**{"xl__worksheets__sheet1.xml": FAR_CELLS}),
        EXCEL,
        ("completed", None, 0, {1: ["EXTRA_CELLS"]}),
        id="workbook: far cells",
    ),
    pytest.param(zip_bomb, EXCEL, ("failed", "FILE_TOO_COMPLEX", 0, {}), id="workbook: ZIP bomb"),
    pytest.param(
        lambda: zipped(hello=b"world"), EXCEL, ("failed", "NOT_EXCEL", 0, {}), id="workbook: ZIP that is no workbook"
    ),
    pytest.param(
        lambda: doctored(**{"..__..__evil": b"x"}),
        EXCEL,
        ("failed", "UNSAFE_ARCHIVE", 0, {}),
        id="workbook: name that climbs",
    ),
    # fixed width
    pytest.param(
        "Anna      12\nÅsa       7\nBo\n\nCarl      99 too long\n".encode(),
        {
            "file_type": "fixed_width",
            "column_widths": {"name": 10, "age": 2},
        },
        ("completed", None, 3, {4: ["EXTRA_CELLS"]}),
        id="fixed width",
    ),
    # content that lies
    pytest.param(b"MZ\x90\0\x03" + bytes(60), {}, ("refused", "UNSUPPORTED_FILE", 0, {}), id="program"),
    pytest.param(b"<html><body>Log in</body></html>", EXCEL, ("refused", "UNSUPPORTED_FILE", 0, {}), id="html as xls"),
    pytest.param(b"\x1f\x8b\x08\0" + bytes(60), {}, ("refused", "UNSUPPORTED_FILE", 0, {}), id="gzip"),
    pytest.param(b"%PDF-1.7\n", {}, ("refused", "UNSUPPORTED_FILE", 0, {}), id="pdf"),
    pytest.param(b"name\nAnna\n", EXCEL, ("refused", "UNSUPPORTED_FILE", 0, {}), id="text as workbook"),
    pytest.param(b"name\nAnna\n", JSON, ("failed", "MALFORMED_JSON", 0, {}), id="text as JSON"),
]


@pytest.mark.parametrize(("content", "template", "expected"), CASES)
def test_files(
    gateway: GatewayClient,
    resource: str,
    content: Content,
    template: dict[str, Any],
    expected: tuple[str, str | None, int, dict[int, list[str]]],
) -> None:
    data = content if isinstance(content, bytes) else content()
    assert outcome(gateway, resource, data, template) == expected


def test_b15_no_packet_leaves_for_an_external_entity(gateway: GatewayClient, resource: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        port = server.getsockname()[1]
        heard: list[object] = []

        def listen() -> None:
            try:
                heard.append(server.accept())
            except TimeoutError:
                return

        listener = threading.Thread(target=listen)
        listener.start()
        doctype = f'<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1:{port}/x"> %p;]>'
        result = outcome(gateway, resource, f"{doctype}<r><i><name>A</name></i></r>".encode(), XML)
        listener.join()
    assert result == ("failed", "XML_DTD_FORBIDDEN", 0, {})
    assert heard == []


@pytest.mark.parametrize(
    ("rule", "location"),
    [
        pytest.param({"type": "regex", "pattern": "(?=a)b"}, "pattern", id="look-around"),
        pytest.param({"type": "regex", "pattern": "(a)\\1"}, "pattern", id="back-reference"),
        pytest.param({"type": "regex", "pattern": "((a{1000}){1000}){1000}"}, "pattern", id="too large"),
        pytest.param({"type": "regex", "pattern": "(unclosed"}, "pattern", id="invalid"),
        pytest.param({"type": "regex", "pattern": "a" * 5_000}, "pattern", id="too long"),
    ],
)
def test_b19_patterns_that_cannot_be_used(gateway: GatewayClient, rule: dict[str, Any], location: str) -> None:
    mapping = [{"source": "name", "target": "name", "validators": [rule]}]
    answer = gateway.http.post(
        "/imports/templates", json={"name": "x", "target_resource": "abuse", "field_mapping": mapping}
    )
    assert answer.status_code == 422
    assert [error["location"] for error in answer.json()["errors"]] == [
        f"body.field_mapping[0].validators[0].{location}"
    ]


def test_b19_a_pattern_that_hangs_others_is_quick(gateway: GatewayClient, resource: str) -> None:
    mapping = [{"source": "name", "target": "name", "validators": [{"type": "regex", "pattern": "(a+)+$"}]}]
    result = outcome(gateway, resource, b"name\n" + b"a" * 100_000 + b"!\n", {"field_mapping": mapping})
    assert result == ("completed", None, 0, {1: ["PATTERN_MISMATCH"]})


@pytest.mark.parametrize("date_format", ["Y" * 41, "YYYY-MM-DD" * 4, "(a+)+$", "YYYY-MM-DD [" + "x" * 30])
def test_b19_date_formats_that_cannot_be_used(gateway: GatewayClient, date_format: str) -> None:
    mapping = [{"source": "name", "target": "name", "type": "date", "date_format": date_format}]
    answer = gateway.http.post(
        "/imports/templates", json={"name": "x", "target_resource": "abuse", "field_mapping": mapping}
    )
    assert answer.status_code == 422
    assert {error["location"] for error in answer.json()["errors"]} <= {
        "body.field_mapping[0].date_format",
        "body.field_mapping[0]",
    }


INERT = [
    '=cmd|"/c calc"!A1',
    "@SUM(1)",
    "+1",
    "\t=1",
    '{"$gt": ""}',
    "$ssn",
    "<script>",
    "../../etc/passwd",
    "a\r\nb: c",
]


def test_b20_b22_values_are_stored_as_they_are(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    content = json.dumps([{"name": value} for value in INERT]).encode()
    assert outcome(gateway, resource, content, {**JSON, "import_mode": "upsert", "upsert_key": "name"})[2] == len(INERT)
    # A key is stored as it is compared, without the blanks around it.
    assert {record["name"] for record in oracle.target[resource].find({})} == {value.strip() for value in INERT}
    again = outcome(gateway, resource, content, {**JSON, "import_mode": "upsert", "upsert_key": "name"})
    assert again == ("completed", None, 0, {})


HEADERS = ["$where", "a.b", "", "_id", "__proto__", "constructor", "tenant_id", "is_deleted", "$", "a\0b"]


def test_b21_headers_never_reach_the_fields_of_a_record(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    content = ("name," + ",".join(f'"{header}"' for header in HEADERS) + "\nAnna" + ",evil" * len(HEADERS)).encode()
    template = {"include_unmatched_columns": True, "import_mode": "upsert", "upsert_key": "name"}
    assert outcome(gateway, resource, content, template) == ("completed", None, 1, {})
    changed = content.replace(b",evil", b",worse")
    assert outcome(gateway, resource, changed, template) == ("completed", None, 1, {})
    (record,) = oracle.target[resource].find({})
    assert record["name"] == "Anna"
    assert record["is_deleted"] is False
    assert record["_id"] != "worse"
    extra = record["extra"]
    assert len(extra) == len(HEADERS)
    assert set(extra.values()) == {"worse"}
    assert not any("." in key or "$" in key or "\0" in key or not key for key in extra)
    assert not {"__proto__", "constructor"} & set(extra)
    assert "worse" not in {str(value) for key, value in record.items() if key != "extra"}


@pytest.mark.parametrize("target", ["_id", "__proto__", "$where", "a.b", "constructor", "tenant_id", "", "extra"])
def test_b21_targets_that_would_overwrite_are_refused(gateway: GatewayClient, target: str) -> None:
    body = {"name": "x", "target_resource": "abuse", "field_mapping": [{"source": "name", "target": target}]}
    assert gateway.http.post("/imports/templates", json=body).status_code == 422


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("..\\..\\evil.csv", "evil.csv"),
        ("/etc/passwd", "passwd"),
        ("rows\u202evsc.exe", "rowsvsc.exe"),
        ("x" * 1_000 + ".csv", "x" * 255),
        ("\U0001f600.csv", "\U0001f600.csv"),
    ],
)
def test_b23_file_names_are_shown_safely(gateway: GatewayClient, resource: str, name: str, shown: str) -> None:
    template = {"name": "x", "target_resource": resource, "field_mapping": [{"source": "name", "target": "name"}]}
    run = gateway.upload(gateway.create_template(template)["id"], b"name\nA\n", name)
    assert run["file_name"] == shown


def test_b25_a_batch_beyond_the_largest_document(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    columns = [f"c{number}" for number in range(20)]
    mapping = [{"source": name, "target": name} for name in columns]
    line = ",".join(["x" * 20_000] * len(columns))
    content = "\n".join([",".join(columns), *[line] * 100]).encode()
    assert len(content) > 32 * 1024 * 1024
    assert outcome(gateway, resource, content, {"field_mapping": mapping}) == ("completed", None, 100, {})
    assert oracle.target[resource].count_documents({}) == 100


def test_b26_the_same_file_again_is_said_and_not_hindered(gateway: GatewayClient, resource: str) -> None:
    template = {"name": "x", "target_resource": resource, "field_mapping": [{"source": "name", "target": "name"}]}
    template_id = gateway.create_template(template)["id"]
    first = gateway.upload(template_id, b"name\nA\n", **{"Idempotency-Key": f"{resource}-1"})
    same = gateway.upload(template_id, b"name\nA\n", **{"Idempotency-Key": f"{resource}-1"})
    other = gateway.upload(template_id, b"name\nA\n", **{"Idempotency-Key": f"{resource}-2"})
    none = gateway.upload(template_id, b"name\nA\n")
    assert same["id"] == first["id"]
    assert len({first["id"], other["id"], none["id"]}) == 3
    assert [run["duplicate_of"] for run in (first, other, none)] == [None, first["id"], other["id"]]


def test_a_child_process_that_dies_takes_nothing_with_it(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    mapping = [{"source": "name", "target": "name"}]
    template = {"name": "x", "file_type": "excel", "target_resource": resource, "field_mapping": mapping}
    template_id = gateway.create_template(template)["id"]
    bomb = zip_bomb()
    runs = [gateway.upload(template_id, bomb) for _ in range(3)]
    sound = imported(gateway, workbook(["name"], ["Anna"]), template)
    assert sound["written_count"] == 1
    for run in runs:
        eventually(lambda run=run: gateway.run(run["id"])["status"] == "failed", "the bomb fails")
    assert oracle.target[resource].count_documents({}) == 1
