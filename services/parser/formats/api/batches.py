"""Batches of parsed rows, cut greedily in row order by rows and by cell bytes."""

from __future__ import annotations  # the stubs' pa.Array is generic, the class is not

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from libs.batches.columns import parsed_schema
from libs.contracts.plan import ParsePlan, RowIssue

Sizes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    """Consecutive rows of the file, or of a retry, each either in ``table`` or in ``issues``.

    Attributes:
        seq: 0-based number of the batch.
        row_from: first row, 1-based over the data rows.
        row_to: last row, included.
        table: ``_row`` (uint32, ascending) and ``c0``, ``c1``, … (string; null where a short row has
            no cell), one per column of the plan.
        issues: rows that could not become cells, ascending.
    """

    seq: int
    row_from: int
    row_to: int
    table: pa.Table
    issues: tuple[RowIssue, ...]

    @property
    def rows(self) -> int:
        return self.table.num_rows + len(self.issues)


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows on their way into batches.

    Attributes:
        first_row: number of the first row.
        table: the rows that became cells, as in ``ParsedBatch``.
        issues: the others, ascending.
        sizes: cell bytes of every row in row order; shape ``(table.num_rows + len(issues),)``.
    """

    first_row: int
    table: pa.Table
    issues: tuple[RowIssue, ...]
    sizes: Sizes


def table_schema(plan: ParsePlan) -> pa.Schema:
    """The schema of every batch of the plan's file."""
    return parsed_schema(len(plan.columns))


def cell_bytes(columns: Sequence[pa.Array[Any]], rows: int) -> Sizes:
    """UTF-8 bytes of each row's cells; ``columns`` are string arrays of length ``rows``."""
    sizes = np.zeros(rows, dtype=np.int64)
    for column in columns:
        sizes += np.diff(offsets_of(column))
    return sizes


def largest_cell(columns: Sequence[pa.Array[Any]]) -> int:
    """UTF-8 bytes of the largest cell of string arrays that are not empty."""
    return max(int(np.diff(offsets_of(column)).max()) for column in columns)


def issue_bytes(issue: RowIssue) -> int:
    """UTF-8 bytes of what a row issue keeps of its row."""
    return sum(len(cell.encode()) for cell in issue.cells)


def digest(batch: ParsedBatch) -> str:
    """SHA-256 over the batch's content, whatever its memory layout; equal for a repeated parse."""
    sha256 = hashlib.sha256(f"{batch.seq}:{batch.row_from}:{batch.row_to}:{batch.table.num_columns}".encode())
    numbers, *texts = batch.table.combine_chunks().columns
    sha256.update(numbers.to_numpy().astype("<u4").tobytes())
    for column in (chunk for text in texts for chunk in text.chunks):
        offsets = offsets_of(column)
        lengths = np.diff(offsets)
        lengths[column.is_null().to_numpy(zero_copy_only=False)] = -1
        sha256.update(lengths.astype("<i4").tobytes())
        data = column.buffers()[2]
        if data is not None:
            sha256.update(memoryview(data)[int(offsets[0]) : int(offsets[-1])])
    for issue in batch.issues:
        sha256.update(issue.model_dump_json().encode())
    return sha256.hexdigest()


class BatchCutter:
    """Collects rows and cuts batches of at most ``batch_rows`` rows and ``batch_bytes`` cell bytes.

    A batch takes the next row whenever it stays within both limits, and always holds at least one, so
    where batches end depends on the rows alone and not on the portions they arrive in.
    """

    def __init__(self, plan: ParsePlan) -> None:
        self._batch_rows = plan.batch_rows
        self._batch_bytes = plan.batch_bytes
        self._pending: list[Rows] = []
        self._rows = 0
        self._bytes = 0
        self._seq = 0

    def add(self, rows: Rows) -> list[ParsedBatch]:
        """The batches that are complete with ``rows``."""
        self._pending.append(rows)
        self._rows += len(rows.sizes)
        self._bytes += int(rows.sizes.sum())
        if self._rows < self._batch_rows and self._bytes <= self._batch_bytes:
            return []
        return self._cut(final=False)

    def close(self) -> list[ParsedBatch]:
        """The last batches."""
        return self._cut(final=True) if self._pending else []

    def _cut(self, *, final: bool) -> list[ParsedBatch]:
        first_row = self._pending[0].first_row
        table = pa.concat_tables([rows.table for rows in self._pending])
        issues = tuple(issue for rows in self._pending for issue in rows.issues)
        sizes = np.concatenate([rows.sizes for rows in self._pending])
        ends = np.cumsum(sizes)
        issue_at = np.array([issue.row - first_row for issue in issues], dtype=np.int64)

        def part(start: int, end: int) -> tuple[pa.Table, tuple[RowIssue, ...]]:
            issue_from, issue_to = (int(index) for index in np.searchsorted(issue_at, [start, end]))
            good_from, good_to = start - issue_from, end - issue_to
            return table.slice(good_from, good_to - good_from), issues[issue_from:issue_to]

        batches: list[ParsedBatch] = []
        start, used, total = 0, 0, len(sizes)
        while start < total:
            fits = int(np.searchsorted(ends, used + self._batch_bytes, side="right"))
            end = min(start + self._batch_rows, max(start + 1, fits), total)
            if end == total and end - start < self._batch_rows and not final:
                break
            cells, bad = part(start, end)
            batches.append(ParsedBatch(self._seq, first_row + start, first_row + end - 1, cells.combine_chunks(), bad))
            self._seq += 1
            used = int(ends[end - 1])
            start = end
        rest, rest_issues = part(start, total)
        self._pending = [Rows(first_row + start, rest, rest_issues, sizes[start:])] if start < total else []
        self._rows = total - start
        self._bytes = int(sizes[start:].sum())
        return batches


def offsets_of(column: pa.Array[Any]) -> npt.NDArray[np.int32]:
    """Start of each string in the array's data, and the end of the last; shape ``(len(column) + 1,)``."""
    buffer = column.buffers()[1]
    if buffer is None:
        return np.zeros(len(column) + 1, dtype=np.int32)
    return np.frombuffer(memoryview(buffer), dtype=np.int32)[column.offset : column.offset + len(column) + 1]
