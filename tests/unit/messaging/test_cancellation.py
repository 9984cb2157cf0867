"""Tasks end although something swallows a cancellation."""

import asyncio
import contextlib

import pytest

from libs.messaging.cancellation import end_tasks, run_together


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed: list[int] = []

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                if swallowed:
                    raise
                swallowed.append(1)

    async def failing() -> None:
        raise ValueError("its own business")

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(failing())]
    await asyncio.wait(tasks[1:])
    await end_tasks(tasks)
    assert swallowed
    assert all(task.done() for task in tasks)


async def test_nothing_to_end_is_fine() -> None:
    await end_tasks([])


async def deaf(ended: list[str]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("deaf")


async def test_loops_end_though_each_swallows_a_cancellation() -> None:
    ended: list[str] = []
    together = asyncio.create_task(run_together([deaf(ended), deaf(ended)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await end_tasks([together])
    assert together.cancelled()
    assert ended == ["deaf", "deaf"]


async def test_when_one_loop_fails_all_end_and_its_error_is_raised() -> None:
    ended: list[str] = []

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        async with asyncio.timeout(60):
            await run_together([deaf(ended), fail()])
    assert ended == ["deaf"]
