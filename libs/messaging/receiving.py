"""A message as it is received: its event, its headers, the span in which it is handled."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from aiokafka import ConsumerRecord
from faststream.kafka import KafkaMessage
from pydantic import ValidationError

from libs.contracts.errors import UndecodableMessageError
from libs.contracts.events import Event
from libs.contracts.topics import Topic
from libs.telemetry import tracing

EventT = TypeVar("EventT", bound=Event)
MessageT = TypeVar("MessageT")
Record = ConsumerRecord[Any, Any]
Handler = Callable[[MessageT], Awaitable[None]]
Read = Callable[[Record], MessageT | UndecodableMessageError | None]
"""What a handler is given of a message; ``None`` where it is not for this handler."""
_OTHER_KIND = ("kind",), "literal_error"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as it came, for handlers that judge by more than the event in it.

    Attributes:
        position: topic, partition, offset and the time at which it was written there, which no other message has.
        headers: those that are text.
    """

    position: tuple[str, int, int, int]
    value: bytes
    headers: Mapping[str, str]


def incoming(record: Record) -> Incoming:
    """The message of a record whose headers are text."""
    position = (record.topic, record.partition, record.offset, record.timestamp)
    headers = {name: value.decode() for name, value in record.headers if value is not None}
    return Incoming(position, bytes(record.value or b""), headers)


def decode(event_type: type[EventT], body: bytes) -> EventT | None:
    """The event in a message's body; ``None`` for one of another ``kind``, where a topic carries several.

    Raises:
        UndecodableMessageError: not JSON, or not of this type and schema version.
    """
    try:
        return event_type.model_validate_json(body)
    except ValidationError as error:
        reasons = error.errors(include_url=False, include_input=False)
        if any((reason["loc"], reason["type"]) == _OTHER_KIND for reason in reasons):
            return None
        raise UndecodableMessageError(f"not a {event_type.__name__}: {reasons!r:.500}") from error


def decoded(event_type: type[EventT], record: Record) -> EventT | UndecodableMessageError | None:
    """The event in a message, or why there is none: that is for the error policy to deal with."""
    try:
        return decode(event_type, bytes(record.value or b""))
    except UndecodableMessageError as error:
        return error


def span_of(topic: Topic, record: Record, event: object) -> tracing.Span:
    """The span in which a message is handled: in the trace of what it is about, or linked with that."""
    if not tracing.on():
        return tracing.NO_SPAN
    headers = cast("Sequence[tuple[str, bytes]]", record.headers)
    header = next((value.decode() for name, value in headers if name == tracing.HEADER), None)
    attributes: dict[str, str | int | bool] = {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": topic.name,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        **{f"rowdock.{name}": value for name, value in about(event).items()},
    }
    name = f"process {topic.name}"
    if getattr(event, "seq", 0) < tracing.BATCHES_IN_TRACE:
        return tracing.span(name, kind=tracing.Kind.CONSUMER, parent=header, attributes=attributes)
    of_run = tracing.parsed(header)
    if of_run is None or not of_run.sampled:
        return tracing.NO_SPAN
    return tracing.span(name, kind=tracing.Kind.CONSUMER, apart=True, links=[header], attributes=attributes)


def about(event: object) -> dict[str, Any]:
    """Ids of what an event is about."""
    if not isinstance(event, Event):
        return {}
    return event.model_dump(include={"run_id", "seq", "epoch", "event_id"})


async def parse_tolerantly(record: Record, original: Callable[[Record], Awaitable[KafkaMessage]]) -> KafkaMessage:
    """Drop headers that are not text: they only trace, and one must not make the framework drop the message."""
    readable: list[tuple[str, bytes]] = []
    for name, value in record.headers:
        try:
            if value is not None and value.decode():
                readable.append((name, value))
        except UnicodeDecodeError:
            continue
    record.headers = tuple(readable)
    return await original(record)


async def undecoded(message: KafkaMessage) -> KafkaMessage:
    """The message as it came: decoding is a part of handling it, under the same error policy."""
    return message
