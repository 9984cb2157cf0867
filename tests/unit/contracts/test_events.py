"""Events survive the wire, and a newer producer does not break an older reader."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from libs.contracts.events import (
    BatchParsed,
    BatchReady,
    Event,
    ExecutionRequested,
    MessageDeadLettered,
    RecordChange,
    RecordsChanged,
    RunCounts,
    RunStatusChanged,
    RunSubmitted,
)
from libs.contracts.ids import event_id
from libs.contracts.requests import RequestAccepted, RequestProblem, RequestRejected
from libs.contracts.states import RunStatus
from libs.messaging.broker import MAX_MESSAGE_BYTES

AT = datetime(2026, 3, 2, 9, 30, 0, 123_000, tzinfo=UTC)
RUN, TENANT = "66f0a1b2c3d4e5f601020304", "66f0a1b2c3d4e5f6010203ff"
HEAD = {"event_id": event_id("test"), "occurred_at": AT}
COUNTS = RunCounts(rows=5, written=2, created=2, rejected=1, skipped=2, skip_reasons={"UNCHANGED": 2})
CHANGED = RunStatusChanged(
    **HEAD, run_id=RUN, tenant_id=TENANT, template_id="t", status=RunStatus.COMPLETED, version=5, counts=COUNTS
)
EVENTS: list[Event] = [
    RunSubmitted(**HEAD, run_id=RUN, tenant_id=TENANT),
    BatchParsed(**HEAD, run_id=RUN, epoch=1, seq=7),
    ExecutionRequested(**HEAD, run_id=RUN, tenant_id=TENANT),
    BatchReady(**HEAD, run_id=RUN, epoch=1, seq=7),
    CHANGED,
    RecordsChanged(
        **HEAD,
        run_id=RUN,
        tenant_id=TENANT,
        template_id="t",
        resource="contacts",
        sequence="6900000000000001",
        chunk=0,
        chunks=1,
        changes=(
            RecordChange(id="a", operation="created", row=1, values={"name": "x"}),
            RecordChange(id="b", operation="restored", row=2, fields=("name",)),
        ),
    ),
    RequestAccepted(**HEAD, request_id="r", tenant_id=TENANT, run_id=RUN, template_id="t"),
    RequestRejected(
        **HEAD,
        request_id="r",
        tenant_id=TENANT,
        code="INVALID_REQUEST",
        message="rows: is required",
        problems=(RequestProblem(location="rows", code="MISSING", message="is required"),),
        retry_after_seconds=10,
    ),
    MessageDeadLettered(
        **HEAD, dead_letter_id="d", topic="t", partition=0, offset=9, service="writer", code="C", message="m"
    ),
]
every_event = pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)


def test_no_event_is_forgotten_here() -> None:
    assert {type(event) for event in EVENTS} == set(Event.__subclasses__())


@every_event
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    assert type(event).model_validate_json(event.model_dump_json()) == event


@every_event
def test_unknown_fields_are_ignored(event: Event) -> None:
    body = event.model_dump(mode="json") | {"from_the_future": {"nested": [1]}}
    assert type(event).model_validate(body) == event


@every_event
def test_a_newer_schema_version_is_read(event: Event) -> None:
    """Topics are versioned: within one, fields are only added."""
    body = event.model_dump(mode="json") | {"schema_version": 2, "from_the_future": True}
    assert type(event).model_validate(body) == event.model_copy(update={"schema_version": 2})


@every_event
@pytest.mark.parametrize("version", [0, -1, "two", None, 1.5])
def test_what_is_no_schema_version_is_refused(event: Event, version: object) -> None:
    with pytest.raises(ValidationError, match="schema_version"):
        type(event).model_validate(event.model_dump() | {"schema_version": version})


@every_event
def test_an_event_never_changes(event: Event) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        event.event_id = "another"


def test_unknown_counts_are_ignored_too() -> None:
    body = CHANGED.model_dump(mode="json")
    body["counts"]["archived"] = 3
    assert RunStatusChanged.model_validate(body) == CHANGED


def test_the_longest_event_fits_a_message() -> None:
    """A failure message is stored in up to 2,000 characters, of up to 12 bytes each as JSON."""
    longest = CHANGED.model_copy(update={"error_code": "INTEGRITY", "error_message": "\U0001f600" * 2_000})
    assert len(longest.model_dump_json().encode()) < MAX_MESSAGE_BYTES / 4
