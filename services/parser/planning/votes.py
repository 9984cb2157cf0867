"""What the values of a column have decided."""

from collections.abc import Collection
from typing import Literal


def decided_by(votes: Collection[int]) -> Literal["values", "most_values", "default"]:
    """Whether values speak for one style, for several, or for none.

    Args:
        votes: how many values speak for each style.
    """
    if not any(votes):
        return "default"
    return "values" if sum(count > 0 for count in votes) == 1 else "most_values"
