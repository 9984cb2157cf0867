"""What became of each row of a batch, from its entry of the ledger and its rejected rows. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from libs.batches.tables import unpack_bits, unpack_rows
from libs.contracts.reasons import SkipReason
from libs.contracts.states import OPEN_BATCH_STATES, BatchState
from libs.storage.documents import BatchResult

Rows = npt.NDArray[np.int64]
Chosen = npt.NDArray[np.bool_]


class Outcome(StrEnum):
    """What became of a row. When its run is reverted that stays, for it is history."""

    PENDING = "pending"
    """Nothing yet."""
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    """The record was already what the row says."""
    DELETED = "deleted"
    REJECTED = "rejected"
    SKIPPED = "skipped"
    WRITTEN = "written"
    """Release 0.1 wrote it, and did not note whether it created its record or updated one."""


OUTCOMES = tuple(Outcome)
CHANGING = (Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED, Outcome.WRITTEN)
"""Those of rows that changed a record."""
SKIP_MESSAGES: Mapping[str, str] = {
    SkipReason.UNCHANGED: "the record is already what the row says",
    SkipReason.DUPLICATE_UPSERT_KEY: "a later row of the file has the same key and wins; remove one of the two",
    SkipReason.EMPTY_UPSERT_KEY: "the row has no key, so its record could not be found again; give it one",
    SkipReason.NOT_FOUND: "no record has the key of the row, and the row may only change or delete one; check the key",
}


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """What the ledger says about a batch.

    Attributes:
        written_rows: see ``BatchDocument``.
        rejected: numbers of its rejected rows, ascending.
    """

    id: str
    row_from: int
    row_to: int
    state: BatchState
    result: BatchResult
    skipped_rows: Mapping[str, bytes]
    written_rows: Mapping[str, bytes] | None
    rejected: Rows

    @property
    def rows(self) -> int:
        return self.row_to - self.row_from + 1

    @property
    def reverted(self) -> bool:
        return self.state is BatchState.REVERTED


class BatchOutcomes:
    """The outcome of every row of a batch, and why rows are skipped.

    Args:
        entry: the batch.
        stop: code of what has ended the run where rows of it are left; they are skipped for that.
    """

    def __init__(self, entry: BatchEntry, stop: str | None) -> None:
        self.first = entry.row_from
        self._stop = stop
        self._of = np.full(entry.rows, OUTCOMES.index(_of_the_rest(entry)), np.uint8)
        self._reasons: dict[str, Chosen] = {}
        if entry.state in (BatchState.WRITTEN, BatchState.REVERTED):
            for name, bits in (entry.written_rows or {}).items():
                self._of[unpack_bits(bits, entry.rows)] = OUTCOMES.index(Outcome(name))
        for reason, packed in entry.skipped_rows.items():
            chosen = self._at(unpack_rows(packed).astype(np.int64))
            outcome = Outcome.UNCHANGED if reason == SkipReason.UNCHANGED else Outcome.SKIPPED
            self._of[chosen] = OUTCOMES.index(outcome)
            self._reasons[reason] = chosen
        self._of[self._at(entry.rejected)] = OUTCOMES.index(Outcome.REJECTED)

    def _at(self, rows: Rows) -> Chosen:
        chosen: Chosen = np.zeros(len(self._of), np.bool_)
        chosen[rows - self.first] = True
        return chosen

    def of(self, row: int) -> Outcome:
        """What became of one row."""
        return OUTCOMES[int(self._of[row - self.first])]

    def skipped_for(self, row: int) -> str | None:
        """The code of why a row that is neither written nor rejected changed nothing; ``None`` of any other row."""
        if self.of(row) not in (Outcome.SKIPPED, Outcome.UNCHANGED):
            return None
        return next((reason for reason, rows in self._reasons.items() if rows[row - self.first]), self._stop)

    def among(self, *outcomes: Outcome) -> Rows:
        """Numbers of the rows with one of these outcomes, ascending."""
        wanted = np.isin(self._of, [OUTCOMES.index(outcome) for outcome in outcomes])
        rows: Rows = np.flatnonzero(wanted).astype(np.int64)
        rows += self.first
        return rows

    def skipped_with(self, code: str) -> Rows:
        """Numbers of the rows that changed nothing for this reason, ascending."""
        rows = self.among(Outcome.SKIPPED, Outcome.UNCHANGED)
        return np.array([row for row in rows.tolist() if self.skipped_for(row) == code], np.int64)


def _of_the_rest(entry: BatchEntry) -> Outcome:
    """What became of the rows that nothing is noted of."""
    if entry.state in OPEN_BATCH_STATES:
        return Outcome.PENDING
    if entry.state in (BatchState.FAILED, BatchState.CANCELLED):
        return Outcome.SKIPPED
    if entry.written_rows is not None or not (entry.result.updated or entry.result.deleted):
        return Outcome.CREATED
    return Outcome.WRITTEN if entry.result.created else Outcome.UPDATED
