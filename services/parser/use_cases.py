"""Parse a run's file into batches, as often as it takes, with the same result every time."""

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from libs.contracts.errors import PermanentError
from libs.contracts.events import BatchParsed, Event, RunSubmitted
from libs.contracts.ids import batch_id, event_id
from libs.contracts.plan import ParsePlan
from libs.contracts.states import RunStatus
from libs.contracts.topics import BATCH_PARSED, RUN_SUBMITTED
from libs.messaging.publisher import EventPublisher
from libs.messaging.service import repeating
from libs.storage.documents import RunDocument
from libs.storage.files import FileStore
from libs.storage.ledger import Ledger, NewBatch
from libs.storage.payloads import PayloadKind, payload_document
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics
from services.parser.domain.batches import ParsedBatch, digest
from services.parser.domain.csv_reader import CsvReader
from services.parser.domain.dialect import SAMPLE_BYTES, detect_plan
from services.parser.domain.encoding import Encoding, EncodingDetector
from services.parser.domain.limits import ReaderLimits
from services.parser.settings import ParserSettings

QUEUED_STORES = 2
"""Portions of batches that may wait to be stored while the next ones are parsed."""


class ParseLostError(Exception):
    """The run was stopped, or another parser has it: leave without a trace."""


class ParseRun:
    """The parser's one use case."""

    def __init__(
        self,
        ledger: Ledger,
        files: FileStore,
        publisher: EventPublisher,
        metrics: Metrics,
        settings: ParserSettings,
        instance: str,
    ) -> None:
        self._ledger = ledger
        self._files = files
        self._publisher = publisher
        self._metrics = metrics
        self._settings = settings
        self._instance = instance
        self._limits = ReaderLimits()

    async def __call__(self, run_id: str) -> None:
        """Parse the run unless that is done, stopped, or in the hands of a live parser."""
        run = await self._ledger.begin_parse(run_id, self._instance, self._settings.parse_lease_seconds)
        if run is None:
            await self._ledger.maybe_advance(run_id)
            return
        if run.parse.attempts > self._settings.max_attempts:
            await self._fail(run, "PARSE_FAILED", f"reading the file failed {self._settings.max_attempts} times")
            return
        failpoint("parser.begun")
        try:
            lease = self._settings.parse_lease_seconds
            async with repeating(lease / 3, lambda: self._ledger.extend_parse(run, lease), "parse lease"):
                await self._parse(run)
        except ParseLostError:
            return
        except PermanentError as error:
            await self._fail(run, error.code, error.detail)
            return
        await self._ledger.maybe_advance(run_id)

    async def _fail(self, run: RunDocument, code: str, detail: str) -> None:
        await self._ledger.stop(run.id, RunStatus.FAILED, code, detail)

    async def _parse(self, run: RunDocument) -> None:
        plan = run.plan
        if plan is None:
            plan = await self._make_plan(run)
            if not await self._ledger.freeze_plan(run, plan):
                raise ParseLostError
        failpoint("parser.plan_frozen")
        storing = _Storing(self._ledger, self._publisher, run, self._settings, await self._ledger.stored_digests(run))
        reader = CsvReader(plan, self._limits)
        portions: asyncio.Queue[Sequence[ParsedBatch] | None] = asyncio.Queue(QUEUED_STORES)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(storing.all_of(portions))
                async for chunk in self._files.chunks(run.file):
                    if batches := await asyncio.to_thread(reader.feed, chunk):
                        await portions.put(batches)
                if batches := await asyncio.to_thread(reader.close):
                    await portions.put(batches)
                await portions.put(None)
        except BaseExceptionGroup as group:
            raise _deciding(group) from group
        failpoint("parser.stored_before_close")
        if not await self._ledger.close_parse(run, storing.batches, storing.rows, storing.digest.hexdigest()):
            raise ParseLostError
        self._metrics.rows.labels("parsed").inc(storing.rows)

    async def _make_plan(self, run: RunDocument) -> ParsePlan:
        detector = EncodingDetector(run.template.source.encoding)
        sample = bytearray()
        encoding: Encoding | None = None
        async for chunk in self._files.chunks(run.file):
            sample += chunk[: SAMPLE_BYTES - len(sample)]
            encoding = detector.feed(chunk)
            known = encoding is not None or run.file.ascii_only
            if known and len(sample) == min(SAMPLE_BYTES, run.file.size):
                break
        return await asyncio.to_thread(
            detect_plan,
            bytes(sample),
            run.template,
            encoding or detector.close(),
            whole_file=len(sample) == run.file.size,
            batch_rows=self._settings.batch_rows,
            batch_bytes=self._settings.batch_bytes,
            limits=self._limits,
        )


