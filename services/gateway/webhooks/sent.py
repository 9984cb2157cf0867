"""The endpoints of an organization as they are, and what was sent to them: shown, and sent again."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NoReturn

from libs.contracts.ids import delivery_id, event_id
from libs.contracts.webhooks import TEST, trial_body, utc_seconds
from libs.storage.documents import WebhookDelivery, WebhookEndpoint
from libs.storage.stored_times import now_as_stored
from services.gateway.access.principal import Principal
from services.gateway.errors import ConflictError, Versions, not_found, outdated, require_version
from services.gateway.stores.deliveries import MAX_ATTEMPTS, STATES, DeliveryHead, DeliveryStore
from services.gateway.stores.endpoints import WELL, EndpointStore
from services.gateway.stores.paging import Page

MAX_REPLAYED: Final = 10_000
"""Deliveries that one request sends again; the answer says how to go on."""
REPLAYED_AT_A_TIME: Final = 1_000


@dataclass(frozen=True, slots=True)
class Replay:
    """What was sent again.

    Attributes:
        deliveries: how many.
        next_since: where there may be more: the time from which to ask for them.
    """

    deliveries: int
    next_since: datetime | None


class SentWebhooks:
    """The endpoints of the organization that is acted for, those of templates too."""

    # --- endpoints ------------------------------------------------------------------------------

    async def page(self, principal: Principal, limit: int, after: str | None) -> Page[WebhookEndpoint]:
        """All that there are, those of templates too, the newest first."""
        return await EndpointStore(principal).page(limit, after)

    async def get(self, principal: Principal, endpoint_id: str) -> WebhookEndpoint:
        """One of them.

        Raises:
            NotFoundError: ``WEBHOOK_ENDPOINT_NOT_FOUND``.
        """
        if (found := await EndpointStore(principal).get(endpoint_id)) is None:
            raise not_found("webhook endpoint", endpoint_id)
        return found

    async def enable(self, principal: Principal, endpoint_id: str, wanted: Versions = None) -> WebhookEndpoint:
        """Switch an endpoint on again that Rowdock, or its owner, has switched off.

        One that is paused is tried when the pause ends that the senders know of, in ten minutes at most.

        Raises:
            NotFoundError: as ``get``.
            ConflictError: ``ENDPOINT_OF_TEMPLATE``: the owner of the template has switched it off there.
            OutdatedError: it has none of the versions that are wanted.
        """
        known = await self.get(principal, endpoint_id)
        require_version(known.version, wanted)
        if known.template_id and not known.enabled and known.disabled_at is None:
            raise of_template(known)
        changes = {"enabled": True, "disabled_at": None, "disabled_reason": None, **WELL}
        await self._changed(principal, known, changes, wanted)
        return await self.get(principal, endpoint_id)

    async def given_up(self, principal: Principal) -> dict[str, int]:
        """How many endpoints Rowdock has switched off, by organization that the principal sees."""
        return await EndpointStore(principal).given_up()

    # --- deliveries -----------------------------------------------------------------------------

    async def test(self, principal: Principal, endpoint_id: str) -> WebhookDelivery:
        """Send an event that says it is none; one a second, however often it is asked for.

        Raises:
            NotFoundError: as ``get``.
            ConflictError: ``ENDPOINT_DISABLED``.
        """
        await self._on(principal, endpoint_id)
        now = now_as_stored()
        told = event_id("test", endpoint_id, int(now.timestamp()))
        body = trial_body(told, endpoint_id, utc_seconds(now))
        delivery = WebhookDelivery(
            _id=delivery_id(told, endpoint_id),
            tenant_id=principal.tenant_id,
            endpoint_id=endpoint_id,
            run_id="",
            event_id=told,
            event_type=TEST,
            body=json.dumps(body, separators=(",", ":")).encode(),
            next_attempt_at=now,
            created_at=now,
        )
        await DeliveryStore(principal).add(delivery)
        return delivery

    async def deliveries(
        self, principal: Principal, endpoint_id: str, state: str | None, limit: int, after: str | None
    ) -> Page[DeliveryHead]:
        """What was sent to an endpoint, or is to be, the newest first.

        Raises:
            NotFoundError: as ``get``.
        """
        await self.get(principal, endpoint_id)
        states: Sequence[str] = STATES if state is None else (state,)
        return await DeliveryStore(principal).page(endpoint_id, states, limit, after)

    async def delivery(self, principal: Principal, identifier: str) -> WebhookDelivery:
        """One delivery, with every attempt.

        Raises:
            NotFoundError: ``WEBHOOK_DELIVERY_NOT_FOUND``.
        """
        if (found := await DeliveryStore(principal).get(identifier)) is None:
            raise not_found("webhook delivery", identifier)
        return found

    async def resend(self, principal: Principal, identifier: str) -> WebhookDelivery:
        """Send a delivery again, under the same id, with the whole schedule before it.

        Raises:
            NotFoundError: ``WEBHOOK_DELIVERY_NOT_FOUND``.
            ConflictError: ``ENDPOINT_DISABLED``, or ``TOO_MANY_ATTEMPTS``.
        """
        known = await self.delivery(principal, identifier)
        await self._on(principal, known.endpoint_id)
        if (again := await DeliveryStore(principal).send_again(identifier)) is not None:
            return again
        message = f"it has {MAX_ATTEMPTS} attempts, which is as many as are kept; ask for what it is about instead"
        raise ConflictError("TOO_MANY_ATTEMPTS", message)

    async def replay(
        self, principal: Principal, endpoint_id: str, states: Collection[str], since: datetime, until: datetime | None
    ) -> Replay:
        """Send again what was settled in one of ``states``, of the events of a time; see ``resend``.

        Raises:
            NotFoundError, ConflictError: as ``test``.
        """
        await self._on(principal, endpoint_id)
        store, done, at = DeliveryStore(principal), 0, since
        end = until or now_as_stored()
        found = await store.settled(endpoint_id, states, at, end, MAX_REPLAYED)
        for first in range(0, len(found), REPLAYED_AT_A_TIME):
            done += await store.send_all_again([each for each, _ in found[first : first + REPLAYED_AT_A_TIME]])
        return Replay(done, found[-1][1] if len(found) == MAX_REPLAYED else None)

    # --- what has to hold -----------------------------------------------------------------------

    async def _changed(
        self, principal: Principal, known: WebhookEndpoint, changes: dict[str, Any], wanted: Versions
    ) -> None:
        """Change an endpoint; where some versions are wanted, only if it is still as it is known."""
        version = None if wanted is None else known.version
        if not await EndpointStore(principal).change(known.id, changes, version=version):
            await self._outdated(principal, known.id)

    async def _outdated(self, principal: Principal, endpoint_id: str) -> NoReturn:
        """Say why an endpoint could not be changed that was there a moment ago."""
        await self.get(principal, endpoint_id)
        raise outdated()

    async def _on(self, principal: Principal, endpoint_id: str) -> None:
        known = await self.get(principal, endpoint_id)
        if not known.enabled:
            message = "the endpoint is switched off; enable it first"
            if known.disabled_reason is not None:
                message += f". Rowdock has switched it off: {known.disabled_reason}"
            raise ConflictError("ENDPOINT_DISABLED", message)


def of_template(endpoint: WebhookEndpoint) -> ConflictError:
    return ConflictError(
        "ENDPOINT_OF_TEMPLATE",
        f"the endpoint belongs to the template {endpoint.template_id}; change webhook_url and webhook_enabled there",
    )
