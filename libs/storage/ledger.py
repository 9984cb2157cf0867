"""The ledger: runs and batches, moved by compare-and-set only.

Every change of a run's status is one transaction of a compare-and-set on ``{_id, status, version}``
and the outbox rows that tell of it. Completion is derived from the batches, never counted up
(DESIGN section 3), by ``Ledger.maybe_advance``, which anyone may call any number of times.

A run is stopped (failed or cancelled) in two steps: after ``request_stop`` it can only end that way;
``finish_stop`` closes the open batches, after which no effect of theirs can commit, and only then
reports the terminal status. So a run reported as cancelled makes no further change.

A dry run goes the same way as far as ``validated``, without any event of its status, until ``purge`` removes it.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pymongo import ReturnDocument

from libs.contracts.errors import PermanentError
from libs.contracts.events import Event, ExecutionRequested, RunCounts, RunStatusChanged, RunSubmitted
from libs.contracts.ids import batch_id, event_id
from libs.contracts.plan import ParsePlan
from libs.contracts.states import (
    ACTIVE_RUN_STATUSES,
    CANCELLABLE_RUN_STATUSES,
    OPEN_BATCH_STATES,
    TERMINAL_RUN_STATUSES,
    BatchState,
    RunStatus,
    batch_may_move,
    run_may_move,
)
from libs.contracts.templates import InvalidRows
from libs.contracts.topics import EXECUTION_REQUESTED, RUN_EVENTS, RUN_SUBMITTED, Topic
from libs.storage.client import SNAPSHOT, Collection, Document, Mongo, Session
from libs.storage.documents import (
    BatchDocument,
    BatchPayload,
    BatchResult,
    OutboxEntry,
    RejectedRecord,
    RunDocument,
    StatusChange,
    StopRequest,
)
from libs.storage.files import FileStore
from libs.telemetry.failpoints import failpoint

NOT_STOPPED: Document = {"stop": None}


class Stage(StrEnum):
    """What ``maybe_advance`` found."""

    WAITING = "waiting"
    """Work of this phase is still open, or the run waits for somebody's decision."""
    BARRIER = "barrier"
    """Every batch is checked on its own; the questions about the whole file are open."""
    ADVANCED = "advanced"
    TERMINAL = "terminal"


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch as the parser cut it; ``payloads`` are the documents of its rows."""

    seq: int
    row_from: int
    row_to: int
    rows: int
    digest: str
    payloads: tuple[Document, ...]


@dataclass(slots=True)
class Totals:
    """The ledger of one run, added up."""

    batches: int = 0
    rows: int = 0
    states: dict[BatchState, int] = field(default_factory=dict[BatchState, int])
    result: BatchResult = field(default_factory=BatchResult)

    def all_in(self, *states: BatchState) -> bool:
        return sum(self.states.get(state, 0) for state in states) == self.batches

    def counts(self, rows: int, *, rest: str | None = None) -> RunCounts:
        """Counts of a run with ``rows`` rows; ``rest`` is the reason for rows that nothing became of."""
        result = self.result
        written = result.created + result.updated + result.deleted
        reasons = {"DUPLICATE_UPSERT_KEY": result.duplicate_keys, "UNCHANGED": result.unchanged}
        remaining = rows - written - result.rejected - sum(reasons.values())
        if rest is not None:
            reasons[rest] = remaining
        reasons = {reason: count for reason, count in reasons.items() if count}
        return RunCounts(
            rows=rows,
            written=written,
            created=result.created,
            updated=result.updated,
            deleted=result.deleted,
            rejected=result.rejected,
            skipped=sum(reasons.values()),
            skip_reasons=reasons,
            warnings=result.warnings,
        )


def run_event(run_id: str, tenant_id: str, template_id: str, change: StatusChange) -> RunStatusChanged:
    """The event of one change of a run's status, the same whenever it is made."""
    return RunStatusChanged(
        event_id=event_id("run", run_id, change.version),
        occurred_at=change.at,
        run_id=run_id,
        tenant_id=tenant_id,
        template_id=template_id,
        status=change.status,
        version=change.version,
        counts=change.counts,
        error_code=change.error_code,
        error_message=change.error_message,
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _seconds_from_now(seconds: float) -> Document:
    return {"$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": int(seconds * 1000)}}


