"""Look-up, update and before-images of records, on a real server."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from bson.datetime_ms import DatetimeMS

from libs.contracts.errors import PermanentError, TransientError
from libs.storage.client import Mongo, Session
from services.writer.before_images import BeforeImages
from services.writer.domain.batch_plan import BatchPlan, plan_batch, upsert_keys
from services.writer.domain.record_encoding import RecordEncoder
from services.writer.target_records import TargetRecords, WriteRefusedError
from tests.unit.writer.checked_batches import CONTACTS, RUN_ID, TENANT_ID, checked_batch

pytestmark = pytest.mark.servers
FIELDS = [field.name for field in CONTACTS.fields]
COMPARED = [*FIELDS, *CONTACTS.default_values]
FIRST_RUN, SECOND_RUN = RUN_ID, RUN_ID[:-1] + "9"
MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TUESDAY = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {"_row": 1, "email": "ana@example.com", "age": 30, "amount": 1.5, "joined": MONDAY, "active": True},
    {"_row": 2, "email": "bo@example.com", "name": "Bo", "age": 2**62, "amount": 10},
    {"_row": 3, "email": "cy@example.com", "note": ""},
]


def records_of(mongo: Mongo) -> TargetRecords:
    return TargetRecords(mongo, "contacts", TENANT_ID)


async def upsert(mongo: Mongo, run_id: str, rows: Iterable[Mapping[str, Any]], at: datetime) -> BatchPlan:
    """One batch, as the writer does it."""
    contacts = records_of(mongo)
    table = checked_batch(CONTACTS, [dict(row) for row in rows])
    keys = await contacts.require_keys([("email",)])

    async def body(session: Session) -> BatchPlan:
        existing = await contacts.by_key(keys[0], upsert_keys(table, CONTACTS), COMPARED, session)
        plan = plan_batch(table, existing, CONTACTS, FIELDS, run_id, at, keys=keys)
        encoded = RecordEncoder(CONTACTS, run_id, TENANT_ID, at, keys=keys).encode(plan.create)
        await contacts.insert(encoded, session)
        await contacts.update(plan.updates, session)
        await BeforeImages(mongo).keep(run_id, contacts, plan.updates, plan.deletions, at, session, others_since=False)
        return plan

    return await mongo.transaction(body)


async def records(mongo: Mongo) -> list[dict[str, Any]]:
    return await mongo.target["contacts"].find(sort=[("_id", 1)]).to_list()


async def test_the_same_file_twice_changes_nothing(mongo: Mongo) -> None:
    await upsert(mongo, FIRST_RUN, ROWS, MONDAY)
    before = await records(mongo)
    plan = await upsert(mongo, SECOND_RUN, ROWS, TUESDAY)
    assert (plan.create.num_rows, plan.updates, plan.skipped) == (0, [], {"UNCHANGED": [1, 2, 3]})
    assert await records(mongo) == before


async def test_only_what_differs_is_written_and_can_be_undone(mongo: Mongo) -> None:
    await upsert(mongo, FIRST_RUN, ROWS, MONDAY)
    before = await records(mongo)
    changed = [{**ROWS[0], "amount": 2, "name": "Ana"}, ROWS[1], {"_row": 3, "email": "new@example.com"}]
    plan = await upsert(mongo, SECOND_RUN, changed, TUESDAY)
    assert plan.create.num_rows == 1
    assert plan.skipped == {"UNCHANGED": [2]}

    after = {record["email"]: record for record in await records(mongo)}
    assert after["ana@example.com"] == {
        **before[0],
        "amount": 2,
        "name": "Ana",
        "updated_at": TUESDAY,
        "_import": {"run_id": SECOND_RUN, "row": 1, "version": 2, "created_at": MONDAY, "updated_at": TUESDAY},
    }
    image = await mongo.state["undo"].find_one({"run_id": SECOND_RUN})
    assert image is not None
    assert image["_id"] == f"{SECOND_RUN}:{before[0]['_id']}"
    await mongo.target[image["resource"]].update_one({"_id": image["record_id"]}, {"$set": image["restore"]})
    await mongo.target["contacts"].delete_one({"email": "new@example.com"})
    assert await records(mongo) == before


async def test_the_first_before_image_of_a_run_stays(mongo: Mongo) -> None:
    await upsert(mongo, FIRST_RUN, ROWS, MONDAY)
    await upsert(mongo, SECOND_RUN, [{**ROWS[0], "age": 31}], TUESDAY)
    await upsert(mongo, SECOND_RUN, [{**ROWS[0], "age": 32}, {**ROWS[1], "age": 1}], TUESDAY)
    images = await mongo.state["undo"].find(sort=[("_id", 1)]).to_list()
    assert [image["restore"]["age"] for image in images] == [30, 2**62]


async def test_a_record_of_the_same_run_needs_no_before_image(mongo: Mongo) -> None:
    await upsert(mongo, FIRST_RUN, ROWS, MONDAY)
    plan = await upsert(mongo, FIRST_RUN, [{**ROWS[0], "_row": 4, "age": 31}], MONDAY)
    assert len(plan.updates) == 1
    assert await mongo.state["undo"].count_documents({}) == 0


async def test_only_live_records_of_the_tenant_are_found(mongo: Mongo) -> None:
    key = "ana@example.com"
    contacts = mongo.target["contacts"]
    await contacts.insert_many(
        [
            {"tenant_id": "another", "is_deleted": False, "email": key},
            {"tenant_id": TENANT_ID, "is_deleted": True, "email": key},
            {"tenant_id": TENANT_ID, "is_deleted": False, "email": [key]},
        ]
    )
    (email,) = await records_of(mongo).require_keys([("email",)])
    assert await records_of(mongo).by_key(email, [key, None], ()) == {}


async def test_a_record_of_another_application_is_taken_as_it_is(mongo: Mongo) -> None:
    """No ``_import``, an ``_id`` of its own kind, fields that are missing, a date beyond Python's years."""
    contacts = mongo.target["contacts"]
    far = DatetimeMS(10**15)
    foreign = {
        "_id": "A-1",
        "tenant_id": TENANT_ID,
        "is_deleted": False,
        "email": "ana@example.com",
        "joined": far,
    }
    await contacts.insert_one(foreign)
    plan = await upsert(mongo, SECOND_RUN, ROWS[:1], TUESDAY)
    (update,) = plan.updates
    assert update.before is not None
    assert update.before.restore == {"joined": far}
    stored = await contacts.find_one({"_id": "A-1"}, projection=["joined", "age", "_import"])
    assert stored == {
        "_id": "A-1",
        "joined": MONDAY,
        "age": 30,
        "_import": {"run_id": SECOND_RUN, "row": 1, "version": 1, "updated_at": TUESDAY},
    }
    assert await mongo.state["undo"].count_documents({"_id": f"{SECOND_RUN}:A-1"}) == 1


