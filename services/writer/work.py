"""What the writer works on: a run, and one of its batches."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from libs.batches.extra_keys import extra_columns
from libs.batches.payloads import BatchPayloads, PayloadKind
from libs.batches.tables import decode_table
from libs.contracts.errors import PermanentError
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RunErrorCode
from libs.contracts.rejections import RejectedRow, RowError, shown
from libs.contracts.templates import Template, asked_keys
from libs.storage.client import Mongo
from libs.storage.documents import BatchDocument, RunDocument
from libs.storage.target_keys import TargetKey
from services.writer.domain.batch_plan import Fields, Record, Values, fields_from_file, without_rows
from services.writer.domain.unique_conflicts import split_conflicts
from services.writer.target_records import TargetRecords

RowErrors = Mapping[int, tuple[RowError, ...]]


@dataclass(frozen=True, slots=True)
class Run:
    """What stays the same for all batches of a run.

    Attributes:
        document: the run as it was when its first batch came.
    """

    document: RunDocument
    id: str
    tenant_id: str
    template: Template
    file_fields: frozenset[str]
    columns: dict[str, str]
    sources: dict[str, int]
    extra: tuple[tuple[str, str], ...]
    target: TargetRecords

    @property
    def asked_keys(self) -> list[tuple[str, ...]]:
        """The combinations of fields that the run's template asks to be unique in the target."""
        return [key.names for key in asked_keys(self.template)]

    @property
    def compared(self) -> list[str]:
        """The fields of a record that the run may change."""
        extra = ["extra"] if self.template.include_unmatched_columns else []
        return [*self.file_fields, *self.template.default_values, *extra]

    def located(self, row: RejectedRow) -> RejectedRow:
        """``row`` with the column and the cell that each of its errors is about."""
        return replace(row, errors=tuple(self._located(error, row.cells) for error in row.errors))

    def _located(self, error: RowError, cells: list[str | None]) -> RowError:
        if error.field is None or (source := self.sources.get(error.field)) is None:
            return error
        cell = cells[source]
        return replace(error, column=self.columns[error.field], value=None if cell is None else shown(cell))


@dataclass(frozen=True, slots=True)
class Work:
    """One batch, and what turned out to keep some of its rows from being written.

    Attributes:
        keys: what the records of the tenant carry an entry of, as far as is known.
        checked: the rows as they were checked, but for those in ``to_delete``.
        to_delete: those whose records are to be deleted; ``None`` where the template marks none.
        refused: rows that the server refuses for a reason of their own.
        taken: for the fields of each unique index that refused a row: the records that hold values of the batch.
        found: where a row without a record is not written: the upsert keys that had one when ``taken`` was asked for.
        table: the rows that are to be written.
        deletions: those that delete their record.
        rejections: the others.
        others_since: whether somebody has changed records between this batch and an earlier one of the run that has
            changed them too, see ``BeforeImages.keep``.
        reads_records: whether every record that changes has to be read: the server refused a change that was encoded
            without, and only what is read tells why.
    """

    run: Run
    batch: BatchDocument
    keys: tuple[TargetKey, ...]
    checked: pa.Table
    table: pa.Table
    to_delete: pa.Table | None = None
    deletions: pa.Table | None = None
    refused: RowErrors = field(default_factory=dict[int, tuple[RowError, ...]])
    taken: Mapping[Fields, Mapping[Values, Record]] = field(default_factory=dict[Fields, Mapping[Values, Record]])
    found: frozenset[Any] | None = None
    rejections: RowErrors = field(default_factory=dict[int, tuple[RowError, ...]])
    others_since: bool = False
    reads_records: bool = False

    def key_of(self, *names: str) -> TargetKey | None:
        """The key of the fields ``names``, whatever their order."""
        return next((key for key in self.keys if set(key.names) == set(names)), None)

    def with_keys(self, keys: tuple[TargetKey, ...]) -> "Work":
        """The batch where the keys are others than was thought: what they kept from being written may go."""
        return replace(self, keys=keys, taken={}, found=None).parted()

    def without(self, refused: RowErrors) -> "Work":
        """The batch without rows that the server refuses."""
        return replace(self, refused={**self.refused, **refused}).parted()

    def parted(self) -> "Work":
        """Parted anew: a row that goes for one reason may be what kept another row from being written."""
        rest = without_rows(self.checked, self.refused)
        table, found = split_conflicts(rest, self.run.template, self.taken, self.found)
        rejections = {**self.refused, **{row: (error,) for row, error in found.items()}}
        deletions = None if self.to_delete is None else without_rows(self.to_delete, self.refused)
        return replace(self, table=table, deletions=deletions, rejections=dict(sorted(rejections.items())))


def run_at_work(mongo: Mongo, document: RunDocument, plan: ParsePlan) -> Run:
    """What the batches of a run share."""
    template = document.template
    sources = {name: at for name, at in plan.mapping.items() if at is not None}
    return Run(
        document,
        document.id,
        document.tenant_id,
        template,
        fields_from_file(template, plan),
        {name: plan.columns[at] for name, at in sources.items()},
        sources,
        extra_columns(plan.columns, plan.unmatched),
        TargetRecords(mongo, template.target_resource, document.tenant_id),
    )


async def rows_to_delete(payloads: BatchPayloads, run: Run, batch: BatchDocument) -> pa.Table | None:
    """The rows that delete their records, where the template marks some.

    Raises:
        PermanentError: ``MODE_NOT_SUPPORTED``; the release before, which does not know of them, has checked the file.
    """
    if run.template.delete_column is None:
        return None
    payload = await payloads.find(batch.id, PayloadKind.DELETIONS)
    if payload is None:
        raise PermanentError(
            RunErrorCode.MODE_NOT_SUPPORTED,
            "a service of an earlier release, which cannot delete records by a column, has checked this file; once all "
            "services are of this release, upload it again",
        )
    return await asyncio.to_thread(decode_table, payload.data)
