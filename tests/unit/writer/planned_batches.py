"""What a later run's batch of contacts does to the records that exist."""

from datetime import UTC, datetime
from typing import Any

from services.writer.domain.batch_plan import BatchPlan, plan_batch
from tests.unit.writer.checked_batches import CONTACTS, RUN_ID, checked_batch

OTHER_RUN = RUN_ID[:-1] + "9"
WRITTEN_AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
FIELDS = [field.name for field in CONTACTS.fields]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def plan(rows: list[dict[str, Any]], existing: dict[Any, Any], fields: list[str] = FIELDS) -> BatchPlan:
    return plan_batch(checked_batch(CONTACTS, rows), existing, CONTACTS, fields, OTHER_RUN, WRITTEN_AT)
