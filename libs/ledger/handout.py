"""Handing out: of each run a bounded window of batches is announced to the workers at a time.

A batch says in which state it was announced; it is in flight until it leaves that state. What is in flight is counted
anew whenever somebody fills a lane up, never kept: a message that is lost or a fill that is made twice changes how soon
a batch is worked at, and nothing else. Of tenants the one with the fewest batches in flight comes first, then of its
runs the one with the fewest, then the oldest run; batches of a run go in file order.

Whoever ends a batch counts what its run still has in flight, and fills up once a few places are free, by several at
once. Who finds nothing in flight also sees whether the run is over.

A run that may hold batches back says so (``held_back``). It is only a hint, so that nobody looks for them in vain: set
in the transaction that leaves some unannounced, taken back by whoever finds none, and set again by the rescue loop.
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pymongo import ASCENDING, DESCENDING, UpdateOne

from libs.contracts.events import BatchParsed, BatchReady, of_batch, to_revert
from libs.contracts.ids import batch_id
from libs.contracts.lanes import Lane
from libs.contracts.messages import Message
from libs.contracts.states import HANDED_OUT, BatchState, RunStatus
from libs.contracts.topics import BATCH_PARSED, BATCH_READY, LARGE_BATCH_PARSED, LARGE_BATCH_READY, Topic
from libs.ledger.connection import NOT_STOPPED, LedgerConnection
from libs.storage.client import Document, Session
from libs.storage.documents import BatchDocument, RunDocument
from libs.telemetry.failpoints import failpoint

OLDEST_RUNS = 16
"""Runs of a tenant that are considered at a time, the oldest ones."""
REFILL_AT_ONCE = 4
"""So many places of a full window are free before it is filled up again, or a quarter of a smaller window."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How many batches may be in flight in one lane and state.

    Attributes:
        run: of one run, its window.
        tenant: of all runs of one tenant.
        all: of everybody.
    """

    run: int = 16
    tenant: int = 32
    all: int = 96


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A run that may hold batches back.

    Attributes:
        batches: how many it had when it was seen.
        trace: as the run's.
    """

    run_id: str
    tenant_id: str
    batches: int
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class InFlight:
    """Batches in flight in one lane and state, by ``(tenant, run)``."""

    of_run: Counter[tuple[str, str]]

    @property
    def of_tenant(self) -> Counter[str]:
        counted: Counter[str] = Counter()
        for (tenant_id, _), batches in self.of_run.items():
            counted[tenant_id] += batches
        return counted

    def room(self, tenant_id: str, run_id: str, shares: Shares) -> int:
        """How many more batches of a run may be announced."""
        free = (
            shares.run - self.of_run[tenant_id, run_id],
            shares.tenant - self.of_tenant[tenant_id],
            shares.all - self.of_run.total(),
        )
        return max(0, min(free))

    def shared_out(self, waiting: Sequence[HeldBack], shares: Shares) -> list[tuple[HeldBack, int]]:
        """How many batches of each run are to be announced, of those that any are; counted as in flight from now on."""
        more: Counter[HeldBack] = Counter()
        while (run := self._next_of(waiting, shares)) is not None:
            more[run] += 1
            self.of_run[run.tenant_id, run.run_id] += 1
        return list(more.items())

    def _next_of(self, waiting: Iterable[HeldBack], shares: Shares) -> HeldBack | None:
        """The run whose batch is to be announced next, or ``None`` where no run has room."""
        tenants = self.of_tenant
        return min(
            (run for run in waiting if self.room(run.tenant_id, run.run_id, shares)),
            key=lambda run: (tenants[run.tenant_id], self.of_run[run.tenant_id, run.run_id], run.run_id),
            default=None,
        )


