"""The few kinds of panels that dashboards consist of, and how Grafana is told of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

COLUMNS = 24
DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "rowdock"
TARGETS = 'job="rowdock"'
"""By which the targets of Rowdock are told from others of the same Prometheus."""
RUNBOOKS = "/docs/runbooks"
"""Where docs/runbooks can be read; whoever runs this Grafana knows, and says so in the variable."""
Unit = Literal["s", "short", "rowsps", "reqps", "cps", "ops", "bytes", "Bps", "percentunit", "none"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One question and its answer.

    Attributes:
        title: what is shown.
        queries: expression by legend, which may name labels as ``{{topic}}``.
        unit: of the values, as Grafana names it.
        text: how to read it.
        kind: lines over time, areas that add up, the present number, or a table of present values.
        width: of 24 columns.
        warn, alarm: from which value on it is yellow, and red.
        good: the value that is promised: below it is red.
        empty: what is shown where there is no series; by default there is always one.
        runbook: name of the page that tells what to do.
    """

    title: str
    queries: Mapping[str, str]
    unit: Unit = "short"
    text: str = ""
    kind: Literal["lines", "areas", "number", "table"] = "lines"
    width: int = 8
    height: int = 8
    warn: float | None = None
    alarm: float | None = None
    good: float | None = None
    empty: str | None = None
    runbook: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """What a reader chooses: values of a label of a metric, or a text."""

    name: str
    label: str
    metric: str | None = None
    values_of: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page.

    Attributes:
        uid: its address in Grafana, and the name of its file.
        links: further links, address by title.
    """

    uid: str
    title: str
    text: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = ()
    links: Mapping[str, str] = field(default_factory=dict[str, str])
    hours: int = 3


def grafana_json(page: Dashboard) -> str:
    """The dashboard as Grafana reads it."""
    built = (
        dashboard.Dashboard(page.title)
        .uid(page.uid)
        .description(page.text)
        .tags([TAG])
        .timezone("browser")
        .refresh("30s")
        .time(f"now-{page.hours}h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .link(
            dashboard.DashboardLink("Rowdock")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
        .link(dashboard.DashboardLink("Runbooks").type(DashboardLinkType.LINK).url("${runbooks}/README.md"))
        .annotation(_annotation("Deploys", _DEPLOYS, "blue"))
        .annotation(_annotation("Rescues", _RESCUES, "orange"))
    )
    for title, url in page.links.items():
        built = built.link(dashboard.DashboardLink(title).type(DashboardLinkType.LINK).url(url).target_blank(True))
    for each in page.variables:
        built = built.with_variable(_variable(each))
    built = built.with_variable(dashboard.TextBoxVariable("runbooks").label("Runbooks at").default_value(RUNBOOKS))
    number = 0
    for row in page.rows:
        built = built.with_row(dashboard.Row(row.title))
        for each in row.panels:
            number += 1
            built = built.with_panel(_panel(each).id(number))
    return json.dumps(built.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


_DEPLOYS = (
    f"count by (version) (rowdock_process_info{{{TARGETS}}}) "
    f"unless count by (version) (rowdock_process_info{{{TARGETS}}} offset 2m)"
)
_RESCUES = f"sum by (kind) (increase(rowdock_rescues_total{{{TARGETS}}}[$__rate_interval])) > 0"


def _annotation(name: str, expression: str, color: str) -> dashboard.AnnotationQuery:
    query = dashboard.AnnotationQuery().name(name).datasource(DATASOURCE).enable(True)
    return query.icon_color(color).expr(expression)


def _variable(each: Variable) -> Any:  # noqa: ANN401 - a builder of one of several kinds
    if each.metric is None:
        return dashboard.TextBoxVariable(each.name).label(each.label).default_value(each.text)
    return (
        dashboard.QueryVariable(each.name)
        .label(each.label)
        .datasource(DATASOURCE)
        .query(f"label_values({each.metric}, {each.values_of})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .include_all(True)
        .all_value(".*")
        .multi(True)
    )


def _panel(each: Panel) -> Any:  # noqa: ANN401 - a builder of one of several kinds
    match each.kind:
        case "number":
            built = (
                stat.Panel()
                .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
                .graph_mode(BigValueGraphMode.AREA)
                .color_mode(BigValueColorMode.VALUE)
            )
        case "table":
            built = table.Panel()
        case _:
            built = timeseries.Panel().legend(
                common.VizLegendOptions()
                .display_mode(LegendDisplayMode.LIST)
                .placement(LegendPlacement.BOTTOM)
                .show_legend(True)
            )
            if each.kind == "areas":
                built = built.fill_opacity(30).stacking(common.StackingConfig().mode(StackingMode.NORMAL))
            built = built.min(0)
    built = built.title(each.title).description(each.text).unit(each.unit).datasource(DATASOURCE)
    built = built.span(each.width).height(each.height)
    if each.empty is not None:
        built = built.no_value(each.empty)
    if each.kind == "number":  # left to itself, Grafana makes everything red from 80 on
        built = built.thresholds(_thresholds(each))
    if each.runbook is not None:
        url = f"${{runbooks}}/{each.runbook}.md"
        built = built.links([dashboard.DashboardLink(f"What to do: {each.runbook}").url(url)])
    for number, (legend, expression) in enumerate(each.queries.items()):
        query = prometheus.Dataquery().ref_id(chr(ord("A") + number)).expr(expression).legend_format(legend)
        if each.kind == "table":
            query = query.instant().format(PromQueryFormat.TABLE)
        built = built.with_target(query)
    return built


def _thresholds(each: Panel) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color="green")]
    if each.good is not None:
        steps = [Threshold(value=None, color="red"), Threshold(value=each.good, color="green")]
    steps += [Threshold(value=each.warn, color="yellow")] if each.warn is not None else []
    steps += [Threshold(value=each.alarm, color="red")] if each.alarm is not None else []
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
