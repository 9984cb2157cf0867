"""What people see while a file is sent, checked and written; nothing where nobody looks."""

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from rowdock_client.progress import Progress

_NAMES = {
    "queued": "Waiting",
    "reading": "Checking",
    "checking": "Checking",
    "checked": "Checking",
    "writing": "Writing",
    "reverting": "Reverting",
}


class _Amount(ProgressColumn):
    """How much is done: rows, or bytes of what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = DownloadColumn(binary_units=True)

    def render(self, task: Task) -> Text:
        if task.fields["unit"] == "bytes":
            return self._bytes.render(task)
        total = "?" if task.total is None else f"{int(task.total):,}"
        return Text(f"{int(task.completed):,}/{total} rows", style="progress.download")


class _Pace(ProgressColumn):
    """How fast it goes: what the gateway says, else what was seen."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = TransferSpeedColumn()

    def render(self, task: Task) -> Text:
        if task.fields["unit"] == "bytes":
            return self._bytes.render(task)
        pace = task.fields.get("pace") or task.finished_speed or task.speed
        return Text("" if not pace else f"{pace:,.0f} rows/s", style="progress.data.speed")


class Display:
    """Bars of one import on a terminal: one for each stage."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def sent(self, done: int, size: int) -> None:
        """Of the file so many bytes were sent."""
        task = self._task("Uploading", "bytes")
        self._bars.update(task, completed=done, total=size)

    def seen(self, progress: Progress) -> None:
        """The run is so far."""
        name = _NAMES.get(progress.stage)
        if name is None:  # It has ended: whatever its last stage was is through.
            name = next(reversed(self._tasks), "Writing")
            if name == "Uploading" or progress.status in {"failed", "cancelled"}:
                return
            total = progress.total_rows if progress.total_rows is not None else progress.rows_parsed
            self._bars.update(self._task(name, "rows"), completed=total, total=total)
            return
        if name == "Waiting":
            return
        if name == "Writing" and "Checking" in self._tasks:
            checked = self._tasks["Checking"]
            self._bars.update(checked, total=progress.rows_parsed, completed=progress.rows_parsed)
        self._bars.update(
            self._task(name, "rows"),
            completed=progress.rows_done,
            total=progress.total_rows,
            pace=progress.rows_per_second,
        )

    def _task(self, name: str, unit: str) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=None, unit=unit, pace=None)
        return self._tasks[name]


class _Nothing(Display):
    """What is shown where nobody looks."""

    def __init__(self) -> None:
        pass

    def sent(self, done: int, size: int) -> None:
        del done, size

    def seen(self, progress: Progress) -> None:
        del progress


@contextmanager
def displayed(console: Console) -> Generator[Display]:
    """Bars for the length of a block, where ``console`` is a terminal."""
    if not console.is_terminal:
        yield _Nothing()
        return
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=None),
        _Amount(),
        _Pace(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, expand=False) as bars:
        yield Display(bars)
