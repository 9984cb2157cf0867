"""The parse of a run: one parser at a time, which stores batches until the file has no more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from libs.batches.payloads import Payload
from libs.contracts.errors import UnreadableDocumentError
from libs.contracts.ids import batch_id
from libs.contracts.lanes import Lane
from libs.contracts.messages import Message
from libs.contracts.plan import ParsePlan
from libs.contracts.states import BatchState, RunStatus
from libs.ledger.connection import NOT_STOPPED, LedgerConnection
from libs.ledger.handout import Handout, announced_in, message, stored_as
from libs.ledger.leases import PARSE, HeldLease, Leases
from libs.ledger.runs import MovedRun, RunLedger
from libs.storage.client import Document, Session
from libs.storage.documents import BatchResult, RunDocument
from libs.storage.stored_times import seconds_from_now

RUNS_AT_A_LOOK = 16
"""Runs of one tenant that are seen at a time, the oldest ones."""
_TO_BE_PARSED: Document = {"$in": [RunStatus.PENDING.value, RunStatus.VALIDATING.value]}
_ATTEMPT: Document = {"parse.attempts": {"$add": ["$parse.attempts", 1]}}


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch as the parser cut it, with its rows."""

    seq: int
    row_from: int
    row_to: int
    rows: int
    digest: str
    payload: Payload


@dataclass(slots=True)
class WaitingRuns:
    """Runs of one tenant whose files are to be read.

    Attributes:
        at_work: how many files of it are being read now, by anybody.
        run_ids: those that nobody reads, the oldest ones, oldest first.
    """

    tenant_id: str
    at_work: int
    run_ids: list[str]


@dataclass(frozen=True, slots=True)
class ParseEnd:
    """What the parser has counted once the file has no more.

    Attributes:
        digest: SHA-256 over the digests of all batches, in hexadecimal.
    """

    batches: int
    rows: int
    digest: str


