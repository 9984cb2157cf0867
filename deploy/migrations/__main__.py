"""``python -m deploy.migrations [--again NAME] [--finish]``: what is made of the migrations.

With ``--again``, one is made once more; with ``--finish``, those are made that wait until no process of the release
before is left.

Reads ``ROWDOCK_MONGODB``, ``ROWDOCK_DATABASE`` and ``ROWDOCK_TARGET_DATABASE``.
"""

import argparse
import asyncio

from deploy.migrations import MIGRATIONS
from deploy.migrations.runner import forget, made_migrations, make_migrations
from libs.storage.client import connect
from libs.storage.settings import MongoSettings


async def show(settings: MongoSettings, again: str | None, *, finish: bool) -> None:
    """Print a line for each migration, after making the one called ``again``, and with ``finish`` all."""
    mongo = await connect(settings)
    try:
        if again is not None:
            await forget(mongo, again)
            await make_migrations(mongo, [migration for migration in MIGRATIONS if migration.name == again])
        if finish:
            await make_migrations(mongo, MIGRATIONS)
        made = await made_migrations(mongo)
    finally:
        await mongo.client.close()
    for migration in MIGRATIONS:
        document = made.get(migration.name, {})
        finished = document.get("finished_at")
        unmade = "waits for --finish" if migration.waits else "not made yet"
        state = unmade if finished is None else f"made {finished:%Y-%m-%d %H:%M} UTC"
        print(f"{migration.name}: {state}, {document.get('changed', 0)} documents changed")


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m deploy.migrations", description=__doc__)
    parser.add_argument("--again", choices=[migration.name for migration in MIGRATIONS], help="make this one once more")
    parser.add_argument("--finish", action="store_true", help="no process of the release before is left")
    arguments = parser.parse_args()
    asyncio.run(show(MongoSettings.model_validate({}), arguments.again, finish=arguments.finish))


if __name__ == "__main__":
    main()
