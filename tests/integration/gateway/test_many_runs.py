"""Lists of an organization with thousands of runs: what is not shown is not read."""

from typing import Any

import pytest
from bson import ObjectId

from libs.storage.client import Document, Mongo
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import create_rowporter_template, submit

pytestmark = pytest.mark.servers

MANY, FEW, LIMIT = 3_000, 5, 20


async def profiled(mongo: Mongo, acme: Organization, path: str, **query: Any) -> tuple[Document, list[Document]]:  # noqa: ANN401 - parameters of the query
    """The answer, and what was asked of the runs for it."""
    await mongo.state.command({"profile": 0})
    await mongo.state["system.profile"].drop()
    await mongo.state.command({"profile": 2})
    try:
        answer = await acme.http.get(path, params={"limit": LIMIT, **query})
    finally:
        await mongo.state.command({"profile": 0})
    assert answer.status_code == 200, answer.text
    asked = mongo.state["system.profile"].find({"ns": f"{mongo.state.name}.runs", "planSummary": {"$exists": True}})
    return answer.json(), [each async for each in asked if acme.id in str(each["command"])]


async def test_rare_runs_of_a_template_are_found_without_the_others(acme: Organization, mongo: Mongo) -> None:
    template = (await create_rowporter_template(acme.http))["id"].removeprefix("tpl_")
    run: Any = await mongo.state["runs"].find_one({"_id": await submit(acme.http)})
    for vocabulary, template_id in (("engine", run["template_id"]), ("rowporter", template)):
        made = [(template_id, "completed")] * MANY + [(template_id, "failed")] * FEW + [("f" * 24, "failed")] * MANY
        copies = [
            {**run, "_id": str(ObjectId()), "vocabulary": vocabulary, "template_id": owner, "status": status}
            for owner, status in made
        ]
        await mongo.state["runs"].insert_many(copies)

    engine, asked = await profiled(mongo, acme, "/imports/runs", template_id=run["template_id"], status="failed")
    assert [each["status"] for each in engine["data"]] == ["failed"] * FEW
    assert asked
    assert sum(each["docsExamined"] + each["keysExamined"] for each in asked) <= 4 * FEW, asked

    rowporter, asked = await profiled(mongo, acme, "/api/v1/imports", templateId=f"tpl_{template}", status="FAILED")
    assert rowporter["pagination"]["total"] == FEW
    assert [each["status"] for each in rowporter["data"]] == ["FAILED"] * FEW
    assert sum(each["docsExamined"] for each in asked) <= 4 * FEW, asked
    assert max(each["keysExamined"] for each in asked) <= 4 * FEW, asked
    await mongo.state["runs"].delete_many({"tenant_id": acme.id})
