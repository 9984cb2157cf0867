"""The body of a webhook: one JSON object in two vocabularies.

``event``, ``importer_id``, ``import_id``, ``num_rows`` and ``error`` are the importers API's, whose own runs have
UUIDs for ids;
``type``, ``timestamp`` and ``data`` are those of Standard Webhooks 1.0.0. The body is thin
(counts, no rows) unless the template asks for rows: a receiver that wants more asks for the run by its id.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from libs.contracts.events import RunStatusChanged
from libs.contracts.ids import as_uuid
from libs.contracts.states import RunStatus
from libs.contracts.webhooks import ENDPOINT_DISABLED, OF_STATUS, utc_seconds
from services.webhooks.domain.sample import rows_link

MAX_ERROR_CHARS = 1_000
_OF_IMPORTERS = "importers"


def event_type_of(event: RunStatusChanged) -> str | None:
    """The type under which receivers hear of an event, or ``None`` where they do not."""
    return OF_STATUS.get(event.status)


def webhook_payload(event: RunStatusChanged, rows: Sequence[Mapping[str, Any]] | None = None) -> bytes | None:
    """The exact bytes to store, sign and send, or ``None`` where the status makes no webhook.

    The same event with the same rows gives the same bytes: UTF-8 JSON, fewer than 20,000 of them beside the rows.
    ``num_rows`` is the number of rows in the file; where they ended stands in ``data.counts``.

    Args:
        event: what is told.
        rows: those that the template wants with it, or ``None`` where it wants none.
    """
    event_type = event_type_of(event)
    if event_type is None:
        return None
    timestamp = utc_seconds(event.occurred_at)
    public_id = as_uuid if event.vocabulary == _OF_IMPORTERS else str
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
        "importer_id": public_id(event.template_id),
        "import_id": public_id(event.run_id),
        "timestamp": timestamp,
        "data": data,
    }
    if event.parent_run_id is not None:
        data["retry_of"] = event.parent_run_id
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
    if rows is not None:
        data["rows"] = rows
        data["rows_written"] = event.counts.written if event.counts else len(rows)
        data["rows_url"] = rows_link(event.run_id)
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def notice_payload(event_id: str, endpoint_id: str, template_id: str | None, reason: str, at: datetime) -> bytes:
    """The bytes of ``ENDPOINT_DISABLED``, for the endpoints that still work."""
    data = {"event_id": event_id, "endpoint_id": endpoint_id, "template_id": template_id, "reason": reason}
    body = {"type": ENDPOINT_DISABLED, "event": ENDPOINT_DISABLED, "timestamp": utc_seconds(at), "data": data}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
