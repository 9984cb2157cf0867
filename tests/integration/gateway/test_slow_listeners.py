"""Listeners that take nothing, and a server that stops."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from beanie import init_beanie
from litestar import Litestar

from libs.storage.documents import DOCUMENTS
from libs.storage.settings import MongoSettings
from tests.integration.gateway.conftest import Organization, living, new_app
from tests.integration.gateway.steps import eventually, submit
from tests.integration.gateway.streams import following
from tests.integration.gateway.test_progress import path
from tests.integration.gateway.test_server import served


@pytest.fixture
async def app(app: Litestar, mongo_settings: MongoSettings) -> AsyncIterator[Litestar]:
    """A gateway of its own that leaves slow readers soon."""
    impatient = new_app(mongo_settings, progress_seconds=0.1, heartbeat_seconds=0.1, send_seconds=0.3)
    async with living(impatient):
        yield impatient
    await init_beanie(database=app.state.gateway.context.mongo.state, document_models=DOCUMENTS, skip_indexes=True)


def listeners(app: Litestar) -> int:
    return app.state.gateway.capabilities.watches.listeners


async def test_a_reader_that_takes_nothing_is_left(acme: Organization, app: Litestar) -> None:
    run_id = await submit(acme.http)
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if len(sent) == 3:
            await asyncio.Event().wait()  # as a connection does whose buffers are full

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path(run_id), "raw_path": path(run_id).encode(), "query_string": b"", "root_path": "",
        "headers": [(b"host", b"gateway"), (b"authorization", f"Bearer {acme.key}".encode())],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    async with asyncio.timeout(60):
        await app(scope, receive, send)  # pyright: ignore[reportArgumentType] - messages as plain dictionaries
    assert [message["type"] for message in sent] == ["http.response.start", *["http.response.body"] * 2]
    assert listeners(app) == 0


async def test_a_server_that_stops_does_not_wait_for_listeners(acme: Organization, app: Litestar) -> None:
    run_id = await submit(acme.http)
    server = served(app)
    async with following(await server.__aenter__(), path(run_id), acme.key) as stream:
        await stream.until("snapshot")
        assert listeners(app) == 1
        async with asyncio.timeout(10):  # uvicorn would wait for 15 s
            await server.__aexit__(None, None, None)

    async def nobody() -> bool:
        return listeners(app) == 0

    await eventually(nobody)
