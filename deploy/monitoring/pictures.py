"""Pictures of the dashboards, drawn from their JSON and live data: ``python -m deploy.monitoring.pictures``.

A stack of its own is started in a temporary folder, imports for a while, and is stopped again. Each panel stands where
its JSON says, with the series that Prometheus answers to its expressions; so picture and dashboard cannot differ.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import dates
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from deploy.local.ports import choose_ports
from deploy.local.progress import Progress
from deploy.local.prometheus import Prometheus, start_prometheus
from deploy.local.stack import parse_scale, running
from deploy.monitoring.alert import Clock
from deploy.monitoring.evaluation import ShownDashboard, ShownPanel, digests, shown_dashboards
from deploy.monitoring.load import mixed_load
from deploy.monitoring.panels import COLUMNS

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "img"
SCALE = "gateway=2 validator=2 writer=2 sources=1"
STEP_SECONDS = 5
CELL_INCHES = 0.62, 0.31
MOST_IN_LEGEND = 12
MOST_COLORS = 96
BACKGROUND, PANEL, INK, DIM, FAINT = "#111217", "#181b1f", "#d8d9da", "#9fa7b3", "#34363b"
COLORS = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a")
SIGNALS = {"green": "#73bf69", "yellow": "#fade2a", "red": "#f2495c"}
DIGEST = "Dashboard"
"""The text in a picture that tells what was drawn."""


@dataclass(frozen=True, slots=True)
class Line:
    """A series as it is drawn: its values by time."""

    name: str
    values: Mapping[float, float]

    @property
    def last(self) -> float:
        """The present value."""
        return self.values[max(self.values)]


def draw(page: ShownDashboard, prometheus: Prometheus, start: float, end: float, file: Path) -> None:
    """Draw a dashboard between two times, seconds since the epoch, into a PNG file that knows what it shows."""
    times = [start + number * STEP_SECONDS for number in range(int((end - start) / STEP_SECONDS) + 1)]
    rows = 1 + max(y + height for panel in page.panels for _, y, _, height in [panel.place])
    figure = Figure(figsize=(COLUMNS * CELL_INCHES[0], rows * CELL_INCHES[1]), facecolor=BACKGROUND, dpi=110)
    figure.text(0.01, 1 - 0.6 / rows, page.title, color=INK, fontsize=15, weight="bold", va="center")
    for y, title in page.headings:
        figure.text(0.01, 1 - (y + 1.5) / rows, title, color=INK, fontsize=11, va="center")
    for panel in page.panels:
        x, y, width, height = panel.place
        box = (
            x / COLUMNS + 0.004,
            1 - (y + 1 + height - 0.25) / rows,
            width / COLUMNS - 0.008,
            (height - 0.25) / rows,
        )
        card = figure.add_axes(box, facecolor=PANEL)
        card.set(xticks=[], yticks=[])
        for spine in card.spines.values():
            spine.set_color(FAINT)
        card.text(
            0.15 / width, 1 - 0.55 / height, panel.title, color=INK, fontsize=9, va="center", transform=card.transAxes
        )
        _fill(figure, card, panel, box, _lines(panel, prometheus, times), times)
    _save(figure, file, digests()[page.uid])


def _save(figure: Figure, file: Path, digest: str) -> None:
    """With few colors: a third of the bytes, and nobody sees the difference."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png", facecolor=BACKGROUND)
    told = PngInfo()
    told.add_text(DIGEST, digest)
    file.parent.mkdir(parents=True, exist_ok=True)
    few = Image.open(drawn).convert("RGB").quantize(MOST_COLORS, dither=Image.Dither.NONE)
    few.save(file, optimize=True, pnginfo=told)


def _fill(
    figure: Figure,
    card: Any,  # noqa: ANN401 - an Axes; matplotlib's own types are incomplete
    panel: ShownPanel,
    box: tuple[float, float, float, float],
    lines: Sequence[Line],
    times: Sequence[float],
) -> None:
    _, _, columns, height = panel.place
    if not lines:
        card.text(0.5, 0.42, panel.empty or "no data", color=DIM, fontsize=11, ha="center", transform=card.transAxes)
        return
    match panel.kind:
        case "stat":
            for number, line in enumerate(lines):
                place = {"x": (number + 0.5) / len(lines), "ha": "center", "va": "center", "transform": card.transAxes}
                color = _color(line.last, panel.colors)
                card.text(y=0.44, s=_readable(line.last, panel.unit), color=color, fontsize=22, **place)
        case "table":
            for number, line in enumerate(lines[: height - 2]):
                row = {"y": 1 - (number + 1.8) / height, "fontsize": 8, "va": "center", "transform": card.transAxes}
                card.text(0.3 / columns, s=line.name, color=INK, **row)
                card.text(1 - 0.3 / columns, s=_readable(line.last, panel.unit), color=INK, ha="right", **row)
        case _:
            left, bottom, width, tall = box
            side_by_side = _legend_columns(lines, columns)
            legend_rows = math.ceil(min(len(lines), MOST_IN_LEGEND) / side_by_side)
            low = (1.1 + 0.42 * legend_rows) / height
            axes: Any = figure.add_axes(
                (left + 1.1 / COLUMNS, bottom + low * tall, width - 1.4 / COLUMNS, (1 - low - 1.1 / height) * tall),
                facecolor=PANEL,
            )
            _plot(axes, panel, lines, times)
            card.legend(
                *axes.get_legend_handles_labels(),
                loc="lower left",
                ncols=side_by_side,
                fontsize=6.5,
                frameon=False,
                labelcolor=INK,
                handlelength=1,
                columnspacing=1,
                labelspacing=0.3,
                borderaxespad=0.2,
            )


