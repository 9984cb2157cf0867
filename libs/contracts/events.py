"""Events: facts in the past tense that carry ids, never rows (at most 2 KB each, ``RecordsChanged`` at most 64 KiB).

Readers ignore fields they do not know; an event is never changed after it was published. ``schema_version`` rises
when fields are added, so that a reader can tell what to expect; what an older reader could not use gets another topic.
"""

from datetime import UTC, datetime
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from libs.contracts.ids import event_id
from libs.contracts.lanes import Lane
from libs.contracts.states import RunStatus


class Event(BaseModel):
    """What every event carries."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event_id: str
    occurred_at: datetime
    schema_version: int = Field(default=1, ge=1)


class RunSubmitted(Event):
    run_id: str
    tenant_id: str
    lane: str | None = None

    @classmethod
    def of(cls, run_id: str, tenant_id: str, lane: Lane) -> Self:
        """The event, under the id that every repetition of it has."""
        # Still of version 1, with a field more: parsers of release 0.1 read no other, and ignore what they do not know.
        identifier = event_id("submitted", run_id)
        now = datetime.now(UTC)
        return cls(event_id=identifier, occurred_at=now, run_id=run_id, tenant_id=tenant_id, lane=lane.value)


class BatchParsed(Event):
    run_id: str
    epoch: int
    seq: int


class ExecutionRequested(Event):
    """A run is to be written, or, with ``preview``, it is to be worked out what that would do.

    A writer of the release before takes no notice of the second: the run does not execute.
    """

    run_id: str
    tenant_id: str
    preview: bool = False


class BatchReady(Event):
    """A batch waits to be written, or, with ``revert``, what was written of it waits to be taken back."""

    run_id: str
    epoch: int
    seq: int
    revert: bool = False


_OfBatch = TypeVar("_OfBatch", BatchParsed, BatchReady)
_CAUSES: dict[type[Event], str] = {BatchParsed: "parsed", BatchReady: "ready"}


def of_batch(kind: type[_OfBatch], run_id: str, epoch: int, seq: int) -> tuple[str, _OfBatch]:
    """The key of a message about a batch, and its event, under the id that every repetition of it has."""
    identifier = event_id(_CAUSES[kind], run_id, epoch, seq)
    event = kind(event_id=identifier, occurred_at=datetime.now(UTC), run_id=run_id, epoch=epoch, seq=seq)
    return f"{run_id}:{seq}", event


def to_revert(ready: BatchReady) -> BatchReady:
    """The event where the batch is to be taken back, under an id of its own."""
    identifier = event_id("to revert", ready.run_id, ready.epoch, ready.seq)
    return ready.model_copy(update={"event_id": identifier, "revert": True})


class RunCounts(BaseModel):
    """Where the rows of a run ended; ``rows = written + rejected + skipped`` once it is terminal.

    ``written`` is ``created + updated + deleted``; unchanged rows of an upsert are skipped
    with the reason ``UNCHANGED``. ``warnings`` counts rows that broke a rule in a
    template that keeps invalid rows, and were written or found unchanged. ``not_in_file`` are the
    records that a sync deleted because its file does not hold them: they belong to no row, and are
    counted beside the others.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    rows: int = 0
    written: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    rejected: int = 0
    skipped: int = 0
    skip_reasons: dict[str, int] = {}
    warnings: int = 0
    not_in_file: int = 0


class RevertCounts(BaseModel):
    """What became of the records that a run had written, when it was reverted.

    ``removed`` had been created, ``restored`` had been changed, ``returned`` had been deleted; ``kept`` are those of
    all three kinds that somebody else has changed since, or that could not be as they were.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    removed: int = 0
    restored: int = 0
    returned: int = 0
    kept: int = 0


class RunStatusChanged(Event):
    """One change of a run's status; ``version`` rises by one with each, so that a consumer
    can drop what arrives late. ``vocabulary`` is the one in which the run is shown to clients; ``parent_run_id`` is, of
    a retry, the run whose rejected rows it is about; ``request_id`` the producer's own, of a run that was asked for on
    Kafka. Its topic has events of other kinds too."""

    kind: Literal["status-changed"] = "status-changed"

    run_id: str
    tenant_id: str
    template_id: str
    status: RunStatus
    version: int
    counts: RunCounts | None = None
    error_code: str | None = None
    error_message: str | None = None
    reverted: RevertCounts | None = None
    vocabulary: str = "engine"
    parent_run_id: str | None = None
    request_id: str | None = None


MAX_RECORDS_CHANGED_BYTES = 64 * 1024
"""Of one message of ``records.changed.v1``, as JSON in UTF-8."""
MAX_CHANGES_BYTES = MAX_RECORDS_CHANGED_BYTES - 2 * 1024
"""Of its changes; the rest is for what all of them have in common."""


class RecordChange(BaseModel):
    """What a run did to one record.

    ``created``, ``updated`` and ``deleted`` (marked as deleted) by a row of its file, or deleted because the file of a
    sync does not hold it, then without ``row``. A revert has ``removed`` what the run created, ``restored`` what it
    updated, ``returned`` what it deleted; what it leaves as it is, is not told.

    ``fields`` are those that changed, of the template and ``extra``; ``values`` what they hold now, in the form of
    ``GET /records``: a field that is not among them is not in the record any more. Of a ``created`` record ``values``
    are all that it holds, and ``fields`` are absent. ``values_left_out``: they are too large for a message; read the
    record.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    operation: Literal["created", "updated", "deleted", "removed", "restored", "returned"]
    row: int | None = None
    fields: tuple[str, ...] | None = None
    values: dict[str, Any] | None = None
    values_left_out: bool = False


class RecordsChanged(Event):
    """Records that one batch of a run has changed; of templates that have it told (``record_events``).

    Of the changes of one record that with the greatest ``sequence`` is the last one, whatever run made them and in
    whatever order they arrive: texts of 16 hexadecimal digits, compared as texts. Of each field that is told the value
    with the greatest stands. A batch changes a record once; what is too much for one message is told by several, which
    ``chunk`` counts from 0.
    """

    run_id: str
    tenant_id: str
    template_id: str
    resource: str
    sequence: str = Field(pattern="^[0-9a-f]{16}$")
    chunk: int = Field(ge=0)
    chunks: int = Field(ge=1)
    changes: tuple[RecordChange, ...] = ()

    def as_json(self, changes: str) -> str:
        """The event with changes that are JSON already, with commas between them."""
        return f'{self.model_dump_json(exclude={"changes"})[:-1]},"changes":[{changes}]}}'


class MessageDeadLettered(Event):
    dead_letter_id: str
    topic: str
    partition: int
    offset: int
    service: str
    code: str
    message: str
