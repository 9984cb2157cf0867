"""Parse a run's file into batches, as often as it takes, with the same result every time."""

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import chain

from structlog.contextvars import bound_contextvars

from libs.batches.payloads import Payload, parsed_kind
from libs.batches.tables import encode_table
from libs.contracts.errors import FileRefusedError, PermanentError
from libs.contracts.ids import batch_id
from libs.contracts.lanes import Lane
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RunErrorCode
from libs.contracts.states import BatchState, RunStatus
from libs.contracts.templates import Template
from libs.formats.content import HEAD_BYTES, Content, doubt, file_type_of, recognise, refusal
from libs.ledger import Ledger, NewBatch, ParseEnd
from libs.process.loops import repeating
from libs.process.refill import Refill
from libs.storage.documents import RunDocument
from libs.storage.files import FileStore
from libs.telemetry import tracing
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics
from services.parser.file_reading import FileReading
from services.parser.formats.api.batches import ParsedBatch, digest
from services.parser.formats.api.limits import ReaderLimits
from services.parser.planning.plan import make_plan
from services.parser.planning.styles import StyleSearch
from services.parser.retried_rows import claimed_batches
from services.parser.settings import ParserSettings

QUEUED_STORES = 2
"""Portions of batches that may wait to be stored while the next ones are parsed; those that wait are stored at once."""
HELD_BACK_AT_ONCE = 4
"""So many batches are held back by a full window before somebody looks whether it has room again."""


class ParseLostError(Exception):
    """The run was stopped, or another parser has it: leave without a trace."""


class ParseRun:
    """The parser's one use case."""

    def __init__(
        self,
        ledger: Ledger,
        files: FileStore,
        refill: Refill,
        metrics: Metrics,
        settings: ParserSettings,
        instance: str,
    ) -> None:
        self._ledger = ledger
        self._files = files
        self._refill = refill
        self._metrics = metrics
        self._settings = settings
        self._instance = instance
        self._limits = ReaderLimits()

    async def __call__(self, run_id: str) -> bool:
        """Parse the run, or ``False`` where that is done, stopped, or in the hands of a live parser."""
        run, advances = None, True
        try:
            run = await self._ledger.parsing.begin(run_id, self._instance, self._settings.parse_lease_seconds)
            if run is not None:
                with _span(run), bound_contextvars(run_id=run.id):
                    advances = await self._attempt(run)
        except ParseLostError:
            return False
        except PermanentError as error:
            if run is not None:
                await self._ledger.parsing.start(run)  # so that its failure is told after its beginning, as ever
            await self._ledger.stop(run_id, RunStatus.FAILED, error.code, error.detail)
            return True
        except BaseException:
            if run is not None:
                await self._ledger.parsing.give_back(run)
            raise
        finally:
            if run is not None:
                self._ledger.parsing.leave(run)
        if advances:
            await self._ledger.maybe_advance(run_id)
        return run is not None

    async def _attempt(self, run: RunDocument) -> bool:
        """Parse a run to its end; whether it is the caller who has to see if that moves it on."""
        if run.parse.attempts > self._settings.max_attempts:
            raise PermanentError(
                RunErrorCode.PARSE_FAILED,
                f"reading the file ended without a result {self._settings.max_attempts} times; upload it again, and "
                "tell the people who run Rowdock if that does not help",
            )
        failpoint("parser.begun")
        # To plan a large file may take a while; a small one moves on with its first batches.
        if run.lane is Lane.LARGE and not await self._ledger.parsing.start(run):
            raise ParseLostError
        lease = self._settings.parse_lease_seconds
        async with repeating(lease / 3, lambda: self._ledger.parsing.extend(run, lease), "parse lease"):
            return await self._parse(run)

    async def _parse(self, run: RunDocument) -> bool:
        file = FileReading(self._files, run.file, self._limits)
        plan = run.plan or await self._make_plan(run, file)
        failpoint("parser.planned")
        stored = await self._ledger.parsing.stored_digests(run) if run.parse.batches else {}
        storing = _Storing(self._ledger, self._refill, run, plan, self._settings, stored)
        portions: asyncio.Queue[Sequence[ParsedBatch] | None] = asyncio.Queue(QUEUED_STORES)
        seconds = self._settings.parse_lease_seconds
        retried = run.purpose.traits.of_parent
        batches = claimed_batches(self._files, self._ledger, run, plan, seconds) if retried else file.batches(plan)
        try:
            async with asyncio.TaskGroup() as group, aclosing(batches) as read:
                group.create_task(storing.all_of(portions))
                async for batches in read:
                    await portions.put(batches)
                await portions.put(None)
        except BaseExceptionGroup as group:
            raise _deciding(group) from group
        failpoint("parser.stored_before_close")
        closed_with_batches = await storing.close()
        self._metrics.rows.labels("parsing", "parsed").inc(storing.rows)
        return not closed_with_batches

    async def _make_plan(self, run: RunDocument, file: FileReading) -> ParsePlan:
        content = recognise((await file.head())[:HEAD_BYTES])
        file_type = _file_type(run.template, content)
        try:
            layout = await file.layout(run.template, file_type)
            plan = make_plan(
                layout,
                run.template,
                file_type,
                run.column_mapping,
                batch_rows=self._settings.rows_of_a_batch(run.template),
                batch_bytes=self._settings.batch_bytes,
                limits=self._limits,
            )
        except FileRefusedError as error:
            if (other := doubt(file_type, content)) is None:
                raise
            raise FileRefusedError(error.code, f"{other}; {error.detail}") from error
        search = StyleSearch(run.template, plan, datetime.now(UTC).date())
        if search.needed and layout.first_rows is not None:
            await asyncio.to_thread(search.look, layout.first_rows)
        if search.open or (search.needed and layout.first_rows is None):
            async with aclosing(file.batches(plan)) as read:
                async for batches in read:
                    for batch in batches:
                        await asyncio.to_thread(search.look, batch.table)
                    if not search.open:
                        break
        return search.plan()


