"""Answers that a client can make large: in pages of bounded size, from which nothing is missing."""

import asyncio
from datetime import UTC, datetime

import httpx

from libs.contracts.ids import rejected_id
from libs.contracts.plan import ParsePlan
from libs.ledger import Ledger
from libs.storage.client import Mongo
from services.gateway.http.engine.rejected_views import MAX_PAGE_BYTES
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import assert_error, create_template, submit, template_body

LIMIT = 1_000


async def reject(mongo: Mongo, acme: Organization, run_id: str, rows: int, *cells: str) -> None:
    error = {"field": "name", "column": "name", "code": "TOO_LONG", "message": "is too long", "value": "x"}
    for row in range(1, rows + 1):
        await mongo.state["rejected_records"].insert_one(
            {
                "_id": rejected_id(run_id, row),
                "tenant_id": acme.id,
                "run_id": run_id,
                "row": row,
                "cells": list(cells),
                "errors": [error],
                "state": "open",
                "created_at": datetime.now(UTC),
            }
        )


async def pages(http: httpx.AsyncClient, run_id: str) -> list[list[int]]:
    """The rows of each page; no page is larger than it may be, unless it has one row only."""
    found: list[list[int]] = []
    after: int | None = 0
    while after is not None:
        parameters = {"run_id": run_id, "limit": LIMIT, "after": after}
        answer = await http.get("/imports/rejected", params=parameters)
        assert answer.status_code == 200
        page = await asyncio.to_thread(answer.json)
        found.append([record["row"] for record in page["data"]])
        assert len(answer.content) <= MAX_PAGE_BYTES + 100 or len(found[-1]) == 1
        after = page["next_after"]
    return found


async def planned(ledger: Ledger, run_id: str, *columns: str) -> None:
    run = await ledger.parsing.begin(run_id, "test-parser", 30)
    assert run is not None
    assert await ledger.parsing.freeze_plan(run, ParsePlan(columns=columns, mapping={"sku": 0, "name": None}))


async def test_rows_of_long_cells(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    run_id = await submit(acme.http)
    await planned(ledger, run_id, "sku", "name")
    await reject(mongo, acme, run_id, 30, "bad", "x" * 600_000)
    found = await pages(acme.http, run_id)
    assert len(found) > 3
    assert [row for page in found for row in page] == list(range(1, 31))


async def test_short_rows_below_long_headers(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    run_id = await submit(acme.http)
    await planned(ledger, run_id, *(f"{number}:{'h' * 280}" for number in range(3_000)))
    await reject(mongo, acme, run_id, 12, "bad")
    found = await pages(acme.http, run_id)
    assert len(found) > 1
    assert [row for page in found for row in page] == list(range(1, 13))


async def test_a_row_that_is_larger_than_a_page(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    run_id = await submit(acme.http)
    await planned(ledger, run_id, "sku", "name")
    await reject(mongo, acme, run_id, 3, "\x01" * 2_000_000)
    assert await pages(acme.http, run_id) == [[1], [2], [3]]


async def test_many_large_templates(http: httpx.AsyncClient) -> None:
    described = [{"target": f"f{number}", "description": "d" * 1_900} for number in range(450)]
    made = [(await create_template(http, field_mapping=described))["id"] for _ in range(7)]
    found: list[str] = []
    after: str | None = None
    while len(found) < len(made):
        answer = await http.get("/imports/templates", params={"limit": 100, **({"after": after} if after else {})})
        page = await asyncio.to_thread(answer.json)
        assert len(answer.content) < 6_000_000
        found += [template["id"] for template in page["data"]]
        after = page["next_after"]
    assert (found, after) == (made[::-1], None)


async def test_an_error_lists_a_hundred_problems(http: httpx.AsyncClient) -> None:
    body = template_body(**{f"unknown_{number:04}": 1 for number in range(3_000)})
    answer = await http.post("/imports/templates", json=body)
    listed = answer.json()["errors"]
    assert_error(answer, 422, "INVALID_TEMPLATE", *(f"body.unknown_{number:04}" for number in range(99)), "request")
    assert (listed[-1]["code"], listed[-1]["message"]) == (
        "MORE_PROBLEMS", "2,901 more problems are not listed; mend the others first"
    )  # fmt: skip
