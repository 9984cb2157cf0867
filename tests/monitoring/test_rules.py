"""The rules as Prometheus itself judges them: each alert fires when it should, and none while all is well."""

import subprocess
from pathlib import Path

from deploy.local.prometheus import prometheus_programs

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"


def promtool(*arguments: str) -> str:
    _, program = prometheus_programs()
    done = subprocess.run([program, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_well_formed() -> None:
    assert "SUCCESS" in promtool("check", "rules", "rules/rowdock.yml")


def test_the_configuration_is_well_formed() -> None:
    assert "SUCCESS" in promtool("check", "config", "--syntax-only", "prometheus.yml")


def test_each_alert_fires_under_its_trial_and_none_while_all_is_well() -> None:
    assert "SUCCESS" in promtool("test", "rules", "tests/rowdock.yml")
