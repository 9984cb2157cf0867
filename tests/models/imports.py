"""The model of everything that an organization does with its imports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.models.outcomes import Rejected
from tests.models.runs import Run
from tests.models.target import Record, Target
from tests.models.templates import Checked, File, Spec, Value, as_compared

UNTOUCHED = {"open", "corrected"}
WRITTEN = ("created", "updated", "deleted")


@dataclass
class Imports:
    """The runs of one organization, and the target that they share.

    Attributes:
        runs: by number.
        changes: how many runs have ended that were executed or reverted.
    """

    target: Target = field(default_factory=Target)
    runs: list[Run] = field(default_factory=list[Run])
    others: int = 0
    changes: int = 0

    def save(self, spec: Spec) -> None:
        """A template is saved: from now on the target has its keys."""
        self.target.keys |= dict.fromkeys(spec.asked_keys)

    def may_save(self, spec: Spec) -> bool:
        """Whether the records that there are keep what the template asks for."""
        for key in spec.asked_keys:
            values = [value for record in self.target.live() if (value := record.holds(key)) is not None]
            if len(values) != len(set(values)):
                return False
        return True

    def upload(self, spec: Spec, file: File) -> Run:
        run = Run(len(self.runs), spec, file, dict(enumerate(file.rows, start=1)))
        self.runs.append(run)
        run.validate(self.target)
        return run

    def outdated(self, run: Run) -> bool:
        """Whether others have written to the target since the preview of a run."""
        return run.seen is not None and run.seen != self.changes

    def execute(self, run: Run) -> None:
        self.target = run.execute(self.target)
        self.changes += 1

    def revert(self, run: Run) -> None:
        self.target = run.revert(self.target)
        self.changes += 1
        if run.parent is None:
            return
        kept = {row for _, row, _, _ in run.kept}
        for rejected in self.runs[run.parent].rejected.values():
            if rejected.retry == run.number and rejected.state in {"written", "skipped"} and rejected.row not in kept:
                rejected.state, rejected.errors = rejected.before, list(rejected.errors_before)
                rejected.skip_reason = None

    def standing_retries(self, run: Run) -> list[Run]:
        return [each for each in self.runs if each.parent == run.number and each.status == "completed"]

    def standing_writes(self, run: Run) -> list[Run]:
        """Those that have to be reverted before the run can be."""
        return [each for each in self.standing_retries(run) if any(map(each.count, WRITTEN))]

    # --- rejected rows --------------------------------------------------------------------------

    def correctable(self) -> list[tuple[Run, Rejected]]:
        """The rejected rows that can be corrected, retried and discarded."""
        runs = [run for run in self.runs if run.parent is None and run.status == "completed"]
        return [(run, each) for run in runs for each in run.rejected.values() if each.state in UNTOUCHED]

    def correct(self, run: Run, rejected: Rejected, data: Mapping[str, str | None]) -> None:
        rejected.corrected = dict(data) or None
        rejected.state = "corrected" if data else "open"
        trial = self._of_rows(run, [rejected])
        again = trial.rejected.get(rejected.row)
        rejected.errors = [] if again is None else again.errors

    def retry(self, run: Run, rows: Sequence[Rejected]) -> Run:
        """Retry rejected rows of a run; the retry at its end."""
        retry = self._of_rows(run, rows)
        self.runs.append(retry)
        for each in rows:
            each.before, each.errors_before, each.retry = each.state, list(each.errors), retry.number
        if retry.status == "validated":
            self.execute(retry)
        for each in rows:
            outcome = retry.outcomes[each.row]
            if again := retry.rejected.get(each.row):
                each.state, each.errors = "open", list(again.errors)
                again.state = "returned"
            elif retry.status == "completed":
                each.skip_reason = outcome.reasons[0][1] if outcome.reasons else None
                each.state, each.errors = "skipped" if outcome.reasons else "written", []
        return retry

    def _of_rows(self, run: Run, rows: Sequence[Rejected]) -> Run:
        cells = {each.row: each.now(run.columns) for each in sorted(rows, key=lambda each: each.row)}
        trial = Run(len(self.runs), run.spec, run.file, cells, parent=run.number)
        trial.validate(self.target, self._written(run))
        return trial

    def _written(self, run: Run) -> list[Checked]:
        """The rows of a run and of its retries that were not rejected, with which others are compared."""
        family = [run, *self.standing_retries(run)]
        return [
            each
            for member in family
            for each in member.checked.values()
            if not each.refused and each.row not in member.rejected
        ]

    # --- others ---------------------------------------------------------------------------------

    def may_hold(self, key_values: Mapping[str, Value], but: Record | None = None) -> bool:
        """Whether no live record but one holds any of these values of a key."""
        holders = (self.target.holder(key, as_compared(value)) for key, value in key_values.items())
        return all(holder is None or (but is not None and holder.id == but.id) for holder in holders)

    def insert(self, fields: Mapping[str, Value]) -> Record:
        """Another application inserts a record."""
        record = Record(("other", self.others), dict(fields), edited=True)
        self.others += 1
        self.target.put(record)
        return record
