"""The model of a run: what becomes of its rows, of the records, and of both when it is taken back."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tests.models.outcomes import Kept, Outcome, Plan, Rejected, TakenBack
from tests.models.target import Image, Record, Target
from tests.models.templates import Checked, Error, File, Spec, Value, as_compared, check, file_fields

MAX_SHARE = Decimal("0.2")
CHANGING = {"created", "updated", "deleted"}


@dataclass
class Run:
    """A run.

    Attributes:
        number: by which records and others refer to it.
        rows: of the file, or those that are retried, with their numbers.
        checked: what the template makes of each.
        outcomes: what became of each.
        passed: the rows that are to be written.
        parent: number of the run whose rejected rows it retries.
    """

    number: int
    spec: Spec
    file: File
    rows: Mapping[int, tuple[str | None, ...]]
    parent: int | None = None
    status: str = "validated"
    checked: dict[int, Checked] = field(default_factory=dict[int, Checked])
    outcomes: dict[int, Outcome] = field(default_factory=dict[int, Outcome])
    passed: list[Checked] = field(default_factory=list[Checked])
    rejected: dict[int, Rejected] = field(default_factory=dict[int, Rejected])
    plan: Plan | None = None
    reverted: Counter[str] | None = None
    kept: list[Kept] = field(default_factory=list[Kept])
    swept: int = 0
    asked: list[str] | None = None
    seen: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return self.file.columns

    def count(self, outcome: str) -> int:
        return sum(each.outcome == outcome for each in self.outcomes.values())

    def skipped(self) -> Counter[str]:
        reasons = [each for each in self.outcomes.values() if each.outcome in {"skipped", "unchanged"}]
        return Counter(each.reasons[0][1] for each in reasons)

    # --- checking -------------------------------------------------------------------------------

    def validate(self, target: Target, written: Sequence[Checked] = ()) -> None:
        """Check the rows, alone and beside each other; what is wrong is rejected.

        Args:
            target: as it is now.
            written: of a retry: the rows of its parent and of earlier retries that were not rejected.
        """
        spec = self.spec
        self.checked = {row: check(spec, self.columns, row, cells) for row, cells in self.rows.items()}
        passed = [each for each in self.checked.values() if not each.refused]
        errors: dict[int, list[Error]] = {each.row: each.errors for each in self.checked.values() if each.refused}
        repeated, decided = self._repeated(passed, written, target)
        keep = spec.invalid_rows == "keep"
        if not keep:
            for row, error in repeated:
                errors.setdefault(row, []).append(error)
        superseded = set[int]()
        if spec.keyed and (keep or "sku" not in decided):
            gone = set[int]() if keep else {row for row, _ in repeated}
            superseded = _superseded([each for each in passed if each.row not in gone], written)
        for row in self.rows:
            if row in errors:
                self._reject(row, errors[row])
            elif row in superseded:
                self.outcomes[row] = Outcome("skipped", ((None, "DUPLICATE_UPSERT_KEY"),))
            else:
                self.outcomes[row] = Outcome("pending")
        self.passed = [each for each in passed if each.row not in errors and each.row not in superseded]
        if keep:
            self._warn(repeated)
        if spec.invalid_rows == "block" and self.rejected:
            self.stop("failed", "INVALID_ROWS")

    def _warn(self, repeated: Sequence[tuple[int, Error]]) -> None:
        """Rows that are kept say what is wrong with them."""
        for each in self.passed:
            each.errors = [] if each.deletes else each.errors + [error for row, error in repeated if row == each.row]

    def stop(self, status: str, code: str) -> None:
        """It ends without having written anything."""
        self.status = status
        for row, each in self.outcomes.items():
            if each.outcome == "pending":
                self.outcomes[row] = Outcome("skipped", ((None, code),))

    def _reject(self, row: int, errors: Sequence[Error]) -> None:
        self.outcomes[row] = Outcome("rejected", tuple(errors))
        self.rejected[row] = Rejected(row, tuple(self.rows[row]), list(errors))

    def _repeated(
        self, passed: Sequence[Checked], written: Sequence[Checked], target: Target
    ) -> tuple[list[tuple[int, Error]], set[str]]:
        """Rows with a value that is another's, and the rules by which rows of the file were compared in vain."""
        spec = self.spec
        rules = [*(["sku"] if spec.unique_key else []), *(["email"] if spec.unique else [])]
        found: list[tuple[int, Error]] = []
        decided = set[str]()
        for name in rules:
            holders: dict[Value, int] = {}
            before = {each.compared[name] for each in written}
            for each in passed:
                value = each.compared[name]
                if value is None:
                    continue
                if value in holders:
                    found.append((each.row, (name, "DUPLICATE_VALUE")))
                    decided.add(name)
                holders.setdefault(value, each.row)
                if value in before:
                    found.append((each.row, (name, "DUPLICATE_VALUE")))
                    decided.add(name)
        if spec.unique == "target":
            found += [(each.row, ("email", "EXISTS_IN_TARGET")) for each in passed if self._exists(each, target)]
        return found, decided

    def _exists(self, each: Checked, target: Target) -> bool:
        """Whether a record, other than its own, holds the address of a row that is to be written."""
        holder = target.holder("email", each.compared["email"])
        if holder is None or (self.spec.keyed and as_compared(holder.get("sku")) == each.key):
            return False
        return self.spec.mode != "update" or target.holder("sku", each.key) is not None

    # --- writing --------------------------------------------------------------------------------

    def planned(self, target: Target) -> Plan:
        """What its execution would do now."""
        refused: dict[int, list[Error]] = {}
        taken: dict[str, dict[Value, Record]] = {}
        while True:
            rows, conflicts = self._parted(refused, taken, target)
            if beyond := self._out_of_scope(rows, target):
                refused |= beyond
                continue
            plan = Plan(target.copy())
            failed = self._written(rows, plan)
            if failed is None:
                break
            row, key = failed
            if key not in taken:
                values = {as_compared(each.values.get(key)) for each in self.passed if not each.deletes}
                taken[key] = {value: holder for value in values if (holder := target.holder(key, value)) is not None}
                if len(self._parted(refused, taken, target)[1]) > len(conflicts):
                    continue
            refused[row] = [(key, "DUPLICATE_KEY")]
        for row, errors in {**conflicts, **refused}.items():
            plan.outcomes[row] = Outcome("rejected", tuple(errors))
        if self.spec.mode == "sync" and self.parent is None:
            self._look_for_missing(plan, target)
        return plan

    def _parted(
        self, refused: Mapping[int, object], taken: Mapping[str, Mapping[Value, Record]], target: Target
    ) -> tuple[list[Checked], dict[int, list[Error]]]:
        rest = [each for each in self.passed if each.row not in refused]
        conflicts: dict[int, list[Error]] = {}
        held = set[tuple[str, Value]]()
        last = {each.key: each.row for each in rest if not each.deletes}
        for each in rest:
            if each.deletes:
                continue
            claims = [(key, value) for key in taken if (value := as_compared(each.values.get(key))) is not None]
            if self.spec.keyed and (each.key is None or last[each.key] != each.row):
                claims = []
            if self.spec.mode == "update" and target.holder("sku", each.key) is None:
                claims = []
            for key, value in claims:
                holder = taken[key].get(value)
                other = holder is not None and not (self.spec.keyed and as_compared(holder.get("sku")) == each.key)
                if other or (key, value) in held:
                    conflicts[each.row] = [(key, "DUPLICATE_KEY")]
                    break
            else:
                held.update(claims)
        return [each for each in rest if each.row not in conflicts], conflicts

    def _out_of_scope(self, rows: Sequence[Checked], target: Target) -> dict[int, list[Error]]:
        if self.spec.mode != "sync":
            return {}
        says_source = self.spec.source == "default" or "source" in self.columns
        found: dict[int, list[Error]] = {}
        for each in rows:
            record = target.holder("sku", each.key)
            beyond = record is not None and record.get("source") != "erp"
            if not beyond and (record is None or says_source):
                wanted = "erp" if self.spec.source == "default" else each.values.get("source")
                beyond = wanted != "erp"
            if beyond:
                found[each.row] = [("source", "OUT_OF_SCOPE")]
        return found

    def _written(self, rows: Sequence[Checked], plan: Plan) -> tuple[int, str] | None:
        """Write the rows, those first that change a record, those last that delete one; the first that is refused."""
        target, spec = plan.target, self.spec
        existing = {each.row: target.holder("sku", each.key) if spec.keyed else None for each in rows}
        last = {each.key: each.row for each in rows if not each.deletes}
        stamp = target.stamp()
        creating: list[Checked] = []
        for each in (each for each in rows if not each.deletes):
            record = existing[each.row]
            if spec.keyed and last[each.key] != each.row:
                plan.outcomes[each.row] = Outcome("skipped", ((None, "DUPLICATE_UPSERT_KEY"),))
            elif record is not None:
                if key := self._update(plan, each, record, stamp):
                    return each.row, key
            elif spec.mode == "update":
                plan.outcomes[each.row] = Outcome("skipped", ((None, "NOT_FOUND"),))
            else:
                creating.append(each)
        for each in creating:
            if key := self._create(plan, each, stamp):
                return each.row, key
        for each in (each for each in rows if each.deletes):
            if (record := existing[each.row]) is None:
                plan.outcomes[each.row] = Outcome("skipped", ((None, "NOT_FOUND"),))
                continue
            self._delete(plan, record, each.row, stamp)
            plan.outcomes[each.row] = Outcome("deleted", (), record.id)
        return None

    def _update(self, plan: Plan, each: Checked, record: Record, stamp: int) -> str | None:
        """Change a record where the row differs; the key by which that is refused."""
        if not (changes := self._changes(each, record)):
            plan.outcomes[each.row] = Outcome("unchanged", ((None, "UNCHANGED"),))
            return None
        names = tuple(name for name in changes if name != "extra")
        after = replace(
            record,
            fields={**record.fields, **{name: self._wanted(each, name) for name in names}},
            extra={**(record.extra or {}), **each.extra} if "extra" in changes else record.extra,
            by=(self.number, each.row),
            version=(record.version or 0) + 1,
            warnings=tuple(each.errors),
            stamp=stamp,
        )
        if key := plan.target.collides(after):
            return key
        plan.target.put(after)
        plan.images.append(Image(each.row, record, names, "extra" in changes, deletes=False))
        plan.outcomes[each.row] = Outcome("updated", (), record.id)
        return None

    def _create(self, plan: Plan, each: Checked, stamp: int) -> str | None:
        """Make a record of a row; the key by which that is refused."""
        record = Record(
            ("run", self.number, each.row),
            {name: self._wanted(each, name) for name in self.spec.sets},
            dict(each.extra) if self.spec.memo else None,
            by=(self.number, each.row),
            version=1,
            warnings=tuple(each.errors),
            stamp=stamp,
        )
        if key := plan.target.collides(record):
            return key
        plan.target.put(record)
        plan.created.append(record)
        plan.outcomes[each.row] = Outcome("created", (), record.id)
        return None

    def _delete(self, plan: Plan, record: Record, row: int | None, stamp: int) -> None:
        plan.images.append(Image(row, record, (), extra=False, deletes=True))
        plan.target.put(
            replace(
                record, deleted=True, by=(self.number, row), version=(record.version or 0) + 1, warnings=(), stamp=stamp
            )
        )

    def _wanted(self, each: Checked, name: str) -> Value:
        return "erp" if name == "source" and self.spec.source == "default" else each.values[name]

    def _changes(self, each: Checked, record: Record) -> list[str]:
        """The fields in which a row differs from its record."""
        compared = {*file_fields(self.spec, self.columns), "sku"}
        compared |= {"source"} if self.spec.source == "default" else set()
        changes = [name for name in self.spec.sets if name in compared and self._wanted(each, name) != record.get(name)]
        if self.spec.memo and any((record.extra or {}).get(name) != text for name, text in each.extra.items()):
            changes.append("extra")
        return changes

    def _look_for_missing(self, plan: Plan, target: Target) -> None:
        held = {each.held for each in self.checked.values()} - {None}
        scope = [record for record in target.live() if record.get("source") == "erp"]
        plan.going = [record for record in scope if as_compared(record.get("sku")) not in held]
        if plan.going:
            asks = {
                "EMPTY_FILE": not held,
                "UNFINISHED_FILE": not self.file.ended,
                "UNCLEAR_KEYS": any(each.unclear for each in self.checked.values()),
                "LARGE_SHARE": len(plan.going) > MAX_SHARE * len(scope),
            }
            plan.reasons = [reason for reason, holds in asks.items() if holds]

    def execute(self, target: Target) -> Target:
        """Write it; the target afterwards."""
        plan = self.plan = self.planned(target)
        stamp = plan.target.stamp()
        for record in plan.going:
            self._delete(plan, record, None, stamp)
        self.swept = len(plan.going)
        for row, outcome in plan.outcomes.items():
            if outcome.outcome == "rejected":
                self._reject(row, outcome.reasons)
            else:
                self.outcomes[row] = outcome
        self.status = "completed"
        return plan.target

    # --- taking it back -------------------------------------------------------------------------

    def revert(self, target: Target) -> Target:
        """Take it back; the target afterwards."""
        assert self.plan is not None
        self.reverted = Counter()
        self.status = "reverted"
        swept = [image for image in self.plan.images if image.row is None]
        of_rows = [image for image in self.plan.images if image.row is not None]
        target = self._taken_back(target, [], swept)
        return self._taken_back(target, self.plan.created, of_rows)

    def _taken_back(self, target: Target, created: Sequence[Record], images: Sequence[Image]) -> Target:
        """Take a batch back, without the records that cannot be what they were."""
        immovable: dict[object, tuple[str, ...]] = {}
        blamed = set[object]()
        while True:
            back = self._judged(target, created, images, immovable)
            after = target.copy()
            for record in back.removed:
                del after.records[record.id]
            if (refused := self._put_back(after, back.moving)) is None:
                break
            found = back.in_the_way(target)
            if not found and refused in blamed:
                found = {refused: ()}
            blamed.add(refused)
            immovable |= found
        self._note(back, {record.id for record in created}, {image.row for image in images})
        return after

    def _judged(
        self,
        target: Target,
        created: Sequence[Record],
        images: Sequence[Image],
        immovable: Mapping[object, tuple[str, ...]],
    ) -> TakenBack:
        back = TakenBack()
        for record in created:
            now = target.records.get(record.id)
            if now is None:
                continue
            if fields := self._changed_created(now, record):
                back.kept.append((now.id, record.by[1] if record.by else None, "CHANGED", fields[1:]))
            else:
                back.removed.append(now)
        for image in images:
            now = target.records.get(image.before.id)
            if now is None:
                back.kept.append((image.before.id, image.row, "GONE", ()))
            elif fields := self._changed_since(now, image):
                back.kept.append((now.id, image.row, "CHANGED", fields[1:]))
            elif now.id in immovable:
                back.kept.append((now.id, image.row, "KEY_TAKEN", immovable[now.id]))
            else:
                back.moving.append((image, self._restored(now, image)))
        back.moving.sort(key=lambda each: (not each[0].deletes, -(each[0].row or 0)))
        return back

    def _note(self, back: TakenBack, created: Collection[object], changed: Collection[int | None]) -> None:
        """What became of the rows and records of a batch."""
        assert self.reverted is not None
        returned = sum(image.deletes for image, _ in back.moving)
        self.reverted += Counter(
            removed=len(back.removed), restored=len(back.moving) - returned, returned=returned, kept=len(back.kept)
        )
        self.kept += back.kept
        by_row = {row: (reason, fields) for _, row, reason, fields in back.kept}
        for row, each in self.outcomes.items():
            if each.outcome in CHANGING and (each.record in created or row in changed):
                note = by_row.get(row)
                self.outcomes[row] = replace(each, revert="kept" if note else "reverted", kept=note)

    def _put_back(self, after: Target, moving: Sequence[tuple[Image, Record]]) -> object:
        """Give records back what they held, one after another; the first that is refused."""
        for _, record in moving:
            if after.collides(record):
                return record.id
            after.put(record)
        return None

    def _changed_created(self, now: Record, record: Record) -> tuple[str, ...]:
        """Nothing, or ``changed`` and the fields that somebody changed."""
        names = {*now.fields, *record.fields}
        fields = [name for name in names if now.get(name) != record.get(name)]
        if (now.extra or {}) != (record.extra or {}):
            fields.append("extra")
        if now.deleted:
            fields.append("is_deleted")
        return ("changed", *sorted(fields)) if fields or now.by != record.by else ()

    def _changed_since(self, now: Record, image: Image) -> tuple[str, ...]:
        fields: list[str] = []
        if not image.deletes:
            assert image.row is not None
            fields += self._changes(self.checked[image.row], now)
        if now.deleted is not image.deletes:
            fields.append("is_deleted")
        return ("changed", *sorted(fields)) if fields or now.by != (self.number, image.row) else ()

    def _restored(self, now: Record, image: Image) -> Record:
        before = image.before
        fields = dict(now.fields)
        for name in image.fields:
            if name in before.fields:
                fields[name] = before.fields[name]
            else:
                fields.pop(name, None)
        return replace(
            before, fields=fields, extra=before.extra if image.extra else now.extra,
            deleted=before.deleted if image.deletes else now.deleted, edited=now.edited,
        )  # fmt: skip


def _superseded(competing: Sequence[Checked], written: Sequence[Checked]) -> set[int]:
    """The rows whose upsert key a later one has, which wins."""
    last: dict[Value, int] = {}
    for each in [*competing, *written]:
        last[each.compared["sku"]] = max(last.get(each.compared["sku"], 0), each.row)
    return {
        each.row for each in competing if each.compared["sku"] is not None and each.row < last[each.compared["sku"]]
    }
