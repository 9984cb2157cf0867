"""The lease of the whole-file check on a real server: one holder at a time, whoever asks, and no dead one for long."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Document, Mongo
from libs.storage.documents import RunDocument
from tests.integration.ledger.runs import LEASE, collections, current, expire, parsed, submitted

pytestmark = pytest.mark.servers
UNIQUE = [{"name": "sku", "rules": [{"type": "unique"}]}]
ONE, TWO = "validator-1", "validator-2"


@pytest.fixture
async def run(ledger: Ledger) -> RunDocument:
    return await parsed(ledger, [3], fields=UNIQUE)


async def stored(ledger: Ledger, run: RunDocument) -> Document | None:
    found = await collections(ledger).runs.find_one({"_id": run.id})
    assert found is not None
    return found["barrier"]


def restarted(mongo: Mongo) -> Ledger:
    """The ledger of another process."""
    return Ledger(mongo, "test")


async def test_workers_of_one_process_exclude_each_other(ledger: Ledger, run: RunDocument) -> None:
    taken = await asyncio.gather(*(ledger.leases.take_whole_file_check(run.id, ONE, LEASE) for _ in range(5)))
    assert len([held for held in taken if held is not None]) == 1


async def test_processes_exclude_each_other(mongo: Mongo, ledger: Ledger, run: RunDocument) -> None:
    assert await ledger.leases.take_whole_file_check(run.id, ONE, LEASE) is not None
    assert await restarted(mongo).leases.take_whole_file_check(run.id, TWO, LEASE) is None


async def test_a_lease_is_released_by_its_holder_alone(ledger: Ledger, run: RunDocument) -> None:
    first = await ledger.leases.take_whole_file_check(run.id, ONE, LEASE)
    assert first is not None
    await expire(ledger, run, "barrier.until")
    second = await ledger.leases.take_whole_file_check(run.id, ONE, LEASE)
    assert second is not None, "its time was over"
    assert not await ledger.leases.renew(first, LEASE)
    await ledger.leases.release(first)
    assert await ledger.leases.renew(second, LEASE)
    assert await ledger.leases.take_whole_file_check(run.id, ONE, LEASE) is None
    await ledger.leases.release(second)
    assert await stored(ledger, run) is None
    assert await ledger.leases.take_whole_file_check(run.id, TWO, LEASE) is not None


async def test_a_renewed_lease_lasts(ledger: Ledger, run: RunDocument) -> None:
    held = await ledger.leases.take_whole_file_check(run.id, ONE, LEASE)
    assert held is not None
    await expire(ledger, run, "barrier.until")
    assert await ledger.leases.renew(held, LEASE)
    assert await ledger.leases.take_whole_file_check(run.id, TWO, LEASE) is None


async def test_a_process_that_comes_back_does_not_wait_for_itself(
    mongo: Mongo, ledger: Ledger, run: RunDocument
) -> None:
    dead = await ledger.leases.take_whole_file_check(run.id, ONE, LEASE)
    assert dead is not None
    successor = restarted(mongo)
    assert await successor.leases.take_whole_file_check(run.id, ONE, LEASE) is not None
    assert not await ledger.leases.renew(dead, LEASE)
    assert await successor.leases.take_whole_file_check(run.id, ONE, LEASE) is None


async def test_a_process_that_comes_back_frees_what_it_held_for_others(mongo: Mongo, ledger: Ledger) -> None:
    checks = [await parsed(ledger, [3], fields=UNIQUE) for _ in range(4)]
    await ledger.leases.take_whole_file_check(checks[0].id, ONE, LEASE)
    await ledger.leases.take_whole_file_check(checks[1].id, TWO, LEASE)
    until = datetime.now(UTC) + timedelta(seconds=LEASE)
    bare = {"$set": {"barrier": {"owner": ONE, "until": until}}}
    await collections(ledger).runs.update_one({"_id": checks[2].id}, bare)
    parse = (await submitted(ledger)).id
    assert await ledger.parsing.begin(parse, ONE, LEASE) is not None
    successor = restarted(mongo)
    mine = await successor.leases.take_whole_file_check(checks[3].id, ONE, LEASE)
    assert mine is not None
    assert await successor.leases.release_left_behind(ONE) == 3
    assert [await stored(ledger, run) is None for run in checks] == [True, False, True, False]
    assert await successor.leases.renew(mine, LEASE)
    assert await restarted(mongo).parsing.begin(parse, "parser-3", LEASE) is not None


@pytest.mark.parametrize("name", ["validator-1", "$validator", "v#1", "#"])
async def test_a_name_that_is_part_of_another_is_another(
    mongo: Mongo, ledger: Ledger, run: RunDocument, name: str
) -> None:
    assert await ledger.leases.take_whole_file_check(run.id, f"{name}#2", LEASE) is not None
    assert await restarted(mongo).leases.take_whole_file_check(run.id, name, LEASE) is None
    assert await restarted(mongo).leases.take_whole_file_check(run.id, f"{name}#2", LEASE) is not None


@pytest.mark.parametrize(("name", "excluded"), [(TWO, True), (ONE, False)])
async def test_a_worker_of_the_release_before_is_excluded_and_excludes(
    ledger: Ledger, run: RunDocument, *, name: str, excluded: bool
) -> None:
    """It stores its bare name, and takes what is free, expired, or stored under its bare name."""
    until = datetime.now(UTC) + timedelta(seconds=LEASE)
    await collections(ledger).runs.update_one({"_id": run.id}, {"$set": {"barrier": {"owner": ONE, "until": until}}})
    assert (await current(ledger, run)).barrier is not None
    held = await ledger.leases.take_whole_file_check(run.id, name, LEASE)
    assert (held is None) is excluded
    lease = await stored(ledger, run)
    assert lease is not None
    assert (lease["owner"] == ONE) is excluded
    assert set(lease) == {"owner", "until"}
    assert lease["until"] > datetime.now(UTC)


async def test_a_stopped_run_is_checked_no_more(ledger: Ledger, run: RunDocument) -> None:
    assert await ledger.stops.request(run.id, RunStatus.CANCELLED, "CANCELLED", "")
    assert await ledger.leases.take_whole_file_check(run.id, ONE, LEASE) is None
    assert await ledger.leases.take_whole_file_check("no such run", ONE, LEASE) is None
