"""The insert of ready-made documents, on a real server."""

import logging
from datetime import UTC, datetime
from typing import Any

import bson
import numpy as np
import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.errors import BulkWriteError, OperationFailure

from libs.contracts.ids import record_id
from libs.storage.client import Document, Mongo, Session
from services.writer.domain.document_slots import EncodedRecords
from services.writer.domain.record_encoding import RecordEncoder
from services.writer.domain.refusals import TOO_LARGE
from services.writer.raw_insert import IncompleteInsertError, insert_encoded
from tests.unit.writer.checked_batches import CONTACTS, RUN_ID, TENANT_ID, checked_batch

pytestmark = pytest.mark.servers
WRITTEN_AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)


def contacts(count: int) -> EncodedRecords:
    rows = [{"_row": row, "email": f"user{row}@example.com", "age": row} for row in range(1, count + 1)]
    return RecordEncoder(CONTACTS, RUN_ID, TENANT_ID, WRITTEN_AT).encode(checked_batch(CONTACTS, rows))


def encoded(documents: list[dict[str, Any]]) -> EncodedRecords:
    parts = [bson.encode(document) for document in documents]
    offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    return EncodedRecords(memoryview(b"".join(parts)), offsets)


async def insert(mongo: Mongo, records: EncodedRecords) -> None:
    async def body(session: Session) -> None:
        await insert_encoded(mongo.target["contacts"], records, session)

    await mongo.transaction(body)


async def test_every_document_arrives_as_encoded(mongo: Mongo) -> None:
    records = contacts(5_000)
    await insert(mongo, records)
    stored = await mongo.target["contacts"].find(sort=[("_id", 1)]).to_list()
    assert b"".join(map(bson.encode, stored)) == bytes(records.blob)
    assert stored[41]["_id"] == ObjectId(record_id(RUN_ID, 42))


async def test_a_compressed_connection_carries_them_too(mongodb_uri: str, mongo: Mongo) -> None:
    async with (
        AsyncMongoClient[Document](mongodb_uri, compressors="zlib") as client,
        client.start_session() as session,
        await session.start_transaction(),
    ):
        await insert_encoded(client[mongo.target.name]["contacts"], contacts(100), session)
    assert await mongo.target["contacts"].count_documents({}) == 100


async def test_a_debug_log_shows_one_document(mongo: Mongo, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "pymongo.command"):
        await insert(mongo, contacts(3))
    assert "user1@example.com" in caplog.text
    assert "user2@example.com" not in caplog.text


async def test_nothing_to_insert(mongo: Mongo) -> None:
    await insert(mongo, contacts(0))
    assert await mongo.target["contacts"].count_documents({}) == 0


async def test_a_part_of_what_is_encoded(mongo: Mongo) -> None:
    await insert(mongo, contacts(10).part(3, 7))
    assert await mongo.target["contacts"].distinct("age") == [4, 5, 6, 7]


async def test_fewer_acknowledged_documents_than_were_sent_are_no_success(mongo: Mongo) -> None:
    """An encoder that takes three documents for four, the server that acknowledges three."""
    records = contacts(3)
    first, second, third, end = records.offsets.tolist()
    offsets = np.array([first, second, third, third + 5, end], np.int64)
    with pytest.raises(IncompleteInsertError, match="3 of 4"):
        await insert(mongo, EncodedRecords(records.blob, offsets))
    assert await mongo.target["contacts"].count_documents({}) == 0


async def test_more_than_one_command_can_hold(mongo: Mongo) -> None:
    """100,000 documents or 16 MiB a command; one of these is 15 MiB."""
    large = {"_id": 200_000, "text": "x" * 15 * 1024 * 1024}
    records = encoded([{"_id": number} for number in range(100_001)] + [large, {"_id": 300_000, "text": "x" * 2**20}])
    await insert(mongo, records)
    assert await mongo.target["contacts"].count_documents({}) == 100_003


async def test_a_document_that_no_command_can_hold(mongo: Mongo) -> None:
    with pytest.raises(BulkWriteError) as refused:
        await insert(mongo, encoded([{"_id": 1}, {"_id": 2, "text": "x" * 17 * 1024 * 1024}]))
    assert [(error["index"], error["code"]) for error in refused.value.details["writeErrors"]] == [(1, TOO_LARGE)]
    assert await mongo.target["contacts"].count_documents({}) == 0


async def test_a_duplicate_is_named_and_nothing_is_written(mongo: Mongo) -> None:
    contacts_collection = mongo.target["contacts"]
    await contacts_collection.create_index([("tenant_id", 1), ("email", 1)], unique=True)
    await contacts_collection.insert_one({"tenant_id": TENANT_ID, "email": "user7@example.com"})
    with pytest.raises(BulkWriteError) as refused:
        await insert(mongo, contacts(10))
    (error,) = refused.value.details["writeErrors"]
    assert (error["code"], error["index"]) == (11000, 6)
    assert error["keyValue"] == {"tenant_id": TENANT_ID, "email": "user7@example.com"}
    assert await contacts_collection.count_documents({}) == 1


async def test_a_refusal_other_than_a_duplicate(mongo: Mongo) -> None:
    await mongo.target.create_collection("contacts", validator={"age": {"$lt": 3}})
    with pytest.raises(BulkWriteError) as refused:
        await insert(mongo, contacts(5))
    assert [(error["code"], error["index"]) for error in refused.value.details["writeErrors"]] == [(121, 2)]


async def test_a_write_conflict_is_transient(mongo: Mongo) -> None:
    """The other transaction holds the same ``_id``; the label makes ``with_transaction`` begin again."""
    collection = await mongo.target.create_collection("contacts")
    async with mongo.client.start_session() as first, mongo.client.start_session() as second:
        await first.start_transaction()
        await insert_encoded(collection, contacts(3), first)
        await second.start_transaction()
        with pytest.raises(OperationFailure) as conflict:
            await insert_encoded(collection, contacts(3), second)
        assert conflict.value.has_error_label("TransientTransactionError")
        await second.abort_transaction()
        await first.commit_transaction()
    assert await collection.count_documents({}) == 3


async def test_outside_a_transaction_it_is_refused(mongo: Mongo) -> None:
    async with mongo.client.start_session() as session:
        with pytest.raises(ValueError, match="transaction"):
            await insert_encoded(mongo.target["contacts"], contacts(1), session)
