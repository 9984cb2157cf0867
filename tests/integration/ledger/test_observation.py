"""What is counted over everything: right, by one process, and for the same whatever has ended."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from libs.contracts.lanes import Lane
from libs.contracts.states import BatchState, RunStatus
from libs.ledger.observation import Observation
from libs.process.observer import Observer
from libs.process.settings import ServiceSettings
from libs.storage.client import Mongo
from libs.telemetry.metrics import Metrics

ENDED = 3_000


def run(status: RunStatus, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a run
    now = datetime.now(UTC)
    stored = {"_id": str(ObjectId()), "tenant_id": "t1", "status": status.value, "updated_at": now, "lane": "small"}
    return {**stored, "file": {"size": 10}, "stop": None, "parse": {"rows": 5}, **more}


def batch(run_id: str, seq: int, *, announced: bool) -> dict[str, Any]:
    told = {"announced": "validated", "lane": "small"} if announced else {}
    return {"_id": f"{run_id}:0:{seq}", "tenant_id": "t2", "run_id": run_id, "seq": seq, "state": "validated", **told}


def observer(mongo: Mongo, instance: str, metrics: Metrics) -> Observer:
    return Observer(mongo, ServiceSettings(kafka="localhost:1", ops_port=1, instance=instance), metrics, 10)


async def fill(mongo: Mongo) -> str:
    """A run at work with 7 batches of which 2 are announced, one that waits for an hour, and what has ended."""
    ended = datetime.now(UTC) - timedelta(days=3)
    at_work = run(RunStatus.EXECUTING, held_back=True, tenant_id="t2")
    await mongo.state["runs"].insert_many(
        [
            at_work,
            run(RunStatus.PENDING, updated_at=datetime.now(UTC) - timedelta(hours=1)),
            run(RunStatus.COMPLETED, finished_at=datetime.now(UTC)),
            *(run(RunStatus.COMPLETED, finished_at=ended, updated_at=ended) for _ in range(ENDED)),
        ]
    )
    await mongo.state["batches"].insert_many([batch(at_work["_id"], seq, announced=seq < 2) for seq in range(7)])
    await mongo.state["outbox"].insert_one({"_id": "e1", "service": "parser", "created_at": ended})
    await mongo.state["dead_letters"].insert_one({"_id": "d1", "state": "waiting", "created_at": ended})
    await mongo.state["webhook_deliveries"].insert_one({"_id": "w1", "state": "pending", "tenant_id": "t1"})
    await mongo.state["sources"].insert_many(list(sources()))
    return at_work["_id"]


def sources() -> Iterator[dict[str, Any]]:
    """One that waits for its turn for an hour; others that somebody is at, are not due, are paused; many that work."""
    now, hour = datetime.now(UTC), timedelta(hours=1)
    usual = {"tenant_id": "t1", "enabled": True, "look_at": now + hour, "failing_since": None, "lease": None}
    for number, more in enumerate(
        (
            {"look_at": now - hour, "failing_since": now},
            {"look_at": now - 5 * hour, "lease": {"owner": "x", "until": now + hour}},
            {"look_at": now - 5 * hour, "enabled": False, "failing_since": now},
            {"look_at": now - hour / 2, "lease": {"owner": "x", "until": now - hour}},
            *[{}] * 10,
        )
    ):
        yield {**usual, **more, "_id": f"s{number:03}"}


async def test_what_there_is_to_do_is_counted(mongo: Mongo) -> None:
    await fill(mongo)
    metrics = Metrics("gateway")
    await observer(mongo, "one", metrics).observe()

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"rowdock_{name}", labels)

    assert value("observer") == 1
    assert value("runs_active", status="pending") == 1
    assert value("runs_active", status="executing") == 1
    assert value("runs_active", status="completed") is None
    assert 3_600 <= (value("runs_oldest_seconds", status="pending") or 0) < 7_200
    assert value("batches_in_flight", state="validated", lane="small") == 2
    assert value("batches_waiting", state="validated", lane="small") == 5
    assert value("outbox_rows", publisher="parser") == 1
    assert value("dead_letters_waiting") == 1
    assert value("webhook_deliveries_pending") == 1
    assert value("sources", state="enabled") == 13
    assert value("sources", state="failing") == 1
    assert 3_600 <= (value("sources_overdue_seconds") or 0) < 7_200
    assert value("tenant_batches_in_flight", tenant="t2") == 2
    assert value("tenant_runs_active", tenant="t1") == 1
    assert value("tenant_recent_rows", tenant="t1") == 5
    assert value("collection_documents", collection="runs") == ENDED + 3
    assert (value("collection_bytes", collection="runs", kind="data") or 0) > 100 * ENDED
    assert (value("mongodb_disk_bytes", kind="total") or 0) > (value("mongodb_disk_bytes", kind="used") or 0) > 0


async def test_one_process_counts_and_another_one_once_it_has_left(mongo: Mongo) -> None:
    await fill(mongo)
    first, second = Metrics("gateway"), Metrics("gateway")
    one, other = observer(mongo, "one", first), observer(mongo, "other", second)
    for _ in range(2):
        await one.observe()
        await other.observe()
    assert (first.observer._value.get(), second.observer._value.get()) == (1, 0)
    assert_counted_by(first, not_by=second)
    await one.leave()
    await other.observe()
    assert (first.observer._value.get(), second.observer._value.get()) == (0, 1)
    assert_counted_by(second, not_by=first)


def assert_counted_by(metrics: Metrics, *, not_by: Metrics) -> None:
    """What another process counts is no 0, which dashboards would show where the right number is not to be had."""
    assert not_by.registry.get_sample_value("rowdock_runs_active", {"status": "pending"}) is None
    uncounted = ("dead_letters_waiting", "webhook_deliveries_pending", "webhook_endpoints_given_up", "tenants_active")
    for name in (*uncounted, "sources_overdue_seconds"):
        assert (metrics.registry.get_sample_value(f"rowdock_{name}") or 0) >= 0
        assert math.isnan(not_by.registry.get_sample_value(f"rowdock_{name}") or 0), name


async def test_what_has_ended_costs_nothing(mongo: Mongo) -> None:
    await fill(mongo)
    observation = Observation(mongo)
    await mongo.state.command({"profile": 2})
    await observation.active_runs()
    await observation.oldest_seconds()
    work = await observation.work()
    await observation.organizations()
    await observation.recent_rows()
    await observation.dead_letters()
    await observation.pending_deliveries()
    await observation.endpoints_given_up()
    await observation.sources()
    await observation.sources_overdue_seconds()
    await observation.outbox_rows(("parser",))
    await observation.collections()
    await mongo.state.command({"profile": 0})
    assert work.in_flight[BatchState.VALIDATED, Lane.SMALL] == 2
    asked = await mongo.state["system.profile"].find({"ns": {"$not": {"$regex": "system.profile"}}}).to_list()
    assert asked
    assert [each["command"] for each in asked if "COLLSCAN" in each.get("planSummary", "")] == []
    assert max(each.get("keysExamined", 0) + each.get("docsExamined", 0) for each in asked) < 50
