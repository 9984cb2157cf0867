"""Whether the receiver of a run's events was told how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from libs.contracts.ids import delivery_id, run_event_id
from libs.contracts.states import RunStatus
from libs.storage.documents import RunDocument, WebhookDelivery
from services.gateway.access.principal import Principal
from services.gateway.stores.deliveries import DeliveryStore
from services.gateway.stores.runs import GlancedRun, ListedRun

ENDS = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})


class NoticeState(StrEnum):
    PENDING = "pending"
    """The run has not ended, or the receiver has not accepted it yet."""
    DELIVERED = "delivered"
    FAILED = "failed"
    """It was tried as often as it is."""
    DISABLED = "disabled"
    """The receiver was switched off when it was due."""


@dataclass(frozen=True, slots=True)
class EndNotice:
    """The webhook about the end of a run.

    Attributes:
        attempts: to deliver it.
        delivered_at: when the receiver had accepted it.
    """

    state: NoticeState = NoticeState.PENDING
    attempts: int = 0
    delivered_at: datetime | None = None


async def end_notices(
    principal: Principal, runs: Sequence[RunDocument | ListedRun | GlancedRun]
) -> dict[str, EndNotice]:
    """Those of the runs that have a receiver, by id of the run; asked for in one query."""
    expected = {run.id: _delivery_of_end(run) for run in runs if run.webhook_endpoint_id is not None}
    found = await DeliveryStore(principal).by_id([each for each in expected.values() if each is not None])
    return {run_id: _notice(found.get(delivery or "")) for run_id, delivery in expected.items()}


def _delivery_of_end(run: RunDocument | ListedRun | GlancedRun) -> str | None:
    ends = [change.version for change in run.history if change.status in ENDS]
    if not ends or run.webhook_endpoint_id is None:
        return None
    return delivery_id(run_event_id(run.id, ends[0]), run.webhook_endpoint_id)


def _notice(delivery: WebhookDelivery | None) -> EndNotice:
    if delivery is None:
        return EndNotice()
    state = NoticeState(delivery.state)
    at: datetime | None = None
    if state is NoticeState.DELIVERED and delivery.attempts:
        last = delivery.attempts[-1]
        at = last["at"] + timedelta(milliseconds=last["duration_ms"])
    return EndNotice(state, len(delivery.attempts), at)
