"""Which values the target holds already, asked of a real server."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from bson import Decimal128, Int64

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import FieldType, ImportMode, Template, TemplateField, Unique
from libs.storage.client import Mongo
from libs.storage.unique_keys import KEY_TYPES
from services.validator import target_lookup
from services.validator.domain.checking import check_batch
from services.validator.domain.compilation import compile_template
from services.validator.target_lookup import TargetLookup

pytestmark = pytest.mark.servers
TENANT = "tenant"
AGAINST = (Unique(against_target=True),)
DAY = datetime(2024, 3, 31, tzinfo=UTC)


async def held(mongo: Mongo, *records: dict[str, Any]) -> None:
    common = {"tenant_id": TENANT, "is_deleted": False}
    await mongo.target["records"].insert_many([{**common, **record} for record in records])


async def found(
    mongo: Mongo, *rows: tuple[str | None, ...], fields: tuple[TemplateField, ...], **more: object
) -> dict[str, list[int]]:
    """Per question, the rows that the target holds already."""
    template = Template(name="t", target_resource="records", fields=fields, **more)
    plan = ParsePlan(mapping={field.name: at for at, field in enumerate(fields)})
    compiled = compile_template(template, plan)
    cells = {f"c{at}": pa.array([row[at] for row in rows], pa.string()) for at in range(len(fields))}
    parsed = pa.table({"_row": pa.array(range(1, len(rows) + 1), pa.uint32()), **cells})
    valid = check_batch(compiled, parsed).valid
    lookup = TargetLookup(mongo)
    answer = await lookup.rows_in_target(compiled, TENANT, valid)
    assert list(answer) == lookup.constraints(compiled)
    return {name: some.tolist() for name, some in answer.items()}


@pytest.mark.parametrize(
    ("kind", "value", "cell", "is_held"),
    [
        ({}, "a", "a", True),
        ({}, "a", "A", False),
        ({}, "a", "a ", False),
        ({}, "", "", False),
        ({}, None, "", False),
        ({}, ["a", "b"], "a", False),
        ({}, {"$gt": ""}, '{"$gt": ""}', False),
        ({}, '{"$gt": ""}', '{"$gt": ""}', True),
        ({}, "$where", "$where", True),
        ({}, "a\0b", "a\0b", True),
        ({"type": "number"}, 1, "1.0", True),
        ({"type": "number"}, 1.0, "1", True),
        ({"type": "number"}, Decimal128("1.50"), "1.5", True),
        ({"type": "number"}, Int64(2**53 + 1), "9007199254740992", False),
        ({"type": "number"}, Decimal128("12345678901234567890.5"), "12345678901234567890.50", True),
        ({"type": "number"}, "1", "1", False),
        ({"type": "number"}, True, "1", False),
        ({"type": "number", "decimals": 2}, 1.5, "1.50", True),
        ({"type": "number", "integer": True}, Decimal128("7"), "7", True),
        ({"type": "date"}, DAY, "2024-03-31", True),
        ({"type": "date"}, DAY, "2024-03-31T02:00+02:00", True),
        ({"type": "date"}, DAY, "2024-03-30", False),
        ({"type": "boolean"}, True, "ja", True),
        ({"type": "boolean"}, 1, "ja", False),
    ],
    ids=str,
)
async def test_values_are_compared_as_the_server_compares_them(
    mongo: Mongo, kind: dict[str, Any], value: object, cell: str, is_held: bool
) -> None:
    await held(mongo, {"v": value})
    rows = await found(mongo, (cell,), fields=(TemplateField(name="v", rules=AGAINST, **kind),))
    assert rows == {"v": [1] if is_held else []}


async def test_only_live_records_of_the_tenant_count(mongo: Mongo) -> None:
    await held(mongo, {"v": "deleted", "is_deleted": True}, {"v": "foreign", "tenant_id": "other"}, {"v": "live"})
    cells = [("deleted",), ("foreign",), ("live",), ("new",), (None,), ("live",)]
    assert await found(mongo, *cells, fields=(TemplateField(name="v", rules=AGAINST),)) == {"v": [3, 6]}


@pytest.mark.parametrize("mode", [ImportMode.UPSERT, ImportMode.UPDATE])
async def test_the_record_that_the_row_updates_does_not_count(mongo: Mongo, mode: ImportMode) -> None:
    await held(
        mongo,
        {"k": 1, "mail": "one"},
        {"k": Decimal128("2"), "mail": "two"},
        {"k": 3, "mail": "several"},
        {"k": 4, "mail": "several"},
        {"mail": "keyless"},
        {"k": 6, "mail": "keyless"},
    )
    fields = (
        TemplateField(name="k", type=FieldType.NUMBER, rules=AGAINST),
        TemplateField(name="mail", rules=AGAINST),
    )
    rows = [("1", "one"), ("2", "two"), ("1", "two"), ("3", "several"), ("9", "one"), ("6", "keyless"), ("9", "new")]
    assert await found(mongo, *rows, fields=fields, mode=mode, upsert_key="k") == {"mail": [3, 4, 5, 6]}
    assert await found(mongo, *rows[:2], fields=fields) == {"k": [1, 2], "mail": [1, 2]}


async def test_combinations_are_held_only_as_a_whole(mongo: Mongo) -> None:
    await held(mongo, {"a": "x", "b": 1}, {"a": "y", "b": 2}, {"a": "z"}, {"a": ["x"], "b": 3})
    fields = (
        TemplateField(name="a", rules=(Unique(fields=("b",), against_target=True),)),
        TemplateField(name="b", type=FieldType.NUMBER),
    )
    rows = [("x", "1"), ("x", "2"), ("y", "2.0"), ("y", "1"), ("z", ""), ("", "1"), ("x", "3")]
    assert await found(mongo, *rows, fields=fields) == {"a+b": [1, 3]}


async def test_many_and_large_values_are_asked_in_several_queries(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target_lookup, "VALUES_PER_QUERY", 7)
    monkeypatch.setattr(target_lookup, "BYTES_PER_QUERY", 1_000)
    values = [f"{at:04d}" + "x" * (at % 5 * 100) for at in range(100)]
    await held(mongo, *({"v": value} for value in values[::3]))
    rows = await found(mongo, *((value,) for value in values), fields=(TemplateField(name="v", rules=AGAINST),))
    assert rows == {"v": list(range(1, 101, 3))}


async def test_a_value_that_countless_records_hold_is_one_answer(mongo: Mongo) -> None:
    await held(mongo, *({"k": at, "v": "x"} for at in range(2_000)))
    fields = (TemplateField(name="k", type=FieldType.NUMBER), TemplateField(name="v", rules=AGAINST))
    rows = [("5", "x"), ("5", "y")]
    assert await found(mongo, *rows, fields=fields, mode="upsert", upsert_key="k") == {"v": [1]}


async def test_the_unique_index_is_used(mongo: Mongo) -> None:
    live = {"is_deleted": False, "v": {"$type": KEY_TYPES}}
    await mongo.target["records"].create_index([("tenant_id", 1), ("v", 1)], unique=True, partialFilterExpression=live)
    await held(mongo, *({"v": f"v{at}"} for at in range(300)))
    await mongo.target.command("profile", 2)
    await found(mongo, ("v1",), ("new",), fields=(TemplateField(name="v", rules=AGAINST),))
    await mongo.target.command("profile", 0)
    asked = await mongo.target["system.profile"].find_one({"command.aggregate": "records"})
    assert asked is not None
    assert asked["planSummary"].startswith("IXSCAN { tenant_id: 1, v: 1 }")
    assert asked["docsExamined"] <= 1
