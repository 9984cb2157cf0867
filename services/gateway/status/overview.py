"""What runs, what waits, what stands still and why, how full it is: one look at the whole installation.

Each part is asked in bounded time, from indexes; of what there can be many, so many are looked at and the rest is
counted, or it is said that there is more.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from libs.contracts.errors import TransientError
from libs.contracts.states import RunStatus
from libs.messaging.connection import KafkaSettings
from libs.messaging.lag import GroupLag, lag_of_services
from libs.process.presence import SILENT_SECONDS
from libs.storage.client import Mongo
from libs.storage.documents import DeadLetter, ProcessDocument
from libs.telemetry.error_text import error_text
from libs.telemetry.release import RELEASE
from services.gateway.settings import GatewaySettings
from services.gateway.status.standing import Holder, holder_of, why
from services.gateway.stores.dead_letters import LetterStatus
from services.gateway.stores.installation import Backlog, BatchesLook, DatabaseSize, InstallationStore, RunLook

KAFKA_SECONDS = 10.0
MAX_STUCK = 20
"""Most runs that are told of in each status."""
MAX_LOOKED_AT = 100
"""Most runs of a status whose batches are looked at: those that a large run keeps busy look quiet by themselves."""
SHOWN_LETTERS = 5
WATCHED = (RunStatus.PENDING, RunStatus.VALIDATING, RunStatus.EXECUTING, RunStatus.REVERTING)
"""Statuses in which a run waits for nobody but Rowdock."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process, and whether it was heard of lately."""

    told: ProcessDocument
    alive: bool


@dataclass(frozen=True, slots=True)
class StuckRun:
    """A run that waits for nobody but Rowdock, and has not moved.

    Attributes:
        quiet_since: when it or one of its batches moved last.
        last_error: the newest message of this run that nobody could handle.
    """

    run: RunLook
    batches: BatchesLook
    quiet_since: datetime
    holder: Holder | None
    why: str
    last_error: DeadLetter | None


@dataclass(frozen=True, slots=True)
class Kafka:
    """How far consumers are behind, or why that cannot be told."""

    groups: Sequence[GroupLag] = ()
    obstacle: str | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """How long is kept what, and how far that is behind.

    Attributes:
        leaving: organizations that are to be deleted and are not gone yet.
    """

    files_days: float
    runs_days: float
    dead_letters_days: float
    idempotency_keys_hours: float
    oldest_ended_run_at: datetime | None
    oldest_dead_letter_at: datetime | None
    leaving: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The installation at a moment of the server's clock."""

    at: datetime
    release: str
    processes: Sequence[Process]
    kafka: Kafka
    runs: dict[RunStatus, Backlog]
    stuck: Sequence[StuckRun]
    stuck_after_seconds: float
    letters: dict[LetterStatus, Backlog]
    newest_letters: Sequence[DeadLetter]
    outbox: dict[str, Backlog]
    databases: Sequence[DatabaseSize]
    retention: Retention
    unseen: list[RunStatus] = field(default_factory=list[RunStatus])
    """Statuses with more quiet runs than were looked at."""


class InstallationStatus:
    """For whoever operates the installation."""

    def __init__(self, mongo: Mongo, kafka: KafkaSettings, settings: GatewaySettings) -> None:
        self._store = InstallationStore(mongo)
        self._kafka = kafka
        self._settings = settings

    async def overview(self, stuck_after_seconds: float) -> Overview:
        """Look at everything.

        Args:
            stuck_after_seconds: a run that has not moved for so long counts as stuck.
        """
        kafka = asyncio.create_task(self._lag())
        try:
            now = await self._store.now()
            processes = [
                Process(each, alive=now - each.seen_at < timedelta(seconds=SILENT_SECONDS))
                for each in await self._store.processes()
            ]
            living = {each.told.service for each in processes if each.alive}
            letters = await self._store.newest_letters()
            runs = {status: await self._store.runs_in(status) for status in (*WATCHED, RunStatus.VALIDATED)}
            stuck = list[StuckRun]()
            unseen = list[RunStatus]()
            for status in WATCHED:
                found, all_seen = await self._stuck_in(status, now, stuck_after_seconds, living, letters)
                stuck += found
                if not all_seen:
                    unseen.append(status)
            by_status = await self._store.letters()
            return Overview(
                at=now,
                release=RELEASE,
                processes=processes,
                runs=runs,
                stuck=stuck,
                stuck_after_seconds=stuck_after_seconds,
                letters=by_status,
                newest_letters=letters[:SHOWN_LETTERS],
                outbox={
                    service: await self._store.outbox_of(service)
                    for service in sorted({each.told.service for each in processes})
                },
                databases=await self._store.sizes(),
                retention=await self._retention(by_status),
                unseen=unseen,
                kafka=await kafka,
            )
        finally:
            kafka.cancel()

    async def _lag(self) -> Kafka:
        try:
            async with asyncio.timeout(KAFKA_SECONDS):
                return Kafka(await lag_of_services(self._kafka))
        except TimeoutError:
            return Kafka(obstacle=f"Kafka does not answer within {KAFKA_SECONDS:.0f} s")
        except TransientError as error:
            return Kafka(obstacle=error_text(error))

    async def _stuck_in(
        self,
        status: RunStatus,
        now: datetime,
        seconds: float,
        living: Collection[str],
        letters: Sequence[DeadLetter],
    ) -> tuple[list[StuckRun], bool]:
        """Runs of a status that do not move, and whether all that could be such were looked at."""
        before = now - timedelta(seconds=seconds)
        found = list[StuckRun]()
        looked_at = 0
        async for run in self._store.quiet_runs(status, before, MAX_LOOKED_AT):
            looked_at += 1
            batches = await self._store.batches_of(run.id)
            moved_at = max(run.updated_at, batches.moved_at or run.updated_at)
            if moved_at >= before:
                continue
            error = next((each for each in letters if _is_about(each, run.id)), None)
            found.append(StuckRun(run, batches, moved_at, holder_of(run, now), why(run, batches, now, living), error))
            if len(found) == MAX_STUCK:
                return found, False
        return found, looked_at < MAX_LOOKED_AT

    async def _retention(self, letters: dict[LetterStatus, Backlog]) -> Retention:
        return Retention(
            files_days=self._settings.keep_files_days,
            runs_days=self._settings.keep_runs_days,
            dead_letters_days=self._settings.keep_dead_letters_days,
            idempotency_keys_hours=self._settings.keep_idempotency_keys_hours,
            oldest_ended_run_at=await self._store.oldest_ended_run(),
            oldest_dead_letter_at=min((each.oldest_at for each in letters.values() if each.oldest_at), default=None),
            leaving=await self._store.leaving_organizations(),
        )


def _is_about(letter: DeadLetter, run_id: str) -> bool:
    """Whether the key of a message begins with a run's id, as those of all messages about runs do."""
    return letter.key is not None and letter.key.partition(b":")[0] == run_id.encode()
