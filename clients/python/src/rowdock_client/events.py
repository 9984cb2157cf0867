"""Events of a run as they are heard, and when one comes again after the stream broke off: for both clients, pure."""

import json
from dataclasses import dataclass
from typing import Any

from httpx_sse import ServerSentEvent

from rowdock_client import calls
from rowdock_client.calls import Call
from rowdock_client.errors import NotReachableError, RowdockError, UnexpectedAnswerError
from rowdock_client.progress import Progress

END = "end"
STATES = frozenset({"snapshot", "progress", END})
"""Events with the whole state."""
DEFAULT_PAUSE = 3.0
MOST_SILENT = 5
"""So many connections one after another that tell nothing are too many."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that a run has told.

    Attributes:
        kind: ``snapshot``, ``status``, ``progress``, ``end``, ``fault``; later releases may have more.
        data: as it came.
        progress: how far the run is, in the events that say so.
    """

    kind: str
    data: dict[str, Any]
    progress: Progress | None = None


class Following:
    """Where somebody is who follows a run."""

    def __init__(self, run_id: str) -> None:
        self.ended = False
        self._run_id = run_id
        self._last_id: str | None = None
        self._pause = DEFAULT_PAUSE
        self._silent = 0

    def call(self) -> Call[bytes]:
        """The next connection: from the event on that was heard last."""
        self._silent += 1
        return calls.follow_run(self._run_id, last_event_id=self._last_id)

    def heard(self, told: ServerSentEvent) -> RunEvent | None:
        """An event of the stream; ``None`` where it only says how to come again.

        Raises:
            UnexpectedAnswerError: it is none of a run.
        """
        if told.retry is not None:
            self._pause = told.retry / 1000
        if not told.data:
            return None
        self._silent = 0
        self._last_id = told.id or self._last_id
        try:
            data: Any = json.loads(told.data)
            progress = Progress.told(data) if told.event in STATES else None
        except (KeyError, TypeError, ValueError) as error:
            raise UnexpectedAnswerError(200, f"the event {told.event!r} cannot be read: {error!r}") from error
        self.ended = told.event == END
        return RunEvent(told.event, data, progress)

    def nothing_more(self) -> None:
        """The gateway has said that the end was heard."""
        self.ended = True

    def pause(self, failure: RowdockError | None) -> float:
        """Seconds until the next connection, after one that has closed or broken off.

        Raises:
            RowdockError: it is not worth it.
        """
        if failure is not None and not isinstance(failure, NotReachableError):
            raise failure
        if self._silent >= MOST_SILENT:
            raise failure or UnexpectedAnswerError(200, "the stream of events tells nothing")
        # What has told something before is worth coming again at once; else in a while.
        return 0 if self._silent == 0 and failure is None else self._pause
