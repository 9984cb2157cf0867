"""What the server itself refuses, below the application: real bytes on a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from litestar import Litestar
from pydantic import SecretStr

from services.gateway.http.response_headers import SECURITY_HEADERS
from services.gateway.http.server import server_config
from services.gateway.settings import GatewaySettings
from tests.integration.gateway.conftest import SECRET_KEY
from tests.integration.gateway.streams import connection


@asynccontextmanager
async def served(app: Litestar, **limits: Any) -> AsyncIterator[int]:  # noqa: ANN401 - those of GatewaySettings
    """Where the application is served as ``python -m services.gateway`` does, as long as the block lasts."""
    settings = GatewaySettings(secret_key=SecretStr(SECRET_KEY), **limits)
    config = server_config(app, "127.0.0.1", settings, port=0)
    config.lifespan = "off"
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it by this attribute only
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def port(app: Litestar) -> AsyncIterator[int]:
    async with served(app) as port:
        yield port


async def answer_to(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer, read until the server closes the connection."""
    async with connection(port) as (reader, writer):
        writer.write(request)
        async with asyncio.timeout(60):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return (
        int(status.split()[1]),
        {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)},
        body,
    )


@pytest.mark.parametrize(
    ("request_bytes", "status", "code", "said"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST", "Missing mandatory Host: header"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "BAD_REQUEST", "Host"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls\r\n\r\n", 400, "BAD_REQUEST", "HTTP/1.1"),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST", "HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400, "BAD_REQUEST", "HTTP/1.1"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n", 400, "BAD_REQUEST", "Content-Length"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000, 431, "REQUEST_HEADER_FIELDS_TOO_LARGE", "shorten"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "NOT_IMPLEMENTED", "chunked"),
    ],
)
async def test_what_is_no_http(port: int, request_bytes: bytes, status: int, code: str, said: str) -> None:
    answered, headers, body = await answer_to(port, request_bytes)
    error = json.loads(body)
    assert (answered, error["status_code"], error["code"]) == (status, status, code)
    assert set(error) == {"detail", "status_code", "code", "errors", "request_id"}
    assert said in error["detail"]
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(body))
    assert headers["x-request-id"] == error["request_id"]
    assert headers["connection"] == "close"
    assert {name: headers[name.lower()] for name in SECURITY_HEADERS} == SECURITY_HEADERS


async def test_head_over_the_wire(port: int) -> None:
    head, headers, body = await answer_to(
        port, b"HEAD /schema/openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    assert (head, body) == (200, b"")
    got, same, document = await answer_to(
        port, b"GET /schema/openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    assert got == 200
    assert headers["content-length"] == same["content-length"] == str(len(document))


async def test_a_body_that_breaks_off_in_the_middle(port: int) -> None:
    request = (
        b"POST /imports/upload HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\nnot a length\r\n"
    )
    status, _, body = await answer_to(port, request)
    assert status in {400, 401}, "whichever is found first"
    assert json.loads(body)["status_code"] == status


async def test_an_upgrade_that_is_not_offered(port: int) -> None:
    request = b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"
    status, _, body = await answer_to(port, request)
    assert (status, json.loads(body)["code"]) == (404, "NOT_FOUND")