def _span(run: RunDocument) -> tracing.Span:
    attributes = {"rowdock.run_id": run.id, "rowdock.lane": run.lane.value, "rowdock.attempt": run.parse.attempts}
    return tracing.span("parse", parent=run.trace, attributes=attributes)


def _file_type(template: Template, content: Content) -> str:
    """The template's format, or else the one that the content speaks for.

    Raises:
        FileRefusedError: ``UNSUPPORTED_FILE``; the content cannot be read as the template says.
    """
    wanted = template.source.file_type
    if (reason := refusal(wanted, content)) is not None:
        raise FileRefusedError(RunErrorCode.UNSUPPORTED_FILE, reason)
    return wanted or file_type_of(content)


def _deciding(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of errors that occurred together, the one that decides what happens next."""
    for kind in (ParseLostError, PermanentError):
        if (found := group.subgroup(kind)) is not None:
            return found.exceptions[0]
    return group.exceptions[0]


class _Storing:
    """Stores batches in file order, skips those of an earlier attempt, and announces those that there is room for.

    One portion is held back until the next one comes, so that the last one is stored together with the end of the
    parse; and the first one together with the plan. So a small file takes one transaction.
    """

    def __init__(
        self,
        ledger: Ledger,
        refill: Refill,
        run: RunDocument,
        plan: ParsePlan,
        settings: ParserSettings,
        stored: dict[int, str],
    ) -> None:
        self._ledger = ledger
        self._refill = refill
        self._run = run
        self._settings = settings
        self._stored = stored
        self._to_freeze = plan if run.plan is None else None
        self._waiting: list[NewBatch] = []
        self._held_back = 0
        self._digest = hashlib.sha256()
        self.batches = 0
        self.rows = 0

    async def all_of(self, portions: asyncio.Queue[Sequence[ParsedBatch] | None]) -> None:
        more = True
        while more:
            read = [await portions.get()]
            while not portions.empty():
                read.append(portions.get_nowait())
            more = read[-1] is not None
            if new := await asyncio.to_thread(self._encode, chain.from_iterable(filter(None, read))):
                if self._waiting:
                    await self._store(self._waiting)
                self._waiting = new

    async def close(self) -> bool:
        """Store what waits and close the parse; whether batches were stored with that.

        Whoever checks the last one of those finds the parse closed, and moves the run on.
        """
        end = ParseEnd(self.batches, self.rows, self._digest.hexdigest())
        if self._waiting:
            await self._store(self._waiting, end)
            return True
        parsing = self._ledger.parsing
        if self._to_freeze is not None and not await parsing.freeze_plan(self._run, self._to_freeze):
            raise ParseLostError
        if not await parsing.close(self._run, end):
            raise ParseLostError
        return False

    async def _store(self, batches: Sequence[NewBatch], end: ParseEnd | None = None) -> None:
        announced = await self._ledger.parsing.add_batches(
            self._run,
            batches,
            self._settings.parse_lease_seconds,
            plan=self._to_freeze,
            end=end,
            announce=not self._held_back,
        )
        if announced is None:
            raise ParseLostError
        self._to_freeze = None
        failpoint("parser.batch_stored_before_announced")
        await self._refill.publish(announced)
        self._held_back += len(batches) - len(announced)
        if self._held_back >= HELD_BACK_AT_ONCE or (self._held_back and end is not None):
            await self._refill(BatchState.PARSED, self._run.lane)
            self._held_back = 0
        failpoint("parser.batch_announced")

    def _encode(self, portion: Iterable[ParsedBatch]) -> list[NewBatch]:
        new: list[NewBatch] = []
        for batch in portion:
            content = digest(batch)
            self._digest.update(content.encode())
            self.batches += 1
            self.rows += batch.rows
            known = self._stored.get(batch.seq)
            if known is None:
                new.append(self._new_batch(batch, content))
            elif known != content:
                raise PermanentError(
                    RunErrorCode.NON_DETERMINISTIC_PARSE,
                    f"reading the file again gave other rows {batch.row_from} to {batch.row_to} than before; "
                    "upload it again",
                )
        return new

    def _new_batch(self, batch: ParsedBatch, content: str) -> NewBatch:
        identifier = batch_id(self._run.id, self._run.epoch, batch.seq)
        kind = parsed_kind(self._run.purpose)
        payload = Payload(identifier, self._run.id, kind, encode_table(batch.table), batch.issues)
        return NewBatch(batch.seq, batch.row_from, batch.row_to, batch.rows, content, payload)
