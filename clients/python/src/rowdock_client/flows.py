"""What takes several requests, defined once for both clients: generators that yield requests and pauses.

A client that plays a flow makes each request that it yields and sends the answer back in; it sleeps for each pause, and
listens where events are to be followed.
"""

import time
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from rowdock_client import calls
from rowdock_client.calls import Call, RunState
from rowdock_client.errors import RunFailedError, TimeIsUpError
from rowdock_client.events import RunEvent
from rowdock_client.models import BulkCorrectionRequest, BulkCorrectionView, PreviewView, RunView
from rowdock_client.progress import Progress
from rowdock_client.sources import FileLike

T = TypeVar("T")

ENDED: Collection[RunState] = ("completed", "failed", "cancelled", "reverted")
"""Statuses in which nothing more happens by itself."""
FIRST_PAUSE = 0.1
PAUSE_GROWTH = 1.5
LONGEST_PAUSE = 2.0
"""Seconds between two looks: 100 reads a minute, which a key may make by default, are not used up by one run."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A step of a flow: nothing happens for ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Follow:
    """A step of a flow: the events of a run are heard, until ``hear`` says that it is enough; whether it did.

    ``False`` says that they cannot be heard, or no longer: then the run is to be looked at.
    """

    run_id: str
    hear: Callable[[RunEvent], bool]


Step = Call[Any] | Pause | Follow
Flow = Generator[Step, Any, T]
Watch = Callable[[Progress], None]
"""Is told how far a run is, whenever that is known anew."""


def ask(call: Call[T]) -> Flow[T]:
    """The answer to one request."""
    return (yield call)


def wait_for_run(
    run_id: str,
    *,
    until: Collection[RunState] = (),
    watch: Watch | None = None,
    seconds: float | None = None,
) -> Flow[RunView]:
    """The run once it has ended or is in one of ``until``.

    Args:
        run_id: id of the run.
        until: statuses that are waited for, besides those in which it has ended.
        watch: is told how far it is.
        seconds: how long it is waited; without it as long as it takes.

    Raises:
        TimeIsUpError: not within ``seconds``.
    """
    run = yield from ask(calls.get_run(run_id))
    return (yield from settle_run(run, until=until, watch=watch, seconds=seconds))


def settle_run(
    run: RunView,
    *,
    until: Collection[RunState] = (),
    watch: Watch | None = None,
    seconds: float | None = None,
) -> Flow[RunView]:
    """``wait_for_run`` of a run that was just answered.

    It is heard by the events of the run; where these cannot be had, or ``seconds`` are given, it is looked at again
    and again.
    """
    looks = _looks(f"run {run.id}", seconds, f"look again: `rowdock runs watch {run.id}`")
    wanted = {*until, *ENDED}
    listening = seconds is None

    def hear(event: RunEvent) -> bool:
        if watch is not None and event.progress is not None:
            watch(event.progress)
        return event.data.get("status") in wanted

    while True:
        if watch is not None:
            watch(Progress.of(run))
        if run.status in wanted:
            return run
        listening = listening and (yield Follow(run.id, hear))
        if not listening:
            yield from looks
        run = yield from ask(calls.get_run(run.id))


def check_file(
    file: FileLike,
    template_id: str,
    *,
    mapping: Mapping[str, str | None] | None = None,
    target_tenant_id: str | None = None,
    idempotency_key: str | None = None,
    watch: Watch | None = None,
    seconds: float | None = None,
) -> Flow[RunView]:
    """Upload a file and wait until it is checked; nothing is written unless its template says ``auto_execute``.

    Raises:
        RunFailedError: the file cannot be imported.
        TimeIsUpError: not within ``seconds``.
    """
    uploaded = yield from ask(
        calls.upload_file(
            file,
            template_id,
            mapping=mapping,
            target_tenant_id=target_tenant_id,
            idempotency_key=idempotency_key,
            wait=_patience(watch),
        )
    )
    if idempotency_key is not None:  # It may be the answer to an earlier one, as it was then.
        uploaded = yield from ask(calls.get_run(uploaded.id))
    run = yield from settle_run(
        uploaded, until=() if uploaded.auto_execute else ("validated",), watch=watch, seconds=seconds
    )
    return _standing(run)


def write_run(
    run_id: str,
    *,
    confirm_deletes: int | Literal[True] | None = None,
    ignore_changes: bool | None = None,
    watch: Watch | None = None,
    seconds: float | None = None,
) -> Flow[RunView]:
    """Execute a validated run and wait until it is written.

    Raises:
        RunFailedError: it failed or was cancelled.
        TimeIsUpError: not within ``seconds``.
    """
    run = yield from ask(
        calls.execute_run(run_id, confirm_deletes=confirm_deletes, ignore_changes=ignore_changes, wait=_patience(watch))
    )
    return _standing((yield from settle_run(run, watch=watch, seconds=seconds)))


def import_file(
    file: FileLike,
    template_id: str,
    *,
    mapping: Mapping[str, str | None] | None = None,
    target_tenant_id: str | None = None,
    idempotency_key: str | None = None,
    confirm_deletes: int | Literal[True] | None = None,
    watch: Watch | None = None,
    seconds: float | None = None,
) -> Flow[RunView]:
    """Upload a file, have it checked, and write what is valid.

    Args:
        file: what is imported.
        template_id: id of the template.
        mapping: header of a column → name of the field that it fills, or ``None`` for a column that is not wanted.
        target_tenant_id: an organization below one's own, whose records these are.
        idempotency_key: the same for the same import; a repetition of an import that was written is answered with it.
        confirm_deletes: how many records a sync may delete, or ``True`` for any number.
        watch: is told how far it is.
        seconds: how long each of the two stages may take; without it as long as it takes.

    Raises:
        RunFailedError: the file cannot be imported, or the run failed or was cancelled.
        TimeIsUpError: not within ``seconds``; it goes on.
    """
    run = yield from check_file(
        file,
        template_id,
        mapping=mapping,
        target_tenant_id=target_tenant_id,
        idempotency_key=idempotency_key,
        watch=watch,
        seconds=seconds,
    )
    if run.status != "validated":
        return run
    return (yield from write_run(run.id, confirm_deletes=confirm_deletes, watch=watch, seconds=seconds))


def preview_run(run_id: str, *, seconds: float | None = None) -> Flow[PreviewView]:
    """Have the preview of a validated run worked out, and wait for it.

    Raises:
        TimeIsUpError: not within ``seconds``.
    """
    preview = yield from ask(calls.request_preview(run_id))
    looks = _looks(f"the preview of run {run_id}", seconds, "ask for it again")
    while preview.status == "waiting":
        yield from looks
        preview = yield from ask(calls.get_preview(run_id))
    return preview


def correct_rows(
    run_id: str, correction: BulkCorrectionRequest | Mapping[str, Any], *, seconds: float | None = None
) -> Flow[BulkCorrectionView]:
    """Make the same correction in all rejected rows with one error, and wait until they are checked.

    Raises:
        TimeIsUpError: not within ``seconds``; it goes on.
    """
    found = yield from ask(calls.correct_all_rejected(run_id, correction))
    looks = _looks(f"the correction of run {run_id}", seconds, "ask again with the same correction")
    while found.status == "waiting":
        yield from looks
        found = yield from ask(calls.get_bulk_correction(run_id))
    return found


def revert(run_id: str, *, watch: Watch | None = None, seconds: float | None = None) -> Flow[RunView]:
    """Have what a run has written taken back, and wait for it.

    Raises:
        TimeIsUpError: not within ``seconds``; it goes on.
    """
    run = yield from ask(calls.revert_run(run_id, wait=_patience(watch)))
    return (yield from settle_run(run, watch=watch, seconds=seconds))


def cancel(run_id: str, *, watch: Watch | None = None, seconds: float | None = None) -> Flow[RunView]:
    """Cancel an active run, and wait until it has stopped.

    Raises:
        TimeIsUpError: not within ``seconds``; it goes on.
    """
    run = yield from ask(calls.cancel_run(run_id))
    return (yield from settle_run(run, watch=watch, seconds=seconds))


def _looks(what: str, seconds: float | None, remedy: str) -> "_Looks":
    return _Looks(what, seconds, remedy)


class _Looks:
    """Pauses between looks, each longer than the one before."""

    def __init__(self, what: str, seconds: float | None, remedy: str) -> None:
        self._what = what
        self._seconds = seconds
        self._remedy = remedy
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._pause = FIRST_PAUSE

    def __iter__(self) -> Generator[Step, Any, None]:
        """One pause.

        Raises:
            TimeIsUpError: the time is over.
        """
        pause = self._pause
        if self._deadline is not None and self._seconds is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeIsUpError(self._what, self._seconds, self._remedy)
            pause = min(pause, left)
        yield Pause(pause)
        self._pause = min(self._pause * PAUSE_GROWTH, LONGEST_PAUSE)


def _patience(watch: Watch | None) -> int | None:
    """Whoever watches wants to hear at once; else the gateway's own wait saves requests."""
    return None if watch is None else 0


def _standing(run: RunView) -> RunView:
    if run.status in {"failed", "cancelled"}:
        raise RunFailedError(run)
    return run
