"""Composition root of the parser."""

import asyncio
from collections.abc import Sequence

from libs.contracts.plan import ParsePlan
from libs.messaging.service import Backbone, Background, Service, repeat
from libs.messaging.settings import ServiceSettings
from libs.storage.files import FileStore
from libs.storage.payloads import decode_table, encode_table
from libs.storage.settings import MongoSettings
from services.parser.domain.batches import digest
from services.parser.domain.csv_reader import CsvReader
from services.parser.domain.limits import ReaderLimits
from services.parser.handlers import subscribe
from services.parser.settings import ParserSettings
from services.parser.use_cases import ParseRun, RescueInbox


def warm_up() -> None:
    """Read a tiny file once, so that the first real one does not wait for libraries to load."""
    plan = ParsePlan(columns=("a",), mapping={"a": 0})
    reader = CsvReader(plan, ReaderLimits())
    for batch in (*reader.feed(b"a\n1\n"), *reader.close()):
        digest(batch)
        decode_table(encode_table(batch.table))


def create_service(settings: ServiceSettings, mongo_settings: MongoSettings, parser: ParserSettings) -> Service:
    """The parser service, not yet running."""

    async def assemble(backbone: Backbone) -> Sequence[Background]:
        await asyncio.to_thread(warm_up)
        files = FileStore(backbone.mongo)
        subscribe(
            backbone.consumers,
            ParseRun(backbone.ledger, files, backbone.publisher, backbone.metrics, parser, settings.instance),
        )
        rescue = RescueInbox(backbone.ledger, backbone.publisher, backbone.metrics, settings.rescue_after_seconds)
        return [lambda: repeat(settings.rescue_after_seconds / 4, rescue, "rescue")]

    return Service("parser", settings, mongo_settings, assemble)
