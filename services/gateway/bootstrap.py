"""Create an organization and its first API key: ``python -m services.gateway.bootstrap --organization NAME``.

``--parent ID`` places it below another organization, whose keys may act for it; ``--plan`` says what it may have.
Needs MongoDB only; reads ``ROWDOCK_MONGODB``, ``ROWDOCK_DATABASE`` and ``ROWDOCK_MAX_SUB_ORGANIZATIONS``. Prints one
JSON line: ``{"organization_id": …, "api_key": …}``.
"""

import argparse
import asyncio
import json
import sys

from beanie import init_beanie  # pyright: ignore[reportUnknownVariableType] - its database is not fully typed

from libs.contracts.plans import Plan
from libs.storage.client import connect
from libs.storage.documents import DOCUMENTS, Organization
from libs.storage.settings import MongoSettings
from services.gateway.access.api_keys import KEY_PREFIX, MAX_KEY_CHARS, ApiKeys, new_key
from services.gateway.access.organizations import OrganizationTree, TreeSettings
from services.gateway.errors import ConflictError, NotFoundError

MIN_KEY_CHARS = len(KEY_PREFIX) + 24


def _known_key(text: str) -> str:
    if not text.startswith(KEY_PREFIX) or not MIN_KEY_CHARS <= len(text) <= MAX_KEY_CHARS:
        raise argparse.ArgumentTypeError(
            f"a key starts with {KEY_PREFIX} and has {MIN_KEY_CHARS} to {MAX_KEY_CHARS} characters"
        )
    return text


async def bootstrap(
    settings: MongoSettings,
    organization: str,
    key_name: str,
    key: str,
    parent_id: str | None = None,
    plan: Plan = Plan.FREE,
) -> dict[str, str]:
    """Create an organization with ``key``; where the key is registered already, its organization stays.

    Raises:
        NotFoundError: there is no organization ``parent_id``.
        ConflictError: ``KEY_REVOKED``, ``OTHER_PARENT``, or it may not be placed there.
    """
    mongo = await connect(settings)
    try:
        await init_beanie(database=mongo.state, document_models=DOCUMENTS, skip_indexes=True)
        tree = OrganizationTree(mongo, TreeSettings.model_validate({}).max_sub_organizations)

        async def add(document: Organization) -> None:
            planned = document.model_copy(update={"plan": plan.value})
            await (planned.insert() if parent_id is None else tree.add(planned, parent_id))

        organization_id = await ApiKeys().create(organization, key_name, key, add=add)
        if parent_id is not None and (stays_below := await tree.parent(organization_id)) != parent_id:
            raise _other_parent(organization_id, stays_below)
    finally:
        await mongo.client.close()
    return {"organization_id": organization_id, "api_key": key}


def _other_parent(organization_id: str, parent_id: str | None) -> ConflictError:
    where = "below no other" if parent_id is None else f"below {parent_id}"
    return ConflictError(
        "OTHER_PARENT",
        f"the key is that of the organization {organization_id}, which is {where}; "
        "place it with 'python -m services.gateway.place_organization'",
    )


def main() -> None:
    """Read the command line, do it, print the line."""
    parser = argparse.ArgumentParser(prog="python -m services.gateway.bootstrap", description=__doc__)
    parser.add_argument("--organization", required=True, metavar="NAME")
    parser.add_argument("--key-name", default="bootstrap", metavar="NAME")
    parser.add_argument("--api-key", type=_known_key, metavar="KEY", help="register this key instead of a new one")
    parser.add_argument("--parent", metavar="ID", help="the organization that it is below, and that may act for it")
    parser.add_argument("--plan", type=Plan, choices=list(Plan), default=Plan.FREE, help="what it may have; free")
    arguments = parser.parse_args()
    settings = MongoSettings.model_validate({})
    key = arguments.api_key or new_key()
    work = bootstrap(settings, arguments.organization, arguments.key_name, key, arguments.parent, arguments.plan)
    try:
        made = asyncio.run(work)
    except (NotFoundError, ConflictError) as error:
        parser.exit(1, f"{parser.prog}: {error.detail}\n")
    sys.stdout.write(json.dumps(made) + "\n")


if __name__ == "__main__":
    main()
