"""Composition root of the writer."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa

from libs.batches.columns import ROW, ROW_TYPE
from libs.batches.tables import decode_table, encode_table
from libs.contracts.lanes import Lane
from libs.contracts.templates import Template, TemplateField
from libs.process.context import ServiceContext
from libs.process.loops import Background, repeat
from libs.process.refill import Refill
from libs.process.service import Service
from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from services.writer.domain.record_encoding import RecordEncoder
from services.writer.handlers import subscribe
from services.writer.previewing import PreviewRun
from services.writer.reverting import RevertBatch
from services.writer.settings import WriterSettings
from services.writer.sync_planning import PlanSync
from services.writer.use_cases import BeginExecution, RescueInbox, WriteBatch


def warm_up() -> None:
    """Encode one record once, so that the first real batch does not wait for libraries to load."""
    template = Template(name="warm-up", target_resource="warm_up", fields=(TemplateField(name="text"),))
    table = pa.table({ROW: pa.array([1], ROW_TYPE), "text": pa.array(["a"])})
    RecordEncoder(template, "warm-up", "warm-up", datetime.now(UTC)).encode(decode_table(encode_table(table)))


def create_service(settings: ServiceSettings, mongo_settings: MongoSettings, writer: WriterSettings) -> Service:
    """The writer service, not yet running."""

    async def assemble(context: ServiceContext) -> Sequence[Background]:
        await asyncio.to_thread(warm_up)
        ledger, refill = context.ledger, Refill(context.ledger, context.publisher)
        syncs = PlanSync(context.mongo, ledger, writer, refill, settings.instance)
        begin = BeginExecution(ledger, refill, syncs)
        previews = PreviewRun(context.mongo, ledger, settings.instance)
        subscribe(
            context.consumers,
            begin,
            WriteBatch(context.mongo, ledger, context.metrics, writer, refill),
            RevertBatch(context.mongo, ledger, context.metrics, refill),
            previews,
            workers=writer.writer_transactions,
        )
        rescue = RescueInbox(ledger, begin, context.metrics, settings.rescue_after_seconds)
        return [
            lambda: repeat(settings.rescue_after_seconds / 4, rescue, "rescue"),
            syncs.work,
            lambda: previews.work(Lane.SMALL),
            lambda: previews.work(Lane.LARGE),
        ]

    return Service("writer", settings, mongo_settings, assemble)
