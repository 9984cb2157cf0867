"""``python -m deploy.migrations [--again NAME]``: what is made of the migrations; with ``--again``, make one once more.

Reads ``ROWDOCK_MONGODB``, ``ROWDOCK_DATABASE`` and ``ROWDOCK_TARGET_DATABASE``.
"""

import argparse
import asyncio

from deploy.migrations import MIGRATIONS
from deploy.migrations.runner import forget, made_migrations, make_migrations
from libs.storage.client import connect
from libs.storage.settings import MongoSettings


async def show(settings: MongoSettings, again: str | None) -> None:
    """Print a line for each migration, after making the one called ``again``."""
    mongo = await connect(settings)
    try:
        if again is not None:
            await forget(mongo, again)
            await make_migrations(mongo, [migration for migration in MIGRATIONS if migration.name == again])
        made = await made_migrations(mongo)
    finally:
        await mongo.client.close()
    for migration in MIGRATIONS:
        document = made.get(migration.name, {})
        finished = document.get("finished_at")
        state = "not made yet" if finished is None else f"made {finished:%Y-%m-%d %H:%M} UTC"
        print(f"{migration.name}: {state}, {document.get('changed', 0)} documents changed")


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m deploy.migrations", description=__doc__)
    parser.add_argument("--again", choices=[migration.name for migration in MIGRATIONS], help="make this one once more")
    asyncio.run(show(MongoSettings.model_validate({}), parser.parse_args().again))


if __name__ == "__main__":
    main()
