"""Tasks end although something swallows a cancellation."""

import asyncio

from libs.messaging.cancellation import end_tasks


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
