"""Kafka in: decode, one use case, commit of exactly that offset, and the one error policy.

=====================================  =====================================================
a message whose handling               is
=====================================  =====================================================
succeeds                               committed, after its effect
fails transiently                      tried again with backoff for ``RETRY_SECONDS``, then
                                       handed back: rewound and read again, never committed
is of another kind, where a topic      committed
carries several
cannot be decoded, fails permanently   stored as a dead letter, then committed
fails in a way nobody foresaw          tried again like a transient fault; then a dead letter,
                                       so that it neither blocks its partition nor gets lost
=====================================  =====================================================

Commits follow in the background, coalesced: a handler need not wait the round trip, and after a
crash at most the messages since the last commit come again, which every effect tolerates.
"""

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from structlog.contextvars import bound_contextvars
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from libs.contracts.errors import PermanentError, UndecodableMessageError
from libs.contracts.services import group_of
from libs.contracts.topics import Topic
from libs.messaging import receiving
from libs.messaging.cancellation import end_tasks
from libs.messaging.dead_letters import DeadLetters
from libs.messaging.fetching import fetch_once_all_is_handled
from libs.messaging.measuring import MessageMeasure
from libs.messaging.receiving import EventT, Handler, Incoming, MessageT, Read, Record
from libs.telemetry import tracing
from libs.telemetry.error_text import error_text
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics

RETRY_SECONDS = 30.0
UNFORESEEN_RETRY_SECONDS = 5.0
HAND_BACK_SECONDS = 2.0
DRAIN_SECONDS = 10.0
STOP_SECONDS = 40.0
COMMIT_SECONDS = 0.5
"""How long a commit waits for further messages, to be made for all of them: each is a request to the broker. A killed
process leaves what it handled meanwhile to come again."""
HEARTBEAT_MS = 1_000
"""How long it takes a consumer to hear that its group changes; each is a request of every consumer."""
FETCH_WAIT_MS = 1_000
"""How long the broker may hold a request while nothing comes: what does is given out at once. A message that is handed
back waits for as long."""
GATHERED_BYTES = 64 * 1024
SESSION_MS = 8_000
"""A killed process keeps its partitions for so long; a stopped one gives them up at once."""

logger = structlog.get_logger()


@dataclass(slots=True)
class _Commits:
    """Offsets of one consumer that are done and not yet committed."""

    consumer: AIOKafkaConsumer
    topic: str
    done: dict[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])
    in_flight: int = 0
    handled: int = 0
    last_activity: float = field(default_factory=time.monotonic)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    committing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def add(self, record: Record) -> None:
        self.done[TopicPartition(record.topic, record.partition)] = record.offset + 1
        self.changed.set()

    async def flush(self) -> None:
        """Commit what is done; returns once a commit that was under way has ended too."""
        async with self.committing:
            offsets, self.done = self.done, {}
            if not offsets:
                return
            try:
                await self.consumer.commit(offsets)
            except (CommitFailedError, IllegalStateError) as error:
                # The partition is somebody else's by now; they redo the message and find its effect.
                logger.info("commit.superseded", error=str(error))
            except KafkaError as error:
                logger.warning("commit.failed", error=str(error))
                for partition, offset in offsets.items():
                    self.done.setdefault(partition, offset)
                await asyncio.sleep(1)
                self.changed.set()


class _Gate:
    """Closed as long as anybody holds it closed; handlers begin only while it is open."""

    def __init__(self) -> None:
        self._holders = 0
        self._opened = asyncio.Event()

    @contextmanager
    def closed(self) -> Generator[None]:
        """Hold the gate closed for the length of a block; others may do so at the same time."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if self.is_open:
                self._opened.set()

    @property
    def is_open(self) -> bool:
        """Whether nobody holds it closed."""
        return not self._holders

    async def passed(self) -> None:
        """Return while the gate is open: nothing else runs between that and the caller's next step."""
        while not self.is_open:
            self._opened.clear()
            await self._opened.wait()


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """One consumer of this process as it is now.

    Attributes:
        assigned: partitions that it holds.
        joined: it has been a member of its group once.
        busy: a handler of it is at work.
        handled: messages that it has finished.
        seconds_idle: since it finished the last one; infinite before the first.
    """

    topic: str
    assigned: frozenset[TopicPartition]
    joined: bool
    busy: bool
    handled: int
    seconds_idle: float


class _DrainOnRevoke(ConsumerRebalanceListener):
    """Before partitions go to another member, finish and commit what is at work, within ``DRAIN_SECONDS``."""

    def __init__(self, consumers: "Consumers", topic: Topic) -> None:
        self._consumers = consumers
        self.topic = topic
        self.joined = False
        self.member = False
        self.consumer: Callable[[], AIOKafkaConsumer | None] = lambda: None

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        del revoked
        self.member = False
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._consumers.drain(self.topic)
        except TimeoutError:
            logger.warning("rebalance.not_drained", topic=self.topic.name)

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        del assigned
        if (consumer := self.consumer()) is not None:
            fetch_once_all_is_handled(consumer)
        self.joined = self.member = True


