"""A gateway on a real MongoDB, without Kafka: nothing listens at the address it is given."""

import asyncio
import atexit
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from beanie import init_beanie
from cryptography.fernet import Fernet
from litestar import Litestar
from pydantic import SecretStr

from deploy.provision import provision_mongodb
from libs.ledger import Ledger
from libs.process.settings import ServiceSettings
from libs.storage.client import Mongo, connect
from libs.storage.documents import DOCUMENTS
from libs.storage.settings import MongoSettings
from services.gateway.access.api_keys import ApiKeys, new_key
from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings

MAX_UPLOAD_BYTES = 3_000_000
MAX_DRY_RUN_BYTES = 100_000
MAX_ERRORS = 5
WAIT_SECONDS = 0.4
DRY_RUN_SECONDS = 6.0
SECRET_KEY = Fernet.generate_key().decode()
SOURCES = tempfile.TemporaryDirectory(prefix="rowdock-sources-")
"""Below which organizations have their folders of watched directories."""
atexit.register(SOURCES.cleanup)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def new_app(mongo_settings: MongoSettings, **changes: Any) -> Litestar:  # noqa: ANN401 - those of GatewaySettings
    """A gateway that nobody has started yet."""
    settings: dict[str, Any] = {
        "secret_key": SecretStr(SECRET_KEY),
        "max_upload_bytes": MAX_UPLOAD_BYTES,
        "dry_run_max_bytes": MAX_DRY_RUN_BYTES,
        "max_errors": MAX_ERRORS,
        "wait_seconds": WAIT_SECONDS,
        "dry_run_wait_seconds": DRY_RUN_SECONDS,
        "upload_idle_seconds": 0.5,
        "body_seconds": 0.5,
        "rate_limits": "free=0/0",
        "strangers_per_minute": 0,
        # What it looks for by itself would be among what tests count.
        "observe_seconds": 300,
        "retention_sweep_seconds": 3600,
        "sources_directory": SOURCES.name,
        "source_allowed_networks": "127.0.0.0/8",
    }
    return create_app(
        ServiceSettings(
            kafka=f"127.0.0.1:{unused_port()}", ops_port=1, instance="gateway-test", rescue_after_seconds=0.2
        ),
        mongo_settings,
        GatewaySettings(**{**settings, **changes}),
    )


@asynccontextmanager
async def living(app: Litestar) -> AsyncIterator[None]:
    """A gateway is started, for a fixture: that is set up and torn down in different tasks, while the lifespan wants to
    begin and end in one."""
    started, over = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await over.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(live())
        await started.wait()
        yield
        over.set()


@pytest.fixture(scope="package")
def mongo_settings(mongodb_uri: str) -> MongoSettings:
    """Two databases of these tests' own."""
    name = f"gateway{uuid4().hex[:12]}"
    return MongoSettings(mongodb=SecretStr(mongodb_uri), database=name, target_database=f"{name}_data")


@pytest.fixture(scope="package")
async def mongo(mongo_settings: MongoSettings) -> AsyncIterator[Mongo]:
    """The databases, with every index."""
    await provision_mongodb(mongo_settings)
    mongo = await connect(mongo_settings)
    # Provisioning bound the documents to a client of its own, closed by now.
    await init_beanie(database=mongo.state, document_models=DOCUMENTS, skip_indexes=True)
    yield mongo
    await mongo.client.close()


@pytest.fixture(scope="package")
async def app(mongo: Mongo, mongo_settings: MongoSettings) -> AsyncIterator[Litestar]:
    """The gateway, started."""
    del mongo
    app = new_app(mongo_settings)
    async with living(app):
        yield app


@pytest.fixture
async def rebound(app: Litestar) -> AsyncIterator[None]:
    """For a test that starts another gateway: Beanie's models, bound once in a process, are given back to ``app``."""
    yield
    await init_beanie(database=app.state.gateway.context.mongo.state, document_models=DOCUMENTS, skip_indexes=True)


@dataclass(frozen=True)
class Organization:
    """An organization and a client with its key."""

    id: str
    key: str
    http: httpx.AsyncClient


@pytest.fixture
async def new_organization(app: Litestar) -> AsyncIterator[Callable[[], Awaitable[Organization]]]:
    """Makes an organization with a key and a client."""
    clients: list[httpx.AsyncClient] = []

    async def make() -> Organization:
        key = new_key()
        organization_id = await ApiKeys().create("Acme", "test", key)
        (Path(SOURCES.name) / organization_id).mkdir()
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),  # pyright: ignore[reportArgumentType] - Litestar's own ASGI types
            base_url="http://gateway",
            headers={"Authorization": f"Bearer {key}"},
        )
        clients.append(client)
        return Organization(organization_id, key, client)

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def acme(new_organization: Callable[[], Awaitable[Organization]]) -> Organization:
    return await new_organization()


@pytest.fixture
def http(acme: Organization) -> httpx.AsyncClient:
    return acme.http


@pytest.fixture
def ledger(mongo: Mongo) -> Ledger:
    """Does what the other services would do."""
    return Ledger(mongo, "test")
