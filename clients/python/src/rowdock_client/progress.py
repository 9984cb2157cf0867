"""How far a run is, whether it was looked at or has told by itself. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rowdock_client.models import RunView

Stage = Literal["queued", "reading", "checking", "checked", "writing", "reverting", "ended"]
_STAGES: dict[str, Stage] = {
    "pending": "queued",
    "validating": "reading",
    "validated": "checked",
    "executing": "writing",
    "reverting": "reverting",
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        run_id: id of the run.
        status: its status.
        stage: what it is about, more finely than the status says.
        total_rows: rows of the file; ``None`` while it is being read.
        rows_parsed: rows that were read so far.
        rows_validated: rows that were checked.
        rows_written: rows that are through their writing, or while it is reverted taken back.
        rejected_count: rows that were rejected so far.
        rows_per_second: pace of the stage, where the gateway has told it.
        seconds_left: until the stage is over, where the gateway has told it.
    """

    run_id: str
    status: str
    stage: str
    total_rows: int | None
    rows_parsed: int
    rows_validated: int
    rows_written: int
    rejected_count: int
    rows_per_second: float | None = None
    seconds_left: float | None = None

    @classmethod
    def of(cls, run: RunView) -> "Progress":
        """Of a run that was looked at."""
        stage = _STAGES.get(run.status, "ended")
        active = run.progress
        if active is None:
            through = run.written_count + run.rejected_count + run.skipped_count if stage == "ended" else 0
            return cls(
                run_id=run.id,
                status=run.status,
                stage=stage,
                total_rows=None if stage in {"queued", "reading"} else run.total_rows,
                rows_parsed=run.total_rows,
                rows_validated=run.total_rows,
                rows_written=through,
                rejected_count=run.rejected_count,
            )
        if stage == "reading" and active.parsing_finished:
            stage = "checking"
        return cls(
            run_id=run.id,
            status=run.status,
            stage=stage,
            total_rows=active.rows_parsed if active.parsing_finished else None,
            rows_parsed=active.rows_parsed,
            rows_validated=active.rows_validated,
            rows_written=active.rows_written,
            rejected_count=run.rejected_count,
        )

    @classmethod
    def told(cls, state: Mapping[str, Any]) -> "Progress":
        """Of an event with the whole state.

        Raises:
            KeyError: something of it is missing.
        """
        return cls(
            run_id=state["id"],
            status=state["status"],
            stage=state["stage"],
            total_rows=state["total_rows"],
            rows_parsed=state["rows_parsed"],
            rows_validated=state["rows_validated"],
            rows_written=state["rows_reverted"] if state["stage"] == "reverting" else state["rows_written"],
            rejected_count=state["rejected_count"],
            rows_per_second=state["rows_per_second"],
            seconds_left=state["seconds_left"],
        )

    @property
    def rows_done(self) -> int:
        """Rows that the stage has behind it."""
        return self.rows_validated if self.stage in {"queued", "reading", "checking", "checked"} else self.rows_written
