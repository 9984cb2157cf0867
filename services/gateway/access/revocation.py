"""What opens a door, and is revoked once and for good: API keys, and keys of producers."""

from pymongo import ReturnDocument

from libs.storage.client import Collection, Document
from libs.storage.documents.state_document import NEXT_VERSION, of_version
from services.gateway.errors import Versions, not_found, outdated, require_version


async def revoke(collection: Collection, kind: str, tenant_id: str, identifier: str, wanted: Versions) -> Document:
    """Note when it was revoked, by the clock of the database; whatever is revoked already stays as it was.

    Args:
        collection: of documents with ``tenant_id``, ``revoked_at`` and ``version``.
        kind: what they are, for a person.
        tenant_id: whose it has to be.
        identifier: of the document.
        wanted: the versions that it may have, any where that is ``None``.

    Returns:
        The document as it is then.

    Raises:
        NotFoundError: the organization has none of that id.
        OutdatedError: it has none of the versions that are ``wanted``.
    """
    mine: Document = {"_id": identifier, "tenant_id": tenant_id}
    if wanted is not None:
        old = await collection.find_one(mine, {"version": 1})
        if old is None:
            raise not_found(kind, identifier)
        version: int = old.get("version") or 1
        require_version(version, wanted)
        mine |= of_version(version)
    revoked: list[Document] = [{"$set": {"revoked_at": {"$ifNull": ["$revoked_at", "$$NOW"]}, **NEXT_VERSION}}]
    found = await collection.find_one_and_update(mine, revoked, return_document=ReturnDocument.AFTER)
    if found is None:
        raise not_found(kind, identifier) if wanted is None else outdated()
    return found
