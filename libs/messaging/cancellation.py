"""End background tasks for certain."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any

PATIENCE_SECONDS = 1.0


async def end_tasks(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel ``tasks`` and wait until all are gone; their errors are theirs to report.

    Once is not enough: before Python 3.12 ``asyncio.wait_for``, which drivers use, swallows a
    cancellation that comes at the moment its result does (https://github.com/python/cpython/issues/86296).
    """
    every = list(tasks)
    while pending := [task for task in every if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=PATIENCE_SECONDS)
    await asyncio.gather(*every, return_exceptions=True)


async def run_together(loops: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Run loops until one fails or this is cancelled, and end them all.

    Unlike ``asyncio.TaskGroup``, which cancels each of its tasks once: one that swallows that keeps the group for ever.
    """
    tasks = [asyncio.create_task(each) for each in loops]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in ended:
            task.result()
    finally:
        ending = asyncio.create_task(end_tasks(tasks))
        while not ending.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(ending)
