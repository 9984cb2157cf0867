"""The tables of a batch: as they are stored (Arrow IPC, compressed with zstd), and their rows as they were read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc as ipc

from libs.batches.columns import ROW, WARNINGS, cell_column
from libs.contracts.rejections import RejectedRow, RowError

_ROWS_AT_A_TIME = 100
_OPTIONS = ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1))


def encode_table(table: pa.Table) -> bytes:
    """``table`` as one Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema, options=_OPTIONS) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def decode_table(data: bytes) -> pa.Table:
    """The table of ``encode_table``."""
    with ipc.open_stream(pa.py_buffer(data)) as reader:
        return reader.read_all()


def pack_rows(rows: Sequence[int] | npt.NDArray[np.uint32]) -> bytes:
    """Row numbers as they are stored: 32 bits each, little-endian."""
    return np.asarray(rows, "<u4").tobytes()


def unpack_rows(data: bytes) -> npt.NDArray[np.uint32]:
    """The numbers of ``pack_rows``."""
    return np.frombuffer(data, "<u4")


def pack_bits(rows: Sequence[int] | npt.NDArray[np.uint32], first: int, count: int) -> bytes:
    """Some of the rows ``first`` to ``first + count - 1`` as a bit each, the first row in the highest bit of the first
    byte: for many rows of a batch a thirtieth of what ``pack_rows`` needs."""
    bits = np.zeros(count, np.bool_)
    bits[np.asarray(rows, np.int64) - first] = True
    return np.packbits(bits).tobytes()


def unpack_bits(data: bytes, count: int) -> npt.NDArray[np.bool_]:
    """Which of ``count`` rows are among those of ``pack_bits``."""
    return np.unpackbits(np.frombuffer(data, np.uint8), count=count).astype(np.bool_)


def warned_rows(checked: pa.Table) -> int:
    """How many rows of a checked batch carry warnings."""
    if WARNINGS not in checked.column_names:
        return 0
    return checked.num_rows - checked[WARNINGS].null_count


def original_cells(parsed: pa.Table, rows: Sequence[int]) -> dict[int, list[str | None]]:
    """Row number to the cells as they stand in the file, ascending.

    Args:
        parsed: a parsed batch.
        rows: some of its row numbers, ascending.
    """
    found = parsed.take(np.searchsorted(parsed[ROW].to_numpy(), rows))
    columns: list[list[str | None]] = [found[cell_column(at)].to_pylist() for at in range(found.num_columns - 1)]
    return {row: [column[at] for column in columns] for at, row in enumerate(rows)}


@dataclass(frozen=True, slots=True)
class BatchRejections:
    """Rejected rows of one batch, ascending.

    Their cells are taken from the batch as they are asked for: as Python objects the cells of a batch
    need ten times the memory.

    Attributes:
        parsed: the parsed batch.
        errors: row number to errors, ascending.
    """

    parsed: pa.Table
    errors: Mapping[int, tuple[RowError, ...]]

    def __len__(self) -> int:
        return len(self.errors)

    def __iter__(self) -> Iterator[RejectedRow]:
        rows = iter(self.errors)
        while some := list(islice(rows, _ROWS_AT_A_TIME)):
            for row, cells in original_cells(self.parsed, some).items():
                yield RejectedRow(row, cells, self.errors[row])
