"""Following runs: any number of listeners of a run cost one command a look in each process.

Listeners are never sent what they have not taken yet: each is told of the newest state when it asks for more, so a slow
one passes states over, and nothing of it is kept.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final, Self

import structlog

from libs.contracts.states import RUN_TRANSITIONS
from libs.storage.client import Mongo
from libs.storage.mongo_errors import is_transient
from services.gateway.access.principal import Principal
from services.gateway.errors import BusyError, LimitError
from services.gateway.runs.announcements import Announcements
from services.gateway.runs.progress import Pace, Progress
from services.gateway.settings import GatewaySettings
from services.gateway.stores.progress import ProgressStore, WatchedChange

SLOWEST: Final = 5.0
"""So many times the pause of ``WatchLimits`` it is at most where nothing moves."""
_WOKEN_AT_ONCE: Final = 25
"""Listeners that are woken in one round of the event loop."""
_GROWTH: Final = 1.5
_SHORTEST_PAUSE: Final = 0.1
_LOOK_SECONDS: Final = 5.0
"""A look that takes longer is a fault."""

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """How runs are followed.

    Attributes:
        listeners: most of all organizations in this process.
        listeners_per_organization: most of one.
        pause_seconds: between two looks at a run that moves.
        heartbeat_seconds: a listener hears something this often.
        stream_seconds: how long one listens at most; then one comes again, and is judged again.
    """

    listeners: int = 5_000
    listeners_per_organization: int = 2_000
    pause_seconds: float = 1.0
    heartbeat_seconds: float = 15.0
    stream_seconds: float = 900.0

    @classmethod
    def of(cls, settings: GatewaySettings) -> Self:
        """As the operator has set it."""
        return cls(
            listeners=settings.max_listeners,
            listeners_per_organization=settings.max_listeners_per_organization,
            pause_seconds=settings.progress_seconds,
            heartbeat_seconds=settings.heartbeat_seconds,
            stream_seconds=settings.max_listen_seconds,
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state: the first that one hears, and the first after a fault."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Reached:
    """The run has come to a status."""

    progress: Progress
    change: WatchedChange


@dataclass(frozen=True, slots=True)
class Moved:
    """The whole state, after something of it has changed."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Ended:
    """The whole state at the end; nothing follows."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Fault:
    """Something keeps the state from being told.

    Attributes:
        code: stable upper-case identifier.
        message: what it is, for a person.
        last: nothing follows; otherwise a ``Snapshot`` does, once it is over.
        reconnect: whether it is worth listening again after that.
    """

    code: str
    message: str
    last: bool = False
    reconnect: bool = True


@dataclass(frozen=True, slots=True)
class Beat:
    """Nothing has happened for a while."""


@dataclass(frozen=True, slots=True)
class Over:
    """One has listened for as long as one may at once; nothing follows, and one may come again."""


Told = Snapshot | Reached | Moved | Ended | Fault | Beat | Over
_GONE = Fault("RUN_NOT_FOUND", "the run is not there any more", last=True, reconnect=False)
_REVOKED = Fault(
    "UNAUTHORIZED", "the API key is revoked or has expired, or the session is over", last=True, reconnect=False
)
_UNAVAILABLE = Fault(
    "DATABASE_UNAVAILABLE", "the database cannot be reached at the moment; the state follows once it can be"
)
_BROKEN = Fault("INTERNAL_ERROR", "an unexpected error occurred; it is logged. Listen again", last=True)


class _Feed:
    """What is known of a run that somebody follows.

    Attributes:
        state: as it was seen last.
        bells: those of the listeners, each of which waits for its own.
        task: looks at the run.
    """

    def __init__(self) -> None:
        self.state: Progress | Fault | None = None
        self.bells: set[asyncio.Event] = set()
        self.task: asyncio.Task[None] | None = None
        self._ringing: set[asyncio.Task[None]] = set()

    def tell(self, state: Progress | Fault) -> None:
        """Let everybody know."""
        self.state = state
        self.wake()

    def wake(self) -> None:
        """Let everybody look."""
        ringing = asyncio.create_task(self._ring(list(self.bells)))
        self._ringing.add(ringing)
        ringing.add_done_callback(self._ringing.discard)

    async def _ring(self, bells: Sequence[asyncio.Event]) -> None:
        # All at once, a thousand answers would be written before the event loop came to anything else.
        for at, bell in enumerate(bells, start=1):
            bell.set()
            if at % _WOKEN_AT_ONCE == 0:
                await asyncio.sleep(0)


class Listener:
    """One who follows a run."""

    def __init__(self, principal: Principal, feed: _Feed, limits: WatchLimits) -> None:
        self.principal = principal
        self.revoked = False
        self._feed = feed
        self._limits = limits
        self._until = time.monotonic() + limits.stream_seconds
        self.bell = asyncio.Event()

    async def told(self, version: int | None = None) -> AsyncGenerator[Told]:
        """What is to be told, for as long as there is something.

        Args:
            version: of the run, as the listener has heard of it last, at another time.
        """
        account = Account(version)
        while (last := self._last()) is None:
            state = self._feed.state
            for told in account.of(state):
                yield told
            if account.closed:
                return
            if self._feed.state is state and not await self._rung():
                yield Beat()
        yield last

    async def _rung(self) -> bool:
        """Wait until there is something to look at; ``False`` where nothing comes in the time of a heart-beat."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.heartbeat_seconds):
                await self.bell.wait()
                self.bell.clear()
                return True
        return False

    def _last(self) -> Told | None:
        expires = self.principal.expires_at
        if self.revoked or (expires is not None and expires <= time.time()):
            return _REVOKED
        return Over() if time.monotonic() >= self._until else None