_STATUS: Mapping[BatchState, RunStatus] = {state: status for status, state in HANDED_OUT.items()}
_TOPICS: Mapping[tuple[BatchState, Lane], Topic] = {
    (BatchState.PARSED, Lane.SMALL): BATCH_PARSED,
    (BatchState.PARSED, Lane.LARGE): LARGE_BATCH_PARSED,
    (BatchState.VALIDATED, Lane.SMALL): BATCH_READY,
    (BatchState.VALIDATED, Lane.LARGE): LARGE_BATCH_READY,
    (BatchState.WRITTEN, Lane.SMALL): BATCH_READY,
    (BatchState.WRITTEN, Lane.LARGE): LARGE_BATCH_READY,
}
_SEEN: Document = {"id": "$_id", "batches": "$parse.batches", "trace": "$trace"}
"""Of a run that holds batches back."""
_DIRECTION: Mapping[BatchState, int] = {BatchState.WRITTEN: DESCENDING}
"""Batches are taken back in the opposite order: what a later one has freed an earlier one may have had before."""


def message(state: BatchState, lane: Lane, run_id: str, epoch: int, seq: int, trace: str | None) -> Message:
    """What tells the workers of a lane that a batch waits for them in ``state``."""
    if state is BatchState.PARSED:
        key, event = of_batch(BatchParsed, run_id, epoch, seq)
    else:
        key, event = of_batch(BatchReady, run_id, epoch, seq)
        if state is BatchState.WRITTEN:
            event = to_revert(event)
    return Message(_TOPICS[state, lane], key, event, trace)


def announced_in(state: BatchState, lane: Lane) -> Document:
    """Fields of a batch that is announced. A worker of the release before moves a batch on without taking them back;
    so what counts is whether the batch is still in the state that they name."""
    return {"announced": state.value, "lane": lane.value}


