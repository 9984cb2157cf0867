"""Types of the events that receivers of webhooks hear of, and the shapes of their bodies.

The bodies are made in ``services.webhooks.domain.payload``; a test holds them against these models, which describe them
in the OpenAPI document.
"""

from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from libs.contracts.events import RevertCounts
from libs.contracts.states import RunStatus

OF_STATUS: Final[dict[RunStatus, str]] = {
    RunStatus.VALIDATING: "import.started",
    RunStatus.VALIDATED: "import.validated",
    RunStatus.COMPLETED: "import.completed",
    RunStatus.REVERTED: "import.reverted",
    RunStatus.FAILED: "import.failed",
    RunStatus.CANCELLED: "import.cancelled",
}
"""The event type of each status that a receiver hears of; the others make no webhook."""
ENDPOINT_DISABLED: Final = "webhook.endpoint_disabled"
"""Told to the other endpoints of an organization when Rowdock switches one off."""
SOURCE_FILE_MISSING: Final = "source.file_missing"
"""Told to the endpoints of an organization when a file that a source expects has not come by its time."""
TEST: Final = "webhook.test"
"""Asked for by the owner of an endpoint, whatever it listens to."""
EVENT_TYPES: Final = (*OF_STATUS.values(), ENDPOINT_DISABLED, SOURCE_FILE_MISSING)
"""What an endpoint may listen to."""


class _Shape(BaseModel):
    """Receivers ignore members that they do not know: there will be more."""

    model_config = ConfigDict(extra="allow")


class ImportEventCounts(_Shape):
    """Where the rows ended; once it is completed, ``rows = written + rejected + skipped``."""

    rows: int
    written: int
    created: int
    updated: int
    deleted: int
    rejected: int
    skipped: int
    warnings: int
    not_in_file: int | None = Field(default=None, description="Of a sync: records that it deleted.")


class ImportEventProblem(_Shape):
    """Why it failed, or what a sync asks before it deletes."""

    code: str | None
    message: str


class ImportEventData(_Shape):
    """``version`` rises by one with each change of the import: a receiver drops what is lower than what it has seen,
    because the order of deliveries is not promised. ``retry_of`` is the import whose rejected rows are retried.

    ``rows`` are, of ``import.completed`` where the template has ``include_data_in_webhook``, the first that were
    written: at most ``webhook_data_sample_size``, 1,000 and 64 KiB of them. ``rows_written`` says how many there are,
    and ``rows_url`` is the path of the interface that has them all.
    """

    event_id: str
    run_id: str
    template_id: str
    status: RunStatus
    version: int
    retry_of: str | None = None
    counts: ImportEventCounts | None = None
    reverted: RevertCounts | None = None
    question: ImportEventProblem | None = None
    error: ImportEventProblem | None = None
    rows: list[dict[str, Any]] | None = None
    rows_written: int | None = None
    rows_url: str | None = None


class ImportEvent(_Shape):
    """A change of an import. ``importer_id`` and ``import_id`` are UUIDs where it is one of the importers API."""

    type: str
    event: str = Field(description="The same as type.")
    importer_id: str
    import_id: str
    timestamp: str = Field(description="When it changed, such as 2024-01-01T00:00:00Z.")
    num_rows: int | None = Field(default=None, description="Rows of the file; of import.completed.")
    error: str | None = Field(default=None, description="What went wrong; of import.failed.")
    data: ImportEventData


class EndpointDisabledData(_Shape):
    """``template_id`` is null where the endpoint belongs to no template."""

    event_id: str
    endpoint_id: str
    template_id: str | None
    reason: str


class EndpointDisabledEvent(_Shape):
    """Rowdock sends nothing to an endpoint any more."""

    type: str
    event: str
    timestamp: str
    data: EndpointDisabledData


class SourceFileMissingData(_Shape):
    """No file has come to the source since the time before ``expected_at`` by which one was expected."""

    event_id: str
    source_id: str
    source_name: str
    template_id: str
    expected_at: str = Field(description="By when a file was to come, such as 2024-01-01T06:00:00Z.")


class SourceFileMissingEvent(_Shape):
    """A file that is expected has not come."""

    type: str
    event: str
    timestamp: str
    data: SourceFileMissingData


class EndpointTestData(_Shape):
    """Which endpoint was to be tried."""

    event_id: str
    endpoint_id: str


class EndpointTestEvent(_Shape):
    """Somebody tries an endpoint; nothing has happened."""

    type: str
    event: str
    timestamp: str
    data: EndpointTestData


def missing_file_body(
    event_id: str, source_id: str, source_name: str, template_id: str, expected_at: datetime, now: datetime
) -> bytes:
    """The body of ``SOURCE_FILE_MISSING``, as it is signed and sent."""
    data = SourceFileMissingData(
        event_id=event_id,
        source_id=source_id,
        source_name=source_name,
        template_id=template_id,
        expected_at=utc_seconds(expected_at),
    )
    event = SourceFileMissingEvent(
        type=SOURCE_FILE_MISSING, event=SOURCE_FILE_MISSING, timestamp=utc_seconds(now), data=data
    )
    return event.model_dump_json().encode()


def utc_seconds(moment: datetime) -> str:
    """``2024-01-01T00:00:00Z``; a time without a zone is read as UTC, as MongoDB stores it."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%SZ")


def trial_body(event_id: str, endpoint_id: str, timestamp: str) -> dict[str, Any]:
    """The body of ``TEST``."""
    data = EndpointTestData(event_id=event_id, endpoint_id=endpoint_id)
    return EndpointTestEvent(type=TEST, event=TEST, timestamp=timestamp, data=data).model_dump()
