"""Templates of an organization: saved with the index and the webhook receiver that they need."""

import base64
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from bson import ObjectId
from cryptography.fernet import Fernet
from pymongo.errors import DuplicateKeyError, OperationFailure

from libs.contracts.templates import ImportMode, Template, Unique
from libs.egress.rules import IPNetwork
from libs.storage.client import Mongo, Session
from libs.storage.documents import TemplateDocument, WebhookEndpoint
from libs.storage.unique_keys import unique_index
from services.gateway.domain.engine_vocabulary import (
    EngineTemplateView,
    TemplateRequest,
    present_template,
    read_template,
)
from services.gateway.domain.problems import Problem
from services.gateway.http_errors import ApiError, not_found
from services.gateway.tenant_store import TenantStore

SECRET_BYTES = 32
CANNOT_CREATE_INDEX = 67


class TemplateCatalog:
    """Creates, changes and shows templates.

    Args:
        mongo: the databases.
        cipher: encrypts webhook secrets at rest.
        allowed_networks: networks that webhooks may reach although they are not public.
    """

    def __init__(self, mongo: Mongo, cipher: Fernet, allowed_networks: Collection[IPNetwork]) -> None:
        self._mongo = mongo
        self._cipher = cipher
        self._allowed_networks = allowed_networks

    async def create(self, store: TenantStore, body: object) -> EngineTemplateView:
        """Save a new template.

        Raises:
            InvalidTemplateError: it cannot work.
            ApiError: 409, records in the target have the same upsert key, or values that are to be unique.
        """
        wanted = read_template(body, self._allowed_networks)
        await self._ensure_unique_indexes(wanted.template)
        now = _now()
        document = TemplateDocument(
            _id=str(ObjectId()),
            tenant_id=store.tenant_id,
            template=wanted.template,
            webhook_endpoint_id=None,
            created_at=now,
            updated_at=now,
        )

        async def save(session: Session) -> tuple[TemplateDocument, str | None]:
            linked, secret = await self._link_endpoint(store, document, wanted, session)
            await store.insert_template(linked, session)
            return linked, secret

        return view_of(*await self._mongo.transaction(save))

    async def replace(self, store: TenantStore, template_id: str, body: object) -> EngineTemplateView:
        """Save the next version of a template.

        Raises:
            InvalidTemplateError: it cannot work.
            ApiError: 404 there is none; 409 it was changed meanwhile, or as ``create``.
        """
        wanted = read_template(body, self._allowed_networks)
        current = await self.get(store, template_id)
        if wanted.version is not None and wanted.version != current.version:
            raise _changed_meanwhile(current.version)
        await self._ensure_unique_indexes(wanted.template)
        successor = current.model_copy(
            update={"template": wanted.template, "version": current.version + 1, "updated_at": _now()}
        )

        async def save(session: Session) -> tuple[TemplateDocument, str | None]:
            linked, secret = await self._link_endpoint(store, successor, wanted, session)
            if not await store.replace_template(linked, session):
                raise _changed_meanwhile(None)
            return linked, secret

        return view_of(*await self._mongo.transaction(save))

    async def get(self, store: TenantStore, template_id: str) -> TemplateDocument:
        """A template; 404 where there is none."""
        if (document := await store.template(template_id)) is None:
            raise not_found("template", template_id)
        return document

    async def delete(self, store: TenantStore, template_id: str) -> None:
        """Hide a template for good; 404 where there is none."""
        if not await store.delete_template(template_id):
            raise not_found("template", template_id)

    async def _link_endpoint(
        self, store: TenantStore, document: TemplateDocument, wanted: TemplateRequest, session: Session
    ) -> tuple[TemplateDocument, str | None]:
        """Bring the receiver in line with the template; the secret, where one was made or given."""
        template, endpoint_id = wanted.template, document.webhook_endpoint_id
        if template.webhook_url is None:
            if endpoint_id is not None:
                await store.change_endpoint(endpoint_id, {"enabled": False}, session)
            return document.model_copy(update={"webhook_endpoint_id": None}), None
        if endpoint_id is not None:
            changes: dict[str, Any] = {
                "url": template.webhook_url,
                "enabled": template.webhook_enabled,
                "disabled_reason": None,
            }
            if wanted.webhook_secret is not None:
                changes["encrypted_secret"] = self._encrypted(wanted.webhook_secret)
            await store.change_endpoint(endpoint_id, changes, session)
            return document, wanted.webhook_secret
        secret = wanted.webhook_secret or "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        endpoint = WebhookEndpoint(
            _id=str(ObjectId()),
            tenant_id=store.tenant_id,
            template_id=document.id,
            url=template.webhook_url,
            encrypted_secret=self._encrypted(secret),
            enabled=template.webhook_enabled,
            created_at=_now(),
        )
        await store.insert_endpoint(endpoint, session)
        return document.model_copy(update={"webhook_endpoint_id": endpoint.id}), secret

    def _encrypted(self, secret: str) -> str:
        return self._cipher.encrypt(secret.encode()).decode()

    async def _ensure_unique_indexes(self, template: Template) -> None:
        """Without a unique index, two runs side by side would write the same key twice."""
        for names, asking in _unique_keys(template).items():
            try:
                await self._mongo.target[template.target_resource].create_indexes([unique_index(names)])
            except DuplicateKeyError as error:
                raise asking.not_unique(template.target_resource, names) from error
            except OperationFailure as error:
                if error.code != CANNOT_CREATE_INDEX:
                    raise
                raise asking.too_many(template.target_resource) from error


