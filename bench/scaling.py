"""How everything grows: with the rows of a file, with the runs that have ended, with the processes at work."""

from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Self

from bench.measurement import Bench
from bench.scaling_replicas import SCALES, measure_replicas, show_replicas
from bench.scaling_rows import LARGEST_UPLOAD, SIZES, measure_rows, show_rows
from bench.scaling_runs import COUNTS, SWEEP_SECONDS, measure_runs

PARTS: Final[Mapping[str, Sequence[int]]] = {"rows": SIZES, "runs": COUNTS, "replicas": range(len(SCALES))}
Environment = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Scaling:
    """What is to be measured.

    Attributes:
        parts: of ``PARTS`` the wanted ones, each with its sizes.
    """

    parts: Mapping[str, Sequence[int]]

    @classmethod
    def read(cls, text: str) -> Self:
        """Read ``"rows=10000,1000000 runs"``.

        Raises:
            ArgumentTypeError: it is not of that form.
        """
        parts: dict[str, Sequence[int]] = {}
        for part in text.split():
            name, _, sizes = part.partition("=")
            if name not in PARTS or not all(each.isdecimal() for each in sizes.split(",") if sizes):
                raise ArgumentTypeError(f"{part!r} is not understood; parts are {', '.join(PARTS)}")
            parts[name] = [int(each) for each in sizes.split(",")] if sizes else PARTS[name]
        return cls(parts)


def measure_scaling(
    wanted: Scaling, stack: Callable[[str, Environment], AbstractContextManager[Bench]]
) -> dict[str, Any]:
    """Measure each part, and print it.

    Args:
        wanted: the parts.
        stack: makes a stack with nothing in it, of a scale and with variables of its services.
    """
    found: dict[str, Any] = {}
    if sizes := wanted.parts.get("rows"):
        found["rows"] = []
        for rows in sizes:
            with stack("", {"gateway": {"ROWDOCK_MAX_UPLOAD_BYTES": LARGEST_UPLOAD}}) as bench:
                found["rows"].append(measure_rows(bench, rows))
                show_rows(bench.progress.console, found["rows"])
    if counts := wanted.parts.get("runs"):
        with stack("", {"gateway": {"ROWDOCK_RETENTION_SWEEP_SECONDS": SWEEP_SECONDS}}) as bench:
            found["runs"] = measure_runs(bench, sorted(counts))
    if scales := wanted.parts.get("replicas"):
        found["replicas"] = []
        for number in scales:
            with stack(SCALES[number], {}) as bench:
                found["replicas"].append(measure_replicas(bench, SCALES[number]))
                show_replicas(bench.progress.console, found["replicas"])
    return found