class Consumers:
    """All consumers of a service, registered on its broker before it starts.

    Args:
        is_transient: whether an error of the storage may pass.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        service: str,
        metrics: Metrics,
        dead_letters: DeadLetters,
        is_transient: Callable[[BaseException], bool],
    ) -> None:
        self._broker = broker
        self._service = service
        self._metrics = metrics
        self._dead_letters = dead_letters
        self._is_transient = is_transient
        self._commits: dict[AIOKafkaConsumer, _Commits] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._topics: set[str] = set()
        self._listeners: list[_DrainOnRevoke] = []
        self._idle = asyncio.Condition()
        self._gate = _Gate()
        self._stopping = False

    def on(
        self, topic: Topic, event_type: type[EventT], *, workers: int = 1, gather_ms: int | None = None
    ) -> Callable[[Handler[EventT]], Handler[EventT]]:
        """Decorate the handler of a topic's events: it returns once the effect is durable.

        Args:
            workers: consumers side by side in this process, each with partitions of its own.
            gather_ms: how long the broker may wait for further messages, to give them out together; without it each
                comes at once, by a request of its own.
        """
        return self._on(topic, partial(receiving.decoded, event_type), workers, gather_ms)

    def on_message(self, topic: Topic, *, workers: int = 1) -> Callable[[Handler[Incoming]], Handler[Incoming]]:
        """As ``on``, for a handler that reads the messages itself."""
        return self._on(topic, receiving.incoming, workers, None)

    def _on(
        self, topic: Topic, read: Read[MessageT], workers: int, gather_ms: int | None
    ) -> Callable[[Handler[MessageT]], Handler[MessageT]]:
        def register(handler: Handler[MessageT]) -> Handler[MessageT]:
            async def consume(message: KafkaMessage) -> None:
                await self._consume(topic, read, handler, measure, message)

            self._topics.add(topic.name)
            measure = MessageMeasure(self._metrics, topic.name)
            for worker in range(workers):
                listener = _DrainOnRevoke(self, topic)
                self._listeners.append(listener)
                subscriber = self._broker.subscriber(
                    topic.name,
                    group_id=self.group(topic.name),
                    ack_policy=AckPolicy.MANUAL,
                    auto_offset_reset="earliest",
                    no_reply=True,
                    max_poll_interval_ms=1_800_000,
                    session_timeout_ms=SESSION_MS,
                    heartbeat_interval_ms=HEARTBEAT_MS,
                    rebalance_timeout_ms=30_000,
                    max_partition_fetch_bytes=8 * 1024 * 1024,
                    fetch_max_wait_ms=FETCH_WAIT_MS if gather_ms is None else gather_ms,
                    fetch_min_bytes=1 if gather_ms is None else GATHERED_BYTES,
                    isolation_level="read_uncommitted",
                    listener=listener,
                    parser=receiving.parse_tolerantly,
                    decoder=receiving.undecoded,
                    title=f"{topic.name}:{self._service}:{worker}",
                )
                listener.consumer = partial(getattr, subscriber, "consumer")
                subscriber(consume)
            return handler

        return register

    async def _consume(
        self,
        topic: Topic,
        read: Read[MessageT],
        handler: Handler[MessageT],
        measure: MessageMeasure,
        message: KafkaMessage,
    ) -> None:
        record = cast("Record", message.raw_message)
        commits = self._commits_of(cast("AIOKafkaConsumer", message.consumer), topic)
        await self._gate.passed()
        if self._stopping:
            return  # Not committed, so it comes again to whoever is next.
        event = read(record)
        with receiving.span_of(topic, record, event) as span, bound_contextvars(**receiving.about(event)):
            outcome = await self._handle(topic, handler, measure, record, event, commits)
            if outcome not in {"done", "ignored"}:
                span.failed(outcome)
        if outcome == "handed_back":
            await asyncio.sleep(HAND_BACK_SECONDS)
            self._rewind(commits.consumer, record)
        else:
            commits.add(record)

    async def _handle(
        self,
        topic: Topic,
        handler: Handler[MessageT],
        measure: MessageMeasure,
        record: Record,
        event: MessageT | UndecodableMessageError | None,
        commits: _Commits,
    ) -> str:
        """Handle a message under the one policy; what became of it."""
        started = time.perf_counter()
        commits.in_flight += 1
        outcome = "handed_back"
        error: BaseException | None = None
        try:
            if event is not None:
                with measure.at_work(record.timestamp):
                    await self._attempt(measure, handler, event)
            outcome = "ignored" if event is None else "done"
        except PermanentError as permanent:
            error = permanent
            outcome = await self._dead_letter(record, permanent.code, permanent.detail)
        except Exception as unforeseen:
            error = unforeseen
            if not self._is_transient(unforeseen):
                logger.exception("message.unforeseen_error", topic=topic.name)
                outcome = await self._dead_letter(record, "UNFORESEEN_ERROR", error_text(unforeseen))
        finally:
            commits.in_flight -= 1
            commits.handled += 1
            commits.last_activity = time.monotonic()
            async with self._idle:
                self._idle.notify_all()
        failpoint(f"{self._service}.effect_before_commit")
        seconds = time.perf_counter() - started
        measure.handled(outcome, seconds, tracing.exemplar())
        logger.info(
            "message.handled",
            topic=topic.name,
            partition=record.partition,
            offset=record.offset,
            outcome=outcome,
            duration_ms=round(seconds * 1000, 1),
            error=None if error is None else error_text(error),
        )
        return outcome

    async def _attempt(
        self, measure: MessageMeasure, handler: Handler[MessageT], event: MessageT | UndecodableMessageError
    ) -> None:
        if isinstance(event, UndecodableMessageError):
            raise event
        deadline = time.monotonic() + UNFORESEEN_RETRY_SECONDS

        def worth_another_try(error: BaseException) -> bool:
            if isinstance(error, PermanentError) or not isinstance(error, Exception):
                return False
            return self._is_transient(error) or time.monotonic() < deadline

        async for attempt in AsyncRetrying(
            retry=retry_if_exception(worth_another_try),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            stop=stop_after_delay(RETRY_SECONDS),
            reraise=True,
        ):
            if attempt.retry_state.attempt_number > 1:
                measure.retries.inc()
            with attempt:
                await handler(event)

    async def _dead_letter(self, record: Record, code: str, detail: str) -> str:
        try:
            await self._dead_letters.store(record, code, detail)
        except Exception as error:
            if not self._is_transient(error):
                raise
            return "handed_back"
        return "dead_lettered"

    def _rewind(self, consumer: AIOKafkaConsumer, record: Record) -> None:
        try:
            consumer.seek(TopicPartition(record.topic, record.partition), record.offset)
        except IllegalStateError:
            logger.info("rewind.superseded", topic=record.topic, partition=record.partition)

    def _commits_of(self, consumer: AIOKafkaConsumer, topic: Topic) -> _Commits:
        if (commits := self._commits.get(consumer)) is None:
            commits = self._commits[consumer] = _Commits(consumer, topic.name)
            task = asyncio.create_task(self._commit_forever(commits))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return commits

    async def _commit_forever(self, commits: _Commits) -> None:
        while True:
            await commits.changed.wait()
            await asyncio.sleep(COMMIT_SECONDS)
            commits.changed.clear()
            await commits.flush()

    async def drain(self, topic: Topic) -> None:
        """Wait until no handler of ``topic`` is at work and commit what they finished; nothing begins meanwhile."""
        ours = [commits for commits in self._commits.values() if commits.topic == topic.name]
        with self._gate.closed():
            async with self._idle:
                await self._idle.wait_for(lambda: not any(commits.in_flight for commits in ours))
            for commits in ours:
                await commits.flush()

    async def stop(self) -> None:
        """Begin nothing new, finish what is at work within ``STOP_SECONDS``, commit it; then stop the broker."""
        self._stopping = True
        try:
            async with asyncio.timeout(STOP_SECONDS), self._idle:
                await self._idle.wait_for(lambda: not self.busy)
        except TimeoutError:
            logger.warning("stop.not_drained")
        for commits in self._commits.values():
            await commits.flush()
        await end_tasks(self._tasks)

    def group(self, topic: str) -> str:
        """Name of the consumer group that all processes of this service form for a topic."""
        return group_of(self._service, topic)

    @property
    def topics(self) -> frozenset[str]:
        """Names of the topics that have a handler."""
        return frozenset(self._topics)

    def unassigned(self) -> str | None:
        """Why not every consumer is a member of its group now, or ``None``."""
        waiting = [listener.topic.name for listener in self._listeners if not listener.member]
        return f"no member of its group: {', '.join(waiting)}" if waiting else None

    @property
    def busy(self) -> bool:
        """Whether a handler is at work."""
        return any(commits.in_flight for commits in self._commits.values())

    @property
    def client_id(self) -> str:
        """What the consumers of this process call themselves to the broker."""
        return str(self._broker.config.broker_config.client_id)

    def states(self) -> list[ConsumerState]:
        """Every consumer of this process as it is now."""
        return [self._state(listener) for listener in self._listeners]

    def _state(self, listener: _DrainOnRevoke) -> ConsumerState:
        consumer = listener.consumer()
        commits = None if consumer is None else self._commits.get(consumer)
        return ConsumerState(
            listener.topic.name,
            frozenset() if consumer is None else frozenset(consumer.assignment()),
            listener.joined,
            busy=commits is not None and commits.in_flight > 0,
            handled=0 if commits is None else commits.handled,
            seconds_idle=float("inf") if commits is None else time.monotonic() - commits.last_activity,
        )
