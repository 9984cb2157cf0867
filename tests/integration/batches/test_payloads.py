"""Rows of a batch, to MongoDB and back, exactly."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from libs.batches.payloads import BatchPayloads, Payload, PayloadKind
from libs.batches.tables import decode_table, encode_table
from libs.contracts.errors import PermanentError
from libs.contracts.plan import RowIssue
from libs.storage.client import Mongo

pytestmark = pytest.mark.servers
PARSED = pa.table(
    {
        "_row": pa.array([1, 2, 4], pa.uint32()),
        "c0": pa.array(["007", "", None], pa.string()),
        "c1": pa.array(["naïve \U0001f600", "line\nbreak", "\0"], pa.string()),
    }
)
VALID = pa.table(
    {
        "_row": pa.array([1, 2**32 - 1], pa.uint32()),
        "text": pa.array(["x", None], pa.string()),
        "flag": pa.array([True, None], pa.bool_()),
        "at": pa.array([datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC), None], pa.timestamp("ms", tz="UTC")),
        "number": pa.array([0.1, None], pa.float64()),
        "_int_number": pa.array([None, -(2**63)], pa.int64()),
    }
)


def payload(kind: PayloadKind, table: pa.Table, issues: tuple[RowIssue, ...] = (), run_id: str = "r") -> Payload:
    return Payload(f"{run_id}:b", run_id, kind, encode_table(table), issues)


async def insert(mongo: Mongo, *payloads: Payload) -> BatchPayloads:
    store = BatchPayloads(mongo)
    await mongo.transaction(lambda session: store.insert(session, payloads))
    return store


@pytest.mark.parametrize("table", [PARSED, VALID, PARSED.slice(1, 1), PARSED.slice(0, 0)])
async def test_rows_come_back_as_they_were(mongo: Mongo, table: pa.Table) -> None:
    stored = payload(PayloadKind.PARSED, table)
    found = await (await insert(mongo, stored)).load("r:b", PayloadKind.PARSED)
    assert found == stored
    read = decode_table(found.data)
    assert read.schema == table.schema
    assert read.to_pylist() == table.to_pylist()


async def test_a_table_of_many_pieces_is_one_table() -> None:
    pieces = pa.concat_tables([PARSED, PARSED.slice(1)])
    assert decode_table(encode_table(pieces)).to_pylist() == pieces.to_pylist()


async def test_row_issues_come_with_the_rows(mongo: Mongo) -> None:
    issues = (
        RowIssue(row=3, code="EXTRA_CELLS", message="too many", cells=("a", "b\0", "")),
        RowIssue(row=5, code="CELL_TOO_LARGE", message="too large", column=1),
    )
    store = await insert(mongo, payload(PayloadKind.PARSED, PARSED, issues))
    assert (await store.load("r:b", PayloadKind.PARSED)).issues == issues


async def test_kinds_do_not_meet(mongo: Mongo) -> None:
    store = await insert(mongo, payload(PayloadKind.PARSED, PARSED), payload(PayloadKind.VALID, VALID))
    assert decode_table((await store.load("r:b", PayloadKind.VALID)).data).schema == VALID.schema
    assert await store.find("r:b", PayloadKind.KEYS) is None
    indexes = await mongo.state["batch_payloads"].index_information()
    assert indexes["expiry"]["expireAfterSeconds"] == 30 * 86_400


async def test_a_table_is_replaced_and_nothing_else(mongo: Mongo) -> None:
    issues = (RowIssue(row=3, code="EXTRA_CELLS", message="too many"),)
    before, keys = payload(PayloadKind.VALID, PARSED, issues), payload(PayloadKind.KEYS, PARSED)
    store = await insert(mongo, before, keys)
    after = payload(PayloadKind.VALID, VALID)
    await mongo.transaction(lambda session: store.replace_table(session, after))
    found = await store.load("r:b", PayloadKind.VALID)
    assert (decode_table(found.data).to_pylist(), found.issues) == (VALID.to_pylist(), issues)
    assert await store.load("r:b", PayloadKind.KEYS) == keys


async def test_the_answer_of_the_target_stays_with_the_keys(mongo: Mongo) -> None:
    keys = payload(PayloadKind.KEYS, PARSED)
    store = await insert(mongo, keys)
    first = {"email": b"\1\0\0\0", "a+b": b""}
    assert await store.note_rows_in_target(keys, first) == first
    assert await store.note_rows_in_target(keys, {"email": b"", "a+b": b""}) == first, "a later answer changes nothing"
    found = await store.load("r:b", PayloadKind.KEYS)
    assert found.rows_in_target == first


async def test_the_rows_of_a_run_are_dropped_and_no_others(mongo: Mongo) -> None:
    mine, others = payload(PayloadKind.PARSED, PARSED), payload(PayloadKind.PARSED, PARSED, run_id="s")
    store = await insert(mongo, mine, others)
    await store.drop(["r"])
    assert await mongo.state["batch_payloads"].distinct("run_id") == ["s"]


async def test_what_stays_of_an_ended_run(mongo: Mongo) -> None:
    store = await insert(mongo, *(payload(kind, PARSED) for kind in PayloadKind))
    assert await store.runs() == ["r"]
    await store.drop_all_but_written(["r"])
    assert await store.with_keys("r") == 1
    kept = ["r:b:parsed", "r:b:retried", "r:b:valid"]
    assert await mongo.state["batch_payloads"].distinct("_id") == sorted([*kept, "r:b:keys"])
    assert (await store.runs(), await store.with_checked_rows(["r"])) == ([], ["r"])
    await store.drop_all_but_written(["r"], keys=False)
    assert await mongo.state["batch_payloads"].distinct("_id") == kept
    await store.drop_all_but_read(["r"])
    assert await mongo.state["batch_payloads"].distinct("_id") == ["r:b:parsed", "r:b:retried"]
    assert await store.with_checked_rows(["r"]) == []


async def test_runs_whose_rows_are_to_go_are_found_without_those_that_stay(mongo: Mongo) -> None:
    store = await insert(
        mongo,
        *(
            payload(kind, PARSED, run_id=f"stays-{number}")
            for kind in (PayloadKind.PARSED, PayloadKind.VALID)
            for number in range(50)
        ),
        payload(PayloadKind.KEYS, PARSED, run_id="goes"),
    )
    await mongo.state.command("profile", 2)
    assert await store.runs() == ["goes"]
    await mongo.state.command("profile", 0)
    looked = await mongo.state["system.profile"].find_one({"command.distinct": "batch_payloads"})
    assert looked is not None
    assert (looked["docsExamined"], looked["keysExamined"]) == (0, 1), looked["planSummary"]


async def test_rows_that_are_gone_are_told(mongo: Mongo) -> None:
    with pytest.raises(PermanentError) as refused:
        await BatchPayloads(mongo).load("r:b", PayloadKind.PARSED)
    assert refused.value.code == "ROWS_EXPIRED"
    assert "upload the file again" in refused.value.detail


def test_repeated_text_is_compressed() -> None:
    table = pa.table({"_row": pa.array(range(5_000), pa.uint32()), "c0": ["the same text in every row"] * 5_000})
    assert len(encode_table(table)) < table.nbytes / 4
