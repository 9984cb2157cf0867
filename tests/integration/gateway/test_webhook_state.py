"""A template shows whether its receiver still gets webhooks."""

from datetime import UTC, datetime

import httpx

from libs.storage.documents import WebhookEndpoint
from tests.integration.gateway.steps import create_template, template_body

URL = "https://example.com/hook"
AT = datetime(2026, 5, 3, 12, 30, tzinfo=UTC)


async def gone(template_id: str) -> None:
    """What the webhooks service does after ``410``."""
    changes = {"enabled": False, "disabled_at": AT, "disabled_reason": "the receiver answered 410 Gone"}
    await WebhookEndpoint.find_one({"template_id": template_id}).set(changes)


def state(template: dict[str, object]) -> tuple[object, ...]:
    return tuple(template[f"webhook_{name}"] for name in ("enabled", "disabled_at", "disabled_reason"))


ON = (True, None, None)
OFF_BY_OWNER = (False, None, None)
GONE = (False, "2026-05-03T12:30:00Z", "the receiver answered 410 Gone")


async def test_a_receiver_that_wants_no_more_is_shown_with_when_and_why(http: httpx.AsyncClient) -> None:
    template = await create_template(http, webhook_url=URL)
    url = f"/imports/templates/{template['id']}"
    assert state(template) == ON
    await gone(template["id"])
    shown = (await http.get(url)).json()
    assert state(shown) == GONE
    (listed,) = (await http.get("/imports/templates")).json()["data"]
    assert state(listed) == GONE

    # Sent back as it was shown, it stays off, and still says why.
    again = await http.put(url, json=shown)
    assert again.status_code == 200, again.text
    assert state(again.json()) == GONE
    assert state((await http.get(url)).json()) == GONE

    on = await http.put(url, json={**again.json(), "webhook_enabled": True})
    assert state(on.json()) == ON
    endpoint = await WebhookEndpoint.find_one({"template_id": template["id"]})
    assert endpoint is not None
    assert (endpoint.enabled, endpoint.disabled_at, endpoint.disabled_reason) == ON


async def test_its_owner_needs_no_reason(http: httpx.AsyncClient) -> None:
    template = await create_template(http, webhook_url=URL)
    answer = await http.put(
        f"/imports/templates/{template['id']}", json=template_body(webhook_url=URL, webhook_enabled=False)
    )
    assert state(answer.json()) == OFF_BY_OWNER
