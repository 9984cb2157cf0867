"""What becomes of messages that nobody could handle: somebody looks at them, and replays or discards them.

To replay one is noted first, so that it takes no broker and survives a crash; any gateway publishes it then, at least
once, as every message. Consumers tolerate repetitions.
"""

from collections.abc import Awaitable, Callable

import structlog

from libs.contracts.topics import TOPICS
from libs.messaging.broker import MAX_MESSAGE_BYTES
from libs.storage.client import Mongo
from libs.storage.documents import DeadLetter
from libs.telemetry.failpoints import failpoint
from services.gateway.errors import ConflictError, not_found
from services.gateway.stores.dead_letters import DeadLetterStore, LetterStatus
from services.gateway.stores.paging import Page

REPLAY_OF = "rowdock-dead-letter"
"""Header of a message that was replayed: the letter's id."""
HEADER_BYTES = 4 * 1024
"""Room that a message needs beside its value."""
AT_A_TIME = 100
_TOPIC_NAMES = frozenset(topic.name for topic in TOPICS)

Publish = Callable[[str, bytes | None, bytes, dict[str, str]], Awaitable[None]]
"""Topic, key, value and headers; raises ``TransientError`` unless the broker has confirmed it."""

logger = structlog.get_logger()


class DeadLetterOffice:
    """For whoever operates the installation: letters say nothing of whose they are."""

    def __init__(self, mongo: Mongo) -> None:
        self._store = DeadLetterStore(mongo)

    async def page(
        self, status: LetterStatus | None, topic: str | None, limit: int, after: str | None
    ) -> Page[DeadLetter]:
        """Letters, the newest first, without their ``value``."""
        return await self._store.page(status, topic, limit, after)

    async def get(self, letter_id: str) -> DeadLetter:
        """One letter.

        Raises:
            NotFoundError: ``DEAD_LETTER_NOT_FOUND``.
        """
        if (found := await self._store.get(letter_id)) is None:
            raise not_found("dead letter", letter_id)
        return found

    async def replay(self, letter_id: str, by: str) -> DeadLetter:
        """Have a letter published again on its topic; what could not be handled once more is another letter.

        Raises:
            NotFoundError: as ``get``.
            ConflictError: ``NOT_REPLAYABLE``: it has no value, is larger than messages may be, or its topic is gone;
                ``ALREADY_DECIDED``.
        """
        letter = await self.get(letter_id)
        if obstacle := _obstacle(letter):
            raise ConflictError("NOT_REPLAYABLE", obstacle)
        return await self._decide(letter, LetterStatus.REPLAYING, by, None)

    async def discard(self, letter_id: str, by: str, reason: str) -> DeadLetter:
        """Say that nothing is to be done about a letter. It stays until letters go by their age.

        Raises:
            NotFoundError: as ``get``.
            ConflictError: ``ALREADY_DECIDED``.
        """
        return await self._decide(await self.get(letter_id), LetterStatus.DISCARDED, by, reason)

    async def publish_wanted(self, publish: Publish) -> None:
        """Publish the letters that are to be replayed, some at a time.

        Raises:
            TransientError: the broker does not confirm one; it is published when its lease is over.
        """
        for _ in range(AT_A_TIME):
            if (letter := await self._store.take_wanted()) is None:
                return
            headers = {each["name"]: bytes(each["value"]).decode("utf-8", "replace") for each in letter.headers}
            await publish(letter.topic, letter.key, letter.value or b"", {**headers, REPLAY_OF: letter.id})
            failpoint("gateway.letter_replayed_before_recorded")
            await self._store.note_replayed(letter.id)
            logger.info("dead_letter.replayed", dead_letter_id=letter.id, topic=letter.topic)

    async def _decide(self, letter: DeadLetter, status: LetterStatus, by: str, reason: str | None) -> DeadLetter:
        decided = await self._store.decide(letter.id, status, by, reason)
        if decided is None:
            known = await self.get(letter.id)
            raise ConflictError("ALREADY_DECIDED", f"the letter is {known.state} already, by {known.decided_by}")
        return decided


def _obstacle(letter: DeadLetter) -> str | None:
    if letter.topic not in _TOPIC_NAMES:
        return f"there is no topic {letter.topic} in this release; discard the letter"
    if letter.value is None:
        return "the message has no value; discard the letter"
    if len(letter.value) > MAX_MESSAGE_BYTES - HEADER_BYTES:
        return f"the message has {len(letter.value):,} bytes, more than are published; discard the letter"
    return None
