"""What becomes of a batch of which the server refuses a row: the batch without the rows that cannot be written."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from libs.contracts.errors import TransientError
from libs.contracts.reasons import RowErrorCode
from libs.contracts.record_keys import KEYS, PLACES, SCOPE_PATH
from libs.contracts.rejections import RowError
from libs.contracts.templates import ImportMode
from libs.storage.client import Document, Mongo
from libs.storage.mongo_errors import DUPLICATE_KEY
from libs.storage.target_keys import TargetKey
from services.writer.domain.batch_plan import Fields, Record, Values, field_values, upsert_keys
from services.writer.domain.refusals import refusal_errors
from services.writer.domain.unique_conflicts import described
from services.writer.refused_rows import RowRefusedError, refused_rows
from services.writer.target_records import StaleKeysError
from services.writer.work import RowErrors, Work

_COMMON_KEYS = frozenset({"tenant_id", "is_deleted"})
"""Fields that say nothing about a row; those of an index that an earlier release made stand after them."""


class KeysChangedError(Exception):
    """The tenant's keys are others than those that the batch was planned with."""


class OutOfScopeError(Exception):
    """Rows of a sync reach beyond its scope.

    Attributes:
        errors: what is wrong with each.
    """

    def __init__(self, errors: RowErrors) -> None:
        super().__init__(f"{len(errors)} rows are out of scope")
        self.errors = errors


async def without_refused(mongo: Mongo, work: Work, refusal: RowRefusedError) -> Work:
    """The batch without the rows that the target cannot hold for the reason of ``refusal``; they are rejected.

    It is ``work`` itself where nothing is wrong with the row, only with what was known of records and keys: others
    created one meanwhile, or changed fields and not the entries that follow from them, which are mended here.
    Otherwise either a unique index joins those that are known, or at least the row is rejected that the server named:
    so this ends.

    Raises:
        TransientError: the row's own record is there already.
    """
    if refusal.refusal.code == DUPLICATE_KEY:
        try:
            return await without_duplicates(work, refusal.row, refusal.refusal.reason)
        except StaleKeysError as stale:
            await work.run.target.renew_keys(stale.record_ids)
            return work
    found = await refused_rows(mongo, refusal)
    resource, sets = work.run.target.resource, work.run.template.sets
    refused = {
        row: refusal_errors(each.code, each.reason, resource, sets)
        for row, each in found.items()
        if each.code != DUPLICATE_KEY
    }
    return work.without(refused)


TakenBy = Callable[[Work, Fields, TargetKey | None], Awaitable[Mapping[Values, Record]]]
FoundBy = Callable[[Work], Awaitable[frozenset[Any] | None]]


async def taken_values(work: Work, fields: Fields, key: TargetKey | None) -> Mapping[Values, Record]:
    """The records that hold values of the batch in these fields, by entries where there is a key of them."""
    values, more = await asyncio.to_thread(values_of, work, fields)
    return await work.run.target.by_values(fields, values, more, key)


def values_of(work: Work, fields: Fields) -> tuple[list[Values], list[str]]:
    """What the rows of a batch hold in these fields, and what else has to be known of records that hold the same."""
    template = work.run.template
    columns = [field_values(work.checked, template, name) for name in fields]
    more = [] if template.upsert_key is None else [template.upsert_key]
    return list(zip(*columns, strict=True)), more


async def found_keys(work: Work) -> frozenset[Any] | None:
    """The upsert keys of the batch that have a record, where rows without one are not written."""
    template = work.run.template
    if template.mode is not ImportMode.UPDATE or template.upsert_key is None:
        return None
    key = work.key_of(template.upsert_key)
    assert key is not None, "the batch was planned by it"
    return frozenset(await work.run.target.by_key(key, upsert_keys(work.checked, template), ()))


async def without_duplicates(
    work: Work, row: int, reason: Document, taken_by: TakenBy = taken_values, found_by: FoundBy = found_keys
) -> Work:
    """The batch without the rows that the unique index of ``reason``, the server's write error of ``row``, keeps from
    being written: only the one row where the index is not one that Rowdock made, so that its rules are unknown.

    Raises:
        TransientError: the row's own record is there already.
        StaleKeysError: a record carries an entry that does not follow from its fields.
    """
    run = work.run
    key, fields, values = _broken(work, reason)
    if SCOPE_PATH in fields:
        return work
    if "_id" in fields:
        raise TransientError(f"the record of row {row} exists already")
    if key is not None and SCOPE_PATH not in reason["keyPattern"]:
        # An index of an earlier release, whose writers give records no entries.
        found = await run.target.without_entry(key, values)
        await run.target.renew_keys(found)
        if found and not await run.target.without_entry(key, values):
            return work
    if run.template.matches_by_key and key is not None and fields == (run.template.upsert_key,):
        position = work.checked["_row"].to_pylist().index(row)
        value = upsert_keys(work.checked, run.template)[position]
        if await run.target.by_key(key, [value], ()):
            return work
    elif fields and fields not in work.taken and run.template.sets.issuperset(fields):
        taken = await taken_by(work, fields, key)
        found = await found_by(work)
        parted = replace(work, taken={**work.taken, fields: taken}, found=found).parted()
        if len(parted.rejections) > len(work.rejections):
            return parted
        work = parted
    held = described(zip(fields, values, strict=True))
    message = (
        f"The collection {run.target.resource!r} has a unique index that allows no second record with "
        f"{held or 'the values of this row'}. Change the row, or have the index changed by whoever looks after it."
    )
    field = next((name for name in fields if name in run.template.sets), None)
    return work.without({row: (RowError(field, None, RowErrorCode.DUPLICATE_KEY, message),)})


def _broken(work: Work, reason: Document) -> tuple[TargetKey | None, Fields, Values]:
    """What a row breaks: the key, where it is one that ``work`` knows; the fields; and the values that are taken."""
    held: Document = reason["keyValue"]
    fields: Fields = tuple(name for name in reason["keyPattern"] if name not in _COMMON_KEYS)
    if SCOPE_PATH in fields:
        key = next((key for key in work.keys if key.id == held[SCOPE_PATH]), None)
        if key is None:
            return None, (SCOPE_PATH,), ()
        return key, key.names, tuple(held[f"{KEYS}.{place}"] for place in PLACES[: len(key.names)])
    key = work.key_of(*fields)
    fields = fields if key is None else key.names
    return key, fields, tuple(held.get(name) for name in fields)
