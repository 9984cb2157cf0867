"""Generated from docs/asyncapi.yaml by `make docs`: messages of the public topics, under their names."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from rowdock_client.shape import Shape


class ImportRequested(Shape):
    """
    An internal producer asks for an import of rows, or of a file that is stored already.

    Attributes:
        request_id: the producer's own; of one organization each makes one run, however often it comes.
        tenant_id: the organization whose records are changed.
        template_id, template_key: the template, one of the two.
        rows: objects of values by the name of their column; or:
        file_id: a file of the organization that is stored: the id of the run that it came with.
        file_name: for display.
        mapping: column and the field that it fills, or null for a column that is not wanted; by name where absent.
        metadata: kept on the run.
        external_user_id: kept on the run.
        auto_execute: write what is valid once all is checked; otherwise the run waits to be executed.
    """

    event_id: str
    occurred_at: AwareDatetime
    schema_version: int = 1
    request_id: str
    tenant_id: str
    template_id: str | None = None
    template_key: str | None = None
    rows: list[dict[str, Any]] | None = None
    file_id: str | None = None
    file_name: str | None = None
    mapping: dict[str, str | None] | None = None
    metadata: dict[str, Any] | None = None
    external_user_id: str | None = None
    auto_execute: bool = True


class MessageDeadLettered(Shape):
    event_id: str
    occurred_at: AwareDatetime
    schema_version: int = 1
    dead_letter_id: str
    topic: str
    partition: int
    offset: int
    service: str
    code: str
    message: str


class RecordChange(Shape):
    """
    What a run did to one record.

    ``created``, ``updated`` and ``deleted`` (marked as deleted) by a row of its file, or deleted because the file of a
    sync does not hold it, then without ``row``. A revert has ``removed`` what the run created, ``restored`` what it
    updated, ``returned`` what it deleted; what it leaves as it is, is not told.

    ``fields`` are those that changed, of the template and ``extra``; ``values`` what they hold now, in the form of
    ``GET /records``: a field that is not among them is not in the record any more. Of a ``created`` record ``values``
    are all that it holds, and ``fields`` are absent. ``values_left_out``: they are too large for a message; read the
    record.
    """

    id: str
    operation: Literal["created", "updated", "deleted", "removed", "restored", "returned"]
    row: int | None = None
    fields: list[str] | None = None
    values: dict[str, Any] | None = None
    values_left_out: bool = False


class RecordsChanged(Shape):
    """
    Records that one batch of a run has changed; of templates that have it told (``record_events``).

    Of the changes of one record that with the greatest ``sequence`` is the last one, whatever run made them and in
    whatever order they arrive: texts of 16 hexadecimal digits, compared as texts. Of each field that is told the value
    with the greatest stands. A batch changes a record once; what is too much for one message is told by several, which
    ``chunk`` counts from 0.
    """

    event_id: str
    occurred_at: AwareDatetime
    schema_version: int = 1
    run_id: str
    tenant_id: str
    template_id: str
    resource: str
    sequence: str
    chunk: int
    chunks: int
    changes: list[RecordChange] = Field([], validate_default=True)


class RequestAccepted(Shape):
    """
    A request has made a run, or made it before; the run's own events follow, with the ``request_id``.
    """

    event_id: str
    occurred_at: AwareDatetime
    schema_version: int = 1
    kind: Literal["request-accepted"] = "request-accepted"
    request_id: str
    tenant_id: str
    run_id: str
    template_id: str


class RequestProblem(Shape):
    """
    What is wrong with one place of a request, and how to mend it.
    """

    location: str
    code: str
    message: str


class RequestRejected(Shape):
    """
    A request has made no run, and nothing of it is left; the same ``request_id`` may be sent again, mended.

    Attributes:
        problems: all that is wrong, at most 100.
        untold: how many more there are.
        retry_after_seconds: when it is worth sending again unchanged; absent where it is not.
    """

    event_id: str
    occurred_at: AwareDatetime
    schema_version: int = 1
    kind: Literal["request-rejected"] = "request-rejected"
    request_id: str
    tenant_id: str
    code: str
    message: str
    problems: list[RequestProblem] = Field([], validate_default=True)
    untold: int = 0
    retry_after_seconds: int | None = None


class RevertCounts(Shape):
    """
    What became of the records that a run had written, when it was reverted.

    ``removed`` had been created, ``restored`` had been changed, ``returned`` had been deleted; ``kept`` are those of
    all three kinds that somebody else has changed since, or that could not be as they were.
    """

    removed: int = 0
    restored: int = 0
    returned: int = 0
    kept: int = 0


class RunCounts(Shape):
    """
    Where the rows of a run ended; ``rows = written + rejected + skipped`` once it is terminal.

    ``written`` is ``created + updated + deleted``; unchanged rows of an upsert are skipped
    with the reason ``UNCHANGED``. ``warnings`` counts rows that broke a rule in a
    template that keeps invalid rows, and were written or found unchanged. ``not_in_file`` are the
    records that a sync deleted because its file does not hold them: they belong to no row, and are
    counted beside the others.
    """

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


class RunStatusChanged(Shape):
    """
    One change of a run's status; ``version`` rises by one with each, so that a consumer
    can drop what arrives late. ``vocabulary`` is the one in which the run is shown to clients; ``parent_run_id`` is, of
    a retry, the run whose rejected rows it is about; ``request_id`` the producer's own, of a run that was asked for on
    Kafka. Its topic has events of other kinds too.
    """

    event_id: str
    occurred_at: AwareDatetime
    schema_version: int = 1
    kind: Literal["status-changed"] = "status-changed"
    run_id: str
    tenant_id: str
    template_id: str
    status: Literal[
        "pending", "validating", "validated", "executing", "completed", "reverting", "reverted", "failed", "cancelled"
    ]
    version: int
    counts: RunCounts | None = None
    error_code: str | None = None
    error_message: str | None = None
    reverted: RevertCounts | None = None
    vocabulary: str = "engine"
    parent_run_id: str | None = None
    request_id: str | None = None