class Handout:
    """Decides which batches are announced; the caller publishes the messages, or stores them to be published."""

    def __init__(self, connection: LedgerConnection, shares: Shares) -> None:
        self._connection = connection
        self._shares = shares

    async def fill(self, state: BatchState, lane: Lane) -> list[Message]:
        """Announce what there is room for in a lane; anyone may call it any number of times."""
        messages: list[Message] = []
        found_few = True
        while found_few and (waiting := await self._held_back(state, lane)):
            found_few = False
            in_flight = await self._in_flight(state, lane)
            for run, count in in_flight.shared_out(waiting, self._shares):
                found, announced = await self._announce_next(run, state, lane, count)
                messages += announced
                if found < count:
                    await self._holds_none_back(run, state)
                    found_few = True  # there is room for others, and it may have hidden a younger run
        if messages:
            failpoint("ledger.announced_before_published")
        return messages

    async def left_in_flight(self, batch: BatchDocument, state: BatchState) -> tuple[int, bool]:
        """What its run still has in flight, now that ``batch`` has left ``state``.

        Returns:
            How many batches, as far as that matters; and whether there is room for so many that it is time to fill up.
        """
        if batch.announced is not state or batch.lane is None:
            return 0, True
        enough = self._shares.run - max(1, min(REFILL_AT_ONCE, self._shares.run // 4))
        others = {**in_flight_in(state, batch.lane), "tenant_id": batch.tenant_id, "run_id": batch.run_id}
        found = self._connection.batches.find(others, {"_id": 0, "run_id": 1}, limit=enough + 1)
        count = len(await found.to_list())
        return count, count <= enough

    async def room(self, state: BatchState, run: RunDocument) -> int:
        """How many batches of a run may be announced now."""
        in_flight = await self._in_flight(state, run.lane)
        return in_flight.room(run.tenant_id, run.id, self._shares)

    async def announce_first(
        self, session: Session, run: RunDocument, count: int, state: BatchState = BatchState.VALIDATED
    ) -> list[Message]:
        """Announce the first ``count`` batches of a run that begins to execute, or the last ones of a run that begins
        to be reverted, in the transaction of that."""
        last = run.all_batches
        numbers = range(count) if state is BatchState.VALIDATED else range(last - 1, last - 1 - count, -1)
        await self._connection.batches.update_many(
            {"_id": {"$in": [batch_id(run.id, run.epoch, seq) for seq in numbers]}, "state": state.value},
            {"$set": announced_in(state, run.lane)},
            session=session,
        )
        return [message(state, run.lane, run.id, run.epoch, seq, run.trace) for seq in numbers]

    async def again(self, run: RunDocument, state: BatchState) -> list[Message]:
        """The messages of a run that seems to be forgotten: of what it has in flight, and of what there is room for."""
        in_state = {"run_id": run.id, "state": state.value}
        cursor = self._connection.batches.find({**in_state, "announced": state.value}, {"epoch": 1, "seq": 1})
        lost = [
            message(state, run.lane, run.id, batch["epoch"], batch["seq"], run.trace)
            async for batch in cursor.sort("seq")
        ]
        await self._connection.runs.update_one(
            {"_id": run.id, "status": _STATUS[state].value, **NOT_STOPPED}, {"$set": {"held_back": True}}
        )
        return [*lost, *await self.fill(state, run.lane)]

    async def _held_back(self, state: BatchState, lane: Lane) -> list[HeldBack]:
        holding: Document = {
            "held_back": True,
            "lane": stored_as(lane),
            "status": _STATUS[state].value,
            **NOT_STOPPED,
        }
        # Mostly there is none, which this tells for less.
        if await self._connection.runs.find_one(holding, {"_id": 1}) is None:
            return []
        cursor = await self._connection.runs.aggregate(
            [
                {"$match": holding},
                {"$sort": {"_id": 1}},
                {
                    "$group": {
                        "_id": "$tenant_id",
                        "runs": {"$firstN": {"n": OLDEST_RUNS, "input": _SEEN}},
                    }
                },
            ]
        )
        return [
            HeldBack(run["id"], tenant["_id"], run["batches"], run.get("trace"))
            async for tenant in cursor
            for run in tenant["runs"]
        ]

    async def _in_flight(self, state: BatchState, lane: Lane) -> InFlight:
        """By an index that holds what is announced, and nothing else; no more than ``Shares`` allow, and a few."""
        cursor = self._connection.batches.find(in_flight_in(state, lane), {"_id": 0, "tenant_id": 1, "run_id": 1})
        return InFlight(Counter([(batch["tenant_id"], batch["run_id"]) async for batch in cursor]))

    async def _announce_next(
        self, run: HeldBack, state: BatchState, lane: Lane, count: int
    ) -> tuple[int, list[Message]]:
        """Announce the next ``count`` batches of a run; how many there are, and the messages of those that nobody else
        announces at the same time."""
        held_back: Document = {"state": state.value, "announced": {"$ne": state.value}}
        order = [("seq", _DIRECTION.get(state, ASCENDING))]
        batches = self._connection.batches
        found = await batches.find(
            {"run_id": run.run_id, **held_back}, {"epoch": 1, "seq": 1}, sort=order, limit=count
        ).to_list()
        if not found:
            return 0, []
        token = secrets.token_hex(4)
        change = {"$set": {**announced_in(state, lane), "announced_by": token}}
        # One by one in one command, which the driver may repeat after a failover, unlike an update of many.
        answer = await batches.bulk_write(
            [UpdateOne({"_id": each["_id"], **held_back}, change) for each in found], ordered=False
        )
        mine = found
        if answer.modified_count < len(found):
            ours = {"_id": {"$in": [each["_id"] for each in found]}, "announced_by": token}
            mine = await batches.find(ours, {"epoch": 1, "seq": 1}, sort=order).to_list()
        return len(found), [message(state, lane, run.run_id, each["epoch"], each["seq"], run.trace) for each in mine]

    async def _holds_none_back(self, run: HeldBack, state: BatchState) -> None:
        """Take the hint back, unless the run has got batches since it was seen."""
        await self._connection.runs.update_one(
            {"_id": run.run_id, "status": _STATUS[state].value, "parse.batches": run.batches},
            {"$set": {"held_back": False}},
        )


def in_flight_in(state: BatchState, lane: Lane) -> Document:
    """The filter of what is in flight."""
    # Without the type MongoDB does not see that the index, which holds texts alone, has all that is asked for.
    return {"announced": {"$eq": state.value, "$type": "string"}, "state": state.value, "lane": lane.value}


def stored_as(lane: Lane) -> Document:
    """The filter of a lane's runs; those of the release before have none stored."""
    return {"$in": [lane.value, None]} if lane is Lane.SMALL else {"$eq": lane.value}
