"""Rows of a batch, to MongoDB and back, exactly."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from libs.contracts.errors import PermanentError
from libs.contracts.plan import RowIssue
from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.payloads import (
    PayloadKind,
    decode_table,
    encode_table,
    load_payload,
    payload_document,
    payload_issues,
)

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


@pytest.mark.parametrize("table", [PARSED, VALID, PARSED.slice(1, 1), PARSED.slice(0, 0)])
async def test_rows_come_back_as_they_were(ledger: Ledger, table: pa.Table) -> None:
    await ledger.payloads.insert_one(payload_document("b", "r", PayloadKind.PARSED, table))
    found = await load_payload(ledger.payloads, "b", PayloadKind.PARSED)
    read = decode_table(found["data"])
    assert read.schema == table.schema
    assert read.to_pylist() == table.to_pylist()
    assert payload_issues(found) == []


async def test_a_table_of_many_pieces_is_one_table() -> None:
    pieces = pa.concat_tables([PARSED, PARSED.slice(1)])
    assert decode_table(encode_table(pieces)).to_pylist() == pieces.to_pylist()


async def test_row_issues_come_with_the_rows(ledger: Ledger) -> None:
    issues = [
        RowIssue(row=3, code="EXTRA_CELLS", message="too many", cells=("a", "b\0", "")),
        RowIssue(row=5, code="CELL_TOO_LARGE", message="too large", column=1),
    ]
    await ledger.payloads.insert_one(payload_document("b", "r", PayloadKind.PARSED, PARSED, issues))
    assert payload_issues(await load_payload(ledger.payloads, "b", PayloadKind.PARSED)) == issues


async def test_kinds_do_not_meet(mongo: Mongo, ledger: Ledger) -> None:
    await ledger.payloads.insert_many(
        [payload_document("b", "r", PayloadKind.PARSED, PARSED), payload_document("b", "r", PayloadKind.VALID, VALID)]
    )
    found = await load_payload(ledger.payloads, "b", PayloadKind.VALID)
    assert decode_table(found["data"]).schema == VALID.schema
    indexes = await mongo.state["batch_payloads"].index_information()
    assert indexes["expiry"]["expireAfterSeconds"] == 30 * 86_400


async def test_rows_that_are_gone_are_told(ledger: Ledger) -> None:
    with pytest.raises(PermanentError) as refused:
        await load_payload(ledger.payloads, "b", PayloadKind.PARSED)
    assert refused.value.code == "ROWS_EXPIRED"
    assert "upload the file again" in refused.value.detail


def test_repeated_text_is_compressed() -> None:
    table = pa.table({"_row": pa.array(range(5_000), pa.uint32()), "c0": ["the same text in every row"] * 5_000})
    assert len(encode_table(table)) < table.nbytes / 4
