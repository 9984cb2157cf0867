"""How tenants share what a process has a fixed number of."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager


class Shares:
    """Slots that any tenant may take while it holds fewer of them than are free.

    So one alone gets half of them, a second half of the rest and so on: nobody has to be told how many there are, and
    there is room for another one as long as those before it are few.
    """

    def __init__(self, total: int) -> None:
        self._held = Counter[str]()
        self.free = total

    def held(self, tenant_id: str) -> int:
        """How many slots a tenant has."""
        return self._held[tenant_id]

    def may_take(self, tenant_id: str) -> bool:
        """Whether a tenant may take another one."""
        return self._held[tenant_id] < self.free

    def over(self) -> list[str]:
        """Tenants with slots that may not take another one."""
        return [tenant_id for tenant_id, held in self._held.items() if held >= self.free]

    def take(self, tenant_id: str) -> None:
        """Take a slot."""
        self._held[tenant_id] += 1
        self.free -= 1

    def give_back(self, tenant_id: str) -> None:
        """Give a slot back."""
        self.free += 1
        self._held[tenant_id] -= 1
        if not self._held[tenant_id]:
            del self._held[tenant_id]

    @contextmanager
    def slot(self, tenant_id: str) -> Generator[None]:
        """Hold a slot for the length of a block.

        Raises:
            NoSlotError: none may be taken.
        """
        if not self.may_take(tenant_id):
            raise NoSlotError(own=self.held(tenant_id) > 0)
        self.take(tenant_id)
        try:
            yield
        finally:
            self.give_back(tenant_id)


class NoSlotError(Exception):
    """There is no slot.

    Attributes:
        own: because the tenant itself has, or waits for, as many as it may; else others have them.
    """

    def __init__(self, *, own: bool) -> None:
        super().__init__("no slot: " + ("the tenant's share is used up" if own else "all are taken"))
        self.own = own


class Turns:
    """Slots for which tenants wait, each in a queue of its own; whoever holds fewest is next.

    Args:
        shares: the slots.
        seconds: how long anybody waits.
        most_waiting: how many of one tenant may wait.
    """

    def __init__(self, shares: Shares, seconds: float, most_waiting: int) -> None:
        self._shares = shares
        self._seconds = seconds
        self._most_waiting = most_waiting
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, tenant_id: str) -> AsyncGenerator[None]:
        """Hold a slot for the length of a block.

        Raises:
            NoSlotError: its turn did not come in time, or too many of the tenant wait already.
        """
        if tenant_id not in self._queues and self._shares.may_take(tenant_id):
            self._shares.take(tenant_id)
        else:
            await self._wait(tenant_id)
        try:
            yield
        finally:
            self._shares.give_back(tenant_id)
            self._call_next()

    async def _wait(self, tenant_id: str) -> None:
        if len(self._queues.get(tenant_id, ())) >= self._most_waiting:
            raise NoSlotError(own=True)
        called = asyncio.get_running_loop().create_future()
        self._queues.setdefault(tenant_id, deque()).append(called)
        try:
            async with asyncio.timeout(self._seconds):
                await called
        except BaseException as error:
            if called.done() and not called.cancelled():  # called and given up in the same moment
                self._shares.give_back(tenant_id)
                self._call_next()
            else:
                self._leave(tenant_id, called)
            if isinstance(error, TimeoutError):
                raise NoSlotError(own=self._shares.held(tenant_id) > 0) from None
            raise

    def _leave(self, tenant_id: str, called: asyncio.Future[None]) -> None:
        queue = self._queues.get(tenant_id, deque())
        if called in queue:  # else it was passed over already
            queue.remove(called)
        if not queue:
            self._queues.pop(tenant_id, None)

    def _call_next(self) -> None:
        while ready := [tenant_id for tenant_id in self._queues if self._shares.may_take(tenant_id)]:
            # Of those that hold equally few, whoever has waited longest.
            tenant_id = min(ready, key=self._shares.held)
            called = self._queues[tenant_id].popleft()
            if self._queues[tenant_id]:
                self._queues.move_to_end(tenant_id)
            else:
                del self._queues[tenant_id]
            if not called.done():
                self._shares.take(tenant_id)
                called.set_result(None)