def _deciding(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of errors that occurred together, the one that decides what happens next."""
    for kind in (ParseLostError, PermanentError):
        if (found := group.subgroup(kind)) is not None:
            return found.exceptions[0]
    return group.exceptions[0]


class _Storing:
    """Stores batches in file order, skips those of an earlier attempt, and announces each."""

    def __init__(
        self,
        ledger: Ledger,
        publisher: EventPublisher,
        run: RunDocument,
        settings: ParserSettings,
        stored: dict[int, str],
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._run = run
        self._settings = settings
        self._stored = stored
        self.batches = 0
        self.rows = 0
        self.digest = hashlib.sha256()

    async def all_of(self, portions: asyncio.Queue[Sequence[ParsedBatch] | None]) -> None:
        while (portion := await portions.get()) is not None:
            new = await asyncio.to_thread(self._encode, portion)
            if new:
                if not await self._ledger.add_batches(self._run, new, self._settings.parse_lease_seconds):
                    raise ParseLostError
                failpoint("parser.batch_stored_before_announced")
                await announce_batches(self._publisher, self._run, [batch.seq for batch in new])
                failpoint("parser.batch_announced")

    def _encode(self, portion: Iterable[ParsedBatch]) -> list[NewBatch]:
        new: list[NewBatch] = []
        for batch in portion:
            content = digest(batch)
            self.digest.update(content.encode())
            self.batches += 1
            self.rows += batch.rows
            known = self._stored.get(batch.seq)
            if known is None:
                new.append(self._new_batch(batch, content))
            elif known != content:
                raise PermanentError(
                    "NON_DETERMINISTIC_PARSE",
                    f"reading the file again gave other rows {batch.row_from} to {batch.row_to} than before; "
                    "upload it again",
                )
        return new

    def _new_batch(self, batch: ParsedBatch, content: str) -> NewBatch:
        identifier = batch_id(self._run.id, self._run.epoch, batch.seq)
        payload = payload_document(identifier, self._run.id, PayloadKind.PARSED, batch.table, batch.issues)
        return NewBatch(batch.seq, batch.row_from, batch.row_to, batch.rows, content, (payload,))


async def announce_batches(publisher: EventPublisher, run: RunDocument, numbers: Iterable[int]) -> None:
    """Tell the validators that batches wait; repeating it is harmless."""
    now = datetime.now(UTC)
    events: list[tuple[str, Event]] = [
        (
            f"{run.id}:{seq}",
            BatchParsed(
                event_id=event_id("parsed", run.id, run.epoch, seq),
                occurred_at=now,
                run_id=run.id,
                epoch=run.epoch,
                seq=seq,
            ),
        )
        for seq in numbers
    ]
    await publisher.publish_all(BATCH_PARSED, events)


class RescueInbox:
    """Finds runs that wait for a parser although no message says so any more."""

    def __init__(self, ledger: Ledger, publisher: EventPublisher, metrics: Metrics, quiet_seconds: float) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._metrics = metrics
        self._quiet_seconds = quiet_seconds

    async def __call__(self) -> None:
        """Announce again every run that has been silent for too long."""
        async for run in self._ledger.silent_runs([RunStatus.PENDING, RunStatus.VALIDATING], self._quiet_seconds):
            if run.parse.closed:
                continue
            self._metrics.rescues.labels("run_submitted").inc()
            submitted = RunSubmitted(
                event_id=event_id("submitted", run.id),
                occurred_at=datetime.now(UTC),
                run_id=run.id,
                tenant_id=run.tenant_id,
            )
            await self._publisher.publish(RUN_SUBMITTED, run.id, submitted)