class ParseLedger:
    """Fences parsers by a lease and the number of the attempt."""

    def __init__(self, connection: LedgerConnection, runs: RunLedger, leases: Leases, handout: Handout) -> None:
        self._connection = connection
        self._runs = runs
        self._leases = leases
        self._handout = handout

    async def waiting(self, lane: Lane) -> list[WaitingRuns]:
        """What there is to read in a lane, by tenant."""
        unread: Document = {
            "status": _TO_BE_PARSED,
            "parse.closed": False,
            "lane": stored_as(lane),
            **NOT_STOPPED,
        }
        at_work: Document = {"$gt": ["$parse.lease_until", "$$NOW"]}
        cursor = await self._connection.runs.aggregate(
            [
                {"$match": unread},
                {"$project": {"tenant_id": 1, "at_work": at_work}},
                {"$sort": {"_id": 1}},
                {
                    "$group": {
                        "_id": "$tenant_id",
                        "at_work": {"$sum": {"$cond": ["$at_work", 1, 0]}},
                        "runs": {"$push": {"$cond": ["$at_work", "$$REMOVE", "$_id"]}},
                    }
                },
                {"$project": {"at_work": 1, "runs": {"$slice": ["$runs", RUNS_AT_A_LOOK]}}},
            ]
        )
        return [WaitingRuns(tenant["_id"], tenant["at_work"], tenant["runs"]) async for tenant in cursor]

    async def begin(self, run_id: str, instance: str, lease_seconds: float) -> RunDocument | None:
        """Take the parse of a run, or ``None`` where it is done, stopped, or a live parser has it.

        A pending run stays so until ``start``, or until its first batches are stored. The other methods keep the status
        and version of the document that is returned as they are stored. The caller says by ``leave`` that it is no
        longer at it.

        Args:
            instance: name of this process.

        Raises:
            UnreadableDocumentError: the run holds what this release does not know.
        """
        where = {"status": _TO_BE_PARSED, "parse.closed": False, **NOT_STOPPED}
        taken = await self._leases.take(PARSE, run_id, instance, lease_seconds, where=where, changes=_ATTEMPT)
        if taken is None:
            return None
        held, stored = taken
        try:
            return RunDocument.read(stored)
        except UnreadableDocumentError:
            self._leases.forget(held.token)
            raise

    async def start(self, run: RunDocument) -> bool:
        """Move a run on that is still pending; ``False`` where the parse is no longer the caller's."""
        if run.status is not RunStatus.PENDING:
            return True

        async def body(session: Session) -> MovedRun | None:
            return await self._runs.move(session, run, RunStatus.VALIDATING, where=self._parsing(run))

        moved = await self._connection.mongo.transaction(body)
        if moved is not None:
            await self._started(run, moved)
        return moved is not None

    async def _started(self, run: RunDocument, moved: MovedRun) -> None:
        """The transaction is committed in which the run was moved on."""
        run.status, run.version = moved.status, moved.document["version"]
        await self._runs.committed(moved)

    def leave(self, run: RunDocument) -> None:
        """End what ``begin`` began; where it was not closed, this process may begin it again at once."""
        if run.parse.owner is not None:
            self._leases.forget(run.parse.owner)

    async def give_back(self, run: RunDocument) -> None:
        """Let another parser begin what this one will not end; harmless where it is no longer the caller's."""
        if run.parse.owner is not None:
            await self._leases.release(HeldLease(PARSE, run.id, run.parse.owner))

    def _parsing(self, run: RunDocument) -> Document:
        return {
            "_id": run.id,
            "status": _TO_BE_PARSED,
            "epoch": run.epoch,
            "parse.owner": run.parse.owner,
            "parse.attempts": run.parse.attempts,
            "parse.closed": False,
            **NOT_STOPPED,
        }

    async def freeze_plan(self, run: RunDocument, plan: ParsePlan) -> bool:
        """Store the plan of a run that has none; ``False`` where the parse is no longer the caller's."""
        if not await self.start(run):
            return False
        answer = await self._connection.runs.update_one(
            {**self._parsing(run), "plan": None}, {"$set": {"plan": plan.model_dump(mode="json")}}
        )
        return answer.modified_count == 1

    async def stored_digests(self, run: RunDocument) -> dict[int, str]:
        """Digest by sequence number of the batches that an earlier attempt of this parse stored."""
        cursor = self._connection.batches.find({"run_id": run.id, "epoch": run.epoch}, {"seq": 1, "digest": 1})
        return {batch["seq"]: batch["digest"] async for batch in cursor}

    async def add_batches(
        self,
        run: RunDocument,
        batches: Sequence[NewBatch],
        lease_seconds: float,
        *,
        plan: ParsePlan | None = None,
        end: ParseEnd | None = None,
        announce: bool = True,
    ) -> list[Message] | None:
        """Store batches and their rows; ``None`` where the parse is no longer the caller's.

        The transaction changes the run itself, so that a stop and a second parser fence it. The first batches also move
        a run on that is still pending.

        Args:
            plan: to be frozen, where the run has none yet.
            end: with the last batches: closes the parse.
            announce: those that there is room for; else all are held back.

        Returns:
            The messages of those that are announced already.
        """
        now = datetime.now(UTC)
        announced = batches[: await self._handout.room(BatchState.PARSED, run) if announce else 0]
        mark = announced_in(BatchState.PARSED, run.lane)
        setting: Document = {
            "parse.batches": batches[-1].seq + 1,
            "parse.rows": {"$add": ["$parse.rows", sum(batch.rows for batch in batches)]},
            "parse.lease_until": seconds_from_now(lease_seconds),
        }
        if len(announced) < len(batches):
            setting["held_back"] = True
        if plan is not None:
            setting["plan"] = {"$literal": plan.model_dump(mode="json")}
        if end is not None:
            setting |= {name: {"$literal": value} for name, value in _closed(end).items()}
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
                **(mark if number < len(announced) else {}),
                "updated_at": now,
            }
            for number, batch in enumerate(batches)
        ]

        where = {**self._parsing(run), **({} if plan is None else {"plan": None})}

        async def body(session: Session) -> tuple[bool, MovedRun | None]:
            moved = None
            if run.status is RunStatus.PENDING:
                moved = await self._runs.move(session, run, RunStatus.VALIDATING, expressions=setting, where=where)
                fenced = moved is not None
            else:
                answer = await self._connection.runs.update_one(where, [{"$set": setting}], session=session)
                fenced = answer.modified_count == 1
            if fenced:
                await self._connection.batches.insert_many(entries, session=session)
                await self._connection.payloads.insert(session, [batch.payload for batch in batches])
            return fenced, moved

        stored, moved = await self._connection.mongo.transaction(body)
        if moved is not None:
            await self._started(run, moved)
        if not stored:
            return None
        return [message(BatchState.PARSED, run.lane, run.id, run.epoch, batch.seq, run.trace) for batch in announced]

    async def extend(
        self, run: RunDocument, lease_seconds: float, session: Session | None = None, changes: Document | None = None
    ) -> bool:
        """Keep the parse lease alive; ``False`` where the parse is no longer the caller's.

        Args:
            run: the run.
            lease_seconds: for how long.
            session: of a transaction that a stop and a second parser are to fence.
            changes: further fields to set, as expressions.
        """
        setting = {"parse.lease_until": seconds_from_now(lease_seconds), **(changes or {})}
        answer = await self._connection.runs.update_one(self._parsing(run), [{"$set": setting}], session=session)
        return answer.modified_count == 1

    async def close(self, run: RunDocument, end: ParseEnd) -> bool:
        """Declare that all batches are stored; ``False`` where the parse is no longer the caller's."""
        if not await self.start(run):
            return False
        answer = await self._connection.runs.update_one(self._parsing(run), {"$set": _closed(end)})
        return answer.modified_count == 1


def _closed(end: ParseEnd) -> Document:
    return {
        "parse.closed": True,
        "parse.batches": end.batches,
        "parse.rows": end.rows,
        "parse.digest": end.digest,
        "parse.owner": None,
        "parse.lease_until": None,
        "updated_at": datetime.now(UTC),
    }
