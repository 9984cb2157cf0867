"""The branding of one organization."""

from collections.abc import Mapping

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from libs.contracts.branding import Branding
from libs.storage.client import Document, Mongo
from libs.storage.documents import BrandingDocument
from services.gateway.access.principal import Principal


class BrandingStore:
    """One document, whose id is the organization's: there is no way to ask for another's."""

    def __init__(self, mongo: Mongo, principal: Principal) -> None:
        self._collection = mongo.state[BrandingDocument.Settings.name]
        self._one = {"_id": principal.tenant_id}

    async def get(self) -> tuple[Branding, int]:
        """The settings as they are stored, and their version; 0 where nothing was changed yet.

        Raises:
            UnreadableDocumentError: see ``StateDocument.read``.
        """
        stored = await self._collection.find_one(self._one)
        if stored is None:
            return Branding(), 0
        document = BrandingDocument.read(stored)
        return document.settings, document.version

    async def change(self, changes: Mapping[str, object], version: int | None = None) -> int | None:
        """Set some of the settings and leave the others, whoever changes those at the same time.

        Args:
            changes: new values, by name.
            version: the one that may be changed; ``None`` for whichever there is.

        Returns:
            The new version; ``None`` where there was another than ``version``.
        """
        wanted = {} if version is None else {"version": version or {"$in": [0, None]}}
        update: list[Document] = [
            {
                "$set": {
                    **{f"settings.{name}": {"$literal": value} for name, value in changes.items()},
                    "version": {"$add": [{"$ifNull": ["$version", 0]}, 1]},
                    "created_at": {"$ifNull": ["$created_at", "$$NOW"]},
                    "updated_at": "$$NOW",
                }
            }
        ]
        try:
            changed = await self._collection.find_one_and_update(
                {**self._one, **wanted},
                update,
                {"version": 1},
                upsert=not version,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:  # there are settings, of another version
            if version is None:
                raise
            return None
        return None if changed is None else int(changed["version"])
