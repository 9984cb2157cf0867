"""Uploads: streamed, limited, never half kept, and one run for one request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from typing import Any

import httpx
import pytest
from litestar import Litestar

from libs.contracts.lanes import Lane
from libs.ledger import Ledger
from libs.storage.client import Mongo
from tests.integration.gateway.conftest import MAX_UPLOAD_BYTES, Organization
from tests.integration.gateway.steps import CSV, assert_error, create_template, eventually, upload, validate
from tests.integration.gateway.test_server import served

Message = Any
BOUNDARY = "----rowdock"
XLSX = b"PK\x03\x04\x14\x00\x06\x00" + bytes(range(256))
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    return b"--%s\r\nContent-Disposition: %s\r\n\r\n%s\r\n" % (BOUNDARY.encode(), disposition.encode(), content)


END = f"--{BOUNDARY}--\r\n".encode()


async def assert_no_files(mongo: Mongo, organization: Organization) -> None:
    """Nothing of the organization's is stored, and no chunk without its file."""
    assert await mongo.state["files.files"].count_documents({"metadata.tenant_id": organization.id}) == 0
    known = {file["_id"] async for file in mongo.state["files.files"].find({}, {"_id": 1})}
    assert set(await mongo.state["files.chunks"].distinct("files_id")) <= known
    assert await mongo.state["runs"].count_documents({"tenant_id": organization.id}) == 0


async def test_an_upload_is_a_file_and_a_run_although_kafka_is_down(
    acme: Organization, ledger: Ledger, mongo: Mongo
) -> None:
    template = await create_template(acme.http, webhook_url="https://example.com/hook")
    answer = await upload(acme.http, template["id"])
    assert answer.status_code == 202
    run = answer.json()
    assert answer.headers["location"] == f"/imports/runs/{run['id']}"
    assert (run["status"], run["template_id"], run["template_version"]) == ("pending", template["id"], 1)
    assert (run["file_name"], run["file_size"], run["file_sha256"]) == ("p.csv", len(CSV), sha256(CSV).hexdigest())
    assert run["progress"]["rows_parsed"] == 0
    stored = await mongo.state["runs"].find_one({"_id": run["id"]})
    assert stored is not None
    assert stored["webhook_endpoint_id"] is not None
    waiting = [run_id for of_tenant in await ledger.parsing.waiting(Lane.SMALL) for run_id in of_tenant.run_ids]
    assert run["id"] in waiting, "parsers find it without a message"
    chunks = await mongo.state["files.chunks"].find({"files_id": {"$exists": True}}).to_list()
    assert CSV in [bytes(chunk["data"]) for chunk in chunks]


async def test_the_answer_waits_for_the_check(acme: Organization, ledger: Ledger, mongo: Mongo) -> None:
    template = await create_template(acme.http)
    asked = asyncio.create_task(upload(acme.http, template["id"]))

    async def submitted() -> bool:
        return await mongo.state["runs"].count_documents({"tenant_id": acme.id}) == 1

    await eventually(submitted)
    run = await mongo.state["runs"].find_one({"tenant_id": acme.id})
    assert run is not None
    await validate(ledger, run["_id"])
    answer = await asked
    assert answer.status_code == 201
    assert answer.json()["status"] == "validated"
    assert answer.json()["plan"]["mapping"] == {"sku": "sku", "name": "name"}


async def test_the_file_may_come_first(http: httpx.AsyncClient) -> None:
    template = await create_template(http)
    form = part("file", CSV, "../x/ré\u202esumé.csv") + part("template_id", template["id"].encode()) + END
    answer = await http.post("/imports/upload", content=form, headers=FORM)
    assert answer.status_code == 202, answer.text
    assert answer.json()["file_name"] == "résumé.csv"


async def test_an_empty_file_is_for_the_parser_to_judge(http: httpx.AsyncClient) -> None:
    template = await create_template(http)
    assert (await upload(http, template["id"], b"")).json()["file_size"] == 0


