"""Plan a sync: what its file does not hold is looked up before anything is written, and laid down in batches.

Only what is laid down can be deleted later, so no more goes than was found here, and confirmed where that was needed.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import bson
import numpy as np
import structlog

from libs.batches.payloads import BatchPayloads, Payload, PayloadKind
from libs.batches.tables import decode_table
from libs.contracts.errors import PermanentError
from libs.contracts.ids import batch_id
from libs.contracts.reasons import RunErrorCode
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger, Stage
from libs.ledger.leases import HeldLease
from libs.ledger.syncs import NOT_PLANNED, sweeping_batches
from libs.process.loops import repeating
from libs.process.refill import Refill
from libs.storage.client import Document, Mongo
from libs.storage.documents import RunDocument, SyncStage
from libs.storage.files import FileStore
from libs.telemetry.error_text import error_text
from libs.telemetry.failpoints import failpoint
from services.writer.domain.batch_plan import upsert_keys
from services.writer.domain.key_digests import Digests, HeldKeys, digests
from services.writer.domain.sync_guard import Going, question, reasons_to_ask
from services.writer.scoped_records import AS_COMPARED, RECORDS_AT_A_TIME, ScopedRecords
from services.writer.settings import WriterSettings
from services.writer.work import Run, run_at_work

LINES_OF_JSON = frozenset({"lines", "objects"})
"""Shapes of JSON files that nothing ends."""
WAITING_PLANS = 1_000
"""Of one process; what is beyond them the rescue loop finds."""

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Missing:
    """Records that a file does not hold.

    Attributes:
        live: how many records were looked through.
        ids: those of the missing ones among them.
        keys: digests of their upsert keys.
    """

    live: int
    ids: list[Any]
    keys: Digests


class SyncLookup:
    """Looks up what a sync would delete, and changes nothing."""

    def __init__(self, mongo: Mongo, ledger: Ledger) -> None:
        self._mongo = mongo
        self._ledger = ledger
        self._payloads = BatchPayloads(mongo)

    async def held(self, document: RunDocument) -> tuple[Run, HeldKeys]:
        """The keys of all rows of a sync that is checked, of the rejected ones too: eight bytes each.

        Raises:
            PermanentError: ``MODE_NOT_SUPPORTED``; a service of an earlier release has checked its file.
        """
        plan = document.plan
        checked = await self._payloads.count(document.id, PayloadKind.HELD) == document.parse.batches
        if plan is None or not checked:
            raise PermanentError(RunErrorCode.MODE_NOT_SUPPORTED, NOT_PLANNED)
        run = run_at_work(self._mongo, document, plan)
        held = HeldKeys(document.parse.rows)
        for seq in range(document.parse.batches):
            payload = await self._payloads.load(batch_id(document.id, document.epoch, seq), PayloadKind.HELD)
            await asyncio.to_thread(_add, held, payload, run)
        await asyncio.to_thread(held.settle)
        return run, held

    async def missing(self, run: Run, held: HeldKeys) -> AsyncGenerator[Missing]:
        """The records of the scope that the file does not hold, some at a time."""
        async for ids, keys in ScopedRecords(self._mongo, run).all():
            at = held.missing(keys)
            yield Missing(len(ids), [ids[index] for index in at.tolist()], keys[at])

    async def told(self, document: RunDocument, held: HeldKeys, live: int, going: int) -> Going:
        """What was found, with what is known of the file."""
        unclear = (await self._ledger.totals(document.id)).result.unclear_keys
        ended = await self._is_ended(document)
        return Going(live, going, document.parse.rows, held.count, unclear, ended)

    async def _is_ended(self, document: RunDocument) -> bool:
        """Formats with an end of their own are refused without it; lines of text can only end with a line break."""
        plan = document.plan
        assert plan is not None
        lines = plan.file_type in {"csv", "fixed_width"} or (
            plan.file_type == "json" and plan.options.get("shape") in LINES_OF_JSON
        )
        if not lines:
            return True
        return ends_with_line_break(await FileStore(self._mongo).end(document.file))


def ends_with_line_break(end: bytes) -> bool:
    """Whether the last line is ended, in any encoding; one of a file with CR and LF is not by its CR alone."""
    last = end.rstrip(b"\0")[-1:]
    return last == b"\n" or (last == b"\r" and b"\n" not in end)


def _add(held: HeldKeys, payload: Payload, run: Run) -> None:
    keys = upsert_keys(decode_table(payload.data), run.template)
    held.add(digests([key for key in keys if key is not None], run.id.encode()))


def packed(ids: list[Any], keys: Digests) -> bytes:
    """Records of a batch of deletions as they are stored."""
    return bson.encode({"ids": ids, "keys": keys.astype("<u8").tobytes()}, codec_options=AS_COMPARED)


def unpacked(data: bytes) -> tuple[list[Any], Digests]:
    """What ``packed`` was made of."""
    stored = bson.decode(data, AS_COMPARED)  # pyright: ignore[reportUnknownMemberType]
    return stored["ids"], np.frombuffer(stored["keys"], "<u8")


class PlanSync:
    """Plans syncs that were asked to be executed, one at a time in a process; whoever plans one also begins it."""

    def __init__(self, mongo: Mongo, ledger: Ledger, settings: WriterSettings, refill: Refill, owner: str) -> None:
        self._mongo = mongo
        self._ledger = ledger
        self._settings = settings
        self._refill = refill
        self._owner = owner
        self._payloads = BatchPayloads(mongo)
        self._lookup = SyncLookup(mongo, ledger)
        self._waiting: asyncio.Queue[str] = asyncio.Queue(WAITING_PLANS)

    def begin(self, run_id: str) -> None:
        """Have a sync planned by ``work`` soon: a large one takes minutes, which no message may wait for."""
        try:
            self._waiting.put_nowait(run_id)
        except asyncio.QueueFull:
            logger.warning("sync.left_to_rescue", run_id=run_id)

    async def work(self) -> None:
        """Plan what ``begin`` was called for, until cancelled. What fails is tried again by the rescue loop."""
        while True:
            run_id = await self._waiting.get()
            try:
                await self(run_id)
            except Exception as error:  # noqa: BLE001 - one run must not keep the others from being planned
                logger.warning("sync.not_planned", run_id=run_id, error=error_text(error))

    async def __call__(self, run_id: str) -> None:
        """Plan the sync and let it execute, or wait for confirmation; nothing where somebody else does, or it has to
        wait for another sync of the same records."""
        seconds = self._settings.sync_lease_seconds
        taken = await self._ledger.syncs.take(run_id, self._owner, seconds)
        if taken is None:
            return
        held, run = taken
        try:
            async with repeating(seconds / 3, lambda: self._ledger.leases.renew(held, seconds), "sync plan"):
                await self._plan(held, run)
        except PermanentError as error:
            await self._ledger.stop(run_id, RunStatus.FAILED, error.code, error.detail)
        finally:
            await self._ledger.leases.release(held)

    async def _plan(self, held: HeldLease, document: RunDocument) -> None:
        progress = document.syncing
        assert progress is not None
        scope = document.template.scope_filter
        if not scope or None in scope.values():
            raise PermanentError(
                RunErrorCode.MODE_NOT_SUPPORTED, "the template has no scope_filter that a sync could go by; give it one"
            )
        plan = held.token.rpartition("#")[2]
        sizes: list[int] = []
        found = await self._laid_down(document, plan, sizes)
        failpoint("writer.sync_planned_before_recorded")
        share = self._settings.sync_max_deleted_share
        reasons = reasons_to_ask(found, share, progress.confirmed, confirmed_all=progress.confirmed_all)
        told: Document = {
            "live": found.live,
            "going": found.going,
            "unclear": found.unclear,
            "share": share,
            "reasons": [reason.value for reason in reasons],
        }
        if reasons:
            await self._payloads.drop_going(document.id, plan)
            message = question(found, share, reasons, progress.confirmed)
            await self._ledger.syncs.ask(document, held, told, message)
            return
        await self._execute(held, document, plan, sizes, told)

    async def _laid_down(self, document: RunDocument, plan: str, sizes: list[int]) -> Going:
        """Store what is missing, batch by batch; ``sizes`` gets how many records each holds."""
        run, held = await self._lookup.held(document)
        await ScopedRecords(self._mongo, run).index()
        live = 0
        ids: list[Any] = []
        keys: list[Digests] = []

        async def store(count: int) -> None:
            nonlocal ids, keys
            joined = np.concatenate(keys)
            data = await asyncio.to_thread(packed, ids[:count], joined[:count])
            identifier = batch_id(document.id, document.epoch, document.parse.batches + len(sizes))
            await self._payloads.store_going(identifier, document.id, plan, data)
            failpoint("writer.sync_batch_laid_down")
            sizes.append(len(ids[:count]))
            ids, keys = ids[count:], [joined[count:]]

        async for some in self._lookup.missing(run, held):
            live += some.live
            ids += some.ids
            keys.append(some.keys)
            if len(ids) >= RECORDS_AT_A_TIME:
                await store(RECORDS_AT_A_TIME)
        if ids:
            await store(len(ids))
        return await self._lookup.told(document, held, live, sum(sizes))

    async def _execute(
        self, held: HeldLease, document: RunDocument, plan: str, sizes: list[int], told: Document
    ) -> None:
        changes: Document = {
            f"syncing.{name}": value
            for name, value in {
                **told,
                "stage": SyncStage.PLANNED.value,
                "batches": len(sizes),
                "owner": None,
                "until": None,
            }.items()
        }
        first = document.parse.batches
        identifiers = [batch_id(document.id, document.epoch, first + number) for number in range(len(sizes))]
        entries = sweeping_batches(document, plan, identifiers, sizes)
        moved = await self._ledger.runs.execute_sync(document, held, changes, entries)
        if moved is None:
            await self._payloads.drop_going(document.id, plan)
            return
        if not document.parse.batches and await self._ledger.maybe_advance(document.id) is Stage.DELETIONS:
            await self._refill(BatchState.VALIDATED, document.lane)
