"""Runs: created once, then moved by compare-and-set on status and version, each time with an event."""

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pymongo import ReturnDocument

from libs.contracts.errors import PermanentError
from libs.contracts.events import ExecutionRequested, RevertCounts, RunCounts, RunSubmitted
from libs.contracts.ids import event_id
from libs.contracts.messages import Message
from libs.contracts.states import TERMINAL_RUN_STATUSES, BatchState, RunStatus, run_may_move
from libs.contracts.topics import EXECUTION_REQUESTED, RUN_EVENTS, RUN_SUBMITTED
from libs.ledger.changes import run_event
from libs.ledger.connection import NOT_STOPPED, LedgerConnection
from libs.ledger.handout import Handout
from libs.ledger.leases import HeldLease
from libs.ledger.measuring import measure_move
from libs.ledger.outbox import append_to_outbox
from libs.ledger.syncs import SLOT_GIVEN_UP, next_sync, request_sync
from libs.storage.client import Document, Session
from libs.storage.documents import RunDocument, RunHead, StatusChange, StopRequest
from libs.telemetry import tracing

Effect = Callable[[Session], Awaitable[Sequence[Message]]]
"""What happens in the transaction of a run's move; the messages that tell of it."""


@dataclass(frozen=True, slots=True)
class MovedRun:
    """A run that was moved in a transaction.

    Attributes:
        document: as it is stored now.
        status: what it has reached.
        outbox: the rows that tell of it.
    """

    document: Document
    status: RunStatus
    outbox: Sequence[Document]


def stored_run(run: RunDocument) -> Document:
    """A new run as it is stored."""
    return {
        **run.model_dump(by_alias=True, mode="python"),
        "status": run.status.value,
        "template": run.template.model_dump(mode="json"),
        "plan": None if run.plan is None else run.plan.model_dump(mode="json"),
    }


@contextmanager
def beginning_trace(run: RunDocument) -> Generator[None]:
    """Let whatever becomes of a new run stand in one trace: below the request that makes it, if there is one."""
    attributes = {"rowdock.run_id": run.id, "rowdock.tenant_id": run.tenant_id, "rowdock.purpose": run.purpose.value}
    with tracing.span("submit run", attributes=attributes):
        run.trace = tracing.current_traceparent()
        yield


def keeps_keys(run: Document) -> bool:
    """Whether rows may be retried that a completed run or its parent has rejected, and are compared with its own."""
    counts: Document = run.get("counts") or {}
    return run.get("parent_run_id") is not None or counts.get("rejected", 0) > 0


