"""Leases: who is at work on something of a run that only one may do, until when it is believed alive.

They stand in the run itself, or in a document of another collection under the id of the run.

Each taking has a token of its own, so that two workers of one process exclude each other as two processes do. The
token begins with the name of the process: what is held under this name by none of this process's own takings was left
by a dead process of the same name, or by a taking that broke, and is taken over at once. All else is waited for until
its time is over. Time is the server's.
"""

import secrets
from dataclasses import dataclass

from pymongo import ReturnDocument

from libs.contracts.states import RunStatus
from libs.ledger.connection import NOT_STOPPED, LedgerConnection
from libs.storage.client import Collection, Document
from libs.storage.documents import RunDocument
from libs.storage.stored_times import seconds_from_now

_MARK = "#"
_RANDOM_BYTES = 8


@dataclass(frozen=True, slots=True)
class LeaseFields:
    """Where a lease is stored.

    Attributes:
        owner: path of the token.
        until: path of the time until which its holder is believed alive.
        free: what is stored while nobody holds it.
        collection: in which collection, under the id of the run.
    """

    owner: str
    until: str
    free: Document
    collection: str = RunDocument.Settings.name


PARSE = LeaseFields("parse.owner", "parse.lease_until", {"parse.owner": None, "parse.lease_until": None})
SYNC_PLAN = LeaseFields("syncing.owner", "syncing.until", {"syncing.owner": None, "syncing.until": None})
WHOLE_FILE_CHECK = LeaseFields("barrier.owner", "barrier.until", {"barrier": None})


@dataclass(frozen=True, slots=True)
class HeldLease:
    """One taking of a lease."""

    fields: LeaseFields
    run_id: str
    token: str


class Leases:
    """Leases of runs. What this process holds is remembered here: one object per process."""

    def __init__(self, connection: LedgerConnection) -> None:
        self._connection = connection
        self._held: set[str] = set()

    async def take(
        self,
        fields: LeaseFields,
        run_id: str,
        instance: str,
        seconds: float,
        *,
        where: Document,
        changes: Document | None = None,
    ) -> tuple[HeldLease, Document] | None:
        """Take a lease of a run, or ``None`` where somebody alive has it or the run is not as it should be.

        Args:
            instance: name of this process.
            where: what must be true of the run.
            changes: further fields to set, as expressions.

        Returns:
            The lease, and the run as it is stored now.
        """
        held, setting = self._new(fields, run_id, instance, seconds)
        wanted, update = {"_id": run_id, **where}, [{"$set": {**setting, **(changes or {})}}]
        taken = None
        try:
            taken = await self._take(fields, wanted, None, update)
            if taken is None:
                found = await self._stored(fields).find_one(wanted, {fields.owner: 1})
                if (left := self.left_behind(found, fields, instance)) is not None:
                    taken = await self._take(fields, wanted, left, update)
        finally:
            if taken is None:
                self.forget(held.token)
        return None if taken is None else (held, taken)

    async def _take(
        self, fields: LeaseFields, wanted: Document, left: str | None, update: list[Document]
    ) -> Document | None:
        """Take what nobody has any more, or what is stored under the token ``left``."""
        free = {
            "$or": [
                {"$in": [{"$ifNull": [f"${fields.owner}", None]}, [None, {"$literal": left}]]},
                {"$lt": [f"${fields.until}", "$$NOW"]},
            ]
        }
        return await self._stored(fields).find_one_and_update(
            {**wanted, "$expr": free}, update, return_document=ReturnDocument.AFTER
        )

    def _new(self, fields: LeaseFields, run_id: str, instance: str, seconds: float) -> tuple[HeldLease, Document]:
        """A lease that counts as held from now on, and the fields to set, as expressions, by which it is taken."""
        held = HeldLease(fields, run_id, f"{instance}{_MARK}{secrets.token_hex(_RANDOM_BYTES)}")
        self._held.add(held.token)
        return held, {fields.owner: {"$literal": held.token}, fields.until: seconds_from_now(seconds)}

    def _stored(self, fields: LeaseFields) -> Collection:
        return self._connection.mongo.state[fields.collection]

    def left_behind(self, run: Document | None, fields: LeaseFields, instance: str) -> str | None:
        """The stored token, where it belongs to nobody of this name who is at work."""
        stored: Document | str | None = run
        for part in fields.owner.split("."):
            stored = stored.get(part) if isinstance(stored, dict) else None
        if not isinstance(stored, str) or stored in self._held:
            return None
        name, _, taking = stored.rpartition(_MARK)
        own = name == instance and len(taking) == 2 * _RANDOM_BYTES
        # The release before stores the bare name.
        return stored if own or stored == instance else None

    async def take_whole_file_check(self, run_id: str, instance: str, seconds: float) -> HeldLease | None:
        """Take the check of the whole file of a run, or ``None`` where somebody alive has it or its time is over."""
        where = {"status": RunStatus.VALIDATING.value, **NOT_STOPPED}
        taken = await self.take(WHOLE_FILE_CHECK, run_id, instance, seconds, where=where)
        return None if taken is None else taken[0]

    async def renew(self, held: HeldLease, seconds: float) -> bool:
        """Keep a lease; ``False`` where it is no longer the caller's."""
        answer = await self._stored(held.fields).update_one(
            {"_id": held.run_id, held.fields.owner: held.token},
            [{"$set": {held.fields.until: seconds_from_now(seconds)}}],
        )
        return answer.modified_count == 1

    async def release(self, held: HeldLease) -> None:
        """Give a lease up; harmless where it is no longer the caller's."""
        self.forget(held.token)
        await self._stored(held.fields).update_one(
            {"_id": held.run_id, held.fields.owner: held.token}, {"$set": held.fields.free}
        )

    async def release_left_behind(self, instance: str) -> int:
        """Free what a dead process of this name held, so that whoever is next need not wait; how many leases."""
        released = 0
        for fields in (PARSE, WHOLE_FILE_CHECK, SYNC_PLAN):
            active = [RunStatus.PENDING.value, RunStatus.VALIDATING.value, RunStatus.VALIDATED.value]
            held = {"status": {"$in": active}, fields.owner: {"$type": "string"}}
            async for run in self._connection.runs.find(held, {fields.owner: 1}):
                if (token := self.left_behind(run, fields, instance)) is not None:
                    await self.release(HeldLease(fields, run["_id"], token))
                    released += 1
        return released

    def forget(self, token: str) -> None:
        """The taking has ended, whatever is stored: this process may take the lease over at once."""
        self._held.discard(token)
