"""What became of rows: pages of bounded size from which nothing is missing, and what is no longer stored."""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import openpyxl
import pyarrow as pa
import pytest
from litestar import Litestar

from libs.batches.columns import ROW, parsed_schema
from libs.batches.payloads import BatchPayloads, Payload, PayloadKind
from libs.batches.rejected_rows import RejectedRows
from libs.batches.tables import encode_table, pack_bits, pack_rows
from libs.contracts.ids import batch_id, record_id
from libs.contracts.plan import ParsePlan
from libs.contracts.rejections import RejectedRow, RowError
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger, NewBatch, ParseEnd
from libs.storage.client import Mongo, Session
from libs.storage.documents import BatchResult, RunDocument
from services.gateway.http.engine.row_views import MAX_PAGE_BATCHES, MAX_PAGE_BYTES
from tests.integration.gateway.conftest import Organization, new_app
from tests.integration.gateway.steps import assert_error
from tests.integration.ledger.runs import LEASE, OWNER, current, move, submitted

WRONG = RowError("name", "name", "TOO_LONG", "is too long", "x")


async def parsed(ledger: Ledger, acme: Organization, batches: list[list[list[str]]], *columns: str) -> RunDocument:
    """A run whose batches hold these rows of cells."""
    run = await ledger.parsing.begin((await submitted(ledger, acme.id)).id, OWNER, LEASE)
    assert run is not None
    assert await ledger.parsing.freeze_plan(run, ParsePlan(columns=columns, mapping={"sku": 0}))
    first, made = 1, list[NewBatch]()
    for seq, rows in enumerate(batches):
        cells = [list(column) for column in zip(*rows, strict=True)]
        numbers = pa.array(range(first, first + len(rows)), pa.uint32())
        table = pa.Table.from_arrays([numbers, *map(pa.array, cells)], schema=parsed_schema(len(columns)))
        payload = Payload(batch_id(run.id, run.epoch, seq), run.id, PayloadKind.PARSED, encode_table(table))
        made.append(NewBatch(seq, first, first + len(rows) - 1, len(rows), f"digest-{seq}", payload))
        first += len(rows)
    assert await ledger.parsing.add_batches(run, made, LEASE)
    assert await ledger.parsing.close(run, ParseEnd(len(made), first - 1, "digest"))
    return await current(ledger, run)


async def rejected(mongo: Mongo, run: RunDocument, *rows: RejectedRow) -> None:
    await mongo.transaction(lambda session: RejectedRows(mongo).insert(session, run.tenant_id, run.id, rows))


async def moved(
    mongo: Mongo,
    ledger: Ledger,
    run: RunDocument,
    source: BatchState,
    target: BatchState,
    result: BatchResult | None = None,
    **noted: Any,  # noqa: ANN401
) -> None:
    """Every batch goes to ``target``."""
    for epoch, seq in await ledger.batches.sequence_numbers(run.id, source):
        batch = await ledger.batches.claim(batch_id(run.id, epoch, seq), source)
        assert batch is not None
        counts = result or BatchResult(ok=batch.rows, created=batch.rows if target is BatchState.WRITTEN else 0)
        assert await move(mongo, ledger, batch, target, counts, **noted)
    await ledger.maybe_advance(run.id)


async def executing(mongo: Mongo, ledger: Ledger, run: RunDocument, result: BatchResult | None = None) -> None:
    await moved(mongo, ledger, run, BatchState.PARSED, BatchState.VALIDATED, result)
    validated = await current(ledger, run)
    assert validated.status is RunStatus.VALIDATED
    assert await ledger.runs.request_execution(validated) is not None


async def page(http: httpx.AsyncClient, run: RunDocument, **query: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = await http.get(f"/imports/runs/{run.id}/rows", params=query)
    assert answer.status_code == 200, answer.text
    return await asyncio.to_thread(answer.json)


async def pages(http: httpx.AsyncClient, run: RunDocument, **query: Any) -> list[list[int]]:  # noqa: ANN401
    """The rows of each page; no page is larger than it may be, unless it has one row only."""
    found: list[list[int]] = []
    after: int | None = 0
    while after is not None:
        answer = await http.get(f"/imports/runs/{run.id}/rows", params={"limit": 1_000, **query, "after": after})
        assert answer.status_code == 200
        body = await asyncio.to_thread(answer.json)
        found.append([row["row"] for row in body["data"]])
        assert len(answer.content) <= MAX_PAGE_BYTES + 100 or len(found[-1]) == 1
        after = body["next_after"]
    return found


async def test_pages_follow_each_other_over_batches(acme: Organization, ledger: Ledger) -> None:
    batches = [[["x"]] * size for size in (3, 1, 5, 2)]
    run = await parsed(ledger, acme, batches, "sku")
    assert await pages(acme.http, run, limit=4) == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11]]
    assert await pages(acme.http, run, limit=11) == [list(range(1, 12))]
    for after in range(12):
        rows = (await page(acme.http, run, after=after))["data"]
        assert [row["row"] for row in rows] == list(range(after + 1, 12))
    assert {row["outcome"] for row in (await page(acme.http, run))["data"]} == {"pending"}
    lines = await acme.http.get(f"/imports/runs/{run.id}/rows", params={"format": "ndjson", "after": 2, "limit": 5})
    assert [json.loads(line)["row"] for line in lines.text.splitlines()] == [3, 4, 5, 6, 7]


