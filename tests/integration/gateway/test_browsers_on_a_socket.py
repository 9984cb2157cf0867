"""What browsers are told, by the server that they talk to."""

import asyncio
import gzip
import json

import httpx
import pytest
from bson import ObjectId

from libs.storage.client import Mongo
from libs.storage.settings import MongoSettings
from tests.integration.gateway.conftest import Organization, new_app
from tests.integration.gateway.steps import create_template
from tests.integration.gateway.test_server import served

SHOP = "https://shop.example.com"


@pytest.mark.usefixtures("rebound")
async def test_a_page_of_another_origin(mongo_settings: MongoSettings, mongo: Mongo, acme: Organization) -> None:
    """Asks first, then gets compressed JSON, and a file that comes piece by piece."""
    many = [{"source": f"column {number}", "target": f"field_{number}"} for number in range(100)]
    template = await create_template(acme.http, target_resource="on_a_socket", field_mapping=many)
    await mongo.target["on_a_socket"].insert_many(
        [{"_id": ObjectId(), "tenant_id": acme.id, "is_deleted": False, "field_1": "x" * 400} for _ in range(3_000)]
    )
    app = await asyncio.to_thread(new_app, mongo_settings, cors_origins=SHOP)
    headers = {"Authorization": f"Bearer {acme.key}", "Origin": SHOP, "Accept-Encoding": "gzip"}
    async with app.lifespan(), served(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        preflight = {"Origin": SHOP, "Access-Control-Request-Method": "GET"}
        asked = await client.options("/records/on_a_socket", headers=preflight)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, SHOP)
        async with client.stream("GET", f"/imports/templates/{template['id']}", headers=headers) as answer:
            raw = b"".join([piece async for piece in answer.aiter_raw()])
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert json.loads(gzip.decompress(raw))["id"] == template["id"]
        export = "/records/on_a_socket/export?format=ndjson"
        async with client.stream("GET", export, headers=headers) as answer:
            pieces = [piece async for piece in answer.aiter_raw()]
        assert (answer.status_code, answer.headers["transfer-encoding"]) == (200, "chunked")
        assert "content-encoding" not in answer.headers
        assert len(pieces) > 5
        assert b"".join(pieces).count(b"\n") == 3_000
