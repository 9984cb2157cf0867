"""Claims the rows of a file of corrections for its retry, with what was corrected in them."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

import numpy as np
import numpy.typing as npt

from libs.batches.claimed_rows import ClaimedRows, Correction
from libs.contracts.corrections import same_cell, unharmed
from libs.contracts.errors import FileRefusedError, TransientError
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RunErrorCode
from libs.contracts.rejections import UNTOUCHED_STATES, RejectedState
from libs.formats.content import HEAD_BYTES, recognise
from libs.formats.file_types import CSV, EXCEL
from libs.ledger import Ledger
from libs.storage.documents import CorrectionsFound, RejectedRecord, RowLeftOut, RunDocument, StoredFile
from libs.storage.files import FileStore
from libs.telemetry.failpoints import failpoint
from services.parser.corrected_file import (
    CorrectedCells,
    CorrectedRows,
    corrected_columns,
    template_of_corrections,
)
from services.parser.file_reading import FileReading
from services.parser.formats.api.batches import ParsedBatch
from services.parser.formats.api.limits import ReaderLimits

ROWS_AT_A_TIME: Final = 250
_ASKED_AT_A_TIME: Final = 5_000
_MAX_LEFT_OUT_TOLD: Final = 100
_TRIES: Final = 20


class CorrectionsOfFile:
    """What a retry by a file begins with.

    Args:
        files: where the file is.
        ledger: claims.
        run: the retry.
        plan: by which the run of its rows was read.
        lease_seconds: of the parse.
    """

    def __init__(
        self, files: FileStore, ledger: Ledger, run: RunDocument, plan: ParsePlan, lease_seconds: float
    ) -> None:
        assert run.parent_run_id is not None
        self._files = files
        self._ledger = ledger
        self._run = run
        self._parent_id = run.parent_run_id
        self._plan = plan
        self._lease_seconds = lease_seconds
        self._rows = ClaimedRows(files.mongo, run.tenant_id, self._parent_id)
        self._apostrophes = False

    async def claim(self, file: StoredFile) -> bool:
        """Claim all rows of the file that are open or corrected; ``False`` where the parse is no longer the caller's.

        Nothing is claimed before the whole file is known to be right. It may be repeated: what an earlier attempt has
        claimed is found like that.

        Raises:
            FileRefusedError: the file cannot be used as a whole, or none of its rows can be retried.
            TransientError: others change the same rows again and again.
        """
        reading = FileReading(self._files, file, ReaderLimits())
        kind = recognise((await reading.head())[:HEAD_BYTES]).kind
        file_type = (EXCEL if kind in EXCEL.reads else CSV).name
        layout = await reading.layout(template_of_corrections(file_type, self._plan.columns), file_type)
        columns = corrected_columns(layout, file_type, self._plan)
        with CorrectedRows(columns, self._parent_id) as rows:
            async with aclosing(reading.batches(columns.plan)) as batches:
                await _taken(rows, batches)
            numbers = await asyncio.to_thread(rows.judged)
            await self._refuse_unknown(rows, numbers)
            failpoint("parser.corrections_read")
            found = CorrectionsFound(rows=len(numbers), corrected=0, notes=columns.notes)
            self._apostrophes = file_type == CSV.name
            portions = rows.portions(ROWS_AT_A_TIME)
            while (some := await asyncio.to_thread(next, portions, None)) is not None:
                if not await self._claim_some(some, found):
                    return False
        if sum(found.left_out.values()) == found.rows:
            raise FileRefusedError(RunErrorCode.NOTHING_TO_RETRY, _nothing(found))
        return await self._ledger.retries.note_claimed(self._run, found, self._lease_seconds)

    async def _refuse_unknown(self, rows: CorrectedRows, numbers: npt.NDArray[np.uint32]) -> None:
        for first in range(0, len(numbers), _ASKED_AT_A_TIME):
            some = numbers[first : first + _ASKED_AT_A_TIME]
            known = await self._rows.known(some.tolist())
            if (refusal := await asyncio.to_thread(rows.unknown, some, known)) is not None:
                raise refusal

    async def _claim_some(self, some: CorrectedCells, found: CorrectionsFound) -> bool:
        """Claim some rows, until each is claimed or cannot be."""
        for _ in range(_TRIES):
            records = await self._rows.among(some.rows)
            corrections = await asyncio.to_thread(self._corrections, records, some)
            if not corrections:
                self._tell(records, found)
                return True
            claimed = await self._ledger.retries.claim_corrected(
                self._run, self._rows, corrections, self._lease_seconds
            )
            if not claimed:
                return False
        raise TransientError("rows of a file of corrections are changed by others again and again")

    def _corrections(self, records: list[RejectedRecord], some: CorrectedCells) -> list[Correction]:
        at = {row: index for index, row in enumerate(some.rows)}
        corrections: list[Correction] = []
        for record in records:
            if record.state in UNTOUCHED_STATES:
                found = {column: texts[at[record.row]] for column, texts in some.columns.items()}
                cells = corrected_cells(record, found, len(self._plan.columns), apostrophes=self._apostrophes)
                corrections.append(Correction(record.row, record.revision, cells))
        return corrections

    def _tell(self, records: list[RejectedRecord], found: CorrectionsFound) -> None:
        for record in records:
            if record.state is RejectedState.RETRYING and record.retry_run_id == self._run.id:
                found.corrected += record.state_before is RejectedState.CORRECTED
                continue
            found.left_out[record.state] = found.left_out.get(record.state, 0) + 1
            if len(found.left_out_rows) < _MAX_LEFT_OUT_TOLD:
                found.left_out_rows.append(RowLeftOut(row=record.row, state=record.state))


async def _taken(rows: CorrectedRows, batches: AsyncGenerator[list[ParsedBatch]]) -> None:
    async for some in batches:
        for batch in some:
            await asyncio.to_thread(rows.add, batch)


def corrected_cells(
    record: RejectedRecord, found: Mapping[int, str | None], width: int, *, apostrophes: bool = False
) -> list[tuple[int, str | None]]:
    """Which cells of a row differ from what its run has read, and their texts now; ascending.

    Of a row that could not be read every cell counts as corrected as soon as one is: what is stored of it may be a part
    of it.

    Args:
        record: the row.
        found: its cells in the file, by the columns of the run. Those that the file does not have stay as they are.
        width: how many columns the run has.
        apostrophes: whether the file may have those of ``harmless``. A spreadsheet program that saves a workbook as CSV
            sets none, so that a cell may be the same with them or without.
    """

    def same(stored: str | None, text: str | None) -> bool:
        return same_cell(stored, text) or (apostrophes and same_cell(stored, meant(text)))

    def meant(text: str | None) -> str | None:
        return (unharmed(text) if apostrophes and text else text) or None

    stored = dict(enumerate(record.cells[:width]))
    earlier = dict(record.corrected or ())
    corrected = {at: text for at, text in earlier.items() if at not in found}
    for at, text in found.items():
        if at in earlier and same(earlier[at], text):
            corrected[at] = earlier[at]
        elif not same(stored.get(at), text):
            corrected[at] = meant(text)
    if record.needs_every_cell and corrected:
        every = {at: stored.get(at) if same(stored.get(at), text) else meant(text) for at, text in found.items()}
        corrected = every | corrected
    return sorted(corrected.items())


def _nothing(found: CorrectionsFound) -> str:
    if not found.rows:
        return "the file has no rows. Send the one with the corrected rows"
    states = ", ".join(f"{count:,} {state.value}" for state, count in sorted(found.left_out.items()))
    return (
        f"none of the {found.rows:,} rows of the file is open or corrected any more ({states}); nothing is left to be "
        "retried. Download the rows that are still rejected"
    )
