"""The body satisfies the importers API and Standard Webhooks at once."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from libs.contracts.events import RevertCounts, RunCounts, RunStatusChanged
from libs.contracts.states import RunStatus
from libs.contracts.webhooks import (
    ENDPOINT_DISABLED,
    OF_STATUS,
    EndpointDisabledEvent,
    EndpointTestEvent,
    ImportEvent,
    trial_body,
)
from services.webhooks.domain.payload import notice_payload, webhook_payload

AT = datetime(2024, 1, 1, tzinfo=UTC)


def changed(status: RunStatus, **fields: object) -> RunStatusChanged:
    return RunStatusChanged.model_validate(
        {
            "event_id": "e1",
            "occurred_at": AT,
            "run_id": "r1",
            "tenant_id": "t1",
            "template_id": "m1",
            "status": status,
            "version": 4,
            **fields,
        }
    )


def body_of(event: RunStatusChanged) -> dict[str, object]:
    payload = webhook_payload(event)
    assert payload is not None
    return json.loads(payload)


def test_started() -> None:
    assert body_of(changed(RunStatus.VALIDATING)) == {
        "type": "import.started",
        "event": "import.started",
        "importer_id": "m1",
        "import_id": "r1",
        "timestamp": "2024-01-01T00:00:00Z",
        "data": {"event_id": "e1", "run_id": "r1", "template_id": "m1", "status": "validating", "version": 4},
    }


def test_runs_of_importers_have_uuids() -> None:
    ids = {"run_id": "6764a1b2c3d4e5f607182930", "template_id": "6764a1b2c3d4e5f60718293a"}
    body = body_of(changed(RunStatus.VALIDATING, vocabulary="importers", **ids))
    assert body["importer_id"] == "6764a1b2-c3d4-8e5f-8000-00060718293a"
    assert body["import_id"] == "6764a1b2-c3d4-8e5f-8000-000607182930"
    data = body["data"]
    assert isinstance(data, dict)
    assert {"run_id": data["run_id"], "template_id": data["template_id"]} == ids


def test_completed_has_counts() -> None:
    counts = RunCounts(rows=100, written=97, created=97, rejected=2, skipped=1, skip_reasons={"DUPLICATE_KEY": 1})
    body = body_of(changed(RunStatus.COMPLETED, counts=counts))
    assert body["event"] == "import.completed"
    assert body["num_rows"] == 100
    assert body["data"] == {
        "event_id": "e1",
        "run_id": "r1",
        "template_id": "m1",
        "status": "completed",
        "version": 4,
        "counts": {
            "rows": 100,
            "written": 97,
            "created": 97,
            "updated": 0,
            "deleted": 0,
            "rejected": 2,
            "skipped": 1,
            "warnings": 0,
        },
    }


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        ("MISSING_COLUMNS", "Column 'sku' is missing.", "Column 'sku' is missing."),
        ("MISSING_COLUMNS", None, "MISSING_COLUMNS"),
        (None, None, "The import failed."),
    ],
)
def test_failed_says_why(code: str | None, message: str | None, error: str) -> None:
    body = body_of(changed(RunStatus.FAILED, error_code=code, error_message=message))
    assert body["event"] == "import.failed"
    assert body["error"] == error
    assert isinstance(body["data"], dict)
    assert body["data"]["error"] == {"code": code, "message": error}


def test_the_other_names() -> None:
    assert body_of(changed(RunStatus.VALIDATED))["type"] == "import.validated"
    assert body_of(changed(RunStatus.CANCELLED))["type"] == "import.cancelled"


@pytest.mark.parametrize("status", [RunStatus.PENDING, RunStatus.EXECUTING, RunStatus.REVERTING])
def test_nobody_is_told_of_the_rest(status: RunStatus) -> None:
    assert webhook_payload(changed(status)) is None


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2024, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC),
        datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        datetime(2024, 1, 1),  # noqa: DTZ001 - as MongoDB gives it without tz_aware
    ],
)
def test_timestamps_are_utc_seconds(moment: datetime) -> None:
    assert body_of(changed(RunStatus.VALIDATED, occurred_at=moment))["timestamp"] == "2024-01-01T00:00:00Z"


@given(
    status=st.sampled_from([RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED]),
    message=st.none() | st.text(max_size=5_000) | st.just("\x00" * 5_000) | st.just("\U0001f4a5" * 5_000),
    counts=st.none() | st.builds(RunCounts, rows=st.integers(0, 2**40), skipped=st.integers(0, 2**40)),
)
def test_small_and_the_same_every_time(status: RunStatus, message: str | None, counts: RunCounts | None) -> None:
    event = changed(status, error_message=message, error_code="X" * 100, counts=counts)
    payload = webhook_payload(event)
    assert payload is not None
    assert len(payload) < 20_000
    assert payload == webhook_payload(RunStatusChanged.model_validate_json(event.model_dump_json()))
    assert json.loads(payload)["import_id"] == "r1"


def test_what_a_revert_did() -> None:
    event = changed(RunStatus.REVERTED).model_copy(update={"reverted": RevertCounts(removed=3, kept=1)})
    body = json.loads(webhook_payload(event) or b"")
    assert body["type"] == "import.reverted"
    assert body["data"]["reverted"] == {"removed": 3, "restored": 0, "returned": 0, "kept": 1}
    assert "num_rows" not in body


@pytest.mark.parametrize("status", list(OF_STATUS))
def test_bodies_are_of_the_published_shape(status: RunStatus) -> None:
    event = changed(status, counts=RunCounts(rows=3, written=3), reverted=RevertCounts(), parent_run_id="r0")
    body = body_of(event)
    read = ImportEvent.model_validate(body, strict=False)
    assert read.type == read.event == OF_STATUS[status]
    assert read.data.retry_of == "r0"
    assert _unknown(read) == set()


def test_notices_and_tests_are_of_the_published_shape() -> None:
    notice = EndpointDisabledEvent.model_validate_json(notice_payload("e1", "p1", None, "it is gone", AT))
    assert (notice.type, notice.data.reason, _unknown(notice)) == (ENDPOINT_DISABLED, "it is gone", set())
    trial = EndpointTestEvent.model_validate(trial_body("e1", "p1", "2024-01-01T00:00:00Z"))
    assert _unknown(trial) == set()


def _unknown(model: BaseModel) -> set[str]:
    """Members that the published shape does not name."""
    inner = [getattr(model, name) for name in type(model).model_fields]
    below = [_unknown(each) for each in inner if isinstance(each, BaseModel)]
    return set(model.model_extra or {}).union(*below)