async def test_an_update_of_a_record_that_is_gone_is_transient(mongo: Mongo) -> None:
    await upsert(mongo, FIRST_RUN, ROWS, MONDAY)
    contacts = mongo.target["contacts"]
    (email,) = await records_of(mongo).require_keys([("email",)])
    existing = await records_of(mongo).by_key(email, [row["email"] for row in ROWS], COMPARED)
    rows = [{**row, "age": 1} for row in ROWS]
    plan = plan_batch(checked_batch(CONTACTS, rows), existing, CONTACTS, FIELDS, SECOND_RUN, TUESDAY)
    await contacts.delete_one({"email": "bo@example.com"})

    async def body(session: Session) -> None:
        await records_of(mongo).update(plan.updates, session)

    with pytest.raises(TransientError, match="1 of 3"):
        await mongo.transaction(body)
    assert await contacts.count_documents({"age": 1}) == 0


async def test_nothing_to_update(mongo: Mongo) -> None:
    async with mongo.client.start_session() as session, await session.start_transaction():
        await records_of(mongo).update([], session)


@pytest.mark.parametrize(
    "options",
    [
        {"viewOn": "others", "pipeline": []},
        {"capped": True, "size": 4096},
        {"timeseries": {"timeField": "at"}},
    ],
    ids=lambda options: next(iter(options)),
)
async def test_a_collection_that_takes_no_record_at_all(mongo: Mongo, options: dict[str, Any]) -> None:
    await mongo.target.create_collection("contacts", **options)
    encoded = RecordEncoder(CONTACTS, FIRST_RUN, TENANT_ID, MONDAY).encode(checked_batch(CONTACTS, ROWS))
    with pytest.raises(PermanentError) as refused:
        await mongo.transaction(lambda session: records_of(mongo).insert(encoded, session))
    assert refused.value.code == "TARGET_UNWRITABLE"
    assert "choose another target_resource" in refused.value.detail


async def test_the_record_that_is_refused_is_named_and_no_value_is_told(mongo: Mongo) -> None:
    await mongo.target.create_collection("contacts", validator={"email": {"$ne": "bo@example.com"}})
    with pytest.raises(WriteRefusedError) as refused:
        await upsert(mongo, FIRST_RUN, ROWS, MONDAY)
    assert (refused.value.index, refused.value.code) == (1, 121)
    assert "bo@example.com" not in str(refused.value)


async def test_the_look_up_uses_the_index_of_the_keys(mongo: Mongo) -> None:
    contacts = mongo.target["contacts"]
    await upsert(mongo, FIRST_RUN, ROWS, MONDAY)
    await contacts.insert_many([{"tenant_id": TENANT_ID, "is_deleted": False, "email": None} for _ in range(9)])
    (email,) = await records_of(mongo).require_keys([("email",)])
    await mongo.target.command("profile", 2)
    found = await records_of(mongo).by_key(email, [row["email"] for row in ROWS], ())
    await mongo.target.command("profile", 0)
    assert len(found) == 3
    profile = await mongo.target["system.profile"].find_one({"op": "query"})
    assert profile is not None
    assert profile["planSummary"].startswith("IXSCAN { _keys.s: 1, _keys.a: 1, ")
    assert profile["docsExamined"] == 3


async def test_ids_and_values_that_no_import_makes_are_written_back_as_they_were(mongo: Mongo) -> None:
    theirs, named = uuid4(), {"by": uuid4()}
    record = {"_id": theirs, "tenant_id": TENANT_ID, "is_deleted": False, "email": "ana@example.com", "note": named}
    await mongo.target["contacts"].insert_one(record)
    plan = await upsert(mongo, FIRST_RUN, ROWS[:1], MONDAY)
    assert [update.record_id for update in plan.updates] == [theirs]
    [after] = await records(mongo)
    assert (after["_id"], after["note"], after["_import"]["run_id"]) == (theirs, None, FIRST_RUN)
    [image] = await mongo.state["undo"].find().to_list()
    assert (image["record_id"], image["restore"]["note"]) == (theirs, named)


async def test_changes_keep_what_indexes_go_by(mongo: Mongo) -> None:
    await upsert(mongo, FIRST_RUN, [{**ROWS[0], "_warnings": [{"code": "KEPT"}]}], MONDAY)
    await upsert(mongo, SECOND_RUN, [{**ROWS[0], "age": 31}], TUESDAY)
    [after] = await records(mongo)
    assert after["_import"] == {
        "run_id": SECOND_RUN, "row": 1, "version": 2, "created_at": MONDAY, "updated_at": TUESDAY
    }  # fmt: skip
