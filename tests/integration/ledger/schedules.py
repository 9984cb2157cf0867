"""One run through a random schedule of deliveries, repetitions, losses, crashes, rescues and a cancel.

Stand-ins for the services do what those do with the ledger, in the same order, and die where they are told to.
Nothing but the ledger keeps their effects apart: what they insert has ids that no replay would repeat.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from bson import ObjectId

from libs.contracts.events import BatchParsed, BatchReady
from libs.contracts.ids import batch_id
from libs.contracts.lanes import Lane
from libs.contracts.messages import Message as Announcement
from libs.contracts.states import TERMINAL_RUN_STATUSES, BatchState, RunStatus
from libs.contracts.topics import (
    BATCH_READY,
    EXECUTION_REQUESTED,
    LARGE_BATCH_READY,
    RUN_EVENTS,
)
from libs.ledger import Ledger, MovedRun, ParseEnd, Shares, Stage
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import BatchDocument, BatchResult, OutboxEntry, RunDocument
from tests.integration.ledger.runs import LEASE, PLAN, collections, current, new_batch, new_run, states

GOOD, BAD, REPEATED = "good", "bad", "repeated"
STEPS = 40
Message = tuple[str, str]
Row = tuple[int, str]


class CrashError(Exception):
    """The process dies here."""


@dataclass
class Process:
    """A service process that dies at its ``dies_at``-th point between an effect and what follows it."""

    name: str
    dies_at: int = 0

    def point(self) -> None:
        self.dies_at -= 1
        if self.dies_at == 0:
            raise CrashError


@dataclass
class Schedule:
    """A run, its file and what is on the way to its services."""

    mongo: Mongo
    seed: int
    inbox: list[Message] = field(default_factory=list[Message])
    seen: set[Message] = field(default_factory=set[Message])
    told: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    end: tuple[RunStatus, int] | None = None

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.ledger = Ledger(self.mongo, "test", shares=Shares(run=self.random.choice([1, 2])))
        self.compares_rows = self.random.random() < 0.5
        kinds = [GOOD, GOOD, BAD, REPEATED] if self.compares_rows else [GOOD, GOOD, BAD]
        self.file: list[list[str]] = [
            [self.random.choice(kinds) for _ in range(self.random.randint(1, 3))]
            for _ in range(self.random.choice([0, 1, 2, 3, 5]))
        ]
        self.run: RunDocument = new_run(
            fields=[{"name": "sku", "rules": [{"type": "unique"}] if self.compares_rows else []}],
            auto_execute=self.random.random() < 0.7,
            invalid_rows="block" if self.random.random() < 0.1 else "skip",
        ).model_copy(update={"lane": self.random.choice(list(Lane))})
        self.may_cancel = self.random.random() < 0.5

    # --- the services -----------------------------------------------------------------------------

    async def handle(self, message: Message, process: Process) -> None:
        kind, subject = message
        match kind:
            case "parse":
                await self.parse(process)
            case "check":
                await self.check(subject, process)
            case "execute":
                await self.begin_writing()
            case "write":
                await self.write(subject, process)
            case other:
                raise AssertionError(other)

    async def parse(self, process: Process) -> None:
        run = await self.ledger.parsing.begin(self.run.id, process.name, LEASE)
        if run is None:
            await self.ledger.maybe_advance(self.run.id)
            return
        try:
            closed = await self.read(run, process)
        finally:
            self.ledger.parsing.leave(run)
        if closed:
            await self.ledger.maybe_advance(run.id)

    async def read(self, run: RunDocument, process: Process) -> bool:
        process.point()
        plan = PLAN if run.plan is None else None
        if plan is not None and self.random.random() < 0.5:  # else with the first batch
            if not await self.ledger.parsing.freeze_plan(run, plan):
                return False
            plan = None
        stored = await self.ledger.parsing.stored_digests(run)
        end = ParseEnd(len(self.file), sum(len(rows) for rows in self.file), "digest")
        with_last = end if self.random.random() < 0.5 else None
        for seq, rows in enumerate(self.file):
            if seq not in stored:
                process.point()
                closing = with_last if seq == len(self.file) - 1 else None
                batches = [new_batch(run, seq, len(rows))]
                announced = await self.ledger.parsing.add_batches(run, batches, LEASE, plan=plan, end=closing)
                if announced is None:
                    return False
                plan = None
                process.point()
                self.announce(announced)
                if not announced:
                    await self.fill(BatchState.PARSED, process)
                if closing is not None:
                    return True
        if plan is not None and not await self.ledger.parsing.freeze_plan(run, plan):
            return False
        closed = await self.ledger.parsing.close(run, end)
        if closed:
            process.point()
        return closed

    async def check(self, identifier: str, process: Process) -> None:
        batch = await self.ledger.batches.claim(identifier, BatchState.PARSED)
        if batch is not None:
            rows = self.rows(batch)
            bad = [row for row, kind in rows if kind == BAD]
            target = BatchState.CHECKED if self.compares_rows else BatchState.VALIDATED
            result = BatchResult(ok=len(rows) - len(bad), rejected=len(bad))
            await self.effect(batch, target, result, "rejected", bad)
            process.point()
        await self.fill(BatchState.PARSED, process)
        await self.advance(process)

    async def advance(self, process: Process) -> None:
        if await self.ledger.maybe_advance(self.run.id) is not Stage.WHOLE_FILE_CHECK:
            return
        held = await self.ledger.leases.take_whole_file_check(self.run.id, process.name, LEASE)
        if held is None:
            return
        try:
            for entry in await self.entries(BatchState.CHECKED):
                process.point()
                batch = BatchDocument.model_validate(entry)
                repeated = sum(kind == REPEATED for _, kind in self.rows(batch))
                settled = batch.result.model_copy(update={"ok": batch.result.ok - repeated, "duplicate_keys": repeated})
                await self.effect(batch, BatchState.VALIDATED, settled, "rejected", [])
        finally:
            self.ledger.leases.forget(held.token)
        await self.ledger.leases.release(held)
        process.point()
        await self.ledger.maybe_advance(self.run.id)

    async def begin_writing(self) -> None:
        run = await current(self.ledger, self.run)
        if run.status is not RunStatus.EXECUTING or run.stop is not None:
            return
        announced = await self.ledger.handout.again(run, BatchState.VALIDATED)
        self.announce(announced)
        if not announced:
            await self.ledger.maybe_advance(run.id)

    async def write(self, identifier: str, process: Process) -> None:
        batch = await self.ledger.batches.claim(identifier, BatchState.VALIDATED)
        if batch is not None:
            good = [row for row, kind in self.rows(batch) if kind == GOOD]
            result = batch.result.model_copy(update={"created": len(good)})
            await self.effect(batch, BatchState.WRITTEN, result, "records", good)
            process.point()
        await self.fill(BatchState.VALIDATED, process)
        await self.ledger.maybe_advance(self.run.id)

    async def fill(self, state: BatchState, process: Process) -> None:
        """What a schedule beside this one is given here never reaches it: a message lost."""
        announced = await self.ledger.handout.fill(state, self.run.lane)
        process.point()
        self.announce(announced)

    def announce(self, announced: Sequence[Announcement]) -> None:
        for event in (each.event for each in announced):
            assert isinstance(event, BatchParsed | BatchReady)
            if event.run_id == self.run.id:
                kind = "check" if isinstance(event, BatchParsed) else "write"
                self.send(kind, batch_id(event.run_id, event.epoch, event.seq))

    async def effect(
        self, batch: BatchDocument, target: BatchState, result: BatchResult, collection: str, rows: Sequence[int]
    ) -> None:
        """One document per row, the move of the batch and that of a run that has no other, in one transaction."""
        run = await current(self.ledger, self.run)

        async def body(session: Session) -> MovedRun | None:
            if not await self.ledger.batches.move(session, batch, target, result):
                return None
            if rows:
                documents: list[Document] = [{"_id": ObjectId(), "run": self.run.id, "row": row} for row in rows]
                await self.mongo.target[collection].insert_many(documents, session=session)
            return await self.ledger.advance_with_only_batch(session, run)

        if (moved_run := await self.mongo.transaction(body)) is not None:
            await self.ledger.advanced(run, moved_run)

    async def relay(self) -> None:
        """Publish what the outbox holds; now and then die before it is forgotten, and so publish it again."""
        outbox = self.mongo.state[OutboxEntry.Settings.name]
        for entry in await outbox.find(self.of_run).to_list():
            match entry["topic"]:
                case EXECUTION_REQUESTED.name:
                    self.send("execute", "")
                case BATCH_READY.name | LARGE_BATCH_READY.name:
                    ready = BatchReady.model_validate_json(entry["value"])
                    self.send("write", batch_id(ready.run_id, ready.epoch, ready.seq))
                case RUN_EVENTS.name:
                    self.told.append(json.loads(entry["value"]))
                case other:
                    raise AssertionError(other)
            if self.random.random() < 0.8:
                await outbox.delete_one({"_id": entry["_id"]})

    async def rescue(self, process: Process) -> None:
        """Time passes: leases expire, and every service looks after its own."""
        await collections(self.ledger).runs.update_one(
            {"_id": self.run.id, "parse.lease_until": {"$ne": None}},
            {"$set": {"parse.lease_until": datetime.fromtimestamp(0, UTC)}},
        )
        await collections(self.ledger).runs.update_one(
            {"_id": self.run.id, "barrier": {"$ne": None}},
            {"$set": {"barrier.until": datetime.fromtimestamp(0, UTC)}},
        )
        run = await current(self.ledger, self.run)
        if run.stop is not None:
            await self.ledger.stops.finish(run.id)
        elif run.status in {RunStatus.PENDING, RunStatus.VALIDATING}:
            self.send("parse", "")
            if run.status is RunStatus.VALIDATING:
                self.announce(await self.ledger.handout.again(run, BatchState.PARSED))
            await self.advance(process)
        elif run.status is RunStatus.EXECUTING:
            await self.begin_writing()
        else:
            await self.ledger.maybe_advance(run.id)

    async def cancel(self, process: Process) -> None:
        if await self.ledger.stops.request(self.run.id, RunStatus.CANCELLED, "CANCELLED", ""):
            process.point()
            await self.ledger.stops.finish(self.run.id)

    async def ask_for_execution(self) -> None:
        run = await current(self.ledger, self.run)
        if run.status is RunStatus.VALIDATED:
            await self.ledger.runs.request_execution(run)

    # --- the schedule -----------------------------------------------------------------------------

    def send(self, kind: str, subject: str) -> None:
        self.inbox.append((kind, subject))
        self.seen.add((kind, subject))

    @property
    def of_run(self) -> Document:
        """What the outbox holds of the run and of its batches."""
        return {"key": {"$regex": f"^{self.run.id}"}}

    def rows(self, batch: BatchDocument) -> list[Row]:
        """``(row, kind)`` of a batch, with rows counted over the whole file."""
        before = sum(len(rows) for rows in self.file[: batch.seq])
        return [(before + number, kind) for number, kind in enumerate(self.file[batch.seq], 1)]

    async def entries(self, state: BatchState) -> list[Document]:
        return await collections(self.ledger).batches.find({"run_id": self.run.id, "state": state.value}).to_list()

    def action(self) -> Awaitable[None]:
        process = Process(f"process-{self.random.randrange(3)}")
        chance = self.random.random()
        if chance < 0.12:
            return self.rescue(process)
        if chance < 0.16 and self.may_cancel:
            process.dies_at = self.random.choice([0, 0, 1])
            return self.cancel(process)
        if chance < 0.25:
            return self.ask_for_execution()
        if chance < 0.45 or not self.inbox:
            return self.relay()
        message = self.random.choice(self.inbox)
        if chance < 0.6:
            process.dies_at = self.random.randint(1, 4)  # and the message comes again
        elif chance < 0.7:
            return self.handle(message, process)  # twice
        else:
            self.inbox.remove(message)
            if chance < 0.74:
                return asyncio.sleep(0)  # lost
        return self.handle(message, process)

    async def _alive_or_dead(self, action: Awaitable[None]) -> None:
        try:
            await action
        except CrashError:
            return

    async def play(self) -> None:
        """Submit the run, do what chance says, then let everything settle and repeat every message there was."""
        await self.ledger.runs.submit(self.run)
        self.send("parse", "")
        for _ in range(STEPS):
            side_by_side = [self.action() for _ in range(self.random.choice([1, 1, 2, 3]))]
            await asyncio.gather(*map(self._alive_or_dead, side_by_side))
            await self.look()
        for _ in range(20):
            await self.relay()
            await self.rescue(Process("calm"))
            await self.ask_for_execution()
            await self.deliver_all()
            await self.look()
            if self.end is not None:
                break
        self.inbox = sorted(self.seen)
        await self.deliver_all()
        await self.cancel(Process("late"))
        await self.look()
        while await self.mongo.state[OutboxEntry.Settings.name].find_one(self.of_run):
            await self.relay()

    async def deliver_all(self) -> None:
        messages, self.inbox = self.inbox, []
        for message in messages:
            await self.handle(message, Process("calm"))

    async def look(self) -> None:
        """A terminal status is never left."""
        run = await current(self.ledger, self.run)
        if self.end is not None:
            assert (run.status, run.version) == self.end
        elif run.status in TERMINAL_RUN_STATUSES:
            self.end = run.status, run.version

    async def judge(self) -> RunStatus:
        """Every row in exactly one place, one terminal event, nothing left over; how the run ended."""
        run = await current(self.ledger, self.run)
        assert self.end is not None, f"the run hangs: {run!r} {await states(self.ledger, self.run)}"
        counts = run.counts
        assert counts is not None
        assert counts.rows == counts.written + counts.rejected + counts.skipped
        kinds = [kind for rows in self.file for kind in rows]
        written, rejected = await self.rows_in("records"), await self.rows_in("rejected")
        assert set(written.values()) | set(rejected.values()) <= {1}, "a row was written or rejected twice"
        assert (len(written), len(rejected)) == (counts.written, counts.rejected)
        assert {kinds[row - 1] for row in written} <= {GOOD}
        assert {kinds[row - 1] for row in rejected} <= {BAD}
        after = await states(self.ledger, self.run)
        match run.status:
            case RunStatus.COMPLETED:
                assert counts.rows == len(kinds)
                assert (counts.written, counts.rejected) == (kinds.count(GOOD), kinds.count(BAD))
                assert counts.skip_reasons == ({"DUPLICATE_UPSERT_KEY": n} if (n := kinds.count(REPEATED)) else {})
                assert set(after) <= {"written"}
            case RunStatus.CANCELLED:
                assert set(after) <= {"written", "cancelled"}
            case RunStatus.FAILED:
                assert (run.failure or {}).get("code") == "INVALID_ROWS"
                assert (counts.written, set(after)) == (0, {"failed"})
            case other:
                raise AssertionError(other)
        statuses = {event["event_id"]: event["status"] for event in self.told}
        assert [status for status in statuses.values() if status in TERMINAL_RUN_STATUSES] == [run.status]
        assert sorted({event["version"] for event in self.told}) == list(range(2, run.version + 1))
        assert len(statuses) == run.version - 1 == len(run.history)
        assert run.id not in await collections(self.ledger).payloads.runs()
        return run.status

    async def rows_in(self, collection: str) -> Counter[int]:
        found = self.mongo.target[collection].find({"run": self.run.id}, {"row": 1})
        return Counter([entry["row"] async for entry in found])
