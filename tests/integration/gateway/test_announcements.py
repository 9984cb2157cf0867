"""Whoever waits for a run is woken by what it tells, on a real broker."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.servers import Servers
from libs.contracts.events import RunStatusChanged
from libs.contracts.states import TERMINAL_RUN_STATUSES, RunStatus
from libs.contracts.topics import RUN_EVENTS
from libs.messaging.cancellation import end_tasks
from libs.messaging.connection import KafkaSettings
from libs.messaging.topics import Topics
from services.gateway.runs.announcements import Announcements

pytestmark = pytest.mark.servers
SECONDS = 30


@pytest.fixture
async def producer(servers: Servers) -> AsyncIterator[AIOKafkaProducer]:
    await Topics(KafkaSettings(kafka=servers.kafka)).ensure()
    started = AIOKafkaProducer(bootstrap_servers=servers.kafka)
    await started.start()
    yield started
    await started.stop()


async def tell(producer: AIOKafkaProducer, run_id: str, status: RunStatus, version: int) -> None:
    change = RunStatusChanged(
        event_id=f"{run_id}-{version}",
        occurred_at=datetime.now(UTC),
        run_id=run_id,
        tenant_id="tenant",
        template_id="template",
        status=status,
        version=version,
    )
    await producer.send_and_wait(RUN_EVENTS.name, change.model_dump_json().encode(), run_id.encode())


async def test_who_waits_is_woken_by_the_status_and_by_no_other(servers: Servers, producer: AIOKafkaProducer) -> None:
    heard = [Announcements(KafkaSettings(kafka=servers.kafka)) for _ in range(2)]
    listening = [asyncio.create_task(each.listen()) for each in heard]
    try:
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*(_until_it_hears(each, producer) for each in heard))
            run_id = uuid4().hex
            ended = [asyncio.create_task(each.reached(run_id, TERMINAL_RUN_STATUSES)) for each in heard]
            checked = asyncio.create_task(heard[0].reached(run_id, {RunStatus.VALIDATED}))
            await producer.send_and_wait(RUN_EVENTS.name, b"no event", run_id.encode())
            await tell(producer, run_id, RunStatus.VALIDATED, 3)
            await checked
            assert not any(task.done() for task in ended)
            await tell(producer, run_id, RunStatus.COMPLETED, 5)
            await asyncio.gather(*ended)
            # Who comes late finds what was told; what is late itself changes nothing.
            await tell(producer, run_id, RunStatus.EXECUTING, 4)
            await _until_it_hears(heard[0], producer)
            await heard[0].reached(run_id, {RunStatus.COMPLETED})
        assert not any(each._waiting for each in heard), "nothing is left of those who waited"
    finally:
        await end_tasks(listening)


async def _until_it_hears(announcements: Announcements, producer: AIOKafkaProducer) -> None:
    """It listens from the end of the topic, once it has found that: so it is told until it hears."""
    run_id = uuid4().hex
    waiting = asyncio.create_task(announcements.reached(run_id, {RunStatus.FAILED}))
    version = 0
    while not waiting.done():
        version += 1
        await tell(producer, run_id, RunStatus.FAILED, version)
        await asyncio.wait([waiting], timeout=0.2)
    await waiting
