"""Each alert has a runbook, and each panel leads to one that there is."""

import json
import re
from pathlib import Path

import pytest
import yaml

from deploy.monitoring.alert import Clock
from deploy.monitoring.alerts import alerts, rules_yaml
from deploy.monitoring.dashboards import DASHBOARDS
from deploy.monitoring.panels import grafana_json
from libs.telemetry.metrics import Metrics

CHECKOUT = Path(__file__).resolve().parents[3]
RUNBOOKS = CHECKOUT / "docs" / "runbooks"
HEADINGS = ["What it means", "How to look", "What to do"]
FOREIGN = {"ALERTS", "up"}
"""Series of Prometheus itself; those of prometheus-client begin with ``process_``."""


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    names = {alert.name for alert in alerts()}
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == names
    contents = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    assert [name for name in sorted(names) if f"({name}.md)" not in contents] == []


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("Rowdock*.md")), ids=lambda page: page.stem)
def test_a_runbook_says_what_it_means_how_to_look_and_what_to_do(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_panels_lead_to_runbooks_that_there_are() -> None:
    linked = {each.runbook for page in DASHBOARDS for row in page.rows for each in row.panels if each.runbook}
    assert {name for name in linked if not (RUNBOOKS / f"{name}.md").exists()} == set()


def test_expressions_name_metrics_that_there_are() -> None:
    declared = {each.name for each in Metrics("any").declared}
    declared |= {f"{name}_{end}" for name in declared for end in ("bucket", "count", "sum")}
    text = rules_yaml() + "".join(json.dumps(json.loads(grafana_json(page))["panels"]) for page in DASHBOARDS)
    used = set(re.findall(r"\b(rowdock_[a-z_]+|ALERTS|up)(?=\{|\[|\))", text))
    assert used - declared - FOREIGN == set()


def test_every_declared_metric_is_shown_somewhere() -> None:
    text = rules_yaml() + "".join(grafana_json(page) for page in DASHBOARDS)
    hidden = {each.name for each in Metrics("any").declared if each.name not in text}
    # Of these the panels show what follows from them: who counts, and that the loop watch, off by default, has found.
    assert hidden == {"rowdock_observer", "rowdock_loop_blocks_total", "rowdock_mongodb_checkout_failures_total"}


def test_names_and_panels_are_told_apart() -> None:
    assert len({page.uid for page in DASHBOARDS}) == len(DASHBOARDS)
    for page in DASHBOARDS:
        titles = [(row.title, each.title) for row in page.rows for each in row.panels]
        assert len(set(titles)) == len(titles)


def test_a_faster_clock_changes_times_and_nothing_else() -> None:
    usual, fast = (yaml.safe_load(rules_yaml(clock)) for clock in (None, Clock(30)))
    names = [[rule["alert"] for group in rules["groups"] for rule in group["rules"]] for rules in (usual, fast)]
    assert names[0] == names[1]
    assert (Clock()(5), Clock()(90), Clock()(120), Clock(30)(5), Clock(1_000)(1)) == ("5m", "90m", "2h", "10s", "1s")
