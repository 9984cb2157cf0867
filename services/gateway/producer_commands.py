"""What operators do with the internal producers of an organization; a part of ``services.gateway.admin``."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from libs.storage.client import Mongo
from services.gateway.access.producers import Producers, WantedProducer
from services.gateway.operating import OrganizationId, acting_operator, print_line, with_mongo

producers = typer.Typer(help="Programs of an organization that may ask for imports on Kafka.", no_args_is_help=True)

ProducerId = Annotated[str, typer.Argument(metavar="PRODUCER")]


@producers.command("create")
def create_producer(
    organization: OrganizationId,
    name: str,
    public_key: Annotated[Path, typer.Argument(metavar="FILE", help="Its public Ed25519 key, as PEM.", exists=True)],
    *,
    template: Annotated[list[str] | None, typer.Option(help="Id of one that it may use; any if not given.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="When its key expires; never if not given.")] = None,
) -> None:
    """Register a producer by its public key; the id that is shown is the kid of its tokens."""
    wanted = WantedProducer(
        name,
        public_key.read_text(encoding="ascii", errors="replace"),
        None if template is None else tuple(template),
        None if days is None else datetime.now(UTC) + timedelta(days=days),
    )

    async def work(mongo: Mongo) -> dict[str, Any]:
        made = await Producers().add(await acting_operator(mongo, organization), wanted)
        return made.model_dump(mode="json")

    print_line(with_mongo(work))


@producers.command("list")
def list_producers(organization: OrganizationId) -> None:
    """Show the producers of an organization, the newest first."""

    async def work(mongo: Mongo) -> None:
        asking, after, more = await acting_operator(mongo, organization), None, True
        while more:
            found, more = await Producers().page(asking, 100, after)
            for producer in found:
                print_line(producer)
                after = producer.id

    with_mongo(work)


@producers.command("revoke")
def revoke_producer(organization: OrganizationId, producer: ProducerId) -> None:
    """Let a producer ask for nothing from now on."""

    async def work(mongo: Mongo) -> dict[str, Any]:
        revoked = await Producers().revoke(await acting_operator(mongo, organization), producer)
        return revoked.model_dump(mode="json")

    print_line(with_mongo(work))
