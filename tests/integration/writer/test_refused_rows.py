"""Rows that the target refuses by rules of its own: rejected one by one, whatever the others are."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from services.writer.collection_rules import _Rules
from tests.integration.writer.batches import executing, rejections, write, written

pytestmark = pytest.mark.servers
TENANT = "tenant"
FIELDS: list[dict[str, Any]] = [{"name": "sku"}, {"name": "name"}, {"name": "size", "type": "number", "integer": True}]
APPEND: dict[str, Any] = {"fields": FIELDS}
UPSERT: dict[str, Any] = {"fields": FIELDS, "mode": "upsert", "upsert_key": "sku"}
BOTH = pytest.mark.parametrize("template", [APPEND, UPSERT], ids=["append", "upsert"])
SCHEMA: dict[str, Any] = {"$jsonSchema": {"properties": {"name": {"enum": ["old", "new", None]}}}}
CELL = "CELL-4711"


async def held(mongo: Mongo, *records: dict[str, Any]) -> None:
    common = {"tenant_id": TENANT, "is_deleted": False}
    await mongo.target["records"].insert_many([{**common, **record} for record in records])


async def names(mongo: Mongo) -> dict[str, Any]:
    return {record["sku"]: record.get("name") async for record in mongo.target["records"].find()}


@BOTH
async def test_a_row_that_breaks_the_schema_goes_and_the_others_stay(
    mongo: Mongo, ledger: Ledger, template: dict[str, Any]
) -> None:
    schema = {"required": ["size"], "properties": {**SCHEMA["$jsonSchema"]["properties"], "size": {"maximum": 9}}}
    await mongo.target.create_collection("records", validator={"$jsonSchema": schema})
    rows = [
        {"sku": "1", "name": "new", "size": 1},
        {"sku": "2", "name": CELL, "size": 1},
        {"sku": "3", "name": "old", "size": 10},
        {"sku": "4", "name": CELL, "size": 11},
        {"sku": "5", "name": "old", "size": 9},
    ]
    run = await written(mongo, ledger, rows, **template)
    assert run.status is RunStatus.COMPLETED
    assert await names(mongo) == {"1": "new", "5": "old"}
    found = await rejections(mongo, run)
    assert {row: (field, code) for row, (field, code, _) in found.items()} == {
        2: ("name", "TARGET_SCHEMA"),
        3: ("size", "TARGET_SCHEMA"),
        4: ("name", "TARGET_SCHEMA"),
    }
    assert "'records' has a rule of its own for 'name'" in found[2][2]
    assert "it must be one of 'old', 'new', None" in found[2][2]
    assert "it must be at most 9" in found[3][2]
    stored = await mongo.state["rejected_records"].find_one({"run_id": run.id, "row": 4})
    assert stored is not None
    assert [(each["field"], each["column"], each["value"]) for each in stored["errors"]] == [
        ("name", "name", CELL),
        ("size", "size", "11"),
    ]


async def test_updates_and_new_records_of_one_batch(mongo: Mongo, ledger: Ledger) -> None:
    await mongo.target.create_collection("records", validator=SCHEMA)
    await held(mongo, {"sku": "1", "name": "old"}, {"sku": "2", "name": "old"}, {"sku": "3", "name": "new"})
    rows = [
        {"sku": "1", "name": CELL},
        {"sku": "2", "name": "new"},
        {"sku": "3", "name": "new"},
        {"sku": "4", "name": CELL},
        {"sku": "5", "name": "new"},
    ]
    run = await written(mongo, ledger, rows, **UPSERT)
    assert list(await rejections(mongo, run)) == [1, 4]
    assert await names(mongo) == {"1": "old", "2": "new", "3": "new", "5": "new"}
    images = await mongo.state["undo"].find({"run_id": run.id}).to_list()
    assert [image["restore"]["name"] for image in images] == ["old"], "what was only tried leaves no trace"


async def test_a_schema_that_only_warns_rejects_nothing(mongo: Mongo, ledger: Ledger) -> None:
    await mongo.target.create_collection("records", validator=SCHEMA, validationAction="warn")
    await written(mongo, ledger, [{"sku": "1", "name": CELL}], **APPEND)
    assert await names(mongo) == {"1": CELL}


@pytest.mark.parametrize(("level", "rejected"), [("strict", [1, 2]), ("moderate", [2])])
async def test_what_a_moderate_schema_means_the_server_decides(
    mongo: Mongo, ledger: Ledger, level: str, rejected: list[int]
) -> None:
    """A record that broke the rules before they were made may go on breaking them."""
    await held(mongo, {"sku": "1", "name": "before"}, {"sku": "2", "name": "old"})
    await mongo.target.command("collMod", "records", validator=SCHEMA, validationLevel=level)
    run = await written(mongo, ledger, [{"sku": "1", "name": "x"}, {"sku": "2", "name": "x"}], **UPSERT)
    assert list(await rejections(mongo, run)) == rejected


@BOTH
@pytest.mark.parametrize(
    ("index", "field", "good", "message"),
    [([("name", "2dsphere")], "name", None, "(2dsphere)"), ([("sku", "text")], "language", "swedish", "'language'")],
    ids=["places", "texts"],
)
async def test_an_index_that_cannot_take_a_value(
    mongo: Mongo,
    ledger: Ledger,
    template: dict[str, Any],
    index: list[tuple[str, str]],
    field: str,
    good: str | None,
    message: str,
) -> None:
    await mongo.target["records"].create_index(index)
    fields = [{"name": "sku"}, {"name": field}]
    rows = [{"sku": "1", field: good}, {"sku": "2", field: CELL}, {"sku": "3", field: good}]
    run = await written(mongo, ledger, rows, **{**template, "fields": fields})
    found = await rejections(mongo, run)
    assert list(found) == [2]
    assert found[2][1] == "TARGET_REFUSED"
    assert message in found[2][2]
    assert CELL not in found[2][2]


async def test_a_collection_that_takes_nothing_fails_the_run_at_once(mongo: Mongo, ledger: Ledger) -> None:
    await mongo.target.create_collection("records", viewOn="others", pipeline=[])
    run = await write(mongo, ledger, await executing(mongo, ledger, [{"sku": "1"}], **APPEND))
    assert run.status is RunStatus.FAILED
    assert run.stop is not None
    assert (run.stop.code, "'records'" in run.stop.message) == ("TARGET_UNWRITABLE", True)


RANDOM = Random(7)
PATTERNS: dict[str, Sequence[bool]] = {
    "all": [True] * 120,
    "every second": [row % 2 == 0 for row in range(120)],
    "the last": [row == 119 for row in range(120)],
    "the first": [row == 0 for row in range(120)],
    "any": [RANDOM.random() < 0.3 for _ in range(120)],
}


async def transactions(mongo: Mongo) -> int:
    status = await mongo.client.admin.command("serverStatus", repl=0, metrics=0)
    return status["transactions"]["totalStarted"]


@BOTH
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
async def test_however_many_rows_are_refused_few_transactions_find_them(
    mongo: Mongo, ledger: Ledger, template: dict[str, Any], pattern: Sequence[bool]
) -> None:
    await mongo.target.create_collection("records", validator=SCHEMA)
    if template is UPSERT:
        await held(mongo, *({"sku": str(row), "name": "old"} for row in range(0, len(pattern), 3)))
    rows = [{"sku": str(row), "name": CELL if refused else "new"} for row, refused in enumerate(pattern)]
    run = await executing(mongo, ledger, rows, **template)
    before = await transactions(mongo)
    run = await write(mongo, ledger, run)
    assert await transactions(mongo) - before <= 100
    found = await rejections(mongo, run)
    assert list(found) == [row for row, refused in enumerate(pattern, start=1) if refused]
    assert {(field, code) for field, code, _ in found.values()} == {("name", "TARGET_SCHEMA")}
    assert len({message for _, _, message in found.values()}) == 1, "whoever found the row, its owner reads the same"
    assert run.counts is not None
    assert run.counts.written == len(pattern) - sum(pattern)
    for name in await mongo.state.list_collection_names(filter={"name": {"$regex": "^rules_"}}):
        assert await mongo.state[name].count_documents({}) == 0


async def test_many_rows_with_another_fault_are_found_too(mongo: Mongo, ledger: Ledger) -> None:
    await mongo.target["records"].create_index([("name", "2dsphere")])
    rows = [{"sku": str(row), "name": CELL if row % 2 else None} for row in range(120)]
    run = await executing(mongo, ledger, rows, **APPEND)
    before = await transactions(mongo)
    run = await write(mongo, ledger, run)
    assert await transactions(mongo) - before <= 2 * 60 + 20
    assert list(await rejections(mongo, run)) == list(range(2, 121, 2))


@pytest.mark.parametrize("level", ["strict", "moderate"])
async def test_many_updates_of_records_that_break_the_rules_already(mongo: Mongo, ledger: Ledger, level: str) -> None:
    await held(mongo, *({"sku": str(row), "name": "before" if row % 2 else "old"} for row in range(120)))
    await mongo.target.command("collMod", "records", validator=SCHEMA, validationLevel=level)
    run = await written(mongo, ledger, [{"sku": str(row), "name": CELL} for row in range(120)], **UPSERT)
    refused = range(1, 121) if level == "strict" else range(1, 121, 2)
    assert list(await rejections(mongo, run)) == list(refused)


async def test_rules_that_compare_by_a_language(mongo: Mongo, ledger: Ledger) -> None:
    """The validator compares by the collation of its collection."""
    swedish = {"locale": "sv", "strength": 1}
    await mongo.target.create_collection("records", validator={"name": {"$in": ["NEW"]}}, collation=swedish)
    rows = [{"sku": str(row), "name": "new" if row % 4 == 0 else CELL} for row in range(120)]
    run = await written(mongo, ledger, rows, **APPEND)
    assert run.counts is not None
    assert run.counts.written == 30


async def test_without_the_right_to_ask_the_rules_rows_are_tried_one_by_one(mongo: Mongo, ledger: Ledger) -> None:
    """Here the name of the collection with the rules is taken by a view, into which nothing can be inserted."""
    await mongo.target.create_collection("records", validator=SCHEMA)
    rules = _Rules(SCHEMA, None, moderate=False)
    await mongo.state.create_collection(rules.name, viewOn="nothing", pipeline=[])
    run = await written(mongo, ledger, [{"sku": str(row), "name": CELL} for row in range(40)], **APPEND)
    found = await rejections(mongo, run)
    assert list(found) == list(range(1, 41))
    assert all("'old'" in message for _, _, message in found.values())


async def test_large_rules_and_large_values_are_told_in_several_answers(mongo: Mongo, ledger: Ledger) -> None:
    """The server drops the connection rather than answer with more than 16 MiB."""
    allowed = [f"{'v' * 1_000}{number}" for number in range(400)]
    schema = {"properties": {"name": {"enum": allowed}}}
    await mongo.target.create_collection("records", validator={"$jsonSchema": schema})
    rows = [{"sku": str(row), "name": CELL * (40_000 if row % 50 == 0 else 1)} for row in range(150)]
    run = await written(mongo, ledger, rows, **APPEND)
    assert run.counts is not None
    assert run.counts.rejected == 150
