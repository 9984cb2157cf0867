"""The one oracle of every end-to-end and fault test: the promise, proved from the data alone.

After a run has settled, every row of its file is in exactly one place — written, rejected or skipped —
exactly once; exactly one terminal event tells of it; nothing is left behind.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from deploy.local.stack import Stack
from libs.contracts.topics import RUN_EVENTS
from tests.client import TERMINAL, PlantedFile, eventually

Document = dict[str, Any]
_STAYING = re.compile(":(parsed|retried|valid|keys)$")
"""Rows as they were read, which are shown, as a run has written them, by which it can be reverted, and the values of
them that rejected rows are compared with when they are retried."""


class Oracle:
    """Reads a stack's databases and topics directly, past every service."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._client: MongoClient[Document] = MongoClient(stack.mongodb, tz_aware=True)
        self.state = self._client[stack.database]
        self.target = self._client[stack.target_database]

    def close(self) -> None:
        self._client.close()

    def settled(self, run_id: str, seconds: float = 120) -> Document:
        """The run once it is terminal and nothing of it is under way any more."""

        def check() -> Document | None:
            try:
                run = self.state["runs"].find_one({"_id": run_id})
                waiting = self.state["outbox"].count_documents({"value": {"$regex": run_id}})
                kept = self.state["batch_payloads"].count_documents({"run_id": run_id, "_id": {"$not": _STAYING}})
            except PyMongoError:
                return None
            return run if run is not None and run["status"] in TERMINAL and not waiting and not kept else None

        return eventually(check, f"run {run_id} settles: {self.describe(run_id)}", seconds)

    def describe(self, run_id: str) -> str:
        """Where a run stands, for the message of a failed wait."""
        run = self.state["runs"].find_one({"_id": run_id}, {"status": 1, "stop": 1, "parse": 1, "failure": 1})
        states = Counter(batch["state"] for batch in self.state["batches"].find({"run_id": run_id}, {"state": 1}))
        return f"{run} {dict(states)}"

    def assert_exactly_once(self, run_id: str, planted: PlantedFile, resource: str) -> Document:
        """The promise for a completed run; answers the run."""
        run = self.settled(run_id)
        assert run["status"] == "completed", run.get("failure")
        fields = {"sku": 1, "_import.row": 1, "is_deleted": 1, "deleted_at": 1}
        records = list(self.target[resource].find({"_import.run_id": run_id}, fields))
        # Those that a sync deletes because its file does not hold them belong to no row.
        swept = [record for record in records if "row" not in record["_import"]]
        records = [record for record in records if "row" in record["_import"]]
        written = {record["_import"]["row"]: record["sku"] for record in records}
        rejected = [record["row"] for record in self.state["rejected_records"].find({"run_id": run_id}, {"row": 1})]
        skipped = self.skipped_rows(run_id)
        assert len(records) == len(written), "a row was written twice"
        assert len(rejected) == len(set(rejected)), "a row was rejected twice"
        assert written == planted.valid
        deleted = {record["_import"]["row"] for record in records if record["is_deleted"]}
        assert deleted == {record["_import"]["row"] for record in records if record["deleted_at"]} == planted.deleted
        assert set(rejected) == planted.rejected
        assert skipped == planted.skipped
        counts = run["counts"]
        assert len(swept) == counts.get("not_in_file", 0)
        assert all(record["is_deleted"] and record["deleted_at"] for record in swept)
        assert counts["rows"] == planted.rows
        assert counts["written"] == len(planted.valid)
        assert counts["deleted"] == len(planted.deleted)
        assert counts["rejected"] == len(planted.rejected)
        assert counts["skipped"] == len(planted.skipped)
        self.assert_nothing_left(run)
        return run

    def assert_before_images(self, run_id: str, records: int) -> None:
        """A run that changed ``records`` records has one before-image of each, and none of any other run."""
        images = list(self.state["undo"].find({"run_id": run_id}, {"restore._import.run_id": 1, "record_id": 1}))
        assert len({image["record_id"] for image in images}) == len(images) == records
        assert all(image["restore"]["_import"]["run_id"] != run_id for image in images)

    def assert_reverted(self, run_id: str, before: Mapping[Any, Document], resource: str) -> Document:
        """A reverted run: the target holds what it held before, but for the records that are noted as kept.

        Args:
            run_id: the run.
            before: all records of the target as they were before the run, by id.
            resource: the target.
        """
        run = self.settled(run_id)
        assert run["status"] == "reverted", run["status"]
        notes = self.state["undo"].find({"run_id": run_id, "kept.reason": {"$type": "string"}}, {"record_id": 1})
        kept = [note["record_id"] for note in notes]
        after = {record["_id"]: record for record in self.target[resource].find()}
        differing = {each for each in before.keys() | after.keys() if before.get(each) != after.get(each)}
        assert differing <= set(kept), f"{len(differing - set(kept))} records differ"
        counts, reverted = run["counts"], run["reverted"]
        assert counts["written"] + counts.get("not_in_file", 0) == sum(reverted.values())
        assert len(kept) == len(set(kept)) == reverted["kept"]
        assert {batch["state"] for batch in self.state["batches"].find({"run_id": run_id})} <= {"reverted"}
        assert [entry["status"] for entry in run["history"]][-3:] == ["completed", "reverting", "reverted"]
        self._assert_no_trace_of_work(run)
        return run

    def assert_nothing_left(self, run: Mapping[str, Any]) -> None:
        """No lease, no unfinished batch, no undelivered event, no orphan; one terminal event."""
        run_id = run["_id"]
        batches = list(self.state["batches"].find({"run_id": run_id}))
        ended = {"written"} if run["status"] == "completed" else {"written", "failed", "cancelled"}
        assert {batch["state"] for batch in batches} <= ended
        self._assert_no_trace_of_work(run)
        terminal = [entry for entry in run["history"] if entry["status"] in TERMINAL]
        assert len(terminal) == 1, run["history"]

    def _assert_no_trace_of_work(self, run: Mapping[str, Any]) -> None:
        assert run["parse"]["lease_until"] is None or run["status"] != "completed"
        assert not run.get("barrier")
        assert self.state["outbox"].count_documents({"value": {"$regex": run["_id"]}}) == 0
        eventually(self._no_orphans, "no file and no chunk that no run refers to", 90)

    def _no_orphans(self) -> bool:
        known = {run["file"]["id"] for run in self.state["runs"].find({}, {"file.id": 1})}
        stored = [*self.state["files.files"].distinct("_id"), *self.state["files.chunks"].distinct("files_id")]
        return {str(file_id) for file_id in stored} <= known

    def skipped_rows(self, run_id: str) -> set[int]:
        """Rows that the ledger says were skipped."""
        rows: set[int] = set()
        for batch in self.state["batches"].find({"run_id": run_id}, {"skipped_rows": 1}):
            for packed in batch.get("skipped_rows", {}).values():
                numbers = [int.from_bytes(packed[at : at + 4], "little") for at in range(0, len(packed), 4)]
                assert not rows & set(numbers), "a row was skipped twice"
                rows.update(numbers)
        return rows

    def terminal_events(self, run_id: str) -> set[tuple[str, str]]:
        """``(event_id, status)`` of the terminal events of a run on the broker; repetitions count once."""
        return {
            (event["event_id"], event["status"])
            for event in self.run_events()
            if event["run_id"] == run_id and event["status"] in TERMINAL
        }

    def run_events(self) -> list[dict[str, Any]]:
        """Every event of every run's status on the broker, in no order."""
        return [event for event in self.messages(RUN_EVENTS.name) if event.get("kind") in {None, "status-changed"}]

    def messages(self, topic: str) -> list[dict[str, Any]]:
        """The body of every message of a topic that is an object of JSON, in no order."""
        return asyncio.run(_read_all(self._stack.kafka, topic))


async def _read_all(kafka: str, topic: str) -> list[dict[str, Any]]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False)
    await admin.start()
    await consumer.start()
    try:
        description = (await admin.describe_topics([topic]))[0]
        partitions = [TopicPartition(topic, partition["partition"]) for partition in description["partitions"]]
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        events: list[dict[str, Any]] = []
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                for records in (await consumer.getmany(partition, timeout_ms=1_000)).values():
                    events += [body for record in records if (body := _object(record.value)) is not None]
        return events
    finally:
        await consumer.stop()
        await admin.close()


def _object(value: bytes | None) -> dict[str, Any] | None:
    """The body of a message, or ``None`` for what a test of faults has put there."""
    try:
        body = json.loads(value or b"")
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
