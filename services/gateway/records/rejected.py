"""Rejected rows of runs: shown, corrected, discarded."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from libs.contracts.lanes import Lane
from libs.contracts.purposes import RunPurpose
from libs.contracts.reasons import RunErrorCode
from libs.contracts.rejections import RejectedState
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.documents import RejectedRecord, RetryRequest, RunDocument
from libs.telemetry.failpoints import failpoint
from services.gateway.access.principal import Principal
from services.gateway.errors import ConflictError, TookTooLongError, Versions, not_found, outdated, require_version
from services.gateway.records.corrected_cells import corrected_cells
from services.gateway.records.retries import Retries
from services.gateway.records.runs_of_rows import run_of_rows, started_by
from services.gateway.runs.dry_runs import DryRuns
from services.gateway.stores.paging import Page
from services.gateway.stores.rejected import RejectedStore
from services.gateway.stores.runs import RunStore


@dataclass(frozen=True, slots=True)
class RejectedOfRun:
    """A page of the rejected rows of a run, and the columns that their cells follow."""

    columns: tuple[str, ...]
    rows: Page[RejectedRecord]


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A rejected row, and the columns that its cells follow."""

    columns: tuple[str, ...]
    record: RejectedRecord

    @property
    def version(self) -> str:
        """Another one after every change of the row."""
        return _version(self.record)


class RejectedRows:
    """The rows that a run did not write, with the reasons.

    Args:
        ledger: where corrections are submitted to be checked.
        dry_runs: wait for that.
        retries: says which runs have rows that can be changed.
    """

    def __init__(self, ledger: Ledger, dry_runs: DryRuns, retries: Retries) -> None:
        self._ledger = ledger
        self._dry_runs = dry_runs
        self._retries = retries

    async def page(
        self, principal: Principal, run_id: str, limit: int, after: int = 0, states: Collection[RejectedState] = ()
    ) -> RejectedOfRun:
        """Rejected rows of a run in the order of the file, from behind row ``after``, in all states or some.

        Raises:
            NotFoundError: there is no such run.
        """
        run = await RunStore(principal).required(run_id)
        await self._ledger.retries.settle_at_work(run)
        rows = await RejectedStore(principal).page(run_id, limit, after, states)
        return RejectedOfRun(run.plan.columns if run.plan else (), rows)

    async def get(self, principal: Principal, record_id: str) -> RejectedRow:
        """A rejected row.

        Raises:
            NotFoundError: there is none.
        """
        record = await self._record(principal, record_id)
        run = await RunStore(principal).get(record.run_id)
        if run is None:
            raise not_found("rejected row", record_id)
        await self._ledger.retries.settle_at_work(run)
        return await self._row(principal, run, record_id)

    async def correct(
        self, principal: Principal, record_id: str, data: Mapping[str, object], wanted: Versions = None
    ) -> RejectedRow:
        """Put corrections in the place of the earlier ones, and check them at once by the rules of the run.

        Nothing is written to the target. The row holds the errors that remain; where the check took too long it is
        not ``checked``, and a retry does it.

        Args:
            principal: who asks.
            record_id: the row.
            data: see ``corrected_cells``; without any, the row is again as it stands in the file.
            wanted: the versions of the row that may be corrected.

        Raises:
            NotFoundError: there is no such row.
            ConflictError: ``WRONG_ROW_STATE``, it was written, skipped or discarded, or is being retried;
                ``CHANGED_MEANWHILE``; ``WRONG_STATE`` and ``IS_A_RETRY`` of its run.
            InvalidInputError: at ``corrected_data``; they cannot be used.
            BusyError, LimitError: too much is being checked.
            OutdatedError: it has none of the versions that are wanted.
        """
        record, run = await self._changeable(principal, record_id, wanted)
        assert run.plan is not None
        cells = corrected_cells(data, run.plan, every=record.needs_every_cell)
        with self._dry_runs.trying(principal):
            if not await RejectedStore(principal).correct(record, cells):
                raise outdated() if wanted else await self._changed_meanwhile(principal, record_id)
            failpoint("gateway.correction_stored_before_check")
            await self._check(principal, run, record)
        return await self._row(principal, run, record_id)

    async def _check(self, principal: Principal, run: RunDocument, record: RejectedRecord) -> None:
        request = RetryRequest(rows="row", row=record.row)
        check = run_of_rows(started_by(principal), run, RunPurpose.CHECK, request, Lane.SMALL)
        try:
            found = await self._dry_runs.result(principal, check)
        except TookTooLongError:
            return
        failed = found.run.status is RunStatus.FAILED
        if failed and (found.run.failure or {}).get("code") != RunErrorCode.INVALID_ROWS:
            return
        errors = [error for _, error in found.errors]
        await RejectedStore(principal).note_errors(record, record.revision + 1, errors)

    async def discard(self, principal: Principal, record_id: str, wanted: Versions = None) -> RejectedRow:
        """Give a row up: no retry takes it any more.

        Raises:
            NotFoundError, ConflictError, OutdatedError: as ``correct``.
        """
        record, run = await self._changeable(principal, record_id, wanted)
        if not await RejectedStore(principal).discard(record):
            raise outdated() if wanted else await self._changed_meanwhile(principal, record_id)
        return await self._row(principal, run, record_id)

    async def retry(self, principal: Principal, record_id: str, effect_id: str | None = None) -> RunDocument:
        """Retry a row, see ``Retries.retry_row``."""
        if (made := await self._retries.made(principal, effect_id)) is not None:
            return made
        record, run = await self._changeable(principal, record_id)
        return await self._retries.retry_row(principal, run.id, record.row, effect_id)

    async def _changeable(
        self, principal: Principal, record_id: str, wanted: Versions = None
    ) -> tuple[RejectedRecord, RunDocument]:
        record = await self._record(principal, record_id)
        run = await self._retries.completed(principal, record.run_id)
        await self._ledger.retries.settle_at_work(run)
        record = await self._record(principal, record_id)
        require_version(_version(record), wanted)
        if record.state not in {RejectedState.OPEN, RejectedState.CORRECTED}:
            raise _wrong_state(record)
        return record, run

    async def _row(self, principal: Principal, run: RunDocument, record_id: str) -> RejectedRow:
        return RejectedRow(run.plan.columns if run.plan else (), await self._record(principal, record_id))

    async def _record(self, principal: Principal, record_id: str) -> RejectedRecord:
        if (record := await RejectedStore(principal).get(record_id)) is None:
            raise not_found("rejected row", record_id)
        return record

    async def _changed_meanwhile(self, principal: Principal, record_id: str) -> ConflictError:
        record = await self._record(principal, record_id)
        if record.state not in {RejectedState.OPEN, RejectedState.CORRECTED}:
            return _wrong_state(record)
        return ConflictError("CHANGED_MEANWHILE", "somebody else has corrected the row at the same time; look at it")


def _version(record: RejectedRecord) -> str:
    return f"{record.revision}-{record.state.value}"


def _wrong_state(record: RejectedRecord) -> ConflictError:
    retry = "" if record.retry_run_id is None else f" (retry {record.retry_run_id})"
    said = {
        RejectedState.RETRYING: f"is being retried{retry}; wait until that has ended",
        RejectedState.WRITTEN: f"was written by a retry{retry}; change its record in the target",
        RejectedState.SKIPPED: f"was skipped by a retry{retry} as {record.skip_reason}; nothing is left to be done",
        RejectedState.DISCARDED: "was discarded; import it in a file of its own",
    }
    return ConflictError("WRONG_ROW_STATE", f"the row {said.get(record.state, f'is {record.state.value}')}")
