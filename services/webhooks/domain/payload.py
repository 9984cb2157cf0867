"""The body of a webhook: one JSON object in two vocabularies.

``event``, ``importer_id``, ``import_id``, ``num_rows`` and ``error`` are the importers API's;
``type``, ``timestamp`` and ``data`` are those of Standard Webhooks 1.0.0. The body is thin
(counts, no rows): a receiver that wants more asks for the run by its id.
"""

import json
from datetime import UTC, datetime
from typing import Any

from libs.contracts.events import RunStatusChanged
from libs.contracts.states import RunStatus

WEBHOOK_EVENT_TYPES: dict[RunStatus, str] = {
    RunStatus.VALIDATING: "import.started",
    RunStatus.VALIDATED: "import.validated",
    RunStatus.COMPLETED: "import.completed",
    RunStatus.REVERTED: "import.reverted",
    RunStatus.FAILED: "import.failed",
    RunStatus.CANCELLED: "import.cancelled",
}
"""The event type of each status that a receiver gets; the others make no webhook."""

MAX_ERROR_CHARS = 1_000


def webhook_payload(event: RunStatusChanged) -> bytes | None:
    """The exact bytes to store, sign and send, or ``None`` where the status makes no webhook.

    The same event gives the same bytes: UTF-8 JSON, fewer than 20,000 of them. ``num_rows`` is the
    number of rows in the file; where they ended stands in ``data.counts``.
    """
    event_type = WEBHOOK_EVENT_TYPES.get(event.status)
    if event_type is None:
        return None
    timestamp = _utc_seconds(event.occurred_at)
    data: dict[str, Any] = {
        "event_id": event.event_id,
        "run_id": event.run_id,
        "template_id": event.template_id,
        "status": event.status.value,
        "version": event.version,
    }
    body: dict[str, Any] = {
        "type": event_type,
        "event": event_type,
        "importer_id": event.template_id,
        "import_id": event.run_id,
        "timestamp": timestamp,
        "data": data,
    }
    if event.counts is not None:
        # Reasons are open-ended; without them the size of the body is bounded.
        hidden = {"skip_reasons"} if event.counts.not_in_file else {"skip_reasons", "not_in_file"}
        data["counts"] = event.counts.model_dump(exclude=hidden)
    if event.reverted is not None:
        data["reverted"] = event.reverted.model_dump()
    if event.status is RunStatus.COMPLETED:
        body["num_rows"] = event.counts.rows if event.counts else 0
    if event.status is RunStatus.VALIDATED and event.error_code is not None:
        # A sync asks before it deletes; nothing has failed.
        data["question"] = {"code": event.error_code, "message": (event.error_message or "")[:MAX_ERROR_CHARS]}
    if event.status is RunStatus.FAILED:
        message = (event.error_message or event.error_code or "The import failed.")[:MAX_ERROR_CHARS]
        body["error"] = message
        data["error"] = {"code": event.error_code, "message": message}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _utc_seconds(moment: datetime) -> str:
    """``2024-01-01T00:00:00Z``; a time without a zone is read as UTC, as MongoDB stores it."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%SZ")
