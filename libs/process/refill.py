"""Fill lanes up again as batches end: what the ledger announces is published."""

from collections.abc import Iterable

from libs.contracts.lanes import Lane
from libs.contracts.messages import Message
from libs.contracts.states import BatchState
from libs.ledger import Ledger
from libs.messaging.publisher import EventPublisher
from libs.storage.documents import BatchDocument, RunDocument
from libs.telemetry.failpoints import failpoint


class Refill:
    """Announces batches to workers. Each call may be repeated; what it leaves out, the rescue loops find."""

    def __init__(self, ledger: Ledger, publisher: EventPublisher) -> None:
        self._ledger = ledger
        self._publisher = publisher

    async def __call__(self, state: BatchState, lane: Lane) -> None:
        """Announce what there is room for.

        Raises:
            TransientError: the broker does not confirm.
        """
        if messages := await self._ledger.handout.fill(state, lane):
            await self.publish(messages)
            failpoint("refill.published_before_commit")

    async def after(self, batch: BatchDocument, state: BatchState, lane: Lane) -> bool:
        """Announce what there is room for where that is due, now that ``batch`` has left ``state``; whether it was the
        last one of its run that was in flight, so that this may be over.

        Args:
            batch: as it was before.
            state: in which it was handed out.
            lane: by whose message.

        Raises:
            TransientError: the broker does not confirm.
        """
        in_flight, to_fill = await self._ledger.handout.left_in_flight(batch, state)
        if to_fill:
            await self(state, lane)
        return not in_flight

    async def again(self, run: RunDocument, state: BatchState) -> int:
        """Announce again what a forgotten run has in flight, and what there is room for; the number of batches."""
        messages = await self._ledger.handout.again(run, state)
        await self.publish(messages)
        return len(messages)

    async def publish(self, messages: Iterable[Message]) -> None:
        """Publish what the ledger announced."""
        await self._publisher.publish_all(messages)
