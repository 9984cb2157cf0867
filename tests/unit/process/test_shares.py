"""How tenants share slots, and wait for them."""

import asyncio
from contextlib import AsyncExitStack, ExitStack, suppress

import pytest

from libs.process.shares import NoSlotError, Shares, Turns


def taken(shares: Shares, tenant_id: str) -> int:
    """How many slots a tenant gets that takes all it may."""
    while shares.may_take(tenant_id):
        shares.take(tenant_id)
    return shares.held(tenant_id)


@pytest.mark.parametrize(
    ("total", "got"), [(1, [1, 0]), (2, [1, 1, 0]), (8, [4, 2, 1, 1, 0]), (32, [16, 8, 4, 2, 1, 1, 0])]
)
def test_each_greedy_one_gets_half_of_what_is_left(total: int, got: list[int]) -> None:
    shares = Shares(total)
    assert [taken(shares, f"tenant {number}") for number in range(len(got))] == got
    assert shares.free == 0


def test_a_slot_is_given_back_whatever_happens() -> None:
    shares = Shares(2)
    with suppress(KeyError), shares.slot("a"):
        assert (shares.free, shares.held("a"), shares.over()) == (1, 1, ["a"])
        raise KeyError
    assert (shares.free, shares.held("a"), shares.over()) == (2, 0, [])


def test_who_is_to_blame_is_told() -> None:
    with ExitStack() as stack:
        shares = Shares(1)
        stack.enter_context(shares.slot("a"))
        for tenant_id, own in (("a", True), ("b", False)):
            with pytest.raises(NoSlotError) as refused, shares.slot(tenant_id):
                pass
            assert refused.value.own is own


async def test_a_newcomer_need_not_wait_behind_the_queue_of_another() -> None:
    turns = Turns(Shares(8), seconds=5, most_waiting=100)
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(turns.turn("a"))
        waiting = [asyncio.create_task(turns.turn("a").__aenter__()) for _ in range(50)]
        await asyncio.sleep(0)
        async with asyncio.timeout(30), turns.turn("b"), turns.turn("b"):
            pass
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_whoever_holds_fewest_is_next() -> None:
    order: list[str] = []
    turns = Turns(Shares(2), seconds=5, most_waiting=10)

    async def want(tenant_id: str) -> None:
        async with turns.turn(tenant_id):
            order.append(tenant_id)
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        for tenant_id in ["a"] * 6 + ["b"] * 2 + ["c"]:
            group.create_task(want(tenant_id))
    assert sorted(order[:5]) == ["a", "a", "b", "b", "c"]
    assert order.count("a") == 6


async def test_waiting_is_bounded_in_time_and_number() -> None:
    shares = Shares(1)
    turns = Turns(shares, seconds=0.05, most_waiting=1)
    async with turns.turn("a"):
        first = asyncio.create_task(turns.turn("a").__aenter__())
        await asyncio.sleep(0)
        with pytest.raises(NoSlotError) as too_many:
            await turns.turn("a").__aenter__()
        with pytest.raises(NoSlotError) as too_long:
            await first
        with pytest.raises(NoSlotError) as of_others:
            await turns.turn("b").__aenter__()
    assert (too_many.value.own, too_long.value.own, of_others.value.own) == (True, True, False)
    async with turns.turn("b"):
        assert shares.free == 0
    assert shares.free == 1


async def test_whoever_leaves_in_any_moment_takes_no_slot_along() -> None:
    shares = Shares(2)
    turns = Turns(shares, seconds=5, most_waiting=100)

    async def hold() -> None:
        async with turns.turn("a"):
            await asyncio.sleep(0.001)

    for late in range(6):
        tasks = [asyncio.create_task(hold()) for _ in range(10)]
        for _ in range(late):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert shares.free == 2
    async with asyncio.timeout(30), turns.turn("b"):
        pass
