"""Pictures of the dashboards, drawn from their JSON and live data: ``python -m deploy.monitoring.pictures``.

A stack of its own is started in a temporary folder, imports for a while, and is stopped again. Each panel stands where
its JSON says, with the series that Prometheus answers to its expressions; so picture and dashboard cannot differ.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import dates
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from deploy.local.ports import choose_ports
from deploy.local.progress import Progress
from deploy.local.prometheus import Prometheus, start_prometheus
from deploy.local.stack import parse_scale, running
from deploy.monitoring.alerts import Clock
from deploy.monitoring.evaluation import ShownDashboard, ShownPanel, shown_dashboards
from deploy.monitoring.load import mixed_load
from deploy.monitoring.panels import COLUMNS

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "img"
SCALE = "gateway=2 validator=2 writer=2"
STEP_SECONDS = 2
CELL_INCHES = 0.62, 0.31
MOST_IN_LEGEND = 8
BACKGROUND, PANEL, INK, FAINT = "#111217", "#181b1f", "#d8d9da", "#34363b"


def draw(page: ShownDashboard, prometheus: Prometheus, start: float, end: float, file: Path) -> None:
    """Draw a dashboard between two times, seconds since the epoch, into a PNG file."""
    rows = max(y + height for panel in page.panels for _, y, _, height in [panel.place])
    figure = Figure(figsize=(COLUMNS * CELL_INCHES[0], (rows + 2) * CELL_INCHES[1]), facecolor=BACKGROUND, dpi=110)
    figure.text(0.01, 1 - 1.1 / (rows + 2), page.title, color=INK, fontsize=15, weight="bold", va="center")
    for y, title in page.headings:
        figure.text(0.01, 1 - (y + 2.5) / (rows + 2), title, color=INK, fontsize=11, va="center")
    for panel in page.panels:
        x, y, width, height = panel.place
        left, top = x / COLUMNS, (y + 2) / (rows + 2)
        box = (
            left + 0.004,
            1 - top - (height - 0.25) / (rows + 2),
            width / COLUMNS - 0.008,
            (height - 0.25) / (rows + 2),
        )
        card = figure.add_axes(box, facecolor=PANEL)
        card.set(xticks=[], yticks=[])
        for spine in card.spines.values():
            spine.set_color(FAINT)
        card.text(0.02, 1 - 0.45 / height, panel.title, color=INK, fontsize=9, va="center", transform=card.transAxes)
        _fill(figure, card, panel, box, prometheus, start, end)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, facecolor=BACKGROUND, metadata={"Software": None})


def _fill(
    figure: Figure,
    card: Any,  # noqa: ANN401 - an Axes; matplotlib's own types are incomplete
    panel: ShownPanel,
    box: tuple[float, float, float, float],
    prometheus: Prometheus,
    start: float,
    end: float,
) -> None:
    lines = _series(panel, prometheus, start, end)
    if not lines:
        card.text(0.5, 0.45, panel.empty or "no data", color=INK, fontsize=13, ha="center", transform=card.transAxes)
        return
    match panel.kind:
        case "stat":
            text = "\n".join(_readable(values[-1], panel.unit) for _, _, values in lines[:4])
            card.text(0.5, 0.42, text, color="#73bf69", fontsize=22, ha="center", va="center", transform=card.transAxes)
        case "table":
            rows = [f"{name[:34]:<36}{_readable(values[-1], panel.unit):>8}" for name, _, values in lines[:8]]
            card.text(
                0.04,
                0.8,
                "\n".join(rows),
                color=INK,
                fontsize=8,
                va="top",
                family="monospace",
                transform=card.transAxes,
            )
        case _:
            left, bottom, width, height = box
            axes: Any = figure.add_axes(
                (left + 0.16 * width, bottom + 0.3 * height, width * 0.8, height * 0.53), facecolor=PANEL
            )
            _plot(axes, panel, lines)


def _plot(axes: Any, panel: ShownPanel, lines: Sequence[tuple[str, list[float], list[float]]]) -> None:  # noqa: ANN401
    for name, times, values in lines:
        moments = [datetime.fromtimestamp(each, UTC) for each in times]
        (drawn,) = axes.plot(moments, values, linewidth=1.1, label=name[:40])
        if panel.stacked:
            axes.fill_between(moments, values, alpha=0.15, color=drawn.get_color())
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _readable(value, panel.unit)))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=2, maxticks=5))
    axes.tick_params(colors=INK, labelsize=6.5, length=2)
    axes.grid(color=FAINT, linewidth=0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[:MOST_IN_LEGEND],
        labels[:MOST_IN_LEGEND],
        loc="upper center",
        bbox_to_anchor=(0.43, -0.17),
        ncols=3,
        fontsize=5.5,
        frameon=False,
        labelcolor=INK,
        handlelength=1,
        columnspacing=0.8,
    )


def _series(
    panel: ShownPanel, prometheus: Prometheus, start: float, end: float
) -> list[tuple[str, list[float], list[float]]]:
    """Name, times and values of each series of a panel, the largest first."""
    found: list[tuple[str, list[float], list[float]]] = []
    for query in panel.queries:
        for series in prometheus.query_range(query.expression, start, end, STEP_SECONDS):
            points = [(float(at), float(value)) for at, value in series["values"] if math.isfinite(float(value))]
            if points:
                found.append((query.name(series["metric"]), [at for at, _ in points], [value for _, value in points]))
    return sorted(found, key=lambda each: -max(each[2]))


_STEPS = {"bytes": 1024.0, "Bps": 1024.0}
_ENDS = {"rowsps": " rows/s", "reqps": " req/s", "ops": "/s", "Bps": "/s"}


def _readable(value: float, unit: str) -> str:
    """A value as Grafana would write it, about."""
    if unit == "percentunit":
        return f"{value * 100:.4g} %"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"
    step = _STEPS.get(unit, 1000.0)
    names = ("", " KiB", " MiB", " GiB") if step > 1000 else ("", "k", "M", "G")
    power = 0
    while abs(value) >= step and power < len(names) - 1:
        value, power = value / step, power + 1
    return f"{value:.3g}{names[power]}{_ENDS.get(unit, '')}"


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
        start = time.time()
        with progress.step(f"Importing for {arguments.seconds:.0f} s") as step:
            step.result = f"{mixed_load(stack, arguments.seconds)} imports"
        time.sleep(2 * STEP_SECONDS)
        for page in shown_dashboards("20s", f"{arguments.seconds:.0f}s"):
            file = arguments.to / f"{page.uid}.png"
            with progress.step(f"Drawing {page.title}") as step:
                draw(page, prometheus, start, time.time(), file)
                step.result = str(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
