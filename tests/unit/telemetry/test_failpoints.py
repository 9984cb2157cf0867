"""Failpoints do what the environment says, and nothing without it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from libs.contracts.errors import TransientError
from libs.telemetry.failpoints import failpoint
for number in range(1, 5):
    for name in sys.argv[1:]:
        try:
            failpoint(name)
            print(name, number, flush=True)
        except TransientError:
            print(name, "raised", flush=True)
"""


def run(failpoint: str | None, *names: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FAILPOINT")}
    enabled = {} if failpoint is None else {"FAILPOINT": failpoint}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *names],
        env={**inherited, **enabled, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_nothing_happens_unless_enabled() -> None:
    for specification in (None, "", "other:kill"):
        done = run(specification, "a")
        assert (done.returncode, done.stdout) == (0, "a 1\na 2\na 3\na 4\n")


def test_a_kill_leaves_no_time_for_anything() -> None:
    done = run("a:kill:3", "a")
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "a 1\na 2\n")


def test_a_fault_at_every_pass_and_at_one() -> None:
    assert run("a:raise", "a").stdout == "a raised\n" * 4
    assert run("a:raise:2", "a").stdout == "a 1\na raised\na 3\na 4\n"


def test_points_are_counted_apart() -> None:
    assert run("a:raise:2, b:raise:1", "a", "b").stdout.splitlines()[:4] == ["a 1", "b raised", "a raised", "b 2"]


def test_a_pause_goes_on() -> None:
    assert run("a:pause=0.01:1", "a").stdout == "a 1\na 2\na 3\na 4\n"


def test_a_directory_limits_the_kills(tmp_path: Path) -> None:
    told = {"FAILPOINT_DIRECTORY": str(tmp_path), "FAILPOINT_LIMIT": "2"}
    codes = [run("a:kill:1", "a", **told).returncode for _ in range(3)]
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.0", "a.1"]


def test_one_kill_is_the_default_limit(tmp_path: Path) -> None:
    codes = [run("a:kill", "a", FAILPOINT_DIRECTORY=str(tmp_path)).returncode for _ in range(2)]
    assert codes == [-signal.SIGKILL, 0]


def test_an_unknown_action_is_told() -> None:
    done = run("a:explode", "a")
    assert done.returncode == 1
    assert "unknown failpoint action 'explode'" in done.stderr
