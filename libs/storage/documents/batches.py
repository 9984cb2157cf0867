"""Batches of a run, their rows, and what became of rows that are not simply written."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, Field
from pymongo import ASCENDING, IndexModel

from libs.contracts.events import RevertCounts
from libs.contracts.lanes import Lane
from libs.contracts.reasons import KeptReason
from libs.contracts.rejections import UNREAD_CODES, RejectedState, RowError
from libs.contracts.states import BatchState
from libs.storage.documents.state_document import StateDocument

DAY_SECONDS = 86_400
PAYLOAD_DAYS = 30
"""How long a validated run may wait for its execution before its rows are dropped."""


class BatchResult(BaseModel):
    """Where the rows of a batch went; ``rows = ok + rejected + skipped`` from checked on.

    ``unclear_keys`` are rows of a sync of which it is not sure which record they mean, ``not_in_file`` records that it
    deleted: neither is a place where a row can be.
    """

    ok: int = 0
    rejected: int = 0
    warnings: int = 0
    duplicate_keys: int = 0
    unchanged: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    not_found: int = 0
    unclear_keys: int = 0
    not_in_file: int = 0

    def plus(self, more: Mapping[str, int]) -> "BatchResult":
        """The sum of this and ``more``, by the names of members; others are passed over."""
        return BatchResult(**{name: value + more.get(name, 0) for name, value in self.model_dump().items()})


class BatchDocument(StateDocument):
    """One entry of the ledger: up to ``plan.batch_rows`` rows of a run.

    Attributes:
        sweeps: it holds no rows but records that a sync deletes. They are numbered on from the last row of the file, so
            that ``row_from`` and ``row_to`` are numbers which no row has; ``digest`` names the plan that it is part of.
        announced: the state in which the batch was last announced to workers, see ``libs.ledger.handout``.
        lane: the lane in which it was announced.
        announced_by: random, the same for batches that were announced together.
        written_rows: rows (a bit each, see ``libs.batches.tables``) by what they did to the record that they met:
            ``updated`` or ``deleted`` it. Of a written batch the other rows that are neither rejected nor skipped have
            created theirs. ``None`` where release 0.1 wrote the batch.
        reverted: what became of its records when it was taken back.
    """

    tenant_id: str
    run_id: str
    epoch: int
    seq: int
    row_from: int
    row_to: int
    rows: int
    digest: str
    sweeps: bool = False
    state: BatchState = BatchState.PARSED
    attempts: int = 0
    result: BatchResult = BatchResult()
    preview: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    examples: dict[str, list[dict[str, Any]]] = Field(default_factory=dict[str, list[dict[str, Any]]])
    skipped_rows: dict[str, bytes] = Field(default_factory=dict[str, bytes])
    written_rows: dict[str, bytes] | None = None
    announced: BatchState | None = None
    lane: Lane | None = None
    announced_by: str | None = None
    reverted: RevertCounts | None = None
    updated_at: datetime

    class Settings:
        name = "batches"
        indexes: ClassVar = [
            IndexModel([("run_id", ASCENDING), ("state", ASCENDING), ("seq", ASCENDING)], name="run_state"),
            IndexModel(
                [
                    ("announced", ASCENDING),
                    ("state", ASCENDING),
                    ("lane", ASCENDING),
                    ("tenant_id", ASCENDING),
                    ("run_id", ASCENDING),
                ],
                name="in_flight",
                partialFilterExpression={"announced": {"$type": "string"}},
            ),
        ]


class BatchPayload(StateDocument):
    """A table of a batch as Arrow IPC, see ``libs.batches.payloads``.

    Attributes:
        data: one Arrow IPC stream.
        issues: of a parsed batch: the rows that could not become cells, see ``RowIssue``.
        in_target: of keys: for each constraint that the target was asked about, the rows (uint32, little-endian)
            whose values a record holds; ``None`` before it was asked.
        temporary: it goes when its run has ended, however that ends. Release 0.1 does not say so.
    """

    run_id: str
    data: bytes
    issues: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    in_target: dict[str, bytes] | None = None
    temporary: bool | None = None
    created_at: datetime

    class Settings:
        name = "batch_payloads"
        indexes: ClassVar = [
            IndexModel([("run_id", ASCENDING), ("_id", ASCENDING)], name="run_kind"),
            IndexModel(
                [("temporary", ASCENDING), ("run_id", ASCENDING)],
                name="temporary",
                partialFilterExpression={"temporary": True},
            ),
            IndexModel([("created_at", ASCENDING)], name="expiry", expireAfterSeconds=PAYLOAD_DAYS * DAY_SECONDS),
        ]


class RejectedRecord(StateDocument):
    """A rejected row. ``cells`` follow the columns of the run's plan, so that no user header becomes a key.

    Attributes:
        errors: the reasons for which its run has rejected it.
        remaining: those that there are by now, once it was corrected or retried.
        unread: whether the parser could not read it, so that its cells may be cut; release 0.1 stored that of none.
        state: what has become of it since.
        corrected: index and text of each cell that was corrected, ascending.
        revision: rises with every correction.
        corrected_at: when it was corrected last (server time), or its corrections were taken back.
        bulk: version of the bulk correction that was the last to correct it; ``None`` where that was somebody.
        checked: whether ``remaining`` are about the corrections.
        retry_run_id: the run that retries it, or retried it last.
        state_before: that in which this run found it.
        remaining_before: what ``remaining`` was then.
        skip_reason: why that run skipped it.
    """

    tenant_id: str
    run_id: str
    row: int
    cells: list[str | None]
    errors: list[RowError]
    unread: bool = False
    state: RejectedState = RejectedState.OPEN
    corrected: list[tuple[int, str | None]] | None = None
    remaining: list[RowError] | None = None
    revision: int = 0
    corrected_at: datetime | None = None
    bulk: str | None = None
    checked: bool = True
    retry_run_id: str | None = None
    state_before: RejectedState | None = None
    remaining_before: list[RowError] | None = None
    skip_reason: str | None = None
    created_at: datetime

    @property
    def current_errors(self) -> list[RowError]:
        """What is wrong with it by now."""
        return self.errors if self.remaining is None else self.remaining

    @property
    def needs_every_cell(self) -> bool:
        """Whether it can be tried again only with a correction of every cell."""
        return self.unread or any(error.field is None and error.code in UNREAD_CODES for error in self.errors)

    class Settings:
        name = "rejected_records"
        indexes: ClassVar = [
            IndexModel([("tenant_id", ASCENDING), ("run_id", ASCENDING), ("row", ASCENDING)], name="tenant_run_row"),
            IndexModel(
                [("tenant_id", ASCENDING), ("run_id", ASCENDING), ("state", ASCENDING), ("row", ASCENDING)],
                name="tenant_run_state",
            ),
        ]


class Kept(BaseModel):
    """Why a record stayed as it was when its run was reverted.

    Attributes:
        fields: names of those that the reason is about.
    """

    reason: KeptReason
    fields: list[str]


class UndoEntry(StateDocument):
    """Before-image of a record that a run changed.

    Attributes:
        tenant_id: whose record; ``None`` where release 0.1 stored it.
        resource: the target collection.
        record_id: the record's ``_id`` there.
        restore: values to set again.
        remove: fields that the record did not have.
        deletes: whether the run deleted the record.
        row: that did it; ``None`` where release 0.1 stored it.
        kept: set when the run was reverted and the record was not; also of a record that the run created.
    """

    tenant_id: str | None = None
    run_id: str
    resource: str
    record_id: Any
    restore: dict[str, Any]
    remove: list[str]
    deletes: bool = False
    row: int | None = None
    kept: Kept | None = None
    created_at: datetime

    class Settings:
        name = "undo"
        indexes: ClassVar = [
            IndexModel([("run_id", ASCENDING), ("row", ASCENDING)], name="run_row"),
            IndexModel(
                [("tenant_id", ASCENDING), ("run_id", ASCENDING), ("row", ASCENDING)],
                name="kept",
                partialFilterExpression={"kept.reason": {"$type": "string"}},
            ),
            IndexModel(
                [("run_id", ASCENDING), ("_id", ASCENDING)], name="deleted", partialFilterExpression={"deletes": True}
            ),
        ]
