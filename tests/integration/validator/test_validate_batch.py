"""Batches through their own checks and that of the whole file, on a real server."""

import asyncio
from typing import Any

import pytest

from libs.batches.payloads import BatchPayloads, PayloadKind
from libs.batches.tables import decode_table
from libs.contracts.ids import batch_id
from libs.contracts.states import BatchState, RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.telemetry.metrics import Metrics
from services.validator import use_cases
from services.validator.settings import ValidatorSettings
from services.validator.use_cases import RunCache, WholeFileCheck
from tests.integration.ledger.runs import current
from tests.integration.validator.runs import check, parsed, rejections, validator

pytestmark = pytest.mark.servers
UNIQUE: dict[str, Any] = {"type": "unique", "against_target": True}
FIELDS: list[dict[str, Any]] = [{"name": "k"}, {"name": "mail", "rules": [UNIQUE]}]


async def held(mongo: Mongo, tenant_id: str, resource: str, *records: dict[str, Any]) -> None:
    common = {"tenant_id": tenant_id, "is_deleted": False}
    await mongo.target[resource].insert_many([{**common, **record} for record in records])


async def test_rows_whose_values_the_target_holds_are_rejected(mongo: Mongo, ledger: Ledger) -> None:
    batches = [[["1", "a"], ["2", "b"]], [["3", "c"], ["4", "a"], ["5", ""]]]
    run = await parsed(ledger, batches, fields=FIELDS)
    await held(mongo, run.tenant_id, run.template.target_resource, {"mail": "b"}, {"mail": "c", "is_deleted": True})
    run = await check(mongo, ledger, run, 2)
    assert run.status is RunStatus.VALIDATED
    assert await rejections(mongo, run) == {2: ["EXISTS_IN_TARGET"], 4: ["DUPLICATE_VALUE"]}
    totals = await ledger.totals(run.id)
    assert (totals.result.ok, totals.result.rejected) == (3, 2)


async def test_an_upsert_may_keep_its_own_values(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [[["1", "a"], ["2", "b"], ["9", "a"]]], fields=FIELDS, mode="upsert", upsert_key="k")
    await held(mongo, run.tenant_id, run.template.target_resource, {"k": "1", "mail": "a"}, {"k": "7", "mail": "b"})
    run = await check(mongo, ledger, run, 1)
    assert await rejections(mongo, run) == {2: ["EXISTS_IN_TARGET"], 3: ["DUPLICATE_VALUE", "EXISTS_IN_TARGET"]}


async def test_kept_rows_are_warned_about_the_target(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [[["1", "a"], ["2", "b"]]], fields=FIELDS, invalid_rows="keep")
    await held(mongo, run.tenant_id, run.template.target_resource, {"mail": "b"})
    run = await check(mongo, ledger, run, 1)
    assert await rejections(mongo, run) == {}
    totals = await ledger.totals(run.id)
    assert (totals.result.ok, totals.result.warnings) == (2, 1)


