"""One file from its claim to the end: it becomes a run exactly once, and is put away when that has ended.

The run is started under the id of the file's entry. Whoever finds a claimed file whose poller has died finds the run by
it, or makes it; that and the entry's compare-and-sets leave room for one.
"""

import hashlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass

import structlog

from libs.contracts.rejections import RowError
from libs.contracts.states import TERMINAL_RUN_STATUSES, RunStatus
from libs.ledger.leases import HeldLease
from libs.storage.documents import RunDocument, SourceDocument, SourceFileDocument, SourceFileOutcome
from libs.storage.files import FileTooLargeError
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics
from services.gateway.access.principal import Principal
from services.gateway.errors import (
    BusyError,
    ConflictError,
    GatewayError,
    LimitError,
    NotFoundError,
    StorageFullError,
)
from services.gateway.sources.names import moved_name, readable, stored
from services.gateway.sources.places import (
    Entry,
    FaultCode,
    FileChangedError,
    FileGoneError,
    Place,
    SourceFault,
)
from services.gateway.sources.reports import ENDING, MAX_ERRORS, report
from services.gateway.stores.rejected import RejectedStore
from services.gateway.stores.runs import RunStore
from services.gateway.stores.source_ledger import SourceLedger
from services.gateway.stores.templates import TemplateName
from services.gateway.uploads.starting import ImportStart, start_import, start_key, started
from services.gateway.uploads.uploads import Uploads

MAX_ATTEMPTS = 5
"""How often it is tried to put a file away before it is left where it is, and remembered."""

BROKEN = frozenset({FaultCode.CONNECTION_LOST, FaultCode.TIMED_OUT})
"""The place can be used no further for now."""
GRACE_SECONDS = 60.0
"""So long a file may be slower than ``bytes_per_second``."""

logger = structlog.get_logger()


class _UnchangedError(Exception):
    """The file has been imported before, with this content."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a file.

    Attributes:
        run: ``None`` where it had none, or that was kept long enough.
    """

    outcome: SourceFileOutcome
    run: RunDocument | None = None


