"""The secret key is rotated while gateways work: nothing is refused, nothing is lost."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx
import pytest
from beanie import init_beanie
from bson import ObjectId
from cryptography.fernet import Fernet
from pydantic import SecretStr

from deploy.provision import provision_mongodb
from libs.storage.client import Mongo, connect
from libs.storage.documents import DOCUMENTS
from libs.storage.sealing import SecretKeys
from libs.storage.settings import MongoSettings
from services.gateway.access.api_keys import ApiKeys, new_key
from tests.integration.gateway.conftest import new_app

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("rebound")]

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
STEPS = (OLD, f"{OLD},{NEW}", f"{NEW},{OLD}")
"""What ``ROWDOCK_SECRET_KEY`` is, one after the other."""
ENDPOINTS = "/api/v1/webhook-endpoints"
MANY = 250


@pytest.fixture
async def own(mongodb_uri: str) -> AsyncIterator[tuple[MongoSettings, Mongo]]:
    """Databases that nobody else stores secrets in."""
    name = f"rotation{uuid4().hex[:12]}"
    settings = MongoSettings(mongodb=SecretStr(mongodb_uri), database=name, target_database=f"{name}_data")
    await provision_mongodb(settings)
    mongo = await connect(settings)
    await init_beanie(database=mongo.state, document_models=DOCUMENTS, skip_indexes=True)
    yield settings, mongo
    await mongo.client.drop_database(mongo.state)
    await mongo.client.drop_database(mongo.target)
    await mongo.client.close()


@asynccontextmanager
async def gateway(settings: MongoSettings, secret_key: str, key: str) -> AsyncIterator[httpx.AsyncClient]:
    app = new_app(settings, secret_key=SecretStr(secret_key))
    transport = httpx.ASGITransport(app)  # pyright: ignore[reportArgumentType] - Litestar's own ASGI types
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as http,
    ):
        yield http


async def secrets(
    settings: MongoSettings, command: str, secret_key: str, **environment: str
) -> tuple[int, dict[str, dict[str, Any]]]:
    """What ``admin secrets`` prints, by collection."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway.admin", "secrets", command,
        env={
            **os.environ,
            "ROWDOCK_MONGODB": settings.mongodb.get_secret_value(),
            "ROWDOCK_DATABASE": settings.database,
            "ROWDOCK_TARGET_DATABASE": settings.target_database,
            "ROWDOCK_SECRET_KEY": secret_key,
            **environment,
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    lines = [json.loads(line) for line in out.decode().splitlines()]
    return process.returncode or 0, {line.pop("collection"): line for line in lines}


async def made(http: httpx.AsyncClient, name: str) -> dict[str, Any]:
    """An endpoint by a request that may be repeated; its answer holds the secret."""
    answer = await http.post(
        ENDPOINTS, json={"url": "https://example.com/hook", "description": name}, headers={"Idempotency-Key": name}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_from_one_key_to_the_next(own: tuple[MongoSettings, Mongo]) -> None:
    settings, mongo = own
    key = new_key()
    tenant_id = await ApiKeys().create("Acme", "test", key)
    answers = dict[str, dict[str, Any]]()
    # While processes are replaced, some have the next value already: each reads what the other has stored.
    for behind, ahead in pairwise(STEPS):
        async with gateway(settings, behind, key) as one, gateway(settings, ahead, key) as other:
            for http in (one, other):
                name = f"made-{len(answers)}"
                answers[name] = await made(http, name)
            for http in (one, other):
                assert {name: await made(http, name) for name in answers} == answers
    more = [
        {"_id": str(ObjectId()), "tenant_id": tenant_id, "template_id": "",
         "encrypted_secret": SecretKeys(OLD).encrypt(b"whsec_x").decode()}
        for _ in range(MANY)
    ]  # fmt: skip
    await mongo.state["webhook_endpoints"].insert_many(more)

    code, told = await secrets(settings, "status", STEPS[-1])
    assert code == 0
    assert {name: (each["current"], each["outdated"]) for name, each in told.items()} == {
        "webhook_endpoints": (1, MANY + 3), "sources": (0, 0), "idempotency_keys": (1, 3),
    }  # fmt: skip
    code, told = await secrets(settings, "renew", STEPS[-1], FAILPOINT="secrets.some_renewed:kill:2")
    assert (code, "webhook_endpoints" in told) == (-signal.SIGKILL, False)  # a collection is told when it is through
    code, told = await secrets(settings, "status", STEPS[-1])
    assert (told["idempotency_keys"]["outdated"], told["webhook_endpoints"]["current"]) == (0, 101)
    code, told = await secrets(settings, "renew", STEPS[-1])
    assert (code, told["webhook_endpoints"]["renewed"], told["idempotency_keys"]["renewed"]) == (0, MANY - 97, 0)
    code, told = await secrets(settings, "renew", STEPS[-1])
    assert (code, [each["renewed"] for each in told.values()]) == (0, [0, 0, 0])

    # The old key may go.
    code, told = await secrets(settings, "status", NEW)
    assert [(each["outdated"], each["unreadable"]) for each in told.values()] == [(0, 0)] * 3
    async with gateway(settings, NEW, key) as http:
        assert {name: await made(http, name) for name in answers} == answers
    # Had it gone before, that would be told.
    code, told = await secrets(settings, "renew", OLD)
    assert (code, told["webhook_endpoints"]["unreadable"]) == (1, MANY + 4)
