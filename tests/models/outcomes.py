"""What the model says of rows and records: outcomes, plans, and what is rejected or kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.models.target import Id, Image, Record, Target
from tests.models.templates import Error

Kept = tuple[Id, int | None, str, tuple[str, ...]]
"""A record that a revert leaves as it is: its id, the row that wrote it, the reason, the fields that this is about."""


@dataclass(frozen=True)
class Outcome:
    """What became of a row: its outcome, the reasons, the record, and what a revert did to that."""

    outcome: str
    reasons: tuple[Error, ...] = ()
    record: tuple[object, ...] | None = None
    revert: str | None = None
    kept: tuple[str, tuple[str, ...]] | None = None


@dataclass
class Plan:
    """What the rows of a run do to the records, beside a target as it is at a moment.

    Attributes:
        target: as it is afterwards.
        images: what was changed, as it was before.
        created: the records that are new.
        outcomes: of the rows that the check has let pass.
        going: the records that a sync deletes because its file does not hold them.
        reasons: why it asks first.
    """

    target: Target
    outcomes: dict[int, Outcome] = field(default_factory=dict[int, Outcome])
    images: list[Image] = field(default_factory=list[Image])
    created: list[Record] = field(default_factory=list[Record])
    going: list[Record] = field(default_factory=list[Record])
    reasons: list[str] = field(default_factory=list[str])


@dataclass
class Rejected:
    """A rejected row since."""

    row: int
    cells: tuple[str | None, ...]
    errors: list[Error]
    state: str = "open"
    corrected: dict[str, str | None] | None = None
    before: str = "open"
    errors_before: list[Error] = field(default_factory=list[Error])
    skip_reason: str | None = None
    retry: int | None = None

    def now(self, columns: Sequence[str]) -> tuple[str | None, ...]:
        """Its cells with the corrections."""
        if self.corrected is None:
            return self.cells
        cells = [*self.cells[: len(columns)]]
        return tuple(self.corrected.get(name, cell) for name, cell in zip(columns, cells, strict=True))


@dataclass
class TakenBack:
    """What becomes of the records of a batch that is taken back."""

    removed: list[Record] = field(default_factory=list[Record])
    moving: list[tuple[Image, Record]] = field(default_factory=list[tuple[Image, Record]])
    kept: list[Kept] = field(default_factory=list[Kept])

    def in_the_way(self, target: Target) -> dict[object, tuple[str, ...]]:
        """The records whose keys others have that do not move themselves, and these keys."""
        ids = {record.id for _, record in self.moving} | {record.id for record in self.removed}
        found: dict[object, tuple[str, ...]] = {}
        for _, record in self.moving:
            for key in sorted(target.keys):
                holder = target.holder(key, record.holds(key))
                if holder is not None and holder.id not in ids:
                    found.setdefault(record.id, (key,))
        return found
