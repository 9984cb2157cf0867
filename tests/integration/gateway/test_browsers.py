"""What browsers are told: pages of other origins, compressed answers, and the page that shows the OpenAPI document."""

import gzip
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from litestar import Litestar
from pydantic import ValidationError

from libs.storage.settings import MongoSettings
from services.gateway.http.compression import MIN_BYTES, takes_gzip
from services.gateway.http.reader import page
from services.gateway.settings import GatewaySettings
from tests.integration.gateway.conftest import SECRET_KEY, Organization, new_app
from tests.integration.gateway.steps import create_template

SHOP = "https://shop.example.com"
PUBLISHED = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}
"""SHA-256 of the files in the package ``swagger-ui-dist`` 5.35.0."""
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


@asynccontextmanager
async def gateway(settings: MongoSettings, origins: str) -> AsyncIterator[httpx.AsyncClient]:
    app: Litestar = new_app(settings, cors_origins=origins, strangers_per_minute=3)
    async with (
        app.lifespan(),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),  # pyright: ignore[reportArgumentType]
            base_url="http://gateway",
        ) as client,
    ):
        yield client


def cors(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


async def test_no_origin_may_read_anything_unless_it_is_named(http: httpx.AsyncClient) -> None:
    answer = await http.get("/imports/runs", headers={"Origin": SHOP})
    asked = await http.options("/imports/runs", headers={"Origin": SHOP, **PREFLIGHT})
    assert (answer.status_code, cors(answer), cors(asked)) == (200, {}, {})
    assert "Origin" not in answer.headers["vary"]


@pytest.mark.usefixtures("rebound")
async def test_pages_of_named_origins(mongo_settings: MongoSettings, acme: Organization) -> None:
    key = {"Authorization": f"Bearer {acme.key}"}
    async with gateway(mongo_settings, f"{SHOP}, http://localhost:3000") as client:
        for _ in range(8):  # which are not counted
            asked = await client.options("/imports/upload", headers={"Origin": SHOP, **PREFLIGHT})
            assert (asked.status_code, asked.content) == (204, b"")
        assert asked.headers["access-control-allow-origin"] == SHOP
        assert "POST" in asked.headers["access-control-allow-methods"]
        allowed = asked.headers["access-control-allow-headers"].lower().split(", ")
        assert {"authorization", "content-type", "idempotency-key", "if-match", "last-event-id"} <= set(allowed)
        assert "x-ratelimit-limit" not in asked.headers
        answer = await client.get("/imports/runs", headers={"Origin": SHOP, **key})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, SHOP)
        exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
        for name in ("x-ratelimit-remaining", "etag", "idempotent-replayed", "x-request-id", "retry-after", "location"):
            assert name in exposed
        refused = await client.get("/imports/runs", headers={"Origin": SHOP})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, SHOP)
        for origin in ("https://evil.example.com", "https://shop.example.com.evil.com", "null", f"{SHOP}:444"):
            asked = await client.options("/imports/runs", headers={"Origin": origin, **PREFLIGHT})
            answer = await client.get("/imports/runs", headers={"Origin": origin, **key})
            assert (asked.status_code, answer.status_code) == (204, 200)
            assert cors(asked) == cors(answer) == {}
            assert "Origin" in answer.headers["vary"]
        # No question of a browser's: what the address allows.
        plain = await client.options("/imports/runs", headers={"Origin": SHOP})
        assert plain.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.usefixtures("rebound")
async def test_any_origin_but_never_with_credentials(mongo_settings: MongoSettings) -> None:
    async with gateway(mongo_settings, "*") as client:
        asked = await client.options("/imports/runs", headers={"Origin": SHOP, "Cookie": "a=b", **PREFLIGHT})
        answer = await client.get("/schema/openapi.json", headers={"Origin": SHOP, "Cookie": "a=b"})
        for each in (asked, answer):
            assert each.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in each.headers


