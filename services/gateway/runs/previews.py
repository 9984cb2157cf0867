"""What a run would do to its target, worked out by a writer; and whether the target has changed since."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from libs.contracts.rejections import RowError
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.ledger.previews import ChangingRun
from libs.storage.documents import PreviewDocument, RequestState, RunDocument
from services.gateway.access.principal import Principal
from services.gateway.errors import ConflictError, TookTooLongError
from services.gateway.runs.dry_runs import DryRuns
from services.gateway.runs.pauses import pauses
from services.gateway.stores.rejected import RejectedStore
from services.gateway.stores.runs import RunStore

OUTDATED = "PREVIEW_OUTDATED"
_NAMED = 3


@dataclass(frozen=True, slots=True)
class PreviewOfRun:
    """A run and its preview, which may be under way still.

    Attributes:
        errors: the first errors of rejected rows, of a file that nothing is kept of.
    """

    run: RunDocument
    preview: PreviewDocument | None
    errors: Sequence[tuple[int, RowError]] = ()


class Previews:
    """Previews of validated runs, and of files that are only tried.

    Args:
        ledger: where they are asked for.
        dry_runs: checks files of which nothing is kept.
        wait_seconds: bounds the wait for the preview of a run.
        max_errors: most errors that an answer lists.
    """

    def __init__(self, ledger: Ledger, dry_runs: DryRuns, wait_seconds: float, max_errors: int) -> None:
        self._ledger = ledger
        self._dry_runs = dry_runs
        self._wait_seconds = wait_seconds
        self._max_errors = max_errors

    async def of_run(self, principal: Principal, run_id: str) -> PreviewOfRun:
        """Have the preview of a validated run worked out; as far as it is when the time is over.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: ``WRONG_STATE``, it is not validated; or the code of why there can be no preview.
        """
        run = await RunStore(principal).required(run_id)
        if run.status is not RunStatus.VALIDATED or run.stop is not None:
            message = f"the run is {run.status.value} and has no preview; only a run that is validated has"
            raise ConflictError("WRONG_STATE", message)
        preview = await self._worked_out(run, await self._ledger.previews.request(run), self._wait_seconds)
        return _told(PreviewOfRun(run, preview))

    async def last(self, principal: Principal, run_id: str) -> PreviewOfRun:
        """The last preview of a run.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: ``NO_PREVIEW``, nobody has asked for one; or the code of why there can be none.
        """
        run = await RunStore(principal).required(run_id)
        preview = await self._ledger.previews.get(run_id)
        if preview is None:
            message = "nobody has asked for a preview of this run yet; POST to the same address works one out"
            raise ConflictError("NO_PREVIEW", message)
        return _told(PreviewOfRun(run, preview))

    async def of_file(self, principal: Principal, run: RunDocument) -> PreviewOfRun:
        """What the file of a dry run would do. Nothing is left of it afterwards.

        Raises:
            TookTooLongError: ``PREVIEW_TOO_LONG``.
            ConflictError: the code of why there can be no preview.
        """
        async with self._dry_runs.submitted(run):
            seconds = self._dry_runs.wait_seconds
            began = time.monotonic()
            checked = await self._dry_runs.checked(run)
            preview = None
            if checked is not None and checked.status is RunStatus.VALIDATED:
                version = await self._ledger.previews.request(checked)
                preview = await self._worked_out(checked, version, seconds - (time.monotonic() - began))
            unfinished = preview is not None and preview.state is RequestState.WAITING
            if checked is None or unfinished:
                raise TookTooLongError(
                    "PREVIEW_TOO_LONG",
                    f"the preview took longer than {seconds:g} seconds and was given up; upload the file and ask for "
                    "the preview of the run",
                )
            errors = await RejectedStore(principal).first_errors(run.id, self._max_errors)
            return _told(PreviewOfRun(checked, preview, errors))

    async def require_current(self, principal: Principal, run_id: str, version: str | None) -> None:
        """See that the target of a run is as it was when its preview was worked out, if there is one.

        Args:
            principal: who is about to execute the run.
            run_id: of the run.
            version: of the preview that was looked at; ``None`` for the last one.

        Raises:
            ConflictError: ``PREVIEW_OUTDATED``, with what has changed.
        """
        preview = await self._ledger.previews.get(run_id)
        if preview is None and version is None:
            return  # Nearly all executions: the run itself is read when it is executed.
        run = await RunStore(principal).get(run_id)
        if run is None or run.status is not RunStatus.VALIDATED:
            return
        known = preview is not None and preview.state is RequestState.DONE and preview.version == version
        if version is not None and not known:
            raise ConflictError(
                OUTDATED,
                f"the run has no preview of the version {version[:40]!r} any more; ask for its preview again, look at "
                "that and execute the run with its preview_version",
            )
        if preview is None or preview.state is not RequestState.DONE or preview.seen is None:
            return
        if changed := await self._ledger.previews.changed_since(run, preview.seen):
            raise ConflictError(OUTDATED, _changes(run, changed))

    async def _worked_out(self, run: RunDocument, version: str, seconds: float) -> PreviewDocument | None:
        """The preview once it is no longer under way, or as it is when the time is over."""
        preview = await self._ledger.previews.get(run.id)
        for pause in pauses(seconds):
            if preview is None or preview.version != version or preview.state is not RequestState.WAITING:
                break
            await asyncio.sleep(pause)
            preview = await self._ledger.previews.get(run.id)
        return preview


def _told(found: PreviewOfRun) -> PreviewOfRun:
    """The same, unless there is no preview.

    Raises:
        ConflictError: why there is none.
    """
    if found.preview is not None and found.preview.state is RequestState.FAILED:
        failure = found.preview.failure or {}
        raise ConflictError(failure.get("code", "PREVIEW_FAILED"), failure.get("message"))
    return found


def _changes(run: RunDocument, changed: Sequence[ChangingRun]) -> str:
    """What has changed, and what to do."""
    some = "; ".join(map(_change, changed[:_NAMED]))
    more = len(changed) - _NAMED
    rest = f"; and {more} more runs" if more > 0 else ""
    return (
        f"since the preview of this run other runs have changed {run.template.target_resource!r}: {some}{rest}. Ask "
        "for the preview again, or execute the run with ignore_changes=true"
    )


def _change(run: ChangingRun) -> str:
    if run.counts is None or run.ended_at is None:
        return f"run {run.id} is {run.status}"
    counts = run.counts
    return (
        f"run {run.id}, {run.status}, created {counts.created}, updated {counts.updated} and deleted {counts.deleted} "
        "records"
    )
