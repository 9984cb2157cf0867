"""What runs are made for, and the one table of what that means.

A new purpose is a new member with its line in the table; nothing else asks which purpose a run has.
"""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class PurposeTraits:
    """How runs of one purpose are treated.

    Attributes:
        listed: its organization finds it, in lists and by its id.
        told: every change of its status is published.
        executed: its rows may be written to the target.
        purged: it is removed with every trace once its client has the result.
        sweeps: in mode ``sync``, records that the file does not hold are deleted.
        of_parent: its rows are rejected rows of another run, and not those of a file.
    """

    listed: bool
    told: bool
    executed: bool
    purged: bool
    sweeps: bool = False
    of_parent: bool = False


class RunPurpose(StrEnum):
    IMPORT = "import"
    """Rows become records."""
    DRY_RUN = "dry_run"
    """A file is only tried: its client sees what would become of the rows."""
    RETRY = "retry"
    """Rejected rows of a completed run, corrected or not, become records after all."""
    CHECK = "check"
    """A corrected row is only tried."""
    PREVIEW = "preview"
    """Likewise, with what they would do to the records that exist."""

    @property
    def traits(self) -> PurposeTraits:
        return PURPOSES[self]


PURPOSES: dict[RunPurpose, PurposeTraits] = {
    RunPurpose.IMPORT: PurposeTraits(listed=True, told=True, executed=True, purged=False, sweeps=True),
    RunPurpose.DRY_RUN: PurposeTraits(listed=False, told=False, executed=False, purged=True),
    RunPurpose.RETRY: PurposeTraits(listed=True, told=True, executed=True, purged=False, of_parent=True),
    RunPurpose.CHECK: PurposeTraits(listed=False, told=False, executed=False, purged=True, of_parent=True),
    RunPurpose.PREVIEW: PurposeTraits(listed=False, told=False, executed=False, purged=True, sweeps=True),
}
