"""Parse a run's file into batches, as often as it takes, with the same result every time."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import chain

from libs.batches.payloads import Payload, parsed_kind
from libs.batches.tables import encode_table
from libs.contracts.errors import FileRefusedError, PermanentError
from libs.contracts.ids import batch_id
from libs.contracts.lanes import Lane
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RunErrorCode
from libs.contracts.states import BatchState, RunStatus
from libs.contracts.templates import Template
from libs.formats.content import HEAD_BYTES, file_type_of, recognise, refusal
from libs.ledger import Ledger, NewBatch, ParseEnd
from libs.process.loops import repeating
from libs.process.refill import Refill
from libs.storage.documents import RunDocument, StoredFile
from libs.storage.files import FileStore
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics
from services.parser.formats.api.batches import ParsedBatch, digest
from services.parser.formats.api.file_format import FileFacts
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.registry import file_format
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
        self._mongo = files.mongo
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
        file = _File(self._files, run.file)
        plan = run.plan or await self._make_plan(run, file)
        failpoint("parser.planned")
        stored = await self._ledger.parsing.stored_digests(run) if run.parse.batches else {}
        storing = _Storing(self._ledger, self._refill, run, plan, self._settings, stored)
        portions: asyncio.Queue[Sequence[ParsedBatch] | None] = asyncio.Queue(QUEUED_STORES)
        seconds = self._settings.parse_lease_seconds
        retried = run.purpose.traits.of_parent
        batches = (
            claimed_batches(self._mongo, self._ledger, run, plan, seconds) if retried else self._batches(file, plan)
        )
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
        self._metrics.rows.labels("parsed").inc(storing.rows)
        return not closed_with_batches

    async def _batches(self, file: "_File", plan: ParsePlan) -> AsyncGenerator[list[ParsedBatch]]:
        """The file's batches in small portions, at most one of them before it is wanted."""
        reader = await asyncio.to_thread(file_format(plan.file_type).reader, plan, self._limits)

        def feed(data: bytes) -> list[ParsedBatch]:
            return list(reader.feed(data))

        async with aclosing(file.chunks()) as chunks:
            async for chunk in chunks:
                if batches := await asyncio.to_thread(feed, chunk):
                    yield batches
        async with aclosing(_one_by_one(await asyncio.to_thread(reader.close))) as remaining:
            async for batch in remaining:
                yield [batch]

    async def _make_plan(self, run: RunDocument, file: "_File") -> ParsePlan:
        facts = FileFacts(run.file.size, run.file.ascii_only)
        async with aclosing(file.chunks()) as chunks:
            chunk = await anext(chunks, b"")
            file_type = _file_type(run.template, chunk[:HEAD_BYTES])
            sampler = await asyncio.to_thread(file_format(file_type).sampler, run.template, facts, self._limits)
            while chunk and not await asyncio.to_thread(sampler.feed, chunk):
                chunk = await anext(chunks, b"")
        layout = await asyncio.to_thread(sampler.layout)
        plan = make_plan(
            layout,
            run.template,
            file_type,
            run.column_mapping,
            batch_rows=self._settings.batch_rows,
            batch_bytes=self._settings.batch_bytes,
            limits=self._limits,
        )
        search = StyleSearch(run.template, plan, datetime.now(UTC).date())
        if search.needed and layout.first_rows is not None:
            await asyncio.to_thread(search.look, layout.first_rows)
        if search.open or (search.needed and layout.first_rows is None):
            async with aclosing(self._batches(file, plan)) as read:
                async for batches in read:
                    for batch in batches:
                        await asyncio.to_thread(search.look, batch.table)
                    if not search.open:
                        break
        return search.plan()


class _File:
    """The file of a run, read as often as it takes; one of a single chunk is fetched once."""

    def __init__(self, files: FileStore, stored: StoredFile) -> None:
        self._files = files
        self._stored = stored
        self._whole: bytes | None = None

    async def chunks(self) -> AsyncGenerator[bytes]:
        if self._whole is not None:
            yield self._whole
            return
        async with aclosing(self._files.chunks(self._stored)) as chunks:
            async for chunk in chunks:
                if len(chunk) == self._stored.size:
                    self._whole = chunk
                yield chunk


def _file_type(template: Template, head: bytes) -> str:
    """The template's format, or else the one that the content speaks for.

    Raises:
        FileRefusedError: ``UNSUPPORTED_FILE``; the content cannot be read as the template says.
    """
    content = recognise(head)
    wanted = template.source.file_type
    if (reason := refusal(wanted, content)) is not None:
        raise FileRefusedError(RunErrorCode.UNSUPPORTED_FILE, reason)
    return wanted or file_type_of(content)


async def _one_by_one(batches: Iterable[ParsedBatch]) -> AsyncGenerator[ParsedBatch]:
    """Batches that are made while they are asked for, each in a thread."""
    iterator = iter(batches)
    step: asyncio.Future[ParsedBatch | None] | None = None
    try:
        while True:
            step = asyncio.ensure_future(asyncio.to_thread(next, iterator, None))
            # A thread cannot be cancelled, and a generator cannot be closed while it runs.
            if (batch := await asyncio.shield(step)) is None:
                return
            yield batch
    finally:
        if step is not None and not step.done():
            await asyncio.wait([step])
        if isinstance(iterator, Generator):
            await asyncio.to_thread(iterator.close)  # what it started, such as a child process, ends here


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
