"""Imports are followed by server-sent events, from a snapshot to the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from beanie import init_beanie
from litestar import Litestar

from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.documents import DOCUMENTS
from libs.storage.settings import MongoSettings
from tests.integration.gateway.conftest import Organization, living, new_app
from tests.integration.gateway.steps import (
    CSV,
    create_importer,
    create_rowporter_template,
    eventually,
    submit,
    validate,
)
from tests.integration.gateway.streams import following
from tests.integration.gateway.test_server import served

LISTENERS = 1_000
MOST_OF_ONE = LISTENERS + 1


@pytest.fixture
async def app(app: Litestar, mongo_settings: MongoSettings) -> AsyncIterator[Litestar]:
    """A gateway of its own that looks often."""
    impatient = new_app(
        mongo_settings,
        progress_seconds=0.1,
        heartbeat_seconds=0.5,
        listener_check_seconds=0.1,
        max_listeners_per_organization=MOST_OF_ONE,
    )
    async with living(impatient):
        yield impatient
    # Beanie's models, bound once in a process, are given back.
    await init_beanie(database=app.state.gateway.context.mongo.state, document_models=DOCUMENTS, skip_indexes=True)


@pytest.fixture
async def port(app: Litestar) -> AsyncIterator[int]:
    async with served(app, max_connections_per_address=0) as port:
        yield port


async def cancel(ledger: Ledger, run_id: str) -> None:
    assert await ledger.stops.request(run_id, RunStatus.CANCELLED, "CANCELLED", "cancelled by request")
    await ledger.stops.finish(run_id)


def path(run_id: str) -> str:
    return f"/imports/runs/{run_id}/events"


async def test_a_run_is_followed_from_a_snapshot_to_its_end(acme: Organization, ledger: Ledger, port: int) -> None:
    run_id = await submit(acme.http)
    async with following(port, path(run_id), acme.key) as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert "content-encoding" not in stream.headers
        first = await stream.event()
        assert first is not None
        assert (first.name, first.data["id"], first.data["status"]) == ("snapshot", run_id, "pending")
        assert (first.data["stage"], first.data["total_rows"]) == ("queued", None)
        await validate(ledger, run_id)
        seen = await stream.until("progress")
        while seen[-1].data["stage"] != "checked":
            seen += await stream.until("progress")
        assert seen[-1].data["total_rows"] == 0
        assert [each.data["status"] for each in seen if each.name == "status"] == ["validating", "validated"]
        await cancel(ledger, run_id)
        rest = await stream.rest()
    last = rest[-1]
    assert (last.name, last.data["status"], last.data["stage"]) == ("end", "cancelled", "ended")
    assert last.data["error"]["code"] == "CANCELLED"
    assert last.id is not None
    async with following(port, path(run_id), acme.key, Last_Event_ID=last.id) as stream:
        assert stream.status == 204


async def test_whoever_comes_again_is_told_what_has_been_missed(acme: Organization, ledger: Ledger, port: int) -> None:
    run_id = await submit(acme.http)
    async with following(port, path(run_id), acme.key) as stream:
        first = await stream.event()
    assert first is not None
    assert first.id is not None
    await validate(ledger, run_id)
    await cancel(ledger, run_id)
    async with following(port, path(run_id), acme.key, Last_Event_ID=first.id) as stream:
        told = await stream.rest()
    assert [each.name for each in told] == ["status", "status", "status", "snapshot", "end"]
    assert [each.data["status"] for each in told[:3]] == ["validating", "validated", "cancelled"]
    for strange in ("1", "x.y", "9" * 90 + ".end", "-1.end"):
        async with following(port, path(run_id), acme.key, Last_Event_ID=strange) as stream:
            assert [each.name for each in await stream.rest()] == ["snapshot", "end"]


async def test_rows_pace_and_time_left(acme: Organization, mongo: Mongo, port: int) -> None:
    """By the ledger, as the other services leave it."""
    run_id = await submit(acme.http)
    began = {"version": 2, "status": "validating", "at": datetime.now(UTC)}
    await mongo.state["runs"].update_one(
        {"_id": run_id},
        {
            "$set": {"status": "validating", "version": 2, "parse.closed": True, "parse.rows": 400},
            "$push": {"history": began},
        },
    )
    batch = {"tenant_id": acme.id, "run_id": run_id, "epoch": 0, "rows": 100}
    await mongo.state["batches"].insert_many([{**batch, "_id": f"{run_id}:{n}", "state": "parsed"} for n in range(4)])
    async with following(port, path(run_id), acme.key) as stream:
        first = await stream.event()
        assert first is not None
        assert (first.data["rows_parsed"], first.data["rows_validated"], first.data["total_rows"]) == (400, 0, 400)
        done = {"state": "validated", "result": {"ok": 97, "rejected": 3, "warnings": 2}}
        await mongo.state["batches"].update_one({"_id": f"{run_id}:0"}, {"$set": done})
        seen = await stream.until("progress")
        while seen[-1].data["rows_per_second"] is None:
            seen += await stream.until("progress")
    state = seen[-1].data
    assert (state["stage"], state["rows_validated"], state["rejected_count"]) == ("checking", 100, 3)
    assert state["rows_per_second"] > 0
    assert state["seconds_left"] == pytest.approx(300 / state["rows_per_second"], rel=0.05)


async def test_shared_imports_are_told_in_the_words_of_their_vocabulary(acme: Organization, port: int) -> None:
    importer, template = await create_importer(acme.http), await create_rowporter_template(acme.http)
    for configuration, members in (
        ({"importer_id": importer["id"]}, {"importer_id": importer["id"], "status": "failed", "num_errors": 0}),
        ({"template_id": template["id"]}, {"templateId": template["id"], "status": "FAILED", "errorRows": 0}),
    ):
        answer = await acme.http.post("/api/v1/imports", data=configuration, files={"file": ("p.csv", CSV)})
        import_id = answer.json()["id"]
        stored = answer.headers["location"].rpartition("/")[2]
        async with following(port, f"/api/v1/imports/{stored}/events", acme.key) as stream:
            first = await stream.event()
            assert first is not None
            await acme.http.post(f"/imports/runs/{await newest(acme)}/cancel")
            told = [first, *await stream.rest()]
        end = told[-1]
        assert (end.name, end.data["id"]) == ("end", import_id)
        assert members.items() <= end.data.items()


async def newest(organization: Organization) -> str:
    """Id of the newest run."""
    return (await organization.http.get("/imports/runs")).json()["data"][0]["id"]


async def test_nobody_follows_what_is_of_others(
    acme: Organization, new_organization: Callable[[], Awaitable[Organization]], port: int
) -> None:
    run_id, other = await submit(acme.http), await new_organization()
    for address in (path(run_id), f"/api/v1/imports/{run_id}/events", path("0" * 24)):
        async with following(port, address, other.key) as stream:
            assert stream.status == 404


async def test_a_revoked_key_hears_nothing_more(acme: Organization, mongo: Mongo, port: int) -> None:
    run_id = await submit(acme.http)
    async with following(port, path(run_id), acme.key) as stream:
        await stream.until("snapshot")
        await mongo.state["api_keys"].update_many({"tenant_id": acme.id}, {"$set": {"revoked_at": datetime.now(UTC)}})
        [fault] = await stream.rest()
    assert (fault.name, fault.data["code"], fault.data["reconnect"]) == ("fault", "UNAUTHORIZED", False)


async def test_after_a_fault_there_is_a_snapshot(acme: Organization, mongo: Mongo, ledger: Ledger, port: int) -> None:
    run_id = await submit(acme.http)
    async with following(port, path(run_id), acme.key) as stream:
        await stream.until("snapshot")
        await mongo.state["runs"].update_one({"_id": run_id}, {"$set": {"status": "of a newer release"}})
        [fault] = await stream.rest()
    assert (fault.name, fault.data["code"], fault.data["reconnect"]) == ("fault", "INTERNAL_ERROR", True)
    await mongo.state["runs"].update_one({"_id": run_id}, {"$set": {"status": "pending"}})
    await cancel(ledger, run_id)
    async with following(port, path(run_id), acme.key) as stream:
        assert [each.name for each in await stream.rest()] == ["snapshot", "end"]


async def test_head_ends_at_once(acme: Organization) -> None:
    answer = await acme.http.head(path(await submit(acme.http)))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_a_thousand_listeners_cost_one_command_a_look(
    acme: Organization, ledger: Ledger, mongo: Mongo, app: Litestar, port: int
) -> None:
    run_id = await submit(acme.http)
    watches = app.state.gateway.capabilities.watches
    async with AsyncExitStack() as stack:
        streams = []
        for at in range(0, LISTENERS, 50):
            streams += await asyncio.gather(
                *(stack.enter_async_context(following(port, path(run_id), acme.key)) for _ in range(at, at + 50))
            )
        await asyncio.gather(*(stream.until("snapshot") for stream in streams))
        assert watches.listeners == LISTENERS
        async with following(port, path(run_id), acme.key) as one_more:
            await one_more.until("snapshot")
            async with following(port, path(run_id), acme.key) as too_many:
                assert too_many.status == 429
        await mongo.state.command({"profile": 1, "filter": {"ns": f"{mongo.state.name}.runs"}})
        began = asyncio.get_running_loop().time()
        await validate(ledger, run_id)
        await cancel(ledger, run_id)
        ends = await asyncio.gather(*(stream.rest() for stream in streams))
        seconds = asyncio.get_running_loop().time() - began
        await mongo.state.command({"profile": 0, "filter": "unset"})
        commands = await mongo.state["system.profile"].count_documents({"command.aggregate": "runs"})
    assert {told[-1].name for told in ends} == {"end"}
    assert {told[-1].data["status"] for told in ends} == {"cancelled"}
    assert 1 <= commands <= 3 + seconds / 0.1

    async def nobody() -> bool:
        return watches.listeners == 0

    await eventually(nobody)
