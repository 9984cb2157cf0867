"""What a batch does to the records that exist: for its execution and for a preview alike."""

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from libs.batches.tables import warned_rows
from libs.contracts.errors import PermanentError
from libs.contracts.reasons import SkipReason
from libs.storage.client import Session
from libs.storage.documents import BatchResult
from services.writer.conflicts import KeysChangedError, OutOfScopeError
from services.writer.domain.batch_plan import BatchPlan, Record, plan_batch, upsert_keys
from services.writer.domain.encoded_changes import ChangeEncoder, EncodedChanges
from services.writer.domain.row_comparison import RowComparison
from services.writer.domain.sync_scope import out_of_scope
from services.writer.work import Work


async def existing_records(
    work: Work, session: Session, written_at: datetime | None = None
) -> tuple[Mapping[Any, Record], EncodedChanges | None]:
    """The live record of each upsert key of a batch that has one, as ``plan_batch`` takes it.

    Args:
        work: the batch.
        session: whose reads these are.
        written_at: when the batch is written: what can be encoded without reading its record is. ``None`` where it is
            only planned.

    Raises:
        KeysChangedError: ``work`` does not know the key that they are found by.
        StaleKeysError: a record carries an entry that does not follow from its fields.
        OutOfScopeError: rows of a sync reach beyond its scope.
    """
    values, fields = await asyncio.to_thread(wanted_records, work)
    assert work.run.template.upsert_key is not None
    if (key := work.key_of(work.run.template.upsert_key)) is None:
        raise KeysChangedError
    rows = await asyncio.to_thread(_comparison, work, fields)
    if rows is None:
        existing, encoded = await work.run.target.by_key(key, values, fields, session), None
    else:
        encoder = None if written_at is None else _encoder(work, written_at)
        existing, encoded = await work.run.target.compared(key, values, fields, session, rows, encoder)
    await within_scope(work, existing)
    return existing, encoded


async def within_scope(work: Work, existing: Mapping[Any, Record]) -> None:
    """Nothing, where no row of a sync reaches beyond its scope.

    Raises:
        OutOfScopeError: some do.
    """
    run = work.run
    if beyond := await asyncio.to_thread(out_of_scope, work.table, existing, run.template, run.file_fields):
        raise OutOfScopeError(beyond)


def wanted_records(work: Work) -> tuple[list[Any], set[str]]:
    """The upsert keys of a batch, and what has to be known of their records."""
    values = upsert_keys(work.table, work.run.template)
    fields = {*work.run.compared, *(name for key in work.keys for name in key.names)}
    if work.deletions is not None:
        values += upsert_keys(work.deletions, work.run.template)
        fields |= {"is_deleted", "deleted_at"}
    return values, fields | (work.run.template.scope_filter or {}).keys()


def _comparison(work: Work, fields: Collection[str]) -> RowComparison | None:
    """How records are told that need not be read; ``None`` where more of them is looked up than the rows say."""
    run, deletes = work.run, work.deletions is not None
    names = {*run.compared, run.template.upsert_key, *(("is_deleted", "deleted_at") if deletes else ())}
    if not work.table.num_rows or not names.issuperset(fields):
        return None
    try:
        return RowComparison(work.table, run.template, run.compared, run.extra, work.keys, deletes=deletes)
    except PermanentError:
        return None  # Together the rows are too large; new records are refused for that, changes of others are not.


def _encoder(work: Work, written_at: datetime) -> ChangeEncoder | None:
    """How changes are encoded of records that are not read; ``None`` where more has to be known of these.

    A sync holds records against its scope, and where others have changed records since the run has, it is asked for
    each whether there is a before-image.
    """
    run, template = work.run, work.run.template
    if work.reads_records or work.others_since or template.scope_filter:
        return None
    return ChangeEncoder(template, run.id, run.tenant_id, run.target.resource, written_at)


def plan_of(
    work: Work, existing: Mapping[Any, Record], written_at: datetime, encoded: EncodedChanges | None = None
) -> BatchPlan:
    """What becomes of the rows of a batch beside these records."""
    run = work.run
    return plan_batch(
        work.table,
        existing,
        run.template,
        run.file_fields,
        run.id,
        written_at,
        run.extra,
        work.keys,
        work.deletions,
        encoded,
    )


def result_of(work: Work, plan: BatchPlan) -> BatchResult:
    """Where the rows of a batch go by its plan."""
    checked = work.batch.result
    rejected = len(work.rejections)
    return checked.model_copy(
        update={
            "ok": checked.ok - rejected,
            "rejected": checked.rejected + rejected,
            "warnings": checked.warnings - (warned_rows(work.checked) - warned_rows(work.table)),
            "created": plan.create.num_rows,
            "updated": len(plan.updated_rows),
            "deleted": len(plan.deletions),
            "unchanged": len(plan.skipped.get(SkipReason.UNCHANGED, [])),
            "not_found": len(plan.skipped.get(SkipReason.NOT_FOUND, [])),
            "duplicate_keys": checked.duplicate_keys + len(plan.skipped.get(SkipReason.DUPLICATE_UPSERT_KEY, [])),
        }
    )
