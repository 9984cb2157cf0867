"""Looks at sources in their turn: follows the files that were taken, looks what is there, and takes what is complete.

Any number of processes may do so; each source is with one of them at a time. What is held in memory of a look does not
depend on how many files lie there: the oldest ones that are not known to be dealt with, and for markers eight bytes
each.
"""

import asyncio
import heapq
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from pymongo.errors import PyMongoError

from libs.contracts.errors import TransientError, UnreadableDocumentError
from libs.contracts.ids import delivery_id, event_id
from libs.contracts.webhooks import SOURCE_FILE_MISSING, missing_file_body
from libs.ledger.leases import HeldLease
from libs.messaging.cancellation import end_tasks
from libs.process.loops import repeat, work_off
from libs.process.shares import Shares
from libs.storage.documents import SourceDocument, SourceFileOutcome, SourceFileState, WebhookDelivery
from libs.telemetry.error_text import error_text
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics
from services.gateway.errors import suspended
from services.gateway.sources.names import matches, readable
from services.gateway.sources.opening import Places
from services.gateway.sources.places import Entry, FaultCode, Place, SourceFault
from services.gateway.sources.schedules import next_time
from services.gateway.sources.taking import Taking
from services.gateway.stores.source_ledger import Missing, Sighting, SourceLedger, identity

