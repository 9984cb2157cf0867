"""Composition root of the validator."""

import asyncio
from collections.abc import Sequence

import pyarrow as pa

from libs.batches.columns import ROW, cell_column, parsed_schema
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import FieldType, Regex, Template, TemplateField
from libs.process.context import ServiceContext
from libs.process.loops import Background, repeat
from libs.process.refill import Refill
from libs.process.service import Service
from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from services.validator.domain.checking import check_batch
from services.validator.domain.compilation import compile_template
from services.validator.domain.preview import preview
from services.validator.handlers import subscribe
from services.validator.settings import ValidatorSettings
from services.validator.use_cases import RescueInbox, RunCache, ValidateBatch, WholeFileCheck


def warm_up() -> None:
    """Check one row once, so that the first real batch does not wait for libraries to load."""
    template = Template(
        name="warm-up",
        target_resource="warm_up",
        fields=tuple(
            TemplateField(
                name=kind.value,
                type=kind,
                options=("1",) if kind is FieldType.SELECT else (),
                rules=(Regex(pattern="1"),) if kind is FieldType.CUSTOM_REGEX else (),
            )
            for kind in FieldType
        ),
    )
    compiled = compile_template(template, ParsePlan(mapping={field.name: 0 for field in template.fields}))
    preview(
        check_batch(compiled, pa.Table.from_pydict({ROW: [1], cell_column(0): ["1"]}, schema=parsed_schema(1))).valid, 1
    )


def create_service(settings: ServiceSettings, mongo_settings: MongoSettings, validator: ValidatorSettings) -> Service:
    """The validator service, not yet running."""

    async def assemble(context: ServiceContext) -> Sequence[Background]:
        await asyncio.to_thread(warm_up)
        ledger, metrics = context.ledger, context.metrics
        runs, refill = RunCache(ledger), Refill(ledger, context.publisher)
        whole_file_check = WholeFileCheck(context.mongo, ledger, metrics, validator, runs, settings.instance)
        validate_batch = ValidateBatch(context.mongo, ledger, metrics, validator, whole_file_check, runs, refill)
        subscribe(context.consumers, validate_batch, workers=validator.validator_batches)
        rescue = RescueInbox(ledger, refill, metrics, whole_file_check, settings.rescue_after_seconds)
        return [lambda: repeat(settings.rescue_after_seconds / 4, rescue, "rescue")]

    return Service("validator", settings, mongo_settings, assemble)
