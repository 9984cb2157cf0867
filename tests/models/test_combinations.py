"""What the state machines would find late, or have found: combinations by name, against the same model."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.models.runs import Run
from tests.models.target import Record
from tests.models.templates import File, Spec
from tests.models.world import World

pytestmark = pytest.mark.servers
COLUMNS = ("sku", "name", "email", "price")
DELETING = (*COLUMNS, "gone")
UPSERT = Spec("upsert")
DELETES = Spec("upsert", deletes=True)
UNIQUE = Spec("upsert", unique="target")
SYNC = Spec("sync", source="default")
Rows = Sequence[tuple[str, ...]]


def imported(world: World, spec: Spec, rows: Rows, columns: Sequence[str] = COLUMNS) -> Run:
    """A file that was looked at and executed, and everything is as the model says."""
    run = world.upload(spec, File(tuple(columns), tuple(rows)))
    if run.status == "validated":
        world.preview(run)
        world.execute(run, confirm=spec.mode == "sync", ignoring=True)
    world.compare()
    return run


def live(world: World, sku: str) -> Record:
    return next(record for record in world.model.target.live() if record.get("sku") == sku)


def take_back(world: World, *runs: Run) -> None:
    for run in runs:
        world.revert(run)
        world.compare()
    world.settle()


def retry_all(world: World, run: Run, *, uncorrected: bool = False) -> Run:
    world.retry_all(run, uncorrected=uncorrected)
    world.compare()
    return world.model.runs[-1]


def test_a_key_that_is_changed_deleted_and_made_again(world: World) -> None:
    first = imported(world, UPSERT, [("a", "x", "", "1"), ("b", "y", "", "1")])
    rows = [("a", "z", "", "1", ""), ("a\u00a0", "z", "", "1", "yes"), ("b", "q", "", "", "delete")]
    imported(world, DELETES, [*rows, ("b", "n", "", "5", "")], DELETING)
    deleted = imported(world, DELETES, [("b", "q", "", "", "1"), ("c", "q", "", "", "yes")], DELETING)
    imported(world, UPSERT, [("b", "new", "", "")])
    take_back(world, deleted, world.model.runs[1], first)


def test_rows_that_differ_by_default_values_alone(world: World) -> None:
    update = Spec("update", source="default")
    imported(world, UPSERT, [("a", "x", "", "1"), ("b", "y", "", "1")])
    run = imported(world, update, [("a", "x", "", "1"), ("b", "y", "", "1.00"), ("zz", "", "", "")])
    imported(world, update, [("a", "x", "", "1"), ("b", "y", "", "1.0")])
    world.edit(live(world, "a"), "source", "shop")
    take_back(world, run)


def test_rejected_rows_of_a_sync_protect_records_however_they_spell_the_key(world: World) -> None:
    first = imported(world, SYNC, [(sku, "x", "", "1") for sku in "abcdefgh"])
    world.mark_deleted(live(world, "a"))
    rows = [("b\u00a0", "", "", ""), ("\u200bc", "x", "", "cheap"), ("d", "x", "bad", ""), ("a", "back", "", "")]
    run = imported(world, replace(SYNC, name_required=True), [*rows, ("f", "x", "", ""), ("f", "y", "", "")])
    world.correct(run, run.rejected[3], {"email": "p@x.se"})
    retry = retry_all(world, run)
    take_back(world, run, retry, run, first)


def test_a_sync_takes_values_that_it_frees_too_late(world: World) -> None:
    unique = replace(SYNC, unique="target")
    first = imported(world, unique, [("a", "x", "p@x.se", "1"), ("b", "x", "s@x.se", "1"), ("c", "x", "r@x.se", "1")])
    run = imported(world, unique, [("d", "x", "p@x.se", "1"), ("b", "x", "s@x.se", "1"), ("c", "x", "r@x.se", "1")])
    taker = imported(world, UNIQUE, [("e", "n", "p@x.se", "1")])
    take_back(world, run, taker, first)


def test_values_that_are_unique_and_held_by_rows_that_are_not_written(world: World) -> None:
    imported(world, UNIQUE, [("a", "x", "p@x.se", "1"), ("b", "x", "r@x.se", "1")])
    imported(world, UNIQUE, [("a", "x", "r@x.se", "1"), ("b", "x", "p@X.SE", "1")])
    imported(world, UNIQUE, [("a", "1", "s@x.se", "1"), ("a", "2", " q@x.se\u00a0", "1"), ("c", "3", "s@x.se", "")])
    imported(world, UPSERT, [("d", "1", "s@x.se", "1"), ("c", "2", "p@x.se", "1"), ("e", "3", "r@x.se", "")])
    update = Spec("update", unique="target")
    run = imported(world, update, [("zz", "x", "p@x.se", ""), ("a", "x", "r@x.se", ""), ("yy", "x", "t@x.se", "")])
    retry_all(world, run, uncorrected=True)


def test_retries_after_reverts_and_reverts_after_retries(world: World) -> None:
    rows = [("a", "x", "bad", "1"), ("b", "x", "p@x.se", "cheap"), ("a", "y", "r@x.se", "1"), ("c", "y", "p@x.se", "x")]
    run = imported(world, UNIQUE, rows)
    for row, data in ((1, {"email": "s@x.se"}), (2, {"price": "1"}), (4, {"price": "2"})):
        world.correct(run, run.rejected[row], data)
        world.compare()
    take_back(world, retry_all(world, run))
    world.retry(run, run.rejected[4])
    world.compare()
    retry_all(world, run, uncorrected=True)
    take_back(world, run, *reversed(world.model.runs))


def test_what_others_have_changed_in_a_retried_row_stays(world: World) -> None:
    run = imported(world, UPSERT, [("a", "x", "", "cheap"), ("b", "x", "", "cheap"), ("c", "x", "", "cheap")])
    imported(world, UPSERT, [("c", "other", "", "1")])
    for row in (1, 2):
        world.correct(run, run.rejected[row], {"price": "1"})
    world.correct(run, run.rejected[3], {"price": "1", "name": "other"})
    retry = retry_all(world, run)
    world.edit(live(world, "a"), "name", "hand")
    take_back(world, retry, run)


def test_a_template_that_blocks_takes_a_retry_as_a_whole(world: World) -> None:
    imported(world, UNIQUE, [("a", "x", "p@x.se", "1")])
    block = Spec("append", invalid_rows="block")
    run = imported(world, block, [("k", "x", "p@x.se", ""), ("a", "x", "", ""), ("l", "", "", "")])
    world.correct(run, run.rejected[1], {"email": "s@x.se"})
    world.correct(run, run.rejected[2], {"email": "bad"})
    retry_all(world, run)
    world.correct(run, run.rejected[2], {"sku": "q"})
    take_back(world, retry_all(world, run, uncorrected=True))


def test_invalid_rows_that_are_kept_hold_the_text_that_they_have(world: World) -> None:
    keep = Spec("upsert", invalid_rows="keep", unique="target")
    rows = [("a", "x", "bad", "cheap"), ("b", "y", "p@x.se", "1"), ("c", "y", "p@x.se", "1"), ("d", "y", "bad", "1")]
    run = imported(world, keep, [*rows, ("", "z", "", "")])
    imported(world, keep, [*rows[:2], ("a", "z", "r@x.se", "")])
    world.correct(run, run.rejected[5], {"sku": "a"})
    take_back(world, retry_all(world, run))


def test_rows_that_could_not_be_read(world: World) -> None:
    run = imported(world, UPSERT, [("a", "x", "", "1", "!"), ("b", "x", "", "1")])
    world.retry(run, run.rejected[1])
    world.compare()
    for cells in (("a", "y", "", "2"), (), ("b", "y", "", "2")):
        world.correct(run, run.rejected[1], dict(zip(COLUMNS, cells, strict=False)))
        world.compare()
    take_back(world, retry_all(world, run))


def test_columns_without_a_field_and_records_of_others(world: World) -> None:
    memo = Spec("upsert", memo=True)
    world.insert({"sku": "f", "name": "theirs", "colour": "red"})
    first = imported(world, memo, [("a", "x", "m1"), ("f", "x", "")], ("sku", "name", "memo"))
    second = imported(world, memo, [("a", "x", "m2", "o"), ("f", "x", "", "")], ("sku", "name", "memo", "remark"))
    world.edit(live(world, "f"), "colour", "blue")
    take_back(world, second, first)


def test_a_target_that_others_change_between_check_and_execution(world: World) -> None:
    imported(world, UNIQUE, [("a", "x", "p@x.se", "1")])
    run = world.upload(UNIQUE, File(COLUMNS, (("b", "y", "s@x.se", "1"), ("a", "z", "", ""), ("c", "z", "", ""))))
    world.insert({"sku": "f", "email": "s@x.se"})
    world.insert({"sku": "c", "name": "theirs"})
    world.mark_deleted(live(world, "a"))
    world.preview(run)
    world.execute(run, confirm=False, ignoring=False)
    world.compare()
    world.correct(run, run.rejected[1], {"email": ""})
    take_back(world, retry_all(world, run), run)


def test_messages_come_again_in_any_order(world: World) -> None:
    run = imported(world, UPSERT, [("a", "x", "", "cheap"), ("b", "x", "", "1")])
    waiting = world.upload(UPSERT, File(COLUMNS, (("c", "x", "", ""),)))
    world.correct(run, run.rejected[1], {"price": "1"})
    retry = retry_all(world, run)
    update = imported(world, UPSERT, [("b", "q", "", "")])
    world.revert(update)
    deeds = (lambda: None, lambda: world.execute(waiting, confirm=False, ignoring=True), lambda: world.revert(retry))
    for deed in deeds:
        deed()
        world.make_noise([0, 1, 2, 3], [*range(40, 0, -1), *range(40)])
        world.settle()
