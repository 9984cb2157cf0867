"""Copies of runs: every id and time is the copy's own, everything else as it was."""

from datetime import UTC, datetime, timedelta
from typing import Any

import bson

from bench.specimens import RECORDS, Specimen
from libs.contracts.ids import delivery_id, record_id, run_event_id
from libs.storage.files import BUCKET

RUN, TENANT, OTHER, NEW = "6764a1b2c3d4e5f607182930", "0" * 24, "f" * 24, "7764a1b2c3d4e5f607182931"
MOMENT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
CHUNKS = f"{BUCKET}.chunks"
CHUNK = bson.ObjectId()
EARLIER = timedelta(days=3)
AWARE: Any = bson.CodecOptions(tz_aware=True)


def made(run_id: str, tenant_id: str, moment: datetime, chunk: bson.ObjectId) -> dict[str, list[dict[str, Any]]]:
    event = run_event_id(run_id, 2)
    return {
        "runs": [{"_id": run_id, "tenant_id": tenant_id, "rows": 3, "finished_at": moment, "at": [{"x": moment}]}],
        CHUNKS: [{"_id": chunk, "files_id": bson.ObjectId(run_id), "data": b"sku,name"}],
        "webhook_deliveries": [{"_id": delivery_id(event, "e1"), "event_id": event, "endpoint_id": "e1"}],
        f"{RECORDS}products": [{"_id": bson.ObjectId(record_id(run_id, 7)), "_import": {"run_id": run_id}}],
    }


def test_a_copy_has_ids_owner_and_times_of_its_own() -> None:
    parts = {name: [bson.encode(each) for each in some] for name, some in made(RUN, TENANT, MOMENT, CHUNK).items()}
    specimen = Specimen(RUN, TENANT, ["e1"], [CHUNK], [MOMENT], parts, "engine", "completed")
    copied: dict[str, list[dict[str, Any]]] = {}
    for name, document in specimen.copy(NEW, OTHER, EARLIER):
        copied.setdefault(name, []).append(bson.decode(document, AWARE))
    [chunk] = [each["_id"] for each in copied[CHUNKS]]
    assert chunk != CHUNK
    assert copied == made(NEW, OTHER, MOMENT - EARLIER, chunk)


def test_what_was_kept_long_enough_has_no_file() -> None:
    run = {**made(RUN, TENANT, MOMENT, CHUNK)["runs"][0], "file_removed_at": None}
    parts = {"runs": [bson.encode(run)], CHUNKS: [b""], "batch_payloads": [b""], "batches": [b""]}
    old = Specimen(RUN, TENANT, [], [CHUNK], [MOMENT], parts, "engine", "completed").without_file()
    assert sorted(old.parts) == ["batches", "runs"]
    assert bson.decode(old.parts["runs"][0], AWARE)["file_removed_at"] == MOMENT + timedelta(days=30)
