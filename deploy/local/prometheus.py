"""Prometheus on this machine: Debian's or Ubuntu's package, unpacked into the user's cache, never installed.

The package manager of the system downloads and verifies it, by the sources and keys that the system has; that takes no
root. Lists of packages are fetched into the cache where the system has none.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.local.stack import Stack
from deploy.local.supervision import Program, Supervisor
from deploy.local.waiting import LocalStackError, wait_until
from deploy.monitoring.alert import Clock
from deploy.monitoring.alerts import rules_yaml

PACKAGE = "prometheus"
PROMETHEUS_PRIORITY = 20
_NOT_TO_BE_HAD = (
    "Prometheus is not on this machine and could not be downloaded: install the package `prometheus` of your system, "
    "or put `prometheus` and `promtool` into PATH"
)


def prometheus_programs() -> tuple[Path, Path]:
    """``prometheus`` and ``promtool``: those in PATH, else of the package, downloaded once (22 MB) and then kept.

    Raises:
        LocalStackError: neither there nor to be had.
    """
    found = shutil.which("prometheus"), shutil.which("promtool")
    if found[0] and found[1]:
        return Path(found[0]), Path(found[1])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rowdock"
    programs = cache / PACKAGE
    if not programs.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="download-") as scratch:
            unpacked = _unpacked(Path(scratch))
            try:
                unpacked.rename(programs)
            except OSError:
                if not programs.exists():  # otherwise another process was quicker
                    raise
    return programs / "prometheus", programs / "promtool"


def _unpacked(scratch: Path) -> Path:
    """The folder of the programs, fresh from the package."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise LocalStackError(_NOT_TO_BE_HAD)
    if not _try(["apt-get", "download", PACKAGE], scratch)[0]:
        lists, archives = scratch / "lists", scratch / "archives"
        for folder in (lists / "partial", archives / "partial"):
            folder.mkdir(parents=True)
        own = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={archives}", "-o", "Debug::NoLocking=1"]
        for step in (["update"], ["download", PACKAGE]):
            done, log = _try(["apt-get", *own, *step], scratch)
            if not done:
                raise LocalStackError(_NOT_TO_BE_HAD, log=log)
    package = next(scratch.glob(f"{PACKAGE}_*.deb"))
    done, log = _try(["dpkg-deb", "--extract", str(package), str(scratch / "root")], scratch)
    if not done:
        raise LocalStackError(_NOT_TO_BE_HAD, log=log)
    return scratch / "root" / "usr" / "bin"


def _try(command: Sequence[str], directory: Path) -> tuple[bool, str]:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    return done.returncode == 0, "\n".join((done.stdout + done.stderr).splitlines()[-10:])


def write_targets(stack: Stack, file: Path) -> None:
    """Tell Prometheus of every instance of a stack; it reads the file anew when that changes."""
    targets = [
        {
            "targets": [one.url.removeprefix("http://")],
            "labels": {"service": service, "instance": one.name},
        }
        for service, some in stack.services.items()
        for one in some
    ]
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps(targets, indent=2))
    draft.replace(file)


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus that scrapes a stack."""

    url: str

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """Series of an expression at a moment, by default now.

        Raises:
            LocalStackError: it cannot be evaluated.
        """
        return self._ask("query", {"query": expression, **({} if at is None else {"time": str(at)})})

    def value(self, expression: str) -> float | None:
        """The one value of an expression, or ``None`` where there is no series."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Series of an expression over time.

        Raises:
            LocalStackError: it cannot be evaluated.
        """
        return self._ask("query_range", {"query": expression, "start": str(start), "end": str(end), "step": str(step)})

    def targets(self) -> list[dict[str, Any]]:
        """What is scraped, and how that went last."""
        return self._get("targets", {})["activeTargets"]

    def firing(self) -> list[dict[str, Any]]:
        """The alerts that fire now, with their labels and values."""
        return [each for each in self._get("alerts", {})["alerts"] if each["state"] == "firing"]

    def _ask(self, what: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        return self._get(what, parameters)["result"]

    def _get(self, what: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        url = f"{self.url}/api/v1/{what}"  # a form, because expressions are long; what has no parameters takes GET only
        with httpx.Client(timeout=30, trust_env=False) as client:
            told = (client.post(url, data=parameters) if parameters else client.get(url)).json()
        if told["status"] != "success":
            raise LocalStackError(f"Prometheus refuses {parameters}: {told.get('error')}")
        return told["data"]


def start_prometheus(stack: Stack, port: int, clock: Clock, every_seconds: float) -> Prometheus:
    """Let Prometheus scrape ``stack``, as a program of its supervisor; it stops with the stack.

    Args:
        stack: a running one.
        port: where it listens on this machine.
        clock: how fast the alerts' time goes.
        every_seconds: how often it scrapes and evaluates the alerts.

    Raises:
        LocalStackError: it does not start, or cannot be had.
    """
    prometheus, _ = prometheus_programs()
    home = stack.directory / "prometheus"
    home.mkdir(exist_ok=True)
    every = f"{round(every_seconds * 1000)}ms"
    write_targets(stack, home / "targets.json")
    (home / "rules.yml").write_text(rules_yaml(clock, every))
    configuration = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "rowdock", "file_sd_configs": [{"files": ["targets.json"]}]}],
    }
    (home / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    command = [
        str(prometheus),
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    supervisor: Supervisor = stack.supervisor
    supervisor.put([Program("prometheus", command, PROMETHEUS_PRIORITY)])
    supervisor.start(["prometheus"])
    watch = supervisor.watch(["prometheus"])
    started = Prometheus(f"http://127.0.0.1:{port}")

    def ready() -> bool:
        watch.check()
        try:
            return httpx.get(f"{started.url}/-/ready", timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    try:
        wait_until(ready, "Prometheus is ready", seconds=60)
    except LocalStackError as error:
        raise LocalStackError(str(error), log=error.log or supervisor.log_tail("prometheus")) from error
    return started