@dataclass(frozen=True, slots=True)
class _UniqueKey:
    """What asks for a unique index: the upsert key, or a rule of the field at ``location``."""

    location: str
    is_upsert_key: bool

    def not_unique(self, resource: str, names: Sequence[str]) -> ApiError:
        """The refusal of an index that the records break already."""
        same = " and ".join(repr(name) for name in names)
        if self.is_upsert_key:
            code, remedy = "UPSERT_KEY_NOT_UNIQUE", "so it cannot identify one; choose another upsert_key"
        else:
            code, remedy = "VALUES_NOT_UNIQUE", "which the rule 'unique' forbids; leave out its against_target"
        return self._refused(code, f"records in {resource!r} have the same {same}, {remedy}, or remove the duplicates")

    def too_many(self, resource: str) -> ApiError:
        """The refusal of one index more than a collection can have."""
        code = "TOO_MANY_UPSERT_KEYS" if self.is_upsert_key else "TOO_MANY_UNIQUE_RULES"
        return self._refused(
            code, f"{resource!r} has as many indexes as it can have; use keys that are unique there already"
        )

    def _refused(self, code: str, detail: str) -> ApiError:
        return ApiError(HTTPStatus.CONFLICT, code, detail, [Problem(self.location, code, detail)])


def _unique_keys(template: Template) -> dict[tuple[str, ...], _UniqueKey]:
    """The combinations of fields that no two live records may share, and what asks for each.

    An upsert key and a ``unique`` rule about one field share their index: MongoDB refuses the same one twice.
    """
    keys: dict[tuple[str, ...], _UniqueKey] = {}
    if template.mode is ImportMode.UPSERT and template.upsert_key is not None:
        keys[(template.upsert_key,)] = _UniqueKey("body.upsert_key", is_upsert_key=True)
    for number, field in enumerate(template.fields):
        for rule in field.rules:
            if isinstance(rule, Unique) and rule.against_target:
                place = f"body.field_mapping[{number}].validators"
                keys.setdefault((field.name, *rule.fields), _UniqueKey(place, is_upsert_key=False))
    return keys


def _changed_meanwhile(current: int | None) -> ApiError:
    now = "another version" if current is None else f"version {current}"
    return ApiError(
        HTTPStatus.CONFLICT, "TEMPLATE_CHANGED", f"the template was changed meanwhile and is {now} now; read it again"
    )


def _now() -> datetime:
    """Now, in the milliseconds that MongoDB keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def view_of(document: TemplateDocument, webhook_secret: str | None = None) -> EngineTemplateView:
    """A stored template in the engine's vocabulary."""
    return present_template(
        document.template,
        template_id=document.id,
        version=document.version,
        created_at=document.created_at,
        updated_at=document.updated_at,
        webhook_secret=webhook_secret,
    )
