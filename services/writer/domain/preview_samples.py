"""The first few rows of each kind as a preview shows them: with what they would change, before and after."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import bson
from bson import Decimal128, ObjectId
from bson.datetime_ms import DatetimeMS

from libs.contracts.record_keys import KEYS
from libs.contracts.rejections import RowError, shown
from libs.contracts.templates import SYSTEM_TIMES, Template
from services.writer.domain.batch_plan import BatchPlan, RecordUpdate

MOST_SAMPLES: Final = 10
"""Of each kind."""
MOST_FIELDS: Final = 100
"""Of each row; those beyond are left out."""
_OWN = frozenset({"_id", "tenant_id", "is_deleted", "deleted_at", "_import", KEYS})


class Samples:
    """Collects them over the batches of a run, in the order of the file.

    Args:
        template: of the run.
    """

    def __init__(self, template: Template) -> None:
        self._hidden = _OWN | {name for name in SYSTEM_TIMES if name not in template.sets}
        self.found: dict[str, list[dict[str, Any]]] = {
            kind: [] for kind in ("create", "update", "delete", "skip", "reject")
        }

    def wanted(self, kind: str) -> int:
        """How many more of a kind are wanted."""
        return MOST_SAMPLES - len(self.found[kind])

    def add(
        self,
        plan: BatchPlan,
        created: Sequence[bytes | memoryview],
        rows: Sequence[int],
        skipped: Mapping[str, Sequence[int]],
        rejected: Mapping[int, Sequence[RowError]],
    ) -> None:
        """Add those of a batch.

        Args:
            plan: of the batch.
            created: some of its new records, as they would be stored.
            rows: their numbers.
            skipped: the rows that it skips, by reason.
            rejected: those that the target would refuse.
        """
        for row, data in zip(rows, created, strict=True):
            record = bson.decode(data)  # pyright: ignore[reportUnknownMemberType]
            self._add("create", {"row": row, "after": self._shown(record)})
        for update in plan.updates[: self.wanted("update")]:
            self._add("update", {**_named(update), "changes": self._changes(update)})
        for deletion in plan.deletions[: self.wanted("delete")]:
            self._add("delete", _named(deletion))
        by_row = sorted((row, reason) for reason, some in skipped.items() for row in some[:MOST_SAMPLES])
        for row, reason in by_row[: self.wanted("skip")]:
            self._add("skip", {"row": row, "code": reason})
        for row, errors in list(rejected.items())[: self.wanted("reject")]:
            told = [{"field": each.field, "code": str(each.code), "message": each.message} for each in errors]
            self._add("reject", {"row": row, "errors": told})

    def add_missing(self, record_ids: Sequence[Any]) -> None:
        """Add records that a sync would delete because its file does not hold them."""
        for record_id in record_ids[: max(self.wanted("delete"), 0)]:
            self._add("delete", {"row": None, "record_id": str(record_id)})

    def _add(self, kind: str, sample: dict[str, Any]) -> None:
        self.found[kind].append(sample)

    def _shown(self, record: Mapping[str, Any]) -> dict[str, Any]:
        fields = [(name, value) for name, value in record.items() if name not in self._hidden]
        return {name: shown_value(value) for name, value in fields[:MOST_FIELDS]}

    def _changes(self, update: RecordUpdate) -> dict[str, Any]:
        before = {} if update.before is None else update.before.restore
        names = [name for name in update.changes if name not in self._hidden][:MOST_FIELDS]
        return {
            name: {"before": shown_value(before.get(name)), "after": shown_value(update.changes[name])}
            for name in names
        }


def _named(update: RecordUpdate) -> dict[str, Any]:
    return {"row": update.row, "record_id": str(update.record_id)}


def shown_value(value: object) -> object:
    """A value of a record as JSON has it: the beginning of a long text, and of nested things what fits."""
    match value:
        case None | bool():
            return value
        case int() | float():
            return value if value == value and abs(value) != float("inf") else str(value)
        case str():
            return shown(value)
        case datetime():
            moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
            return moment.isoformat().replace("+00:00", "Z")
        case Decimal128() | ObjectId() | DatetimeMS():
            return str(value)
        case Mapping():
            some = list(cast("Mapping[str, object]", value).items())[:MOST_FIELDS]
            return {
                str(name)[:200]: shown_value(each) if not isinstance(each, Mapping) else "{…}" for name, each in some
            }
        case _:
            return shown(str(value)[:1_000])
