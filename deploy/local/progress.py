"""What a person sees while the stack starts: one line a step, a spinner while it runs on a terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console


@dataclass(slots=True)
class Step:
    """A step under way; ``result`` is shown when it is done."""

    result: str = ""


class Progress:
    """Names each step, how long it took, and notices in between."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)

    @classmethod
    def silent(cls) -> "Progress":
        """A progress display that prints nothing."""
        return cls(Console(quiet=True))

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Show ``name`` while the block runs, then one line with its result and its seconds."""
        step = Step()
        started = time.monotonic()
        try:
            with self.console.status(name):
                yield step
        except BaseException:
            self.console.print(f"[red]✗[/] {name}")
            raise
        seconds = time.monotonic() - started
        self.console.print(f"[green]✓[/] {name} [dim]{step.result} ({seconds:.1f} s)[/]")

    def notice(self, text: str) -> None:
        """Show something the reader should know, such as a stand-in that was taken."""
        self.console.print(f"[yellow]![/] {text}")
