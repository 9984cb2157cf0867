"""Check batches one by one; where all are checked, compare what rows of different batches may not share."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cachetools import LRUCache

from libs.batches.payloads import BatchPayloads, Payload, PayloadKind, parsed_kind
from libs.batches.rejected_rows import RejectedRows
from libs.batches.tables import BatchRejections, decode_table, encode_table, pack_rows, unpack_rows, warned_rows
from libs.contracts.errors import PermanentError
from libs.contracts.ids import batch_id
from libs.contracts.lanes import Lane
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RunErrorCode, SkipReason
from libs.contracts.rejections import RejectedRow
from libs.contracts.states import BatchState, RunStatus
from libs.contracts.templates import Template
from libs.ledger import Ledger, MovedRun, Stage
from libs.ledger.rescue import GOING_ON
from libs.process.loops import repeating
from libs.process.refill import Refill
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import BatchDocument, BatchResult, RunDocument
from libs.telemetry import tracing
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics
from services.validator.domain.checking import check_batch
from services.validator.domain.compilation import CompiledTemplate, compile_template
from services.validator.domain.duplicates import (
    Batches,
    DuplicateResolution,
    apply_resolution,
    rejections,
    resolve_duplicates,
    without_lost,
)
from services.validator.domain.examples import examples
from services.validator.domain.held_values import HeldValues, held_values
from services.validator.domain.preview import preview
from services.validator.domain.unreadable_rows import issue_rejections
from services.validator.settings import ValidatorSettings
from services.validator.target_lookup import TargetLookup
from services.validator.written_keys import WrittenKeys

RUNS_AT_WORK = 64
COMPILED_TEMPLATES = 64
MAX_PAYLOAD_BYTES = 15 * 1024 * 1024
"""A document of MongoDB holds 16 MiB."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What stays the same for all batches of a run.

    Attributes:
        document: the run as it was when its first batch came.
    """

    document: RunDocument
    id: str
    tenant_id: str
    columns: tuple[str, ...]
    compiled: CompiledTemplate


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the check of one batch leaves to store."""

    result: BatchResult
    payloads: tuple[Payload, ...]
    rejected: BatchRejections
    unreadable: tuple[RejectedRow, ...]
    preview: tuple[Document, ...]
    examples: Document


