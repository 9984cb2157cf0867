"""Bulk corrections: the same change of one cell in all rejected rows of a run that have the same error."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from libs.contracts.errors import PermanentError
from libs.contracts.lanes import Lane
from libs.contracts.purposes import RunPurpose
from libs.contracts.reasons import RunErrorCode
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.ledger.run_requests import MOST_ATTEMPTS, HeldRequest
from libs.process.loops import repeating, work_off
from libs.storage.documents import (
    BulkCorrectionDocument,
    CellChange,
    CellChangeType,
    RequestState,
    RetryRequest,
    RunDocument,
)
from services.gateway.access.principal import Principal
from services.gateway.errors import ConflictError, Problem, invalid_input, not_found
from services.gateway.records.cell_changes import MAX_TEXT_BYTES, decided
from services.gateway.records.corrected_cells import CellColumn, Wrong, cell_text, column_named
from services.gateway.records.retries import MANY_ROWS, Retries
from services.gateway.records.runs_of_rows import run_of_rows, started_by
from services.gateway.runs.dry_runs import DryRuns
from services.gateway.runs.pauses import pauses
from services.gateway.stores.runs import RunStore

LEASE_SECONDS = 30.0
LOOK_SECONDS = 2.0
"""How often a gateway looks for bulk corrections that another one did not live to finish."""
AT_WORK: Final = 2
"""So many a gateway works at, each of another organization."""


@dataclass(frozen=True, slots=True)
class WantedChange:
    """What is asked for.

    Attributes:
        code, field: of the errors whose rows are corrected.
        column: header, or field, of the cell that is changed; that of ``field`` where it is ``None``.
        type: what becomes of the cell.
        old: see ``CellChange``.
        new: a text, a number, a boolean or nothing, as corrections of one row have it.
        part: see ``CellChange``.
        as_of: rows that are corrected since are left alone; ``None`` for now.
    """

    code: str
    field: str
    column: str | None
    type: CellChangeType
    old: str | None = None
    new: object = None
    part: bool = False
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class BulkCorrection:
    """A run and its last bulk correction, which may be under way still."""

    run: RunDocument
    correction: BulkCorrectionDocument


class BulkCorrections:
    """Takes bulk corrections in, and works at them.

    Args:
        ledger: where they are.
        dry_runs: wait until changed rows are checked.
        retries: says which runs have rows that can be changed.
        owner: name of this process.
        wait_seconds: bounds the wait for one.
    """

    def __init__(self, ledger: Ledger, dry_runs: DryRuns, retries: Retries, owner: str, wait_seconds: float) -> None:
        self._ledger = ledger
        self._dry_runs = dry_runs
        self._retries = retries
        self._owner = owner
        self._wait_seconds = wait_seconds
        self._told = [asyncio.Event() for _ in range(AT_WORK)]

    async def correct(
        self, principal: Principal, run_id: str, wanted: WantedChange, *, dry_run: bool
    ) -> BulkCorrection:
        """Correct all open and corrected rows of a run with an error, then check them by the rules of the run; as far
        as that is when the time is over. The change is made on top of earlier corrections.

        Asked for again while it is under way, it is the same one; afterwards, with the same ``as_of``, it finds that
        all rows were corrected since.

        Args:
            principal: who asks.
            run_id: the run.
            wanted: the change.
            dry_run: only count, and show examples.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: ``BULK_CORRECTION_UNDER_WAY``, another one of the run is; ``RETRY_UNDER_WAY``;
                ``WRONG_STATE`` and ``IS_A_RETRY`` of the run.
            InvalidInputError: at ``field``, ``column`` and ``change``; they cannot be used.
        """
        run = await self._retries.completed(principal, run_id)
        request = _request(run, wanted)
        if not await self._ledger.retries.settle_at_work(run):
            raise ConflictError(
                "RETRY_UNDER_WAY",
                f"the run {run.retry_at_work} is retrying rejected rows of this one; wait until it has ended",
            )
        as_of = wanted.as_of or await self._ledger.bulk_corrections.now()
        starter = started_by(principal).model_dump()
        asked = {**request, "dry_run": dry_run, "as_of": as_of, "requested_by": starter}
        correction = await self._ledger.bulk_corrections.ask(run.id, run.tenant_id, asked)
        if correction is None:
            raise not_found("run", run_id)
        if not _same(correction, request, wanted.as_of, dry_run=dry_run):
            raise ConflictError(
                "BULK_CORRECTION_UNDER_WAY",
                "another correction of many rows of this run is under way; GET the same address until it has ended",
            )
        for told in self._told:
            told.set()
        return _told(BulkCorrection(run, await self._ended(correction)))

    async def last(self, principal: Principal, run_id: str) -> BulkCorrection:
        """The last bulk correction of a run, or dry run of one.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: ``NO_BULK_CORRECTION``; or the code of why it was not done.
        """
        run = await RunStore(principal).required(run_id)
        correction = await self._ledger.bulk_corrections.get(run_id)
        if correction is None:
            message = "nobody has corrected many rows of this run at once yet; POST to the same address does"
            raise ConflictError("NO_BULK_CORRECTION", message)
        return _told(BulkCorrection(run, correction))

    async def _ended(self, correction: BulkCorrectionDocument) -> BulkCorrectionDocument:
        """The correction once it is no longer under way, or as it is when the time is over."""
        for pause in pauses(self._wait_seconds):
            await asyncio.sleep(pause)
            found = await self._ledger.bulk_corrections.get(correction.id)
            if found is None or found.version != correction.version:
                break
            correction = found
            if found.state is not RequestState.WAITING:
                break
        return correction

    # --- the work --------------------------------------------------------------------------------

    async def work(self, place: int) -> None:
        """Work at bulk corrections until cancelled.

        Args:
            place: which of ``AT_WORK``.
        """
        await work_off(self._told[place], self.next, LOOK_SECONDS, "bulk corrections")

    async def next(self) -> bool:
        """Work at the bulk correction whose turn it is; whether there was one."""
        taken = await self._ledger.bulk_corrections.take_next(self._owner, LEASE_SECONDS)
        if taken is None:
            return False
        held, correction = taken
        renew = partial(self._ledger.bulk_corrections.renew, held, LEASE_SECONDS)
        try:
            async with repeating(LEASE_SECONDS / 3, renew, "bulk correction"):
                await self._work_at(held, correction)
        except PermanentError as error:
            await self._ledger.bulk_corrections.fail(held, error.code, error.detail)
        except Exception:
            await self._ledger.bulk_corrections.give_back(held)
            raise
        return True

    async def _work_at(self, held: HeldRequest, correction: BulkCorrectionDocument) -> None:
        if held.attempts > MOST_ATTEMPTS:
            raise PermanentError(
                RunErrorCode.BATCH_FAILED,
                f"correcting the rows failed {MOST_ATTEMPTS} times. This is a fault of Rowdock or its servers, not of "
                "the rows; tell the operator the id of this run",
            )
        corrections = self._ledger.bulk_corrections
        while await corrections.change_some(held, partial(decided, correction)):
            pass
        run, changed = await self._ledger.runs.get(held.run_id), await corrections.get(held.run_id)
        if run is None:
            await corrections.drop(held.run_id)
            return
        if changed is None or not changed.applied:
            raise PermanentError(
                "WRONG_STATE", f"the run is {run.status.value}; no more of its rejected rows were corrected"
            )
        if changed.changed and not changed.dry_run and not changed.checked:
            await self._check(held, run, changed)
        await corrections.finish(held)

    async def _check(self, held: HeldRequest, run: RunDocument, correction: BulkCorrectionDocument) -> None:
        """Have the changed rows checked; where that takes too long they are not, and a retry does it."""
        request = RetryRequest(rows="bulk", bulk=correction.version)
        lane = Lane.LARGE if correction.changed > MANY_ROWS else Lane.SMALL
        check = run_of_rows(correction.requested_by, run, RunPurpose.CHECK, request, lane)
        async with self._dry_runs.submitted(check):
            checked = await self._dry_runs.checked(check)
            failure = None if checked is None else (checked.failure or {}).get("code")
            if checked is None or (checked.status is RunStatus.FAILED and failure != RunErrorCode.INVALID_ROWS):
                return
            while await self._ledger.bulk_corrections.note_some(held, check.id):
                pass


def _request(run: RunDocument, wanted: WantedChange) -> dict[str, object]:
    """The change by the columns of the file.

    Raises:
        InvalidInputError: it cannot be made.
    """
    assert run.plan is not None
    problems: list[Problem] = []
    if wanted.field not in {field.name for field in run.template.fields}:
        problems.append(Problem("field", "UNKNOWN_FIELD", "the template of the run has no field of this name"))
    place = "field" if wanted.column is None else "column"
    column = column_named(wanted.column or wanted.field, run.plan)
    new = None
    if isinstance(column, CellColumn):
        new, wrong = cell_text(wanted.new, run.plan, column)
        if wrong is not None:
            problems.append(Problem("change.new", "INVALID", wrong))
    elif not problems:
        message = f"{column.message}; name in column the one whose cells are to be changed"
        problems.append(Problem(place, column.code, column.message if wanted.column else message))
    for name, text in (("old", wanted.old), ("new", new)):
        if text is not None and len(text.encode()) > MAX_TEXT_BYTES:
            message = f"a correction of many rows has texts of at most {MAX_TEXT_BYTES:,} bytes; shorten it"
            problems.append(Problem(f"change.{name}", "INVALID", message))
    if wanted.part and not wanted.old:
        problems.append(Problem("change.old", "MISSING", "say which part of the cells is to be replaced"))
    if problems:
        raise invalid_input(*problems)
    assert not isinstance(column, Wrong)
    change = CellChange(type=wanted.type, old=wanted.old, new=new, part=wanted.part)
    stored = {**change.model_dump(), "type": change.type.value}
    return {"code": wanted.code, "field": wanted.field, "at": column.at, "change": stored}


def _same(
    correction: BulkCorrectionDocument, request: dict[str, object], as_of: datetime | None, *, dry_run: bool
) -> bool:
    """Whether that is what was asked for."""
    stored = {**correction.change.model_dump(), "type": correction.change.type.value}
    of_it = {"code": correction.code, "field": correction.field, "at": correction.at, "change": stored}
    return of_it == request and correction.dry_run is dry_run and as_of in {None, correction.as_of}


def _told(found: BulkCorrection) -> BulkCorrection:
    """The same, unless it was not done.

    Raises:
        ConflictError: why not.
    """
    if found.correction.state is RequestState.FAILED:
        failure = found.correction.failure or {}
        raise ConflictError(failure.get("code", "BULK_CORRECTION_FAILED"), failure.get("message"))
    return found
