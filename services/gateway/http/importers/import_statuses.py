"""What statuses of runs are called in the importers API."""

from collections.abc import Mapping
from typing import Literal

from libs.contracts.states import RunStatus

Status = Literal["pending", "processing", "completed", "failed"]
STATUSES: Mapping[RunStatus, Status] = {
    RunStatus.PENDING: "pending",
    RunStatus.VALIDATING: "processing",
    RunStatus.VALIDATED: "processing",
    RunStatus.EXECUTING: "processing",
    RunStatus.COMPLETED: "completed",
    RunStatus.FAILED: "failed",
    RunStatus.CANCELLED: "failed",
    RunStatus.REVERTING: "completed",
    RunStatus.REVERTED: "completed",
}
"""Of an import that was completed and then taken back it is still told what it has done."""
