"""Organizations below organizations."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from libs.storage.client import Mongo
from services.gateway.access.organizations import OrganizationTree
from tests.integration.gateway.conftest import Organization

NewOrganization = Callable[[], Awaitable[Organization]]


@dataclass(frozen=True)
class Family:
    """``parent`` has ``child`` and ``sibling`` below it, ``child`` has ``grandchild``; ``stranger`` is nobody's."""

    parent: Organization
    child: Organization
    grandchild: Organization
    sibling: Organization
    stranger: Organization


async def family(mongo: Mongo, new_organization: NewOrganization) -> Family:
    made = Family(*[await new_organization() for _ in range(5)])
    tree = OrganizationTree(mongo)
    for below, above in ((made.child, made.parent), (made.sibling, made.parent), (made.grandchild, made.child)):
        await tree.move(below.id, above.id)
    return made
