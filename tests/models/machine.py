"""What may happen to an organization's imports, in any order: a state machine of Hypothesis for each mode."""

import sys
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.models.outcomes import Rejected
from tests.models.runs import Run
from tests.models.target import Record
from tests.models.templates import File, Spec, Value
from tests.models.world import World

SKUS = st.sampled_from([*"abcabcd", "a\u00a0", "\u200bb", " c", "\u00e9", "e\u0301", ""])
EMAILS = ("p@x.se", "p@X.SE", "P@x.se", " q@x.se\u00a0", "r@x.se", "s@x.se")
NUMBERS = st.sampled_from([*"123123", "4", "1.0", "02", "3.00", "x", ""])
CELLS: dict[str, st.SearchStrategy[str]] = {
    "name": st.sampled_from(["x", "y", "x", "y", "x", "y", ""]),
    "email": st.sampled_from([*EMAILS, "", "", "bad"]),
    "price": st.sampled_from(["1", "1.00", "2.5", "", "1", "2.5", "cheap"]),
    "source": st.sampled_from([*["erp"] * 6, "shop", ""]),
    "memo": st.sampled_from(["m", "n", ""]),
    "gone": st.sampled_from(["", "", "", "no", "yes", "delete", "1", "maybe"]),
}
DEEDS = ("preview", "execute", "execute", "confirm", "ignore changes", "cancel")
modes = st.sampled_from(["append", "upsert", "update", "sync"])


@st.composite
def specs(draw: st.DrawFn, mode: str, *, number_key: bool) -> Spec:
    """Templates of one mode."""
    if mode == "sync":
        source = draw(st.sampled_from(["default", "default", "column"]))
    else:
        source = draw(st.sampled_from(["default", "column", "none"]))
    return Spec(
        mode=mode,
        number_key=number_key,
        unique=draw(st.sampled_from([None, None, "file", "target"])),
        unique_key=draw(st.sampled_from([False, False, False, True])),
        name_required=draw(st.sampled_from([False, False, True])),
        deletes=mode == "upsert" and draw(st.booleans()),
        invalid_rows=draw(st.sampled_from(["skip", "skip", "skip", "skip", "keep", "keep", "block"])),
        source=source,
        memo=draw(st.sampled_from([False, False, True])),
        price_default=draw(st.sampled_from([False, False, True])),
    )


@st.composite
def files(draw: st.DrawFn, spec: Spec) -> File:
    """Files that a template can read."""
    optional = [name for name in ("email", "price", "source", "memo") if draw(st.sampled_from([True, True, False]))]
    names: list[str] = ["sku", "name", *optional, *(["gone"] if spec.deletes else [])]
    columns: tuple[str, ...] = tuple(draw(st.permutations(names)))
    cells = {**CELLS, "sku": NUMBERS if spec.number_key else SKUS}
    rows: list[tuple[str, ...]] = []
    for _ in range(draw(st.sampled_from([0, 1, 2, 2, 3, 3, 4, 4, 5, 6, 8, 12, 30]))):
        row = [draw(cells[name]) for name in columns]
        if not any(cell.strip("\u200b\u00a0 ") for cell in row):
            row[columns.index("name")] = "x"
        if draw(st.integers(0, 19)) == 19:
            row.append("!")
        rows.append(tuple(row))
    ended = spec.mode != "sync" or draw(st.sampled_from([True, True, True, False]))
    return File(columns, tuple(rows), ended=ended)


@st.composite
def corrections(draw: st.DrawFn, run: Run, rejected: Rejected) -> dict[str, str | None]:
    """Corrections of a row, most of them right; of one that could not be read, of every cell."""
    right = {"sku": "9" if run.spec.number_key else "k", "name": "x", "email": "q@x.se", "price": "3", "gone": ""}
    wrong = [name for name, _ in rejected.errors if name in run.columns]
    names = set(run.columns) if len(rejected.cells) > len(run.columns) else {*wrong}
    names |= draw(st.sets(st.sampled_from(run.columns), max_size=2))
    cells = {**CELLS, "sku": NUMBERS if run.spec.number_key else SKUS}
    return {
        name: right[name] if name in wrong and name in right and draw(st.booleans()) else draw(cells[name])
        for name in run.columns
        if name in names
    }


