"""What can go wrong, typed by what to do about it.

Every error has a stable ``code``, a message for a person, and a ``remedy``: what to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rowdock_client.models import ErrorView, ProblemView

if TYPE_CHECKING:
    from rowdock_client.models import RunView


class RowdockError(Exception):
    """The base of all errors of this package.

    Attributes:
        code: stable upper-case identifier.
        message: what is wrong.
        remedy: what to do about it.
        status: HTTP status of the answer, ``None`` where there was none.
    """

    status: int | None = None

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(f"{code}: {message} ({remedy})")
        self.code = code
        self.message = message
        self.remedy = remedy

    def described(self) -> dict[str, object]:
        """The error as members of a JSON object."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy, "status": self.status}


class NotReachableError(RowdockError):
    """There was no answer: nobody listens there, or the connection broke.

    Attributes:
        sent: whether the request may have arrived.
    """

    def __init__(self, url: str, reason: str, *, sent: bool) -> None:
        done = "the connection broke" if sent else "no connection"
        super().__init__(
            "NOT_REACHABLE",
            f"{done} to {url}: {reason}",
            "check the address (`rowdock login`, ROWDOCK_URL), and that the gateway runs there",
        )
        self.sent = sent


class UnexpectedAnswerError(RowdockError):
    """Whatever answered is no Rowdock, or one that this release of the client does not understand."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(
            "UNEXPECTED_ANSWER",
            f"an answer with status {status} cannot be understood: {reason}",
            "check that the address is that of a Rowdock gateway, and whether there is a newer rowdock-client",
        )
        self.status = status


class RunFailedError(RowdockError):
    """A run ended as failed or cancelled.

    Attributes:
        run: as it is now.
    """

    def __init__(self, run: "RunView") -> None:
        code, message = ("CANCELLED", "the run was cancelled")
        if run.error is not None:
            code, message = run.error.code, run.error.message
        super().__init__(
            code, message, f"mend the file or the template and import it again; `rowdock runs get {run.id}`"
        )
        self.run = run

    def described(self) -> dict[str, object]:
        return {**super().described(), "run_id": self.run.id}


class TimeIsUpError(RowdockError):
    """Something goes on, longer than was to be waited for it."""

    def __init__(self, what: str, seconds: float, remedy: str) -> None:
        super().__init__("TIME_IS_UP", f"{what} takes longer than {seconds:g} seconds, and goes on", remedy)


class RefusedError(RowdockError):
    """The gateway refused what was asked, or could not do it.

    Attributes:
        problems: the single places that are wrong.
        request_id: finds the request in the logs of the gateway.
        retry_after: seconds after which it may be tried again, where the answer says so.
    """

    default_remedy: ClassVar[str] = "mend what the message names, and ask again"

    def __init__(self, status: int, answer: ErrorView, retry_after: float | None = None) -> None:
        super().__init__(answer.code, answer.detail, REMEDIES.get(answer.code, self.default_remedy))
        self.status = status
        self.problems: Sequence[ProblemView] = answer.errors
        self.request_id = answer.request_id
        self.retry_after = retry_after

    def described(self) -> dict[str, object]:
        problems = [problem.model_dump(mode="json") for problem in self.problems]
        return {**super().described(), "errors": problems, "request_id": self.request_id}


class InvalidRequestError(RefusedError):
    """400, 413, 415, 422: what was sent cannot be used; ``problems`` says where."""


class NotAllowedError(RefusedError):
    """401, 403: the key is missing, unknown, revoked, expired, or may not do this."""

    default_remedy = "check the API key and its scopes (`rowdock login`, ROWDOCK_API_KEY)"


class NotFoundError(RefusedError):
    """404: there is no such thing, or it belongs to somebody else."""

    default_remedy = "check the id; `rowdock runs list` and `rowdock templates list` show what there is"


class ConflictError(RefusedError):
    """409: what is there now does not allow it."""

    default_remedy = "look at it as it is now (`rowdock runs get`), and decide anew"


class TooManyError(RefusedError):
    """429, 507: a limit of the key or of the organization is reached."""

    default_remedy = "wait, send less at once, or ask the operator for a higher limit"


class ServerFaultError(RefusedError):
    """5xx: the gateway cannot answer at the moment."""

    default_remedy = "try again later; the operator finds the request by its request_id"


@dataclass(frozen=True, slots=True)
class _Range:
    """Statuses that mean one kind of refusal."""

    statuses: frozenset[int]
    error: type[RefusedError]


_KINDS = (
    _Range(frozenset({401, 403}), NotAllowedError),
    _Range(frozenset({404}), NotFoundError),
    _Range(frozenset({409, 412, 428}), ConflictError),
    _Range(frozenset({429, 507}), TooManyError),
    _Range(frozenset({500, *range(502, 507)}), ServerFaultError),
)

REMEDIES: Mapping[str, str] = {
    "DELETES_NOT_CONFIRMED": "look at what would go (`rowdock preview --run`), then confirm their number, or cancel",
    "PREVIEW_OUTDATED": "preview it again, or execute with --ignore-changes",
    "IDEMPOTENCY_KEY_REUSED": "use another idempotency key for another file, template or mapping",
    "TEMPLATE_CHANGED": "compare it again as it is now (`rowdock templates diff`), then apply it",
    "TOO_LARGE_FOR_XLSX": "take CSV (--format csv)",
}
"""What to do about single codes, in the words of the command line."""


def refusal(status: int, answer: ErrorView, retry_after: float | None = None) -> RefusedError:
    """The error that an answer of the gateway means.

    Args:
        status: of HTTP.
        answer: its body.
        retry_after: seconds, from the header.
    """
    kind = next((each.error for each in _KINDS if status in each.statuses), InvalidRequestError)
    return kind(status, answer, retry_after)
