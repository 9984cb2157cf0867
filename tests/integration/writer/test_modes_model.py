"""Runs of every mode, edits of others and reverts, in any order, against a plain model of the target."""

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.documents import RunDocument
from libs.storage.target_keys import TargetKeys
from tests.integration.writer.batches import TENANT, executing, reverted, write

pytestmark = pytest.mark.servers
FIELDS = [{"name": "sku"}, {"name": "phone"}]
MODES: dict[str, dict[str, Any]] = {
    "append": {},
    "update": {"mode": "update", "upsert_key": "sku"},
    "upsert": {"mode": "upsert", "upsert_key": "sku"},
    "deleting": {"mode": "upsert", "upsert_key": "sku", "delete_column": "gone"},
}
resources = count()


@dataclass(frozen=True)
class Held:
    """A record: its values, whether it is deleted, and the run and row that last wrote it."""

    sku: str
    phone: str
    deleted: bool = False
    by: tuple[int, int] | None = None


@dataclass
class Model:
    """The target as a list of records, ``None`` where one was removed, and what each run did to which of them."""

    records: list[Held | None] = field(default_factory=list[Held | None])
    done: dict[int, list[tuple[int, Held | None, Held]]] = field(
        default_factory=dict[int, list[tuple[int, Held | None, Held]]]
    )

    def live(self, sku: str) -> int | None:
        found = [at for at, each in enumerate(self.records) if each and each.sku == sku and not each.deleted]
        assert len(found) < 2
        return found[0] if found else None

    def run(self, number: int, mode: str, rows: list[tuple[str, str, bool]]) -> Counter[str]:
        """What becomes of the rows, each with a key of its own; deletions are the last to be written."""
        outcome: Counter[str] = Counter()
        done = self.done.setdefault(number, [])
        for row, (sku, phone, delete) in enumerate(rows, start=1):
            at = self.live(sku)
            deletes = delete and mode == "deleting"
            if mode == "append" and at is not None:
                outcome["rejected"] += 1
            elif at is None and (deletes or mode == "update"):
                outcome["NOT_FOUND"] += 1
            elif at is None:
                self.records.append(Held(sku, phone, by=(number, row)))
                done.append((len(self.records) - 1, None, Held(sku, phone, by=(number, row))))
                outcome["created"] += 1
            else:
                before = self.records[at]
                assert before is not None
                if not deletes and before.phone == phone:
                    outcome["UNCHANGED"] += 1
                    continue
                after = replace(before, deleted=deletes, phone=before.phone if deletes else phone, by=(number, row))
                self.records[at] = after
                done.append((at, before, after))
                outcome["deleted" if deletes else "updated"] += 1
        return outcome

    def revert(self, number: int) -> Counter[str]:
        outcome: Counter[str] = Counter()
        # What was created goes before anything comes back.
        for at, before, after in sorted(self.done[number], key=lambda each: each[1] is not None):
            now = self.records[at]
            if now != after:
                outcome["kept"] += now is not None or before is not None
            elif before is None:
                self.records[at] = None
                outcome["removed"] += 1
            elif after.deleted and self.live(before.sku) is not None:
                outcome["kept"] += 1
            else:
                self.records[at] = before
                outcome["returned" if after.deleted else "restored"] += 1
        return outcome


skus = st.sampled_from("abcd")
phones = st.sampled_from("123")
rows = st.lists(st.tuples(skus, phones, st.booleans()), max_size=4, unique_by=lambda row: row[0])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.sampled_from(sorted(MODES)), rows.filter(len)),
        st.tuples(st.just("edit"), skus, phones),
        st.tuples(st.just("remove"), skus, st.none()),
        st.tuples(st.just("revert"), st.integers(0, 3), st.none()),
    ),
    max_size=9,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
async def test_the_target_is_what_the_model_says(mongo: Mongo, ledger: Ledger, steps: list[Any]) -> None:
    resource, model, runs = f"model_{next(resources)}", Model(), list[RunDocument]()
    await TargetKeys(mongo).register(TENANT, resource, [("sku",)])
    target = mongo.target[resource]
    for step in steps:
        match step:
            case ("run", mode, rows):
                values = [{"sku": sku, "phone": phone, "_delete": delete} for sku, phone, delete in rows]
                if mode != "deleting":
                    values = [{**row, "_delete": False} for row in values]
                template = {"fields": FIELDS, "target_resource": resource, **MODES[mode]}
                run = await write(mongo, ledger, await executing(mongo, ledger, values, **template))
                assert run.counts is not None
                counted = {name: getattr(run.counts, name) for name in ("created", "updated", "deleted", "rejected")}
                counted |= run.counts.skip_reasons
                assert Counter(counted) == model.run(len(runs), mode, rows)
                runs.append(run)
            case ("revert", number, _) if number < len(runs) and runs[number].status is RunStatus.COMPLETED:
                runs[number] = await reverted(mongo, ledger, runs[number])
                assert runs[number].reverted is not None
                assert Counter(runs[number].reverted.model_dump()) == model.revert(number)
            case ("edit", sku, phone) if (at := model.live(sku)) is not None:
                await target.update_one({"sku": sku, "is_deleted": False}, {"$set": {"phone": phone}})
                held = model.records[at]
                assert held is not None
                model.records[at] = replace(held, phone=phone)
            case ("remove", sku, _) if (at := model.live(sku)) is not None:
                await target.delete_one({"sku": sku, "is_deleted": False})
                model.records[at] = None
            case _:
                continue
        numbers = {run.id: number for number, run in enumerate(runs)}
        found = [
            Held(
                record["sku"],
                record["phone"],
                record["is_deleted"],
                (numbers[record["_import"]["run_id"]], record["_import"]["row"]),
            )
            async for record in target.find()
        ]
        assert Counter(found) == Counter(each for each in model.records if each is not None)
