"""One-shot job: topics, stored data and indexes as the services of this release rely on them. Safe to repeat.

Reads where Kafka and MongoDB are as the services do. Run: ``python -m deploy.provision``; with ``--finish`` where no
process of the release before is left; with ``--acls`` where the brokers have an authorizer and each service has a user
of its own.
"""

import argparse
import asyncio
from collections.abc import Sequence

from beanie import init_beanie
from pymongo import IndexModel

from deploy.kafka_acls import give_rights
from deploy.migrations import MIGRATIONS
from deploy.migrations.runner import make_migrations
from libs.messaging.connection import KafkaSettings
from libs.messaging.topics import Topics
from libs.storage.client import connect
from libs.storage.documents import DOCUMENTS
from libs.storage.files import BUCKET
from libs.storage.settings import MongoSettings

FILE_INDEXES = {
    f"{BUCKET}.chunks": (IndexModel([("files_id", 1), ("n", 1)], unique=True),),
    f"{BUCKET}.files": (
        IndexModel([("filename", 1), ("uploadDate", 1)]),
        IndexModel([("metadata.tenant_id", 1), ("length", 1)], name="tenant_length"),
    ),
}
"""Of GridFS: those that its specification wants, and Rowdock's own."""


async def provision_mongodb(settings: MongoSettings, *, finish: bool = False) -> list[str]:
    """Make the migrations that are missing, then every collection's indexes, GridFS's included; the names of the
    migrations.

    Args:
        settings: where MongoDB is.
        finish: make those too that wait until no process of the release before is left.
    """
    mongo = await connect(settings)
    try:
        # First: an index that takes another form is dropped by a migration.
        made = await make_migrations(mongo, MIGRATIONS, finish=finish)
        await init_beanie(database=mongo.state, document_models=DOCUMENTS)
        for collection, indexes in FILE_INDEXES.items():
            await mongo.state[collection].create_indexes(list(indexes))
        return made
    finally:
        await mongo.client.close()


async def provision_kafka(settings: KafkaSettings) -> None:
    """Create topics, add partitions that the table has meanwhile, and print what falls short all the same."""
    topics = Topics(settings)
    created = await topics.ensure()
    print(f"topics created: {', '.join(created) or 'none, all were there'}")
    if grown := await topics.add_partitions():
        print(f"partitions added: {', '.join(grown)}")
        await topics.ensure()
    for shortfall in topics.shortfalls:
        print(f"falls short: {shortfall}")


async def provision_acls(settings: KafkaSettings, producers: Sequence[str], *, finish: bool) -> None:
    """Give the services, and those who ask for imports, their rights at Kafka, and print what was done."""
    given = await give_rights(settings, producers, finish=finish)
    print(f"rights given: {'; '.join(given.made) or 'none, all were there'}")
    if given.taken:
        print(f"rights taken: {'; '.join(given.taken)}")
    for right in given.beyond:
        print(f"not needed by this release, kept until --finish: {right}")


async def provision(arguments: argparse.Namespace) -> None:
    """Create topics, give rights, make migrations, create indexes."""
    kafka = KafkaSettings.model_validate({})
    await provision_kafka(kafka)
    if arguments.acls:
        await provision_acls(kafka, arguments.producer, finish=arguments.finish)
    made = await provision_mongodb(MongoSettings.model_validate({}), finish=arguments.finish)
    print(f"migrations made: {', '.join(made) or 'none, all were made'}")
    print("indexes are in place")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m deploy.provision", description=__doc__)
    parser.add_argument("--finish", action="store_true", help="no process of the release before is left")
    parser.add_argument("--acls", action="store_true", help="give every service its rights at Kafka, and no others")
    parser.add_argument(
        "--producer", action="append", default=[], metavar="USER", help="with --acls: may ask for imports; repeatable"
    )
    asyncio.run(provision(parser.parse_args()))
