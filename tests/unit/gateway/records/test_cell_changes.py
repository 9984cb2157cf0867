"""What a bulk correction makes of each row."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.ledger.bulk_corrections import MOST_EXAMPLES, MatchingRow
from libs.storage.documents import BulkCorrectionDocument, CellChange, CellChangeType, Starter
from services.gateway.records.cell_changes import MAX_GROWN_BYTES, changed_bytes, changed_cell, decided

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ASKING = Starter(tenant_id="a", subject="b")
CHANGES = st.builds(
    CellChange,
    type=st.sampled_from(CellChangeType),
    old=st.none() | st.text("aé€𝄞", max_size=2),
    new=st.none() | st.text("aé€𝄞", max_size=3),
    part=st.booleans(),
)


def replacing(old: str | None, new: str | None, *, part: bool = False) -> CellChange:
    return CellChange(type=CellChangeType.REPLACE, old=old, new=new, part=part)


def correction(change: CellChange, at: int = 1) -> BulkCorrectionDocument:
    return BulkCorrectionDocument.model_construct(
        code="REQUIRED",
        field="price",
        at=at,
        change=change,
        as_of=NOW,
        requested_by=Starter(tenant_id="a", subject="b"),
    )


def row(number: int, cell: str | None, *corrected: tuple[int, str | None], at: datetime | None = None) -> MatchingRow:
    return MatchingRow(number, cell, corrected, checked=True, corrected_at=at)


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (CellChange(type=CellChangeType.CLEAR), "x", None),
        (CellChange(type=CellChangeType.SET, new="y"), None, "y"),
        (replacing("x", "y"), "x", "y"),
        (replacing("x", "y"), "xx", "xx"),
        (replacing("x", "y"), "X", "X"),
        (replacing(None, "y"), "", "y"),
        (replacing("", "y"), None, "y"),
        (replacing("x", None, part=True), "axbx", "ab"),
        (replacing(".*", "y", part=True), "axbx", "axbx"),
        (replacing("x", "y", part=True), None, None),
    ],
)
def test_cells_are_changed_as_the_change_says(change: CellChange, before: str | None, after: str | None) -> None:
    assert changed_cell(change, before) == after


@given(CHANGES, st.none() | st.text("aé€𝄞", max_size=12))
def test_the_size_of_a_changed_cell_is_known_before_it_is_made(change: CellChange, cell: str | None) -> None:
    assert changed_bytes(change, cell) == len((changed_cell(change, cell) or "").encode())


@given(CHANGES, st.lists(st.none() | st.text("aé€𝄞", max_size=4), max_size=20))
def test_every_row_is_counted_once_and_a_second_time_changes_nothing_that_was_set(
    change: CellChange, cells: list[str | None]
) -> None:
    found = decided(correction(change), [row(number, cell) for number, cell in enumerate(cells, 1)])
    assert len(found.corrected) + found.unchanged + sum(found.left.values()) == len(cells)
    assert len(found.examples) == min(MOST_EXAMPLES, len(found.corrected))
    if change.type is not CellChangeType.REPLACE:
        again = [row(number, cells[number - 1], *changed) for number, changed in found.corrected.items()]
        assert decided(correction(change), again).corrected == {}


def test_changes_are_made_on_top_of_earlier_corrections() -> None:
    found = decided(correction(replacing("x", "y")), [row(1, "a", (0, "A1"), (1, "x")), row(2, "x", (1, "z"))])
    assert (found.corrected, found.unchanged) == ({1: [(0, "A1"), (1, "y")]}, 1)
    assert found.examples == [{"row": 1, "before": "x", "after": "y"}]


def test_rows_that_somebody_has_corrected_since_are_left_alone() -> None:
    rows = [row(1, "x", at=NOW - timedelta(milliseconds=1)), row(2, "x", at=NOW), row(3, "x", at=NOW + timedelta(1))]
    rows.append(MatchingRow(4, "x", (), checked=False, corrected_at=None))
    found = decided(correction(replacing("x", "y")), rows)
    assert (list(found.corrected), found.left) == ([1], {"corrected_since": 2, "not_checked": 1})


def test_cells_do_not_grow_without_bound() -> None:
    grown = "x" * MAX_GROWN_BYTES
    found = decided(correction(replacing("x", "é", part=True)), [row(1, grown), row(2, "x" * 10)])
    assert (list(found.corrected), found.left) == ([2], {"too_long": 1})
    shrunk = decided(correction(replacing("xx", "x", part=True)), [row(1, grown * 4)])
    assert list(shrunk.corrected) == [1]
