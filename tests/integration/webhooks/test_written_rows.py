"""The rows in the event that a run is completed."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, ObjectId

from libs.contracts.ids import record_id
from libs.storage.client import Mongo
from services.webhooks.domain.sample import MAX_BYTES
from services.webhooks.written_rows import WrittenRows
from tests.integration.webhooks.delivering import completed, deliveries, endpoint, queue_of
from tests.integration.webhooks.receivers import answer, receiving
from tests.integration.webhooks.test_listeners import listener


async def asks_for_rows(mongo: Mongo, run_id: str, most: int | None) -> None:
    changes = {"template.include_data_in_webhook": True, "template.webhook_data_sample_size": most}
    await mongo.state["runs"].update_one({"_id": run_id}, {"$set": changes})


async def record(mongo: Mongo, run_id: str, row: int, name: str, *, created: bool = True, **changes: Any) -> None:  # noqa: ANN401
    identifier = ObjectId(record_id(run_id, row)) if created else ObjectId()
    document = {
        "_id": identifier,
        "tenant_id": "t1",
        "name": name,
        "private": "of another application",
        "_import": {"run_id": run_id, "row": row, "version": 1},
        **changes,
    }
    await mongo.target["people"].insert_one(document)
    if not created:
        await mongo.state["undo"].insert_one(
            {"_id": str(ObjectId()), "run_id": run_id, "row": row, "record_id": identifier, "resource": "people"}
        )


async def body_of_end(mongo: Mongo, most: int | None) -> dict[str, Any]:
    events = await completed(mongo, None)
    run_id = events[0].run_id
    await asks_for_rows(mongo, run_id, most)
    for row in (3, 1, 6):
        await record(mongo, run_id, row, f"created {row}")
    for row in (2, 5):
        await record(mongo, run_id, row, f"changed {row}", created=False)
    # Another run has it now, another organization has it, and it is none of the run's.
    await record(mongo, run_id, 4, "no", _import={"run_id": "later", "row": 1})
    await record(mongo, run_id, 7, "no", tenant_id="t2")
    await record(mongo, "0" * 24, 1, "no")
    for event in events:
        await queue_of(mongo)(event)
    bodies = [json.loads(each["body"]) for each in await deliveries(mongo)]
    [ended] = [each for each in bodies if each["type"] == "import.completed"]
    assert not any("rows" in each["data"] for each in bodies if each is not ended)
    return ended


async def test_in_the_order_of_the_file_and_only_what_the_run_has_written(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        await listener(mongo, receiver)
    body = await body_of_end(mongo, None)
    names = ["created 1", "changed 2", "created 3", "changed 5", "created 6"]
    assert body["data"]["rows"] == [{"name": name} for name in names]
    assert body["data"]["rows_written"] == 7
    assert body["data"]["rows_url"] == f"/imports/runs/{body['import_id']}/rows?outcome=written"


@pytest.mark.parametrize("most", [0, 1, 2])
async def test_no_more_than_are_asked_for(mongo: Mongo, most: int) -> None:
    async with receiving(answer("200 OK")) as receiver:
        await listener(mongo, receiver)
    body = await body_of_end(mongo, most)
    assert body["data"]["rows"] == [{"name": "created 1"}, {"name": "changed 2"}][:most]


async def test_a_template_that_asks_for_none_has_none(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        of_template = await endpoint(mongo, receiver)
    for event in await completed(mongo, of_template):
        await queue_of(mongo)(event)
    assert not any("rows" in json.loads(each["body"])["data"] for each in await deliveries(mongo))


async def test_large_rows_end_the_sample(mongo: Mongo) -> None:
    run_id = (await completed(mongo, None))[0].run_id
    await asks_for_rows(mongo, run_id, None)
    await record(mongo, run_id, 1, "x" * 40_000)
    await record(mongo, run_id, 2, "y" * 40_000)
    await record(mongo, run_id, 3, "z")
    rows = await WrittenRows(mongo).of("t1", run_id)
    assert rows is not None
    assert [len(row["name"]) for row in rows] == [40_000]
    await mongo.target["people"].update_one({"name": "x" * 40_000}, {"$set": {"name": "x" * (2 * MAX_BYTES)}})
    assert await WrittenRows(mongo).of("t1", run_id) == []


async def test_rescued_events_have_their_rows(mongo: Mongo) -> None:
    async with receiving(answer("200 OK")) as receiver:
        await listener(mongo, receiver)
    run_id = (await completed(mongo, None))[0].run_id
    await asks_for_rows(mongo, run_id, 5)
    await record(mongo, run_id, 1, "Ann", price=Decimal128("1.50"), at=datetime(2024, 1, 1, tzinfo=UTC))
    await queue_of(mongo).rescue()
    bodies = [json.loads(each["body"]) for each in await deliveries(mongo)]
    assert [each["data"]["rows"] for each in bodies if "rows" in each["data"]] == [[{"name": "Ann"}]]