def _legend_columns(lines: Sequence[Line], columns: int) -> int:
    """How many names stand side by side; of their letters about eleven fit into a column of the grid."""
    longest = max(len(line.name) for line in lines[:MOST_IN_LEGEND])
    return max(1, min(len(lines), 11 * columns // (longest + 6)))


def _plot(axes: Any, panel: ShownPanel, lines: Sequence[Line], times: Sequence[float]) -> None:  # noqa: ANN401
    axes.set_prop_cycle(color=COLORS)
    moments = [datetime.fromtimestamp(each, UTC) for each in times]
    below = [0.0] * len(times)
    for number, line in enumerate(lines):
        values = [below[at] + line.values.get(each, math.nan) for at, each in enumerate(times)]
        label = line.name if number < MOST_IN_LEGEND else None
        (drawn,) = axes.plot(moments, values, linewidth=1.1, label=label)
        if panel.stacked:
            axes.fill_between(moments, below, values, alpha=0.3, color=drawn.get_color(), linewidth=0)
            below = [old if math.isnan(new) else new for old, new in zip(below, values, strict=True)]
    axes.set_xlim(moments[0], moments[-1])
    highest = max(max(line.values.values()) for line in lines)
    axes.set_ylim(bottom=0, top=None if highest > 0 else 1)
    whole = panel.unit in ("none", "short")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=whole, min_n_ticks=2))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _readable(value, panel.unit)))
    axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=2, maxticks=6))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axes.tick_params(colors=DIM, labelsize=6.5, length=2)
    axes.grid(color=FAINT, linewidth=0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _lines(panel: ShownPanel, prometheus: Prometheus, times: Sequence[float]) -> list[Line]:
    """Each series of a panel, the largest first."""
    found: list[Line] = []
    for query in panel.queries:
        for series in prometheus.query_range(query.expression, times[0], times[-1], STEP_SECONDS):
            values = {float(at): float(value) for at, value in series["values"] if math.isfinite(float(value))}
            if values:
                found.append(Line(query.name(series["metric"]), values))
    return sorted(found, key=lambda each: (-max(each.values.values()), each.name))


def _color(value: float, colors: Sequence[tuple[float, str]]) -> str:
    """What a value is shown in."""
    [*_, name] = (name for least, name in colors if value >= least)
    return SIGNALS[name]


_STEPS = {"bytes": 1024.0, "Bps": 1024.0}
_ENDS = {"rowsps": " rows/s", "reqps": " req/s", "ops": "/s", "Bps": "/s"}


def _readable(value: float, unit: str) -> str:
    """A value as Grafana would write it, about."""
    if unit == "percentunit":
        return f"{value * 100:.4g} %"
    if unit == "s":
        return _duration(value)
    step = _STEPS.get(unit, 1000.0)
    names = (" B", " KiB", " MiB", " GiB") if step > 1000 else ("", "k", "M", "G")
    power = 0
    while abs(value) >= step and power < len(names) - 1:
        value, power = value / step, power + 1
    return f"{value:.3g}{names[power]}{_ENDS.get(unit, '')}"


def _duration(seconds: float) -> str:
    for size, name in ((3_600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
        if seconds >= size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds * 1e6:.3g} µs" if seconds else "0 s"


def main() -> int:
    """Draw all dashboards."""
    parser = argparse.ArgumentParser(prog="python -m deploy.monitoring.pictures", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180, help="how long is imported before they are drawn")
    parser.add_argument("--to", type=Path, default=IMAGES, help="folder of the pictures")
    arguments = parser.parse_args()
    mpl.rcParams["font.family"] = "DejaVu Sans"
    progress = Progress()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), scale=parse_scale(SCALE), progress=progress) as stack,
    ):
        port = choose_ports(stack.directory / "ports.json", ["prometheus"])["prometheus"]
        prometheus = start_prometheus(stack, port, Clock(), STEP_SECONDS)
        start = math.ceil(time.time())
        with progress.step(f"Importing for {arguments.seconds:.0f} s") as step:
            step.result = f"{mixed_load(stack, arguments.seconds)} imports"
        for page in shown_dashboards("20s", f"{arguments.seconds:.0f}s"):
            file = arguments.to / f"{page.uid}.png"
            with progress.step(f"Drawing {page.title}") as step:
                draw(page, prometheus, start, start + arguments.seconds, file)
                step.result = str(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
