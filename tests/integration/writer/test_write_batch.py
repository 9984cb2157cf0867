"""A whole batch, as the writer writes it, on a real server: what it refuses, and what it never may."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128

from libs.contracts.errors import TransientError
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.documents import RunDocument
from tests.integration.ledger.runs import collections
from tests.integration.writer.batches import (
    FIELDS,
    TENANT,
    UPSERT,
    executing,
    held,
    rejections,
    unique,
    write,
    write_batch,
    written,
)
from tests.unit.writer.messages import exists, held_by

pytestmark = pytest.mark.servers
APPEND: dict[str, Any] = {"fields": FIELDS}
BOTH = pytest.mark.parametrize("template", [APPEND, UPSERT], ids=["append", "upsert"])


async def stored(mongo: Mongo, field: str) -> Sequence[Any]:
    records = await mongo.target["records"].find({"_import": {"$exists": True}}, sort=[("_import.row", 1)]).to_list()
    return [record[field] for record in records]


@BOTH
async def test_a_second_index(mongo: Mongo, ledger: Ledger, template: dict[str, Any]) -> None:
    await unique(mongo, "sku")
    await unique(mongo, "phone")
    await held(mongo, {"sku": "x", "phone": "5"})
    rows = [
        {"sku": "a", "phone": "5"},
        {"sku": "b", "phone": "6"},
        {"sku": "c"},
        {"sku": "d"},
        {"sku": "e", "phone": "6"},
    ]
    run = await written(mongo, ledger, rows, **template)
    assert await rejections(mongo, run) == {
        1: ("phone", "DUPLICATE_KEY", exists("phone '5'")),
        5: ("phone", "DUPLICATE_KEY", held_by(2, "phone '6'")),
    }
    assert await stored(mongo, "sku") == ["b", "c", "d"]


@BOTH
async def test_an_index_of_several_fields(mongo: Mongo, ledger: Ledger, template: dict[str, Any]) -> None:
    await unique(mongo, "country", "number")
    await held(
        mongo,
        {"sku": "x", "country": "SE", "number": 1},
        {"sku": "y", "country": "SE", "number": 2.5},
        {"sku": "z", "country": "NO", "number": Decimal128("2.50"), "is_deleted": True},
        {"sku": "w", "country": "FI", "number": Decimal128("2.50"), "tenant_id": "another"},
    )
    pairs: list[tuple[str | None, str | None]] = [
        ("SE", "1.0"),
        ("SE", "2.5"),
        ("NO", "2.5"),
        ("NO", "2.5"),
        ("FI", "2.5"),
        ("SE", None),
        ("SE", None),
        (None, "1.0"),
    ]
    rows = [
        {"sku": str(number), "country": country, "number": None if amount is None else Decimal(amount)}
        for number, (country, amount) in enumerate(pairs)
    ]
    run = await written(mongo, ledger, rows, **template)
    assert await rejections(mongo, run) == {
        1: ("country", "DUPLICATE_KEY", exists("country 'SE' and number 1.0")),
        2: ("country", "DUPLICATE_KEY", exists("country 'SE' and number 2.5")),
        4: ("country", "DUPLICATE_KEY", held_by(3, "country 'NO' and number 2.5")),
    }


@BOTH
async def test_one_conflict_after_another(mongo: Mongo, ledger: Ledger, template: dict[str, Any]) -> None:
    """Row 3 may have the phone, for row 1, which had it first, has the pair of another record."""
    await unique(mongo, "sku")
    await unique(mongo, "phone")
    await unique(mongo, "country", "number")
    await held(mongo, {"sku": "x", "country": "SE", "number": 1}, {"sku": "y", "phone": "9"})
    rows: list[dict[str, Any]] = [
        {"sku": "a", "phone": "5", "country": "SE", "number": Decimal(1)},
        {"sku": "b", "phone": "9"},
        {"sku": "c", "phone": "5"},
        {"sku": "d", "phone": "5"},
    ]
    run = await written(mongo, ledger, rows, **template)
    assert {row: error[0] for row, error in (await rejections(mongo, run)).items()} == {
        1: "country",
        2: "phone",
        4: "phone",
    }
    assert await stored(mongo, "sku") == ["c"]


async def test_updates_conflict_too(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await unique(mongo, "phone")
    await held(mongo, {"sku": "a", "phone": "1"}, {"sku": "b", "phone": "2"}, {"sku": "c", "phone": "3"})
    rows = [
        {"sku": "a", "phone": "2"},
        {"sku": "b", "phone": "2"},
        {"sku": "c", "phone": "4"},
        {"sku": "d", "phone": "3"},
    ]
    run = await written(mongo, ledger, rows, **UPSERT)
    assert await rejections(mongo, run) == {
        1: ("phone", "DUPLICATE_KEY", exists("phone '2'")),
        4: ("phone", "DUPLICATE_KEY", exists("phone '3'")),
    }
    phones = {record["sku"]: record["phone"] async for record in mongo.target["records"].find()}
    assert phones == {"a": "1", "b": "2", "c": "4"}


async def test_the_upsert_key_of_another_template_binds_an_append(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "sku")
    await held(mongo, {"sku": "a"})
    run = await written(mongo, ledger, [{"sku": "a"}, {"sku": "b"}], fields=FIELDS, upsert_key="sku")
    assert await rejections(mongo, run) == {1: ("sku", "DUPLICATE_KEY", exists("sku 'a'"))}


@BOTH
@pytest.mark.parametrize(
    ("keys", "options", "records", "rejected", "message"),
    [
        (["owner"], {}, [{"owner": None}], [1, 2, 3], "no second record with owner None"),
        (["owner"], {}, [], [2, 3], "no second record with owner None"),
        (["tenant_id"], {}, [{}], [1, 2, 3], "no second record"),
        (
            ["phone"],
            {"collation": {"locale": "en", "strength": 2}},
            [{"phone": "B"}],
            [2],
            "no second record with phone",
        ),
        (["phone"], {"sparse": True}, [{"phone": "b", "tenant_id": "another"}], [2], "no second record with phone 'b'"),
        (["tenant_id", "phone"], {}, [{"phone": "b", "is_deleted": True}], [2], "no second record with phone 'b'"),
        (["tenant_id", "phone"], {}, [{"phone": ["b", "z"]}], [2], "no second record with phone 'b'"),
        (["_import.version"], {}, [], [2, 3], "no second record with _import.version"),
    ],
    ids=[
        "unknown field, held",
        "unknown field, free",
        "tenant only",
        "collation",
        "of all tenants",
        "of deleted records",
        "held in a list",
        "path",
    ],
)
async def test_an_index_that_rowdock_did_not_make(
    mongo: Mongo,
    ledger: Ledger,
    template: dict[str, Any],
    keys: list[str],
    options: dict[str, Any],
    records: list[dict[str, Any]],
    rejected: list[int],
    message: str,
) -> None:
    await mongo.target["records"].create_index([(key, 1) for key in keys], unique=True, **options)
    if records:
        await held(mongo, *records)
    rows = [{"sku": "1", "phone": "a"}, {"sku": "2", "phone": "b"}, {"sku": "3", "phone": "c"}]
    run = await written(mongo, ledger, rows, **template)
    found = await rejections(mongo, run)
    assert list(found) == rejected
    assert all(code == "DUPLICATE_KEY" and message in text for _, code, text in found.values())


async def test_a_key_that_is_held_in_a_list(mongo: Mongo, ledger: Ledger) -> None:
    """A list is no key and equals none of its elements."""
    await unique(mongo, "sku")
    await held(mongo, {"sku": ["a", "z"]})
    await written(mongo, ledger, [{"sku": "a"}, {"sku": "b"}], **UPSERT)
    assert await stored(mongo, "sku") == ["a", "b"]


async def test_a_record_that_was_written_already_is_no_fault_of_the_row(mongo: Mongo, ledger: Ledger) -> None:
    """Its ``_id`` is that of run and row: the ledger would be wrong. The run fails instead of rejecting the row."""
    run = await executing(mongo, ledger, [{"sku": "a"}], **APPEND)
    await write(mongo, ledger, run)
    await collections(ledger).batches.update_one({"run_id": run.id}, {"$set": {"state": "validated"}})
    await collections(ledger).runs.update_one({"_id": run.id}, {"$set": {"status": "executing"}})
    for _ in range(2):
        with pytest.raises(TransientError, match="row 1"):
            await write(mongo, ledger, run, max_attempts=2)
    assert (await write(mongo, ledger, run, max_attempts=2)).status is RunStatus.FAILED


async def test_a_rejected_row_carries_no_warning(mongo: Mongo, ledger: Ledger) -> None:
    await unique(mongo, "phone")
    warnings = [{"field": "number", "code": "NOT_A_NUMBER", "message": "no number"}]
    rows = [{"sku": str(number), "phone": "5", "_warnings": warnings} for number in range(3)]
    run = await written(mongo, ledger, rows, invalid_rows="keep", **APPEND)
    assert run.counts is not None
    assert (run.counts.written, run.counts.rejected, run.counts.warnings) == (1, 2, 1)


@BOTH
async def test_a_record_greater_than_16_mib(mongo: Mongo, ledger: Ledger, template: dict[str, Any]) -> None:
    """A row is at most 4 MiB, but transforms and default values lengthen it."""
    large = "x" * 17 * 2**20
    rows = [{"sku": "a"}, {"sku": "b", "phone": large}, {"sku": "c", "country": large}, {"sku": "d"}]
    run = await written(mongo, ledger, rows, **template)
    assert {row: error[:2] for row, error in (await rejections(mongo, run)).items()} == {
        2: (None, "RECORD_TOO_LARGE"),
        3: (None, "RECORD_TOO_LARGE"),
    }
    assert await stored(mongo, "sku") == ["a", "d"]


@pytest.mark.parametrize("mib", [10, 17, 60], ids=["the record after it", "the update itself", "a message"])
async def test_an_update_beyond_16_mib(mongo: Mongo, ledger: Ledger, mib: int) -> None:
    await held(mongo, {"sku": "a", "note": "x" * 10 * 2**20}, {"sku": "b"})
    rows = [{"sku": "b", "phone": "1"}, {"sku": "a", "phone": "x" * mib * 2**20}]
    run = await written(mongo, ledger, rows, **UPSERT)
    assert {row: error[:2] for row, error in (await rejections(mongo, run)).items()} == {2: (None, "RECORD_TOO_LARGE")}
    assert await mongo.target["records"].count_documents({"phone": "1"}) == 1


@BOTH
async def test_a_batch_of_more_than_48_mb(mongo: Mongo, ledger: Ledger, template: dict[str, Any]) -> None:
    """More than a command and more than a message can hold."""
    rows = [{"sku": str(number), "phone": f"{number}" + "x" * 2**20} for number in range(60)]
    run = await written(mongo, ledger, rows, **template)
    assert run.counts is not None
    assert run.counts.created == 60


async def test_an_upsert_by_exact_number(mongo: Mongo, ledger: Ledger) -> None:
    """The server finds equal numbers of any type, and the plan takes them for equal too."""
    fields = [{"name": "price", "type": "number", "decimals": 2}, {"name": "name"}]
    template: dict[str, Any] = {"fields": fields, "mode": "upsert", "upsert_key": "price"}
    await unique(mongo, "price")
    await held(
        mongo,
        {"price": 1.5, "name": "double"},
        {"price": 12, "name": "integer"},
        {"price": Decimal128("7.500"), "name": "decimal"},
        {"price": 0.1, "name": "not exactly"},
    )
    rows = [{"price": Decimal(price), "name": "file"} for price in ("1.50", "12.00", "7.50", "0.10", "3.00")]
    run = await written(mongo, ledger, rows, **template)
    assert run.counts is not None
    assert (run.counts.updated, run.counts.created) == (3, 2)
    again = await written(mongo, ledger, rows, **template)
    assert again.counts is not None
    assert again.counts.skip_reasons == {"UNCHANGED": 5}
    prices = [record["price"] async for record in mongo.target["records"].find({"name": "file"}).sort("price")]
    assert prices == [Decimal128("0.10"), 1.5, Decimal128("3.00"), Decimal128("7.500"), 12]


async def test_hostile_headers_in_insert_and_update(mongo: Mongo, ledger: Ledger) -> None:
    headers = ["$where", "a.b", "", "_id", "__proto__", "constructor", "tenant_id"]
    keys = ["\uff04where", "a\uff0eb", "column_7", "_id", "__proto___", "constructor_", "tenant_id"]
    template = {**UPSERT, "include_unmatched_columns": True}
    await unique(mongo, "sku")
    await held(mongo, {"sku": "b", "extra": {"old": "kept", "_id": "0"}}, {"sku": "c"})
    values = {key: f"value {number}" for number, key in enumerate(keys)}
    rows = [{"sku": sku, "extra": values, "_more": {"$set": "x"}} for sku in "abc"]
    run = await written(mongo, ledger, rows, headers, **template)
    assert run.counts is not None
    assert (run.counts.created, run.counts.updated) == (1, 2)
    new = {**values, "\uff04set": "x"}
    extras = {record["sku"]: record async for record in mongo.target["records"].find()}
    assert extras["a"]["extra"] == extras["c"]["extra"] == new
    assert extras["b"]["extra"] == {**new, "old": "kept"}
    assert {record["tenant_id"] for record in extras.values()} == {TENANT}
    assert (
        await mongo.target["records"].count_documents({"extra.a\uff0eb": "value 1", "extra.\uff04where": "value 0"})
        == 3
    )
    images = await mongo.state["undo"].find({"run_id": run.id}, sort=[("record_id", 1)]).to_list()
    assert [image["restore"].get("extra") for image in images] == [{"old": "kept", "_id": "0"}, None]
    assert ["extra" in image["remove"] for image in images] == [False, True]
    again = await written(mongo, ledger, rows, headers, **template)
    assert again.counts is not None
    assert again.counts.skip_reasons == {"UNCHANGED": 3}


async def test_a_run_that_cannot_be_read_fails_with_its_reason(mongo: Mongo, ledger: Ledger) -> None:
    run = await executing(mongo, ledger, [{"sku": "a"}], **APPEND)
    newer = {"$set": {"template.fields.0.rules": [{"type": "palindrome"}]}}
    await mongo.state["runs"].update_one({"_id": run.id}, newer)
    await write_batch(mongo, ledger, run, 3)
    failed = await mongo.state["runs"].find_one({"_id": run.id})
    assert failed is not None
    assert (failed["status"], failed["failure"]["code"]) == ("failed", "UNREADABLE_DOCUMENT")
    assert await mongo.target["records"].count_documents({}) == 0


async def test_two_runs_create_the_same_keys_at_once(mongo: Mongo, ledger: Ledger) -> None:
    """Whoever comes second finds the records of the first, after a conflict or instead of one."""
    await unique(mongo, "sku")
    rows = [{"sku": str(number), "phone": "1"} for number in range(300)]
    runs = [await executing(mongo, ledger, rows, **UPSERT) for _ in range(3)]

    async def persistently(run: RunDocument) -> RunDocument:
        """As the consumer does: what is transient is tried again."""
        for _ in range(5):
            try:
                return await write(mongo, ledger, run, max_attempts=5)
            except TransientError:
                continue
        return await write(mongo, ledger, run, max_attempts=5)

    ended = await asyncio.gather(*map(persistently, runs))
    assert [run.status for run in ended] == [RunStatus.COMPLETED] * 3
    counts = [run.counts for run in ended if run.counts is not None]
    assert sum(each.created for each in counts) == 300
    assert sum(each.skipped for each in counts) == 600
    assert await mongo.target["records"].count_documents({}) == 300


async def test_a_thousand_conflicts_of_several_fields(mongo: Mongo, ledger: Ledger) -> None:
    """Found by their index, without reading records that share only one of the fields."""
    await unique(mongo, "country", "number")
    await held(mongo, *({"country": "SE", "number": number} for number in range(10_000)))
    rows = [{"country": "SE", "number": Decimal(number)} for number in range(8_002, 10_002, 2)]
    await mongo.target.command("profile", 2)
    run = await written(mongo, ledger, rows, **APPEND)
    await mongo.target.command("profile", 0)
    assert run.counts is not None
    assert (run.counts.rejected, run.counts.created) == (999, 1)
    of_keys = {"op": "query", "command.filter._keys.$elemMatch": {"$exists": True}}
    looked_up = await mongo.target["system.profile"].find(of_keys).to_list()
    assert sum(query["docsExamined"] for query in looked_up) == 999
    assert sum(query["keysExamined"] for query in looked_up) <= 2 * 1_000
