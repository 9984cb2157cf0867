"""Rejected rows in their collection, as the gateway finds them."""

import pytest

from libs.batches.rejected_rows import RejectedRows
from libs.contracts.reasons import RowErrorCode
from libs.contracts.rejections import RejectedRow, RowError
from libs.storage.client import Mongo
from libs.storage.documents import RejectedRecord

pytestmark = pytest.mark.servers
WRONG = RowError("age", "Age", RowErrorCode.NOT_A_NUMBER, "no number", "x")
WHOLE_ROW = RowError(None, None, "OF_A_FORMAT", "the whole row")


async def insert(mongo: Mongo, run_id: str, *rows: RejectedRow) -> RejectedRows:
    store = RejectedRows(mongo)
    await mongo.transaction(lambda session: store.insert(session, "tenant", run_id, rows))
    return store


async def test_a_row_is_stored_with_its_cells_and_reasons(mongo: Mongo) -> None:
    await insert(mongo, "run", RejectedRow(7, ["a", None, "$b"], (WRONG, WHOLE_ROW)))
    found = await RejectedRecord.find_all().to_list()
    assert [(each.id, each.tenant_id, each.run_id, each.row, each.state) for each in found] == [
        ("run:0000000007", "tenant", "run", 7, "open")
    ]
    assert found[0].cells == ["a", None, "$b"]
    assert found[0].errors == [WRONG, WHOLE_ROW]


@pytest.mark.parametrize("count", [0, 1, 250, 251, 600])
async def test_any_number_of_rows(mongo: Mongo, count: int) -> None:
    await insert(mongo, "run", *(RejectedRow(row, [], (WRONG,)) for row in range(1, count + 1)))
    assert await mongo.state["rejected_records"].distinct("row") == list(range(1, count + 1))


async def test_the_rows_of_a_run_are_dropped_and_no_others(mongo: Mongo) -> None:
    store = await insert(mongo, "run", RejectedRow(1, [], (WRONG,)))
    await insert(mongo, "other", RejectedRow(1, [], (WRONG,)))
    await store.drop("another tenant", "other")
    await store.drop("tenant", "run")
    assert await mongo.state["rejected_records"].distinct("run_id") == ["other"]
