"""One-shot job: topics, stored data and indexes as the services of this release rely on them. Safe to repeat.

Reads ``ROWDOCK_KAFKA``, ``ROWDOCK_MONGODB``, ``ROWDOCK_DATABASE`` and ``ROWDOCK_TARGET_DATABASE``; on a cluster also
``ROWDOCK_REPLICATION_FACTOR``. Run: ``python -m deploy.provision``.
"""

import asyncio

from beanie import init_beanie
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy.migrations import MIGRATIONS
from deploy.migrations.runner import make_migrations
from libs.messaging.broker import ensure_topics
from libs.storage.client import connect
from libs.storage.documents import DOCUMENTS
from libs.storage.files import BUCKET
from libs.storage.settings import MongoSettings


class ProvisionSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ROWDOCK_", extra="ignore")

    kafka: str
    replication_factor: int = Field(default=1, ge=1, le=15)


async def provision_mongodb(settings: MongoSettings) -> list[str]:
    """Make the migrations that are missing, then every collection's indexes, GridFS's included; the names of the
    migrations."""
    mongo = await connect(settings)
    try:
        # First: an index that takes another form is dropped by a migration.
        made = await make_migrations(mongo, MIGRATIONS)
        await init_beanie(database=mongo.state, document_models=DOCUMENTS)
        await mongo.state[f"{BUCKET}.chunks"].create_index([("files_id", 1), ("n", 1)], unique=True)
        await mongo.state[f"{BUCKET}.files"].create_index([("filename", 1), ("uploadDate", 1)])
        return made
    finally:
        await mongo.client.close()


async def provision() -> None:
    """Create topics, make migrations, create indexes."""
    settings = ProvisionSettings.model_validate({})
    created = await ensure_topics(settings.kafka, replication_factor=settings.replication_factor)
    print(f"topics created: {', '.join(created) or 'none, all were there'}")
    made = await provision_mongodb(MongoSettings.model_validate({}))
    print(f"migrations made: {', '.join(made) or 'none, all were made'}")
    print("indexes are in place")


if __name__ == "__main__":
    asyncio.run(provision())
