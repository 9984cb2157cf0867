"""The outcome of every row of a batch, from what the ledger says."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.batches.tables import pack_bits, pack_rows
from libs.contracts.states import BatchState
from libs.storage.documents import BatchResult
from services.gateway.records.row_outcomes import BatchEntry, BatchOutcomes, Outcome

FIRST = 11
CLOSED = ("created", "updated", "deleted", "UNCHANGED", "NOT_FOUND", "DUPLICATE_UPSERT_KEY", "rejected")


def entry(state: BatchState, places: list[str], **changes: Any) -> BatchEntry:  # noqa: ANN401
    """A batch whose rows have these places, as a writer of this release leaves it."""
    rows: dict[str, list[int]] = {}
    for row, place in enumerate(places, start=FIRST):
        rows.setdefault(place, []).append(row)
    counts = Counter(places)
    count = len(places)
    settled: dict[str, Any] = {
        "id": "b",
        "row_from": FIRST,
        "row_to": FIRST + count - 1,
        "state": state,
        "result": BatchResult(created=counts["created"], updated=counts["updated"], deleted=counts["deleted"]),
        "skipped_rows": {name: pack_rows(some) for name, some in rows.items() if name.isupper()},
        "written_rows": {
            name: pack_bits(some, FIRST, count) for name, some in rows.items() if name in {"updated", "deleted"}
        },
        "rejected": np.array(rows.get("rejected", []), np.int64),
    }
    return BatchEntry(**{**settled, **changes})


def shown(found: BatchOutcomes, count: int) -> list[str]:
    """The place of each row, as ``entry`` takes it."""
    rows = range(FIRST, FIRST + count)
    places = [found.skipped_for(row) or found.of(row).value for row in rows]
    for outcome in Outcome:
        assert found.among(outcome).tolist() == [row for row in rows if found.of(row) is outcome]
    return places


@given(st.lists(st.sampled_from(CLOSED), min_size=1, max_size=40))
def test_every_row_of_a_written_batch_has_its_outcome(places: list[str]) -> None:
    found = BatchOutcomes(entry(BatchState.WRITTEN, places), None)
    assert shown(found, len(places)) == places
    for code in ("UNCHANGED", "NOT_FOUND"):
        rows = [row for row, place in enumerate(places, start=FIRST) if place == code]
        assert found.skipped_with(code).tolist() == rows


@pytest.mark.parametrize("state", [BatchState.PARSED, BatchState.CHECKED, BatchState.VALIDATED])
def test_before_it_is_written_a_row_is_rejected_skipped_or_pending(state: BatchState) -> None:
    places = ["pending", "rejected", "DUPLICATE_UPSERT_KEY", "pending"]
    assert shown(BatchOutcomes(entry(state, places, written_rows=None), None), 4) == places


def test_rows_that_a_stop_left_are_skipped_for_it() -> None:
    places = ["CANCELLED", "rejected", "DUPLICATE_UPSERT_KEY", "CANCELLED"]
    stopped = entry(BatchState.CANCELLED, places, written_rows=None)
    without = {name: rows for name, rows in stopped.skipped_rows.items() if name != "CANCELLED"}
    found = BatchOutcomes(entry(BatchState.CANCELLED, places, written_rows=None, skipped_rows=without), "CANCELLED")
    assert shown(found, 4) == places
    assert found.skipped_with("CANCELLED").tolist() == [FIRST, FIRST + 3]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (["created", "created"], ["created", "created"]),
        (["updated", "UNCHANGED"], ["updated", "UNCHANGED"]),
        (["updated", "created", "rejected"], ["written", "written", "rejected"]),
    ],
)
def test_release_0_1_noted_no_rows(places: list[str], expected: list[str]) -> None:
    found = BatchOutcomes(entry(BatchState.WRITTEN, places, written_rows=None), None)
    assert shown(found, len(places)) == expected
