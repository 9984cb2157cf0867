"""Runs on a real server: made once, moved by compare-and-set, each time with an event."""

import asyncio
from collections.abc import Sequence

import pytest
from pymongo.errors import DuplicateKeyError

from libs.contracts.errors import PermanentError
from libs.contracts.events import RunSubmitted
from libs.contracts.messages import Message
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Document, Mongo
from libs.storage.documents import OutboxEntry
from tests.integration.ledger.runs import (
    current,
    events,
    new_run,
    submitted,
)

pytestmark = pytest.mark.servers


class Collected:
    """A relay that keeps what it is handed."""

    def __init__(self) -> None:
        self.owner = "collected"
        self.rows: list[Document] = []
        self.hints: list[Message] = []

    def hand_over(self, rows: Sequence[Document]) -> None:
        self.rows.extend(rows)

    def hint(self, message: Message) -> None:
        self.hints.append(message)


async def test_submit_creates_the_run_and_tells_the_parser(mongo: Mongo) -> None:
    relay = Collected()
    ledger = Ledger(mongo, "gateway", relay)
    run = await submitted(ledger)
    assert (await current(ledger, run)).model_dump(exclude={"created_at", "updated_at"}) == run.model_dump(
        exclude={"created_at", "updated_at"}
    )
    ((topic, key, event, trace),) = relay.hints
    assert (topic.name, key, trace) == ("imports.run-submitted.v1", run.id, None)
    assert isinstance(event, RunSubmitted)
    assert (event.run_id, event.tenant_id, event.lane) == (run.id, run.tenant_id, "small")
    assert await mongo.state[OutboxEntry.Settings.name].count_documents({}) == 0, "parsers find it without, only later"


async def test_what_a_change_tells_is_stored_with_it_and_handed_over_after_the_commit(mongo: Mongo) -> None:
    relay = Collected()
    ledger = Ledger(mongo, "gateway", relay)
    run = await submitted(ledger)
    assert await ledger.runs.transition(run, RunStatus.VALIDATING) is not None
    rows = await mongo.state[OutboxEntry.Settings.name].find().to_list()
    assert [(row["service"], row["topic"], row["key"]) for row in rows] == [
        ("gateway", "imports.run-events.v1", run.id)
    ]
    assert [row["lease_owner"] for row in rows] == ["collected"], "nobody else may look at it"
    assert [row["_id"] for row in relay.rows] == [row["_id"] for row in rows]


async def test_an_idempotency_key_creates_one_run(ledger: Ledger) -> None:
    first, second = (new_run().model_copy(update={"idempotency_key": "once"}) for _ in range(2))
    await ledger.runs.submit(first)
    with pytest.raises(DuplicateKeyError):
        await ledger.runs.submit(second)
    assert await ledger.runs.get(second.id) is None


async def test_a_transition_is_a_compare_and_set_with_one_event(mongo: Mongo, ledger: Ledger) -> None:
    run = await submitted(ledger)
    moved = await ledger.runs.transition(run, RunStatus.VALIDATING, changes={"preview_rows": [{"a": 1}]})
    assert moved is not None
    assert (moved.status, moved.version, moved.preview_rows) == (RunStatus.VALIDATING, 2, [{"a": 1}])
    assert await ledger.runs.transition(run, RunStatus.VALIDATING) is None, "the run has moved meanwhile"
    assert [(event["status"], event["version"]) for event in await events(mongo, run)] == [("validating", 2)]
    assert [(change.status, change.version) for change in (await current(ledger, run)).history] == [
        (RunStatus.VALIDATING, 2)
    ]


async def test_of_many_transitions_at_once_one_happens(mongo: Mongo, ledger: Ledger) -> None:
    run = await submitted(ledger)
    answers = await asyncio.gather(*(ledger.runs.transition(run, RunStatus.VALIDATING) for _ in range(8)))
    assert len([answer for answer in answers if answer is not None]) == 1
    assert len(await events(mongo, run)) == 1


async def test_a_forbidden_transition_is_refused(mongo: Mongo, ledger: Ledger) -> None:
    run = await submitted(ledger)
    with pytest.raises(PermanentError) as refused:
        await ledger.runs.transition(run, RunStatus.COMPLETED)
    assert refused.value.code == "FORBIDDEN_TRANSITION"
    assert (await current(ledger, run)).status is RunStatus.PENDING
    assert not await events(mongo, run)


async def test_a_stopped_run_moves_to_its_end_alone(ledger: Ledger) -> None:
    run = await submitted(ledger)
    assert await ledger.stops.request(run.id, RunStatus.CANCELLED, "CANCELLED", "by its owner")
    assert await ledger.runs.transition(await current(ledger, run), RunStatus.VALIDATING) is None
    assert await ledger.runs.transition(await current(ledger, run), RunStatus.FAILED) is None
    assert await ledger.runs.transition(await current(ledger, run), RunStatus.CANCELLED) is not None
