"""Composition root of the parser."""

import asyncio
from collections.abc import Sequence
from datetime import date

from libs.batches.tables import decode_table, encode_table
from libs.contracts.lanes import Lane
from libs.contracts.templates import FieldType, Template, TemplateField
from libs.formats.file_types import CSV
from libs.process.context import ServiceContext
from libs.process.loops import Background
from libs.process.refill import Refill
from libs.process.service import Service
from libs.process.settings import ServiceSettings
from libs.storage.files import FileStore
from libs.storage.settings import MongoSettings
from services.parser.formats.api.batches import digest
from services.parser.formats.api.file_format import FileFacts
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.registry import file_format
from services.parser.handlers import subscribe
from services.parser.places import Places
from services.parser.planning.plan import make_plan
from services.parser.planning.styles import StyleSearch
from services.parser.settings import ParserSettings
from services.parser.use_cases import ParseRun


def warm_up() -> None:
    """Plan and read a tiny file once, so that the first real one does not wait for libraries to load."""
    content, limits, csv = b"a,b\n1.5,25/03/2024\n", ReaderLimits(), file_format(CSV.name)
    fields = (TemplateField(name="a", type=FieldType.NUMBER), TemplateField(name="b", type=FieldType.DATE))
    template = Template(name="warm-up", target_resource="none", fields=fields)
    sampler = csv.sampler(template, FileFacts(len(content)), limits)
    sampler.feed(content)
    plan = make_plan(sampler.layout(), template, CSV.name, batch_rows=1, batch_bytes=1_024, limits=limits)
    search = StyleSearch(template, plan, date(2024, 3, 31))
    reader = csv.reader(plan, limits)
    for batch in (*reader.feed(content), *reader.close()):
        search.look(batch.table)
        digest(batch)
        decode_table(encode_table(batch.table))


def create_service(settings: ServiceSettings, mongo_settings: MongoSettings, parser: ParserSettings) -> Service:
    """The parser service, not yet running."""

    async def assemble(context: ServiceContext) -> Sequence[Background]:
        await asyncio.to_thread(warm_up)
        ledger = context.ledger
        parse_run = ParseRun(
            ledger,
            FileStore(context.mongo),
            Refill(ledger, context.publisher),
            context.metrics,
            parser,
            settings.instance,
        )
        small = Places(ledger, parse_run, Lane.SMALL, parser.small_places)
        large = Places(ledger, parse_run, Lane.LARGE, parser.large_places)
        subscribe(context.consumers, [small, large])
        return [small.work, large.work]

    return Service("parser", settings, mongo_settings, assemble)
