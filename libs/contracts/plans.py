"""Plans of organizations: what each lets them have."""

from enum import StrEnum
from typing import NamedTuple


class Plan(StrEnum):
    FREE = "free"
    STARTER = "starter"


class PlanTraits(NamedTuple):
    """What an organization of a plan may have.

    Attributes:
        label: its name for people.
        full_branding: every setting of how its importers look; otherwise two colours and the logo.
        reads_per_minute: of each of its API keys, as ``writes_per_minute``; 0 for any number.
    """

    label: str
    full_branding: bool
    reads_per_minute: int = 100
    writes_per_minute: int = 30


PLANS: dict[Plan, PlanTraits] = {
    Plan.FREE: PlanTraits("Free", full_branding=False),
    Plan.STARTER: PlanTraits("Starter", full_branding=True),
}
"""From the smallest to the largest."""


def plan_named(name: str | None) -> Plan:
    """The plan of a stored name: the smallest where there is none, the largest where only a newer release knows it."""
    if name is None:
        return Plan.FREE
    return Plan(name) if name in set(Plan) else list(PLANS)[-1]