class ValidateBatch:
    """Checks one batch; whoever checks a run's last batch also moves the run on."""

    def __init__(
        self,
        mongo: Mongo,
        ledger: Ledger,
        metrics: Metrics,
        settings: ValidatorSettings,
        whole_file_check: "WholeFileCheck",
        runs: "RunCache",
        refill: Refill,
    ) -> None:
        self._mongo = mongo
        self._ledger = ledger
        self._metrics = metrics
        self._settings = settings
        self._whole_file_check = whole_file_check
        self._runs = runs
        self._refill = refill
        self._payloads = BatchPayloads(mongo)
        self._rejected = RejectedRows(mongo)

    async def __call__(self, run_id: str, identifier: str, lane: Lane) -> None:
        """Check the batch unless that is done or its run was stopped; then fill its lane up again."""
        batch, checked, advanced = None, False, False
        try:
            batch = await self._ledger.batches.claim(identifier, BatchState.PARSED)
            if batch is not None:
                checked, advanced = await self._check(batch)
        except PermanentError as error:
            await self._ledger.stop(run_id, RunStatus.FAILED, error.code, error.detail)
        if batch is not None and checked and not advanced:
            over = await self._refill.after(batch, BatchState.PARSED, lane)
        else:
            await self._refill(BatchState.PARSED, lane)
            over = not advanced
        if over:
            await self._whole_file_check.advance(run_id)

    async def _check(self, batch: BatchDocument) -> tuple[bool, bool]:
        """Check a batch; whether it was this that did it, and whether that also moved its run on."""
        if batch.attempts > self._settings.max_attempts:
            raise PermanentError(
                RunErrorCode.BATCH_FAILED,
                f"checking the rows {batch.row_from} to {batch.row_to} failed {self._settings.max_attempts} times. "
                "This is a fault of Rowdock or its servers, not of the file; tell the operator the id of this run",
            )
        run = await self._runs.get(batch.run_id)
        if run is None:
            return False, False
        parsed = await self._payloads.find(batch.id, parsed_kind(run.document.purpose))
        if parsed is None:
            return False, False  # Rows go only when their run has ended; the claim would have failed a moment later.
        outcome = await asyncio.to_thread(self._outcome, run, batch, parsed)
        target = BatchState.CHECKED if run.compiled.constraints else BatchState.VALIDATED
        failpoint("validator.checked_before_stored")

        async def body(session: Session) -> tuple[bool, MovedRun | None]:
            moved = await self._ledger.batches.move(
                session, batch, target, outcome.result, preview=outcome.preview, examples=outcome.examples
            )
            if not moved:
                return False, None
            await self._payloads.insert(session, outcome.payloads)
            rows = chain(outcome.rejected, outcome.unreadable)
            await self._rejected.insert(session, run.tenant_id, run.id, rows)
            return True, await self._ledger.advance_with_only_batch(session, run.document)

        checked, moved_run = await self._mongo.transaction(body)
        if checked:
            self._metrics.rows.labels("checking", "valid").inc(outcome.result.ok)
            self._metrics.rows.labels("checking", "rejected").inc(outcome.result.rejected)
        failpoint("validator.stored_before_advance")
        if moved_run is not None:
            await self._ledger.advanced(run.document, moved_run)
        return checked, moved_run is not None

    def _outcome(self, run: _Run, batch: BatchDocument, parsed: Payload) -> _Outcome:
        table = decode_table(parsed.data)
        checked = check_batch(run.compiled, table)
        unreadable = issue_rejections(parsed.issues, run.columns)
        payloads = [_payload(batch, PayloadKind.VALID, checked.valid)]
        if checked.keys is not None:
            payloads.append(_payload(batch, PayloadKind.KEYS, checked.keys))
        if checked.deletions is not None:
            payloads.append(_payload(batch, PayloadKind.DELETIONS, checked.deletions))
        if checked.held is not None:
            payloads.append(_payload(batch, PayloadKind.HELD, checked.held))
        shown = preview(checked.valid, self._settings.preview_rows, run.columns) if batch.seq == 0 else ()
        rejected = len(checked.rejected) + len(unreadable)
        result = BatchResult(
            ok=_sound_rows(checked.valid, checked.deletions),
            rejected=rejected,
            warnings=checked.warnings,
            unclear_keys=checked.unclear_keys + (len(unreadable) if run.compiled.sweeps else 0),
        )
        return _Outcome(
            result,
            tuple(payloads),
            checked.rejected,
            tuple(unreadable),
            tuple(shown),
            examples(run.compiled, table, checked) if batch.seq == 0 else {},
        )


def _payload(batch: BatchDocument, kind: PayloadKind, table: pa.Table) -> Payload:
    payload = Payload(batch.id, batch.run_id, kind, encode_table(table))
    if len(payload.data) > MAX_PAYLOAD_BYTES:
        raise PermanentError(
            RunErrorCode.BATCH_TOO_LARGE,
            f"with this template, the rows from {batch.row_from} to {batch.row_to} need more than "
            f"{MAX_PAYLOAD_BYTES // 1024**2} MiB; let fewer fields of the template read the same column",
        )
    return payload