def _every_batch(run_id: str) -> Document:
    """Batches of a run by their ids, which never change: a write that goes by an index with the state in it would
    pass over a batch that moves to an earlier place of it meanwhile."""
    return {"_id": {"$gte": f"{run_id}:", "$lt": f"{run_id};"}}


class Ledger:
    """Runs, batches and their outbox.

    Args:
        mongo: the databases.
        service: name of the service that makes the changes; its relay publishes the outbox rows.
        on_outbox: called after a commit that left outbox rows, so that they leave at once.
    """

    def __init__(self, mongo: Mongo, service: str, on_outbox: Callable[[], None]) -> None:
        self._mongo = mongo
        self._service = service
        self._on_outbox = on_outbox

    @property
    def runs(self) -> Collection:
        return self._mongo.state[RunDocument.Settings.name]

    @property
    def batches(self) -> Collection:
        return self._mongo.state[BatchDocument.Settings.name]

    @property
    def payloads(self) -> Collection:
        return self._mongo.state[BatchPayload.Settings.name]

    @property
    def rejected(self) -> Collection:
        return self._mongo.state[RejectedRecord.Settings.name]

    # --- runs -----------------------------------------------------------------------------------

    async def run(self, run_id: str) -> RunDocument | None:
        """The run, or ``None``."""
        found = await self.runs.find_one({"_id": run_id})
        return None if found is None else RunDocument.model_validate(found)

    async def submit(self, run: RunDocument) -> None:
        """Create ``run`` and tell the parser, in one transaction.

        Raises:
            pymongo.errors.DuplicateKeyError: a run with its idempotency key exists.
        """
        document = run.model_dump(by_alias=True, mode="python")
        document["status"] = run.status.value
        document["template"] = run.template.model_dump(mode="json")
        submitted = RunSubmitted.of(run.id, run.tenant_id)

        async def body(session: Session) -> None:
            await self.runs.insert_one(document, session=session)
            await self._tell(session, (RUN_SUBMITTED, run.id, submitted))

        await self._mongo.transaction(body)
        failpoint("ledger.committed_before_relay")
        self._on_outbox()

    async def transition(
        self,
        run: RunDocument,
        target: RunStatus,
        *,
        changes: Document | None = None,
        counts: RunCounts | None = None,
        tell: Sequence[tuple[Topic, str, Event]] = (),
    ) -> RunDocument | None:
        """Move ``run`` to ``target`` with its event; ``None`` where somebody else moved it first.

        Of a dry run nobody is told anything.

        Args:
            changes: further fields to set, by dotted path.
            counts: counts to store on the run and to carry in the event.
            tell: further outbox rows of the same transaction.

        Raises:
            PermanentError: ``FORBIDDEN_TRANSITION``; the table in ``libs.contracts.states`` has no such move, or it
                is the execution of a dry run.
        """
        if run.dry_run and target is RunStatus.EXECUTING:
            raise PermanentError("FORBIDDEN_TRANSITION", "a dry run is never executed")
        if not run_may_move(run.status, target):
            raise PermanentError("FORBIDDEN_TRANSITION", f"a run cannot go from {run.status} to {target}")
        now = _now()
        version = run.version + 1
        stopping = run.stop is not None and target is run.stop.status
        setting: Document = {"status": target.value, "version": version, "updated_at": now, **(changes or {})}
        if counts is not None:
            setting["counts"] = counts.model_dump()
        if target in TERMINAL_RUN_STATUSES:
            setting["finished_at"] = now
        change = StatusChange(
            version=version,
            status=target,
            at=now,
            counts=counts,
            error_code=run.stop.code if stopping and run.stop else None,
            error_message=run.stop.message if stopping and run.stop else None,
        )
        changed = run_event(run.id, run.tenant_id, run.template_id, change)

        async def body(session: Session) -> Document | None:
            found = await self.runs.find_one_and_update(
                {
                    "_id": run.id,
                    "status": run.status.value,
                    "version": run.version,
                    **({} if stopping else NOT_STOPPED),
                },
                {
                    "$set": setting,
                    "$unset": {"rescue": ""},
                    "$push": {"history": {**change.model_dump(), "status": target.value}},
                },
                return_document=ReturnDocument.AFTER,
                session=session,
            )
            if found is not None and not run.dry_run:
                await self._tell(session, (RUN_EVENTS, run.id, changed), *tell)
            return found

        moved = await self._mongo.transaction(body)
        if moved is None:
            return None
        failpoint("ledger.committed_before_relay")
        self._on_outbox()
        if target in TERMINAL_RUN_STATUSES:
            await self.payloads.delete_many({"run_id": run.id})
        return RunDocument.model_validate(moved)

    async def request_execution(self, run: RunDocument) -> RunDocument | None:
        """Move a validated run to executing and tell the writer; ``None`` where it moved meanwhile."""
        requested = ExecutionRequested(
            event_id=event_id("execution", run.id, run.version),
            occurred_at=_now(),
            run_id=run.id,
            tenant_id=run.tenant_id,
        )
        return await self.transition(
            run,
            RunStatus.EXECUTING,
            changes={"executing_at": _now()},
            tell=[(EXECUTION_REQUESTED, run.id, requested)],
        )

    async def maybe_advance(self, run_id: str) -> Stage:
        """Move the run on if the ledger proves that its phase is over. Idempotent; anyone may call it."""
        if await self._still_at_work(run_id):
            return Stage.WAITING
        run = await self.run(run_id)
        if run is None or run.status in TERMINAL_RUN_STATUSES:
            return Stage.TERMINAL
        if run.stop is not None:
            await self.finish_stop(run_id)
            return Stage.TERMINAL
        match run.status:
            case RunStatus.VALIDATING if run.parse.closed:
                return await self._after_checking(run)
            case RunStatus.VALIDATED if run.goes_on:
                await self.request_execution(run)
                return Stage.ADVANCED
            case RunStatus.EXECUTING:
                return await self._after_writing(run)
            case _:
                return Stage.WAITING

    async def _after_checking(self, run: RunDocument) -> Stage:
        totals = await self.totals(run.id)
        if await self._broken(run, totals.batches == run.parse.batches, f"{totals.batches} batches in the ledger"):
            return Stage.TERMINAL
        if not totals.all_in(BatchState.CHECKED, BatchState.VALIDATED):
            return Stage.WAITING
        if totals.states.get(BatchState.CHECKED):
            return Stage.BARRIER
        result = totals.result
        accounted = result.ok + result.rejected + result.duplicate_keys
        whole = totals.rows == run.parse.rows == accounted
        if await self._broken(run, whole, f"{totals.rows} rows in batches, {accounted} accounted for"):
            return Stage.TERMINAL
        if run.template.invalid_rows is InvalidRows.BLOCK and result.rejected:
            await self.stop(
                run.id,
                RunStatus.FAILED,
                "INVALID_ROWS",
                f"{result.rejected} of {totals.rows} rows are invalid and the template lets none pass; "
                "correct them in the file and upload it again",
            )
            return Stage.TERMINAL
        first = await self.batches.find_one({"_id": batch_id(run.id, run.epoch, 0)}, {"preview": 1})
        moved = await self.transition(
            run,
            RunStatus.VALIDATED,
            changes={"validated_at": _now(), "preview_rows": (first or {}).get("preview", [])},
            counts=totals.counts(totals.rows),
        )
        if moved is not None and moved.goes_on:
            await self.request_execution(moved)
        return Stage.ADVANCED

    async def _after_writing(self, run: RunDocument) -> Stage:
        totals = await self.totals(run.id)
        if not totals.all_in(BatchState.WRITTEN):
            return Stage.WAITING
        counts = totals.counts(run.parse.rows)
        whole = (
            totals.batches == run.parse.batches
            and totals.rows == counts.rows == counts.written + counts.rejected + counts.skipped
        )
        if await self._broken(run, whole, f"{totals.batches} batches, {totals.rows} rows, {counts!r}"):
            return Stage.TERMINAL
        await self.transition(run, RunStatus.COMPLETED, counts=counts)
        return Stage.ADVANCED

    async def _broken(self, run: RunDocument, conserved: bool, found: str) -> bool:  # noqa: FBT001
        if conserved:
            return False
        await self.stop(
            run.id,
            RunStatus.FAILED,
            "INTEGRITY",
            f"the ledger does not add up: the parser counted {run.parse.batches} batches and {run.parse.rows} rows, "
            f"but there are {found}. This is a fault of Rowdock, not of the file",
        )
        return True

    async def _still_at_work(self, run_id: str) -> bool:
        """Two index look-ups, so that only the last batch of a phase pays for adding up the ledger."""
        found = await self.runs.find_one({"_id": run_id}, {"status": 1, "stop": 1, "parse.closed": 1})
        if found is None or found["stop"] is not None:
            return False
        match found["status"]:
            case RunStatus.VALIDATING:
                waiting = BatchState.PARSED
            case RunStatus.EXECUTING:
                waiting = BatchState.VALIDATED
            case _:
                return False
        if not found["parse"]["closed"]:
            return True
        return await self.batches.find_one({"run_id": run_id, "state": waiting.value}, {"_id": 1}) is not None

    async def totals(self, run_id: str) -> Totals:
        """The batches of a run, added up by the server."""
        sums = {name: {"$sum": f"$result.{name}"} for name in BatchResult.model_fields}
        # One moment: a scan of the index would meet a batch that moves meanwhile twice, or never.
        cursor = await self.batches.with_options(read_concern=SNAPSHOT).aggregate(
            [
                {"$match": {"run_id": run_id}},
                {"$group": {"_id": "$state", "batches": {"$sum": 1}, "rows": {"$sum": "$rows"}, **sums}},
            ]
        )
        totals = Totals()
        added = dict.fromkeys(BatchResult.model_fields, 0)
        async for group in cursor:
            totals.batches += group["batches"]
            totals.rows += group["rows"]
            totals.states[BatchState(group["_id"])] = group["batches"]
            for name in added:
                added[name] += group[name]
        totals.result = BatchResult(**added)
        return totals

    # --- stopping -------------------------------------------------------------------------------

    async def request_stop(
        self, run_id: str, status: RunStatus, code: str, message: str, *, tenant_id: str | None = None
    ) -> bool:
        """Decide that an active run ends as ``status``; ``False`` where it has ended or is being stopped."""
        answer = await self.runs.update_one(
            {
                "_id": run_id,
                "status": {"$in": [source.value for source in CANCELLABLE_RUN_STATUSES]},
                **NOT_STOPPED,
                **({} if tenant_id is None else {"tenant_id": tenant_id}),
            },
            {
                "$set": {"stop": {"status": status.value, "code": code, "message": message[:2_000], "at": _now()}},
                "$inc": {"epoch": 1},
            },
        )
        failpoint("ledger.stop_requested")
        return answer.modified_count == 1

    async def finish_stop(self, run_id: str) -> None:
        """Close what is open of a run that is to stop, then report it. Idempotent."""
        run = await self.run(run_id)
        if run is None or run.stop is None or run.status in TERMINAL_RUN_STATUSES:
            return
        closed = BatchState.CANCELLED if run.stop.status is RunStatus.CANCELLED else BatchState.FAILED
        await self.batches.update_many(
            {**_every_batch(run_id), "state": {"$in": [state.value for state in OPEN_BATCH_STATES]}},
            {"$set": {"state": closed.value, "updated_at": _now()}},
        )
        failpoint("ledger.batches_closed_before_stop")
        totals = await self.totals(run_id)
        rows = run.parse.rows if run.parse.closed else totals.rows
        await self.transition(
            run,
            run.stop.status,
            changes={"failure": {"code": run.stop.code, "message": run.stop.message}},
            counts=totals.counts(rows, rest=run.stop.code),
        )

    async def stop(self, run_id: str, status: RunStatus, code: str, message: str) -> None:
        """``request_stop``, then ``finish_stop``; also finishes what another caller requested."""
        await self.request_stop(run_id, status, code, message)
        await self.finish_stop(run_id)

    async def unfinished_stops(self) -> list[str]:
        """Ids of runs whose stop was requested and never finished."""
        cursor = self.runs.find(
            {
                "status": {"$in": [status.value for status in ACTIVE_RUN_STATUSES]},
                "stop": {"$ne": None},
                "$expr": {"$lt": ["$stop.at", _seconds_from_now(-5)]},
            },
            {"_id": 1},
        )
        return [run["_id"] async for run in cursor]

    async def drop_rows_of_ended_runs(self) -> int:
        """Delete payloads that whoever ended their run did not live to delete; the number of such runs."""
        stored: list[str] = await self.payloads.distinct("run_id")
        ended = self.runs.find(
            {"_id": {"$in": stored}, "status": {"$in": [status.value for status in TERMINAL_RUN_STATUSES]}}, {"_id": 1}
        )
        runs = [run["_id"] async for run in ended]
        if runs:
            await self.payloads.delete_many({"run_id": {"$in": runs}})
        return len(runs)

    # --- dry runs -------------------------------------------------------------------------------

    async def purge(self, run_id: str) -> None:
        """Remove a dry run with everything of it, whatever is at work on it. Idempotent; spares every other run.

        Once it is stopped its parser stores nothing more, and once its batches are gone no check of them can
        commit. The run itself goes last, so that the sweep finds what a crash on the way has left.
        """
        stop = StopRequest(status=RunStatus.CANCELLED, code="DRY_RUN_OVER", message="it was only tried", at=_now())
        run = await self.runs.find_one_and_update(
            {"_id": run_id, "dry_run": True},
            {"$set": {"stop": {**stop.model_dump(), "status": stop.status.value}}, "$inc": {"epoch": 1}},
            {"tenant_id": 1, "file.id": 1},
        )
        if run is None:
            return
        await self.batches.delete_many(_every_batch(run_id))
        failpoint("ledger.batches_purged_before_run")
        await self.payloads.delete_many({"run_id": run_id})
        await self.rejected.delete_many({"tenant_id": run["tenant_id"], "run_id": run_id})
        await self._mongo.state[OutboxEntry.Settings.name].delete_one({"_id": event_id("submitted", run_id)})
        await FileStore(self._mongo).delete(run["file"]["id"])
        await self.runs.delete_one({"_id": run_id, "dry_run": True})

    async def dry_runs_older_than(self, seconds: float) -> list[str]:
        """Ids of dry runs that nobody waits for any more."""
        old = {"dry_run": True, "created_at": {"$lt": _now() - timedelta(seconds=seconds)}}
        return [run["_id"] async for run in self.runs.find(old, {"_id": 1})]

    # --- parsing --------------------------------------------------------------------------------

    async def begin_parse(self, run_id: str, owner: str, lease_seconds: float) -> RunDocument | None:
        """Take the parse of a run, or ``None`` where it is done, stopped, or a live parser has it.

        A lease of the same ``owner`` is one that the caller's own dead predecessor left.
        """
        run = await self.run(run_id)
        if run is not None and run.status is RunStatus.PENDING and run.stop is None:
            await self.transition(run, RunStatus.VALIDATING)
        found = await self.runs.find_one_and_update(
            {
                "_id": run_id,
                "status": RunStatus.VALIDATING.value,
                "parse.closed": False,
                **NOT_STOPPED,
                "$expr": {
                    "$or": [
                        {"$eq": ["$parse.owner", None]},
                        {"$eq": ["$parse.owner", owner]},
                        {"$lt": ["$parse.lease_until", "$$NOW"]},
                    ]
                },
            },
            [
                {
                    "$set": {
                        "parse.owner": owner,
                        "parse.lease_until": _seconds_from_now(lease_seconds),
                        "parse.attempts": {"$add": ["$parse.attempts", 1]},
                    }
                }
            ],
            return_document=ReturnDocument.AFTER,
        )
        return None if found is None else RunDocument.model_validate(found)

    def _parsing(self, run: RunDocument) -> Document:
        return {
            "_id": run.id,
            "status": RunStatus.VALIDATING.value,
            "epoch": run.epoch,
            "parse.owner": run.parse.owner,
            "parse.attempts": run.parse.attempts,
            "parse.closed": False,
            **NOT_STOPPED,
        }

    async def freeze_plan(self, run: RunDocument, plan: ParsePlan) -> bool:
        """Store the plan of a run that has none; ``False`` where the parse is no longer the caller's."""
        answer = await self.runs.update_one(
            {**self._parsing(run), "plan": None}, {"$set": {"plan": plan.model_dump(mode="json")}}
        )
        return answer.modified_count == 1

    async def stored_digests(self, run: RunDocument) -> dict[int, str]:
        """Digest by sequence number of the batches that an earlier attempt of this parse stored."""
        cursor = self.batches.find({"run_id": run.id, "epoch": run.epoch}, {"seq": 1, "digest": 1})
        return {batch["seq"]: batch["digest"] async for batch in cursor}

    async def add_batches(self, run: RunDocument, batches: Sequence[NewBatch], lease_seconds: float) -> bool:
        """Store batches and their rows; ``False`` where the parse is no longer the caller's.

        The transaction changes the run itself, so that a stop and a second parser fence it.
        """
        now = _now()
        entries: list[Document] = [
            {
                "_id": batch_id(run.id, run.epoch, batch.seq),
                "tenant_id": run.tenant_id,
                "run_id": run.id,
                "epoch": run.epoch,
                "seq": batch.seq,
                "row_from": batch.row_from,
                "row_to": batch.row_to,
                "rows": batch.rows,
                "digest": batch.digest,
                "state": BatchState.PARSED.value,
                "attempts": 0,
                "result": BatchResult().model_dump(),
                "updated_at": now,
            }
            for batch in batches
        ]
        payloads = [payload for batch in batches for payload in batch.payloads]

        async def body(session: Session) -> bool:
            fenced = await self.runs.update_one(
                self._parsing(run),
                [
                    {
                        "$set": {
                            "parse.batches": batches[-1].seq + 1,
                            "parse.rows": {"$add": ["$parse.rows", sum(batch.rows for batch in batches)]},
                            "parse.lease_until": _seconds_from_now(lease_seconds),
                        }
                    }
                ],
                session=session,
            )
            if fenced.modified_count != 1:
                return False
            await self.batches.insert_many(entries, session=session)
            await self.payloads.insert_many(payloads, session=session)
            return True

        return await self._mongo.transaction(body)

    async def extend_parse(self, run: RunDocument, lease_seconds: float) -> bool:
        """Keep the parse lease alive; ``False`` where the parse is no longer the caller's."""
        answer = await self.runs.update_one(
            self._parsing(run), [{"$set": {"parse.lease_until": _seconds_from_now(lease_seconds)}}]
        )
        return answer.modified_count == 1

    async def close_parse(self, run: RunDocument, batches: int, rows: int, digest: str) -> bool:
        """Declare that all batches are stored; ``False`` where the parse is no longer the caller's."""
        answer = await self.runs.update_one(
            self._parsing(run),
            {
                "$set": {
                    "parse.closed": True,
                    "parse.batches": batches,
                    "parse.rows": rows,
                    "parse.digest": digest,
                    "parse.owner": None,
                    "parse.lease_until": None,
                    "updated_at": _now(),
                }
            },
        )
        return answer.modified_count == 1

    # --- batches --------------------------------------------------------------------------------

    async def claim_batch(self, identifier: str, state: BatchState) -> BatchDocument | None:
        """Begin work on a batch in ``state``; ``None`` where it has moved on. Counts the attempt."""
        found = await self.batches.find_one_and_update(
            {"_id": identifier, "state": state.value},
            {"$inc": {"attempts": 1}, "$set": {"updated_at": _now()}},
            return_document=ReturnDocument.AFTER,
        )
        return None if found is None else BatchDocument.model_validate(found)

    async def move_batch(
        self,
        session: Session,
        batch: BatchDocument,
        target: BatchState,
        result: BatchResult,
        *,
        preview: Sequence[Document] = (),
        skipped: Mapping[str, bytes] | None = None,
    ) -> bool:
        """Compare-and-set of one ledger entry inside the transaction of its effect.

        Args:
            preview: first rows of the file, for its first batch.
            skipped: row numbers (uint32, little-endian) by the reason why they are skipped.

        ``False``: another worker did it, or the run was stopped; the caller must have no effect.
        """
        if not batch_may_move(batch.state, target):
            raise PermanentError("FORBIDDEN_TRANSITION", f"a batch cannot go from {batch.state} to {target}")
        setting: Document = {
            "state": target.value,
            "result": result.model_dump(),
            "attempts": 0,
            "updated_at": _now(),
        }
        if preview:
            setting["preview"] = list(preview)
        for reason, rows in (skipped or {}).items():
            if rows:
                setting[f"skipped_rows.{reason}"] = rows
        answer = await self.batches.update_one(
            {"_id": batch.id, "epoch": batch.epoch, "state": batch.state.value},
            {"$set": setting},
            session=session,
        )
        return answer.modified_count == 1

    async def sequence_numbers(self, run_id: str, state: BatchState) -> list[tuple[int, int]]:
        """``(epoch, seq)`` of a run's batches in ``state``, in file order."""
        cursor = self.batches.find({"run_id": run_id, "state": state.value}, {"epoch": 1, "seq": 1}).sort("seq")
        return [(batch["epoch"], batch["seq"]) async for batch in cursor]

    # --- barrier --------------------------------------------------------------------------------

    async def take_barrier(self, run_id: str, owner: str, lease_seconds: float) -> bool:
        """Take the barrier of a run unless another live worker has it."""
        answer = await self.runs.update_one(
            {
                "_id": run_id,
                "status": RunStatus.VALIDATING.value,
                **NOT_STOPPED,
                "$expr": {
                    "$or": [
                        {"$eq": [{"$ifNull": ["$barrier", None]}, None]},
                        {"$eq": ["$barrier.owner", owner]},
                        {"$lt": ["$barrier.until", "$$NOW"]},
                    ]
                },
            },
            [{"$set": {"barrier": {"owner": owner, "until": _seconds_from_now(lease_seconds)}}}],
        )
        return answer.modified_count == 1

    async def leave_barrier(self, run_id: str, owner: str) -> None:
        """Give the barrier up."""
        await self.runs.update_one({"_id": run_id, "barrier.owner": owner}, {"$set": {"barrier": None}})

    # --- rescue ---------------------------------------------------------------------------------

    async def silent_runs(self, statuses: Sequence[RunStatus], quiet_seconds: float) -> AsyncIterator[RunDocument]:
        """Runs in one of ``statuses`` whose ledger has not moved for ``quiet_seconds``.

        Each is given to one caller of this service, again after twice the time, up to 32 times it.
        """
        mine = f"rescue.{self._service}"
        while True:
            found = await self.runs.find_one_and_update(
                {
                    "status": {"$in": [status.value for status in statuses]},
                    **NOT_STOPPED,
                    "$expr": {
                        "$lt": [
                            {
                                "$ifNull": [
                                    f"${mine}.after",
                                    {
                                        "$dateAdd": {
                                            "startDate": "$updated_at",
                                            "unit": "millisecond",
                                            "amount": int(quiet_seconds * 1000),
                                        }
                                    },
                                ]
                            },
                            "$$NOW",
                        ]
                    },
                },
                [
                    {"$set": {f"{mine}.count": {"$add": [{"$ifNull": [f"${mine}.count", 0]}, 1]}}},
                    {
                        "$set": {
                            f"{mine}.after": {
                                "$dateAdd": {
                                    "startDate": "$$NOW",
                                    "unit": "millisecond",
                                    "amount": {
                                        "$multiply": [
                                            int(quiet_seconds * 1000),
                                            {
                                                "$pow": [
                                                    2,
                                                    {"$min": [{"$subtract": [f"${mine}.count", 1]}, 5]},
                                                ]
                                            },
                                        ]
                                    },
                                }
                            }
                        }
                    },
                ],
                return_document=ReturnDocument.AFTER,
            )
            if found is None:
                return
            if await self._ledger_moved(found["_id"], quiet_seconds):
                await self.runs.update_one({"_id": found["_id"]}, {"$set": {f"{mine}.count": 0}})
            else:
                yield RunDocument.model_validate(found)

    async def _ledger_moved(self, run_id: str, within_seconds: float) -> bool:
        moved = await self.batches.find_one(
            {"run_id": run_id, "$expr": {"$gt": ["$updated_at", _seconds_from_now(-within_seconds)]}},
            {"_id": 1},
        )
        return moved is not None

    # --- outbox ---------------------------------------------------------------------------------

    async def _tell(self, session: Session, *messages: tuple[Topic, str, Event]) -> None:
        now = _now()
        await self._mongo.state[OutboxEntry.Settings.name].insert_many(
            [
                {
                    "_id": event.event_id,
                    "service": self._service,
                    "topic": topic.name,
                    "key": key,
                    "value": event.model_dump_json(),
                    "created_at": now,
                    "lease_until": None,
                }
                for topic, key, event in messages
            ],
            session=session,
        )
