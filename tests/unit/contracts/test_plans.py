"""Plans."""

import pytest

from libs.contracts.plans import PLANS, Plan, plan_named


@pytest.mark.parametrize(
    ("stored", "plan"),
    [(None, Plan.FREE), ("free", Plan.FREE), ("starter", Plan.STARTER), ("of a newer release", list(PLANS)[-1])],
)
def test_stored_names(stored: str | None, plan: Plan) -> None:
    assert plan_named(stored) is plan


def test_every_plan_has_its_traits() -> None:
    assert set(PLANS) == set(Plan)
