"""The Kafka broker with every safety-relevant setting written out."""

import logging

from faststream.kafka import KafkaBroker

from libs.messaging.connection import REQUEST_TIMEOUT_MS, KafkaSettings
from libs.messaging.partitioning import partition_of

MAX_MESSAGE_BYTES = 256 * 1024
PUBLISH_TIMEOUT_SECONDS = 15


def create_broker(settings: KafkaSettings, client_id: str) -> KafkaBroker:
    """A broker for the cluster of ``settings``, not yet started.

    The producer waits for all replicas and is not idempotent: not every broker offers that, and
    every consumer tolerates duplicates anyway. Handlers are given what the decoder returns: nothing is injected, which
    would cost each message a hop to a thread. Messages that wait for one partition go in one batch, up to the size that
    a single one may have: of aiokafka's 16 KiB each large one would be a request of its own, and all behind it would
    wake up for each.
    """
    return KafkaBroker(
        settings.kafka.split(","),
        security=settings.security,
        client_id=client_id,
        acks="all",
        enable_idempotence=False,
        max_request_size=MAX_MESSAGE_BYTES,
        max_batch_size=MAX_MESSAGE_BYTES,
        partitioner=partition_of,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        retry_backoff_ms=100,
        metadata_max_age_ms=10_000,
        allow_auto_create_topics=False,
        graceful_timeout=45.0,
        apply_types=False,
        logger=logging.getLogger("faststream"),
        log_level=logging.DEBUG,
    )
