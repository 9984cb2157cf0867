"""The batches of a run, added up."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from libs.contracts.events import RevertCounts, RunCounts
from libs.contracts.reasons import SkipReason
from libs.contracts.states import BatchState
from libs.ledger.connection import LedgerConnection
from libs.storage.client import SNAPSHOT, Document
from libs.storage.documents import BatchResult


@dataclass(slots=True)
class Totals:
    """The ledger of one run, added up."""

    batches: int = 0
    rows: int = 0
    states: dict[BatchState, int] = field(default_factory=dict[BatchState, int])
    result: BatchResult = field(default_factory=BatchResult)
    reverted: RevertCounts = field(default_factory=RevertCounts)

    @classmethod
    def of(cls, groups: Iterable[Document]) -> Self:
        """Of groups of batches: their ``state``, ``batches``, ``rows`` and the members of their results."""
        totals = cls()
        reverted = dict.fromkeys(RevertCounts.model_fields, 0)
        for group in groups:
            state = BatchState(group["state"])
            totals.batches += group["batches"]
            totals.rows += group["rows"]
            totals.states[state] = totals.states.get(state, 0) + group["batches"]
            totals.result = totals.result.plus(group)
            for name in reverted:
                reverted[name] += group.get(f"reverted_{name}", 0)
        totals.reverted = RevertCounts(**reverted)
        return totals

    def all_in(self, *states: BatchState) -> bool:
        return sum(self.states.get(state, 0) for state in states) == self.batches

    def counts(self, rows: int, *, rest: str | None = None) -> RunCounts:
        """Counts of a run with ``rows`` rows; ``rest`` is the reason for rows that nothing became of."""
        result = self.result
        written = result.created + result.updated + result.deleted
        reasons = {
            SkipReason.DUPLICATE_UPSERT_KEY.value: result.duplicate_keys,
            SkipReason.UNCHANGED.value: result.unchanged,
            SkipReason.NOT_FOUND.value: result.not_found,
        }
        remaining = rows - written - result.rejected - sum(reasons.values())
        if rest is not None:
            reasons[rest] = remaining
        reasons = {reason: count for reason, count in reasons.items() if count}
        return RunCounts(
            rows=rows,
            written=written,
            created=result.created,
            updated=result.updated,
            deleted=result.deleted,
            rejected=result.rejected,
            skipped=sum(reasons.values()),
            skip_reasons=reasons,
            warnings=result.warnings,
            not_in_file=result.not_in_file,
        )


async def add_up(connection: LedgerConnection, run_id: str) -> Totals:
    """The batches of a run, added up by the server."""
    sums = {name: {"$sum": f"$result.{name}"} for name in BatchResult.model_fields}
    sums |= {f"reverted_{name}": {"$sum": f"$reverted.{name}"} for name in RevertCounts.model_fields}
    # One moment: a scan of the index would meet a batch that moves meanwhile twice, or never.
    cursor = await connection.batches.with_options(read_concern=SNAPSHOT).aggregate(
        [
            {"$match": {"run_id": run_id}},
            {"$group": {"_id": "$state", "batches": {"$sum": 1}, "rows": {"$sum": "$rows"}, **sums}},
            {"$set": {"state": "$_id"}},
        ]
    )
    return Totals.of(await cursor.to_list())
