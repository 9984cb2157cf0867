"""Which values the target holds already, asked of a real server."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from bson import Decimal128, Int64

from libs.contracts.errors import PermanentError
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import FieldType, ImportMode, Template, TemplateField, Unique
from libs.storage.client import Mongo
from libs.storage.target_keys import TargetKeys
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
    mongo: Mongo,
    *rows: tuple[str | None, ...],
    fields: tuple[TemplateField, ...],
    registering: bool = True,
    **more: object,
) -> dict[str, list[int]]:
    """Per question, the rows that the target holds already."""
    template = Template(name="t", target_resource="records", fields=fields, **more)
    plan = ParsePlan(mapping={field.name: at for at, field in enumerate(fields)})
    compiled = compile_template(template, plan)
    cells = {f"c{at}": pa.array([row[at] for row in rows], pa.string()) for at in range(len(fields))}
    parsed = pa.table({"_row": pa.array(range(1, len(rows) + 1), pa.uint32()), **cells})
    valid = check_batch(compiled, parsed).valid
    lookup = TargetLookup(mongo)
    keys = await lookup.keys(compiled, TENANT, registering=registering)
    answer = await lookup.rows_in_target(compiled, TENANT, keys, valid)
    assert list(answer) == lookup.constraints(compiled)
    return {name: some.tolist() for name, some in answer.items()}


@pytest.mark.parametrize(
    ("kind", "value", "cell", "is_held"),
    [
        ({}, "a", "a", True),
        ({}, "a", "A", False),
        ({}, "a", "a ", True),
        ({}, "a\u00a0", "a", True),
        ({}, "Que\u0301bec", "Québec", True),
        ({}, "Québec", "Que\u0301bec", True),
        ({}, "00042", "42", False),
        ({"type": "email"}, "a@X.com", "mailto:a@x.COM", True),
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


@pytest.mark.parametrize(
    ("mode", "held_rows"), [(ImportMode.UPSERT, [3, 4, 5]), (ImportMode.UPDATE, [3, 5])], ids=["upsert", "update"]
)
async def test_the_record_that_the_row_updates_does_not_count(
    mongo: Mongo, mode: ImportMode, held_rows: list[int]
) -> None:
    """Row 4 has a key that no record has: an update does not write it, so it need not be free."""
    await TargetKeys(mongo).register(TENANT, "records", [("k",), ("mail",)])
    await held(mongo, {"k": 1, "mail": "one"}, {"k": Decimal128("2"), "mail": "two"}, {"mail": "keyless"}, {"k": 6})
    fields = (
        TemplateField(name="k", type=FieldType.NUMBER, rules=AGAINST),
        TemplateField(name="mail", rules=AGAINST),
    )
    rows = [("1", "one"), ("2", "two"), ("1", "two"), ("9", "one"), ("6", "keyless"), ("9", "new")]
    assert await found(mongo, *rows, fields=fields, mode=mode, upsert_key="k") == {"mail": held_rows}
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


async def test_what_others_have_more_than_once_is_held_by_the_first(mongo: Mongo) -> None:
    """They need not ask whether a value is taken; the records stay as they are."""
    await TargetKeys(mongo).register(TENANT, "records", [("v",)])
    await mongo.target["records"].insert_one({"tenant_id": TENANT, "is_deleted": False, "k": 0, "v": "x"})
    fields = (TemplateField(name="k", type=FieldType.NUMBER), TemplateField(name="v", rules=AGAINST))
    rows = [("0", "x"), ("5", "x"), ("5", "y")]
    assert await found(mongo, *rows, fields=fields, mode="upsert", upsert_key="k") == {"v": [2]}
    await held(mongo, *({"k": at, "v": "x"} for at in range(1, 1_500)))
    assert await found(mongo, *rows, fields=fields, mode="upsert", upsert_key="k") == {"v": [2]}
    assert await mongo.target["records"].count_documents({"_keys": None}) == 0


async def test_records_that_break_the_key_already_fail_the_run(mongo: Mongo) -> None:
    await held(mongo, {"v": "x"}, {"v": "x"})
    with pytest.raises(PermanentError, match="'v'") as failed:
        await found(mongo, ("y",), fields=(TemplateField(name="v", rules=AGAINST),))
    assert failed.value.code == "KEYS_NOT_UNIQUE"


async def test_a_file_that_is_only_tried_binds_nothing_and_finds_the_same(mongo: Mongo) -> None:
    """Also where records hold the values more than once, and some of another field only."""
    both = TemplateField(name="v", rules=(Unique(fields=("k",), against_target=True),))
    fields = (TemplateField(name="k"), both)
    await held(mongo, {"k": "1", "v": "x"}, {"k": "1", "v": "x"}, {"k": "2", "v": "y"}, {"k": ["3"], "v": "z"})
    rows = [("1", "x"), ("2", "x"), ("1", "y"), ("2", "y"), ("3", "z"), ("9", "9")]
    assert await found(mongo, *rows, fields=fields, registering=False) == {"v+k": [1, 4]}
    keyed = {"mode": "upsert", "upsert_key": "k"}
    assert await found(
        mongo, *rows, fields=(fields[0], TemplateField(name="v", rules=AGAINST)), registering=False, **keyed
    ) == {"v": [2, 3, 5]}
    assert await mongo.state["target_keys"].count_documents({}) == 0
    assert await mongo.target["records"].count_documents({"_keys": {"$ne": None}}) == 0


async def test_a_check_makes_no_collection(mongo: Mongo) -> None:
    assert await found(mongo, ("y",), fields=(TemplateField(name="v", rules=AGAINST),)) == {"v": []}
    assert await mongo.target.list_collection_names() == []


async def test_a_record_whose_entry_is_out_of_date_holds_what_it_says(mongo: Mongo) -> None:
    """Another application has changed the field and left the entry."""
    fields = (TemplateField(name="v", rules=AGAINST),)
    await held(mongo, {"v": "before"})
    assert await found(mongo, ("before",), fields=fields) == {"v": [1]}
    await mongo.target["records"].update_one({}, {"$set": {"v": "after"}})
    assert await found(mongo, ("before",), fields=fields) == {"v": []}


async def test_the_index_of_the_keys_is_used(mongo: Mongo) -> None:
    fields = (TemplateField(name="v", rules=AGAINST),)
    await held(mongo, *({"v": f"v{at}"} for at in range(300)))
    await found(mongo, ("new",), fields=fields)
    await mongo.target.command("profile", 2)
    await found(mongo, ("v1",), ("new",), fields=fields)
    await mongo.target.command("profile", 0)
    asked = await mongo.target["system.profile"].find_one(
        {"command.find": "records", "command.filter._keys.$elemMatch": {"$exists": True}}
    )
    assert asked is not None
    assert asked["planSummary"].startswith("IXSCAN { _keys.s: 1, _keys.a: 1")
    assert asked["docsExamined"] <= 1
