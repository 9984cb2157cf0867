"""Documents of one organization."""

from collections.abc import Awaitable, Mapping
from typing import Any, Generic, TypeVar

from beanie.odm.queries.find import FindMany, FindOne
from pydantic import ValidationError
from pymongo.results import UpdateResult

from libs.storage.client import Session
from libs.storage.documents import RejectedRecord, RunDocument, TemplateDocument, WebhookEndpoint
from libs.storage.documents.state_document import unreadable
from services.gateway.access.principal import Principal

Kind = TypeVar("Kind", TemplateDocument, RunDocument, RejectedRecord, WebhookEndpoint)
Result = TypeVar("Result")


class TenantStore(Generic[Kind]):
    """The documents of one kind that belong to the principal's organization.

    Every query goes through ``_one`` or ``_many``, which add the organization to it: there is no way to ask without.
    """

    def __init__(self, kind: type[Kind], principal: Principal) -> None:
        self._kind = kind
        self._tenant_id = principal.tenant_id

    def _mine(self, conditions: Mapping[str, Any]) -> dict[str, Any]:
        return {**conditions, "tenant_id": self._tenant_id}

    def _one(self, conditions: Mapping[str, Any], session: Session | None = None) -> FindOne[Kind]:
        return self._kind.find_one(self._mine(conditions), session=session)

    def _many(self, conditions: Mapping[str, Any]) -> FindMany[Kind]:
        return self._kind.find(self._mine(conditions))

    async def _read(self, query: Awaitable[Result]) -> Result:
        """What a query finds.

        Raises:
            UnreadableDocumentError: something that this release does not know; the error quotes nothing of it.
        """
        try:
            return await query
        except ValidationError as error:
            raise unreadable(f"what was found in {self._kind.get_collection_name()!r}", error) from None

    async def _set(self, conditions: Mapping[str, Any], changes: Mapping[str, Any], session: Session | None) -> bool:
        """Change one document; ``False`` where none meets ``conditions``."""
        answer = await self._one(conditions, session).update({"$set": changes}, session=session)
        return isinstance(answer, UpdateResult) and answer.matched_count == 1

    async def insert(self, document: Kind, session: Session) -> None:
        """Store a new document.

        Raises:
            ValueError: it belongs to another organization.
        """
        if document.tenant_id != self._tenant_id:
            raise ValueError(f"a document of {document.tenant_id} among those of {self._tenant_id}")
        await document.insert(session=session)
