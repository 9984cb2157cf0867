"""What a look at an import costs does not grow with how many look, nor with what there is to be shown."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.contracts.ids import rejected_id
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.creating import World, completed_with_a_rejected_row
from tests.integration.gateway.steps import CSV, create_importer, create_rowporter_template

LOOKERS = 20


async def commands(mongo: Mongo, run_id: str, looks: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """What the database was asked about a run meanwhile."""
    await mongo.state.command({"profile": 0})
    await mongo.state["system.profile"].drop()
    await mongo.state.command({"profile": 2, "filter": {"appName": "rowdock"}})
    await looks
    await mongo.state.command({"profile": 0, "filter": "unset"})
    asked = await mongo.state["system.profile"].find({}).to_list()
    return [each for each in asked if run_id in str(each["command"])]


@pytest.mark.parametrize("configuration", ["importer_id", "template_id"])
async def test_an_ended_import_is_shown_by_one_small_question(
    acme: Organization, ledger: Ledger, mongo: Mongo, configuration: str
) -> None:
    make = create_importer if configuration == "importer_id" else create_rowporter_template
    data = {configuration: (await make(acme.http))["id"]}
    location = (await acme.http.post("/api/v1/imports", data=data, files={"file": ("p.csv", CSV)})).headers["location"]
    run_id = (await acme.http.get("/imports/runs")).json()["data"][0]["id"]
    assert await ledger.stops.request(run_id, RunStatus.FAILED, "EMPTY_FILE", "the file is empty")
    await ledger.stops.finish(run_id)
    first = await acme.http.get(location)
    assert first.json()["status"] in {"failed", "FAILED"}

    async def look() -> None:
        answers = await asyncio.gather(*(acme.http.get(location) for _ in range(LOOKERS)))
        assert {answer.content for answer in answers} == {first.content}

    # The sweep for what ended runs leave may come by.
    asked = [
        each for each in await commands(mongo, run_id, look()) if each["ns"] != f"{mongo.state.name}.batch_payloads"
    ]
    assert len(asked) == LOOKERS, [str(each["command"])[:300] for each in asked]
    assert {each["ns"] for each in asked} == {f"{mongo.state.name}.runs"}
    assert max(each["responseLength"] for each in asked) < 2_000


async def test_rejected_rows_are_counted_by_one_command_from_the_index(
    acme: Organization, ledger: Ledger, mongo: Mongo
) -> None:
    run_id, record = await completed_with_a_rejected_row(World(acme, ledger, mongo))
    more = [
        {"_id": rejected_id(run_id, row), "tenant_id": acme.id, "run_id": run_id, "row": row, "cells": ["", "A"],
         "errors": [], "state": state, "created_at": datetime.now(UTC)}
        for row, state in enumerate(("discarded", "discarded", "written"), start=2)
    ]  # fmt: skip
    await mongo.state["rejected_records"].insert_many(more)
    await mongo.state["runs"].update_one({"_id": run_id}, {"$inc": {"counts.rejected": 3, "counts.rows": 3}})
    url = f"/imports/runs/{run_id}"
    assert (await acme.http.get(url)).json()["rejected_rows"]["discarded"] == 2

    async def look() -> None:
        shown = (await acme.http.get(url)).json()["rejected_rows"]
        assert (shown["open"], shown["discarded"], shown["retried_written"]) == (1, 2, 1)

    asked = [each for each in await commands(mongo, run_id, look()) if "aggregate" in each["command"]]
    counted = [each["docsExamined"] for each in asked if each["ns"].endswith(".rejected_records")]
    assert counted == [0]
    assert (await acme.http.post(f"/imports/rejected/{record}/discard")).status_code == 200
    assert (await acme.http.get(url)).json()["rejected_rows"]["discarded"] == 3