async def test_rows_of_long_cells(acme: Organization, ledger: Ledger) -> None:
    run = await parsed(ledger, acme, [[["x" * 600_000, f"{row}"] for row in range(30)]], "sku", "name")
    found = await pages(acme.http, run)
    assert len(found) > 2
    assert [row for rows in found for row in rows] == list(range(1, 31))


async def test_short_rows_below_long_headers(acme: Organization, ledger: Ledger) -> None:
    headers = [f"{number}:{'h' * 280}" for number in range(3_000)]
    run = await parsed(ledger, acme, [[["x"] * 3_000 for _ in range(12)]], *headers)
    found = await pages(acme.http, run)
    assert len(found) > 1
    assert [row for rows in found for row in rows] == list(range(1, 13))


async def test_few_rows_of_many_batches(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    """Nobody waits for a page until all batches are looked through."""
    run = await parsed(ledger, acme, [[["x"]]] * (2 * MAX_PAGE_BATCHES + 3), "sku")
    last = 2 * MAX_PAGE_BATCHES + 3
    await rejected(mongo, run, RejectedRow(last, ["x"], (WRONG,)))
    await executing(mongo, ledger, run, BatchResult(rejected=1))
    assert await pages(acme.http, run, code="TOO_LONG") == [[], [], [last]]
    await mongo.state["batches"].update_many(
        {"run_id": run.id, "row_to": {"$lt": last}}, {"$set": {"result.rejected": 0}}
    )
    assert await pages(acme.http, run, code="TOO_LONG") == [[last]]


async def test_rows_that_could_not_be_read(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, acme, [[["a"], ["b"]]], "sku")
    await mongo.state["batches"].update_one({"run_id": run.id}, {"$set": {"rows": 3, "row_to": 3}})
    await rejected(mongo, run, RejectedRow(3, ["c", "more"], (RowError(None, None, "EXTRA_CELLS", "too many"),)))
    row = (await page(acme.http, run))["data"][2]
    assert (row["outcome"], row["data"], row["more_cells"]) == ("rejected", {"sku": "c"}, ["more"])
    table = await acme.http.get(f"/imports/runs/{run.id}/rows", params={"format": "csv"})
    assert table.text.splitlines()[3] == "3,rejected,,EXTRA_CELLS: too many,,,c"


async def test_rows_of_a_retry_have_the_numbers_of_the_file(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, acme, [[["a"], ["b"], ["c"]]], "sku")
    await mongo.state["runs"].update_one({"_id": run.id}, {"$set": {"purpose": "retry"}})
    await mongo.state["batches"].update_one({"run_id": run.id}, {"$set": {"row_from": 1_001, "row_to": 9_003}})
    await rejected(mongo, run, *(RejectedRow(row, ["x"], (WRONG,)) for row in (1_001, 5_002, 9_003)))
    found = await pages(acme.http, run, limit=1)
    assert [row for rows in found for row in rows] == [1_001, 5_002, 9_003]


async def test_cells_that_are_no_longer_stored(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, acme, [[["a"], ["b"]]], "sku")
    await rejected(mongo, run, RejectedRow(2, ["b"], (WRONG,)))
    await mongo.state["batch_payloads"].delete_many({"run_id": run.id})
    pending, refused = (await page(acme.http, run))["data"]
    assert (pending["data"], pending["data_missing"], refused["data"]) == (None, "EXPIRED", {"sku": "b"})
    table = await acme.http.get(f"/imports/runs/{run.id}/rows", params={"format": "csv"})
    assert table.text.splitlines()[1] == "1,pending,,,,,"


async def test_rows_with_warnings(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, acme, [[["a"], ["b"], ["c"]]], "sku")
    warning = json.dumps([{"field": "sku", "code": "TOO_SHORT", "message": "is too short"}])
    valid = pa.table({ROW: pa.array([1, 2, 3], pa.uint32()), "_warnings": pa.array([None, warning, None], pa.string())})
    payload = Payload(batch_id(run.id, run.epoch, 0), run.id, PayloadKind.VALID, encode_table(valid))

    async def store(session: Session) -> None:
        await BatchPayloads(mongo).insert(session, [payload])

    await mongo.transaction(store)
    await executing(mongo, ledger, run, BatchResult(ok=3, warnings=1))
    (row,) = (await page(acme.http, run, code="TOO_SHORT", field="sku"))["data"]
    assert (row["row"], row["warnings"], row["reasons"]) == (2, json.loads(warning), [])
    assert (await page(acme.http, run, field="name"))["data"] == []
    table = await acme.http.get(f"/imports/runs/{run.id}/rows", params={"format": "csv"})
    assert table.text.splitlines()[2] == "2,pending,,,TOO_SHORT sku: is too short,,b"


async def test_what_release_0_1_has_written(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    """It noted how many rows created their record and how many updated one, and not which."""
    run = await parsed(ledger, acme, [[["a"], ["b"], ["c"]]], "sku")
    await executing(mongo, ledger, run)
    counts = BatchResult(ok=3, created=1, updated=1, unchanged=1)
    skipped = {"UNCHANGED": pack_rows([2])}
    await moved(mongo, ledger, run, BatchState.VALIDATED, BatchState.WRITTEN, counts, skipped=skipped)
    found = (await page(acme.http, run))["data"]
    assert [(row["outcome"], row["record_id"]) for row in found] == [
        ("written", None),
        ("unchanged", None),
        ("written", None),
    ]
    assert await pages(acme.http, run, outcome="written") == [[1, 3]]
    assert await pages(acme.http, run, outcome="created") == [[]]


async def test_records_are_named(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, acme, [[["a"], ["b"], ["c"]]], "sku")
    await executing(mongo, ledger, run)
    bits = {"updated": pack_bits([2], 1, 3), "deleted": pack_bits([3], 1, 3)}
    counts = BatchResult(ok=3, created=1, updated=1, deleted=1)
    await moved(mongo, ledger, run, BatchState.VALIDATED, BatchState.WRITTEN, counts, written=bits)
    image = {"tenant_id": acme.id, "run_id": run.id, "resource": "records", "record_id": "of another", "row": 2}
    await mongo.state["undo"].insert_one({"_id": f"{run.id}:1", **image, "restore": {}, "remove": []})
    found = (await page(acme.http, run))["data"]
    assert [(row["outcome"], row["record_id"]) for row in found] == [
        ("created", record_id(run.id, 1).hex()),
        ("updated", "of another"),
        ("deleted", None),
    ]


async def test_a_workbook_refuses_what_it_cannot_hold(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, acme, [[["=1+1"]]], "sku")
    address = f"/imports/runs/{run.id}/rows"
    content = (await acme.http.get(address, params={"format": "xlsx"})).content
    sheet = openpyxl.load_workbook(io.BytesIO(content))["rows"]
    assert [cell.data_type for cell in sheet["G"]] == ["s", "s"]
    await mongo.state["batches"].update_one({"run_id": run.id}, {"$set": {"rows": 2_000_000}})
    refused = assert_error(await acme.http.get(address, params={"format": "xlsx"}), 422, "TOO_LARGE_FOR_XLSX")
    assert "format=csv" in refused["detail"]
    for query in ({"limit": 1_000_000}, {"outcome": "created"}):
        assert (await acme.http.get(address, params={"format": "xlsx", **query})).status_code in {200, 422}


async def test_nobody_sees_the_rows_of_others(
    acme: Organization,
    new_organization: Callable[[], Awaitable[Organization]],
    ledger: Ledger,
) -> None:
    run = await parsed(ledger, acme, [[["a"]]], "sku")
    other = await new_organization()
    for query in ({}, {"format": "csv"}, {"format": "xlsx"}):
        answer = await other.http.get(f"/imports/runs/{run.id}/rows", params=query)
        assert_error(answer, 404, "RUN_NOT_FOUND")


@pytest.mark.parametrize(
    "query", [{"outcome": "lost"}, {"format": "pdf"}, {"limit": 0}, {"after": -1}, {"field": ""}, {"colour": "red"}]
)
async def test_a_query_that_makes_no_sense(acme: Organization, ledger: Ledger, query: dict[str, Any]) -> None:
    run = await parsed(ledger, acme, [[["a"]]], "sku")
    assert_error(
        await acme.http.get(f"/imports/runs/{run.id}/rows", params=query),
        400,
        "INVALID_PARAMETER",
        f"query.{next(iter(query))}",
    )


@pytest.mark.usefixtures("rebound")
async def test_readers_wait_for_their_turn(
    acme: Organization,
    app: Litestar,
    ledger: Ledger,
    mongo_settings: Any,  # noqa: ANN401
) -> None:
    run = await parsed(ledger, acme, [[["a"]]], "sku")
    del app
    narrow = await asyncio.to_thread(
        new_app, mongo_settings, max_concurrent_row_readers=1, max_waiting_uploads=0, upload_queue_seconds=0.1
    )
    async with narrow.lifespan():
        readers = narrow.state.gateway.capabilities.row_outcomes
        transport = httpx.ASGITransport(narrow)  # pyright: ignore[reportArgumentType]
        headers = {"Authorization": f"Bearer {acme.key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as http:
            for download, query in ((False, {}), (True, {"format": "csv"})):
                async with readers._turns(download=download).turn(acme.id):
                    answer = await http.get(f"/imports/runs/{run.id}/rows", params=query)
                    assert_error(answer, 429, "TOO_MANY_READERS_OF_ORGANIZATION")
                assert (await http.get(f"/imports/runs/{run.id}/rows", params=query)).status_code == 200
