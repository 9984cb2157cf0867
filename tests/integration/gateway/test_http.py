"""What every answer has, whoever gives it: methods, headers, one shape of errors."""

import json

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from tests.integration.gateway.steps import assert_error, create_template

SECURITY = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}


def paths(app: Litestar, **parameters: str) -> dict[str, set[str]]:
    """The paths that there are, each with its methods."""
    found: dict[str, set[str]] = {}
    for route in app.routes:
        assert isinstance(route, HTTPRoute)
        if "path" not in route.path_parameters:
            filled = {name: parameters.get(name, "a" * 24) for name in route.path_parameters}
            found.setdefault(route.path_format.format(**filled), set()).update(route.methods)
    return found


async def test_head_is_get_without_a_body(http: httpx.AsyncClient, app: Litestar) -> None:
    template = await create_template(http)
    asked = 0
    for path, methods in paths(app, template_id=template["id"], run_id="a" * 24).items():
        if "GET" not in methods:
            continue
        path_and_query = f"{path}?run_id={'a' * 24}" if path == "/imports/rejected" else path
        got = await http.get(path_and_query, headers={"X-Request-ID": "request-1"})
        head = await http.head(path_and_query, headers={"X-Request-ID": "request-1"})
        assert head.status_code == got.status_code
        if path != "/metrics":  # which counts these requests
            assert head.headers == got.headers
        assert (head.content, bool(got.content)) == (b"", True)
        asked += 1
    assert asked > 4


async def test_head_of_what_is_not_there(http: httpx.AsyncClient) -> None:
    assert (await http.head("/nowhere")).status_code == 404
    assert (await http.head("/imports/runs/" + "a" * 24)).status_code == 404
    refused = await http.head("/imports/upload")
    assert (refused.status_code, refused.content) == (405, b"")
    assert (await http.head("/imports/runs", headers={"Authorization": ""})).status_code == 401


async def test_options_and_refused_methods_name_the_allowed_ones(http: httpx.AsyncClient, app: Litestar) -> None:
    expected = {
        "/imports/templates": "GET, HEAD, OPTIONS, POST",
        "/imports/templates/x": "DELETE, GET, HEAD, OPTIONS, PUT",
        "/imports/upload": "OPTIONS, POST",
        "/imports/runs": "GET, HEAD, OPTIONS",
        "/imports/runs/x/execute": "OPTIONS, POST",
    }
    assert expected.keys() <= paths(app, template_id="x", run_id="x").keys()
    for path, allowed in expected.items():
        for query in ("", "?limit=1"):
            options = await http.options(path + query, headers={"Authorization": ""})
            assert (options.status_code, options.content) == (204, b"")
            assert options.headers["allow"] == allowed
        for method in ("PATCH", "TRACE", "PROPFIND"):
            refused = await http.request(method, path)
            error = assert_error(refused, 405, "METHOD_NOT_ALLOWED")
            assert refused.headers["allow"] == allowed
            assert error["detail"] == f"{method} is not possible at {path}; allowed: {allowed}"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "NOT_FOUND"),
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("GET", "/schema/x", 404, "NOT_FOUND"),
        ("GET", "/schema/x.json", 404, "NOT_FOUND"),
        ("GET", "/schema/swagger", 404, "NOT_FOUND"),
        ("GET", "/imports/templates/a/b", 404, "NOT_FOUND"),
        ("GET", "/imports/templates/%00", 404, "TEMPLATE_NOT_FOUND"),
        ("GET", "/imports/runs/..%2f..%2fetc", 404, "NOT_FOUND"),
        ("DELETE", "/imports/runs", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_the_router_answers_in_the_one_shape(
    http: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await http.request(method, path)
    assert_error(answer, status, code)
    assert answer.headers["content-type"] == "application/json"


async def test_every_answer_is_neither_stored_nor_sniffed_nor_framed(http: httpx.AsyncClient) -> None:
    template = await create_template(http)
    for answer in (
        await http.get("/imports/runs"),
        await http.get("/schema/openapi.json"),
        await http.get("/nowhere"),
        await http.get("/imports/runs", headers={"Authorization": ""}),
        await http.patch("/imports/runs"),
        await http.options("/imports/runs"),
        await http.delete(f"/imports/templates/{template['id']}"),
    ):
        assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY, answer.request.url
        assert "Authorization" in answer.headers["vary"]
        assert answer.headers.get("content-type", "").count("charset") <= 1


async def test_bodies_that_the_framework_refuses(http: httpx.AsyncClient) -> None:
    large = await http.post("/imports/templates", content=json.dumps({"name": "x" * 1_100_000}))
    error = assert_error(large, 413, "REQUEST_ENTITY_TOO_LARGE")
    assert "1,048,576 bytes" in error["detail"]
    other = await http.post("/imports/templates", content=b"<a/>", headers={"Content-Type": "application/xml"})
    assert_error(other, 415, "NOT_JSON")
    host = await http.get("/imports/runs", headers={"Host": "a b"})
    assert_error(host, 400, "BAD_REQUEST")
