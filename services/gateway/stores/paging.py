"""Pages of a list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list; ``more`` says whether there is anything behind its last item."""

    items: Sequence[Item]
    more: bool


def cut(found: Sequence[Item], limit: int) -> Page[Item]:
    """The page of the first ``limit`` of what was found when asking for one more."""
    return Page(found[:limit], len(found) > limit)
