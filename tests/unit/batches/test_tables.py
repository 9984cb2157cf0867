"""Rows of a batch as they were read, and their numbers as they are stored."""

import numpy as np
import pyarrow as pa
import pytest

from libs.batches.columns import ROW, WARNINGS, parsed_schema
from libs.batches.tables import (
    BatchRejections,
    original_cells,
    pack_bits,
    pack_rows,
    unpack_bits,
    unpack_rows,
    warned_rows,
)
from libs.contracts.reasons import RowErrorCode
from libs.contracts.rejections import RejectedRow, RowError

WRONG = RowError("f", "F", RowErrorCode.REQUIRED, "fill it in")


def parsed(*rows: int) -> pa.Table:
    cells = [f"cell {row}" for row in rows]
    return pa.Table.from_pydict({ROW: list(rows), "c0": cells, "c1": [None] * len(rows)}, schema=parsed_schema(2))


@pytest.mark.parametrize("rows", [[], [1], [3, 7, 2**32 - 1]])
def test_row_numbers_have_32_bits_each(rows: list[int]) -> None:
    data = pack_rows(rows)
    assert data == b"".join(row.to_bytes(4, "little") for row in rows)
    assert pack_rows(np.array(rows, np.uint32)) == data
    assert unpack_rows(data).tolist() == rows


@pytest.mark.parametrize("rows", [[], [4], [4, 7, 5_003], list(range(4, 5_004))])
def test_rows_of_a_batch_have_a_bit_each(rows: list[int]) -> None:
    data = pack_bits(rows, 4, 5_000)
    assert len(data) == 625
    assert (np.flatnonzero(unpack_bits(data, 5_000)) + 4).tolist() == rows


def test_the_cells_of_some_rows() -> None:
    assert original_cells(parsed(2, 3, 5, 8), [3, 8]) == {3: ["cell 3", None], 8: ["cell 8", None]}
    assert original_cells(parsed(2), []) == {}


def test_rejected_rows_carry_their_cells() -> None:
    rows = list(range(1, 400, 2))
    rejections = BatchRejections(parsed(*range(1, 500)), dict.fromkeys(rows, (WRONG,)))
    assert len(rejections) == len(rows)
    expected = [RejectedRow(row, [f"cell {row}", None], (WRONG,)) for row in rows]
    assert list(rejections) == list(rejections) == expected


@pytest.mark.parametrize(("warnings", "count"), [(None, 0), ([None, None], 0), (["[]", None], 1)])
def test_rows_with_warnings_are_counted(warnings: list[str | None] | None, count: int) -> None:
    table = pa.table({ROW: pa.array([1, 2], pa.uint32())})
    if warnings is not None:
        table = table.append_column(WARNINGS, pa.array(warnings, pa.string()))
    assert warned_rows(table) == count
