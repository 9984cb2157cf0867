"""Keys that are registered while batches are written: no record is without its entry, whichever comes first."""

import asyncio

import pytest
from pymongo.errors import OperationFailure

from libs.contracts.ids import batch_id
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.target_keys import KeysNotUniqueError, TargetKeys
from tests.integration.writer.batches import executing, write

pytestmark = pytest.mark.servers


def record(number: int) -> dict[str, object]:
    return {"tenant_id": "tenant", "sku": str(number), "is_deleted": False, "_import": {"run_id": "r", "row": number}}


async def lacking(mongo: Mongo) -> int:
    """Live records without an entry of each key that is in force."""
    keys = await TargetKeys(mongo).of("tenant", "records")
    assert keys
    conditions = {"is_deleted": False, "$or": [{"_keys.s": {"$ne": key.id}} for key in keys]}
    return await mongo.target["records"].count_documents(conditions)


async def test_a_transaction_that_has_changed_its_batch_is_waited_for(mongo: Mongo, ledger: Ledger) -> None:
    run = await executing(mongo, ledger, [{"sku": "1"}])
    batch = {"_id": batch_id(run.id, run.epoch, 0)}
    await mongo.target.create_collection("records")
    registered = asyncio.Event()

    async def register() -> None:
        await TargetKeys(mongo).register("tenant", "records", [("sku",)])
        registered.set()

    async with (
        asyncio.TaskGroup() as group,
        mongo.client.start_session() as session,
        await session.start_transaction(),
    ):
        assert await TargetKeys(mongo).of("tenant", "records", session) == ()
        await mongo.target["records"].insert_one(record(1), session=session)
        await mongo.state["batches"].update_one(batch, {"$set": {"state": "written"}}, session=session)
        group.create_task(register())
        # Without the wait it would be through by then; it cannot be as long as the transaction is open.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await registered.wait()
    assert await lacking(mongo) == 0


async def test_a_transaction_that_comes_to_its_batch_later_is_made_anew(mongo: Mongo, ledger: Ledger) -> None:
    run = await executing(mongo, ledger, [{"sku": "1"}])
    batch = {"_id": batch_id(run.id, run.epoch, 0)}
    await mongo.target.create_collection("records")
    async with mongo.client.start_session() as session:
        await session.start_transaction()
        assert await TargetKeys(mongo).of("tenant", "records", session) == ()
        await TargetKeys(mongo).register("tenant", "records", [("sku",)])
        with pytest.raises(OperationFailure) as conflict:
            await mongo.state["batches"].update_one(batch, {"$set": {"state": "written"}}, session=session)
        assert conflict.value.has_error_label("TransientTransactionError")
        await session.abort_transaction()
    assert (await write(mongo, ledger, run)).status is RunStatus.COMPLETED
    assert await lacking(mongo) == 0


@pytest.mark.parametrize("registered", [[("sku",)], [("sku",), ("name", "sku")]])
async def test_appending_runs_beside_a_registration(
    mongo: Mongo, ledger: Ledger, registered: list[tuple[str, ...]]
) -> None:
    """Each run by a writer of its own, as processes are."""
    runs = [
        await executing(
            mongo,
            ledger,
            [{"sku": f"{number}-{row}", "name": "x"} for row in range(40)],
            fields=[{"name": "sku"}, {"name": "name"}],
        )
        for number in range(6)
    ]

    async def register() -> None:
        for names in registered:
            await TargetKeys(mongo).require("tenant", "records", [names])

    ended, _ = await asyncio.gather(asyncio.gather(*(write(mongo, ledger, run) for run in runs)), register())
    assert {run.status for run in ended} == {RunStatus.COMPLETED}
    assert await mongo.target["records"].count_documents({}) == 240
    assert await lacking(mongo) == 0


async def test_of_two_rows_and_a_key_that_they_break_not_all_are_taken(mongo: Mongo, ledger: Ledger) -> None:
    """The key is refused, or one of the rows."""
    runs = [await executing(mongo, ledger, [{"sku": "same"}]) for _ in range(2)]

    async def register() -> bool:
        try:
            await TargetKeys(mongo).register("tenant", "records", [("sku",)])
        except KeysNotUniqueError:
            return False
        return True

    taken, *ended = await asyncio.gather(register(), *(write(mongo, ledger, run) for run in runs))
    created = sum(run.counts.written for run in ended if run.counts is not None)
    assert (taken, created) in {(True, 1), (False, 2), (False, 1)}
    assert await mongo.target["records"].count_documents({}) == created
