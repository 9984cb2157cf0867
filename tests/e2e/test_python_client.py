"""The Python client, both ways, through the whole stack: imports, their rows, their rejected rows, their end."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import Stack
from rowdock_client import (
    AsyncRowdock,
    ConflictError,
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    NotReachableError,
    Retries,
    Rowdock,
    RunFailedError,
    Source,
    UnexpectedAnswerError,
)
from rowdock_client.progress import Progress
from tests.client import planted_file, planted_template
from tests.oracle import Oracle

pytestmark = pytest.mark.servers

GOOD = b"sku,name,email,amount,day\nA1,One,one@example.com,1.50,2024-01-31\n"
BAD = GOOD + b"A2,Two,nobody,2.50,2024-01-31\n"

Do = Callable[..., Awaitable[Any]]
"""A method of either client by its name, as if both were awaited."""


@pytest.fixture(params=["sync", "async"])
async def do(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[Do]:
    """The methods of one client; lists and downloads come whole."""
    if request.param == "sync":
        with Rowdock(stack.gateway, stack.api_key) as client:

            async def waiting(name: str, /, *args: object, **members: object) -> object:
                def done() -> object:
                    found = getattr(client, name)(*args, **members)
                    if hasattr(found, "__next__"):
                        return list(found)
                    if hasattr(found, "__enter__"):
                        with found as pieces:
                            return b"".join(pieces)
                    return found

                return await asyncio.to_thread(done)

            yield waiting
        return
    async with AsyncRowdock(stack.gateway, stack.api_key) as client:

        async def awaited(name: str, /, *args: object, **members: object) -> object:
            found = getattr(client, name)(*args, **members)
            if hasattr(found, "__anext__"):
                return [each async for each in found]
            if hasattr(found, "__aenter__"):
                async with found as pieces:
                    return b"".join([piece async for piece in pieces])
            return await found

        yield awaited


@pytest.fixture
def rowdock(stack: Stack) -> Iterator[Rowdock]:
    with Rowdock(stack.gateway, stack.api_key) as client:
        yield client


async def test_a_file_is_imported_and_every_row_is_accounted_for(
    do: Do, resource: str, tmp_path: Path, oracle: Oracle
) -> None:
    planted = planted_file(3_000)
    file = tmp_path / "planted.csv"
    file.write_bytes(planted.content)
    template = await do("create_template", planted_template(resource))
    sent: list[tuple[int, int]] = []
    seen: list[Progress] = []
    source = Source.of(file, told=lambda done, size: sent.append((done, size)))
    run = await do("import_file", source, template.id, watch=seen.append)
    assert run.status == "completed"
    assert (run.total_rows, run.written_count, run.rejected_count) == (
        planted.rows, len(planted.valid), len(planted.rejected),
    )  # fmt: skip
    assert oracle.target[resource].count_documents({}) == len(planted.valid)
    assert run.file_name == "planted.csv"
    assert sent[-1] == (len(planted.content), len(planted.content))
    assert [seen[0].stage, seen[-1].stage] == ["queued", "ended"]
    assert {each.run_id for each in seen} == {run.id}
    rows = await do("rows", run.id, limit=700)
    assert [each.row for each in rows] == list(range(1, planted.rows + 1))
    assert {each.row for each in rows if each.outcome == "rejected"} == planted.rejected
    content = await do("download_rows", run.id, format="csv", outcome="rejected")
    assert len(list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))) == len(planted.rejected) + 1
    assert [each.row for each in await do("rejected", run.id, limit=7)] == sorted(planted.rejected)
    events = await do("events", run.id)
    assert (events[-1].kind, events[-1].progress.rows_done) == ("end", planted.rows)


async def test_rejected_rows_are_corrected_retried_and_the_run_is_taken_back(
    do: Do, resource: str, oracle: Oracle
) -> None:
    template = await do("create_template", planted_template(resource))
    run = await do("import_file", BAD, template.id)
    assert run.rejected_count == 1
    rejected = (await do("list_rejected", run.id)).data[0]
    corrected = await do("correct_rejected", rejected.id, {"email": "two@example.com"})
    assert (corrected.state, corrected.errors) == ("corrected", [])
    retry = await do("settle_run", await do("retry_all_rejected", run.id))
    assert (retry.status, retry.parent_run_id, retry.written_count) == ("completed", run.id, 1)
    assert oracle.target[resource].count_documents({}) == 2
    with pytest.raises(ConflictError) as refused:
        await do("revert", run.id)
    assert refused.value.code == "HAS_RETRIES"
    assert (await do("revert", retry.id)).status == "reverted"
    reverted = await do("revert", run.id)
    assert (reverted.status, reverted.reverted.removed_count) == ("reverted", 1)
    assert oracle.target[resource].count_documents({}) == 0


async def test_files_of_corrections_go_there_and_back(do: Do, resource: str) -> None:
    template = await do("create_template", planted_template(resource))
    run = await do("import_file", BAD, template.id)
    content = await do("download_rejected", run.id, format="csv")
    corrected = content.replace(b"nobody", b"two@example.com")
    retry = await do("settle_run", await do("upload_corrections", run.id, corrected, name="corrected.csv"))
    assert (retry.corrections.corrected, retry.written_count) == (1, 1)


async def test_many_rows_are_corrected_at_once(do: Do, resource: str) -> None:
    template = await do("create_template", planted_template(resource))
    run = await do("import_file", BAD, template.id)
    wanted = {"code": run.errors[0].code, "field": "email", "change": {"type": "set", "new": "two@example.com"}}
    tried = await do("correct_all_rejected", run.id, wanted, dry_run=True)
    assert (tried.matching_count, tried.changed_count, tried.dry_run) == (1, 1, True)
    done = await do("correct_rows", run.id, wanted)
    assert (done.status, done.changed_count, done.remaining_count) == ("done", 1, 0)


async def test_what_would_be_done_is_shown_before(do: Do, resource: str, oracle: Oracle) -> None:
    template = await do("create_template", planted_template(resource))
    assert (await do("dry_run", BAD, planted_template(resource))).valid_rows == 1
    assert (await do("preview_file", BAD, template.id)).to_create == 1
    run = await do("check_file", BAD, template.id)
    preview = await do("preview_run", run.id)
    assert (preview.status, preview.to_create, preview.rejected_count) == ("done", 1, 1)
    assert (await do("cancel", run.id)).status == "cancelled"
    assert oracle.target[resource].count_documents({}) == 0


async def test_templates_are_made_changed_and_deleted(do: Do, resource: str) -> None:
    template = await do("create_template", planted_template(resource))
    changed = await do("replace_template", template.id, {**planted_template(resource), "name": "renamed"})
    assert (changed.id, changed.name, changed.version) == (template.id, "renamed", template.version + 1)
    assert template.id in {each.id for each in await do("templates", limit=2)}
    assert await do("delete_template", template.id) is None
    with pytest.raises(NotFoundError):
        await do("get_template", template.id)


async def test_a_file_that_is_none_fails_with_the_reason(do: Do, resource: str) -> None:
    template = await do("create_template", planted_template(resource, required_columns=["sku"]))
    with pytest.raises(RunFailedError) as failed:
        await do("import_file", b"a,b\n1,2\n", template.id)
    assert failed.value.run.status == "failed"
    assert failed.value.code == failed.value.run.error.code
    assert "sku" in failed.value.message


async def test_one_key_is_one_import(do: Do, resource: str) -> None:
    template = await do("create_template", planted_template(resource))
    one = await do("upload_file", BAD, template.id, idempotency_key=f"{resource}-1")
    assert (await do("upload_file", BAD, template.id, idempotency_key=f"{resource}-1")).id == one.id
    with pytest.raises(InvalidRequestError) as refused:
        await do("upload_file", GOOD, template.id, idempotency_key=f"{resource}-1")
    assert refused.value.code == "IDEMPOTENCY_KEY_REUSED"
    await do("cancel", one.id)


def test_who_does_not_want_to_wait_is_answered_at_once(rowdock: Rowdock, resource: str) -> None:
    template = rowdock.create_template(planted_template(resource))
    run = rowdock.upload_file(planted_file(20_000).content, template.id, wait=0)
    assert run.status in {"pending", "validating"}
    run = rowdock.wait_for_run(run.id, until=("validated",))
    assert rowdock.execute_run(run.id, wait=0).status == "executing"
    assert rowdock.wait_for_run(run.id).status == "completed"
    assert rowdock.revert_run(run.id, wait=0).status == "reverting"
    assert rowdock.wait_for_run(run.id).status == "reverted"


def test_a_sync_that_would_delete_too_much_asks(rowdock: Rowdock, resource: str) -> None:
    sync = {"import_mode": "sync", "upsert_key": "sku", "scope_filter": {"source": "test"}}
    template = rowdock.create_template(planted_template(resource, default_values={"source": "test"}, **sync))
    rowdock.import_file(planted_file(50, bad_share=0).content, template.id)
    run = rowdock.check_file(planted_file(10, bad_share=0).content, template.id)
    with pytest.raises(ConflictError) as asked:
        rowdock.write_run(run.id)
    assert asked.value.code == "DELETES_NOT_CONFIRMED"
    assert rowdock.write_run(run.id, confirm_deletes=40).deleted_count == 40


def test_problems_of_a_template_say_where(rowdock: Rowdock) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        rowdock.create_template({"name": "x", "target_resource": "Not A Name", "field_mapping": [{"target": "a"}]})
    assert "body.target_resource" in {each.location for each in refused.value.problems}


def test_other_keys_addresses_and_servers_are_told_apart(stack: Stack) -> None:
    once = Retries(attempts=1)
    with Rowdock(stack.gateway, "sk_live_wrong", retries=once) as client, pytest.raises(NotAllowedError):
        client.list_runs()
    with Rowdock("http://127.0.0.1:1", stack.api_key, retries=once) as client, pytest.raises(NotReachableError):
        client.list_runs()
    mongod = f"http://{stack.mongodb.split('//')[1].split('/')[0]}"
    with Rowdock(mongod, stack.api_key, retries=once) as client, pytest.raises(UnexpectedAnswerError):
        client.list_runs()
