"""What the driver tells of commands, connections and heartbeats, as metrics."""

from collections.abc import Sequence

from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
    ConnectionCheckedInEvent,
    ConnectionCheckedOutEvent,
    ConnectionCheckOutFailedEvent,
    ConnectionCheckOutStartedEvent,
    ConnectionClosedEvent,
    ConnectionCreatedEvent,
    ConnectionPoolListener,
    ConnectionReadyEvent,
    PoolClearedEvent,
    PoolClosedEvent,
    PoolCreatedEvent,
    PoolReadyEvent,
    ServerHeartbeatFailedEvent,
    ServerHeartbeatListener,
    ServerHeartbeatStartedEvent,
    ServerHeartbeatSucceededEvent,
)

from libs.telemetry.metrics import Metrics

Listener = CommandListener | ConnectionPoolListener | ServerHeartbeatListener

COMMANDS = frozenset(
    {
        "abortTransaction", "aggregate", "commitTransaction", "count", "createIndexes", "delete", "distinct", "explain",
        "find", "findAndModify", "getMore", "insert", "killCursors", "listCollections", "listIndexes", "ping", "update",
    }
)  # fmt: skip
"""Those that have a label of their own."""
MICROSECONDS = 1_000_000


def measuring(metrics: Metrics) -> Sequence[Listener]:
    """Listeners of one client. What they do is done for each command, on whatever it is waited for by."""
    return _Commands(metrics), _Connections(metrics), _Heartbeats(metrics)


class _Commands(CommandListener):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # Found once: to find it costs more than to observe.
        self._seconds = {name: metrics.mongodb_seconds.labels(name) for name in (*sorted(COMMANDS), "other")}

    def started(self, event: CommandStartedEvent) -> None:
        del event

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self._observe(event.command_name, event.duration_micros)

    def failed(self, event: CommandFailedEvent) -> None:
        self._observe(event.command_name, event.duration_micros)
        self._metrics.mongodb_failures.labels(_known(event.command_name)).inc()

    def _observe(self, name: str, microseconds: int) -> None:
        self._seconds[_known(name)].observe(microseconds / MICROSECONDS)


class _Connections(ConnectionPoolListener):
    def __init__(self, metrics: Metrics) -> None:
        self._open = metrics.mongodb_connections.labels("open")
        self._in_use = metrics.mongodb_connections.labels("in_use")
        self._waited = metrics.mongodb_checkout_seconds
        self._failed = metrics.mongodb_checkout_failures

    def connection_created(self, event: ConnectionCreatedEvent) -> None:
        del event
        self._open.inc()

    def connection_closed(self, event: ConnectionClosedEvent) -> None:
        del event
        self._open.dec()

    def connection_checked_out(self, event: ConnectionCheckedOutEvent) -> None:
        self._waited.observe(event.duration or 0)
        self._in_use.inc()

    def connection_checked_in(self, event: ConnectionCheckedInEvent) -> None:
        del event
        self._in_use.dec()

    def connection_check_out_failed(self, event: ConnectionCheckOutFailedEvent) -> None:
        del event
        self._failed.inc()

    def pool_created(self, event: PoolCreatedEvent) -> None: ...

    def pool_ready(self, event: PoolReadyEvent) -> None: ...

    def pool_cleared(self, event: PoolClearedEvent) -> None: ...

    def pool_closed(self, event: PoolClosedEvent) -> None: ...

    def connection_ready(self, event: ConnectionReadyEvent) -> None: ...

    def connection_check_out_started(self, event: ConnectionCheckOutStartedEvent) -> None: ...


class _Heartbeats(ServerHeartbeatListener):
    """Of a replica set of several members, whether any answers."""

    def __init__(self, metrics: Metrics) -> None:
        self._reachable = metrics.mongodb_reachable
        self._answering: set[object] = set()

    def started(self, event: ServerHeartbeatStartedEvent) -> None:
        del event

    def succeeded(self, event: ServerHeartbeatSucceededEvent) -> None:
        self._answering.add(event.connection_id)
        self._reachable.set(1)

    def failed(self, event: ServerHeartbeatFailedEvent) -> None:
        self._answering.discard(event.connection_id)
        self._reachable.set(1 if self._answering else 0)


def _known(command: str) -> str:
    return command if command in COMMANDS else "other"
