"""Questions of many callers are asked together, and no caller pays for another."""

import asyncio
from collections.abc import Sequence

import pytest

from services.gateway.access.gathering import Gathering


class Question:
    """Answers when it is told to; remembers for how many it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.answers = asyncio.Semaphore(0)
        self.fails = False

    async def __call__(self, subject: str, callers: int) -> Sequence[str]:
        self.asked.append(callers)
        await self.answers.acquire()
        if self.fails:
            raise ConnectionError(subject)
        return [f"{subject}{len(self.asked)}.{place}" for place in range(callers)]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_comes_while_it_is_asked_is_asked_for_next_all_at_once() -> None:
    ask = Question()
    gathering = Gathering(ask)
    callers = [asyncio.create_task(gathering.answer("a"))]
    await settle()
    callers += [asyncio.create_task(gathering.answer("a")) for _ in range(3)]
    other = asyncio.create_task(gathering.answer("b"))
    await settle()
    assert ask.asked == [1, 1]
    for _ in range(3):
        ask.answers.release()
    assert await asyncio.gather(*callers) == ["a2.0", "a3.0", "a3.1", "a3.2"]
    assert await other == "b3.0"
    assert ask.asked == [1, 1, 3]
    ask.answers.release()
    assert await gathering.answer("a") == "a4.0"


async def test_who_leaves_takes_no_answer_along() -> None:
    ask = Question()
    gathering = Gathering(ask)
    callers = [asyncio.create_task(gathering.answer("a")) for _ in range(3)]
    await settle()
    callers[0].cancel()
    callers[1].cancel()
    await settle()
    ask.answers.release()
    # Its place was asked for all the same: what is counted once stays counted.
    assert await callers[2] == "a1.2"


async def test_a_failure_is_everybodys_who_was_asked_for_and_nobody_elses() -> None:
    ask = Question()
    gathering = Gathering(ask)
    ask.fails = True
    first = [asyncio.create_task(gathering.answer("a"))]
    await settle()
    first.append(asyncio.create_task(gathering.answer("a")))
    for _ in range(2):
        ask.answers.release()
    for caller in first:
        with pytest.raises(ConnectionError):
            await caller
    ask.fails = False
    ask.answers.release()
    assert await gathering.answer("a") == "a3.0"
