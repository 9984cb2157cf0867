"""How the records of a batch become what they were."""

from collections.abc import Callable
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions
from hypothesis import given

from libs.contracts.ids import record_id
from libs.contracts.reasons import KeptReason
from services.writer.domain.record_encoding import RecordEncoder
from services.writer.domain.revert_plan import Changed, RevertPlan, WrittenRows, keep_all, plan_revert
from tests.unit.writer.checked_batches import CONTACTS, TENANT_ID, checked_batch
from tests.unit.writer.planned_batches import FIELDS, OTHER_RUN, WRITTEN_AT, plan
from tests.unit.writer.test_batch_plan import batches, imported, keyed

Rows = list[dict[str, Any]]
Record = dict[str, Any]


class Target:
    """Records of an earlier run, and what a run did to them."""

    def __init__(self, old: Rows, new: Rows) -> None:
        self.before = {record["_id"]: record for record in imported(keyed(old)).values()}
        planned = plan(new, {record["email"]: record for record in self.before.values()})
        self.rows = WrittenRows(checked_batch(CONTACTS, new), CONTACTS, OTHER_RUN, FIELDS)
        self.images = [
            Changed(update.row, update.record_id, update.before.restore, update.before.remove, deletes=False)
            for update in planned.updates
            if update.before is not None
        ]
        encoder = RecordEncoder(CONTACTS, OTHER_RUN, TENANT_ID, WRITTEN_AT)
        blob = encoder.encode(planned.create).blob.tobytes()
        self.created: list[Record] = bson.decode_all(blob, CodecOptions(tz_aware=False))
        self.current = {each.record_id: self.before[each.record_id] | each.changes for each in planned.updates}

    def revert(self) -> RevertPlan:
        return plan_revert(self.rows, self.created, self.images, self.current, (), {})


OLD: Rows = [{"_row": 1, "email": "a", "name": "Ana"}, {"_row": 2, "email": "b", "name": "Bo"}]
NEW: Rows = [{"_row": 3, "email": "a", "name": "Anna"}, {"_row": 4, "email": "c", "name": "Cy"}]


@given(batches, batches)
def test_nothing_is_kept_where_nobody_changed_anything(old: Rows, new: Rows) -> None:
    target = Target(old, new)
    reverting = target.revert()
    assert reverting.kept == []
    assert sorted(reverting.remove) == sorted(record["_id"] for record in target.created)
    for restore in reverting.restore:
        after = target.current[restore.record_id] | restore.values
        for name in restore.remove:
            del after[name]
        assert bson.encode(after) == bson.encode(target.before[restore.record_id])
    assert len(reverting.restore) == len(target.current)


def renamed(record: Record) -> Record:
    return {**record, "name": "by hand"}


def rewritten(record: Record) -> Record:
    return {**record, "_import": {**record["_import"], "run_id": "another"}}


def rewritten_by_another_row(record: Record) -> Record:
    return {**record, "_import": {**record["_import"], "row": 99}}


def without_origin(record: Record) -> Record:
    return {**record, "_import": "lost"}


def deleted(record: Record) -> Record:
    return {**record, "is_deleted": True}


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (renamed, ["name"]),
        (rewritten, []),
        (rewritten_by_another_row, []),
        (without_origin, []),
        (deleted, ["is_deleted"]),
        (lambda record: {**deleted(renamed(record)), "age": 3}, ["age", "is_deleted", "name"]),
    ],
)
def test_what_somebody_else_changed_is_kept(change: Callable[[Record], Record], fields: list[str]) -> None:
    target = Target(OLD, NEW)
    target.created = [change(record) for record in target.created]
    target.current = {key: change(record) for key, record in target.current.items()}
    reverting = target.revert()
    assert (reverting.remove, reverting.restore) == ([], [])
    assert {(kept.row, kept.reason, kept.created) for kept in reverting.kept} == {
        (3, KeptReason.CHANGED, False),
        (4, KeptReason.CHANGED, True),
    }
    assert [kept.fields for kept in reverting.kept] == [fields, fields]


def test_a_field_that_the_run_did_not_give_keeps_only_what_it_created() -> None:
    target = Target(OLD, NEW)
    target.created = [{**record, "score": 1} for record in target.created]
    target.current = {key: {**record, "score": 1} for key, record in target.current.items()}
    reverting = target.revert()
    assert [(kept.row, kept.fields) for kept in reverting.kept] == [(4, ["score"])]
    assert [restore.row for restore in reverting.restore] == [3]


def test_records_that_are_gone_or_immovable() -> None:
    target = Target(OLD, [*NEW, {"_row": 5, "email": "b", "name": "Bob"}])
    first, second = target.images
    del target.current[first.record_id]
    immovable = {second.record_id: (KeptReason.KEY_TAKEN, ["email"])}
    reverting = plan_revert(target.rows, [], target.images, target.current, (), immovable)
    assert [(kept.row, kept.reason, kept.fields) for kept in reverting.kept] == [
        (3, KeptReason.GONE, []),
        (5, KeptReason.KEY_TAKEN, ["email"]),
    ]


def test_the_opposite_order_and_deleted_records_first() -> None:
    target = Target(OLD, [*NEW, {"_row": 5, "email": "b", "name": "Bob"}])
    gone = {"_id": 7, "email": "z", "is_deleted": True, "_import": {"run_id": OTHER_RUN, "row": 1}}
    target.images.append(Changed(1, 7, {"is_deleted": False}, ["_import"], deletes=True))
    target.current[7] = gone
    reverting = target.revert()
    assert [(restore.row, restore.returns) for restore in reverting.restore] == [(1, True), (5, False), (3, False)]
    target.current[7] = {**gone, "is_deleted": False}
    assert [(kept.row, kept.fields) for kept in target.revert().kept] == [(1, ["is_deleted"])]


def test_rows_that_are_no_longer_stored() -> None:
    target = Target(OLD, NEW)
    reverting = keep_all(target.created, target.images)
    assert (reverting.remove, reverting.restore) == ([], [])
    assert {(kept.row, kept.reason) for kept in reverting.kept} == {
        (3, KeptReason.ROWS_EXPIRED),
        (4, KeptReason.ROWS_EXPIRED),
    }
    assert {kept.record_id.binary for kept in reverting.kept if kept.created} == {record_id(OTHER_RUN, 4)}
