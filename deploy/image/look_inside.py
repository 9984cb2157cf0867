"""Run within the image, which has no copy of it: does it have all that its programs need?

Imports every module of Rowdock and of the one-shots, starts each service without settings, which it has to notice, and
each one-shot with ``--help``; last looks at who runs it and what can be written to.
"""

import importlib
import os
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path

SERVICES = ("gateway", "parser", "validator", "writer", "webhooks", "gateway.requests", "gateway.sources")
ONE_SHOTS = ("deploy.provision", "deploy.certificates", "deploy.doctor", "deploy.migrations", "services.gateway.admin",
             "services.gateway.bootstrap")  # fmt: skip

failures: list[str] = []


def expect(what: str, *, holds: bool, told: str = "") -> None:
    """Note one finding, and print it."""
    print("ok     " if holds else "FAILED ", what)
    if not holds:
        failures.append(what)
        print(told)


def modules(package: str) -> list[str]:
    """Names of all modules below a package but those that are programs."""
    found = pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    return [each.name for each in found if not each.name.endswith("__main__")]


def ran(*command: str) -> subprocess.CompletedProcess[str]:
    """The end of a program that has to end by itself."""
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


for package in ("libs", "services", "deploy"):
    names = modules(package)
    for name in names:
        importlib.import_module(name)
    expect(f"{len(names)} modules of {package} are imported", holds=bool(names))
for service in SERVICES:
    done = ran(sys.executable, "-m", f"services.{service}")
    told = done.stdout + done.stderr
    noticed = done.returncode != 0 and "kafka\n  Field required" in told
    expect(f"services.{service} starts, and misses its settings", holds=noticed, told=told)
for module in ONE_SHOTS:
    done = ran(sys.executable, "-m", module, "--help")
    expect(f"{module} --help", holds=done.returncode == 0 and "usage" in done.stdout.lower(), told=done.stderr)
done = ran(sys.executable, "-m", "deploy.mongodb_roles")
expect("deploy.mongodb_roles asks for passwords", holds="ROWDOCK_PASSWORD" in done.stderr, told=done.stderr)
done = ran(sys.executable, "-m", "pip", "check")
expect("what is installed fits together", holds=done.returncode == 0, told=done.stdout)
expect("the user is nobody else's", holds=os.getuid() == os.getgid() == 10001)
for folder in ("/app", "/opt/rowdock", "/"):
    expect(f"{folder} cannot be written to", holds=not os.access(folder, os.W_OK))
with tempfile.TemporaryFile() as file:
    expect("the folder for temporary files can", holds=file.write(b"1") == 1)
expect("no sources of tests came along", holds=not any(Path("/app").rglob("tests")))
sys.exit(f"{len(failures)} failed" if failures else 0)
