"""Place an organization below another one: ``python -m services.gateway.place_organization ID --parent ID``.

``--no-parent`` takes it out, with everything below it. Keys of an organization may act for every one below it, and
templates that it shares can be used there; so it is by this command that somebody gets, or loses, that right, within
the few seconds for which gateways remember who is below whom. What runs and records there are stays. Needs MongoDB
only; reads ``ROWDOCK_MONGODB``, ``ROWDOCK_DATABASE`` and ``ROWDOCK_MAX_SUB_ORGANIZATIONS``. Prints one JSON line:
``{"organization_id": …, "parent_id": …, "below": […]}``; without an option it only prints it.
"""

import argparse
import asyncio
import json
import sys

from libs.storage.client import connect
from libs.storage.settings import MongoSettings
from services.gateway.access.organizations import OrganizationTree, TreeSettings
from services.gateway.errors import ConflictError, NotFoundError


async def place(settings: MongoSettings, tenant_id: str, parent_id: str | None, *, move: bool) -> dict[str, object]:
    """Place an organization, if ``move``; where it is then.

    Raises:
        NotFoundError, ConflictError: as ``OrganizationTree.move``.
    """
    mongo = await connect(settings)
    try:
        tree = OrganizationTree(mongo, TreeSettings.model_validate({}).max_sub_organizations)
        if move:
            await tree.move(tenant_id, parent_id)
        parent, below = await tree.parent(tenant_id), await tree.below(tenant_id)
    finally:
        await mongo.client.close()
    return {"organization_id": tenant_id, "parent_id": parent, "below": list(below)}


def main() -> None:
    """Read the command line, do it, print the line."""
    parser = argparse.ArgumentParser(prog="python -m services.gateway.place_organization", description=__doc__)
    parser.add_argument("organization_id", metavar="ID")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--parent", metavar="ID", help="the organization that it is to be below")
    where.add_argument("--no-parent", action="store_true", help="let it be below none")
    arguments = parser.parse_args()
    move = arguments.no_parent or arguments.parent is not None
    work = place(MongoSettings.model_validate({}), arguments.organization_id, arguments.parent, move=move)
    try:
        placed = asyncio.run(work)
    except (NotFoundError, ConflictError) as error:
        parser.exit(1, f"{parser.prog}: {error.detail}\n")
    sys.stdout.write(json.dumps(placed) + "\n")


if __name__ == "__main__":
    main()
