"""An ``Idempotency-Key`` makes a repeated upload return the first run, and never hides another file."""

import asyncio
import json

import httpx
import pytest

from libs.contracts.lanes import Lane
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import CSV, assert_error, create_template, eventually, validate

OTHER = b"sku,name\nB1,Bolt\nB2,Nut\n"
KEY = "header.Idempotency-Key"


async def upload_with_key(
    http: httpx.AsyncClient, template_id: str, content: bytes = CSV, mapping: str | None = None, name: str = "p.csv"
) -> httpx.Response:
    data = {"template_id": template_id, **({} if mapping is None else {"mapping": mapping})}
    while True:
        answer = await http.post(
            "/imports/upload", data=data, files={"file": (name, content)}, headers={"Idempotency-Key": "k-1"}
        )
        if answer.status_code != 409 or answer.json()["code"] != "IDEMPOTENCY_KEY_IN_USE":
            return answer


async def stored(mongo: Mongo, organization: Organization) -> tuple[int, int]:
    """How many runs and how many files of the organization there are."""
    runs = await mongo.state["runs"].count_documents({"tenant_id": organization.id})
    return runs, await mongo.state["files.files"].count_documents({"metadata.tenant_id": organization.id})


async def fail(ledger: Ledger, run_id: str) -> None:
    """What a service does with a file that cannot be read."""
    assert await ledger.stops.request(run_id, RunStatus.FAILED, "EMPTY_FILE", "the file is empty")
    await ledger.stops.finish(run_id)

    async def failed() -> bool:
        return await ledger.runs.status(run_id) is RunStatus.FAILED

    await eventually(failed)


async def test_a_repeated_request_gets_the_first_run(acme: Organization, mongo: Mongo) -> None:
    template = await create_template(acme.http)
    mapping = {"sku": "sku", "name": "name"}
    first = await upload_with_key(acme.http, template["id"], CSV, json.dumps(mapping))
    turned = json.dumps(dict(reversed(mapping.items())))
    again = await upload_with_key(acme.http, template["id"], CSV, turned, name="renamed.csv")
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.json()["id"]) == (first.status_code, first.json()["id"])
    assert again.headers["location"] == first.headers["location"]
    assert await stored(mongo, acme) == (1, 1)


async def test_requests_with_other_keys_or_none_get_runs_of_their_own(http: httpx.AsyncClient) -> None:
    template = await create_template(http)
    runs: set[str] = set()
    for headers in ({"Idempotency-Key": "k1"}, {"Idempotency-Key": "k2"}, {}, {}):
        answer = await http.post(
            "/imports/upload", data={"template_id": template["id"]}, files={"file": ("p.csv", CSV)}, headers=headers
        )
        runs.add(answer.json()["id"])
    assert len(runs) == 4


