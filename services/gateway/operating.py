"""What all commands of operators share: MongoDB, who acts, lines of JSON, errors."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Annotated, Any, TypeVar

import typer
from beanie import init_beanie  # pyright: ignore[reportUnknownVariableType] - its database is not fully typed
from pydantic import BaseModel

from libs.storage.client import Mongo, connect
from libs.storage.documents import DOCUMENTS
from libs.storage.settings import MongoSettings
from services.gateway.access.administration import Administration
from services.gateway.access.principal import Principal, Scope
from services.gateway.errors import ConflictError, GatewayError

Result = TypeVar("Result")
OrganizationId = Annotated[str, typer.Argument(metavar="ORGANIZATION")]
Limit = Annotated[int, typer.Option(min=1, max=1_000, help="Most of them.")]


def mongo_settings() -> MongoSettings:
    """Where MongoDB is, by the environment."""
    return MongoSettings.model_validate({})


async def acting_operator(mongo: Mongo, tenant_id: str) -> Principal:
    """An operator at work in an organization that there is.

    Raises:
        NotFoundError: there is none.
        ConflictError: ``ORGANIZATION_LEAVING``; it is being deleted.
    """
    if (await Administration(mongo).organization(tenant_id)).deletion is not None:
        raise ConflictError(
            "ORGANIZATION_LEAVING", f"the organization {tenant_id} is being deleted with all that it has"
        )
    return Principal(tenant_id, "operator", "operator", frozenset(Scope))


def with_mongo(work: Callable[[Mongo], Coroutine[Any, Any, Result]]) -> Result:
    """What ``work`` returns, or the end of the program with its error."""

    async def connected() -> Result:
        async with AsyncExitStack() as stack:
            mongo = await connect(mongo_settings())
            stack.push_async_callback(mongo.client.close)
            await init_beanie(database=mongo.state, document_models=DOCUMENTS, skip_indexes=True)
            return await work(mongo)

    return done(connected())


def done(work: Coroutine[Any, Any, Result]) -> Result:
    """Likewise, of what connects by itself."""
    try:
        return asyncio.run(work)
    except GatewayError as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(1) from None


def print_line(what: BaseModel | dict[str, Any]) -> None:
    """Show something as one line of JSON."""
    told = what.model_dump(mode="json", exclude_none=True) if isinstance(what, BaseModel) else what
    sys.stdout.write(json.dumps(told) + "\n")