LEASE_SECONDS: Final = 60.0
IDLE_SECONDS: Final = 1.0
"""How long nothing is asked where no source is due."""
FOLLOWED_SECONDS: Final = 5.0
"""How soon it is looked again whether the runs of files have ended."""
LONGEST_BACKOFF: Final = timedelta(hours=1)
FIRST_BACKOFF: Final = timedelta(seconds=10)
LISTING_SECONDS: Final = 600.0
"""How long it may take to list what is there."""
TEMPORARY: Final = (b".rowdock-",)

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is done at a time.

    Attributes:
        files_a_look: most files of a source that are taken, or waited for, in one look.
        at_once: sources that one process looks at at the same time; an organization has half of what is free.
    """

    files_a_look: int = 100
    at_once: int = 8


@dataclass(frozen=True, slots=True)
class _Found:
    """What lies there.

    Attributes:
        oldest: files that are not dealt with, the oldest first.
        more: there are further ones.
    """

    oldest: list[Sighting]
    more: bool


@dataclass(slots=True)
class Poller:
    """One process's part of the work.

    Attributes:
        ledger: whose turn it is, and how far each file is.
        places: opens sources.
        taking: makes runs of files.
        metrics: where it is counted what is done.
        pace: how much is done at a time.
    """

    ledger: SourceLedger
    places: Places
    taking: Taking
    metrics: Metrics
    pace: Pace = Pace()
    _shares: Shares = field(init=False)

    def __post_init__(self) -> None:
        self._shares = Shares(self.pace.at_once)

    async def step(self) -> bool:
        """Turn to one source that is due; whether there was one."""
        for source_id, tenant_id in await self.ledger.due(datetime.now(UTC), self._shares.over()):
            if not self._shares.may_take(tenant_id):
                continue
            self._shares.take(tenant_id)
            try:
                taken = await self.ledger.take(source_id, LEASE_SECONDS)
                if taken is None:
                    continue
                await self._turn(*taken)
            except UnreadableDocumentError as error:
                logger.warning("source.unreadable", source_id=source_id, error=error_text(error))
                continue
            finally:
                self._shares.give_back(tenant_id)
            return True
        return False

    async def _turn(self, held: HeldLease, source: SourceDocument) -> None:
        """Look at a source that is held, and note how it was."""
        now = source.looked_at or datetime.now(UTC)
        began = asyncio.get_running_loop().time()
        changes: dict[str, object]
        try:
            again = await self._while_held(held, source, now)
        except SourceFault as fault:
            changes = _failed(source, now, fault)
            outcome = "failed"
            self.metrics.source_faults.labels(fault.code.value).inc()
            logger.warning("source.failed", source_id=source.id, code=fault.code, failures=source.failures + 1)
        except (PyMongoError, TransientError) as error:
            # What the servers cannot do now is no fault of the source.
            logger.warning("source.waiting", source_id=source.id, error=error_text(error))
            changes = {"look_at": now + FIRST_BACKOFF}
            outcome = "put_off"
        else:
            if again is None:
                logger.warning("source.lost", source_id=source.id)
                self.metrics.source_looks.labels("lost").inc()
                return
            outcome = "done"
            changes = {"look_at": again.look_at, "list_at": again.list_at}
            if again.listed:
                changes |= {"failures": 0, "failing_since": None, "trouble": None}
        seconds = asyncio.get_running_loop().time() - began
        self.metrics.source_looks.labels(outcome).inc()
        self.metrics.source_look_seconds.observe(seconds)
        passed = timedelta(seconds=seconds)
        for name in ("look_at", "list_at"):
            at = changes.get(name)
            if isinstance(at, datetime) and at < now + passed:
                changes[name] = now + passed
        await self.ledger.put_back(held, source, changes)

    async def _while_held(self, held: HeldLease, source: SourceDocument, now: datetime) -> "_Again | None":
        """Look, while the lease is kept; ``None`` where it was lost."""
        lost = False

        async def renew() -> None:
            nonlocal lost
            if not await self.ledger.renew(held, LEASE_SECONDS):
                lost = True
                look.cancel()

        look = asyncio.create_task(self._look(held, source, now))
        renewing = asyncio.create_task(repeat(LEASE_SECONDS / 4, renew, "source lease"))
        try:
            return await look
        except asyncio.CancelledError:
            if lost:
                return None
            look.cancel()
            raise
        finally:
            await end_tasks([renewing, look])

    async def _look(self, held: HeldLease, source: SourceDocument, now: datetime) -> "_Again":
        if not await self.ledger.owner_at_work(source):
            raise SourceFault(FaultCode.ORGANIZATION_SUSPENDED, suspended().detail)
        opened = await self.ledger.open(source.id)
        claimed = [entry for entry in opened if entry.state is SourceFileState.CLAIMED]
        taken = [entry for entry in opened if entry.state is not SourceFileState.CLAIMED]
        under_way = await self.ledger.under_way(source.tenant_id, [each.run_id for each in taken if each.run_id])
        ended = [entry for entry in taken if entry.run_id not in under_way]
        expecting = source.expect_at is not None and source.expect_at <= now
        listing = source.list_at <= now or bool(claimed) or expecting
        found, waiting = _Found([], more=False), 0
        if listing or ended:
            async with self.places.opened(source) as place:
                for entry in ended:
                    if (end := await self.taking.ended(source, entry)) is not None:
                        await self.taking.put_away(source, entry, place, end)
                for entry in claimed:  # their poller has died, or lost the source
                    await self.taking.take(source, entry, place, held)
                if listing:
                    found = await self._found(source, place)
                    waiting = await self._take(held, source, found, place, now)
        if expecting:
            await self._expect(source, now, waiting)
        followed = len(under_way) + len(claimed) + len(found.oldest) - waiting
        return _again(source, now, listed=listing, followed=bool(followed), waiting=bool(waiting), more=found.more)

    async def _take(self, held: HeldLease, source: SourceDocument, found: _Found, place: Place, now: datetime) -> int:
        """Take what is complete; how many files are waited for."""
        entries = await self.ledger.see(source, found.oldest)
        failpoint("sources.seen_before_claimed")
        before = now - timedelta(seconds=source.stable_seconds)
        waiting = 0
        for entry in entries:
            if entry.state is not SourceFileState.SEEN:
                continue
            # Seen first in an earlier look, so that it was looked at twice at least.
            if source.marker is None and entry.first_seen_at > before:
                waiting += 1
                continue
            await self.taking.take(source, entry, place, held)
        return waiting

    async def _found(self, source: SourceDocument, place: Place) -> _Found:
        marked = None if source.marker is None else await self._marked(source.marker.encode(), place)
        oldest: list[tuple[int, str, Sighting]] = []
        more = False
        async with _in_time(), aclosing(place.entries()) as portions:
            async for portion in portions:
                wanted = [
                    _sighting(source, entry)
                    for entry in portion
                    if _is_meant(source, entry) and (marked is None or hash(entry.path) in marked)
                ]
                for each in await self.ledger.with_known(source.id, wanted):
                    if not _is_open(each):
                        continue
                    # The largest of those that are kept goes first: a heap of what is newest.
                    item = (-each.modified_ns, each.identity, each)
                    if len(oldest) < self.pace.files_a_look:
                        heapq.heappush(oldest, item)
                    else:
                        heapq.heappushpop(oldest, item)
                        more = True
        ordered = sorted((item[2] for item in oldest), key=lambda each: (each.modified_ns, each.path))
        return _Found(ordered, more)

    async def _marked(self, marker: bytes, place: Place) -> set[int]:
        """Digests of the paths that have a marker beside them."""
        marked: set[int] = set()
        async with _in_time(), aclosing(place.entries()) as portions:
            async for portion in portions:
                marked.update(hash(entry.path.removesuffix(marker)) for entry in portion if entry.name.endswith(marker))
        return marked

    async def _expect(self, source: SourceDocument, now: datetime, waiting: int) -> None:
        """Tell that a file is missing, when its time is over; not before it is known of files that are ``waiting``
        whether they are complete."""
        if source.expected_by is None or source.expect_at is None:
            return
        if waiting and now < source.expect_at + timedelta(seconds=2 * source.stable_seconds + 60):
            return
        since = source.expect_since
        arrived = await self.ledger.arrived_at(source.id)
        missing = None
        if arrived is None or (since is not None and arrived <= since):
            missing = await self._missing(source, source.expect_at)
            logger.warning("source.file_missing", source_id=source.id, expected_at=source.expect_at.isoformat())
        # Of several times that went by, the last one counts.
        at = source.expect_at
        following = next_time(source.expected_by, source.time_zone, at)
        while following <= now:
            at, following = following, next_time(source.expected_by, source.time_zone, following)
        noted = await self.ledger.note_expectation(source, following, missing=missing, since=at)
        if noted and missing is not None:
            self.metrics.source_files_missing.inc()

    async def _missing(self, source: SourceDocument, at: datetime) -> Missing:
        told = event_id("source file missing", source.id, int(at.timestamp()))
        now = datetime.now(UTC)
        body = missing_file_body(told, source.id, source.name, source.template_id, at, now)
        deliveries = [
            WebhookDelivery(
                _id=delivery_id(told, endpoint_id),
                tenant_id=source.tenant_id,
                endpoint_id=endpoint_id,
                run_id="",
                event_id=told,
                event_type=SOURCE_FILE_MISSING,
                body=body,
                created_at=now,
                next_attempt_at=now,
            )
            for endpoint_id in await self.ledger.listeners(source, now)
        ]
        return Missing(told, deliveries)


@asynccontextmanager
async def _in_time() -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(LISTING_SECONDS):
            yield
    except TimeoutError:
        message = f"it takes more than {LISTING_SECONDS:.0f} s to list it; put some files away"
        raise SourceFault(FaultCode.TIMED_OUT, message) from None


@dataclass(frozen=True, slots=True)
class _Again:
    """When to turn to a source again; ``listed`` where it was looked what is there."""

    look_at: datetime
    list_at: datetime
    listed: bool


def _again(source: SourceDocument, now: datetime, *, listed: bool, followed: bool, waiting: bool, more: bool) -> _Again:
    list_at = source.list_at
    if listed:
        list_at = scheduled(source, now)
        if waiting:
            list_at = min(list_at, now + timedelta(seconds=max(1.0, source.stable_seconds)))
        if more and not waiting:
            list_at = now
    look_at = list_at
    if followed:
        look_at = min(look_at, now + timedelta(seconds=FOLLOWED_SECONDS))
    if source.expect_at is not None and source.expect_at > now:
        look_at = min(look_at, source.expect_at)
    return _Again(look_at, list_at, listed)


def scheduled(source: SourceDocument, now: datetime) -> datetime:
    """When a source is looked at next by its schedule."""
    if source.cron is not None:
        return next_time(source.cron, source.time_zone, now)
    return now + timedelta(seconds=source.every_seconds or 60)


def _failed(source: SourceDocument, now: datetime, fault: SourceFault) -> dict[str, object]:
    backoff = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(source.failures, 10))
    return {
        "failures": source.failures + 1,
        "failing_since": source.failing_since or now,
        "trouble": {"code": fault.code.value, "message": fault.message},
        "look_at": now + backoff,
        "list_at": now + backoff,
    }


def _sighting(source: SourceDocument, entry: Entry) -> Sighting:
    path = readable(entry.path)
    return Sighting(path, entry.size, entry.modified_ns, identity(source.id, path, entry.size, entry.modified_ns))


def _is_meant(source: SourceDocument, entry: Entry) -> bool:
    name = entry.name
    if name.startswith(TEMPORARY) or (source.marker is not None and name.endswith(source.marker.encode())):
        return False
    return matches(name.decode(errors="replace"), source.pattern)


def _is_open(sighting: Sighting) -> bool:
    """Whether there is something to do about a file: it is not taken, or came again after it had been moved away."""
    known = sighting.known
    if known is None or known.state is SourceFileState.SEEN:
        return True
    if known.state is not SourceFileState.SETTLED:
        return False
    return known.moved_to is not None or known.outcome is SourceFileOutcome.VANISHED


async def poll(poller: Poller) -> None:
    """Turn to one source after the other, until cancelled."""
    await work_off(asyncio.Event(), poller.step, IDLE_SECONDS, "sources")
