"""The tree of organizations: each may have a parent.

Only ``parent_id`` is stored, so nothing else can contradict it. Changes touch every organization from the place that
is changed up to the root: of two changes that would make a ring together one is made anew, and sees the other.
"""

from collections.abc import Collection as Some

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import Organization
from services.gateway.errors import ConflictError, not_found

MAX_LEVELS = 5
"""Organizations from a root down to the lowest, both counted."""
STAYING: Document = {"deletion": None}


class TreeSettings(BaseSettings):
    """Read from ``ROWDOCK_…``.

    Attributes:
        max_sub_organizations: most organizations below one that is below no other.
    """

    model_config = SettingsConfigDict(env_prefix="ROWDOCK_", extra="ignore")

    max_sub_organizations: int = Field(default=1_000, ge=0, le=10_000)


class OrganizationTree:
    """Reads and changes which organization is below which.

    Args:
        mongo: the databases.
        limit: most organizations below a root.
    """

    def __init__(self, mongo: Mongo, limit: int = 1_000) -> None:
        self._mongo = mongo
        self._limit = limit
        self._organizations = mongo.state[Organization.Settings.name]

    async def below(self, tenant_id: str, session: Session | None = None) -> tuple[str, ...]:
        """The organizations below one, level by level; none of those that are being deleted."""
        found, level = list[str](), [tenant_id]
        for _ in range(MAX_LEVELS):
            if not (level := await self._children(level, STAYING, session)):
                break
            found += level
        return tuple(found)

    async def above(self, tenant_id: str, session: Session | None = None) -> tuple[str, ...]:
        """The parent of an organization, its parent, and so on up to the root."""
        found = list[str]()
        at: str | None = tenant_id
        # A ring cannot be made; whoever makes one by hand does not hang a gateway.
        while at is not None and len(found) <= MAX_LEVELS:
            stored = await self._organizations.find_one({"_id": at, **STAYING}, {"parent_id": 1}, session=session)
            at = None if stored is None else stored.get("parent_id")
            if at is not None:
                found.append(at)
        return tuple(found)

    async def some(self, among: Some[str], limit: int, after: str = "") -> tuple[list[Organization], bool]:
        """Organizations by their ids, ascending, from behind the id ``after``, and whether there are more of them."""
        wanted = {"_id": {"$in": [each for each in among if each > after]}, **STAYING}
        found = await self._organizations.find(wanted, sort=[("_id", 1)], limit=limit + 1).to_list()
        return [Organization.read(each) for each in found[:limit]], len(found) > limit

    async def parent(self, tenant_id: str) -> str | None:
        """The parent of an organization.

        Raises:
            NotFoundError: there is no such organization.
        """
        stored = await self._organizations.find_one({"_id": tenant_id, **STAYING}, {"parent_id": 1})
        if stored is None:
            raise not_found("organization", tenant_id)
        return stored.get("parent_id")

    async def add(self, organization: Organization, parent_id: str) -> None:
        """Store a new organization below another one.

        Raises:
            NotFoundError, ConflictError: as ``move``.
        """

        async def body(session: Session) -> None:
            await self._go_below(parent_id, [organization.id], 1, session)
            await organization.model_copy(update={"parent_id": parent_id}).insert(session=session)

        await self._mongo.transaction(body)

    async def move(self, tenant_id: str, parent_id: str | None) -> None:
        """Place an organization, with everything below it, below another one; or below none.

        Raises:
            NotFoundError: there is no such organization, or none of the parent's id.
            ConflictError: ``ORGANIZATION_BELOW_ITSELF``, ``TOO_MANY_LEVELS`` or ``TOO_MANY_SUB_ORGANIZATIONS``.
        """

        async def body(session: Session) -> None:
            await self._touch([tenant_id], session)
            if parent_id is None:
                await self._organizations.update_one({"_id": tenant_id}, {"$unset": {"parent_id": 1}}, session=session)
                return
            moved = [tenant_id, *await self.below(tenant_id, session)]
            await self._go_below(parent_id, moved, await self._levels(tenant_id, session), session)
            change = {"$set": {"parent_id": parent_id}}
            await self._organizations.update_one({"_id": tenant_id}, change, session=session)

        await self._mongo.transaction(body)

    async def _go_below(self, parent_id: str, moved: Some[str], levels: int, session: Session) -> None:
        """See that ``moved``, a tree of so many levels, may be below an organization."""
        chain = [parent_id, *await self.above(parent_id, session)]
        if not set(chain).isdisjoint(moved):
            raise ConflictError(
                "ORGANIZATION_BELOW_ITSELF",
                f"the organization {parent_id} is the one that is to be placed, or is below it; choose another parent",
            )
        await self._touch(chain, session)
        if len(chain) + levels > MAX_LEVELS:
            raise ConflictError(
                "TOO_MANY_LEVELS",
                f"there would be {len(chain) + levels} levels of organizations, and {MAX_LEVELS} is the most; choose a "
                "parent higher up",
            )
        below = {*await self.below(chain[-1], session), *moved}
        if len(below) > self._limit:
            raise ConflictError(
                "TOO_MANY_SUB_ORGANIZATIONS",
                f"there would be {len(below):,} organizations below {chain[-1]}, and {self._limit:,} is the most "
                "(ROWDOCK_MAX_SUB_ORGANIZATIONS)",
            )

    async def _levels(self, tenant_id: str, session: Session) -> int:
        """How many levels a tree has from an organization down."""
        levels, level = 0, [tenant_id]
        while level and levels <= MAX_LEVELS:
            levels += 1
            level = await self._children(level, {}, session)
        return levels

    async def _children(self, parents: Some[str], conditions: Document, session: Session | None) -> list[str]:
        # Without the type MongoDB does not see that the index, which holds texts alone, has all that is asked for.
        below = {"parent_id": {"$in": list(parents), "$type": "string"}, **conditions}
        found = self._organizations.find(below, {"_id": 1}, sort=[("_id", 1)], session=session)
        return [child["_id"] async for child in found]

    async def _touch(self, ids: Some[str], session: Session) -> None:
        """Let no other change of the tree that concerns one of ``ids`` be made beside this one.

        Raises:
            NotFoundError: there is none of such an id.
        """
        for identifier in ids:
            one = {"_id": identifier, **STAYING}
            touched = await self._organizations.update_one(one, {"$inc": {"tree_changes": 1}}, session=session)
            if not touched.matched_count:
                raise not_found("organization", identifier)
