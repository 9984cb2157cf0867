"""A dashboard's JSON evaluated as Grafana would: its variables filled in, its expressions asked of Prometheus."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

DASHBOARDS = Path(__file__).resolve().parents[1] / "grafana" / "dashboards"


@dataclass(frozen=True, slots=True)
class Query:
    """One expression of a panel and the legend of its series."""

    expression: str
    legend: str

    def name(self, labels: Mapping[str, str]) -> str:
        """What a series is called."""
        return re.sub(r"\{\{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), self.legend)


@dataclass(frozen=True, slots=True)
class ShownPanel:
    """A panel of a dashboard's JSON.

    Attributes:
        kind: as Grafana names it.
        empty: what it shows where there is no series; ``None`` where there always is one.
        place: x, y, width and height on a grid of 24 columns.
        colors: by the value from which on they are shown, the first one below all others.
    """

    title: str
    kind: str
    unit: str
    stacked: bool
    empty: str | None
    place: tuple[int, int, int, int]
    colors: Sequence[tuple[float, str]]
    queries: Sequence[Query]


@dataclass(frozen=True, slots=True)
class ShownDashboard:
    """A dashboard's JSON, with the values of its variables."""

    uid: str
    title: str
    panels: Sequence[ShownPanel]
    headings: Sequence[tuple[int, str]]
    annotations: Mapping[str, str]


def shown_dashboards(rate_interval: str, window: str) -> list[ShownDashboard]:
    """Every dashboard there is.

    Args:
        rate_interval: what Grafana would put for ``$__rate_interval``.
        window: for ``$__range``, the time shown.
    """
    return [
        _dashboard(json.loads(file.read_text()), rate_interval, window) for file in sorted(DASHBOARDS.glob("*.json"))
    ]


def _dashboard(page: Mapping[str, Any], rate_interval: str, window: str) -> ShownDashboard:
    values = {"__rate_interval": rate_interval, "__range": window}
    for variable in page["templating"]["list"]:
        # Whoever has not chosen anything sees all.
        values[variable["name"]] = str(variable.get("allValue") or variable.get("query") or "")

    def resolved(expression: str) -> str:
        return re.sub(r"\$\{?(\w+)}?", lambda found: values[found[1]], expression)

    panels = [_panel(each, resolved) for each in page["panels"] if each["type"] != "row"]
    headings = [(each["gridPos"]["y"], each["title"]) for each in page["panels"] if each["type"] == "row"]
    annotations = {each["name"]: resolved(each["expr"]) for each in page["annotations"]["list"]}
    return ShownDashboard(page["uid"], page["title"], panels, headings, annotations)


def _panel(panel: Mapping[str, Any], resolved: Any) -> ShownPanel:  # noqa: ANN401 - a function of text
    defaults = panel["fieldConfig"]["defaults"]
    grid = panel["gridPos"]
    return ShownPanel(
        title=panel["title"],
        kind=panel["type"],
        unit=defaults.get("unit", "short"),
        stacked=defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal",
        empty=defaults.get("noValue"),
        place=(grid["x"], grid["y"], grid["w"], grid["h"]),
        colors=[
            (float("-inf") if step["value"] is None else step["value"], step["color"])
            for step in defaults.get("thresholds", {}).get("steps", [])
        ],
        queries=[Query(resolved(each["expr"]), each["legendFormat"]) for each in panel["targets"]],
    )


def every_query(dashboards: Sequence[ShownDashboard]) -> Iterator[tuple[str, ShownPanel, Query]]:
    """Each query with its panel, and where that is."""
    for page in dashboards:
        for panel in page.panels:
            for query in panel.queries:
                yield f"{page.uid}: {panel.title}", panel, query


def digests() -> dict[str, str]:
    """By the name of each dashboard, what changes as soon as anything does that a picture of it shows."""
    return {
        page.uid: hashlib.sha256(json.dumps(asdict(replace(page, annotations={})), sort_keys=True).encode()).hexdigest()
        for page in shown_dashboards("$__rate_interval", "$__range")
    }
