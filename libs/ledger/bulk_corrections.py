"""Bulk corrections: the same change of many rejected rows of a run, and what a check has found of these.

Asked for by a gateway and worked at by one, see ``libs.ledger.run_requests``. Rows are read, changed and counted in one
transaction, some at a time, with the request itself, which holds how far it is: so each row is changed once, whoever
dies, and one that somebody else changes at the same time is read anew.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from pymongo import UpdateOne

from libs.batches.claimed_rows import bulk_corrected
from libs.contracts.ids import rejected_id
from libs.contracts.reasons import RunErrorCode
from libs.contracts.rejections import UNTOUCHED_STATES, RejectedState
from libs.contracts.states import RunStatus
from libs.ledger.connection import LedgerConnection
from libs.ledger.leases import Leases
from libs.ledger.run_requests import HeldRequest, RunRequests
from libs.storage.client import Collection, Document, Session
from libs.storage.documents import WAITING_REQUESTS, BulkCorrectionDocument, RejectedRecord
from libs.telemetry.failpoints import failpoint

ROWS_AT_A_TIME: Final = 1_000
BYTES_AT_A_TIME: Final = 4 * 1024 * 1024
"""Of the corrections that rows have already: fewer rows where they are larger, one at least."""
MOST_EXAMPLES: Final = 3
MOST_OF_AN_ORGANIZATION: Final = 1
"""So many are worked at at a time."""
_FRESH: Final[Document] = {
    "after": 0,
    "changed": 0,
    "unchanged": 0,
    "left": {},
    "examples": [],
    "applied": False,
    "checked": False,
    "checked_to": 0,
    "remaining": 0,
}
_UNTOUCHED: Final[Document] = {"$in": sorted(UNTOUCHED_STATES)}


@dataclass(frozen=True, slots=True)
class MatchingRow:
    """A rejected row that a bulk correction is about.

    Attributes:
        row: its number.
        cell: the cell as it stands in the file.
        corrected: index and text of each cell that was corrected, ascending.
        checked: whether its errors are about these corrections.
        corrected_at: when it was corrected last.
    """

    row: int
    cell: str | None
    corrected: Sequence[tuple[int, str | None]]
    checked: bool
    corrected_at: datetime | None


@dataclass(slots=True)
class ChangedRows:
    """What is to become of some rows.

    Attributes:
        corrected: by its number, all corrections that a changed row has then.
        unchanged: how many are as they should be already.
        left: how many are left alone, by reason.
        examples: the first few changes: ``row``, ``before``, ``after``.
    """

    corrected: dict[int, list[tuple[int, str | None]]] = field(default_factory=dict[int, list[tuple[int, str | None]]])
    unchanged: int = 0
    left: dict[str, int] = field(default_factory=dict[str, int])
    examples: list[Document] = field(default_factory=list[Document])


Decide = Callable[[Sequence[MatchingRow]], ChangedRows]


class BulkCorrections:
    """The collection ``bulk_corrections``, and the rows that they are about."""

    def __init__(self, connection: LedgerConnection, leases: Leases) -> None:
        self._connection = connection
        self._requests = RunRequests(connection, leases, BulkCorrectionDocument.Settings.name)
        self.fail, self.give_back, self.drop = self._requests.fail, self._requests.give_back, self._requests.drop

    @property
    def _rows(self) -> Collection:
        return self._connection.mongo.state[RejectedRecord.Settings.name]

    async def get(self, run_id: str) -> BulkCorrectionDocument | None:
        """The last bulk correction of a run, or ``None``."""
        found = await self._requests.collection.find_one({"_id": run_id})
        return None if found is None else BulkCorrectionDocument.read(found)

    async def ask(self, run_id: str, tenant_id: str, wanted: Document) -> BulkCorrectionDocument | None:
        """Have rows of a run corrected, unless that is done already; the bulk correction that waits now, which may be
        another one. ``None`` where that was removed with its run.

        Args:
            run_id: of which run.
            tenant_id: whose that is.
            wanted: ``code`` to ``requested_by`` of the document.
        """
        await self._requests.ask(run_id, tenant_id, {**wanted, **_FRESH})
        return await self.get(run_id)

    async def under_way(self, run_id: str) -> bool:
        """Whether rows of a run are being corrected, and not only counted."""
        wanted = {"_id": run_id, "dry_run": False, **WAITING_REQUESTS}
        return await self._requests.collection.find_one(wanted, {"_id": 1}) is not None

    async def now(self) -> datetime:
        """The server's time, by which corrections are dated."""
        hello = await self._connection.mongo.client.admin.command("hello")
        return hello["localTime"].astimezone(UTC)

    async def take_next(self, owner: str, seconds: float) -> tuple[HeldRequest, BulkCorrectionDocument] | None:
        """See ``RunRequests.take_next``."""
        taken = await self._requests.take_next(owner, seconds, most=MOST_OF_AN_ORGANIZATION)
        return None if taken is None else (taken[0], BulkCorrectionDocument.read(taken[1]))

    async def renew(self, held: HeldRequest, seconds: float) -> bool:
        """Keep a bulk correction; ``False`` where it is no longer the caller's."""
        return await self._requests.renew(held, seconds, {})

    async def finish(self, held: HeldRequest) -> bool:
        """All is done; ``False`` where it is no longer the caller's."""
        return await self._requests.finish(held, {})

    async def change_some(self, held: HeldRequest, decide: Decide) -> bool:
        """Change the next rows as ``decide`` says, which runs in a thread; with a dry run, only count them.

        Returns:
            Whether there may be more rows; ``False`` too where the request is no longer the caller's.
        """

        async def body(session: Session) -> bool:
            correction = await self._requests.held(held, session)
            if correction is None or correction["applied"]:
                return False
            if not await self._run_is(correction["_id"], {"status": RunStatus.COMPLETED.value}, session):
                return False
            rows, more = await self._matching(correction, session)
            changed = await asyncio.to_thread(decide, rows)
            found = _added(correction, changed, rows[-1].row if rows else correction["after"], more)
            if not await self._requests.note(held, found, session):
                return False
            if changed.corrected and not correction["dry_run"]:
                changes = [_correction(correction, row, cells) for row, cells in changed.corrected.items()]
                await self._rows.bulk_write(changes, ordered=False, session=session)
            failpoint("gateway.bulk_changed_before_commit")
            return more

        more = await self._connection.mongo.transaction(body)
        failpoint("gateway.bulk_changed_some")
        return more

    async def note_some(self, held: HeldRequest, check_id: str) -> bool:
        """Store of the next changed rows what a check has found, unless somebody has changed or retried them since.

        Returns:
            Whether there may be more rows; ``False`` too where the request is no longer the caller's, or the check was
            removed.
        """

        async def body(session: Session) -> bool:
            correction = await self._requests.held(held, session)
            there = {"stop.code": {"$ne": RunErrorCode.DRY_RUN_OVER.value}}
            if correction is None or correction["checked"] or not await self._run_is(check_id, there, session):
                return False
            rows = await self._changed(correction, session)
            errors = await self._errors(correction, check_id, rows, session)
            more = len(rows) == ROWS_AT_A_TIME
            found: Document = {
                "checked": not more,
                "checked_to": rows[-1] if rows else correction["checked_to"],
                "remaining": correction["remaining"] + len(errors),
            }
            if not await self._requests.note(held, found, session):
                return False
            if rows:
                noted = [
                    UpdateOne(
                        {"_id": rejected_id(correction["_id"], row), "tenant_id": correction["tenant_id"]},
                        {"$set": {"remaining": errors.get(row, []), "checked": True}},
                    )
                    for row in rows
                ]
                await self._rows.bulk_write(noted, ordered=False, session=session)
            failpoint("gateway.bulk_noted_before_commit")
            return more

        return await self._connection.mongo.transaction(body)

    async def _run_is(self, run_id: str, where: Document, session: Session) -> bool:
        return await self._connection.runs.find_one({"_id": run_id, **where}, {"_id": 1}, session=session) is not None

    async def _matching(self, correction: Document, session: Session) -> tuple[list[MatchingRow], bool]:
        """The next rows with the error that is meant, and whether there may be more behind them."""
        meant = {"$elemMatch": {"field": correction["field"], "code": correction["code"]}}
        found = self._rows.find(
            {
                **_of_run(correction),
                "state": _UNTOUCHED,
                "row": {"$gt": correction["after"]},
                "$or": [{"remaining": None, "errors": meant}, {"remaining": meant}],
            },
            {
                "row": 1,
                "cell": {"$arrayElemAt": ["$cells", correction["at"]]},
                "corrected": 1,
                "checked": 1,
                "corrected_at": 1,
            },
            session=session,
        )
        rows: list[MatchingRow] = []
        size = 0
        async with found.sort("row").limit(ROWS_AT_A_TIME + 1) as cursor:
            async for each in cursor:
                corrected = [(at, text) for at, text in each.get("corrected") or ()]
                size += sum(len(text) for _, text in corrected if text is not None)
                if rows and (len(rows) == ROWS_AT_A_TIME or size > BYTES_AT_A_TIME):
                    return rows, True
                rows.append(
                    MatchingRow(
                        each["row"], each.get("cell"), corrected, each.get("checked", True), each.get("corrected_at")
                    )
                )
        return rows, False

    async def _changed(self, correction: Document, session: Session) -> list[int]:
        """Numbers of the next rows that are as the bulk correction has left them, and not checked."""
        found = self._rows.find(
            {
                **_of_run(correction),
                **bulk_corrected(correction["version"]),
                "checked": False,
                "row": {"$gt": correction["checked_to"]},
            },
            {"_id": 0, "row": 1},
            session=session,
        )
        return [each["row"] async for each in found.sort("row").limit(ROWS_AT_A_TIME)]

    async def _errors(
        self, correction: Document, check_id: str, rows: Sequence[int], session: Session
    ) -> Mapping[int, list[Document]]:
        """What a check says of those of ``rows`` with which something is wrong."""
        if not rows:
            return {}
        within = {"tenant_id": correction["tenant_id"], "run_id": check_id, "row": {"$gte": rows[0], "$lte": rows[-1]}}
        found = self._rows.find(within, {"_id": 0, "row": 1, "errors": 1}, session=session)
        wanted = set(rows)
        return {each["row"]: each["errors"] async for each in found if each["row"] in wanted}


def _of_run(correction: Document) -> Document:
    return {"tenant_id": correction["tenant_id"], "run_id": correction["_id"]}


def _added(correction: Document, changed: ChangedRows, last: int, more: bool) -> Document:  # noqa: FBT001
    left: dict[str, int] = dict(correction["left"])
    for reason, count in changed.left.items():
        left[reason] = left.get(reason, 0) + count
    return {
        "after": last,
        "applied": not more,
        "changed": correction["changed"] + len(changed.corrected),
        "unchanged": correction["unchanged"] + changed.unchanged,
        "left": left,
        "examples": [*correction["examples"], *changed.examples][:MOST_EXAMPLES],
    }


def _correction(correction: Document, row: int, cells: Sequence[tuple[int, str | None]]) -> UpdateOne:
    """In a transaction: whoever has changed the row since it was read makes that begin anew."""
    return UpdateOne(
        {"_id": rejected_id(correction["_id"], row), "tenant_id": correction["tenant_id"]},
        {
            "$set": {
                "corrected": [list(cell) for cell in cells],
                "state": RejectedState.CORRECTED.value,
                "checked": False,
                "bulk": correction["version"],
            },
            "$inc": {"revision": 1},
            "$currentDate": {"corrected_at": True},
        },
    )
