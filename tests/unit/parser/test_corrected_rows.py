"""Which cells of a row are corrections."""

from typing import Any

from libs.storage.documents import RejectedRecord
from services.parser.corrected_rows import corrected_cells


def record(cells: list[str | None], **more: Any) -> RejectedRecord:  # noqa: ANN401
    return RejectedRecord.model_construct(row=1, cells=cells, errors=[], **more)


def test_only_cells_that_differ_are_corrections() -> None:
    row = record(["A", "x\r\ny", None, "4"])
    assert corrected_cells(row, {0: "A", 1: "x\ny", 2: "", 3: "5"}, 4) == [(3, "5")]
    assert corrected_cells(row, {0: "A", 1: "x\ny", 2: None, 3: ""}, 4) == [(3, None)]
    assert corrected_cells(row, {}, 4) == []


def test_earlier_corrections_stay_where_the_file_agrees_or_says_nothing() -> None:
    row = record(["A", "B", "C"], corrected=[(0, "a\r\n"), (1, "b")])
    assert corrected_cells(row, {0: "a\n", 1: "b", 2: "C"}, 3) == [(0, "a\r\n"), (1, "b")]
    assert corrected_cells(row, {0: "A", 2: "c"}, 3) == [(1, "b"), (2, "c")]


def test_apostrophes_of_csv_are_no_corrections() -> None:
    row = record(["=1", "'=2", "'90s"])
    for found in ({0: "'=1", 1: "''=2", 2: "'90s"}, {0: "=1", 1: "'=2", 2: "'90s"}):
        assert corrected_cells(row, found, 3, apostrophes=True) == []
    assert corrected_cells(row, {0: "'=3", 1: "''=4", 2: "90s"}, 3, apostrophes=True) == [
        (0, "=3"),
        (1, "'=4"),
        (2, "90s"),
    ]
    assert corrected_cells(row, {0: "'=1", 1: "'=2"}, 3) == [(0, "'=1")]


def test_a_row_that_could_not_be_read_is_corrected_as_a_whole() -> None:
    row = record(["A", "B", "extra", "more"], unread=True)
    assert corrected_cells(row, {0: "A", 1: "B", 2: ""}, 3) == [(0, "A"), (1, "B"), (2, None)]
    assert corrected_cells(row, {0: "A", 1: "B", 2: "extra"}, 3) == []
    assert corrected_cells(row, {0: "a", 1: "B"}, 3) == [(0, "a"), (1, "B")]
