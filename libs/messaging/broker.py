"""The Kafka broker with every safety-relevant setting written out, and the topics it needs."""

import logging

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from faststream.kafka import KafkaBroker

from libs.contracts.errors import TransientError
from libs.contracts.topics import TOPICS, Topic

MAX_MESSAGE_BYTES = 256 * 1024
PUBLISH_TIMEOUT_SECONDS = 15


def create_broker(kafka: str, client_id: str) -> KafkaBroker:
    """A broker for ``kafka`` (``host:port`` list).

    The producer waits for all replicas and is not idempotent: not every broker offers that, and
    every consumer tolerates duplicates anyway.
    """
    return KafkaBroker(
        kafka.split(","),
        client_id=client_id,
        acks="all",
        enable_idempotence=False,
        max_request_size=MAX_MESSAGE_BYTES,
        request_timeout_ms=10_000,
        retry_backoff_ms=100,
        metadata_max_age_ms=10_000,
        allow_auto_create_topics=False,
        graceful_timeout=45.0,
        logger=logging.getLogger("faststream"),
        log_level=logging.DEBUG,
    )


async def ensure_topics(kafka: str, *, topics: tuple[Topic, ...] = TOPICS, replication_factor: int = 1) -> list[str]:
    """Create the topics of the table that the broker does not have; names of those created.

    Raises:
        TransientError: the broker cannot be reached or refuses.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.split(","), request_timeout_ms=10_000)
    try:
        await admin.start()
        present = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in present]
        if not missing:
            return []
        answer = await admin.create_topics(
            [
                NewTopic(
                    name=topic.name,
                    num_partitions=topic.partitions,
                    replication_factor=replication_factor,
                    topic_configs={"retention.ms": str(topic.retention_ms)},
                )
                for topic in missing
            ]
        )
        errors: list[tuple[str, int]] = [(entry[0], entry[1]) for entry in answer.topic_errors]
        refused = [
            (name, for_code(code)) for name, code in errors if code and for_code(code) is not TopicAlreadyExistsError
        ]
        if refused:
            raise TransientError(f"topics not created: {refused}")
        return [name for name, code in errors if not code]
    except (KafkaError, OSError) as error:
        raise TransientError(f"Kafka at {kafka}: {error}") from error
    finally:
        await admin.close()
