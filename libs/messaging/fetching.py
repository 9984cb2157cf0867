"""When a consumer asks the broker for more."""

from aiokafka import AIOKafkaConsumer

_WHILE_ANY_IS_LEFT = 3_600.0
"""Seconds; longer than any message is handled."""


def fetch_once_all_is_handled(consumer: AIOKafkaConsumer) -> None:
    """Let a started consumer ask for more only once it has handled all that it has got, and then for all partitions.

    aiokafka asks ahead 100 ms after an answer, but for no partition of which something is left, and it has one request
    under way at a time. So what came into such a partition afterwards waited until that request ended, for as long as
    the broker may hold it where the others got nothing: workers stood still in front of batches. To ask when all is
    handled takes a few milliseconds of a batch's fifty, and fewer requests. There is no public setting.
    """
    vars(consumer)["_fetcher"]._prefetch_backoff = _WHILE_ANY_IS_LEFT  # noqa: SLF001
