"""One thing that is wrong with a request, and where."""

from dataclasses import dataclass


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