@pytest.mark.parametrize(
    "origin",
    [
        "shop.example.com",
        "https://",
        "https://*.example.com",
        f"{SHOP}/",
        f"{SHOP}/x",
        "https://Shop.example.com",
        "https://a@shop.example.com",
        f"{SHOP}:443",
        "ftp://shop.example.com",
        "https://shop.example.com:port",
    ],
)
def test_what_is_no_origin(origin: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        GatewaySettings(secret_key=SECRET_KEY, cors_origins=origin)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("gzip", True),
        ("GZIP, br", True),
        ("br;q=1.0, gzip;q=0.5", True),
        ("*", True),
        ("x-gzip", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("gzipped", False),
        ("gzip;q=", False),
    ],
)
def test_who_takes_gzip(accepted: str, takes: bool) -> None:
    assert takes_gzip(accepted) is takes


async def test_large_json_is_compressed_for_whoever_takes_it(http: httpx.AsyncClient) -> None:
    many = [{"source": f"column {number}", "target": f"field_{number}"} for number in range(100)]
    template = await create_template(http, field_mapping=many)
    address = f"/imports/templates/{template['id']}"
    plain = await http.get(address, headers={"Accept-Encoding": "identity"})
    async with http.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join([piece async for piece in answer.aiter_raw()])
    assert "content-encoding" not in plain.headers
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) == len(raw) < len(plain.content) / 3
    assert gzip.decompress(raw) == plain.content
    for each in (plain, answer):
        assert {"Accept-Encoding", "Authorization"} <= {part.strip() for part in each.headers["vary"].split(",")}
    head = await http.head(address, headers={"Accept-Encoding": "gzip"})
    assert (head.content, head.headers["content-length"]) == (b"", answer.headers["content-length"])


async def test_what_is_not_compressed(http: httpx.AsyncClient) -> None:
    small = await http.get("/imports/runs")
    assert len(small.content) < MIN_BYTES
    template = await create_template(http, target_resource="not_compressed")
    assert template["id"]
    streamed = await http.get("/records/not_compressed/export", params={"format": "ndjson"})
    for answer in (small, streamed):
        assert answer.status_code == 200
        assert "content-encoding" not in answer.headers


async def test_the_page_of_the_document_loads_nothing_from_elsewhere(http: httpx.AsyncClient) -> None:
    shown = await http.get("/schema", headers={"Authorization": ""})
    assert (shown.status_code, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = shown.headers["content-security-policy"]
    assert policy == page.POLICY
    assert "script-src 'self';" in policy
    assert "unsafe-eval" not in policy
    assert shown.headers["x-frame-options"] == "DENY"
    links: list[str] = re.findall(r'(?:src|href)="([^"]*)"', shown.text)
    assert len(links) == 5
    assert all(link.startswith(("/schema/", "data:,")) for link in links)
    assert not re.search(r"<script(?![^>]* src=)|<style|\son[a-z]+=", shown.text), "an inline script or style"
    for link in links:
        if link.startswith("/schema/reader/"):
            asset = await http.get(link, headers={"Authorization": "", "Accept-Encoding": "identity"})
            assert asset.status_code == 200
            assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert asset.headers["content-type"].split(";")[0] in {"text/javascript", "text/css"}
            compressed = await http.get(link, headers={"Accept-Encoding": "gzip"})
            assert compressed.headers["content-encoding"] == "gzip"
            assert compressed.content == asset.content
            assert "x-ratelimit-limit" not in compressed.headers
    started = await http.get(links[-1])
    assert '"/schema/openapi.json"' in started.text
    for wrong in ("README.md", "..%2fpage.py", "LICENSE.swagger-ui", "x" * 300):
        assert (await http.get(f"/schema/reader/{page.VERSION}/{wrong}")).status_code == 404


def test_the_reader_is_the_published_one() -> None:
    """Nobody has changed what runs in the page; the licences lie beside it."""
    assets = Path(page.__file__).parent / "assets"
    for name, digest in PUBLISHED.items():
        assert hashlib.sha256((assets / name).read_bytes()).hexdigest() == digest, name
    assert f"`swagger-ui-dist` {page.VERSION}" in (assets / "README.md").read_text(encoding="utf-8")
    for name in ("LICENSE.swagger-ui", "NOTICE.swagger-ui", "swagger-ui-bundle.js.LICENSE.txt"):
        assert (assets / name).stat().st_size
