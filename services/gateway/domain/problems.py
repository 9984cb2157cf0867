"""What is wrong with a request, and where."""

from dataclasses import dataclass

from libs.contracts.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding about one place of a request.

    Attributes:
        location: e.g. ``body.field_mapping[2].validators[0].pattern``, ``query.limit``.
        code: stable upper-case identifier.
        message: what is wrong and how to fix it.
    """

    location: str
    code: str
    message: str


class InvalidTemplateError(PermanentError):
    """A template that cannot be saved, with everything that is wrong with it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        things = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("INVALID_TEMPLATE", f"the template has {things}; see errors")
        self.problems = problems
