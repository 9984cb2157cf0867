"""Expressions with names, so that nothing is computed twice.

Polars evaluates an expression anew wherever it is used, and its own search for common
subexpressions misses most of ours. A step is computed once and then read as a column.
"""

from collections.abc import Iterable

import polars as pl

_PREFIX = "step:"
_FEW_ROWS = 10_000
_FEW_STEPS = 150


class Steps:
    """A growing list of named expressions, ordered into stages by what they read.

    The names hold a colon, which no field name can.
    """

    def __init__(self) -> None:
        self._stages: list[list[pl.Expr]] = []
        self._stage_of: dict[str, int] = {}

    def let(self, expr: pl.Expr) -> pl.Expr:
        """Name an expression; read the returned column instead of it from now on."""
        inputs = [self._stage_of[name] + 1 for name in expr.meta.root_names() if name in self._stage_of]
        stage = max(inputs, default=0)
        name = f"{_PREFIX}{len(self._stage_of)}"
        self._stage_of[name] = stage
        if stage == len(self._stages):
            self._stages.append([])
        self._stages[stage].append(expr.alias(name))
        return pl.col(name)

    @property
    def stages(self) -> tuple[tuple[pl.Expr, ...], ...]:
        """The expressions; each stage reads the columns of the ones before it."""
        return tuple(tuple(stage) for stage in self._stages)


def evaluate(frame: pl.DataFrame, stages: Iterable[Iterable[pl.Expr]], outputs: Iterable[pl.Expr]) -> pl.DataFrame:
    """Run all stages over a frame and return the outputs.

    Stage by stage: in one plan, a template of hundreds of fields takes hundreds of megabytes. For few fields, and no
    more rows than a batch has, what takes time is to begin with a plan, so there is one.
    """
    stages = [list(stage) for stage in stages]
    at_once = frame.height <= _FEW_ROWS and sum(map(len, stages)) <= _FEW_STEPS
    # Every step is read and none twice: there is nothing to optimise, and looking for it takes time.
    none = pl.QueryOptFlags.none()
    plan = frame.lazy()
    for stage in stages:
        plan = plan.with_columns(stage)
        if not at_once:
            plan = plan.collect(optimizations=none).lazy()
    return plan.select(outputs).collect(optimizations=none)
