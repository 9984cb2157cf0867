"""The tests that every file format passes: the built-in ones, and those of third parties.

A format is tested by a subclass that says how files of it are written; pytest finds it and runs what it inherits:

    class TestLogfmt(FormatConformance):
        file_type = "logfmt"

        def file_format(self) -> FileFormat:
            return LogfmtFormat()

        def write(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
            return "".join(line_of(columns, row) for row in rows).encode()

What the tests say of a format, it keeps whatever file it is given. Nothing is needed to run them but a program that
calls methods whose names begin with ``test_``. The files are chosen by a seed, so that a failure comes again.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from libs.batches.columns import ROW
from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from libs.formats.content import HEAD_BYTES, recognise, refusal
from services.parser.formats.api.batches import ParsedBatch, digest, issue_bytes
from services.parser.formats.api.file_format import FileFormat
from services.parser.formats.api.headers import clean_name
from services.parser.formats.api.limits import MIB, ReaderLimits
from services.parser.formats.api.trials import TrialFile, cells_of, check_refusal, damaged, feed, outcome_of, peak_bytes

_COLUMNS = ("sku", "name", "city")
_LIMITS = ReaderLimits(
    max_columns=50, max_header_chars=40, max_cell_bytes=200, max_record_bytes=2_000, issue_cells=2, issue_cell_chars=20
)
_WHOLE_IN_SINGLE_BYTES = 3_000


class FormatConformance:
    """What every format keeps.

    Attributes:
        file_type: its name.
        texts: cells that a file of it can hold exactly.
        odd_columns: headers that a file of it can hold: empty, long, equal, not clean, as far as it can.
        examples: how many cuts, truncated and damaged files each test tries.
        large_file_bytes: size of a file of which half may never be in memory.
    """

    file_type: str
    texts: Sequence[str] = ("x", "0012", "Åsa & Bo", 'say "no", Ann', "1 < 2 > 0", "日本", "it's")
    odd_columns: Sequence[str] = ("a", "b")
    examples: int = 60
    large_file_bytes: int = 4 * MIB

    def file_format(self) -> FileFormat:
        """The format."""
        raise NotImplementedError

    def write(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
        """A file with these columns and rows, as a program that writes the format makes it."""
        raise NotImplementedError

    def source(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Mapping[str, object]:
        """What a template says about reading that file: members of ``SourceFormat`` beside ``file_type``."""
        del columns, rows
        return {}

    def large_record(self, size: int) -> bytes:
        """A file with one row of so many bytes."""
        return self.write(("sku", "name"), [["1", "x" * size]])

    # --- what comes out of a sound file ----------------------------------------------------------------

    def test_rows_come_back_as_they_were_written(self) -> None:
        """Every text stands in its column, every row at its number."""
        columns, rows = _COLUMNS, self._rows(50)
        file = self._file(columns, rows)
        batches = file.read(file.plan)
        found = [row for batch in batches for row in cells_of(batch, file.plan, len(columns))]
        assert found == [tuple(row) for row in rows], "the file does not hold what was written"
        assert [issue for batch in batches for issue in batch.issues] == [], "sound rows became issues"

    def test_the_first_bytes_do_not_speak_against_the_format(self) -> None:
        """The gateway lets the files of the format in."""
        content = self.write(_COLUMNS, self._rows(3))
        reason = refusal(self.file_type, recognise(content[:HEAD_BYTES]))
        assert reason is None, f"the gateway would refuse the file: {reason}"

    def test_columns_are_unique_and_clean(self) -> None:
        """Whatever the file calls them: what is stored and shown is made of them."""
        rows = [["1"] * len(self.odd_columns)] * 2
        for columns in (_COLUMNS, self.odd_columns):
            file = self._file(columns, rows if columns is self.odd_columns else self._rows(2), limits=_LIMITS)
            for names in (file.layout.columns, file.plan.columns):
                assert len(set(names)) == len(names), f"two columns have one name: {names}"
                for name in names:
                    assert name, "a column has no name"
                    assert name == clean_name(name), f"the column {name!r} is not clean"
                    assert len(name) <= _LIMITS.max_header_chars + 10, f"the name {name!r} is too long"
            assert sum(batch.rows for batch in file.read(file.plan)) == 2, "the rows are not all there"

    def test_first_rows_are_those_of_the_file(self) -> None:
        """If the layout has them at all."""
        file = self._file(_COLUMNS, self._rows(20))
        first = file.layout.first_rows
        if first is not None:
            table = pa.concat_tables([batch.table for batch in file.read(file.plan)]).drop_columns([ROW])
            assert first.equals(table.slice(0, first.num_rows)), "the layout's first rows are not the file's"

    # --- the same batches every time -------------------------------------------------------------------

    def test_the_layout_does_not_depend_on_the_pieces(self) -> None:
        """In which the file comes to the sampler."""
        file = self._file(_COLUMNS, self._rows(40))
        for cuts in self._cuts(len(file.content)):
            again = file.sampled(cuts)
            assert replace(again, first_rows=None) == replace(file.layout, first_rows=None), f"cut at {cuts[:9]}"

    def test_the_batches_do_not_depend_on_the_pieces(self) -> None:
        """In which the file comes to the reader."""
        file = self._file(_COLUMNS, self._rows(40), batch_rows=7)
        expected = list(map(digest, file.read(file.plan)))
        for cuts in self._cuts(len(file.content)):
            assert list(map(digest, file.read(file.plan, cuts))) == expected, f"other batches, cut at {cuts[:9]}"

    def test_a_repeated_parse_gives_the_same_batches(self) -> None:
        """Under the plan as it was stored: all that the reader needs is in it, as JSON."""
        file = self._file(_COLUMNS, self._rows(40), batch_rows=7)
        stored = ParsePlan.model_validate_json(file.plan.model_dump_json())
        assert stored == file.plan, "the plan is another one when it was stored"
        expected = list(map(digest, file.read(file.plan)))
        for plan in (file.plan, stored, stored):
            assert list(map(digest, file.read(plan))) == expected, "reading the file again gave other batches"

    # --- limits ----------------------------------------------------------------------------------------

    def test_batches_keep_their_limits(self) -> None:
        """Rows and bytes; a row that is larger alone is a batch of its own."""
        rows = [["1", "x" * size, "y"] for size in (1, 90, 20, 20, 20, 150, 1, 1, 1, 1, 1, 60, 60)]
        file = self._file(_COLUMNS, rows, limits=_LIMITS, batch_rows=4, batch_bytes=100)
        batches = file.read(file.plan)
        assert sum(batch.rows for batch in batches) == len(rows), "the rows are not all there"
        for batch in batches:
            assert batch.rows <= 4, f"batch {batch.seq} has {batch.rows} rows, more than 4"
            texts = [text for row in cells_of(batch, file.plan, len(_COLUMNS)) for text in row]
            size = sum(len((text or "").encode()) for text in texts) + sum(map(issue_bytes, batch.issues))
            assert size <= 100 or batch.rows == 1, f"batch {batch.seq} has {size} bytes, more than 100"

    def test_a_cell_may_be_as_large_as_the_limit_and_no_larger(self) -> None:
        """A larger one costs its row, or the file, and is never passed on."""
        largest = "å" * (_LIMITS.max_cell_bytes // 2)
        rows = [["1", "x", "y"], ["2", largest, "y"], ["3", f"{largest}x", "y"], ["4", "x", "y"]]
        outcome = self._limited(rows[:2], _LIMITS)
        assert not isinstance(outcome, FileRefusedError), f"a cell of the largest size is refused: {outcome}"
        assert not any(batch.issues for batch in outcome), "a cell of the largest size became an issue"
        outcome = self._limited(rows, _LIMITS)
        if not isinstance(outcome, FileRefusedError):
            assert [issue.row for batch in outcome for issue in batch.issues] == [3], "not just the large cell's row"

    def test_a_record_that_is_too_large_is_not_passed_on(self) -> None:
        """It costs its row, or the file."""
        columns = [f"c{number}" for number in range(40)]
        large = ["x" * 190] * 40
        outcome = self._limited([["1"] * 40, large, ["1"] * 40], _LIMITS, columns)
        if not isinstance(outcome, FileRefusedError):
            assert any(issue.row == 2 for batch in outcome for issue in batch.issues), "the large record is no issue"

    def test_an_issue_keeps_only_so_much_of_its_row(self) -> None:
        """So that it can be stored."""
        outcome = self._limited([["1", "x" * 500, "y" * 190]] * 3, _LIMITS)
        for issue in () if isinstance(outcome, FileRefusedError) else [each for one in outcome for each in one.issues]:
            assert len(issue.cells) <= _LIMITS.issue_cells, "the issue keeps too many cells"
            assert all(len(cell) <= _LIMITS.issue_cell_chars for cell in issue.cells), "the issue keeps too much"

    def test_too_many_columns_are_refused(self) -> None:
        """Or every row is that has more."""
        columns = [f"c{number}" for number in range(6)]
        outcome = self._limited([["1"] * 6] * 2, replace(_LIMITS, max_columns=5), columns)
        if not isinstance(outcome, FileRefusedError):
            assert not any(batch.table.num_rows for batch in outcome), "rows of six cells came, where five are the most"

    def test_a_file_of_too_many_rows_is_refused(self) -> None:
        """Not cut."""
        limits = replace(_LIMITS, max_rows=5)
        assert not isinstance(self._limited(self._rows(5), limits), FileRefusedError), "the last row is refused"
        outcome = self._limited(self._rows(6), limits)
        assert isinstance(outcome, FileRefusedError), "a file of six rows was read, where five are the most"

    def test_memory_does_not_grow_with_the_file(self) -> None:
        """Neither with one record that never ends nor with many: what the reader keeps, its limits bound."""
        limits = ReaderLimits(max_cell_bytes=32 * 1024, max_record_bytes=64 * 1024, block_bytes=64 * 1024)
        row = ["x" * 200] * len(_COLUMNS)
        rows = [row] * (self.large_file_bytes // 600)
        small = self._file(_COLUMNS, rows[:10], limits=limits, batch_bytes=64 * 1024)
        small.read(small.plan)  # libraries that are loaded now are not counted
        for content in (self.write(_COLUMNS, rows), self.large_record(self.large_file_bytes)):
            peak = peak_bytes(lambda content=content: feed(small.format.reader(small.plan, limits), content))
            assert peak < self.large_file_bytes // 2, f"the reader kept {peak:,} bytes of a file of {len(content):,}"

    # --- files that are not sound ----------------------------------------------------------------------

    def test_a_file_without_rows_has_none_or_is_refused(self) -> None:
        """An empty file, one with columns only, and blanks."""
        header = self.write(_COLUMNS, [])
        for content in (b"", header, b"\n", b"\r\n\r\n"):
            file = self._file(_COLUMNS, [])
            outcome = outcome_of(file.with_content(content), [len(content)])
            assert outcome == [] or isinstance(outcome, tuple), f"{content[:50]!r} has rows: {outcome}"
            check_refusal(outcome)

    def test_a_file_that_is_cut_off_ends_as_rows_or_a_refusal(self) -> None:
        """Wherever it is cut, and the same way in whatever pieces it comes."""
        file = self._file(_COLUMNS, self._rows(12))
        size = len(file.content)
        for end in range(0, size, max(1, size // self.examples)):
            self._check_unsound(file.with_content(file.content[:end]))

    def test_a_damaged_file_ends_as_rows_or_a_refusal(self) -> None:
        """The same way in whatever pieces it comes, whatever is changed, missing or too much."""
        file = self._file(_COLUMNS, self._rows(12))
        for seed in range(self.examples):
            self._check_unsound(file.with_content(damaged(file.content, random.Random(seed))))  # noqa: S311

    # --- how it is done --------------------------------------------------------------------------------

    def _rows(self, count: int) -> list[list[str]]:
        return [[str(row), self.texts[row % len(self.texts)], f"{row}x"] for row in range(count)]

    def _file(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        limits: ReaderLimits = _LIMITS,
        batch_rows: int = 1_000,
        batch_bytes: int = 1 << 20,
    ) -> TrialFile:
        fields = [{"name": f"f{index}", "column": name} for index, name in enumerate(_COLUMNS) if name in columns]
        template = Template.model_validate(
            {
                "name": "conformance",
                "target_resource": "things",
                "fields": fields or [{"name": "f", "transforms": [{"type": "constant", "value": "x"}]}],
                "source": {"file_type": self.file_type, **self.source(columns, rows)},
                "include_unmatched_columns": True,
            }
        )
        content = self.write(columns, rows)
        return TrialFile(self.file_format(), self.file_type, template, content, limits, (batch_rows, batch_bytes))

    def _limited(
        self, rows: Sequence[Sequence[str]], limits: ReaderLimits, columns: Sequence[str] = _COLUMNS
    ) -> list[ParsedBatch] | FileRefusedError:
        file = self._file(columns, rows, limits=limits)
        try:
            batches = file.read(file.plan)
        except FileRefusedError as refused:
            check_refusal((refused.code, refused.detail))
            return refused
        for batch in batches:
            for column in batch.table.columns[1:]:
                for cell in column.to_pylist():
                    size = len((cell or "").encode())
                    assert size <= limits.max_cell_bytes, f"a cell of {size} bytes was passed on"
        return batches

    def _cuts(self, size: int) -> Iterator[Sequence[int]]:
        """Ends of pieces."""
        if size <= _WHOLE_IN_SINGLE_BYTES or self.examples >= 50:
            yield range(1, size + 1)
        for seed in range(self.examples):
            chance = random.Random(seed)  # noqa: S311
            yield sorted({*(chance.randrange(size + 1) for _ in range(chance.choice((1, 2, 9, 60)))), size})

    def _check_unsound(self, file: TrialFile) -> None:
        size = len(file.content)
        whole = outcome_of(file, [size])
        cut = outcome_of(file, range(1, size + 1) if size <= _WHOLE_IN_SINGLE_BYTES else range(97, size + 97, 97))
        assert cut == whole, f"in pieces it ends as {cut}, as a whole as {whole}"
        check_refusal(whole)
