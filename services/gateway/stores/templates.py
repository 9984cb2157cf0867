"""Templates of one organization, of one vocabulary: what was written in another is not there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING

from libs.storage.client import Session
from libs.storage.documents import TemplateDocument
from services.gateway.access.principal import Principal
from services.gateway.errors import Problem, invalid_input
from services.gateway.stores.paging import Page
from services.gateway.stores.tenant import TENANTS_AT_ONCE, TenantStore

UNSAID_VOCABULARY = "engine"
"""That of templates that do not say one; release 0.1 stored none."""
MAX_WINDOW_BYTES = 16 * 1024 * 1024
"""Of the templates of a window, as they are stored."""


@dataclass(frozen=True, slots=True)
class TemplateName:
    """How a saved template is named: by its id, or by the key that it has in some vocabularies."""

    text: str
    is_key: bool = False


class TemplateStore(TenantStore[TemplateDocument]):
    """Those that were not deleted.

    Args:
        principal: who asks.
        vocabulary: the one that they are written in.
    """

    def __init__(self, principal: Principal, vocabulary: str) -> None:
        super().__init__(TemplateDocument, principal)
        self._vocabulary = vocabulary

    def _mine(self, conditions: Mapping[str, Any]) -> dict[str, Any]:
        return super()._mine({**conditions, **written_in(self._vocabulary)})

    async def get(self, template_id: str) -> TemplateDocument | None:
        """A template, or ``None``."""
        return await self._read(self._one({"_id": template_id, "deleted_at": None}))

    async def window(self, skip: int, limit: int) -> Page[TemplateDocument]:
        """``limit`` templates behind the first ``skip``, the oldest first; fewer where those and the next are larger
        than ``MAX_WINDOW_BYTES`` together.

        Raises:
            InvalidInputError: at ``include_children``, there are too many to be put in one order.
        """
        if len(self._seen) > TENANTS_AT_ONCE:
            message = f"there are more than {TENANTS_AT_ONCE - 1} below; ask for one of them at a time, with tenant_id"
            raise invalid_input(Problem("include_children", "TOO_MANY", message))
        live = {"deleted_at": None, **written_in(self._vocabulary)}
        order = ("_id", ASCENDING)
        return await self._page(TemplateDocument, live, order, limit, skip=skip, max_bytes=MAX_WINDOW_BYTES)

    async def count(self) -> int:
        """How many there are, also of organizations that the principal looks at."""
        return await self._all_seen({"deleted_at": None, **written_in(self._vocabulary)}).count()

    async def replace_version(self, successor: TemplateDocument, session: Session) -> bool:
        """Store the successor of version ``successor.version - 1``; ``False`` where that is no longer the current."""
        return await self._set(
            {"_id": successor.id, "deleted_at": None, "version": successor.version - 1},
            {
                "version": successor.version,
                "template": successor.template,
                "vocabulary": successor.vocabulary,
                "wording": successor.wording,
                "webhook_endpoint_id": successor.webhook_endpoint_id,
                "updated_at": successor.updated_at,
            },
            session,
        )

    async def delete(self, template_id: str, now: datetime, version: int | None = None) -> bool:
        """Hide a template for good; its runs carry a copy. ``False`` where there is none, or none of that version."""
        live = {"_id": template_id, "deleted_at": None, **({} if version is None else {"version": version})}
        return await self._set(live, {"deleted_at": now, "updated_at": now}, session=None)


class UsableTemplates(TenantStore[TemplateDocument]):
    """Those that were not deleted, with those that the organizations above share with this one: to be read only.

    Args:
        principal: who asks.
        vocabulary: the one that they are written in; ``None`` for those of any.
        above: the organizations above the principal's, as ``Reach.above`` tells, the nearest first.
    """

    def __init__(self, principal: Principal, vocabulary: str | None, above: Sequence[str]) -> None:
        super().__init__(TemplateDocument, principal)
        self._written = {} if vocabulary is None else written_in(vocabulary)
        self._above = list(above)

    def _whose(self, tenants: Sequence[str]) -> dict[str, Any]:
        own = {**super()._whose(tenants), **self._written}
        if not self._above or self._tenant_id not in tenants:
            return own
        shared = {**shared_by(self._above), **self._written}
        return {"$and": [{"$or": [own, shared]}]}

    async def get(self, template_id: str) -> TemplateDocument | None:
        """A template, or ``None``."""
        return await self._read(self._one({"_id": template_id, "deleted_at": None}))

    async def named(self, name: TemplateName) -> TemplateDocument | None:
        """The template of that name, or ``None``: of one key the organization's own before those from above."""
        if not name.is_key:
            return await self.get(name.text)
        found = await self._read(self._many({"key": name.text, "deleted_at": None}).to_list())
        nearest = [self._tenant_id, *self._above]
        return min(found, key=lambda each: nearest.index(each.tenant_id), default=None)

    async def page(self, limit: int, after: str | None) -> Page[TemplateDocument]:
        """Templates, newest first, from behind the id ``after``."""
        behind = {} if after is None else {"_id": {"$lt": after}}
        return await self._page(TemplateDocument, {"deleted_at": None, **behind}, ("_id", DESCENDING), limit)


def written_in(vocabulary: str) -> dict[str, Any]:
    """The filter of templates that are written in a vocabulary."""
    return {"vocabulary": {"$in": [vocabulary, None]} if vocabulary == UNSAID_VOCABULARY else vocabulary}


def shared_by(tenants: Sequence[str]) -> dict[str, Any]:
    """The filter of the templates that some organizations share with those below them."""
    return {"tenant_id": {"$in": list(tenants)}, "template.shared_with_children": True}