class Imports(RuleBasedStateMachine):
    """Subclasses say the mode that it is about, and open a world."""

    mode = "append"

    def __init__(self) -> None:
        super().__init__()
        self.world = self.opened()
        self.specs: list[Spec] = []

    def opened(self) -> World:
        """An organization that has nothing yet."""
        raise NotImplementedError

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # What has failed already is not looked at once more.
                self.world.settle()
        finally:
            self.world.close()

    @property
    def runs(self) -> list[Run]:
        return self.world.model.runs

    def of_status(self, *statuses: str) -> list[Run]:
        return [run for run in self.runs if run.status in statuses]

    def live(self) -> list[Record]:
        return list(self.world.model.target.live())

    # --- files ----------------------------------------------------------------------------------

    @initialize(data=st.data(), number_key=st.booleans())
    def choose_templates(self, data: st.DataObject, number_key: bool) -> None:
        self.number_key = number_key
        self.specs = [data.draw(specs(self.mode, number_key=number_key), "template")]
        for mode in data.draw(st.lists(modes, max_size=2), "other modes"):
            self.specs.append(data.draw(specs(mode, number_key=number_key), "another template"))
        # A target that holds something, most times.
        fill = data.draw(st.sampled_from([None, "upsert", "append"]), "filled by")
        if fill is not None:
            spec = Spec(fill, number_key=number_key, source="default")
            self.execute(self.uploaded(data, spec))

    def uploaded(self, data: st.DataObject, spec: Spec) -> Run | None:
        if not self.world.model.may_save(spec):
            return None
        return self.world.upload(spec, data.draw(files(spec), "file"))

    def execute(self, run: Run | None) -> None:
        if run is not None and run.status == "validated":
            self.world.execute(run, confirm=run.spec.mode == "sync", ignoring=True)

    @rule(data=st.data(), previewed=st.booleans())
    def import_a_file(self, data: st.DataObject, previewed: bool) -> None:
        spec = data.draw(st.sampled_from([self.specs[0], *self.specs]), "template")
        run = self.uploaded(data, spec)
        if run is None or run.status != "validated":
            return
        if previewed:
            self.world.preview(run)
        self.execute(run)

    @rule(data=st.data())
    def upload_a_file(self, data: st.DataObject) -> None:
        self.uploaded(data, data.draw(st.sampled_from([self.specs[0], *self.specs]), "template"))

    @precondition(lambda self: self.of_status("completed", "reverted"))
    @rule(data=st.data())
    def import_a_file_again(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from([run for run in self.of_status("completed", "reverted") if run.parent is None]))
        self.execute(self.world.upload(run.spec, run.file))

    @precondition(lambda self: self.of_status("validated"))
    @rule(data=st.data(), deed=st.sampled_from(DEEDS))
    def go_on_with_a_run(self, data: st.DataObject, deed: str) -> None:
        run = data.draw(st.sampled_from(self.of_status("validated")), "run")
        if deed == "preview":
            self.world.preview(run)
        elif deed == "cancel":
            self.world.cancel(run)
        else:
            self.world.execute(run, confirm=deed == "confirm", ignoring=deed == "ignore changes")

    @precondition(lambda self: self.of_status("completed"))
    @rule(data=st.data(), retries=st.booleans())
    def revert_a_run(self, data: st.DataObject, retries: bool) -> None:
        completed = self.of_status("completed")
        of_retries = [run for run in completed if run.parent is not None] if retries else []
        self.world.revert(data.draw(st.sampled_from(of_retries or completed), "run"))

    # --- rejected rows --------------------------------------------------------------------------

    @precondition(lambda self: self.world.model.correctable())
    @rule(data=st.data(), deed=st.sampled_from(["correct", "correct", "correct and retry", "retry", "discard"]))
    def somebody_looks_after_a_row(self, data: st.DataObject, deed: str) -> None:
        run, rejected = data.draw(st.sampled_from(self.world.model.correctable()), "rejected row")
        if deed.startswith("correct"):
            self.world.correct(run, rejected, data.draw(corrections(run, rejected), "corrections"))
            self.world.compare()
        if deed.endswith("retry"):
            self.world.retry(run, rejected)
        if deed == "discard":
            self.world.discard(run, rejected)

    @precondition(lambda self: any(run.rejected for run in self.runs))
    @rule(data=st.data(), uncorrected=st.booleans())
    def retry_all_rows(self, data: st.DataObject, uncorrected: bool) -> None:
        run = data.draw(st.sampled_from([run for run in self.runs if run.rejected]), "run")
        self.world.retry_all(run, uncorrected=uncorrected)

    # --- others ---------------------------------------------------------------------------------

    @rule(data=st.data())
    def somebody_else_changes_the_target(self, data: st.DataObject) -> None:
        deeds = [self.insert, *([self.edit, self.edit, self.delete] if self.live() else [])]
        data.draw(st.sampled_from(deeds), "deed")(data)

    def edit(self, data: st.DataObject) -> None:
        record = data.draw(st.sampled_from(self.live()), "record")
        values: dict[str, list[Value]] = {
            "name": ["x", "hand", None],
            "price": [Decimal("1.00"), Decimal(9), None],
            "source": ["erp", "shop"],
            "colour": ["red"],
        }
        if "email" not in self.world.model.target.keys:
            values["email"] = ["p@x.se", "hand@x.se"]
        name = data.draw(st.sampled_from(sorted(values)), "field")
        self.world.edit(record, name, data.draw(st.sampled_from(values[name]), "value"))

    def delete(self, data: st.DataObject) -> None:
        record = data.draw(st.sampled_from(self.live()), "record")
        if data.draw(st.booleans(), "wholly"):
            self.world.remove(record)
        else:
            self.world.mark_deleted(record)

    def insert(self, data: st.DataObject) -> None:
        keys: list[Value] = [Decimal(each) for each in (1, 2, 5)] if self.number_key else ["a", "b\u00a0", "f"]
        fields: dict[str, Value] = {
            "sku": data.draw(st.sampled_from([*keys, None]), "sku"),
            "email": data.draw(st.sampled_from(["p@x.se", "t@x.se", None]), "email"),
            "name": "theirs",
            "source": data.draw(st.sampled_from(["erp", "shop"]), "source"),
        }
        fields = {name: value for name, value in fields.items() if value is not None}
        target = self.world.model.target
        if self.world.model.may_hold({name: fields.get(name) for name in target.keys}):
            self.world.insert(fields)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def messages_come_again(self, data: st.DataObject) -> None:
        numbers = data.draw(st.lists(st.sampled_from(range(len(self.runs))), min_size=1, max_size=4), "runs")
        order = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=30), "messages")
        self.world.make_noise(numbers, order)

    @invariant()
    def equal(self) -> None:
        self.world.compare()
