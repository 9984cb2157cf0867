"""Templates of an organization: saved in versions, with the unique keys and the receiver that they need."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from libs.storage.client import Mongo, Session
from libs.storage.documents import TemplateDocument, Wording
from services.gateway.access.principal import Principal
from services.gateway.errors import ConflictError, not_found
from services.gateway.stores.paging import Page
from services.gateway.stores.target import TargetIndexes
from services.gateway.stores.templates import TemplateStore
from services.gateway.templates.judging import ApprovedTemplate
from services.gateway.templates.unique_keys import guarantee_unique_keys
from services.gateway.webhooks.endpoints import Linked, Webhooks


@dataclass(frozen=True, slots=True)
class Written:
    """How a template was written.

    Attributes:
        vocabulary: the one that it was written in.
        words: what that vocabulary remembers beyond the model; empty where there is nothing.
    """

    vocabulary: str
    words: dict[str, Any]

    def wording(self, version: int) -> Wording | None:
        """What is stored of it beside that version of the template."""
        return Wording(version=version, words=self.words) if self.words else None


class TemplateCatalog:
    """Creates, changes and shows templates.

    Args:
        mongo: the databases.
        webhooks: makes and changes their receivers.
    """

    def __init__(self, mongo: Mongo, webhooks: Webhooks) -> None:
        self._mongo = mongo
        self._indexes = TargetIndexes(mongo)
        self._webhooks = webhooks

    async def create(self, principal: Principal, approved: ApprovedTemplate, written: Written) -> Linked:
        """Save a new template.

        Raises:
            ConflictError: records in the target have the same upsert key, or values that are to be unique.
        """
        await guarantee_unique_keys(self._indexes, approved.template)
        now = _now()
        document = TemplateDocument(
            _id=str(ObjectId()),
            tenant_id=principal.tenant_id,
            template=approved.template,
            vocabulary=written.vocabulary,
            wording=written.wording(1),
            created_at=now,
            updated_at=now,
        )

        async def save(session: Session) -> Linked:
            linked = await self._webhooks.link(principal, document, approved.webhook_secret, session)
            await TemplateStore(principal).insert(linked.document, session)
            return linked

        return await self._mongo.transaction(save)

    async def replace(
        self,
        principal: Principal,
        template_id: str,
        approved: ApprovedTemplate,
        written: Written,
        *,
        version: int | None = None,
    ) -> Linked:
        """Save the next version of a template.

        Args:
            version: the one that is to be replaced; ``None`` for whichever is current.

        Raises:
            NotFoundError: there is none.
            ConflictError: ``TEMPLATE_CHANGED``, it has another version by now; or as ``create``.
        """
        store = TemplateStore(principal)
        if (current := await store.get(template_id)) is None:
            raise not_found("template", template_id)
        if version is not None and version != current.version:
            raise _changed_meanwhile(f"version {current.version}")
        await guarantee_unique_keys(self._indexes, approved.template)
        successor = current.model_copy(
            update={
                "template": approved.template,
                "version": current.version + 1,
                "vocabulary": written.vocabulary,
                "wording": written.wording(current.version + 1),
                "updated_at": _now(),
            }
        )

        async def save(session: Session) -> Linked:
            linked = await self._webhooks.link(principal, successor, approved.webhook_secret, session)
            if not await store.replace_version(linked.document, session):
                raise _changed_meanwhile("another version")
            return linked

        return await self._mongo.transaction(save)

    async def get(self, principal: Principal, template_id: str) -> Linked:
        """A template with its receiver.

        Raises:
            NotFoundError: there is none.
        """
        if (document := await TemplateStore(principal).get(template_id)) is None:
            raise not_found("template", template_id)
        [linked] = await self._webhooks.of(principal, [document])
        return linked

    async def page(self, principal: Principal, limit: int, after: str | None) -> Page[Linked]:
        """Templates with their receivers, newest first, from behind the id ``after``."""
        found = await TemplateStore(principal).page(limit, after)
        return Page(await self._webhooks.of(principal, found.items), found.more)

    async def delete(self, principal: Principal, template_id: str) -> None:
        """Hide a template for good.

        Raises:
            NotFoundError: there is none.
        """
        if not await TemplateStore(principal).delete(template_id, _now()):
            raise not_found("template", template_id)


def _changed_meanwhile(current: str) -> ConflictError:
    return ConflictError("TEMPLATE_CHANGED", f"the template was changed meanwhile and is {current} now; read it again")


def _now() -> datetime:
    """Now, in the milliseconds that MongoDB keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
