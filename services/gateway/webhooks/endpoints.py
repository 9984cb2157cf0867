"""The receiver of a template's events: made, changed and switched off together with the template."""

import base64
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from bson import ObjectId

from libs.storage.client import Session
from libs.storage.documents import TemplateDocument, WebhookEndpoint
from libs.storage.sealing import SecretKeys
from services.gateway.access.principal import Principal
from services.gateway.stores.endpoints import WELL, EndpointStore

PREFIX = "whsec_"
SECRET_BYTES = 32
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64  # Standard Webhooks 1.0.0, "Signature scheme"

_WITHOUT_RECEIVER: Final = {"webhook_url": None, "include_data_in_webhook": False, "webhook_data_sample_size": None}
"""Changes of a template that another organization than its own gets: the address of a receiver may be a secret."""


def is_signing_secret(secret: str) -> bool:
    """Whether a secret is one by the Standard Webhooks specification."""
    if not secret.startswith(PREFIX):
        return False
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        return False
    return MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES


def new_secret() -> str:
    """A signing secret of 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


@dataclass(frozen=True, slots=True)
class Linked:
    """A template with its receiver.

    Attributes:
        shared: another organization has it and shares it; the receiver is then nobody's business.
        secret: the signing secret, where it was made or given just now; it is never shown again.
    """

    document: TemplateDocument
    endpoint: WebhookEndpoint | None = None
    secret: str | None = None
    shared: bool = False


class Webhooks:
    """Receivers of webhooks.

    Args:
        cipher: encrypts signing secrets at rest.
    """

    def __init__(self, cipher: SecretKeys) -> None:
        self._cipher = cipher

    async def of(self, principal: Principal, documents: Collection[TemplateDocument]) -> list[Linked]:
        """Templates, each with its receiver; those that are shared with the organization without."""
        ids = [document.webhook_endpoint_id for document in documents if document.webhook_endpoint_id is not None]
        found = await EndpointStore(principal).by_id(ids)
        seen = {principal.tenant_id, *principal.reach}
        return [
            Linked(document, found.get(document.webhook_endpoint_id or ""))
            if document.tenant_id in seen
            else Linked(without_receiver(document), shared=True)
            for document in documents
        ]

    async def made(self, principal: Principal, document: TemplateDocument) -> Linked:
        """A template that was made a moment ago, as ``link`` showed it to nobody: its receiver with the secret."""
        [linked] = await self.of(principal, [document])
        if linked.endpoint is None:
            return linked
        secret = self._cipher.decrypt(linked.endpoint.encrypted_secret.encode()).decode()
        return Linked(linked.document, linked.endpoint, secret)

    async def link(
        self, principal: Principal, document: TemplateDocument, secret: str | None, session: Session
    ) -> Linked:
        """Bring the receiver in line with the template that is about to be saved, in the same transaction.

        A receiver that Rowdock has given up is switched on again by a template that says ``webhook_enabled``.
        """
        store, template, endpoint_id = EndpointStore(principal), document.template, document.webhook_endpoint_id
        if template.webhook_url is None:
            if endpoint_id is not None:
                await store.change(endpoint_id, {"enabled": False}, session)
            return Linked(document.model_copy(update={"webhook_endpoint_id": None}))
        if endpoint_id is not None and endpoint_id in (known := await store.by_id([endpoint_id])):
            changes: dict[str, Any] = {"url": template.webhook_url, "enabled": template.webhook_enabled}
            if template.webhook_enabled:
                changes |= {"disabled_at": None, "disabled_reason": None, **WELL}
            if secret is not None:
                changes["encrypted_secret"] = self._encrypted(secret)
            await store.change(endpoint_id, changes, session)
            return Linked(document, known[endpoint_id].model_copy(update=changes), secret)
        made = secret or new_secret()
        endpoint = WebhookEndpoint(
            _id=str(ObjectId()),
            tenant_id=principal.tenant_id,
            template_id=document.id,
            url=template.webhook_url,
            encrypted_secret=self._encrypted(made),
            enabled=template.webhook_enabled,
            created_at=document.updated_at,
        )
        await store.insert(endpoint, session)
        return Linked(document.model_copy(update={"webhook_endpoint_id": endpoint.id}), endpoint, made)

    def _encrypted(self, secret: str) -> str:
        return self._cipher.encrypt(secret.encode()).decode()


def without_receiver(document: TemplateDocument) -> TemplateDocument:
    """A template as other organizations than its own get it."""
    template = document.template.model_copy(update=_WITHOUT_RECEIVER)
    return document.model_copy(update={"template": template, "webhook_endpoint_id": None})
