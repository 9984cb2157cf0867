"""Delete an organization with everything it has: ``python -m services.gateway.delete_organization ID --yes``.

Refused while there are organizations below it. Needs MongoDB only; reads ``ROWDOCK_MONGODB``, ``ROWDOCK_DATABASE``,
``ROWDOCK_TARGET_DATABASE`` and ``ROWDOCK_ORPHAN_AFTER_SECONDS``. Keys are revoked first; then go runs (active ones are
cancelled), files, templates, webhooks, dead letters and, unless ``--keep-records``, the imported records. May be
interrupted and repeated; running gateways finish what is left, and remove the organization itself when no upload of it
can be under way any more. Prints one JSON line: what was removed by this call.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from datetime import timedelta

from beanie import init_beanie  # pyright: ignore[reportUnknownVariableType] - its database is not fully typed
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.ledger import Ledger
from libs.storage.client import connect
from libs.storage.documents import DOCUMENTS
from libs.storage.files import FileStore
from libs.storage.settings import MongoSettings
from services.gateway.errors import ConflictError, NotFoundError
from services.gateway.retention.organizations import OrganizationDeletion, Removed
from services.gateway.stores.dead_letters import DeadLetterStore
from services.gateway.stores.organizations import OrganizationStore


class DeletionSettings(BaseSettings):
    """That of the gateway, see ``GatewaySettings.orphan_after_seconds``."""

    model_config = SettingsConfigDict(env_prefix="ROWDOCK_", extra="ignore")

    orphan_after_seconds: float = Field(default=86_400, gt=0)


async def delete(mongo_settings: MongoSettings, settings: DeletionSettings, tenant_id: str, *, keep: bool) -> Removed:
    """Request the deletion and carry it out as far as that is possible now.

    Raises:
        NotFoundError: there is no such organization.
        ConflictError: there are organizations below it.
    """
    mongo = await connect(mongo_settings)
    try:
        await init_beanie(database=mongo.state, document_models=DOCUMENTS, skip_indexes=True)
        # What the stopped runs tell is published by a gateway's relay.
        ledger = Ledger(mongo, "gateway")
        longest_upload = timedelta(seconds=settings.orphan_after_seconds)
        deletion = OrganizationDeletion(
            OrganizationStore(mongo), DeadLetterStore(mongo), ledger, FileStore(mongo), longest_upload
        )
        return await deletion.carry_out(await deletion.request(tenant_id, keep_records=keep))
    finally:
        await mongo.client.close()


def main() -> None:
    """Read the command line, do it, print the line."""
    parser = argparse.ArgumentParser(prog="python -m services.gateway.delete_organization", description=__doc__)
    parser.add_argument("organization_id", metavar="ID")
    parser.add_argument("--keep-records", action="store_true", help="leave the imported records where they are")
    parser.add_argument("--yes", action="store_true", help="really do it; there is no way back")
    arguments = parser.parse_args()
    if not arguments.yes:
        parser.error("this removes everything that the organization has, and cannot be undone; say --yes to do it")
    settings = DeletionSettings.model_validate({})
    work = delete(MongoSettings.model_validate({}), settings, arguments.organization_id, keep=arguments.keep_records)
    try:
        removed = asyncio.run(work)
    except (NotFoundError, ConflictError) as error:
        parser.exit(1, f"{parser.prog}: {error.detail}\n")
    sys.stdout.write(json.dumps(asdict(removed)) + "\n")


if __name__ == "__main__":
    main()
