"""Whether a sync may delete what it would delete without being told so."""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.contracts.reasons import SyncReason


@dataclass(frozen=True, slots=True)
class Going:
    """What a sync would delete.

    Attributes:
        live: live records within the scope.
        going: those among them that the file does not hold.
        rows: of the file.
        held: rows that name a record.
        unclear: rows of which it is not sure which record they mean.
        ended: whether the end of the file shows that nothing is missing behind it.
    """

    live: int
    going: int
    rows: int
    held: int
    unclear: int
    ended: bool


def reasons_to_ask(found: Going, share: float, confirmed: int | None, *, confirmed_all: bool) -> list[SyncReason]:
    """Why somebody has to say first that the records may go; none where they may.

    Args:
        found: what would go.
        share: of the live records that may go unasked.
        confirmed: most records of which somebody has said so.
        confirmed_all: somebody has said so of any number.
    """
    if not found.going or confirmed_all:
        return []
    if confirmed is not None:
        return [SyncReason.MORE_THAN_CONFIRMED] if found.going > confirmed else []
    reasons = {
        SyncReason.EMPTY_FILE: not found.held,
        SyncReason.UNFINISHED_FILE: not found.ended,
        SyncReason.UNCLEAR_KEYS: found.unclear > 0,
        SyncReason.LARGE_SHARE: found.going > share * found.live,
    }
    return [reason for reason, holds in reasons.items() if holds]


def question(found: Going, share: float, reasons: Sequence[SyncReason], confirmed: int | None) -> str:
    """What is asked, and how it is answered."""
    why = {
        SyncReason.EMPTY_FILE: "the file names no record at all",
        SyncReason.UNFINISHED_FILE: "the last line of the file is not ended, so that it may be cut off",
        SyncReason.UNCLEAR_KEYS: f"{found.unclear:,} rows were rejected whose record cannot be told, and it may be one "
        "of these",
        SyncReason.LARGE_SHARE: f"that is more than {share:.0%}",
        SyncReason.MORE_THAN_CONFIRMED: f"only {confirmed or 0:,} were confirmed",
    }
    said = "; ".join(why[reason] for reason in reasons)
    return (
        f"{found.going:,} of the {found.live:,} records within the scope would be deleted ({_percent(found)}), because "
        f"the file does not hold them: {said}. Nothing is written yet. Execute the run with "
        f"confirm_deletes={found.going} to have them deleted, or cancel it"
    )


def _percent(found: Going) -> str:
    return f"{found.going / max(found.live, 1):.1%}"
