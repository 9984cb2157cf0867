"""Whose turn it is where work takes long."""

import asyncio
import threading

import pytest

from services.gateway.access.principal import Principal
from services.gateway.errors import BusyError
from services.gateway.templates.turns import MAX_WAITING, Turns


def of(tenant: str) -> Principal:
    return Principal(tenant_id=tenant, subject="test", key_id="k")


async def test_one_organizations_work_leaves_room_for_anothers() -> None:
    turns, over, begun = Turns(), threading.Event(), threading.Event()

    def long() -> bool:
        begun.set()
        return over.wait(30)

    waiting = [asyncio.create_task(turns.run(of("a"), long)) for _ in range(MAX_WAITING)]
    await asyncio.to_thread(begun.wait)
    assert await turns.run(of("b"), lambda: "answered") == "answered"
    with pytest.raises(BusyError, match="TEMPLATES_WAITING"):
        await turns.run(of("a"), lambda: None)
    over.set()
    assert all(await asyncio.gather(*waiting))
    assert await turns.run(of("a"), lambda: "again") == "again"


async def test_what_is_raised_arrives() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError):
        await turns.run(of("a"), lambda: 1 / 0)
    assert await turns.run(of("a"), lambda: 1) == 1