async def test_a_second_worker_at_the_whole_file_check_goes_by_the_first_answer(
    mongo: Mongo, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await parsed(ledger, [[["1", "a"]], [["2", "b"]]], fields=FIELDS)
    await held(mongo, run.tenant_id, run.template.target_resource, {"mail": "a"})

    def stopped(name: str) -> None:
        if name == "validator.duplicates_resolved":
            raise ConnectionError(name)

    monkeypatch.setattr(use_cases, "failpoint", stopped)
    with pytest.raises(ConnectionError):
        await check(mongo, ledger, run, 2)
    monkeypatch.undo()
    await mongo.target[run.template.target_resource].update_one({"mail": "a"}, {"$set": {"mail": "b"}})
    await validator(mongo, ledger)(run.id, batch_id(run.id, run.epoch, 1), run.lane)
    run = await current(ledger, run)
    assert run.status is RunStatus.VALIDATED
    assert await rejections(mongo, run) == {1: ["EXISTS_IN_TARGET"]}


async def test_the_last_row_of_a_key_decides_whether_its_record_is_deleted(mongo: Mongo, ledger: Ledger) -> None:
    template = {"fields": [{"name": "sku"}, {"name": "mail", "rules": [{"type": "unique", "against_target": True}]}]}
    upsert: dict[str, Any] = {**template, "mode": "upsert", "upsert_key": "sku", "delete_column": "gone"}
    batches = [
        [["a", "", "delete"], ["b", "b", ""], ["c", "taken", "yes"]],
        [["a", "a", "no"], ["b", "", "1"], ["d", "d", "perhaps"]],
    ]
    run = await parsed(ledger, batches, **upsert)
    await held(mongo, run.tenant_id, run.template.target_resource, {"sku": "x", "mail": "taken"})
    run = await check(mongo, ledger, run, 2)
    assert await rejections(mongo, run) == {6: ["UNCLEAR_DELETION"]}
    assert run.counts is not None
    assert (run.counts.rejected, run.counts.skip_reasons) == (1, {"DUPLICATE_UPSERT_KEY": 2})
    tables: dict[tuple[int, str], list[int]] = {}
    for seq in range(2):
        for kind in (PayloadKind.VALID, PayloadKind.DELETIONS):
            payload = await BatchPayloads(mongo).load(batch_id(run.id, run.epoch, seq), kind)
            tables[seq, kind.value] = decode_table(payload.data)["_row"].to_pylist()
    assert tables == {(0, "valid"): [], (0, "deletions"): [3], (1, "valid"): [4], (1, "deletions"): [5]}


class Watched(WholeFileCheck):
    """Notes how many workers were at it at once."""

    inside = most = 0

    async def _resolve(self, run: use_cases._Run) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await super()._resolve(run)
        self.inside -= 1


async def test_one_worker_of_a_process_checks_the_whole_file_at_a_time(mongo: Mongo, ledger: Ledger) -> None:
    for _ in range(3):
        run = await parsed(ledger, [[["1", "a"]], [["2", "a"]]], fields=FIELDS)
        watched = Watched(mongo, ledger, Metrics("validator"), ValidatorSettings(), RunCache(ledger), "validator-1")
        for seq in range(2):
            batch = await ledger.batches.claim(batch_id(run.id, run.epoch, seq), BatchState.PARSED)
            assert batch is not None
            await validator(mongo, ledger)._check(batch)
        await asyncio.gather(*(watched.advance(run.id) for _ in range(6)))
        assert watched.most == 1
        assert (await current(ledger, run)).status is RunStatus.VALIDATED
        assert await rejections(mongo, run) == {2: ["DUPLICATE_VALUE"]}


async def test_a_run_that_cannot_be_read_fails_with_its_reason(mongo: Mongo, ledger: Ledger) -> None:
    run = await parsed(ledger, [[["1", "a"]]], fields=FIELDS)
    newer = {"$set": {"template.fields.0.rules": [{"type": "palindrome"}]}}
    await mongo.state["runs"].update_one({"_id": run.id}, newer)
    await validator(mongo, ledger)(run.id, batch_id(run.id, run.epoch, 0), run.lane)
    failed = await mongo.state["runs"].find_one({"_id": run.id})
    assert failed is not None
    assert (failed["status"], failed["failure"]["code"]) == ("failed", "UNREADABLE_DOCUMENT")


async def test_a_batch_of_nothing_but_errors_is_stored_whole(mongo: Mongo, ledger: Ledger) -> None:
    fields = [{"name": f"f{at}", "type": "number"} for at in range(150)]
    run = await parsed(ledger, [[["x"] * 150] * 600], fields=fields)
    run = await check(mongo, ledger, run, 1)
    found = await rejections(mongo, run)
    assert list(found) == list(range(1, 601))
    assert all(codes == ["NOT_A_NUMBER"] * 99 + ["MORE_ERRORS"] for codes in found.values())


async def test_large_cells_of_rejected_rows_are_stored(mongo: Mongo, ledger: Ledger) -> None:
    row = ["x" * 1024 * 1024] * 4
    fields = [{"name": f"f{at}", "type": "number"} for at in range(4)]
    run = await parsed(ledger, [[row]], fields=fields)
    run = await check(mongo, ledger, run, 1)
    assert await rejections(mongo, run) == {1: ["NOT_A_NUMBER"] * 4}
    stored = await mongo.state["rejected_records"].find_one({"run_id": run.id})
    assert stored is not None
    assert stored["cells"] == row


async def test_a_template_that_makes_too_much_of_its_rows_fails_its_run(mongo: Mongo, ledger: Ledger) -> None:
    constant = {"type": "constant", "value": "x" * 2000}
    fields = [{"name": f"f{at}", "transforms": [constant]} for at in range(120)]
    run = await parsed(ledger, [[[""] * 120] * 1_000], fields=fields)
    run = await check(mongo, ledger, run, 1)
    assert run.status is RunStatus.FAILED
    assert run.failure is not None
    assert run.failure["code"] == "BATCH_TOO_LARGE"
    assert not (await ledger.totals(run.id)).states.get(BatchState.VALIDATED)


async def test_runs_with_the_same_template_and_plan_share_what_is_compiled(ledger: Ledger) -> None:
    runs = RunCache(ledger)
    other: dict[str, Any] = {"fields": [{"name": "sku", "rules": [{"type": "required"}]}]}
    wider: dict[str, Any] = {"fields": [{"name": "sku"}, {"name": "more"}]}
    made = [
        await parsed(ledger, [[["a"] * width]], **model) for model, width in (({}, 1), ({}, 1), (other, 1), (wider, 2))
    ]
    found = [await runs.get(run.id) for run in made]
    compiled = [each.compiled for each in found if each is not None]
    assert compiled[0] is compiled[1]
    assert len({id(each) for each in compiled}) == 3
    assert [each.id for each in found if each is not None] == [run.id for run in made], "a run stays itself"
