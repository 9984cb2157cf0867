"""Queries: a parameter that a route does not declare, or that is there twice or makes no sense, is refused by name."""

from http import HTTPStatus

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from services.gateway.access.principal import Scope
from services.gateway.http.authentication import NEEDED_SCOPE
from services.gateway.shown import shown
from tests.integration.gateway.steps import assert_error, create_template

RUN_PARAMETERS = "parameters are 'after', 'include_children', 'limit', 'status', 'template_id', 'tenant_id'"


@pytest.mark.parametrize(
    ("query", "location", "code", "said"),
    [
        ("state=failed", "query.state", "UNKNOWN_PARAMETER", f"did you mean 'status'? The {RUN_PARAMETERS}"),
        ("Status=failed", "query.Status", "UNKNOWN_PARAMETER", "did you mean 'status'?"),
        ("template=none", "query.template", "UNKNOWN_PARAMETER", "did you mean 'template_id'?"),
        ("q=1", "query.q", "UNKNOWN_PARAMETER", f"'q'. The {RUN_PARAMETERS}"),
        ("limit[]=1", "query['limit[]']", "UNKNOWN_PARAMETER", "did you mean 'limit'?"),
        ("=1", "query['']", "UNKNOWN_PARAMETER", "''"),
        ("%00=1", "query['\\x00']", "UNKNOWN_PARAMETER", "The parameters are"),
        ("status=failed&status=validated", "query.status", "REPEATED_PARAMETER", "2 times"),
        ("limit=1&limit=1", "query.limit", "REPEATED_PARAMETER", "send it once"),
        ("after=", "query.after", "INVALID", "an id as it was answered"),
        ("after=zzz", "query.after", "INVALID", "'zzz'"),
        ("after=" + "A" * 24, "query.after", "INVALID", "an id as it was answered"),
        ("after=" + "a" * 24 + "%0a", "query.after", "INVALID", "24 characters"),
        ("template_id=", "query.template_id", "INVALID", "character"),
        ("limit=", "query.limit", "INVALID", "whole number"),
        ("limit=x", "query.limit", "INVALID", "a whole number; found 'x'"),
        ("limit=0", "query.limit", "INVALID", "at least 1; found '0'"),
        ("limit=101", "query.limit", "INVALID", "at most 100; found '101'"),
        ("limit=1e9999", "query.limit", "INVALID", "a whole number"),
        ("status=done", "query.status", "INVALID", "'pending', 'validating', 'validated'"),
        ("status=", "query.status", "INVALID", "'pending', 'validating', 'validated'"),
    ],
)  # fmt: skip
async def test_of_a_list(http: httpx.AsyncClient, query: str, location: str, code: str, said: str) -> None:
    error = assert_error(await http.get(f"/imports/runs?{query}"), 400, "INVALID_PARAMETER", location)
    assert error["errors"][0]["code"] == code
    assert said in error["errors"][0]["message"]
    assert said in error["detail"]


async def test_every_problem_is_named_up_to_a_few(http: httpx.AsyncClient) -> None:
    two = await http.get("/imports/runs?stat=failed&limit=1&limit=2")
    assert_error(two, 400, "INVALID_PARAMETER", "query.limit", "query.stat")
    many = await http.get("/imports/runs?" + "&".join(f"x{number}=1" for number in range(1_000)))
    assert len(many.json()["errors"]) == 5
    assert len(many.content) < 5_000
    long = await http.get(f"/imports/runs?{'x' * 20_000}=1")
    assert_error(long, 400, "INVALID_PARAMETER", f"query[{shown('x' * 20_000)}]")


async def test_a_required_one_is_asked_for(http: httpx.AsyncClient) -> None:
    error = assert_error(await http.get("/imports/rejected"), 400, "INVALID_PARAMETER", "query.run_id")
    assert error["errors"][0]["code"] == "MISSING"


async def test_what_is_declared_is_taken(http: httpx.AsyncClient) -> None:
    first, second = await create_template(http), await create_template(http)
    page = (await http.get("/imports/templates?limit=1")).json()
    assert [entry["id"] for entry in page["data"]] == [second["id"]]
    rest = (await http.get(f"/imports/templates?limit=1&after={page['next_after']}")).json()
    assert [entry["id"] for entry in rest["data"]] == [first["id"]]
    for query in ("", "?", "?status=failed&limit=100", f"?after={'f' * 24}&template_id=none"):
        assert (await http.get(f"/imports/runs{query}")).json() == {"data": [], "next_after": None}


async def test_no_route_takes_what_it_does_not_declare(http: httpx.AsyncClient, app: Litestar) -> None:
    asked = 0
    for route in app.routes:
        assert isinstance(route, HTTPRoute)
        path = route.path_format.format(**dict.fromkeys(route.path_parameters, "a" * 24))
        for_operators = {
            method
            for handler in route.route_handlers
            if handler.opt.get(NEEDED_SCOPE) is Scope.OPERATOR
            for method in handler.http_methods
        }
        for method in route.route_handler_map:
            if method == "OPTIONS":
                continue
            answer = await http.request(method, path, params={"surely_unknown": "1"})
            if method in for_operators:
                assert answer.status_code == HTTPStatus.FORBIDDEN  # others are told nothing of what there is
                continue
            asked += 1
            assert answer.status_code in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}, f"{method} {path}"
            assert "there is no parameter 'surely_unknown'" in answer.text
    assert asked > 10