@dataclass(frozen=True, slots=True)
class Taking:
    """Takes files, and puts them away.

    Attributes:
        ledger: knows how far each file is.
        uploads: makes runs of them, within the limits of every upload.
        max_bytes: size limit of one file.
        metrics: where it is counted what became of files.
        bytes_per_second: slowest server.
    """

    ledger: SourceLedger
    uploads: Uploads
    max_bytes: int
    metrics: Metrics
    bytes_per_second: int = 1024

    async def take(self, source: SourceDocument, entry: SourceFileDocument, place: Place, held: HeldLease) -> None:
        """Let a file that is complete become a run.

        Raises:
            SourceFault: the source cannot be used further now; the file waits.
        """
        claimed = await self.ledger.claim(entry, held)
        if claimed is None:
            return
        failpoint("sources.claimed_before_stored")
        try:
            run_id = await started(acting(source), _key(claimed))
            if run_id is None:
                run_id = await self._start(source, claimed, place)
        except (_UnchangedError, FileGoneError, FileChangedError) as error:
            await self._not_taken(claimed, error)
        except (FileTooLargeError, GatewayError) as error:
            await self._no_run(claimed, error)
        except SourceFault:
            await self.ledger.give_back(claimed)
            raise
        else:
            failpoint("sources.submitted_before_recorded")
            if await self.ledger.submitted(claimed, run_id) is not None:
                self.metrics.source_files.labels("taken").inc()
            failpoint("sources.recorded_before_arrival")
            await self.ledger.note_arrival(source.id)
            logger.info("source.file_taken", source_id=source.id, run_id=run_id, file_id=claimed.id)

    async def _not_taken(self, claimed: SourceFileDocument, error: Exception) -> None:
        if isinstance(error, FileChangedError):
            await self.ledger.drop(claimed)
            return
        outcome = SourceFileOutcome.UNCHANGED if isinstance(error, _UnchangedError) else SourceFileOutcome.VANISHED
        await self.ledger.settle(claimed, outcome, None, {})
        self.metrics.source_files.labels(outcome.value).inc()

    async def _no_run(self, claimed: SourceFileDocument, error: FileTooLargeError | GatewayError) -> None:
        """Refuse a file because of what it is; where that is not why there is no run, let it wait.

        Raises:
            SourceFault: no file of the source would get one now.
        """
        if isinstance(error, BusyError | LimitError | StorageFullError):
            await self.ledger.give_back(claimed)
            raise SourceFault(FaultCode.LIMIT_REACHED, error.detail, "template_id") from error
        if isinstance(error, NotFoundError | ConflictError):
            await self.ledger.give_back(claimed)
            going = error.code == FaultCode.ORGANIZATION_SUSPENDED
            code = FaultCode.ORGANIZATION_SUSPENDED if going else FaultCode.TEMPLATE_NOT_USABLE
            raise SourceFault(code, error.detail, "template_id") from error
        if await self.ledger.refused(claimed, error.code, error.detail) is not None:
            self.metrics.source_files.labels(SourceFileOutcome.REFUSED.value).inc()

    async def _start(self, source: SourceDocument, claimed: SourceFileDocument, place: Place) -> str:
        if claimed.size > self.max_bytes:
            raise FileTooLargeError(self.max_bytes)
        name = stored(claimed.path).decode(errors="replace")
        async with aclosing(self._content(source, claimed, place)) as content:
            submitted = await start_import(
                self.uploads,
                acting(source),
                ImportStart(TemplateName(source.template_id), name),
                content,
                key=_key(claimed),
                max_bytes=self.max_bytes,
                announced=claimed.size,
            )
        return submitted.run.id

    async def _content(
        self, source: SourceDocument, claimed: SourceFileDocument, place: Place
    ) -> AsyncGenerator[bytes]:
        """The bytes of a file.

        Raises:
            _UnchangedError: at their end, they were imported before.
        """
        digest, size, began = hashlib.sha256(), 0, time.monotonic()
        seen = Entry(claimed.modified_ns, stored(claimed.path), claimed.size)
        async with aclosing(place.content(seen)) as chunks:
            async for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                if size < (time.monotonic() - began - GRACE_SECONDS) * self.bytes_per_second:
                    message = f"{claimed.path!r} comes at less than {self.bytes_per_second:,} bytes a second"
                    raise SourceFault(FaultCode.TIMED_OUT, message)
                yield chunk
        sha256 = digest.hexdigest()
        if source.leave and await self.ledger.has_imported(source.id, claimed.path, sha256):
            raise _UnchangedError
        await self.ledger.note_content(claimed, sha256)

    # --- what became of it ----------------------------------------------------------------------

    async def ended(self, source: SourceDocument, entry: SourceFileDocument) -> Ended | None:
        """What became of a file that is taken or refused; ``None`` where that is not decided."""
        if entry.run_id is None:
            return None if entry.outcome is None else Ended(entry.outcome)
        run = await RunStore(acting(source)).get(entry.run_id)
        if run is None:  # it was kept long enough
            return Ended(SourceFileOutcome.IMPORTED)
        if run.status not in TERMINAL_RUN_STATUSES:
            return None
        well = run.status in {RunStatus.COMPLETED, RunStatus.REVERTED}
        return Ended(SourceFileOutcome.IMPORTED if well else SourceFileOutcome.FAILED, run)

    async def put_away(self, source: SourceDocument, entry: SourceFileDocument, place: Place, ended: Ended) -> None:
        """Move a file that has ended, with a report beside it; nothing more is done about it then.

        Where that does not work, it is tried again at later looks, and given up in the end: the file is left and
        remembered.

        Raises:
            SourceFault: the place cannot be used at all any more.
        """
        if source.leave:
            await self.ledger.settle(entry, ended.outcome, None, {})
            return
        try:
            moved_to = await self._moved(source, entry, place, ended)
        except SourceFault as fault:
            if fault.code in BROKEN:
                raise
            await self.ledger.note_trouble(entry, fault.code, fault.message)
            if entry.attempts + 1 >= MAX_ATTEMPTS:
                await self.ledger.settle(entry, ended.outcome, None, {})
            return
        failpoint("sources.moved_before_settled")
        cleared = {} if ended.outcome is SourceFileOutcome.REFUSED else {"trouble": None}
        await self.ledger.settle(entry, ended.outcome, moved_to, cleared)

    async def _moved(self, source: SourceDocument, entry: SourceFileDocument, place: Place, ended: Ended) -> str | None:
        """Where the file is now; ``None`` where another one has taken its place meanwhile.

        Each step may have been taken before, by one who died.
        """
        path = stored(entry.path)
        well = ended.outcome is SourceFileOutcome.IMPORTED
        directory = (source.done_directory if well else source.failed_directory).encode()
        target = directory + b"/" + moved_name(entry.id, path, ENDING)
        errors = [] if ended.run is None else await self._errors(source, ended.run)
        content = report(entry, ended.outcome, ended.run, errors)
        try:
            await place.write(target + ENDING, content)
        except SourceFault as fault:
            if fault.code is FaultCode.NO_SPACE or fault.code in BROKEN:
                raise
            await place.prepare(directory)  # somebody has removed it
            await place.write(target + ENDING, content)
        failpoint("sources.reported_before_moved")
        moved = False
        if _is(await place.stat(path), entry):
            with suppress(FileGoneError):  # one who has lost the source was faster
                await place.move(path, target)
                moved = True
        there = await place.stat(target)
        if there is None:
            return None  # replaced, or removed by somebody else
        if moved and not _is(there, entry):
            # It became another one in just this moment, which is to be imported in its turn.
            await place.move(target, path)
            return None
        if source.marker is not None:
            await place.remove(path + source.marker.encode())
        return readable(target)

    async def _errors(self, source: SourceDocument, run: RunDocument) -> list[tuple[int, RowError]]:
        return await RejectedStore(acting(source)).first_errors(run.id, MAX_ERRORS)


def acting(source: SourceDocument) -> Principal:
    """As whom a source's files are imported."""
    return Principal(source.tenant_id, f"source:{source.id}", source.id)


def _key(entry: SourceFileDocument) -> str:
    return start_key("source", entry.id)


def _is(found: Entry | None, entry: SourceFileDocument) -> bool:
    return found is not None and (found.size, found.modified_ns) == (entry.size, entry.modified_ns)
