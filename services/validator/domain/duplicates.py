"""Values that repeat in the whole file: which rows hold them, and what becomes of these rows.

Once every batch has been checked, two kinds of constraints are looked at:

- a rule ``unique``: the first row of the file keeps the value (or the combination of several); each later row
  is rejected, or warned about with ``invalid_rows=keep``. All rows that passed their own checks are
  compared, for every constraint on its own: a row rejected for one still holds its values in the others.
  So does a row whose value a record of the target holds already, which is an answer that the caller brings.
- the upsert key: the last row of the file wins, earlier ones are skipped. Rows that ``unique``
  rejected do not compete, so the winner is always a row that will be written. (A key that is unique
  itself has no competitors left.)

Memory does not grow with the file but with the repetitions found in it (eight bytes each): values
are compared by 128 bits of hash, and only a share of all hashes is held at a time, so the keys
are read several times. Two different values are taken for one with a probability of about
n² / 2^129, for five million rows 4e-26. The same input gives the same answer.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from libs.batches.columns import ROW, TEXT, WARNINGS
from libs.batches.tables import BatchRejections
from libs.contracts.reasons import RowErrorCode
from libs.contracts.rejections import RowError, shown
from libs.contracts.templates import FieldType, InvalidRows
from services.validator.domain.checking import warnings_json, with_warnings
from services.validator.domain.compilation import CompiledTemplate, UniqueConstraint

Batches = Callable[[], Iterable[tuple[int, pa.Table]]]
"""Gives all batches of a run as ``(seq, keys)``, in the order of the file; called once per pass."""

ROWS_PER_PASS = 1_000_000
"""Hashes held at a time: about 60 MB at the peak."""

_Rows = npt.NDArray[np.uint32]
_Hashes = npt.NDArray[np.uint64]
_SEEDS = (0x524F57, 0x444F434B)
_NO_ROWS: _Rows = np.empty(0, np.uint32)
_NOTHING: Mapping[str, _Rows] = {}
_NO_HOLDERS = (_NO_ROWS, _NO_ROWS)
_NOT_HELD: Mapping[str, tuple[_Rows, _Rows]] = {}


@dataclass(frozen=True, slots=True)
class Repetition:
    """The rows of one batch that break a unique constraint.

    Attributes:
        constraint: the constraint.
        rows: rows that repeat a value, ascending.
        first: for each of them, the row that keeps the value; ``None`` where a record of the target does.
    """

    constraint: UniqueConstraint
    rows: _Rows
    first: _Rows | None


@dataclass(frozen=True, slots=True)
class DuplicateResolution:
    """What becomes of the rows of one batch that repeat values.

    Attributes:
        repetitions: repeated values, per rule ``unique`` that is broken in this batch.
        superseded: rows skipped as ``DUPLICATE_UPSERT_KEY``, because a later row holds their key; ascending.
        keep: whether repetitions become warnings instead of rejections.
    """

    repetitions: tuple[Repetition, ...]
    superseded: _Rows
    keep: bool

    @property
    def rejected_rows(self) -> _Rows:
        """Rows that ``unique`` rejects, ascending."""
        return _NO_ROWS if self.keep else _union([found.rows for found in self.repetitions])


def resolve_duplicates(
    compiled: CompiledTemplate,
    batches: Batches,
    rows: int,
    rows_per_pass: int = ROWS_PER_PASS,
    in_target: Mapping[str, _Rows] = _NOTHING,
    held_before: Mapping[str, tuple[_Rows, _Rows]] = _NOT_HELD,
) -> dict[int, DuplicateResolution]:
    """Find the values that repeat and decide which rows keep them.

    Args:
        compiled: the template of the run.
        batches: the ``keys`` of every checked batch.
        rows: about how many rows there are; it decides the number of passes, not the result.
        rows_per_pass: about how many hashes may be held at a time.
        in_target: per constraint by name, the rows whose value a live record of the target holds; ascending.
        held_before: of a retry, per constraint by name: the rows whose value a row holds that was written before,
            ascending, and the numbers of those.

    Returns:
        Resolutions by ``seq``, for those batches that lose rows or get warnings.
    """
    keep = compiled.template.invalid_rows is InvalidRows.KEEP
    passes = max(1, -(-rows // rows_per_pass))
    first_rows: dict[int, int] = {}
    repeated: list[Repetition] = []
    for constraint in compiled.constraints:
        if constraint.by_rule:
            search = _Search(batches, constraint.name, passes, rows_per_pass, first_rows, _NO_ROWS)
            repeated.append(Repetition(constraint, *search.run(last_wins=False)))
            if len((before := held_before.get(constraint.name, _NO_HOLDERS))[0]):
                repeated.append(Repetition(constraint, *before))
        if len(held := in_target.get(constraint.name, _NO_ROWS)):
            repeated.append(Repetition(constraint, held, None))
    superseded = _NO_ROWS
    decided = () if keep else [found.constraint.name for found in repeated if found.first is not None]
    if compiled.upsert_key is not None and compiled.upsert_key not in decided:
        gone = _NO_ROWS if keep else _union([found.rows for found in repeated])
        search = _Search(batches, compiled.upsert_key, passes, rows_per_pass, first_rows, gone)
        superseded, _ = search.run(last_wins=True)
        later, _ = held_before.get(compiled.upsert_key, _NO_HOLDERS)
        superseded = _union([superseded, later[~np.isin(later, gone)]])
    return _by_batch(repeated, superseded, first_rows, keep=keep)


@dataclass(frozen=True, slots=True)
class _Search:
    """The search for repeated values in one column of keys.

    Attributes:
        constraint: name of the column.
        first_rows: filled with the first row of every batch that has rows.
        gone: rows that do not take part, ascending.
    """

    batches: Batches
    constraint: str
    passes: int
    rows_per_pass: int
    first_rows: dict[int, int]
    gone: _Rows

    def run(self, *, last_wins: bool) -> tuple[_Rows, _Rows]:
        """Rows that lose their value, ascending, and for each a row that holds it instead.

        That row is the first of the file where the first wins.
        """
        losers: list[_Rows] = []
        holders: list[_Rows] = []
        for share in range(self.passes):
            for lost, holder in self._pass(share, last_wins=last_wins):
                losers.append(lost)
                holders.append(holder)
        rows, others = np.concatenate([_NO_ROWS, *losers]), np.concatenate([_NO_ROWS, *holders])
        order = np.argsort(rows)
        return rows[order], others[order]

    def _pass(self, share: int, *, last_wins: bool) -> Iterable[tuple[_Rows, _Rows]]:
        held: list[_Hashed] = []
        size, limit = 0, self.rows_per_pass * 5 // 4
        for seq, keys in self.batches():
            hashed = self._hashed(seq, keys, share)
            held.append(hashed)
            size += len(hashed.rows)
            if size > limit:
                # A share is uneven only where values repeat, so dropping repetitions makes room.
                winners, lost, holder = _contest(held, last_wins=last_wins)
                yield lost, holder
                held, size = [winners], len(winners.rows)
                limit = max(limit, 2 * size)
        if held:
            _, lost, holder = _contest(held, last_wins=last_wins)
            yield lost, holder

    def _hashed(self, seq: int, keys: pa.Table, share: int) -> "_Hashed":
        """The rows of a batch that have a value and belong to a share of all hashes."""
        frame = pl.DataFrame(keys.select([ROW, self.constraint]))
        if frame.height:
            self.first_rows[seq] = frame[ROW].item(0)
        frame = frame.filter(pl.col(self.constraint).is_not_null())
        rows: _Rows = frame[ROW].to_numpy()
        texts = frame[self.constraint]
        low: _Hashes = texts.hash(_SEEDS[0]).to_numpy()
        wanted = low % np.uint64(self.passes) == share
        if len(self.gone) and len(rows):
            start, end = np.searchsorted(self.gone, (rows[0], rows[-1]))
            wanted &= ~np.isin(rows, self.gone[start : end + 1])
        high: _Hashes = texts.filter(pl.Series(wanted)).hash(_SEEDS[1]).to_numpy()
        return _Hashed(low[wanted], high, rows[wanted])


class _Hashed(NamedTuple):
    """Values as 128 bits of hash, and the rows that hold them."""

    low: _Hashes
    high: _Hashes
    rows: _Rows


def _contest(held: list[_Hashed], *, last_wins: bool) -> tuple[_Hashed, _Rows, _Rows]:
    """The rows that keep their values; the rows that lose them; the row that keeps it, for each of those."""
    low = np.concatenate([each.low for each in held])
    high = np.concatenate([each.high for each in held])
    rows = np.concatenate([each.rows for each in held])
    # Most values are alone already by half of their hash; only the others are sorted in full.
    order = np.argsort(low)
    same = low[order[1:]] == low[order[:-1]]
    shared = np.zeros(len(rows), np.bool_)
    shared[1:] |= same
    shared[:-1] |= same
    several = order[shared]
    several = several[np.lexsort((rows[several], high[several], low[several]))]
    starts = np.ones(len(several), np.bool_)
    starts[1:] = (low[several[1:]] != low[several[:-1]]) | (high[several[1:]] != high[several[:-1]])
    ends = np.roll(starts, -1)
    wins = ends if last_wins else starts
    winner_of = several[wins][np.cumsum(starts) - 1]
    losers = several[~wins]
    keeps = np.ones(len(rows), np.bool_)
    keeps[losers] = False
    return _Hashed(low[keeps], high[keeps], rows[keeps]), rows[losers], rows[winner_of[~wins]]


def _by_batch(
    repeated: list[Repetition], superseded: _Rows, first_rows: dict[int, int], *, keep: bool
) -> dict[int, DuplicateResolution]:
    ordered = sorted(first_rows.items(), key=lambda item: item[1])
    starts = np.array([row for _, row in ordered], np.uint32)
    bounds = [np.append(np.searchsorted(found.rows, starts), len(found.rows)) for found in repeated]
    skip_bounds = np.append(np.searchsorted(superseded, starts), len(superseded))
    resolutions: dict[int, DuplicateResolution] = {}
    for at, (seq, _) in enumerate(ordered):
        repetitions = tuple(
            Repetition(found.constraint, found.rows[part], None if found.first is None else found.first[part])
            for found, bound in zip(repeated, bounds, strict=True)
            if (part := slice(bound[at], bound[at + 1])).start < part.stop
        )
        skipped = superseded[skip_bounds[at] : skip_bounds[at + 1]]
        if repetitions or len(skipped):
            resolutions[seq] = DuplicateResolution(repetitions, skipped, keep)
    return resolutions


def without_lost(deletions: pa.Table, resolution: DuplicateResolution) -> pa.Table:
    """The rows of a batch that delete their record, without those that lose their value."""
    lost = np.concatenate([resolution.rejected_rows, resolution.superseded])
    return deletions.filter(pa.array(~np.isin(deletions[ROW].to_numpy(), lost)))


def apply_resolution(valid: pa.Table, resolution: DuplicateResolution) -> pa.Table:
    """The rows of a checked batch that are written, with ``_warnings`` about repeated values where they are kept."""
    frame = pl.DataFrame({ROW: valid[ROW].to_numpy()})
    lost = np.concatenate([resolution.rejected_rows, resolution.superseded])
    stays = ~np.isin(frame[ROW].to_numpy(), lost)
    remaining = valid.filter(pa.array(stays))
    if not (resolution.keep and resolution.repetitions):
        return remaining
    before = pl.DataFrame(remaining.select([ROW, WARNINGS]))
    errors = _repetition_errors(resolution, None)
    old = dict(before.filter(pl.col(ROW).is_in(list(errors))).iter_rows())
    merged = {row: _merged(text, errors[row]) for row, text in old.items()}
    warnings = before.select(pl.coalesce(with_warnings(merged), pl.col(WARNINGS)))[WARNINGS]
    at = remaining.column_names.index(WARNINGS)
    return remaining.set_column(at, WARNINGS, warnings.to_arrow().cast(TEXT))


def _merged(warnings: str | None, errors: list[RowError]) -> str:
    return json.dumps(json.loads(warnings or "[]") + json.loads(warnings_json(errors)), ensure_ascii=False)


def rejections(resolution: DuplicateResolution, parsed: pa.Table, keys: pa.Table) -> BatchRejections:
    """The rows of a batch that ``unique`` rejects, in the form of all rejected rows.

    Args:
        resolution: the resolution about the batch.
        parsed: the parsed batch, for the original cells.
        keys: the batch's keys, for the repeated values.
    """
    errors = {} if resolution.keep else _repetition_errors(resolution, keys)
    return BatchRejections(parsed, {row: tuple(errors[row]) for row in sorted(errors)})


def _repetition_errors(resolution: DuplicateResolution, keys: pa.Table | None) -> dict[int, list[RowError]]:
    """Row to its repeated values; without keys, the errors show no value."""
    errors: dict[int, list[RowError]] = {}
    for found in resolution.repetitions:
        constraint = found.constraint
        code = RowErrorCode.EXISTS_IN_TARGET if found.first is None else RowErrorCode.DUPLICATE_VALUE
        values = _values(keys, found)
        holders = [0] * len(found.rows) if found.first is None else found.first.tolist()
        for row, holder, value in zip(found.rows.tolist(), holders, values, strict=True):
            message = constraint.message or _message(constraint, holder)
            error = RowError(constraint.fields[0], constraint.columns[0], code, message, shown(value))
            errors.setdefault(row, []).append(error)
    return errors


def _message(constraint: UniqueConstraint, holder: int) -> str:
    several = f"combination of {', '.join(map(repr, constraint.columns))}" if len(constraint.fields) > 1 else "value"
    if holder:
        return f"Row {holder} already holds this {several}, and no two rows may. Change or remove one of the two."
    return f"A record with this {several} exists already, and no two may hold it. Change the row or remove it."


def _values(keys: pa.Table | None, found: Repetition) -> list[str]:
    if keys is None:
        return [""] * len(found.rows)
    at = np.searchsorted(keys[ROW].to_numpy(), found.rows)
    texts: list[str | None] = keys[found.constraint.name].take(at).to_pylist()
    return [shown_key(found.constraint, text or "") for text in texts]


def shown_key(constraint: UniqueConstraint, key: str) -> str:
    """The value of a key, or of a joint key, as people know it: ``a, b``."""
    texts: list[str] = []
    while len(constraint.fields) > 1 and key:
        length, _, rest = key.partition(":")
        texts.append(rest[: int(length)])
        key = rest[int(length) :]
    texts = texts or [key]
    return ", ".join(_shown(text, kind) for text, kind in zip(texts, constraint.types, strict=True))


def _shown(text: str, kind: FieldType) -> str:
    if kind is not FieldType.DATE:
        return text
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(text))
    return instant.isoformat().replace("+00:00", "Z").removesuffix("T00:00:00Z")


def _union(rows: list[_Rows]) -> _Rows:
    return np.unique(np.concatenate([_NO_ROWS, *rows]))
