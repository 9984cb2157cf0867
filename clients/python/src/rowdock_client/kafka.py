"""Imports without HTTP, for internal services: they are asked for on one topic, and told of on another.

Needs the extra ``kafka``. The messages are those of ``docs/asyncapi.yaml``, in ``rowdock_client.messages``.
"""

import hashlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import jwt
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from pydantic import BaseModel, ValidationError

from rowdock_client.messages import ImportRequested, RequestAccepted, RequestRejected, RunStatusChanged

REQUESTS_TOPIC = "imports.requested.v1"
EVENTS_TOPIC = "imports.run-events.v1"
TOKEN_HEADER = "rowdock-token"  # noqa: S105 - the name of a header
TOKEN_SECONDS = 7 * 24 * 3_600
"""As long as the topic keeps a message."""

RunEvent = RunStatusChanged | RequestAccepted | RequestRejected


_MODELS: Mapping[str, type[RunEvent]] = {
    "status-changed": RunStatusChanged,
    "request-accepted": RequestAccepted,
    "request-rejected": RequestRejected,
}


class _Kind(BaseModel):
    kind: str = "status-changed"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs requests as a producer that the organization has registered.

    Attributes:
        producer_id: as it was told when the producer was registered.
        private_key: Ed25519, as PEM.
    """

    producer_id: str
    private_key: str

    def token(self, value: bytes, tenant_id: str, request_id: str) -> str:
        """A token that is good for this one message."""
        claims = {
            "aud": REQUESTS_TOPIC,
            "exp": int(time.time()) + TOKEN_SECONDS,
            "tenant_id": tenant_id,
            "request_id": request_id,
            "sha256": hashlib.sha256(value).hexdigest(),
        }
        return jwt.encode(claims, self.private_key, algorithm="EdDSA", headers={"kid": self.producer_id})


class ImportRequests:
    """Asks for imports; an asynchronous context manager.

    Args:
        bootstrap_servers: of Kafka.
        signer: signs what is sent; ``None`` where the broker's ACLs say who may ask.
        options: further ones of ``AIOKafkaProducer``, such as ``security_protocol``.
    """

    def __init__(self, bootstrap_servers: str, signer: Signer | None = None, **options: Any) -> None:  # noqa: ANN401
        self._options: dict[str, Any] = {"bootstrap_servers": bootstrap_servers, "acks": "all", **options}
        self._signer = signer
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(**self._options)
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        if self._producer is not None:
            await self._producer.stop()

    async def ask(
        self,
        tenant_id: str,
        *,
        template_id: str | None = None,
        template_key: str | None = None,
        rows: Sequence[Mapping[str, Any]] | None = None,
        file_id: str | None = None,
        request_id: str | None = None,
        **more: Any,  # noqa: ANN401 - other members of ImportRequested
    ) -> ImportRequested:
        """Ask for an import, and return once the broker has the request.

        Whoever is not sure that it has arrived sends the same once more, by ``send``: it makes no second run.

        Args:
            template_id, template_key: the template, one of the two.
            rows, file_id: what is imported, one of the two.
            request_id: one of your own, by which the answers are recognised; a new UUID by default.
            more: ``mapping``, ``metadata``, ``external_user_id``, ``file_name``, ``auto_execute``.

        Raises:
            aiokafka.errors.KafkaError: the broker has not confirmed it.
        """
        asked = ImportRequested(
            event_id=uuid4().hex,
            occurred_at=datetime.now(UTC),
            request_id=request_id or str(uuid4()),
            tenant_id=tenant_id,
            template_id=template_id,
            template_key=template_key,
            rows=None if rows is None else [dict(row) for row in rows],
            file_id=file_id,
            **more,
        )
        await self.send(asked)
        return asked

    async def send(self, asked: ImportRequested) -> None:
        """Send a request, again if need be; as ``ask``."""
        assert self._producer is not None, "use it in 'async with'"
        value = asked.model_dump_json(exclude_none=True).encode()
        headers = [("content-type", b"application/json"), ("event-id", asked.event_id.encode())]
        if self._signer is not None:
            token = self._signer.token(value, asked.tenant_id, asked.request_id)
            headers.append((TOKEN_HEADER, token.encode()))
        await self._producer.send_and_wait(REQUESTS_TOPIC, value, key=asked.tenant_id.encode(), headers=headers)


class RunEvents:
    """What runs tell, and the answers to requests; an asynchronous context manager, to be iterated once.

    An event is committed once the next one is asked for, so each comes at least once: drop an ``event_id`` seen before.

    Args:
        bootstrap_servers: of Kafka.
        group: of consumers that share the events.
        options: further ones of ``AIOKafkaConsumer``.
    """

    def __init__(self, bootstrap_servers: str, group: str, **options: Any) -> None:  # noqa: ANN401
        usual: dict[str, Any] = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
        self._options: dict[str, Any] = {**usual, "bootstrap_servers": bootstrap_servers, "group_id": group, **options}
        self._consumer: AIOKafkaConsumer | None = None

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(EVENTS_TOPIC, **self._options)
        await self._consumer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        if self._consumer is not None:
            await self._consumer.stop()

    async def __aiter__(self) -> AsyncIterator[RunEvent]:
        assert self._consumer is not None, "use it in 'async with'"
        while True:
            event = read_event((await self._consumer.getone()).value or b"")
            if event is not None:
                yield event
            await self._consumer.commit()


def read_event(value: bytes) -> RunEvent | None:
    """The event in a message; ``None`` for what is none, or of a kind that this release does not know."""
    try:
        model = _MODELS.get(_Kind.model_validate_json(value).kind)
        return None if model is None else model.model_validate_json(value)
    except ValidationError:
        return None
