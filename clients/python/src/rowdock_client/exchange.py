"""Calls as requests of httpx, answers as results or errors, and when a call is made again: for both clients, pure."""

from dataclasses import dataclass
from typing import IO, Any, TypeVar

import httpx
from pydantic import ValidationError
from tenacity import RetryCallState, stop_after_attempt, wait_random_exponential
from tenacity.stop import stop_base

from rowdock_client.calls import IDEMPOTENCY_KEY, Call
from rowdock_client.errors import NotReachableError, RefusedError, UnexpectedAnswerError, refusal
from rowdock_client.models import ErrorView

T = TypeVar("T")

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Failures before anything of a request was sent."""
NOTHING_DONE = frozenset({429, 503})
"""Statuses of refusals at the door; what says ``Retry-After`` with one of them may be sent again, whatever it is."""
PASSING = frozenset({408, 502, 503, 504})
"""Statuses after which it is open whether something was done."""
IN_FLIGHT = 409
"""With ``Retry-After``, of a call with an idempotency key: the first one is still at work."""
DEFAULT_TIMEOUT = httpx.Timeout(30, connect=5, read=120)
"""Seconds; an answer may take long while the gateway waits for a result."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call that may be made again is made, and for how long.

    Attributes:
        attempts: most attempts.
        seconds: no further attempt begins later than this after the first; a longer ``Retry-After`` is not waited for.
    """

    attempts: int = 5
    seconds: float = 90

    def stop(self) -> stop_base:
        """When it is over, for tenacity."""
        return stop_after_attempt(self.attempts) | _too_late(self.seconds)


class _too_late(stop_base):  # noqa: N801 - as tenacity names these
    """Stops where the next attempt would begin too late."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, retry_state: RetryCallState) -> bool:
        return (retry_state.seconds_since_start or 0) + retry_state.upcoming_sleep > self._seconds


_backoff = wait_random_exponential(multiplier=0.3, max=10)


def pause_before_next(state: RetryCallState) -> float:
    """Seconds until the next attempt: what the answer says, else longer each time."""
    failure = state.outcome.exception() if state.outcome is not None else None
    told = failure.retry_after if isinstance(failure, RefusedError) else None
    return _backoff(state) if told is None else told


def worth_another(call: Call[Any], failure: BaseException) -> bool:
    """Whether a call that failed may be made again without doing anything twice."""
    match failure:
        case NotReachableError():
            return call.repeatable or not failure.sent
        case RefusedError(status=status, retry_after=after):
            if status in NOTHING_DONE and after is not None:
                return True
            if status == IN_FLIGHT and after is not None:
                return IDEMPOTENCY_KEY in call.headers
            return call.repeatable and status in PASSING
        case _:
            return False


def request_of(client: httpx.Client | httpx.AsyncClient, call: Call[Any], file: IO[bytes] | None) -> httpx.Request:
    """The request that a call is.

    Args:
        client: that sends it.
        call: what is asked.
        file: its file, open.
    """
    files = None if file is None or call.file is None else {"file": (call.file.name, file)}
    return client.build_request(
        call.method,
        call.path,
        params={name: _text(value) for name, value in call.query.items() if value is not None},
        headers=dict(call.headers),
        json=call.body,
        data=dict(call.form) or None,
        files=files,
    )


def _text(value: str | float | bool) -> str:  # noqa: FBT001 - any value of a query
    return str(value).lower() if isinstance(value, bool) else str(value)


def unreachable(url: str, error: httpx.TransportError) -> NotReachableError:
    """The error that a failure of the transport means."""
    return NotReachableError(url, str(error) or type(error).__name__, sent=not isinstance(error, NOT_SENT))


def result_of(call: Call[T], answer: httpx.Response) -> T:
    """The result of an answer that was read whole.

    Raises:
        RefusedError: the gateway refused.
        UnexpectedAnswerError: it is no answer of a gateway.
    """
    refuse(answer)
    try:
        return call.read(answer.content)
    except ValidationError as error:
        raise UnexpectedAnswerError(answer.status_code, _first_problem(error)) from error


def refuse(answer: httpx.Response) -> None:
    """Raise what an answer that is no success means; its body was read.

    Raises:
        RefusedError: the gateway refused.
        UnexpectedAnswerError: it is no answer of a gateway.
    """
    if answer.is_success:
        return
    try:
        told = ErrorView.model_validate_json(answer.content)
    except ValidationError as error:
        raise UnexpectedAnswerError(answer.status_code, "its body is no error of Rowdock's") from error
    raise refusal(answer.status_code, told, _seconds(answer.headers.get("retry-after")))


def _seconds(retry_after: str | None) -> float | None:
    """Rowdock answers with seconds; what a proxy may answer, a date, is taken as no word about it."""
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
