"""Every error has the one shape, and a 500 shows nothing of the inside."""

from datetime import UTC, datetime

import httpx
import pytest

from libs.storage.client import Mongo
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import assert_error


async def test_what_is_not_there(http: httpx.AsyncClient) -> None:
    assert_error(await http.get("/nowhere"), 404, "NOT_FOUND")
    assert_error(await http.get("/imports/runs/" + "x" * 24), 404, "RUN_NOT_FOUND")
    answer = await http.patch("/imports/runs")
    assert_error(answer, 405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/v1/imports"), ("GET", "/api/v1/imports/" + "x" * 24)])
async def test_what_vocabularies_share_is_told_in_the_words_of_both(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    assert_error(await http.put(path), 405, "METHOD_NOT_ALLOWED", either=True)
    del http.headers["Authorization"]
    assert_error(await http.request(method, path), 401, "UNAUTHORIZED", either=True)


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
