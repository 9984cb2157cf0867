"""How the importers of an organization look: shown and changed."""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.contracts.branding import Branding
from libs.contracts.plans import PLANS, Plan
from libs.storage.client import Mongo
from services.gateway.access.plans import plan_of
from services.gateway.access.principal import Principal
from services.gateway.branding.judging import FREE_SETTINGS, branding_problems, plan_problems
from services.gateway.errors import NotAllowedError, Versions, invalid_input, outdated, require_version
from services.gateway.stores.branding import BrandingStore


@dataclass(frozen=True, slots=True)
class ApprovedBranding:
    """New values of some settings, by name, that can be saved, as ``approve`` found."""

    changes: Mapping[str, object]


def approve(changes: Mapping[str, object]) -> ApprovedBranding:
    """Judge new values, each of the type of its member. Not for an event loop.

    Raises:
        InvalidInputError: what is wrong with them.
    """
    if problems := tuple(branding_problems(changes)):
        raise invalid_input(*problems)
    return ApprovedBranding(changes)


class OrganizationBranding:
    """The branding of each organization, as far as its plan goes."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def get(self, principal: Principal) -> tuple[Branding, int]:
        """The settings in force, and their version. What a larger plan of before allowed rests, and is back with that
        plan."""
        return await self._in_force(principal, await plan_of(self._mongo, principal.tenant_id))

    async def change(self, principal: Principal, approved: ApprovedBranding, wanted: Versions = None) -> int:
        """Set some of the settings. Saying what is the case already changes nothing, and needs no plan.

        Args:
            principal: who asks.
            approved: the new values.
            wanted: the versions that may be changed.

        Returns:
            The version that they have now.

        Raises:
            NotAllowedError: ``PLAN_RESTRICTED``; nothing is changed.
            OutdatedError: they have none of the versions that are wanted.
        """
        plan = await plan_of(self._mongo, principal.tenant_id)
        now, version = await self._in_force(principal, plan)
        require_version(version, wanted)
        changed = {name: value for name, value in approved.changes.items() if value != getattr(now, name)}
        if problems := tuple(plan_problems(changed, plan)):
            raise NotAllowedError("PLAN_RESTRICTED", None, problems)
        if not changed:
            return version
        saved = await BrandingStore(self._mongo, principal).change(changed, None if wanted is None else version)
        if saved is None:
            raise outdated()
        return saved

    async def _in_force(self, principal: Principal, plan: Plan) -> tuple[Branding, int]:
        stored, version = await BrandingStore(self._mongo, principal).get()
        if PLANS[plan].full_branding:
            return stored, version
        return Branding(**{name: getattr(stored, name) for name in FREE_SETTINGS}), version