class RunLedger:
    """The collection ``runs``."""

    def __init__(self, connection: LedgerConnection, handout: Handout) -> None:
        self._connection = connection
        self._handout = handout

    async def get(self, run_id: str) -> RunDocument | None:
        """The run, or ``None``.

        Raises:
            UnreadableDocumentError: it holds what this release does not know.
        """
        found = await self._connection.runs.find_one({"_id": run_id})
        return None if found is None else RunDocument.read(found)

    async def head(self, run_id: str) -> RunHead | None:
        """What it takes to stop a run, or ``None``.

        Raises:
            UnreadableDocumentError: even this holds what this release does not know.
        """
        fields = [*RunHead.model_fields, "dry_run"]
        found = await self._connection.runs.find_one({"_id": run_id}, fields)
        return None if found is None else RunHead.read(found)

    async def status(self, run_id: str) -> RunStatus | None:
        """The status of a run, or ``None`` where there is no such run; cheap enough to ask again and again."""
        found = await self._connection.runs.find_one({"_id": run_id}, {"status": 1})
        return None if found is None else RunStatus(found["status"])

    async def submit(self, run: RunDocument, *, key_of: str | None = None) -> None:
        """Create ``run`` and tell the parser, which takes it sooner or later also where it does not hear of it.

        Args:
            run: what is created.
            key_of: id of the refused run that gives up its idempotency key to it.

        Raises:
            pymongo.errors.DuplicateKeyError: a run with its idempotency key exists.
        """
        with beginning_trace(run):
            await self._store(run, key_of)
        self._connection.hint(
            Message(RUN_SUBMITTED, run.id, RunSubmitted.of(run.id, run.tenant_id, run.lane), run.trace)
        )

    async def _store(self, run: RunDocument, key_of: str | None) -> None:
        document = stored_run(run)

        async def body(session: Session) -> None:
            given_up = {"_id": key_of, "idempotency_key": run.idempotency_key}
            await self._connection.runs.update_one(given_up, {"$set": {"idempotency_key": None}}, session=session)
            await self._connection.runs.insert_one(document, session=session)

        if key_of is None:
            await self._connection.runs.insert_one(document)
        else:
            await self._connection.mongo.transaction(body)

    async def transition(
        self,
        run: RunDocument,
        target: RunStatus,
        *,
        changes: Document | None = None,
        counts: RunCounts | None = None,
        effect: Effect | None = None,
        reverted: RevertCounts | None = None,
        where: Document | None = None,
    ) -> RunDocument | None:
        """Move ``run`` to ``target`` with its event; ``None`` where somebody else moved it first.

        There is no event where the run's purpose is not told.

        Args:
            changes: further fields to set, by dotted path.
            counts: counts to store on the run and to carry in the event.
            effect: what else happens in the same transaction, and the messages that tell of it.
            reverted: to store on the run and to carry in the event.
            where: what else must be true of the run.

        Raises:
            PermanentError: ``FORBIDDEN_TRANSITION``; the table in ``libs.contracts.states`` has no such move, or it
                is the execution of a run whose purpose is not executed.
        """
        moved = await self._move(
            run, target, changes=changes, counts=counts, effect=effect, reverted=reverted, where=where
        )
        return None if moved is None else RunDocument.read(moved.document)

    async def end(self, run: RunHead, stop: StopRequest, counts: RunCounts) -> None:
        """Move a run to the end that was requested of it, with its event; nothing where somebody else did."""
        failure = {"code": stop.code, "message": stop.message}
        await self._move(run, stop.status, changes={"failure": failure}, counts=counts)

    async def _move(
        self,
        run: RunDocument | RunHead,
        target: RunStatus,
        *,
        changes: Document | None = None,
        counts: RunCounts | None = None,
        effect: Effect | None = None,
        reverted: RevertCounts | None = None,
        where: Document | None = None,
    ) -> MovedRun | None:
        async def body(session: Session) -> MovedRun | None:
            return await self.move(
                session, run, target, changes=changes, counts=counts, effect=effect, where=where, reverted=reverted
            )

        moved = await self._connection.mongo.transaction(body)
        if moved is not None:
            await self.committed(moved)
        return moved

    async def move(
        self,
        session: Session,
        run: RunDocument | RunHead,
        target: RunStatus,
        *,
        changes: Document | None = None,
        expressions: Document | None = None,
        counts: RunCounts | None = None,
        effect: Effect | None = None,
        where: Document | None = None,
        reverted: RevertCounts | None = None,
    ) -> MovedRun | None:
        """As ``transition``, in a transaction of the caller, who says when it is ``committed``.

        Args:
            expressions: further fields to set to what the server computes.
            where: what else must be true of the run.
            reverted: to store on the run and to carry in the event.
        """
        if target is RunStatus.EXECUTING and not run.purpose.traits.executed:
            raise PermanentError("FORBIDDEN_TRANSITION", f"a run whose purpose is {run.purpose} is never executed")
        if not run_may_move(run.status, target):
            raise PermanentError("FORBIDDEN_TRANSITION", f"a run cannot go from {run.status} to {target}")
        now = datetime.now(UTC)
        version = run.version + 1
        stopping = run.stop is not None and target is run.stop.status
        values: Document = {
            "status": target.value,
            "version": version,
            "updated_at": now,
            "held_back": False,
            **(changes or {}),
        }
        if counts is not None:
            values["counts"] = counts.model_dump()
        if reverted is not None:
            values["reverted"] = reverted.model_dump()
        if target in TERMINAL_RUN_STATUSES:
            values["finished_at"] = now
            if run.purpose.traits.of_parent and run.purpose.traits.executed:
                values["unsettled"] = True
        change = StatusChange(
            version=version,
            status=target,
            at=now,
            counts=counts,
            error_code=run.stop.code if stopping and run.stop else None,
            error_message=run.stop.message if stopping and run.stop else None,
            reverted=reverted,
        )
        changed = run_event(
            run.id, run.tenant_id, run.template_id, run.vocabulary, change, run.parent_run_id, run.request_id
        )

        entry = {**change.model_dump(), "status": target.value}
        found = await self._connection.runs.find_one_and_update(
            {
                **(where or {}),
                "_id": run.id,
                "status": run.status.value,
                "version": run.version,
                **({} if stopping else NOT_STOPPED),
            },
            [
                {
                    "$set": {
                        **{name: {"$literal": value} for name, value in values.items()},
                        "history": {"$concatArrays": [{"$ifNull": ["$history", []]}, [{"$literal": entry}]]},
                        **(expressions or {}),
                        **(SLOT_GIVEN_UP if target in TERMINAL_RUN_STATUSES else {}),
                    }
                },
                {"$unset": "rescue"},
            ],
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if found is None:
            return None
        if target in TERMINAL_RUN_STATUSES and found.get("syncing") is not None:
            waiting = await next_sync(self._connection, session, found["syncing"]["target"], f"{run.id}:{version}")
        else:
            waiting = []
        trace: str | None = found.get("trace")
        told = [Message(RUN_EVENTS, run.id, changed, trace)] if run.purpose.traits.told else []
        further = () if effect is None else await effect(session)
        messages = [*told, *further, *waiting]
        rows = await append_to_outbox(self._connection, session, *messages) if messages else []
        return MovedRun(found, target, rows)

    async def committed(self, moved: MovedRun) -> None:
        """The transaction of ``move`` is committed: others may know."""
        self._connection.hand_over(moved.outbox)
        if self._connection.metrics is not None:
            measure_move(self._connection.metrics, moved.document, moved.status)
        if tracing.on():
            _trace_move(moved.document)
        if moved.status is RunStatus.COMPLETED:
            document = moved.document
            await self._connection.payloads.drop_all_but_written([document["_id"]], keys=keeps_keys(document))
        elif moved.status in TERMINAL_RUN_STATUSES:
            await self._connection.payloads.drop_all_but_read([moved.document["_id"]])

    async def request_execution(self, run: RunDocument) -> RunDocument | None:
        """Move a validated run to executing and announce its first batches; ``None`` where it moved meanwhile.

        A sync is only requested: before it executes, a writer looks up what it would delete.
        """
        if run.sweeps:
            return await request_sync(self._connection, run)
        batches = run.parse.batches
        count = min(batches, await self._handout.room(BatchState.VALIDATED, run)) if batches else 0

        async def announce(session: Session) -> list[Message]:
            if batches:
                return await self._handout.announce_first(session, run, count)
            requested = ExecutionRequested(
                event_id=event_id("execution", run.id, run.version),
                occurred_at=datetime.now(UTC),
                run_id=run.id,
                tenant_id=run.tenant_id,
            )
            return [
                Message(EXECUTION_REQUESTED, run.id, requested, run.trace)
            ]  # so that a writer ends what has nothing to write

        changes = {"executing_at": datetime.now(UTC), "held_back": count < batches}
        return await self.transition(run, RunStatus.EXECUTING, changes=changes, effect=announce)

    async def execute_sync(
        self, run: RunDocument, held: HeldLease, changes: Document, batches: Sequence[Document]
    ) -> MovedRun | None:
        """Move a sync that is planned to executing, with its batches of deletions; ``None`` where it moved meanwhile.

        Args:
            held: the lease under which it was planned.
            changes: of the run, by dotted path.
            batches: entries of the ledger.
        """
        count = min(run.parse.batches, await self._handout.room(BatchState.VALIDATED, run)) if run.parse.batches else 0

        async def body(session: Session) -> MovedRun | None:
            async def announce(session: Session) -> list[Message]:
                if batches:
                    await self._connection.batches.insert_many(batches, session=session)
                return await self._handout.announce_first(session, run, count) if count else []

            return await self.move(
                session,
                run,
                RunStatus.EXECUTING,
                changes={"executing_at": datetime.now(UTC), **changes, "held_back": count < run.parse.batches},
                effect=announce,
                where={held.fields.owner: held.token},
            )

        moved = await self._connection.mongo.transaction(body)
        if moved is not None:
            await self.committed(moved)
        return moved

    async def revertible(self, run: RunDocument) -> bool:
        """Whether all that it takes to revert a completed run is stored: the rows of every batch, and of every
        before-image its row. What an earlier release has written lacks them."""
        if run.status is not RunStatus.COMPLETED or run.revertible_until is None:
            return False
        unknown = await self._connection.before_images.find_one({"run_id": run.id, "row": None}, {"_id": 1})
        return unknown is None and await self._connection.payloads.written(run.id) == run.parse.batches

    async def request_revert(self, run: RunDocument) -> RunDocument | None:
        """Move a completed run to reverting and announce its last batches; ``None`` where it moved meanwhile, or where
        rejected rows of it are being retried."""
        await self._connection.payloads.keep_longer(run.id)
        batches = run.all_batches
        count = min(batches, await self._handout.room(BatchState.WRITTEN, run)) if batches else 0

        async def announce(session: Session) -> list[Message]:
            return await self._handout.announce_first(session, run, count, BatchState.WRITTEN)

        changes = {"completed_at": run.finished_at, "finished_at": None, "held_back": count < batches}
        idle: Document = {"retry_at_work": None}
        return await self.transition(run, RunStatus.REVERTING, changes=changes, effect=announce, where=idle)


def _trace_move(run: Document) -> None:
    """Record how long a run was in the status that it has left."""
    created: Document = {"status": RunStatus.PENDING.value, "at": run["created_at"]}
    before, reached = [created, *run["history"]][-2:]
    attributes = {"rowdock.run_id": run["_id"], "rowdock.status": reached["status"]}
    tracing.record(
        f"run {before['status']}", before["at"], reached["at"], parent=run.get("trace"), attributes=attributes
    )
