"""Runs that wait for their client, and runs that were stopped: sweeps pass over them without reading them."""

from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.ledger.rescue import GOING_ON
from libs.ledger.syncs import REQUESTED_SYNCS
from libs.storage.client import Mongo

MANY = 2_000
FEW = 20
"""Documents and keys that a look may examine."""


def run(status: RunStatus, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a run
    now = datetime.now(UTC)
    stored = {"_id": str(ObjectId()), "tenant_id": "t1", "status": status.value, "updated_at": now, "stop": None}
    return {**stored, "parse": {"closed": True}, "template": {"auto_execute": False}, **more}


async def test_sweeps_do_not_read_what_waits_or_was_stopped(mongo: Mongo, ledger: Ledger) -> None:
    stop = {"status": "failed", "code": "X", "message": "x", "at": datetime.now(UTC)}
    await mongo.state["runs"].insert_many(
        [
            *(run(RunStatus.VALIDATED) for _ in range(MANY)),
            *(run(RunStatus.VALIDATED, syncing={"stage": "unconfirmed", "target": "t"}) for _ in range(MANY)),
            *(run(RunStatus.FAILED, stop=stop) for _ in range(MANY)),
        ]
    )
    await mongo.state.command({"profile": 2})
    assert await ledger.stops.unfinished() == []
    for where in (REQUESTED_SYNCS, GOING_ON):
        assert [each async for each in ledger.rescue.silent_runs([RunStatus.VALIDATED], 0, where=where)] == []
    await mongo.state.command({"profile": 0})
    asked = await mongo.state["system.profile"].find({"ns": f"{mongo.state.name}.runs"}).to_list()
    assert len(asked) == 3
    assert max(each["keysExamined"] + each["docsExamined"] for each in asked) <= FEW, asked
