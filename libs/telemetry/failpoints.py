"""Named points between an effect and its record where a test may stop a process.

Nothing happens unless the environment enables them::

    FAILPOINT="writer.written_before_commit:kill:3,parser.batch_stored:raise"

means: kill -9 this process the third time the first point is passed, raise at every pass of
the second. Actions: ``kill``, ``raise``, ``pause=<seconds>``. A count makes the point fire once,
at that pass; without one it fires at every pass. With ``FAILPOINT_DIRECTORY`` a ``kill`` leaves a
file there first, at most ``FAILPOINT_LIMIT`` (default 1) of a name, so that the restarted process
does not die for ever.
"""

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from libs.contracts.errors import TransientError


@dataclass(frozen=True, slots=True)
class _Armed:
    action: str
    at_pass: int | None


def _armed(specification: str) -> dict[str, _Armed]:
    points: dict[str, _Armed] = {}
    for entry in filter(None, (part.strip() for part in specification.split(","))):
        name, action, *rest = entry.split(":")
        points[name] = _Armed(action, int(rest[0]) if rest else None)
    return points


_points = _armed(os.environ.get("FAILPOINT", ""))
_passes: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Pass the point ``name``: a dictionary look-up in production, a fault where one is enabled."""
    if (armed := _points.get(name)) is None:
        return
    _passes[name] += 1
    if armed.at_pass is not None and _passes[name] != armed.at_pass:
        return
    match armed.action.partition("="):
        case ("kill", _, _):
            if _claim(name):
                os.kill(os.getpid(), signal.SIGKILL)
        case ("raise", _, _):
            raise TransientError(f"failpoint {name}")
        case ("pause", _, seconds):
            time.sleep(float(seconds))
        case (action, _, _):
            raise ValueError(f"unknown failpoint action {action!r} in FAILPOINT")


def _claim(name: str) -> bool:
    directory = os.environ.get("FAILPOINT_DIRECTORY")
    if directory is None:
        return True
    for number in range(int(os.environ.get("FAILPOINT_LIMIT", "1"))):
        try:
            (Path(directory) / f"{name}.{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return True
    return False
