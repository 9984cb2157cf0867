"""Background loops: what is done again and again beside the handling of messages."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress

import structlog
from aiokafka.errors import KafkaError
from pymongo.errors import PyMongoError

from libs.contracts.errors import TransientError
from libs.messaging.cancellation import end_tasks
from libs.telemetry.error_text import error_text

EXIT_GRACE_SECONDS = 20.0

logger = structlog.get_logger()
Background = Callable[[], Coroutine[None, None, None]]


@asynccontextmanager
async def running(loops: Sequence[Background]) -> AsyncGenerator[None]:
    """Run ``loops`` in the background; one that ends by an error ends the process, to be started anew."""

    async def supervised(loop: Background) -> None:
        try:
            await loop()
        except asyncio.CancelledError:
            raise
        except BaseException:
            logger.exception("background.died")
            end_process()

    tasks = [asyncio.create_task(supervised(loop)) for loop in loops]
    try:
        yield
    finally:
        await end_tasks(tasks)


def end_process() -> None:
    """Stop this process in order, or after ``EXIT_GRACE_SECONDS`` at once; its supervisor starts a new one."""
    os.kill(os.getpid(), signal.SIGTERM)
    asyncio.get_running_loop().call_later(EXIT_GRACE_SECONDS, os._exit, 1)


async def repeat(seconds: float, step: Callable[[], Awaitable[object]], name: str) -> None:
    """Call ``step`` every ``seconds`` until cancelled, outliving faults of the servers."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await step()
        except (TransientError, PyMongoError, KafkaError) as error:
            logger.warning("background.waiting", loop=name, error=error_text(error))


async def work_off(told: asyncio.Event, step: Callable[[], Awaitable[bool]], seconds: float, name: str) -> None:
    """Call ``step`` until cancelled: as long as it finds something to do, then whenever it is told that there is
    something, and every ``seconds`` because nobody may have told it. Outlives whatever one step breaks on."""
    while True:
        told.clear()
        try:
            while await step():
                pass
        except Exception as error:  # noqa: BLE001 - what breaks on one thing must not keep the others from being done
            logger.warning("background.waiting", loop=name, error=error_text(error))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await told.wait()


@asynccontextmanager
async def repeating(seconds: float, step: Callable[[], Awaitable[object]], name: str) -> AsyncGenerator[None]:
    """``repeat`` for the length of a block: a lease that the block needs is kept alive by it."""
    task = asyncio.create_task(repeat(seconds, step, name))
    try:
        yield
    finally:
        await end_tasks([task])
