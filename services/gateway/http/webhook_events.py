"""The ``webhooks`` of the OpenAPI document: what receivers are sent, and what they answer."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from libs.contracts.webhooks import (
    ENDPOINT_DISABLED,
    OF_STATUS,
    SOURCE_FILE_MISSING,
    TEST,
    EndpointDisabledEvent,
    EndpointTestEvent,
    ImportEvent,
    SourceFileMissingEvent,
)

SUMMARIES: Final[Mapping[str, str]] = {
    "import.started": "The file of an import is being read",
    "import.validated": "Every row was checked; the import waits for its execution, or asks before a sync deletes",
    "import.completed": "Every row ended in one place",
    "import.reverted": "A completed import was taken back",
    "import.failed": "An import ended without changing anything more",
    "import.cancelled": "An import was cancelled",
    ENDPOINT_DISABLED: "Another endpoint of the organization was switched off by Rowdock",
    SOURCE_FILE_MISSING: "A file that a source expects has not come by its time",
    TEST: "Somebody tries the endpoint",
}
EVENT_MODELS: Final[Mapping[str, type[BaseModel]]] = {
    **dict.fromkeys(OF_STATUS.values(), ImportEvent),
    ENDPOINT_DISABLED: EndpointDisabledEvent,
    SOURCE_FILE_MISSING: SourceFileMissingEvent,
    TEST: EndpointTestEvent,
}
_HEADERS: Final[Mapping[str, str]] = {
    "webhook-id": "The id of the delivery, the same in every attempt: drop what you have seen.",
    "webhook-timestamp": "When this attempt was made, in seconds since 1970; refuse what is five minutes old.",
    "webhook-signature": "`v1,` and the base64 of HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`; two, "
    "with a space between, while the secret is replaced (Standard Webhooks 1.0.0).",
}
_ANSWERS: Final[Mapping[str, str]] = {
    "2XX": "It is delivered; what the answer says is kept up to 1,024 bytes.",
    "410": "Nothing more is sent: the endpoint is switched off.",
    "429": "It is tried again, not before `Retry-After`; so with 502 and 504.",
    "default": "It is tried again by a schedule, also where no answer comes within 15 seconds. Redirects are not "
    "followed.",
}


def webhooks_section() -> dict[str, Any]:
    """The ``webhooks`` of an OpenAPI 3.1 document, by type of event."""
    return {event_type: {"post": _operation(event_type)} for event_type in EVENT_MODELS}


def _operation(event_type: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{EVENT_MODELS[event_type].__name__}"}
    return {
        "operationId": "on" + "".join(part.title() for part in event_type.replace("_", ".").split(".")),
        "summary": SUMMARIES[event_type],
        "tags": ["Webhooks"],
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {status: {"description": text} for status, text in _ANSWERS.items()},
    }
