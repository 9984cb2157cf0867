"""Lanes: small files and large ones have topics and workers of their own, so that neither waits for the other."""

from enum import StrEnum


class Lane(StrEnum):
    """Where the work of a run queues. A run without one was made by a release that knew none, and is small."""

    SMALL = "small"
    LARGE = "large"

    @classmethod
    def of_size(cls, size: int, large_from: int) -> "Lane":
        """The lane of a file of ``size`` bytes; files from ``large_from`` bytes on are large."""
        return cls.LARGE if size >= large_from else cls.SMALL