class Account:
    """What a listener has been told."""

    def __init__(self, version: int | None) -> None:
        self.closed = False
        self._version = version
        self._shown: Progress | Fault | None = None
        self._whole = True

    def of(self, state: Progress | Fault | None) -> Iterator[Told]:
        """What there is to tell of a state."""
        if state is None or state is self._shown:
            return
        if isinstance(state, Fault):
            self._whole, self.closed = True, state.last
            yield state
        else:
            yield from self._news(state)
        self._shown = state

    def _news(self, state: Progress) -> Iterator[Told]:
        if self._version is not None:
            for change in state.missed_since(self._version):
                yield Reached(state, change)
        if self._whole or not state.ended:
            yield Snapshot(state) if self._whole else Moved(state)
        self._version, self._whole, self.closed = state.run.version, False, state.ended
        if state.ended:
            yield Ended(state)


class RunWatches:
    """Lets runs be followed.

    Args:
        mongo: the databases.
        announcements: tell when it is worth looking at once.
        limits: how many may listen, and how often is looked.
    """

    def __init__(self, mongo: Mongo, announcements: Announcements, limits: WatchLimits) -> None:
        self._store = ProgressStore(mongo)
        self._announcements = announcements
        self._limits = limits
        self._feeds: dict[tuple[str, str], _Feed] = {}
        self._listeners: dict[Listener, _Feed] = {}
        self._of_organization = Counter[str]()

    @property
    def listeners(self) -> int:
        """How many follow runs in this process."""
        return len(self._listeners)

    @asynccontextmanager
    async def listening(self, principal: Principal, run_id: str) -> AsyncGenerator[Listener]:
        """Follow a run that the principal may see.

        Raises:
            LimitError, BusyError: the organization, or all together, follow as many runs as they may.
        """
        self._require_room(principal.home)
        at = principal.tenant_id, run_id
        feed = self._feeds.get(at)
        if feed is None:
            feed = self._feeds[at] = _Feed()
            feed.task = asyncio.create_task(self._look_again_and_again(feed, *at))
        listener = Listener(principal, feed, self._limits)
        feed.bells.add(listener.bell)
        self._listeners[listener] = feed
        self._of_organization[principal.home] += 1
        try:
            yield listener
        finally:
            del self._listeners[listener]
            self._of_organization[principal.home] -= 1
            if not self._of_organization[principal.home]:
                del self._of_organization[principal.home]
            feed.bells.remove(listener.bell)
            if not feed.bells:
                if self._feeds.get(at) is feed:
                    del self._feeds[at]
                if feed.task is not None:
                    feed.task.cancel()

    def _require_room(self, home: str) -> None:
        if self._of_organization[home] >= self._limits.listeners_per_organization:
            most = self._limits.listeners_per_organization
            raise LimitError(
                "TOO_MANY_LISTENERS_OF_ORGANIZATION",
                f"this organization follows {most:,} imports at once here, as many as it may; close some streams, "
                "or ask for the imports themselves; an operator may allow more with "
                "ROWDOCK_MAX_LISTENERS_PER_ORGANIZATION",
            )
        if self.listeners >= self._limits.listeners:
            raise BusyError(
                "TOO_MANY_LISTENERS",
                "too many imports of all organizations are followed at the moment; try again, or ask for the import "
                "itself",
            )

    async def watch_keys(self) -> None:
        """See which listeners may no longer listen, to be called again and again."""
        by_key = {each.principal.key_id for each in self._listeners if each.principal.by_key}
        if not by_key:
            expired = {listener for listener in self._listeners if listener.principal.expires_at is not None}
            self._wake(expired)
            return
        working = await self._store.keys_that_work(by_key)
        silenced = set[Listener]()
        for listener in self._listeners:
            if listener.principal.by_key and listener.principal.key_id in by_key - working:
                listener.revoked = True
                silenced.add(listener)
            elif listener.principal.expires_at is not None:
                silenced.add(listener)
        self._wake(silenced)

    def _wake(self, listeners: Collection[Listener]) -> None:
        for feed in {id(self._listeners[each]): self._listeners[each] for each in listeners}.values():
            feed.wake()

    async def _look_again_and_again(self, feed: _Feed, tenant_id: str, run_id: str) -> None:
        pace, pause = Pace(), self._limits.pause_seconds
        while True:
            state = await self._looked(pace, tenant_id, run_id)
            if isinstance(state, Fault):
                if state is not feed.state:
                    feed.tell(state)
                moved = False
            else:
                before = feed.state
                moved = not isinstance(before, Progress) or before.event_id != state.event_id
                if moved or (isinstance(before, Progress) and before.rows_per_second != state.rows_per_second):
                    feed.tell(state)
            if (isinstance(state, Progress) and state.ended) or (isinstance(state, Fault) and state.last):
                # Whoever comes later finds another feed: the run may be reverted by then.
                self._feeds.pop((tenant_id, run_id), None)
                return
            shortest = self._limits.pause_seconds
            pause = shortest if moved else min(pause * _GROWTH, shortest * SLOWEST)
            await asyncio.sleep(min(_SHORTEST_PAUSE, pause))
            if isinstance(state, Progress):
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, pause - _SHORTEST_PAUSE)):
                        await self._announcements.reached(run_id, RUN_TRANSITIONS[state.run.status])
            else:
                await asyncio.sleep(pause)

    async def _looked(self, pace: Pace, tenant_id: str, run_id: str) -> Progress | Fault:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                seen = await self._store.look(tenant_id, run_id)
        except TimeoutError:
            return _UNAVAILABLE
        except Exception as error:
            if is_transient(error):
                return _UNAVAILABLE
            logger.exception("progress.failed", run_id=run_id)
            return _BROKEN
        if seen is None:
            return _GONE
        progress = Progress.of(seen.run, seen.now, seen.groups)
        speed, left = pace.at(progress)
        return replace(progress, rows_per_second=speed, seconds_left=left)
