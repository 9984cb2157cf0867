"""Syncs: requested, planned by one writer at a time, executed one after another for each tenant and resource.

A sync that is to be executed stays validated until a writer has looked up what it would delete. That takes the slot of
its tenant and resource, which it keeps until the run has ended: no two syncs of the same records interleave, and the
one that has to wait begins when the slot is given up. Where more would go than may unasked, the run gives the slot up,
stays validated and says so.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from libs.contracts.events import ExecutionRequested
from libs.contracts.ids import event_id
from libs.contracts.messages import Message
from libs.contracts.reasons import RunErrorCode
from libs.contracts.states import TERMINAL_RUN_STATUSES, RunStatus
from libs.contracts.topics import EXECUTION_REQUESTED, RUN_EVENTS
from libs.ledger.changes import run_event
from libs.ledger.connection import NOT_STOPPED, LedgerConnection
from libs.ledger.leases import SYNC_PLAN, HeldLease, Leases
from libs.ledger.outbox import append_to_outbox
from libs.storage.client import Document, Session
from libs.storage.documents import RunDocument, StatusChange, SyncProgress, SyncStage

NOT_PLANNED: Final = (
    "a service of an earlier release, which cannot delete what the file of a sync does not hold, has worked at this "
    "run; once all services are of this release, upload the file again"
)
SLOT_GIVEN_UP: Final[Document] = {
    "syncing": {
        "$cond": [
            {"$eq": [{"$type": "$syncing"}, "object"]},
            {"$mergeObjects": ["$syncing", {"slot": None, **dict.fromkeys(["owner", "until"])}]},
            None,
        ]
    }
}
"""The field of a run that has ended, as an expression."""
_REQUESTED: Final[Document] = {
    "status": RunStatus.VALIDATED.value,
    "syncing.stage": SyncStage.REQUESTED.value,
    **NOT_STOPPED,
}
REQUESTED_SYNCS: Final[Document] = {"syncing.stage": SyncStage.REQUESTED.value}
"""Of validated runs those that a writer is to plan."""


async def request_sync(
    connection: LedgerConnection,
    run: RunDocument,
    *,
    confirmed: int | None = None,
    confirmed_all: bool = False,
    again: bool = False,
) -> RunDocument | None:
    """Ask for a validated sync to be executed; ``None`` where that was done, or where it is no longer validated.

    Args:
        confirmed: most records that may be deleted.
        confirmed_all: any number of them may be.
        again: also where it waits for confirmation.
    """
    target = f"{run.tenant_id}:{run.template.target_resource}"
    progress = SyncProgress(
        target=target, requested_at=datetime.now(UTC), confirmed=confirmed, confirmed_all=confirmed_all
    )
    stages = [None, SyncStage.UNCONFIRMED.value] if again else [None]

    async def body(session: Session) -> tuple[Document | None, list[Document]]:
        found = await connection.runs.find_one_and_update(
            {"_id": run.id, "status": RunStatus.VALIDATED.value, "syncing.stage": {"$in": stages}, **NOT_STOPPED},
            {
                "$set": {
                    "syncing": {**progress.model_dump(), "stage": progress.stage.value},
                    "updated_at": datetime.now(UTC),
                },
                "$unset": {"rescue": ""},
            },
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if found is None:
            return None, []
        return found, await append_to_outbox(connection, session, _requested(found, progress))

    found, rows = await connection.mongo.transaction(body)
    if found is None:
        return None
    connection.hand_over(rows)
    return RunDocument.read(found)


def _requested(run: Document, progress: SyncProgress, by: str = "") -> Message:
    run_id: str = run["_id"]
    requested = ExecutionRequested(
        event_id=event_id("sync", run_id, progress.requested_at.timestamp(), by),
        occurred_at=datetime.now(UTC),
        run_id=run_id,
        tenant_id=run["tenant_id"],
    )
    return Message(EXECUTION_REQUESTED, run_id, requested, run.get("trace"))


async def next_sync(connection: LedgerConnection, session: Session, target: str, by: str) -> list[Message]:
    """The message that lets the sync begin which waits longest for the slot of ``target``; none where none does.

    Args:
        by: what gives the slot up: nothing else ever has this name.
    """
    waiting = await connection.runs.find_one(
        {**_REQUESTED, "syncing.target": _indexed(target)},
        {"tenant_id": 1, "syncing": 1, "trace": 1},
        sort=[("syncing.requested_at", ASCENDING)],
        session=session,
    )
    if waiting is None:
        return []
    return [_requested(waiting, SyncProgress.model_validate(waiting["syncing"]), by)]


def _indexed(target: str) -> Document:
    """Without the type MongoDB does not see that the index, which holds texts alone, has all that is asked for."""
    return {"$eq": target, "$type": "string"}


class Syncs:
    """Moves syncs from the request to their execution."""

    def __init__(self, connection: LedgerConnection, leases: Leases) -> None:
        self._connection = connection
        self._leases = leases

    async def request(
        self, run: RunDocument, *, confirmed: int | None = None, confirmed_all: bool = False
    ) -> RunDocument | None:
        """See ``request_sync``: somebody asks for it, perhaps not for the first time."""
        return await request_sync(self._connection, run, confirmed=confirmed, confirmed_all=confirmed_all, again=True)

    async def take(self, run_id: str, instance: str, seconds: float) -> tuple[HeldLease, RunDocument] | None:
        """Begin to plan a requested sync; ``None`` where somebody does, or where another one of its records is at work.

        Then it says for which it waits, and begins when that ends.
        """
        run = await self._connection.runs.find_one({"_id": run_id, **_REQUESTED}, {"syncing.target": 1})
        if run is None:
            return None
        target: str = run["syncing"]["target"]
        for _ in range(2):
            try:
                taken = await self._leases.take(
                    SYNC_PLAN,
                    run_id,
                    instance,
                    seconds,
                    where=_REQUESTED,
                    changes={"syncing.slot": {"$literal": target}, "syncing.waiting_for": None},
                )
            except DuplicateKeyError:
                if not await self._slot_left_behind(target, run_id):
                    return None
                continue
            return None if taken is None else (taken[0], RunDocument.read(taken[1]))
        return None

    async def _slot_left_behind(self, target: str, waiting: str) -> bool:
        """Whether the slot is free now: a process of an earlier release ends runs and leaves it with them."""
        holder = await self._connection.runs.find_one({"syncing.slot": _indexed(target)}, {"status": 1})
        if holder is None:
            return True
        terminal = [status.value for status in TERMINAL_RUN_STATUSES]
        if holder["status"] in terminal:
            await self._connection.runs.update_one(
                {"_id": holder["_id"], "status": {"$in": terminal}}, {"$set": {"syncing.slot": None}}
            )
            return True
        await self._connection.runs.update_one(
            {"_id": waiting, **_REQUESTED}, {"$set": {"syncing.waiting_for": holder["_id"]}}
        )
        # It may have ended a moment before this one was seen to wait.
        return await self._connection.runs.find_one({"syncing.slot": _indexed(target)}, {"_id": 1}) is None

    async def ask(self, run: RunDocument, held: HeldLease, found: Document, message: str) -> bool:
        """Let a sync wait for confirmation, and tell so; ``False`` where it moved meanwhile.

        Args:
            run: as it was when the lease was taken.
            held: the lease under which it was planned.
            found: members of ``SyncProgress``.
            message: what is asked.
        """
        now, version = datetime.now(UTC), run.version + 1
        change = StatusChange(
            version=version,
            status=RunStatus.VALIDATED,
            at=now,
            counts=run.counts,
            error_code=RunErrorCode.DELETES_NOT_CONFIRMED,
            error_message=message,
        )
        entry = {**change.model_dump(), "status": change.status.value}
        event = run_event(
            run.id, run.tenant_id, run.template_id, run.vocabulary, change, run.parent_run_id, run.request_id
        )
        told = Message(RUN_EVENTS, run.id, event, run.trace)
        free: Document = {"syncing.slot": None, **held.fields.free}
        values = {f"syncing.{name}": value for name, value in found.items()}

        async def body(session: Session) -> list[Document] | None:
            answer = await self._connection.runs.update_one(
                {"_id": run.id, "version": run.version, held.fields.owner: held.token, **_REQUESTED},
                {
                    "$set": {
                        **free,
                        **values,
                        "syncing.stage": SyncStage.UNCONFIRMED.value,
                        "version": version,
                        "updated_at": now,
                    },
                    "$push": {"history": entry},
                    "$unset": {"rescue": ""},
                },
                session=session,
            )
            if not answer.modified_count:
                return None
            assert run.syncing is not None
            following = await next_sync(self._connection, session, run.syncing.target, f"{run.id}:{version}")
            return await append_to_outbox(self._connection, session, told, *following)

        rows = await self._connection.mongo.transaction(body)
        if rows is None:
            return False
        self._leases.forget(held.token)
        self._connection.hand_over(rows)
        return True


def sweeping_batches(run: RunDocument, plan: str, identifiers: Sequence[str], sizes: Sequence[int]) -> list[Document]:
    """The ledger entries of what a sync deletes, to be released when every row is written.

    Args:
        plan: names the attempt at planning that has stored their records.
        identifiers: ids of the batches, in order.
        sizes: how many records each holds.
    """
    now, first, entries = datetime.now(UTC), run.parse.rows + 1, list[Document]()
    for number, (identifier, size) in enumerate(zip(identifiers, sizes, strict=True)):
        entries.append(
            {
                "_id": identifier,
                "tenant_id": run.tenant_id,
                "run_id": run.id,
                "epoch": run.epoch,
                "seq": run.parse.batches + number,
                "row_from": first,
                "row_to": first + size - 1,
                "rows": 0,
                "digest": plan,
                "sweeps": True,
                "state": "checked",
                "attempts": 0,
                "result": {},
                "updated_at": now,
            }
        )
        first += size
    return entries