@pytest.mark.parametrize(
    ("form", "status", "code", "locations"),
    [
        (END, 422, "INVALID_REQUEST", ["body.template_id", "body.file"]),
        (part("file", CSV, "x.csv") + END, 422, "INVALID_REQUEST", ["body.template_id"]),
        (part("template_id", b"%s") + END, 422, "INVALID_REQUEST", ["body.file"]),
        (part("template_id", b"%s") + part("file", CSV) + END, 422, "INVALID_REQUEST", ["body.file"]),
        (part("template_id", b"%s") + part("colour", b"") + END, 422, "INVALID_REQUEST", ["body.colour"]),
        (part("template_id", b"%s") * 2 + END, 422, "INVALID_REQUEST", ["body.template_id"]),
        (part("file", CSV, "x") + part("file", CSV, "y") + END, 422, "INVALID_REQUEST", ["body.file"]),
        (part("template_id", b"\xff") + END, 422, "INVALID_REQUEST", ["body.template_id"]),
        (part("template_id", b"x" * 2_000) + END, 422, "INVALID_REQUEST", ["body.template_id"]),
        (part("template_id", b"nope") + part("file", CSV, "x") + END, 404, "TEMPLATE_NOT_FOUND", []),
        (part("file", CSV, "x") + part("template_id", b"nope") + END, 404, "TEMPLATE_NOT_FOUND", []),
        (part("template_id", b"%s") + part("file", XLSX, "x.csv") + END, 415, "UNSUPPORTED_FILE", ["body.file"]),
        (part("file", XLSX, "x.csv") + part("template_id", b"%s") + END, 415, "UNSUPPORTED_FILE", ["body.file"]),
        (part("template_id", b"%s") + part("file", XLSX * 999, "x") + END, 415, "UNSUPPORTED_FILE", ["body.file"]),
        (part("mapping", b"{") + part("template_id", b"%s") + END, 422, "INVALID_REQUEST", ["body.mapping"]),
        (
            part("mapping", b'{"a": "x", "b": "sku", "c": "sku"}') + part("template_id", b"%s") + END,
            422, "INVALID_REQUEST", ["body.mapping['a']", "body.mapping['c']"],
        ),
        (part("mapping", b" " * 65_537) + END, 422, "INVALID_REQUEST", ["body.mapping"]),
        (part("mapping", b"{}") * 2 + END, 422, "INVALID_REQUEST", ["body.mapping"]),
        (part("mapping", b"{}") + part("file", CSV, "x") + END, 422, "INVALID_REQUEST", ["body.template_id"]),
        (part("template", b"{}") + END, 422, "INVALID_REQUEST", ["body.template"]),
        (part("template_id", b"%s") + part("file", CSV, "x.csv"), 400, "MALFORMED_FORM", []),
        (part("template_id", b"%s") + part("file", CSV, "x.csv")[:-10], 400, "MALFORMED_FORM", []),
        (b"no form at all", 400, "MALFORMED_FORM", []),
        (b"", 400, "MALFORMED_FORM", []),
    ],
)  # fmt: skip
async def test_forms_that_cannot_be_used_leave_nothing_behind(
    acme: Organization, mongo: Mongo, form: bytes, status: int, code: str, locations: list[str]
) -> None:
    template = await create_template(acme.http)
    content = form.replace(b"%s", template["id"].encode())
    answer = await acme.http.post("/imports/upload", content=content, headers=FORM)
    assert_error(answer, status, code, *locations)
    await assert_no_files(mongo, acme)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": "text/csv"}, 415, "NOT_A_FORM"),
        ({"Content-Type": "multipart/form-data"}, 400, "MALFORMED_FORM"),
        ({**FORM, "Content-Encoding": "gzip"}, 415, "CONTENT_ENCODING"),
        ({**FORM, "Idempotency-Key": "white space"}, 422, "INVALID_REQUEST"),
    ],
)
async def test_headers_that_cannot_be_used(
    http: httpx.AsyncClient, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await http.post("/imports/upload", content=CSV, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("content", "described"),
    [
        pytest.param(b"MZ\x90\x00\x03\x00\x00\x00" + bytes(56), "a Windows program", id="program called csv"),
        pytest.param(b"<!DOCTYPE html><html><body>Sign in</body></html>", "an HTML page", id="login page"),
        pytest.param(b"\x1f\x8b\x08\x00" + bytes(range(200)), "a gzip archive", id="gzip"),
        pytest.param(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document", id="pdf"),
        pytest.param(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an old Excel workbook", id="xls"),
        pytest.param(XLSX, "a ZIP archive or an Excel workbook", id="xlsx"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 7, 1_000_000], ids=["byte by byte", "seven by seven", "at once"])
@pytest.mark.parametrize("file_first", [False, True], ids=["template first", "file first"])
async def test_the_content_decides_and_not_the_name(
    acme: Organization, mongo: Mongo, content: bytes, described: str, chunk: int, file_first: bool
) -> None:
    template = await create_template(acme.http)
    parts = [part("template_id", template["id"].encode()), part("file", content, "contacts.csv")]
    form = b"".join(reversed(parts) if file_first else parts) + END

    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(form), chunk):
            yield form[start : start + chunk]

    answer = await acme.http.post("/imports/upload", content=body(), headers=FORM)
    error = assert_error(answer, 415, "UNSUPPORTED_FILE", "body.file")
    assert described in error["detail"]
    assert error["errors"][0]["code"] == "UNSUPPORTED_FILE"
    await assert_no_files(mongo, acme)


async def test_a_file_is_refused_before_the_rest_of_it_arrives(acme: Organization, mongo: Mongo, app: Litestar) -> None:
    template = await create_template(acme.http)
    start = part("template_id", template["id"].encode()) + part("file", XLSX * 999, "x.csv")[:-2]
    messages: list[Any] = [{"type": "http.request", "body": start, "more_body": True}]

    async def receive() -> Message:
        assert messages, "the rest was asked for"
        return messages.pop()

    assert await call(app, acme, receive) == 415
    await assert_no_files(mongo, acme)


@pytest.mark.parametrize("mapping_first", [False, True])
async def test_a_mapping_is_kept_on_the_run(http: httpx.AsyncClient, mongo: Mongo, mapping_first: bool) -> None:
    template = await create_template(http)
    parts = [
        part("mapping", b'{"$where": "sku", "a.b": null}'),
        part("template_id", template["id"].encode()),
        part("file", CSV, "p.csv"),
    ]
    form = b"".join(parts if mapping_first else reversed(parts)) + END
    answer = await http.post("/imports/upload", content=form, headers=FORM)
    assert answer.status_code == 202, answer.text
    stored = await mongo.state["runs"].find_one({"_id": answer.json()["id"]})
    assert stored is not None
    assert stored["column_mapping"] == [["$where", "sku"], ["a.b", None]]
    without = await upload(http, template["id"])
    stored = await mongo.state["runs"].find_one({"_id": without.json()["id"]})
    assert stored is not None
    assert stored["column_mapping"] is None


async def test_the_same_file_again_is_imported_and_said(
    new_organization: Callable[[], Awaitable[Organization]], mongo: Mongo
) -> None:
    acme, other = await new_organization(), await new_organization()
    template, second = await create_template(acme.http), await create_template(acme.http)
    first = (await upload(acme.http, template["id"])).json()
    assert first["duplicate_of"] is None
    again = (await upload(acme.http, template["id"])).json()
    assert (again["status"], again["duplicate_of"]) == ("pending", first["id"])
    assert (await acme.http.get(f"/imports/runs/{again['id']}")).json()["duplicate_of"] == first["id"]
    third = await upload(acme.http, template["id"], CSV, **{"Idempotency-Key": "third"})
    assert third.json()["duplicate_of"] == again["id"], "the newest one"
    repeated = await upload(acme.http, template["id"], CSV, **{"Idempotency-Key": "third"})
    assert repeated.json()["duplicate_of"] == again["id"], "no duplicate of itself"
    for http, template_id, content in (
        (acme.http, template["id"], CSV + b"A2,Bolt\n"),
        (acme.http, second["id"], CSV),
        (other.http, (await create_template(other.http))["id"], CSV),
    ):
        assert (await upload(http, template_id, content)).json()["duplicate_of"] is None
    query = {"tenant_id": acme.id, "template_id": template["id"], "file.sha256": first["file_sha256"]}
    plan = await mongo.state["runs"].find(query).sort("_id", -1).limit(1).explain()
    assert "content" in str(plan["queryPlanner"]["winningPlan"])
    assert "SORT" not in str(plan["queryPlanner"]["winningPlan"])


async def test_too_large_by_its_own_account(acme: Organization, app: Litestar) -> None:
    async def receive() -> Message:
        raise AssertionError("the body was read")

    status = await call(app, acme, receive, length=10 * MAX_UPLOAD_BYTES)
    assert status == 413


async def test_too_large_in_fact(acme: Organization, mongo: Mongo) -> None:
    template = await create_template(acme.http)
    sent = 0

    async def form() -> AsyncIterator[bytes]:
        nonlocal sent
        yield part("template_id", template["id"].encode()) + part("file", b"", "x.csv")[:-2]
        for _ in range(100):
            sent += 100_000
            yield b"x" * 99_999 + b"\n"
        yield b"\r\n" + END

    answer = await acme.http.post("/imports/upload", content=form(), headers=FORM)
    assert_error(answer, 413, "FILE_TOO_LARGE", "body.file")
    await assert_no_files(mongo, acme)


@pytest.mark.parametrize("beyond", [0, 1])
async def test_the_limit_is_exact_and_nothing_is_read_beyond_it(
    acme: Organization, mongo: Mongo, app: Litestar, beyond: int
) -> None:
    """A file of just as many bytes as are accepted is taken; one byte more, and the rest is not asked for."""
    template = await create_template(acme.http)
    start = part("template_id", template["id"].encode()) + part("file", b"", "x.csv")[:-2]
    rows = b"x" * (MAX_UPLOAD_BYTES - 1) + b"\n"
    bodies = [start, rows] if not beyond else [start, rows, b"x"]
    messages: list[Any] = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]
    if not beyond:
        messages.append({"type": "http.request", "body": b"\r\n" + END, "more_body": False})

    async def receive() -> Message:
        assert messages, "the rest was asked for"
        return messages.pop(0)

    assert await call(app, acme, receive) == (413 if beyond else 202)
    if beyond:
        await assert_no_files(mongo, acme)


async def call(
    app: Litestar, organization: Organization, receive: Callable[[], Awaitable[Message]], length: int | None = None
) -> int:
    """POST an upload below HTTP, with our own idea of how the body arrives; the status of the answer."""
    statuses: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [
        (b"authorization", f"Bearer {organization.key}".encode()),
        (b"content-type", FORM["Content-Type"].encode()),
        *([(b"content-length", str(length).encode())] if length is not None else []),
    ]
    scope: Any = {
        "type": "http", "method": "POST", "path": "/imports/upload", "raw_path": b"/imports/upload",
        "query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "http", "root_path": "",
        "client": None, "server": None,
    }  # fmt: skip
    await app(scope, receive, send)
    return statuses[0]


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_client_that_leaves_or_stalls_leaves_nothing_behind(
    acme: Organization, mongo: Mongo, app: Litestar, leaves: bool
) -> None:
    template = await create_template(acme.http)
    start = part("template_id", template["id"].encode()) + part("file", b"a,b\n" * 500_000, "x.csv")[:-2]
    messages: list[Any] = [{"type": "http.request", "body": start, "more_body": True}]
    if leaves:
        messages.append({"type": "http.disconnect"})

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        return await asyncio.get_running_loop().create_future()

    assert await call(app, acme, receive) == (400 if leaves else 408)
    await assert_no_files(mongo, acme)


@pytest.mark.parametrize("abruptly", [True, False])
async def test_a_client_that_goes_in_the_middle_of_a_file_leaves_nothing_behind(
    acme: Organization, mongo: Mongo, app: Litestar, abruptly: bool
) -> None:
    """Over real connections, with chunks of the file stored already."""
    template = await create_template(acme.http)
    start = part("template_id", template["id"].encode()) + part("file", b"a,b\n" * 600_000, "x.csv")[:-2]
    head = (
        f"POST /imports/upload HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {acme.key}\r\n"
        f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: {len(start) + 100_000}\r\n\r\n"
    )
    before = await mongo.state["files.chunks"].count_documents({})
    async with served(app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + start)

        async def chunks_are_stored() -> bool:
            return await mongo.state["files.chunks"].count_documents({}) > before

        await eventually(chunks_are_stored)
        if abruptly:
            writer.transport.abort()
        else:
            writer.close()

        async def nothing_is_left() -> bool:
            return await mongo.state["files.chunks"].count_documents({}) == before

        await eventually(nothing_is_left)
    await assert_no_files(mongo, acme)
