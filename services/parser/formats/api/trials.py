"""A file on its way through a format, for the tests that every format passes."""

import random
import re
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from libs.batches.columns import ROW, cell_column
from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.formats.api.batches import ParsedBatch, digest
from services.parser.formats.api.file_format import FileFacts, FileFormat, Layout, Reader
from services.parser.formats.api.limits import ReaderLimits
from services.parser.planning.plan import make_plan

Outcome = list[str] | tuple[str, str]
"""Digests of a file's batches, or code and detail of its refusal."""

_PIECE_BYTES = 64 * 1024
_FOREIGN_WORDS = re.compile(
    r"traceback|errno|codec can't|object at 0x|\bsys\.|\bnonetype\b|\b\w*(?:error|exception)\(|\brust\b|panicked",
    re.IGNORECASE,
)
"""What a library says to programmers."""
_SPLICES = (
    b"\0",
    b'"',
    b"'",
    b"\n",
    b"\r",
    b",",
    b"{",
    b"]",
    b"<",
    b">",
    b"=",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\\ud800",
    b"9" * 500,
)


class TrialFile:
    """A file on its way through a format; layout and plan are made when they are first asked for."""

    def __init__(
        self,
        format_: FileFormat,
        file_type: str,
        template: Template,
        content: bytes,
        limits: ReaderLimits,
        batch: tuple[int, int],
    ) -> None:
        self.format = format_
        self.content = content
        self._file_type = file_type
        self._template = template
        self._limits = limits
        self._batch = batch
        self._layout: Layout | None = None

    def with_content(self, content: bytes) -> "TrialFile":
        """The same for another file."""
        return TrialFile(self.format, self._file_type, self._template, content, self._limits, self._batch)

    @property
    def layout(self) -> Layout:
        if self._layout is None:
            self._layout = self.sampled([len(self.content)])
        return self._layout

    @property
    def plan(self) -> ParsePlan:
        return self.planned(self.layout)

    def planned(self, layout: Layout) -> ParsePlan:
        """The plan for a layout."""
        rows, size = self._batch
        return make_plan(
            layout, self._template, self._file_type, batch_rows=rows, batch_bytes=size, limits=self._limits
        )

    def sampled(self, ends: Sequence[int]) -> Layout:
        """The layout, if the file comes in pieces that end there."""
        sampler = self.format.sampler(self._template, FileFacts(len(self.content)), self._limits)
        for piece in _pieces(self.content, ends):
            if sampler.feed(piece):
                break
        return sampler.layout()

    def read(self, plan: ParsePlan, ends: Sequence[int] = ()) -> list[ParsedBatch]:
        """The batches, checked, if the file comes in pieces that end there."""
        reader = self.format.reader(plan, self._limits)
        batches: list[ParsedBatch] = []
        for piece in _pieces(self.content, ends or [len(self.content)]):
            batches += reader.feed(piece)
        batches += reader.close()
        check_rows(batches, plan)
        return batches


def _pieces(content: bytes, ends: Sequence[int]) -> Iterable[bytes]:
    return (content[start:end] for start, end in pairwise([0, *ends]))


def outcome_of(file: TrialFile, ends: Sequence[int]) -> Outcome:
    """What becomes of a file, sampled and read in pieces that end there; anything else is a fault of the format."""
    try:
        return list(map(digest, file.read(file.planned(file.sampled(ends)), ends)))
    except FileRefusedError as refused:
        return refused.code, refused.detail


def check_rows(batches: Sequence[ParsedBatch], plan: ParsePlan) -> None:
    """Rows are numbered from 1 without a gap, each is a row of the table or an issue, and texts can be stored."""
    row = 0
    for seq, batch in enumerate(batches):
        assert (batch.seq, batch.row_from) == (seq, row + 1), f"batch {seq} starts with row {batch.row_from}"
        row = batch.row_to
        numbers = {*batch.table[ROW].to_pylist(), *(issue.row for issue in batch.issues)}
        assert len(numbers) == batch.table.num_rows + len(batch.issues), f"batch {seq} has a row twice"
        assert numbers == set(range(batch.row_from, row + 1)), f"batch {seq} has the rows {numbers}"
        assert batch.table.column_names == [ROW, *(cell_column(index) for index in range(len(plan.columns)))]
        batch.table.validate(full=True)
        for issue in batch.issues:
            issue.model_dump_json().encode()
            assert not _FOREIGN_WORDS.search(issue.message), f"an issue speaks to programmers: {issue.message!r}"


def cells_of(batch: ParsedBatch, plan: ParsePlan, fields: int) -> list[tuple[str | None, ...]]:
    """Rows by the fields of the conformance template."""
    indexes = [plan.mapping[f"f{number}"] for number in range(fields)]
    columns: list[list[str | None]] = [
        [None] * batch.table.num_rows if index is None else batch.table[cell_column(index)].to_pylist()
        for index in indexes
    ]
    return list(zip(*columns, strict=True))


def feed(reader: Reader, content: bytes) -> None:
    """Read a file and keep nothing of it."""
    try:
        for start in range(0, len(content), _PIECE_BYTES):
            for _ in reader.feed(content[start : start + _PIECE_BYTES]):
                pass
        for _ in reader.close():
            pass
    except FileRefusedError:
        pass  # what does not fit may be refused


def peak_bytes(run: Callable[[], None]) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def damaged(content: bytes, chance: random.Random) -> bytes:
    """A file with some bytes changed, removed, doubled or put in."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0 if at < len(data):
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randint(1, 50)]
            case 2:
                data[at:at] = data[at : at + chance.randint(1, 100)]
            case 3:
                data[at:at] = chance.choice(_SPLICES)
            case _:
                del data[at + 1 :]
    return bytes(data)


def check_refusal(outcome: Outcome) -> None:
    """Who sees a refusal must know what is wrong, where, and what to do."""
    if isinstance(outcome, tuple):
        code, detail = outcome
        assert re.fullmatch(r"[A-Z][A-Z0-9_]*", code), f"the code {code!r} is not in capitals"
        assert len(detail) > 20, f"the refusal says too little: {detail!r}"
        assert not _FOREIGN_WORDS.search(detail), f"the refusal speaks to programmers: {detail!r}"
