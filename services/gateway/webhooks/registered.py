"""Endpoints of an organization: made, changed, tried, switched on again, and what was sent to them sent again.

Those of templates are shown and tried like the others; what their template says of them is changed there.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from libs.contracts.webhooks import EVENT_TYPES
from libs.egress.rules import IPNetwork, url_problem
from libs.storage.documents import OF_ORGANIZATION, WebhookEndpoint
from libs.storage.sealing import SecretKeys
from services.gateway.access.principal import Principal
from services.gateway.errors import LimitError, Problem, Versions, invalid_input, outdated, require_version
from services.gateway.stores.endpoints import WELL, EndpointStore
from services.gateway.webhooks.endpoints import (
    MAX_SECRET_BYTES,
    MIN_SECRET_BYTES,
    is_signing_secret,
    new_secret,
)
from services.gateway.webhooks.sent import SentWebhooks, now_as_stored, of_template

MAX_ENDPOINTS: Final = 50
"""Of one organization, beside those of its templates: each event makes a delivery for each."""
_FILTERS: Final = ("event_types", "template_ids")


@dataclass(frozen=True, slots=True)
class MadeEndpoint:
    """An endpoint with the secret that was made or given just now, which is never shown again."""

    endpoint: WebhookEndpoint
    secret: str


class RegisteredEndpoints(SentWebhooks):
    """The endpoints of the organization that is acted for.

    Args:
        cipher: encrypts signing secrets at rest.
        allowed_networks: networks that webhooks may reach although they are not public.
    """

    def __init__(self, cipher: SecretKeys, allowed_networks: Collection[IPNetwork]) -> None:
        self._cipher = cipher
        self._allowed_networks = allowed_networks

    async def add(
        self, principal: Principal, wanted: dict[str, Any], secret: str | None, effect_id: str | None = None
    ) -> MadeEndpoint:
        """Make an endpoint; it hears of what happens from now on.

        Args:
            principal: for whom.
            wanted: ``url`` and, if they are to be others than of their own accord, ``description``, ``event_types``,
                ``template_ids`` and ``enabled``.
            secret: to sign with; a new one where there is none.
            effect_id: the id of what a repeated request makes; where it is there, that is the answer.

        Raises:
            InvalidInputError: something of it cannot be used.
            LimitError: ``TOO_MANY_WEBHOOK_ENDPOINTS``.
        """
        self._judge(wanted, secret)
        if effect_id is not None and (known := await EndpointStore(principal).get(effect_id)) is not None:
            return self._with_secret(known)
        store, now = EndpointStore(principal), now_as_stored()
        if await store.of_organization(MAX_ENDPOINTS) >= MAX_ENDPOINTS:
            message = f"the organization has {MAX_ENDPOINTS} webhook endpoints; remove some"
            raise LimitError("TOO_MANY_WEBHOOK_ENDPOINTS", message)
        made = secret or new_secret()
        endpoint = WebhookEndpoint(
            _id=effect_id or str(ObjectId()),
            tenant_id=principal.tenant_id,
            template_id=OF_ORGANIZATION,
            encrypted_secret=self._encrypted(made),
            created_at=now,
            hears_since=now,
            **wanted,
        )
        try:
            await store.insert(endpoint, None)
        except DuplicateKeyError:  # another attempt at the same request was faster
            return self._with_secret(await self.get(principal, endpoint.id))
        return MadeEndpoint(endpoint, made)

    async def change(
        self, principal: Principal, endpoint_id: str, changes: dict[str, Any], versions: Versions = None
    ) -> WebhookEndpoint:
        """Change some of what ``add`` takes, but for the secret.

        What it hears of besides, it hears of from now on. With another address, or switched on again, an endpoint
        begins without a past.

        Raises:
            NotFoundError: as ``get``.
            ConflictError: ``ENDPOINT_OF_TEMPLATE``.
            InvalidInputError: as ``add``.
            OutdatedError: it has none of the ``versions`` that may be changed.
        """
        known = await self._own(principal, endpoint_id, versions)
        self._judge(changes, None)
        changed = {name: value for name, value in changes.items() if getattr(known, name) != value}
        if any(name in changed for name in _FILTERS):
            changed["hears_since"] = now_as_stored()
        if "url" in changed or changes.get("enabled"):
            changed |= WELL
        if changes.get("enabled"):
            changed |= {"enabled": True, "disabled_at": None, "disabled_reason": None}
        if changed:
            await self._changed(principal, known, changed, versions)
        return await self.get(principal, endpoint_id)

    async def remove(self, principal: Principal, endpoint_id: str, versions: Versions = None) -> None:
        """Remove an endpoint; nothing is sent to it any more.

        Raises:
            NotFoundError, ConflictError, OutdatedError: as ``change``.
        """
        known = await self._own(principal, endpoint_id, versions)
        if not await EndpointStore(principal).remove(endpoint_id, None if versions is None else known.version):
            await self._outdated(principal, endpoint_id)

    async def rotate(
        self,
        principal: Principal,
        endpoint_id: str,
        secret: str | None,
        overlap: timedelta,
        effect_id: str | None = None,
        versions: Versions = None,
    ) -> MadeEndpoint:
        """Sign with a new secret, and for ``overlap`` with the present one too; one before that is dropped.

        Raises:
            NotFoundError: as ``get``.
            InvalidInputError: the secret cannot be used.
            OutdatedError: as ``change``.
        """
        self._judge({}, secret)
        known = await self.get(principal, endpoint_id)
        if effect_id is not None and known.replaced_by == effect_id:
            return self._with_secret(known)
        require_version(known.version, versions)
        encrypted, version = self._encrypted(secret or new_secret()), None if versions is None else known.version
        now, store = now_as_stored(), EndpointStore(principal)
        replaced = await store.replace_secret(endpoint_id, encrypted, now, overlap, effect_id, version)
        found = await self.get(principal, endpoint_id)
        if not replaced and (effect_id is None or found.replaced_by != effect_id):
            raise outdated()
        return self._with_secret(found)

    # --- what has to hold -----------------------------------------------------------------------

    async def _own(self, principal: Principal, endpoint_id: str, versions: Versions) -> WebhookEndpoint:
        known = await self.get(principal, endpoint_id)
        require_version(known.version, versions)
        if known.template_id:
            raise of_template(known)
        return known

    def _judge(self, wanted: dict[str, Any], secret: str | None) -> None:
        problems: list[Problem] = []
        if "url" in wanted and (problem := url_problem(wanted["url"], self._allowed_networks)):
            problems.append(Problem("url", "INVALID_URL", problem))
        for number, name in enumerate(wanted.get("event_types") or ()):
            if name not in EVENT_TYPES:
                known = ", ".join(EVENT_TYPES)
                problems.append(Problem(f"event_types[{number}]", "INVALID", f"is no type of event; use {known}"))
        if secret is not None and not is_signing_secret(secret):
            message = (
                f"a secret is 'whsec_' and the base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} random bytes; "
                "leave it out to get one"
            )
            problems.append(Problem("secret", "INVALID", message))
        if problems:
            raise invalid_input(*problems)

    def _with_secret(self, endpoint: WebhookEndpoint) -> MadeEndpoint:
        return MadeEndpoint(endpoint, self._cipher.decrypt(endpoint.encrypted_secret).decode())

    def _encrypted(self, secret: str) -> str:
        return self._cipher.encrypt(secret.encode()).decode()
