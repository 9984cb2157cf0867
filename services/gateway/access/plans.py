"""Which plan an organization has, and what that lets its keys do."""

from collections.abc import Mapping

from cachetools import TTLCache

from libs.contracts.plans import PLANS, Plan, plan_named
from libs.storage.client import Mongo
from libs.storage.documents import Organization
from services.gateway.access.rates import Rates

REMEMBERED_SECONDS = 5.0
"""So long a change of an organization's plan may leave its limits as they were."""
MAX_REMEMBERED = 10_000


async def plan_of(mongo: Mongo, tenant_id: str) -> Plan:
    """The plan of an organization."""
    stored = await mongo.state[Organization.Settings.name].find_one({"_id": tenant_id}, {"plan": 1})
    return plan_named(None if stored is None else stored.get("plan"))


class PlanRates:
    """How often keys of an organization may ask by its plan.

    Args:
        mongo: the databases.
        changed: limits of plans that the operator has changed.
    """

    def __init__(self, mongo: Mongo, changed: Mapping[Plan, Rates] | None = None) -> None:
        self._mongo = mongo
        usual = {plan: Rates(traits.reads_per_minute, traits.writes_per_minute) for plan, traits in PLANS.items()}
        self._rates = {**usual, **(changed or {})}
        self._remembered = TTLCache[str, Plan, float](MAX_REMEMBERED, REMEMBERED_SECONDS)

    async def rates(self, tenant_id: str) -> Rates:
        """The limits of each key of an organization that has none of its own."""
        if (plan := self._remembered.get(tenant_id)) is None:
            self._remembered[tenant_id] = plan = await plan_of(self._mongo, tenant_id)
        return self._rates[plan]
