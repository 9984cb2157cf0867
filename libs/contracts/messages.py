"""An event on its way to its topic."""

from typing import NamedTuple

from libs.contracts.events import Event
from libs.contracts.topics import Topic


class Message(NamedTuple):
    """What is published, and under which key.

    Attributes:
        trace: ``traceparent`` of what the event is about, a header of the message; ``None`` where nobody traces it.
    """

    topic: Topic
    key: str
    event: Event
    trace: str | None = None
