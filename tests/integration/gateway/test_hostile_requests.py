"""Whatever a client sends: never a 500, always the one shape of errors, and soon."""

import json
import time
from collections.abc import AsyncIterator
from typing import TypedDict, Unpack

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from litestar import Litestar

from services.gateway.access.api_keys import ApiKeys, new_key
from tests.integration.gateway.documents_of_clients import FULL_TEMPLATE, bodies, texts, values
from tests.integration.gateway.steps import assert_error, create_template, template_body

MAX_SECONDS = 30.0
# One organization for all examples: what one of them leaves is nothing to the next.
EXAMPLES = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture
async def one(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    key = new_key()
    await ApiKeys().create("Hostile", "test", key)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),  # pyright: ignore[reportArgumentType] - Litestar's own ASGI types
        base_url="http://gateway",
        headers={"Authorization": f"Bearer {key}"},
    ) as client:
        yield client


class _Request(TypedDict, total=False):
    content: bytes
    headers: dict[str, str]
    json: object
    files: dict[str, tuple[str | None, str | bytes]]


async def judged(http: httpx.AsyncClient, method: str, path: str, **request: Unpack[_Request]) -> httpx.Response:
    """The answer, which is none of the gateway's faults."""
    began = time.monotonic()
    answer = await http.request(method, path, **request)
    assert time.monotonic() - began < MAX_SECONDS
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        locations = [error["location"] for error in answer.json()["errors"]]
        assert_error(answer, answer.status_code, answer.json()["code"], *locations)
        assert len(answer.content) < 200_000
    return answer


async def test_the_template_that_is_broken_is_a_good_one(one: httpx.AsyncClient) -> None:
    made = await one.post("/imports/templates", json=FULL_TEMPLATE)
    assert made.status_code == 201, made.text


@EXAMPLES
@given(body=bodies())
async def test_templates_and_dry_runs(one: httpx.AsyncClient, body: bytes) -> None:
    kind = {"Content-Type": "application/json"}
    made = await judged(one, "POST", "/imports/templates", content=body, headers=kind)
    if made.status_code == 201:
        shown = await judged(one, "GET", made.headers["location"])
        again = {key: value for key, value in shown.json().items() if key != "webhook_secret"}
        assert (await judged(one, "PUT", made.headers["location"], json=again)).status_code == 200
    missing = await judged(one, "PUT", "/imports/templates/" + "a" * 24, content=body, headers=kind)
    assert missing.status_code in {400, 404, 422}
    tried = await judged(one, "POST", "/imports/dry-run", files={"template": (None, body)})
    assert tried.status_code in {400, 422}, "there is no file"


@EXAMPLES
@given(mapping=st.one_of(st.dictionaries(texts, st.one_of(texts, st.none(), values), max_size=4), values))
async def test_mappings(one: httpx.AsyncClient, mapping: object) -> None:
    template = await create_template(one, target_resource="mapped")
    form = {"template_id": (None, template["id"]), "mapping": (None, json.dumps(mapping))}
    answer = await judged(one, "POST", "/imports/upload", files=form)
    assert answer.status_code in {400, 422}, "there is no file"


NASTY = (
    "%00", "..", "%2e%2e%2f", "%ff%fe", "%F0%9F%92%A9", "$where", "%7B%22$gt%22:1%7D", "x" * 10_000, "a" * 24 + "%0a",
    "%ed%a0%80",
)  # fmt: skip


@pytest.mark.parametrize("nasty", NASTY)
async def test_ids_in_paths_and_queries(one: httpx.AsyncClient, nasty: str) -> None:
    for method, path in (
        ("GET", "/imports/templates/{}"),
        ("DELETE", "/imports/templates/{}"),
        ("PUT", "/imports/templates/{}"),
        ("GET", "/imports/runs/{}"),
        ("POST", "/imports/runs/{}/execute"),
        ("POST", "/imports/runs/{}/cancel"),
        ("GET", "/imports/rejected?run_id={}"),
        ("GET", "/imports/runs?after={}"),
        ("GET", "/imports/runs?{}=1"),
        ("GET", "/{}"),
    ):
        body = _Request(json=template_body()) if method == "PUT" else _Request()
        answer = await judged(one, method, path.format(nasty), **body)
        assert answer.status_code in {400, 404, 405}
    tried = await judged(one, "GET", f"/imports/runs?template_id={nasty}")
    assert tried.status_code in {200, 400}
    uploaded = await judged(
        one, "POST", "/imports/upload", files={"template_id": (None, nasty), "file": ("f", b"a\n1")}
    )
    assert uploaded.status_code in {404, 422}


HEADERS = (
    "Content-Type", "Idempotency-Key", "X-Request-ID", "Authorization", "Content-Encoding", "Host", "Accept", "Cookie",
    "Content-Length",
)  # fmt: skip
ODD_VALUES = (
    b"multipart/form-data; boundary=" + b"x" * 500,
    b"multipart/form-data; boundary*=utf-16''%ff",
    b"application/json; charset=\xff",
    b"Bearer \xff",
    b"Bearer sk_live_" + b"x" * 5_000,
    b"-1",
    b"9" * 5_000,
    b"\xd9\xa1",
)
odd_bytes = st.binary(min_size=1, max_size=30).map(lambda raw: raw.translate(None, b"\r\n\0") or b"x")


@EXAMPLES
@example(name="Content-Length", value=b"9" * 5_000, path="/imports/upload")
@example(name="Host", value=b":\x01", path="/imports/upload")
@example(name="Content-Length", value=b"9" * 5_000, path="/imports/templates")
@given(
    name=st.sampled_from(HEADERS),
    value=st.one_of(odd_bytes, st.sampled_from(ODD_VALUES)),
    path=st.sampled_from(["/imports/upload", "/imports/templates", "/imports/dry-run", "/imports/runs"]),
)
async def test_headers(one: httpx.AsyncClient, name: str, value: bytes, path: str) -> None:
    method = "GET" if path == "/imports/runs" else "POST"
    kind = "application/json" if path == "/imports/templates" else "multipart/form-data; boundary=b"
    content = b"{}" if method == "POST" else None
    request = one.build_request(method, path, content=content, headers={"Content-Type": kind})
    raw = [(key, old) for key, old in request.headers.raw if key.lower() != name.lower().encode()]
    request.headers = httpx.Headers([*raw, (name.encode(), value)])
    answer = await one.send(request)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()) == {"detail", "status_code", "code", "errors", "request_id"}
