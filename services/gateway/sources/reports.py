"""The report that is written beside a file that was put away."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from libs.contracts.rejections import RowError
from libs.storage.documents import RunDocument, SourceFileDocument, SourceFileOutcome

ENDING: Final = b".report.json"
MAX_ERRORS: Final = 100
"""Errors of rows that a report lists; the run has them all."""


def report(
    entry: SourceFileDocument,
    outcome: SourceFileOutcome,
    run: RunDocument | None,
    errors: Sequence[tuple[int, RowError]],
) -> bytes:
    """What became of a file, as JSON: ``run`` is the path of the run in the interface, null where there was none."""
    told: dict[str, Any] = {
        "file": entry.path,
        "size": entry.size,
        "sha256": entry.sha256,
        "outcome": outcome.value,
        "run_id": entry.run_id,
        "run": None if entry.run_id is None else f"/imports/runs/{entry.run_id}",
        "status": None if run is None else run.status.value,
        "counts": None if run is None or run.counts is None else run.counts.model_dump(),
        "error": _error(entry, run),
        "errors": [{"row": row, **asdict(error)} for row, error in errors],
    }
    return json.dumps(told, indent=2, ensure_ascii=False, default=str).encode(errors="replace") + b"\n"


def _error(entry: SourceFileDocument, run: RunDocument | None) -> dict[str, Any] | None:
    if run is not None:
        return run.failure
    return None if entry.trouble is None else entry.trouble.model_dump()
