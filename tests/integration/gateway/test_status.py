"""The installation at a look: what runs, what is stuck and why; at a cost that does not grow with the runs."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from bson import ObjectId
from litestar import Litestar

from libs.storage.client import Document, Mongo
from libs.storage.settings import MongoSettings
from services.gateway.status.overview import MAX_LOOKED_AT, MAX_STUCK
from services.gateway.stores.installation import MAX_LETTERS, MOST_COUNTED
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import assert_error, eventually
from tests.integration.gateway.test_admin import run_admin
from tests.integration.gateway.test_api_keys import caller
from tests.integration.gateway.test_dead_letters import letter

STATUS = "/api/v1/admin/status"
LONG_AGO = datetime.now(UTC) - timedelta(hours=3)


def run(status: str, **changes: object) -> Document:
    """A run as far as it is looked at here."""
    return {
        "_id": str(ObjectId()),
        "tenant_id": f"status-{uuid4().hex[:8]}",
        "status": status,
        "purpose": "import",
        "parse": {"closed": True, "batches": 3, "rows": 9, "attempts": 1},
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        **changes,
    }


def batch(run_id: str, seq: int, state: str, **changes: object) -> Document:
    return {
        "_id": f"{run_id}:{seq}", "run_id": run_id, "seq": seq, "state": state, "attempts": 0,
        "updated_at": LONG_AGO, **changes,
    }  # fmt: skip


@pytest.fixture
async def operator(
    app: Litestar, acme: Organization, mongo: Mongo, mongo_settings: MongoSettings
) -> AsyncIterator[httpx.AsyncClient]:
    for name in ("runs", "batches", "dead_letters"):
        await mongo.state[name].delete_many({})
    _, [key], _ = await run_admin(mongo_settings, "keys", "create", acme.id, "ops", "--scope", "operator")
    async with caller(app, key["api_key"]) as http:
        yield http
    for name in ("runs", "batches", "dead_letters"):
        await mongo.state[name].delete_many({})


async def look(operator: httpx.AsyncClient, **query: float) -> dict[str, Any]:
    answer = await operator.get(STATUS, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_it_is_for_operators(acme: Organization, operator: httpx.AsyncClient) -> None:
    assert "'operator'" in assert_error(await acme.http.get(STATUS), 403, "FORBIDDEN")["detail"]
    assert_error(
        await operator.get(STATUS, params={"stuck_after_seconds": 1}),
        400,
        "INVALID_PARAMETER",
        "query.stuck_after_seconds",
    )


async def test_processes_servers_and_settings_are_told(operator: httpx.AsyncClient, mongo: Mongo) -> None:
    gone = {
        "_id": "writer/writer-9", "service": "writer", "instance": "writer-9", "version": "0.0.1",
        "started_at": LONG_AGO, "seen_at": LONG_AGO, "clock_ahead_ms": 12, "rescues": {"batch": 2},
    }  # fmt: skip
    await mongo.state["processes"].delete_one({"_id": gone["_id"]})
    await mongo.state["processes"].insert_one(gone)
    await mongo.state["outbox"].insert_one(
        {"_id": uuid4().hex, "service": "writer", "topic": "t", "key": "k", "value": "v", "created_at": LONG_AGO}
    )

    async def told() -> bool:
        return "gateway-test" in {each["instance"] for each in (await look(operator))["processes"]}

    await eventually(told, 60)
    found = await look(operator)
    processes = {each["instance"]: each for each in found["processes"]}
    assert processes["gateway-test"]["alive"] is True
    assert abs(processes["gateway-test"]["clock_ahead_ms"]) < 5_000
    assert processes["writer-9"]["alive"] is False
    assert (processes["writer-9"]["version"], processes["writer-9"]["rescues"]) == ("0.0.1", {"batch": 2})
    assert found["outbox"]["writer"]["count"] == 1
    # Nothing listens where this gateway looks for Kafka.
    assert "127.0.0.1" in (obstacle := found["kafka"]["obstacle"]) or "does not answer" in obstacle
    state, target = found["databases"]
    assert (state["name"], target["name"]) == (mongo.state.name, mongo.target.name)
    assert 0 < state["disk_used"] < state["disk_total"]
    assert found["retention"]["runs_days"] == 365
    await mongo.state["outbox"].delete_many({"service": "writer"})
    await mongo.state["processes"].delete_one({"_id": gone["_id"]})


async def test_a_stuck_run_is_told_with_why_and_one_whose_batches_move_is_not(
    operator: httpx.AsyncClient, mongo: Mongo
) -> None:
    stuck, moving, young = run("executing"), run("executing"), run("executing", updated_at=datetime.now(UTC))
    waiting_for_a_client = run("validated")
    await mongo.state["runs"].insert_many([stuck, moving, young, waiting_for_a_client])
    moved_at = LONG_AGO + timedelta(hours=1)
    await mongo.state["batches"].insert_many(
        [
            batch(stuck["_id"], 0, "written"),
            batch(stuck["_id"], 1, "validated", announced="validated", attempts=4, updated_at=moved_at),
            batch(stuck["_id"], 2, "validated"),
            batch(moving["_id"], 0, "validated", updated_at=datetime.now(UTC)),
        ]
    )
    await letter(mongo, key=f"{stuck['_id']}:1".encode(), code="UNDECODABLE", message="seq: Field required")
    found = await look(operator)
    [told] = found["stuck"]
    assert told["run_id"] == stuck["_id"]
    assert told["why"].startswith("1 of 2 waiting batches are handed out to workers, the others wait for their turn")
    assert "no process of the service writer is at work" in told["why"]
    assert (told["batches"], told["announced_batches"], told["attempts"]) == ({"written": 1, "validated": 2}, 1, 4)
    assert abs(datetime.fromisoformat(told["quiet_since"]) - moved_at) < timedelta(seconds=1)
    assert told["last_error"]["message"] == "seq: Field required"
    assert (found["runs"]["executing"]["count"], found["runs"]["validated"]["count"]) == (3, 1)
    assert found["dead_letters"]["by_status"]["waiting"]["count"] == 1
    assert (await look(operator, stuck_after_seconds=86_400))["stuck"] == []


async def test_a_look_costs_no_more_with_many_runs(operator: httpx.AsyncClient, mongo: Mongo) -> None:
    many = MOST_COUNTED + 2_000
    for status in ("completed", "executing"):
        runs = [run(status, finished_at=LONG_AGO if status == "completed" else None) for _ in range(many)]
        await mongo.state["runs"].insert_many(runs, ordered=False)
    await mongo.state.command({"profile": 0})
    await mongo.state["system.profile"].drop()
    # What is asked here names its index; what a gateway does in the background meanwhile does not.
    await mongo.state.command({"profile": 2, "filter": {"appName": "rowdock", "command.hint": {"$type": "string"}}})
    found = await look(operator)
    await mongo.state.command({"profile": 0, "filter": "unset"})
    profiled = await mongo.state["system.profile"].find({}).to_list()
    # The server's own filter lets some of the others pass, such as the search for stops that nobody has finished.
    asked = [each for each in profiled if "hint" in each["command"]]
    assert found["runs"]["executing"]["count"] == MOST_COUNTED
    assert (len(found["stuck"]), found["not_all_looked_at"]) == (MAX_STUCK, ["executing"])
    collections = {each["ns"].partition(".")[2] for each in asked}
    assert collections >= {"runs", "batches", "dead_letters", "processes", "outbox"}
    assert all("COLLSCAN" not in each.get("planSummary", "") for each in asked)
    assert max(each.get("keysExamined", 0) for each in asked) <= MOST_COUNTED + 1
    assert max(each.get("docsExamined", 0) for each in asked) <= max(MAX_LOOKED_AT, MAX_LETTERS)
