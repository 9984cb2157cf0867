"""What the child process is asked, and what it tells its parent: frames of one kind byte, a length and a content.

``L`` the layout (JSON), any number of ``R`` rows, and then ``Z``, the end, or ``E``, a refusal (JSON). A stream
without an end was cut off.
"""

from __future__ import annotations  # array is generic only in the stubs

import json
import struct
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from services.parser.formats.excel.sheet_rows import Block, RowProblem, SheetReading

HEAD = struct.Struct("<cI")
SHAPE = struct.Struct("<II")
"""Rows and columns of a rows frame."""
LAYOUT, ROWS, END, REFUSED = b"L", b"R", b"Z", b"E"
MAX_FRAME_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What the parent wants.

    Attributes:
        sheet: name or index; the first visible worksheet where absent.
        skip_rows: see ``SheetReading``.
        has_header: see ``SheetReading``.
        width: see ``SheetReading``.
        checked: see ``SheetReading``.
        skip_hidden_rows: see ``SheetReading``.
        skip_hidden_columns: see ``SheetReading``.
        skip_blank_texts: see ``SheetReading``.
        keep_markers: see ``SheetReading``.
        decimal_commas: see ``SheetReading``.
        max_row_bytes: a row with more bytes of text is a problem.
        max_rows: rows after which the process ends.
        memory_bytes: limit of the address space.
        cpu_seconds: limit of computing time.
    """

    sheet: str | int | None
    skip_rows: int
    has_header: bool
    width: int | None
    checked: tuple[int, ...]
    max_row_bytes: int
    max_rows: int | None
    memory_bytes: int
    cpu_seconds: int
    skip_hidden_rows: bool = False
    skip_hidden_columns: bool = False
    skip_blank_texts: bool = False
    keep_markers: bool = False
    decimal_commas: tuple[int, ...] = ()

    def json(self) -> str:
        """The argument of the command line."""
        return json.dumps(asdict(self))

    @property
    def reading(self) -> SheetReading:
        return SheetReading(
            self.skip_rows,
            self.has_header,
            self.width,
            frozenset(self.checked),
            self.skip_hidden_rows,
            self.skip_hidden_columns,
            self.skip_blank_texts,
            self.keep_markers,
            frozenset(self.decimal_commas),
        )


def rows_frames(block: Block, max_row_bytes: int) -> Iterator[bytes]:
    """Frames of at most so many bytes of text; a row that has more alone becomes a problem.

    Their content: the shape; as int32 the places, the problems, the culprits and, by column, the bytes of each text;
    the texts. Numbers are in the machine's byte order, texts are UTF-8 and stand by column without anything between.
    """
    texts = ["".join(column).encode() for column in block.columns]
    if sum(map(len, texts)) > max_row_bytes and block.problems != [RowProblem.TOO_LARGE]:
        for part in block.smaller():
            yield from rows_frames(part, max_row_bytes)
        return
    numbers = array("i", [*block.places, *block.problems, *block.culprits])
    for column, text in zip(block.columns, texts, strict=True):
        numbers.extend(map(len, column) if text.isascii() else [len(cell.encode()) for cell in column])
    content = b"".join([SHAPE.pack(len(block.places), len(block.columns)), numbers.tobytes(), *texts])
    yield HEAD.pack(ROWS, len(content)) + content
