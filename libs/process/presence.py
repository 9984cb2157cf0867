"""That a process is at work: it says so again and again, for those who ask what runs."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
from pymongo.errors import PyMongoError

from libs.process.context import ServiceContext
from libs.process.loops import repeating
from libs.storage.documents import ProcessDocument
from libs.telemetry.error_text import error_text
from libs.telemetry.metrics import Metrics
from libs.telemetry.release import RELEASE

SECONDS = 15.0
"""Between two words of a process."""
SILENT_SECONDS = 4 * SECONDS
"""One that was not heard of for so long is believed gone."""

logger = structlog.get_logger()


@asynccontextmanager
async def present(context: ServiceContext) -> AsyncGenerator[None]:
    """Tell of this process for the length of a block. A server that does not answer keeps nobody from working."""
    processes = context.mongo.state[ProcessDocument.Settings.name]
    instance = context.settings.instance
    identifier = f"{context.service}/{instance}"
    ours = {"service": context.service, "instance": instance, "version": RELEASE}
    started_at = datetime.now(UTC)

    async def tell() -> None:
        now = datetime.now(UTC)
        told = {
            **{name: {"$literal": value} for name, value in ours.items()},
            "started_at": started_at,
            "seen_at": "$$NOW",
            "clock_ahead_ms": {"$subtract": [now, "$$NOW"]},
            "rescues": {"$literal": _rescues(context.metrics)},
        }
        await processes.update_one({"_id": identifier}, [{"$set": told}], upsert=True)

    async def leave() -> None:
        await processes.delete_one({"_id": identifier, "started_at": started_at})

    try:
        await tell()
    except PyMongoError as error:
        logger.warning("presence.not_told", error=error_text(error))
    async with repeating(SECONDS, tell, "presence"):
        yield
    try:
        await leave()
    except PyMongoError as error:
        logger.warning("presence.not_taken_back", error=error_text(error))


def _rescues(metrics: Metrics) -> dict[str, int]:
    return {
        sample.labels["kind"]: int(sample.value)
        for family in metrics.rescues.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and sample.value
    }
