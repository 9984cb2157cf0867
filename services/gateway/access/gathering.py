"""Questions that are asked together."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

Subject = TypeVar("Subject", bound=Hashable)
Answer = TypeVar("Answer")


class Gathering(Generic[Subject, Answer]):
    """Asks about one subject once at a time: for whoever comes meanwhile it asks together, when that is answered.

    So every answer comes of a question that was asked after its caller came, and the number of questions is bounded by
    how fast they are answered, not by the number of callers.

    Args:
        ask: asks about a subject for so many callers; has an answer for each, in the order in which they came.
    """

    def __init__(self, ask: Callable[[Subject, int], Awaitable[Sequence[Answer]]]) -> None:
        self._ask = ask
        self._waiting: dict[Subject, list[asyncio.Future[Answer]]] = {}
        self._tasks = set[asyncio.Task[None]]()

    async def answer(self, subject: Subject) -> Answer:
        """The answer for one caller.

        Raises:
            Exception: what ``ask`` raises.
        """
        mine: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if (waiting := self._waiting.get(subject)) is not None:
            waiting.append(mine)
            return await mine
        self._waiting[subject] = [mine]
        # A task of its own: whoever waits may leave without taking the others' answers along.
        task = asyncio.create_task(self._serve(subject))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await mine

    async def _serve(self, subject: Subject) -> None:
        while callers := self._waiting[subject]:
            self._waiting[subject] = []
            try:
                answers = await self._ask(subject, len(callers))
            except Exception as error:  # noqa: BLE001 - it is every caller's
                for caller in callers:
                    if not caller.done():
                        caller.set_exception(error)
            except BaseException:
                for caller in [*callers, *self._waiting.pop(subject)]:
                    caller.cancel()
                raise
            else:
                for caller, answer in zip(callers, answers, strict=True):
                    if not caller.done():
                        caller.set_result(answer)
        del self._waiting[subject]
