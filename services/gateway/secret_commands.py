"""What operators do with the encryption of stored secrets: ``python -m services.gateway.admin secrets --help``."""

from dataclasses import asdict
from typing import Any

import typer

from libs.storage.client import Mongo
from libs.storage.resealing import SEALED_DOCUMENTS, KeyUse, Resealing
from services.gateway.operating import print_line, with_mongo
from services.gateway.settings import GatewaySettings

secrets = typer.Typer(help="The encryption of stored secrets, and its key.", no_args_is_help=True)


@secrets.command("status")
def show_secrets() -> None:
    """Show how many secrets are encrypted with the first of the keys, with another one of them, and with none."""

    async def work(mongo: Mongo) -> None:
        resealing = _resealing(mongo)
        for collection in SEALED_DOCUMENTS:
            print_line(_told(collection, await resealing.look(collection)))

    with_mongo(work)


@secrets.command("renew")
def renew_secrets() -> None:
    """Encrypt with the first of the keys what is encrypted with another one, and show what is left.

    Services may go on; it may be stopped and repeated. Exit code 1: something is left under another key, or cannot be
    read with any of them.
    """

    async def work(mongo: Mongo) -> bool:
        resealing, left = _resealing(mongo), 0
        for collection in SEALED_DOCUMENTS:
            renewed = await resealing.renew(collection)
            use = await resealing.look(collection)
            print_line({**_told(collection, use), "renewed": renewed})
            left += use.outdated + use.unreadable
        return left > 0

    if with_mongo(work):
        typer.echo("some secrets are not encrypted with the first key of ROWDOCK_SECRET_KEY", err=True)
        raise typer.Exit(1)


def _resealing(mongo: Mongo) -> Resealing:
    return Resealing(mongo, GatewaySettings.model_validate({}).secret_keys)


def _told(collection: str, use: KeyUse) -> dict[str, Any]:
    return {"collection": collection, **asdict(use)}
