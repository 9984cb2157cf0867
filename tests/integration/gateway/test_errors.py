"""Every error has the one shape, and a 500 shows nothing of the inside."""

import re
from datetime import UTC, datetime

import httpx
import pytest

from libs.storage.client import Mongo
from services.gateway.http.not_yet import NOT_YET, NotYet
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import assert_error


async def test_what_is_not_there(http: httpx.AsyncClient) -> None:
    assert_error(await http.get("/nowhere"), 404, "NOT_FOUND")
    assert_error(await http.get("/imports/runs/" + "x" * 24), 404, "RUN_NOT_FOUND")
    answer = await http.patch("/imports/runs")
    assert_error(answer, 405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize("line", NOT_YET, ids=lambda line: line.path)
async def test_what_the_references_name_and_is_not_there_yet(http: httpx.AsyncClient, line: NotYet) -> None:
    url = re.sub(r"{[^}]*}", "x" * 24, line.path)
    for method in line.methods:
        error = assert_error(await http.request(method, f"{url}?skip=0&skip=1"), 501, "NOT_SUPPORTED_YET")
        assert "not supported yet; " in error["detail"]
    other = next(method for method in ("GET", "PATCH", "DELETE", "PUT") if method not in line.methods)
    assert_error(await http.request(other, url), 405, "METHOD_NOT_ALLOWED")
    del http.headers["Authorization"]
    assert_error(await http.request(line.methods[0], url), 401, "UNAUTHORIZED")


async def test_an_unexpected_error(acme: Organization, mongo: Mongo, capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC)
    broken = {"_id": "b" * 24, "tenant_id": acme.id, "template": {"name": ["a cell"]}, "deleted_at": None,
              "created_at": now, "updated_at": now}  # fmt: skip
    await mongo.state["templates"].insert_one(broken)
    answer = await acme.http.get(f"/imports/templates/{broken['_id']}", headers={"X-Request-ID": "my-request-1"})
    error = assert_error(answer, 500, "INTERNAL_ERROR")
    assert error["request_id"] == "my-request-1"
    assert "template" not in answer.json()["detail"]
    assert "pydantic" not in answer.text
    logged = capsys.readouterr().out
    assert "my-request-1" in logged
    assert "'templates' cannot be read by this release" in logged
    assert "template.name" in logged
    assert "a cell" not in logged


async def test_a_request_id_that_is_not_well_formed_is_replaced(http: httpx.AsyncClient) -> None:
    answer = await http.get("/imports/runs", headers={"X-Request-ID": "a b\tc"})
    assert len(answer.headers["x-request-id"]) == 32
