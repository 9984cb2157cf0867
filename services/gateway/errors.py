"""What a capability refuses, and why.

Nothing here knows over which protocol, or in which vocabulary, something was asked.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from libs.contracts.errors import RowdockError
from services.gateway.shown import shown

MAX_DETAILED = 3
"""How many problems a detail tells; more of them are listed beside it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one place of what was asked.

    Attributes:
        location: raised by a capability, a path of the model, such as ``fields[2].rules[0].pattern``,
            ``source.encoding`` or ``mapping['Total']``; a vocabulary translates it into a place of the request.
        code: stable upper-case identifier.
        message: what is wrong and how to fix it.
    """

    location: str
    code: str
    message: str


class GatewayError(RowdockError):
    """Something that is not done.

    Args:
        code: stable upper-case identifier.
        detail: what is wrong and how to fix it, for a person; by default what the first problems say.
        problems: the single places that are wrong.
        untold: how many more there are, which nobody has named.

    Attributes:
        retry_after_seconds: when it is worth trying again, unchanged; ``None`` where it is not.
    """

    retry_after_seconds: ClassVar[int | None] = None

    def __init__(self, code: str, detail: str | None = None, problems: Iterable[Problem] = (), untold: int = 0) -> None:
        self.code = code
        self.problems = tuple(problems)
        self.untold = untold
        self._detail = detail
        super().__init__(f"{code}: {self.detail}")

    @property
    def detail(self) -> str:
        if self._detail is not None:
            return self._detail
        said = "; ".join(f"{problem.location}: {problem.message}" for problem in self.problems[:MAX_DETAILED])
        more = len(self.problems) - MAX_DETAILED + self.untold
        return said if more <= 0 else f"{said}; and {more} more, see errors"

    def placed(self, place: Callable[[str], str]) -> Self:
        """The same error with its problems at other places."""
        moved = [replace(problem, location=place(problem.location)) for problem in self.problems]
        return type(self)(self.code, self._detail, moved, self.untold)


class NotFoundError(GatewayError):
    """There is no such thing, or another organization has it: that makes no difference."""


class NotAllowedError(GatewayError):
    """It is not for the organization to do."""


class ConflictError(GatewayError):
    """It cannot be done in the present state of things."""


class OutdatedError(GatewayError):
    """The thing has another version by now than the one that it was to be changed in."""


class InvalidInputError(GatewayError):
    """What was given cannot be used."""


class InvalidTemplateError(GatewayError):
    """A template cannot work; holds everything that is wrong with it."""


class UnsupportedFileError(GatewayError):
    """The file is of a kind that the template's format does not read."""


class BusyError(GatewayError):
    """Too much is going on at the moment, of all organizations."""

    retry_after_seconds = 10


class LimitError(GatewayError):
    """The organization has as much going on as it may."""

    retry_after_seconds = 10


class StorageFullError(GatewayError):
    """The organization has as much stored as it may."""


class TookTooLongError(GatewayError):
    """It was not done in the time that it may take, and was given up."""


def not_found(kind: str, identifier: str) -> NotFoundError:
    """There is no ``kind`` of that id."""
    return NotFoundError(
        f"{kind.upper().replace(' ', '_')}_NOT_FOUND",
        f"there is no {kind} {shown(identifier)} in this organization; check the id",
    )


def suspended() -> ConflictError:
    """The refusal of anything new for an organization that nobody may ask as any more."""
    return ConflictError(
        "ORGANIZATION_SUSPENDED",
        "the organization is suspended or being deleted, and gets nothing new any more; an operator knows why",
    )


Versions = Collection[str] | None
"""The versions of a thing that may be changed; ``None`` for whichever there is."""


def require_version(current: object, wanted: Versions) -> None:
    """See that a thing has one of the versions that are wanted.

    Raises:
        OutdatedError: ``PRECONDITION_FAILED``; it has another.
    """
    if wanted is not None and str(current) not in wanted:
        raise outdated()


def outdated() -> OutdatedError:
    """The refusal of a change to what has changed meanwhile."""
    return OutdatedError(
        "PRECONDITION_FAILED",
        "it has changed since you looked at it (If-Match), and stays as it is now; get it again, with its new ETag, "
        "and decide anew",
    )


def invalid_input(*problems: Problem) -> InvalidInputError:
    """The refusal of what was given, by its problems."""
    return InvalidInputError("INVALID_REQUEST", None, problems)


def invalid_template(problems: Iterable[Problem], untold: int = 0) -> InvalidTemplateError:
    """The refusal of a template, by its problems, and how many more there are."""
    return InvalidTemplateError("INVALID_TEMPLATE", None, problems, untold)
