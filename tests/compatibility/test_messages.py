"""Messages of earlier releases, read by the code of today."""

import json
from typing import Any

import pytest

from libs.contracts.events import (
    BatchParsed,
    BatchReady,
    Event,
    ExecutionRequested,
    MessageDeadLettered,
    RunStatusChanged,
    RunSubmitted,
)
from libs.contracts.topics import (
    BATCH_PARSED,
    BATCH_READY,
    DEAD_LETTERS,
    EXECUTION_REQUESTED,
    RUN_EVENTS,
    RUN_SUBMITTED,
)
from libs.messaging.receiving import decode
from tests.compatibility.snapshots import RELEASE_0_1, Document, Snapshot, load_documents

EVENTS: dict[str, type[Event]] = {
    RUN_SUBMITTED.name: RunSubmitted,
    BATCH_PARSED.name: BatchParsed,
    EXECUTION_REQUESTED.name: ExecutionRequested,
    BATCH_READY.name: BatchReady,
    RUN_EVENTS.name: RunStatusChanged,
    DEAD_LETTERS.name: MessageDeadLettered,
}
BY_TOPIC = load_documents(RELEASE_0_1 / "messages.json")
MESSAGES = [(topic, message) for topic, messages in BY_TOPIC.items() for message in messages]


def test_there_is_a_message_of_every_topic() -> None:
    assert BY_TOPIC.keys() == EVENTS.keys()


def as_far_as(said: Any, read: Any) -> Any:  # noqa: ANN401 - any value of a message
    """What was read, without the members that an earlier release did not say."""
    if not isinstance(said, dict) or not isinstance(read, dict):
        return read
    return {name: as_far_as(said[name], value) for name, value in read.items() if name in said}


@pytest.mark.parametrize(("topic", "message"), MESSAGES)
def test_a_message_means_what_it_says(topic: str, message: Document) -> None:
    event = decode(EVENTS[topic], message["value"].encode())
    said = json.loads(message["value"])
    assert as_far_as(said, event.model_dump(mode="json")) == said
    assert dict(message["headers"])["event-id"] == event.event_id
    match event:
        case RunSubmitted() | ExecutionRequested() | RunStatusChanged():
            assert message["key"] == event.run_id
        case BatchParsed() | BatchReady():
            assert message["key"] == f"{event.run_id}:{event.seq}"
        case _:
            assert message["key"] == ""


def test_every_status_is_told_with_its_counts_and_reasons() -> None:
    told = [decode(RunStatusChanged, message["value"].encode()) for message in BY_TOPIC[RUN_EVENTS.name]]
    assert {event.status.value for event in told} == {
        "validating", "validated", "executing", "completed", "failed", "cancelled",
    }  # fmt: skip
    for event in told:
        if event.status.value in {"completed", "failed", "cancelled"}:
            assert event.counts is not None
            assert event.counts.rows == event.counts.written + event.counts.rejected + event.counts.skipped
    reasons = {event.error_code for event in told if event.error_code}
    assert {"MISSING_COLUMNS", "INVALID_ROWS", "CANCELLED"} <= reasons


def test_what_waits_in_the_outbox_can_be_told() -> None:
    entry = Snapshot.load(RELEASE_0_1 / "run_begun.json").one("outbox")
    event = decode(EVENTS[entry["topic"]], entry["value"].encode())
    run = Snapshot.load(RELEASE_0_1 / "run_begun.json").one("runs")
    assert (entry["_id"], entry["key"], entry["service"]) == (event.event_id, run["_id"], "parser")
    assert isinstance(event, RunStatusChanged)
    assert (event.run_id, event.status.value, event.version) == (entry["key"], "validating", 2)