class RunCache:
    """Runs at work, and their compiled templates; a run's template and plan never change.

    A template is compiled once for all runs that have it with the same plan: for a small file that takes longer than
    to check it.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._runs: LRUCache[str, tuple[RunDocument, ParsePlan, bytes]] = LRUCache(RUNS_AT_WORK)
        self._compiled: LRUCache[bytes, CompiledTemplate] = LRUCache(COMPILED_TEMPLATES)

    async def get(self, run_id: str) -> _Run | None:
        """The run, or ``None`` where it does not exist or has no plan.

        Raises:
            PermanentError: its template cannot be compiled.
        """
        if (known := self._runs.get(run_id)) is None:
            run = await self._ledger.runs.get(run_id)
            if run is None or run.plan is None:
                return None
            known = self._runs[run_id] = run, run.plan, _content(run.template, run.plan)
        run, plan, content = known
        if (compiled := self._compiled.get(content)) is None:
            compiled = await asyncio.to_thread(compile_template, run.template, plan)
            self._compiled[content] = compiled
        return _Run(run, run.id, run.tenant_id, plan.columns, compiled)


def _content(template: Template, plan: ParsePlan) -> bytes:
    return hashlib.sha256(f"{template.model_dump_json()}\n{plan.model_dump_json()}".encode()).digest()


class WholeFileCheck:
    """What is checked between checking and writing: uniqueness and repeated upsert keys over the whole file.

    A run has one worker here at a time (a lease). What it finds depends on the checked batches alone, and on what
    it has noted there about the target before any of them moves, so that a second worker after a crash goes on
    where the first one ended.
    """

    def __init__(
        self, mongo: Mongo, ledger: Ledger, metrics: Metrics, settings: ValidatorSettings, runs: RunCache, owner: str
    ) -> None:
        self._mongo = mongo
        self._ledger = ledger
        self._metrics = metrics
        self._settings = settings
        self._runs = runs
        self._owner = owner
        self._payloads = BatchPayloads(mongo)
        self._rejected = RejectedRows(mongo)
        self._target = TargetLookup(mongo)
        self._written_keys = WrittenKeys(mongo)

    async def advance(self, run_id: str) -> None:
        """Move the run on, through this check where it stands before it."""
        if await self._ledger.maybe_advance(run_id) is not Stage.WHOLE_FILE_CHECK:
            return
        try:
            await self._check(run_id)
        except PermanentError as error:
            await self._ledger.stop(run_id, RunStatus.FAILED, error.code, error.detail)
        await self._ledger.maybe_advance(run_id)

    async def _check(self, run_id: str) -> None:
        seconds = self._settings.whole_file_check_lease_seconds
        held = await self._ledger.leases.take_whole_file_check(run_id, self._owner, seconds)
        if held is None:
            return
        try:
            run = await self._runs.get(run_id)
            async with repeating(seconds / 3, lambda: self._ledger.leases.renew(held, seconds), "whole-file check"):
                if run is not None:
                    about = {"rowdock.run_id": run_id}
                    with tracing.span("check whole file", parent=run.document.trace, attributes=about):
                        await self._resolve(run)
        finally:
            await self._ledger.leases.release(held)

    async def _resolve(self, run: _Run) -> None:
        totals = await self._ledger.totals(run.id)
        resolutions = await self._resolutions(run, totals.rows)
        failpoint("validator.duplicates_resolved")
        async for batch in self._ledger.batches.in_state(run.id, BatchState.CHECKED):
            await self._apply(run, batch, resolutions.get(batch.seq))
            failpoint("validator.resolution_applied")

    async def _resolutions(self, run: _Run, rows: int) -> dict[int, DuplicateResolution]:
        # Batches that a crashed predecessor moved on take part again: values are compared in all of them.
        found = await self._ledger.batches.sequence_numbers(run.id, BatchState.CHECKED, BatchState.VALIDATED)
        batches = [(seq, batch_id(run.id, epoch, seq)) for epoch, seq in found]
        in_target = await self._rows_in_target(run, [identifier for _, identifier in batches])
        loop = asyncio.get_running_loop()

        def keys() -> Iterator[tuple[int, pa.Table]]:
            for seq, identifier in batches:
                load = self._payloads.load(identifier, PayloadKind.KEYS)
                yield seq, decode_table(asyncio.run_coroutine_threadsafe(load, loop).result().data)

        held = await self._held_before(run, keys, rows)
        return await asyncio.to_thread(
            resolve_duplicates, run.compiled, keys, rows, in_target=in_target, held_before=held
        )

    async def _held_before(self, run: _Run, own: Batches, rows: int) -> Mapping[str, HeldValues]:
        """Values of a retry that rows hold which were written before; of any other run none."""
        if not run.document.purpose.traits.of_parent:
            return {}
        batches = await self._written_keys.batches(run.document)
        loop = asyncio.get_running_loop()

        def written() -> Iterator[tuple[int, pa.Table]]:
            for seq, batch in enumerate(batches):
                load = self._written_keys.keys(run.tenant_id, batch)
                yield seq, asyncio.run_coroutine_threadsafe(load, loop).result()

        return await asyncio.to_thread(held_values, run.compiled, own, written, rows)

    async def _rows_in_target(self, run: _Run, batches: Sequence[str]) -> Mapping[str, npt.NDArray[np.uint32]]:
        """Rows whose values the target holds, by constraint. The first answer is kept with the batch's keys."""
        names = self._target.constraints(run.compiled)
        found: dict[str, list[npt.NDArray[np.uint32]]] = {name: [] for name in names}
        if not names:
            return {}
        registering = run.document.purpose.traits.executed
        target_keys = await self._target.keys(run.compiled, run.tenant_id, registering=registering)
        for identifier in batches:
            keys = await self._payloads.load(identifier, PayloadKind.KEYS)
            if (noted := keys.rows_in_target) is None:
                valid = decode_table((await self._payloads.load(identifier, PayloadKind.VALID)).data)
                rows = await self._target.rows_in_target(run.compiled, run.tenant_id, target_keys, valid)
                answer = {name: pack_rows(some) for name, some in rows.items()}
                noted = await self._payloads.note_rows_in_target(keys, answer)
            for name in names:
                found[name].append(unpack_rows(noted[name]))
        return {name: np.concatenate([np.empty(0, np.uint32), *some]) for name, some in found.items()}

    async def _apply(self, run: _Run, batch: BatchDocument, resolution: DuplicateResolution | None) -> None:
        resolved = _Resolved(batch.result)
        if resolution is not None:
            kinds = [PayloadKind.VALID, parsed_kind(run.document.purpose), PayloadKind.KEYS]
            if run.compiled.deletes:
                kinds.append(PayloadKind.DELETIONS)
            payloads = [await self._payloads.load(batch.id, kind) for kind in kinds]
            resolved = await asyncio.to_thread(_resolved, batch, resolution, *payloads)

        async def body(session: Session) -> bool:
            moved = await self._ledger.batches.move(
                session,
                batch,
                BatchState.VALIDATED,
                resolved.result,
                skipped={SkipReason.DUPLICATE_UPSERT_KEY: resolved.skipped},
            )
            if moved and resolved.tables:
                for table in resolved.tables:
                    await self._payloads.replace_table(session, table)
                await self._rejected.insert(session, run.tenant_id, run.id, resolved.rejected)
            return moved

        if await self._mongo.transaction(body):
            self._metrics.rows.labels("checking", "rejected").inc(resolved.result.rejected - batch.result.rejected)
            self._metrics.rows.labels("checking", "skipped").inc(resolved.result.duplicate_keys)