@pytest.mark.parametrize("differs", ["the file", "the template", "the mapping", "the file and the template"])
async def test_another_request_with_the_same_key_is_refused(acme: Organization, mongo: Mongo, differs: str) -> None:
    template, other = await create_template(acme.http), await create_template(acme.http)
    first = (await upload_with_key(acme.http, template["id"])).json()
    answer = await upload_with_key(
        acme.http,
        other["id"] if "template" in differs else template["id"],
        OTHER if "file" in differs else CSV,
        '{"name": null}' if "mapping" in differs else None,
    )
    error = assert_error(answer, 422, "IDEMPOTENCY_KEY_REUSED", KEY)
    assert f"{differs} differ" in error["detail"]
    assert first["id"] in error["detail"]
    assert "new key" in error["detail"]
    assert await stored(mongo, acme) == (1, 1)


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"garbage", {"Content-Type": "text/plain"}, 415, "NOT_A_FORM"),
        (b"garbage", {"Content-Type": "multipart/form-data; boundary=x"}, 400, "MALFORMED_FORM"),
        (b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}, 422, "INVALID_REQUEST"),
    ],
)
async def test_what_is_no_upload_is_refused_as_such(
    acme: Organization, mongo: Mongo, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    template = await create_template(acme.http)
    await upload_with_key(acme.http, template["id"])
    answer = await acme.http.post("/imports/upload", content=content, headers={**headers, "Idempotency-Key": "k-1"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await stored(mongo, acme) == (1, 1)


async def test_the_key_of_a_refused_file_may_be_used_for_the_corrected_one(
    acme: Organization, mongo: Mongo, ledger: Ledger
) -> None:
    template = await create_template(acme.http)
    refused = (await upload_with_key(acme.http, template["id"], b"")).json()
    await fail(ledger, refused["id"])
    same = await upload_with_key(acme.http, template["id"], b"")
    assert (same.status_code, same.json()) == (202, refused)
    assert same.headers["idempotent-replayed"] == "true"
    corrected = await upload_with_key(acme.http, template["id"])
    assert corrected.status_code == 202
    assert "idempotent-replayed" not in corrected.headers
    run = corrected.json()
    assert (run["id"] != refused["id"], run["status"], run["file_size"]) == (True, "pending", len(CSV))
    again = await upload_with_key(acme.http, template["id"])
    assert again.json()["id"] == run["id"]
    assert_error(await upload_with_key(acme.http, template["id"], b""), 422, "IDEMPOTENCY_KEY_REUSED", KEY)
    assert (await acme.http.get(f"/imports/runs/{refused['id']}")).json()["status"] == "failed"
    assert await stored(mongo, acme) == (2, 2)


@pytest.mark.parametrize("end", ["cancelled", "failed while it was written"])
async def test_the_key_of_any_other_ended_run_stays_used(acme: Organization, ledger: Ledger, end: str) -> None:
    template = await create_template(acme.http)
    run_id = (await upload_with_key(acme.http, template["id"])).json()["id"]
    if end == "cancelled":
        assert (await acme.http.post(f"/imports/runs/{run_id}/cancel")).status_code == 200
    else:
        await validate(ledger, run_id)
        run = await ledger.runs.get(run_id)
        assert run is not None
        assert await ledger.runs.request_execution(run) is not None
        await fail(ledger, run_id)
    assert_error(await upload_with_key(acme.http, template["id"], OTHER), 422, "IDEMPOTENCY_KEY_REUSED", KEY)


async def test_of_equal_requests_at_the_same_time_one_makes_the_run(acme: Organization, mongo: Mongo) -> None:
    template = await create_template(acme.http)
    answers = await asyncio.gather(*(upload_with_key(acme.http, template["id"]) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await stored(mongo, acme) == (1, 1)


@pytest.mark.parametrize("after_a_refused_file", [False, True])
async def test_of_two_files_at_the_same_time_one_gets_the_key(
    acme: Organization, mongo: Mongo, ledger: Ledger, after_a_refused_file: bool
) -> None:
    template = await create_template(acme.http)
    before = 0
    if after_a_refused_file:
        await fail(ledger, (await upload_with_key(acme.http, template["id"], b"")).json()["id"])
        before = 1
    answers = await asyncio.gather(*(upload_with_key(acme.http, template["id"], content) for content in (CSV, OTHER)))
    [won, lost] = sorted(answers, key=lambda answer: answer.status_code)
    assert won.status_code == 202
    assert_error(lost, 422, "IDEMPOTENCY_KEY_REUSED", KEY)
    assert await stored(mongo, acme) == (before + 1, before + 1)
    waiting = [run_id for of_tenant in await ledger.parsing.waiting(Lane.SMALL) for run_id in of_tenant.run_ids]
    assert won.json()["id"] in waiting


async def test_a_key_is_looked_up_by_its_index(acme: Organization, mongo: Mongo) -> None:
    template = await create_template(acme.http)
    first = await upload_with_key(acme.http, template["id"])
    run = await mongo.state["runs"].find_one({"_id": first.json()["id"]})
    assert run is not None
    others = [{**run, "_id": f"0{number}", "idempotency_key": None} for number in range(200)]
    await mongo.state["runs"].insert_many(others)
    await mongo.state.command("profile", 2)
    await upload_with_key(acme.http, template["id"])
    await mongo.state.command("profile", 0)
    asked = {"command.find": "runs", "command.filter.idempotency_key": {"$exists": True}}
    looked = await mongo.state["system.profile"].find(asked).to_list()
    assert looked
    assert max(each["docsExamined"] for each in looked) == 1
