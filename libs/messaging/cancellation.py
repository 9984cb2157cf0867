"""End background tasks for certain."""

import asyncio
from collections.abc import Iterable
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
