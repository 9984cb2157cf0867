"""Values of a retry that rows which were written before hold: those of its parent, and of earlier retries.

Together they are one file, and the same rules hold as in the check of a whole file. What is written stays: where a rule
``unique`` says that the first row keeps a value, that is the one that was written, whichever number it has.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from libs.batches.columns import ROW
from services.validator.domain.compilation import CompiledTemplate
from services.validator.domain.duplicates import ROWS_PER_PASS, Batches

_Rows = npt.NDArray[np.uint32]
_SEEDS = (0x524F57, 0x444F434B)
_HASHES = ["low", "high"]


class HeldValues(NamedTuple):
    """Rows whose value another one holds, ascending, and for each of them the number of that one."""

    rows: _Rows
    holders: _Rows


def held_values(
    compiled: CompiledTemplate, own: Batches, written: Batches, rows: int, rows_per_pass: int = ROWS_PER_PASS
) -> Mapping[str, HeldValues]:
    """Which rows of a retry hold a value that rows which were written hold too, by constraint.

    Of an upsert key only rows count that come later in the file: those win.

    Args:
        compiled: the template.
        own: the ``keys`` of every batch of the retry; read several times.
        written: those of everything that was written before, without the rows that were not; read several times.
        rows: about how many rows ``own`` has; it decides the number of passes, not the result.
        rows_per_pass: about how many of these are held in memory at a time.
    """
    passes = max(1, -(-rows // rows_per_pass))
    return {
        constraint.name: _held(constraint.name, own, written, passes, later=not constraint.by_rule)
        for constraint in compiled.constraints
    }


def _held(constraint: str, own: Batches, written: Batches, passes: int, *, later: bool) -> HeldValues:
    found: list[pl.DataFrame] = []
    for share in range(passes):
        mine = pl.concat([_NONE, *(_hashed(keys, constraint, passes, share) for _, keys in own())])
        if not mine.height:
            continue
        for _, keys in written():
            others = _hashed(keys, constraint, passes, share).rename({ROW: "holder"})
            both = mine.join(others, on=_HASHES).select(ROW, "holder")
            found.append(both.filter(pl.col("holder") > pl.col(ROW)) if later else both)
    held = pl.concat([_NO_HOLDERS, *found]).group_by(ROW).agg(pl.col("holder").min()).sort(ROW)
    return HeldValues(held[ROW].to_numpy(), held["holder"].to_numpy())


def _hashed(keys: pa.Table, constraint: str, passes: int, share: int) -> pl.DataFrame:
    """The rows of a batch that have a value and belong to a share of all hashes: 128 bits of hash, and the number."""
    frame = pl.DataFrame(keys.select([ROW, constraint])).filter(pl.col(constraint).is_not_null())
    texts = frame[constraint]
    hashed = pl.DataFrame({"low": texts.hash(_SEEDS[0]), "high": texts.hash(_SEEDS[1]), ROW: frame[ROW]})
    return hashed.filter(pl.col("low") % passes == share)


_NONE = pl.DataFrame(schema={"low": pl.UInt64, "high": pl.UInt64, ROW: pl.UInt32})
_NO_HOLDERS = pl.DataFrame(schema={ROW: pl.UInt32, "holder": pl.UInt32})
