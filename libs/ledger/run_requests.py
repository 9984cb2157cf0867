"""Requests of runs: asked for, taken by one worker at a time, ended; one document a run, see ``RunRequest``.

What a worker finds is stored by the one who holds the request, and by nobody else: where it dies, another takes the
request once its lease is over, or at once where that has the same name.
"""

import secrets
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from pymongo.errors import DuplicateKeyError

from libs.ledger.connection import LedgerConnection
from libs.ledger.leases import HeldLease, LeaseFields, Leases
from libs.storage.client import Collection, Document, Session
from libs.storage.documents import WAITING_REQUESTS, RequestState
from libs.storage.stored_times import seconds_from_now

MOST_LOOKED_AT = 1_000
"""Waiting requests among which the next one is chosen."""
MOST_ATTEMPTS = 5
_VERSION_BYTES = 12


@dataclass(frozen=True, slots=True)
class HeldRequest:
    """One taking of a request."""

    lease: HeldLease
    version: str
    attempts: int

    @property
    def run_id(self) -> str:
        return self.lease.run_id

    @property
    def filter(self) -> Document:
        held = {"_id": self.run_id, "version": self.version, self.lease.fields.owner: self.lease.token}
        return {**held, **WAITING_REQUESTS}


class RunRequests:
    """One collection of requests.

    Args:
        connection: where it is.
        leases: those of this process.
        collection: its name.
        results: fields that only a request has that was worked at; a new one has none of them.
    """

    def __init__(
        self, connection: LedgerConnection, leases: Leases, collection: str, results: Iterable[str] = ()
    ) -> None:
        self._connection = connection
        self._leases = leases
        self._fields = LeaseFields("owner", "until", {"owner": None, "until": None}, collection)
        self._gone = dict.fromkeys((*results, "failure", "finished_at"), "")

    @property
    def collection(self) -> Collection:
        return self._connection.mongo.state[self._fields.collection]

    async def ask(self, run_id: str, tenant_id: str, request: Document) -> str | None:
        """Have something worked out, unless something is under way already; the version of what waits now.

        Args:
            run_id: of which run.
            tenant_id: whose that is.
            request: what is asked for.

        Returns:
            ``None`` where another request ended in just this moment.
        """
        new: Document = {
            **request,
            "tenant_id": tenant_id,
            "version": secrets.token_hex(_VERSION_BYTES),
            "state": RequestState.WAITING.value,
            "owner": None,
            "until": None,
            "attempts": 0,
            "requested_at": datetime.now(UTC),
        }
        not_waiting = {"_id": run_id, "state": {"$ne": RequestState.WAITING.value}}
        with suppress(DuplicateKeyError):  # One is under way.
            await self.collection.update_one(not_waiting, {"$set": new, "$unset": self._gone}, upsert=True)
        found = await self.collection.find_one({"_id": run_id}, {"version": 1})
        return None if found is None else found["version"]

    async def take_next(
        self, owner: str, seconds: float, where: Document | None = None, most: int | None = None
    ) -> tuple[HeldRequest, Document] | None:
        """Take the oldest waiting request of whichever organization has the fewest at work, if there is any.

        Args:
            owner: name of this process.
            seconds: how long the lease holds unless it is renewed.
            where: only such requests.
            most: how many of an organization may be at work at a time.

        Returns:
            The taking, and the request as it is stored now.
        """
        fields = {"tenant_id": 1, "version": 1, "owner": 1, "until": 1}
        looked_at = self.collection.find({**WAITING_REQUESTS, **(where or {})}, fields, limit=MOST_LOOKED_AT)
        found, now = await looked_at.to_list(), datetime.now(UTC)

        def free(each: Document) -> bool:
            expired = each["until"] is None or each["until"] <= now
            return expired or self._leases.left_behind(each, self._fields, owner) is not None

        at_work = Counter(each["tenant_id"] for each in found if not free(each))
        for each in sorted(filter(free, found), key=lambda each: at_work[each["tenant_id"]]):
            if most is not None and at_work[each["tenant_id"]] >= most:
                continue
            taken = await self._leases.take(
                self._fields,
                each["_id"],
                owner,
                seconds,
                where={"version": each["version"], **WAITING_REQUESTS},
                changes={"attempts": {"$add": ["$attempts", 1]}},
            )
            if taken is not None:
                lease, stored = taken
                return HeldRequest(lease, stored["version"], stored["attempts"]), stored
        return None

    async def renew(self, held: HeldRequest, seconds: float, found: Document) -> bool:
        """Keep a request and store what was found so far; ``False`` where it is no longer the caller's.

        Args:
            found: fields as expressions.
        """
        until = {held.lease.fields.until: seconds_from_now(seconds)}
        return (await self.collection.update_one(held.filter, [{"$set": {**found, **until}}])).matched_count == 1

    async def held(self, held: HeldRequest, session: Session) -> Document | None:
        """The request as it is stored; ``None`` where it is no longer the caller's."""
        return await self.collection.find_one(held.filter, session=session)

    async def note(self, held: HeldRequest, found: Document, session: Session) -> bool:
        """Store what was found so far, in the transaction of what that was; ``False`` where the request is no longer
        the caller's."""
        return (await self.collection.update_one(held.filter, {"$set": found}, session=session)).matched_count == 1

    async def finish(self, held: HeldRequest, found: Document) -> bool:
        """Store what was found in the end; ``False`` where the request is no longer the caller's."""
        return await self._end(held, RequestState.DONE, found)

    async def fail(self, held: HeldRequest, code: str, message: str) -> bool:
        """Store why nothing is; ``False`` where the request is no longer the caller's."""
        return await self._end(held, RequestState.FAILED, {"failure": {"code": code, "message": message}})

    async def _end(self, held: HeldRequest, state: RequestState, found: Document) -> bool:
        over: Document = {"state": state.value, "owner": None, "until": None, "finished_at": datetime.now(UTC)}
        ended = await self.collection.update_one(held.filter, {"$set": {**found, **over}})
        self._leases.forget(held.lease.token)
        return ended.matched_count == 1

    async def give_back(self, held: HeldRequest) -> None:
        """Let another begin."""
        await self._leases.release(held.lease)

    async def drop(self, run_id: str) -> None:
        """Remove the request of a run."""
        await self.collection.delete_one({"_id": run_id})