@dataclass(frozen=True, slots=True)
class _Resolved:
    """A batch whose repeated values are decided.

    Attributes:
        tables: the rows that are to be written, and those that delete; none where all stay as they were.
        rejected: rows that lose a value.
        skipped: numbers of the rows that a later row replaces, packed.
    """

    result: BatchResult
    tables: Sequence[Payload] = ()
    rejected: Sequence[RejectedRow] | BatchRejections = ()
    skipped: bytes = b""


def _resolved(
    batch: BatchDocument,
    resolution: DuplicateResolution,
    valid: Payload,
    parsed: Payload,
    keys: Payload,
    deleting: Payload | None = None,
) -> _Resolved:
    remaining = apply_resolution(decode_table(valid.data), resolution)
    tables = [_payload(batch, PayloadKind.VALID, remaining)]
    deletions = None
    if deleting is not None:
        deletions = without_lost(decode_table(deleting.data), resolution)
        tables.append(_payload(batch, PayloadKind.DELETIONS, deletions))
    rejected = rejections(resolution, decode_table(parsed.data), decode_table(keys.data))
    result = BatchResult(
        ok=_sound_rows(remaining, deletions),
        rejected=batch.result.rejected + len(rejected),
        warnings=warned_rows(remaining),
        duplicate_keys=len(resolution.superseded),
        unclear_keys=batch.result.unclear_keys,
    )
    return _Resolved(result, tables, rejected, pack_rows(resolution.superseded))


def _sound_rows(valid: pa.Table, deletions: pa.Table | None) -> int:
    return valid.num_rows + (0 if deletions is None else deletions.num_rows)


class RescueInbox:
    """Finds batches that wait for a validator although no message says so any more."""

    def __init__(
        self,
        ledger: Ledger,
        refill: Refill,
        metrics: Metrics,
        whole_file_check: WholeFileCheck,
        quiet_seconds: float,
    ) -> None:
        self._ledger = ledger
        self._refill = refill
        self._metrics = metrics
        self._whole_file_check = whole_file_check
        self._quiet_seconds = quiet_seconds

    async def __call__(self) -> None:
        """Announce again what a silent run has in flight, and move on a run that has no batch left."""
        async for run in self._ledger.rescue.silent_runs([RunStatus.VALIDATING], self._quiet_seconds):
            announced = await self._refill.again(run, BatchState.PARSED)
            self._metrics.rescues.labels("batch_parsed").inc(announced)
            if not announced:
                await self._whole_file_check.advance(run.id)
        async for run in self._ledger.rescue.silent_runs([RunStatus.VALIDATED], self._quiet_seconds, where=GOING_ON):
            await self._whole_file_check.advance(run.id)
