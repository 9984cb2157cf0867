"""The one table of Kafka topics; provisioning, producers, consumers and AsyncAPI read it.

Names are versioned; a change that an old consumer cannot read gets a new ``.vN``.
"""

from dataclasses import dataclass

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is provisioned.

    Attributes:
        name: full name on the broker.
        key: what the message key is made of.
        partitions: the upper bound of consumers that work side by side.
        retention_ms: how long the broker keeps a message, in milliseconds.
        description: who tells whom what, for AsyncAPI.
        public: part of the contract with other systems.
    """

    name: str
    key: str
    partitions: int
    retention_ms: int
    description: str
    public: bool = False


IMPORTS_REQUESTED = Topic(
    "imports.requested.v1", "tenant", 6, 7 * DAY_MS, "An internal producer asks for an import.", public=True
)
RUN_SUBMITTED = Topic("imports.run-submitted.v1", "run", 6, 7 * DAY_MS, "Gateway to parser: a run waits to be parsed.")
BATCH_PARSED = Topic(
    "imports.batch-parsed.v1", "run:seq", 12, 7 * DAY_MS, "Parser to validator: a batch waits to be checked."
)
LARGE_BATCH_PARSED = Topic(
    "imports.large-batch-parsed.v1", "run:seq", 12, 7 * DAY_MS, "As imports.batch-parsed.v1, of large files."
)
EXECUTION_REQUESTED = Topic("imports.execution-requested.v1", "run", 6, 7 * DAY_MS, "A validated run may be written.")
BATCH_READY = Topic(
    "imports.batch-ready.v1",
    "run:seq",
    12,
    7 * DAY_MS,
    "Gateway, validator or writer to writer: a batch waits.",
)
LARGE_BATCH_READY = Topic(
    "imports.large-batch-ready.v1", "run:seq", 12, 7 * DAY_MS, "As imports.batch-ready.v1, of large files."
)
RUN_EVENTS = Topic(
    "imports.run-events.v1",
    "run",
    6,
    30 * DAY_MS,
    "Every change of a run's status, and the answers to requests; an event's kind says which.",
    public=True,
)
RECORDS_CHANGED = Topic(
    "records.changed.v1",
    "run:seq",
    12,
    7 * DAY_MS,
    "Records that a batch changed, of templates that have it told; for trusted consumers: it is about all tenants.",
    public=True,
)
DEAD_LETTERS = Topic("imports.dead-letters.v1", "none", 1, 30 * DAY_MS, "A message nobody could handle.", public=True)

TOPICS: tuple[Topic, ...] = (
    IMPORTS_REQUESTED,
    RUN_SUBMITTED,
    BATCH_PARSED,
    LARGE_BATCH_PARSED,
    EXECUTION_REQUESTED,
    BATCH_READY,
    LARGE_BATCH_READY,
    RUN_EVENTS,
    RECORDS_CHANGED,
    DEAD_LETTERS,
)
