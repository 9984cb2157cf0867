"""What counts as a loop that is blocked, and what is said of it."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable

from libs.process.loop_watch import COLLECTOR, Block, LoopWatch


def spin(seconds: float) -> None:
    """Use processor time of this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def watched(limit_ms: float, work: list[float], *, elsewhere: float = 0) -> list[Block]:
    """The blocks of a loop whose steps take this long each, while another thread works."""

    async def live() -> list[Block]:
        found: list[Block] = []
        watch = LoopWatch(limit_ms, found.append)
        watch.start()
        other = threading.Thread(target=spin, args=(elsewhere,))
        other.start()
        await asyncio.sleep(0.05)
        for seconds in work:
            spin(seconds)
            await asyncio.sleep(limit_ms / 500)
        await asyncio.to_thread(other.join)
        watch.stop()
        return found

    return asyncio.run(live())


def test_a_long_step_is_a_block_and_its_place_is_named() -> None:
    [block] = watched(50, [0.25])
    assert block.milliseconds > 50
    assert block.stack[-1].endswith(" spin") or " spin" in block.stack[-1]
    assert "test_loop_watch.py:" in block.stack[-1]


def test_each_block_is_reported_once() -> None:
    assert len(watched(50, [0.25, 0.01, 0.25])) == 2


def test_short_steps_are_none_however_many() -> None:
    assert watched(200, [0.02] * 20) == []


def test_another_threads_work_is_none_of_the_loops() -> None:
    assert watched(200, [], elsewhere=0.5) == []


def test_waiting_is_no_work() -> None:
    async def live() -> list[Block]:
        found: list[Block] = []
        watch = LoopWatch(50, found.append)
        watch.start()
        time.sleep(0.3)  # noqa: ASYNC251 - a loop that is held up, but not by work
        await asyncio.sleep(0.1)
        watch.stop()
        return found

    assert asyncio.run(live()) == []


def collect_and_wait() -> None:
    """A collection holds the lock of Python to its end: so the watch gets time to look before the loop comes round."""
    gc.collect()
    time.sleep(1)


async def blocks_while(step: Callable[[], object]) -> list[Block]:
    """What is reported while a loop does one thing."""
    found: list[Block] = []
    watch = LoopWatch(50, found.append)
    watch.start()
    await asyncio.sleep(0.05)
    step()
    await asyncio.sleep(0.1)
    watch.stop()
    return found


def test_the_garbage_collector_is_named_and_not_the_place_that_it_stopped() -> None:
    cycles: list[list[object]] = []
    gc.disable()
    try:
        for _ in range(1_000_000):
            cycle: list[object] = []
            cycle.append(cycle)
            cycles.append(cycle)
        found = asyncio.run(blocks_while(collect_and_wait))
    finally:
        gc.enable()
    [block] = found
    assert block.stack == (COLLECTOR,)
    assert block.milliseconds > 50


def test_a_long_step_is_named_though_the_collector_ran_in_it() -> None:
    def step() -> None:
        gc.collect()
        spin(0.25)

    [block] = asyncio.run(blocks_while(step))
    assert " spin" in block.stack[-1] or " step" in block.stack[-1]


def test_nothing_is_left_with_the_collector() -> None:
    before = list(gc.callbacks)
    asyncio.run(blocks_while(lambda: None))
    assert gc.callbacks == before
