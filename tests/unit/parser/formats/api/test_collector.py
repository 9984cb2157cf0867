import pyarrow as pa
import pytest

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from services.parser.formats.api.collector import Problem, RowCollector
from services.parser.formats.api.limits import ReaderLimits

PLAN = ParsePlan(columns=("a", "b"), batch_rows=3)


def collector(limits: ReaderLimits | None = None) -> RowCollector:
    return RowCollector(PLAN, limits or ReaderLimits(), place="line", extra_hint="remove them")


def columns(rows: int) -> list[pa.Array]:
    return [pa.array([f"{name}{row}" for row in range(1, rows + 1)]) for name in "ab"]


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        ([], [1, 2, 3, 4, 5]),
        ([0], [2, 3, 4, 5]),
        ([1, 4], [1, 3, 4]),
        ([0, 1, 2, 3, 4], []),
    ],
)
def test_columns_with_problems_keep_the_order_of_the_rows(bad: list[int], good: list[int]) -> None:
    rows = collector()
    rows.add_columns(columns(5), 5, problems={place: Problem("BAD", f"row {place + 1}", 1) for place in bad})
    batches = rows.close()
    assert [(batch.row_from, batch.row_to) for batch in batches] == [(1, 3), (4, 5)]
    assert [row for batch in batches for row in batch.table["_row"].to_pylist()] == good
    assert [cell for batch in batches for cell in batch.table["c1"].to_pylist()] == [f"b{row}" for row in good]
    issues = [issue for batch in batches for issue in batch.issues]
    assert [(issue.row, issue.code, issue.column) for issue in issues] == [(place + 1, "BAD", 1) for place in bad]
    assert [issue.cells for issue in issues] == [(f"a{place + 1}", f"b{place + 1}") for place in bad]


def test_too_many_rows_are_refused_before_any_is_taken() -> None:
    rows = collector(ReaderLimits(max_rows=4))
    with pytest.raises(FileRefusedError, match="TOO_MANY_ROWS"):
        rows.add_columns(columns(5), 5)
    assert rows.rows == 0
