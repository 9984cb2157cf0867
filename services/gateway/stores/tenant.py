"""Documents of one organization."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar, cast

from beanie.odm.queries.find import FindMany, FindOne
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pydantic import BaseModel, ValidationError
from pymongo.results import UpdateResult

from libs.storage.client import Collection, Session, decode_document
from libs.storage.documents import (
    RejectedRecord,
    RunDocument,
    SourceDocument,
    SourceFileDocument,
    TemplateDocument,
    UndoEntry,
    WebhookDelivery,
    WebhookEndpoint,
)
from libs.storage.documents.state_document import unreadable
from services.gateway.access.principal import Principal
from services.gateway.stores.paging import Page

MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
"""Of the documents of a page, as they are stored; a page has one at least."""
_FETCHED: Final = 101
"""Documents that the database sends at a time: those of a page of 100, and whether there is another, at once."""
TENANTS_AT_ONCE: Final = 100
"""Organizations of one query: of so many the server reads the pages along its index and merges them, without sorting
(``internalQueryMaxScansToExplode`` of MongoDB is 200)."""
_AS_STORED: CodecOptions[RawBSONDocument] = CodecOptions(RawBSONDocument, tz_aware=True)
Kind = TypeVar(
    "Kind",
    TemplateDocument,
    RunDocument,
    RejectedRecord,
    WebhookEndpoint,
    WebhookDelivery,
    UndoEntry,
    SourceDocument,
    SourceFileDocument,
)
Result = TypeVar("Result")
ModelT = TypeVar("ModelT", bound=BaseModel)


class TenantStore(Generic[Kind]):
    """The documents of one kind that belong to the principal's organization.

    Every query goes through ``_one`` or ``_many``, which add the organization to it: there is no way to ask without.
    Only pages, and ``_all_seen``, show also what the organizations have that the principal looks at beside its own.
    """

    def __init__(self, kind: type[Kind], principal: Principal) -> None:
        self._kind = kind
        self._tenant_id = principal.tenant_id
        self._seen = (principal.tenant_id, *principal.reach)

    def _mine(self, conditions: Mapping[str, Any]) -> dict[str, Any]:
        return {**conditions, **self._whose((self._tenant_id,))}

    def _whose(self, tenants: Sequence[str]) -> dict[str, Any]:
        """The filter of what some of the organizations have that the principal sees."""
        return {"tenant_id": tenants[0] if len(tenants) == 1 else {"$in": list(tenants)}}

    def _one(self, conditions: Mapping[str, Any], session: Session | None = None) -> FindOne[Kind]:
        return self._kind.find_one(self._mine(conditions), session=session)

    def _many(self, conditions: Mapping[str, Any]) -> FindMany[Kind]:
        return self._kind.find(self._mine(conditions))

    def _all_seen(self, conditions: Mapping[str, Any]) -> FindMany[Kind]:
        return self._kind.find({**conditions, **self._whose(self._seen)})

    async def _read(self, query: Awaitable[Result]) -> Result:
        """What a query finds.

        Raises:
            UnreadableDocumentError: something that this release does not know; the error quotes nothing of it.
        """
        try:
            return await query
        except ValidationError as error:
            raise unreadable(f"what was found in {self._kind.get_collection_name()!r}", error) from None

    async def _page(
        self,
        model: type[ModelT],
        conditions: Mapping[str, Any],
        order: tuple[str, int],
        limit: int,
        fields: Mapping[str, Any] | None = None,
        *,
        skip: int = 0,
        max_bytes: int = MAX_PAGE_BYTES,
    ) -> Page[ModelT]:
        """The first ``limit`` documents behind ``skip``, or fewer where more would be larger than ``max_bytes``.

        The event loop sees bytes only; a thread makes models of them. Nothing can be skipped of what more than
        ``TENANTS_AT_ONCE`` organizations have.

        Raises:
            UnreadableDocumentError: as ``_read``.
        """
        groups = [self._seen[at : at + TENANTS_AT_ONCE] for at in range(0, len(self._seen), TENANTS_AT_ONCE)]
        some = [await self._some(conditions, group, order, limit, fields, skip, max_bytes) for group in groups]
        if len(some) == 1:
            [(found, more)] = some
        else:
            found, more = await asyncio.to_thread(_merged, some, order, limit)
        return Page(await asyncio.to_thread(self._models, model, found), more)

    async def _some(
        self,
        conditions: Mapping[str, Any],
        tenants: Sequence[str],
        order: tuple[str, int],
        limit: int,
        fields: Mapping[str, Any] | None,
        skip: int,
        max_bytes: int,
    ) -> tuple[list[RawBSONDocument], bool]:
        """The page of some organizations, as it is stored, and whether there is more behind it."""
        collection = cast("Collection", self._kind.get_pymongo_collection())  # pyright: ignore[reportUnknownMemberType]
        stored = collection.with_options(codec_options=_AS_STORED)
        asked = {**conditions, **self._whose(tenants)}
        found: list[RawBSONDocument] = []
        size = 0
        query = stored.find(asked, fields, sort=[order], skip=skip, limit=limit + 1, batch_size=_FETCHED)
        async with query as cursor:
            async for document in cursor:
                size += len(document.raw)
                if len(found) == limit or (found and size > max_bytes):
                    return found, True
                found.append(document)
        return found, False

    def _models(self, model: type[ModelT], found: Sequence[RawBSONDocument]) -> list[ModelT]:
        try:
            return [model.model_validate(decode_document(each.raw)) for each in found]
        except ValidationError as error:
            raise unreadable(f"what was found in {self._kind.get_collection_name()!r}", error) from None

    async def _set(
        self,
        conditions: Mapping[str, Any],
        changes: Mapping[str, Any],
        session: Session | None,
        dated: str | None = None,
    ) -> bool:
        """Change one document; ``False`` where none meets ``conditions``.

        Args:
            dated: a field that says when, by the server's time.
        """
        now = {} if dated is None else {"$currentDate": {dated: True}}
        answer = await self._one(conditions, session).update({"$set": changes, **now}, session=session)
        return isinstance(answer, UpdateResult) and answer.matched_count == 1

    async def insert(self, document: Kind, session: Session | None) -> None:
        """Store a new document.

        Raises:
            ValueError: it belongs to another organization.
        """
        if document.tenant_id != self._tenant_id:
            raise ValueError(f"a document of {document.tenant_id} among those of {self._tenant_id}")
        await document.insert(session=session)


def _merged(
    parts: Sequence[tuple[list[RawBSONDocument], bool]], order: tuple[str, int], limit: int
) -> tuple[list[RawBSONDocument], bool]:
    """One page of several in the same order. Each is as long as the whole may be, so nothing is missing between."""
    name, direction = order
    found = sorted((each for part, _ in parts for each in part), key=lambda each: each[name], reverse=direction < 0)
    size = 0
    for number, document in enumerate(found):
        size += len(document.raw)
        if number == limit or (number and size > MAX_PAGE_BYTES):
            return found[:number], True
    return found, any(more for _, more in parts)
