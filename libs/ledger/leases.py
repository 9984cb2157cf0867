"""Leases: who is at work on something that only one may do."""

from libs.contracts.states import RunStatus
from libs.ledger.connection import NOT_STOPPED, LedgerConnection, seconds_from_now


class Leases:
    """Leases that a run carries. They run by the server's clock."""

    def __init__(self, connection: LedgerConnection) -> None:
        self._connection = connection

    async def take_barrier(self, run_id: str, owner: str, lease_seconds: float) -> bool:
        """Take the barrier of a run unless another live worker has it."""
        answer = await self._connection.runs.update_one(
            {
                "_id": run_id,
                "status": RunStatus.VALIDATING.value,
                **NOT_STOPPED,
                "$expr": {
                    "$or": [
                        {"$eq": [{"$ifNull": ["$barrier", None]}, None]},
                        {"$eq": ["$barrier.owner", owner]},
                        {"$lt": ["$barrier.until", "$$NOW"]},
                    ]
                },
            },
            [{"$set": {"barrier": {"owner": owner, "until": seconds_from_now(lease_seconds)}}}],
        )
        return answer.modified_count == 1

    async def leave_barrier(self, run_id: str, owner: str) -> None:
        """Give the barrier up."""
        await self._connection.runs.update_one({"_id": run_id, "barrier.owner": owner}, {"$set": {"barrier": None}})
