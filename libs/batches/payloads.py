"""The store of the rows of batches: Arrow IPC in documents well below MongoDB's 16 MiB, see ``libs.batches.tables``.

A batch has up to four payloads: ``parsed`` (cells as text, with the parser's row issues; ``retried`` where they are
rejected rows of another run, so that no validator finds them that does not know of it), ``valid`` (typed fields),
where rows of the whole file are compared, ``keys`` (the values that are), and where a column marks records to delete,
``deletions`` (row number and upsert key of the rows that do). A writer of an earlier release, which knows no deletions,
finds none of these rows in ``valid``: it changes nothing for them, and the run fails because it does not add up.

Those of a sync have ``held`` too: row number and upsert key of all rows, those that were rejected among them, because
none of their records may be deleted. A batch of its deletions has nothing but ``going``: the records that are to go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from libs.contracts.errors import PermanentError
from libs.contracts.plan import RowIssue
from libs.contracts.purposes import RunPurpose
from libs.contracts.reasons import RunErrorCode
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import BatchPayload

_WRITTEN = ":valid$"
_KEYS = ":keys$"
_STAYING = ":(parsed|retried|valid|keys)$"
_STAYING_WITHOUT_KEYS = ":(parsed|retried|valid)$"
_NOT_READ: Document = {"_id": {"$not": {"$regex": ":(parsed|retried)$"}}}


class PayloadKind(StrEnum):
    PARSED = "parsed"
    RETRIED = "retried"
    VALID = "valid"
    KEYS = "keys"
    DELETIONS = "deletions"
    HELD = "held"
    GOING = "going"


_TEMPORARY = (PayloadKind.KEYS, PayloadKind.DELETIONS, PayloadKind.HELD, PayloadKind.GOING)
"""What goes when a run has ended, however it ends: marked, so that it is found among all that stays. Keys that
stay lose the mark."""


def parsed_kind(purpose: RunPurpose) -> PayloadKind:
    """Under which kind the parser stores the cells of such a run."""
    return PayloadKind.RETRIED if purpose.traits.of_parent else PayloadKind.PARSED


@dataclass(frozen=True, slots=True)
class Payload:
    """One table of a batch.

    Attributes:
        batch_id: the ledger's id of the batch.
        run_id: its run.
        kind: which of its tables.
        data: the table as an Arrow IPC stream.
        issues: of a parsed batch: the rows that could not become cells.
        rows_in_target: of keys: for each constraint that the target was asked about, the rows (uint32, little-endian)
            whose values a record holds; ``None`` before it was asked.
    """

    batch_id: str
    run_id: str
    kind: PayloadKind
    data: bytes
    issues: tuple[RowIssue, ...] = ()
    rows_in_target: Mapping[str, bytes] | None = None

    @property
    def id(self) -> str:
        """Deterministic, so that a replay cannot store it twice."""
        return payload_id(self.batch_id, self.kind)


class BatchPayloads:
    """Payloads by batch and kind. Most are dropped when their run has ended. For a time, see ``BatchPayload``, the rows
    as they were read stay, so that what became of each can be shown beside it, and those that a completed run has
    written, so that it can be reverted."""

    def __init__(self, mongo: Mongo) -> None:
        self._payloads = mongo.state[BatchPayload.Settings.name]

    async def insert(self, session: Session, payloads: Sequence[Payload]) -> None:
        """Store payloads.

        Raises:
            pymongo.errors.BulkWriteError: one of them is stored already.
        """
        await self._payloads.insert_many([_document(payload) for payload in payloads], session=session)

    async def find(self, batch_id: str, kind: PayloadKind) -> Payload | None:
        """A payload, or ``None`` where it is not or no longer stored."""
        found = await self._payloads.find_one({"_id": payload_id(batch_id, kind)})
        return None if found is None else _payload(batch_id, kind, found)

    async def load(self, batch_id: str, kind: PayloadKind) -> Payload:
        """A payload that has to be there.

        Raises:
            PermanentError: ``ROWS_EXPIRED``; the run waited longer than rows are kept, or ended meanwhile.
        """
        if (found := await self.find(batch_id, kind)) is None:
            raise PermanentError(
                RunErrorCode.ROWS_EXPIRED,
                "the rows of this file are no longer stored, because they waited too long to be imported; "
                "upload the file again",
            )
        return found

    async def replace_table(self, session: Session, payload: Payload) -> None:
        """Put the table of ``payload`` in the place of the stored one."""
        await self._payloads.update_one({"_id": payload.id}, {"$set": {"data": payload.data}}, session=session)

    async def note_rows_in_target(self, keys: Payload, rows: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Keep the target's answer with the keys that it is about, see ``Payload.rows_in_target``.

        Returns:
            The answer that is kept: the first one, so that two workers go by the same.

        Raises:
            PermanentError: ``ROWS_EXPIRED``; as ``load``.
        """
        answer = await self._payloads.update_one(
            {"_id": keys.id, "in_target": None}, {"$set": {"in_target": dict(rows)}}
        )
        kept = None if answer.modified_count else (await self.load(keys.batch_id, keys.kind)).rows_in_target
        return rows if kept is None else kept

    async def drop(self, run_ids: Sequence[str]) -> None:
        """Delete all payloads of these runs."""
        await self._payloads.delete_many({"run_id": {"$in": list(run_ids)}})

    async def drop_all_but_written(self, run_ids: Sequence[str], *, keys: bool = True) -> None:
        """Delete the payloads of completed runs but for the rows as they were read, and as they were written.

        Args:
            run_ids: the runs.
            keys: keep these too: rows that were rejected are compared with them when they are retried.
        """
        of_runs: Document = {"run_id": {"$in": list(run_ids)}}
        if keys:
            await self._payloads.update_many({**of_runs, "_id": {"$regex": _KEYS}}, {"$unset": {"temporary": ""}})
        staying = _STAYING if keys else _STAYING_WITHOUT_KEYS
        await self._payloads.delete_many({**of_runs, "_id": {"$not": {"$regex": staying}}})

    async def drop_all_but_read(self, run_ids: Sequence[str]) -> None:
        """Delete the payloads of runs but for the rows as they were read."""
        await self._payloads.delete_many({"run_id": {"$in": list(run_ids)}, **_NOT_READ})

    async def written(self, run_id: str) -> int:
        """How many batches of a run have their written rows still stored."""
        return await self._payloads.count_documents({"run_id": run_id, "_id": {"$regex": _WRITTEN}})

    async def with_keys(self, run_id: str) -> int:
        """How many batches of a run have their keys still stored."""
        return await self._payloads.count_documents({"run_id": run_id, "_id": {"$regex": _KEYS}})

    async def count(self, run_id: str, kind: PayloadKind) -> int:
        """How many batches of a run have a payload of this kind."""
        return await self._payloads.count_documents({"run_id": run_id, "_id": {"$regex": f":{kind}$"}})

    async def store_going(self, batch: str, run_id: str, plan: str, data: bytes) -> None:
        """Store the records of a batch of deletions, as one attempt at planning them (``plan``) has found them."""
        await self._payloads.insert_one(_document(Payload(f"{batch}:{plan}", run_id, PayloadKind.GOING, data)))

    async def find_going(self, batch: str, plan: str) -> bytes | None:
        """What ``store_going`` has stored, or ``None`` where it is no longer there."""
        found = await self.find(f"{batch}:{plan}", PayloadKind.GOING)
        return None if found is None else found.data

    async def drop_going(self, run_id: str, plan: str) -> None:
        """Delete all of an attempt that is given up."""
        await self._payloads.delete_many({"run_id": run_id, "_id": {"$regex": f":{plan}:{PayloadKind.GOING}$"}})

    async def keep_longer(self, run_id: str) -> None:
        """Let the time begin anew for which the payloads of a run are stored."""
        await self._payloads.update_many({"run_id": run_id}, {"$set": {"created_at": datetime.now(UTC)}})

    async def runs(self) -> list[str]:
        """Ids of the runs that have payloads which do not stay when a run has ended, however it ends."""
        return await self._payloads.distinct("run_id", {"temporary": True})

    async def with_checked_rows(self, run_ids: Sequence[str]) -> list[str]:
        """Those of these runs that have checked rows stored."""
        checked = {"run_id": {"$in": list(run_ids)}, "_id": {"$regex": _WRITTEN}}
        return await self._payloads.distinct("run_id", checked)


def payload_id(batch_id: str, kind: PayloadKind) -> str:
    """Id of one table of a batch."""
    return f"{batch_id}:{kind}"


def _document(payload: Payload) -> Document:
    return {
        "_id": payload.id,
        "run_id": payload.run_id,
        "data": payload.data,
        "issues": [issue.model_dump(mode="json") for issue in payload.issues],
        **({"temporary": True} if payload.kind in _TEMPORARY else {}),
        "created_at": datetime.now(UTC),
    }


def _payload(batch_id: str, kind: PayloadKind, found: Document) -> Payload:
    issues = tuple(RowIssue.model_validate(issue) for issue in found["issues"])
    return Payload(batch_id, found["run_id"], kind, found["data"], issues, found.get("in_target"))
