"""Do bad receivers hold up the good ones of their own organization?

20 endpoints of one organization have the same number of deliveries each, which two processes of the webhooks service
share. One of the receivers hangs, one fails, one sends a byte a second; it is measured how long the other 17 wait for
all that is theirs, without the three and with them. What was sent twice to a good one is counted too.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import uuid4

from pymongo import AsyncMongoClient
from rich.console import Console

from bench.measurement import Bench
from bench.report import show_verdict

DELIVERIES: Final = 10_000
GOOD: Final = 17
ALLOWED_RATIO: Final = 1.5
ANSWER_SECONDS: Final = 0.02
"""What a good receiver needs."""
LONGEST_SECONDS: Final = 900
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Phase(NamedTuple):
    """How long the good ones waited, and how many of theirs came more than once."""

    seconds: float
    repeated: int


def measure_webhooks(bench: Bench, deliveries: int) -> dict[str, Any]:
    """How long good receivers wait for their share of so many deliveries, alone and beside bad ones.

    Raises:
        TimeoutError: they did not get them.
    """
    each = deliveries // (GOOD + len(BAD))
    with bench.progress.step("Warming up"):
        asyncio.run(_send(bench, each // 10 + 1, ()))
    with bench.progress.step(f"{each * GOOD:,} deliveries to {GOOD} good receivers") as step:
        alone = asyncio.run(_send(bench, each, ()))
        step.result = f"{each * GOOD / alone.seconds:,.0f} a second"
    with bench.progress.step(
        f"the same beside {each * len(BAD):,} to one that hangs, one that fails, one that trickles"
    ):
        beside = asyncio.run(_send(bench, each, BAD))
    return {
        "deliveries": each * (GOOD + len(BAD)),
        "seconds_without_bad": round(alone.seconds, 1),
        "seconds_with_bad": round(beside.seconds, 1),
        "ratio": round(beside.seconds / alone.seconds, 2),
        "repeated": alone.repeated + beside.repeated,
    }


def show_webhooks(console: Console, result: dict[str, Any]) -> None:
    """Print what was measured and whether it is as it is to be."""
    show_verdict(
        console,
        f"{GOOD} good receivers have theirs of {result['deliveries']:,} deliveries in {result['seconds_with_bad']} s, "
        f"without the {len(BAD)} bad ones in {result['seconds_without_bad']} s: {result['ratio']} times as long, at "
        f"most {ALLOWED_RATIO}",
        holds=result["ratio"] <= ALLOWED_RATIO,
    )
    show_verdict(console, f"{result['repeated']} came twice: none", holds=not result["repeated"])


# --- receivers ----------------------------------------------------------------------------------


async def _good(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(ANSWER_SECONDS)
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")


async def _failing(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n")


async def _hanging(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3_600)


async def _trickling(writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 1_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


BAD: Sequence[Answer] = (_hanging, _failing, _trickling)


@asynccontextmanager
async def _receiving(answer: Answer, seen: Counter[str]) -> AsyncIterator[str]:
    """A receiver's address; it counts in ``seen`` how often each id arrives."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(task := asyncio.current_task() or asyncio.create_task(asyncio.sleep(0)))
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            seen[head.partition("webhook-id: ")[2].partition("\r\n")[0]] += 1
            await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the sender has given up, or everything is over
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()


# --- what they are sent -------------------------------------------------------------------------


async def _send(bench: Bench, each: int, bad: Sequence[Answer]) -> Phase:
    seen: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        client = AsyncMongoClient[dict[str, Any]](bench.stack.mongodb, tz_aware=True)
        stack.push_async_callback(client.close)
        deliveries = client[bench.stack.database]["webhook_deliveries"]
        endpoints: list[str] = []
        for number, answer in enumerate([*bad, *[_good] * GOOD]):
            address = await stack.enter_async_context(_receiving(answer, Counter() if number < len(bad) else seen))
            endpoints.append(await asyncio.to_thread(_register, bench, address))
            stack.push_async_callback(asyncio.to_thread, _remove, bench, endpoints[-1])
        tenant_id = (await client[bench.stack.database]["webhook_endpoints"].find_one({"_id": endpoints[0]}) or {})[
            "tenant_id"
        ]
        for endpoint_id in endpoints:
            await deliveries.insert_many([_delivery(tenant_id, endpoint_id) for _ in range(each)])
        loop = asyncio.get_running_loop()
        waiting = {"endpoint_id": {"$in": endpoints[len(bad) :]}, "state": "pending"}
        async with asyncio.timeout(LONGEST_SECONDS):
            began = loop.time()
            due = {"$set": {"next_attempt_at": datetime.now(UTC)}}
            await deliveries.update_many({"endpoint_id": {"$in": endpoints}}, due)
            while await deliveries.find_one(waiting, {"_id": 1}) is not None:  # noqa: ASYNC110 - others change it
                await asyncio.sleep(0.2)
            seconds = loop.time() - began
    return Phase(seconds, sum(count - 1 for count in seen.values()))


def _register(bench: Bench, url: str) -> str:
    answer = bench.gateway.http.post("/api/v1/webhook-endpoints", json={"url": url})
    return answer.raise_for_status().json()["id"]


def _remove(bench: Bench, endpoint_id: str) -> None:
    bench.gateway.http.delete(f"/api/v1/webhook-endpoints/{endpoint_id}").raise_for_status()


def _delivery(tenant_id: str, endpoint_id: str) -> dict[str, Any]:
    """One that is not due yet: all become so at once."""
    now = datetime.now(UTC)
    return {
        "_id": uuid4().hex,
        "tenant_id": tenant_id,
        "endpoint_id": endpoint_id,
        "run_id": "",
        "event_id": "measured",
        "event_type": "webhook.test",
        "body": b'{"type":"webhook.test"}',
        "state": "pending",
        "attempts": [],
        "next_attempt_at": now + timedelta(days=1),
        "created_at": now,
    }
