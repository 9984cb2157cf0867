"""What is measured of the messages of one topic."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from libs.telemetry.metrics import MESSAGE_OUTCOMES, Metrics


class MessageMeasure:
    """Its series are there from the start, as 0."""

    def __init__(self, metrics: Metrics, topic: str) -> None:
        self._outcomes = {outcome: metrics.messages.labels(topic, outcome) for outcome in MESSAGE_OUTCOMES}
        self._seconds = metrics.message_seconds.labels(topic)
        self._waited = metrics.message_wait_seconds.labels(topic)
        self._at_work = metrics.messages_in_progress.labels(topic)
        self.retries = metrics.message_retries.labels(topic)

    @contextmanager
    def at_work(self, published_ms: int) -> Generator[None]:
        """A message is at work for the length of a block; it was published at ``published_ms`` since the epoch, or -1
        where nobody has said when."""
        if published_ms >= 0:
            self._waited.observe(max(0.0, time.time() - published_ms / 1000))
        with self._at_work.track_inprogress():
            yield

    def handled(self, outcome: str, seconds: float, exemplar: dict[str, str] | None) -> None:
        """A message is done with; ``exemplar`` leads to its trace."""
        self._outcomes[outcome].inc()
        self._seconds.observe(seconds, exemplar)
