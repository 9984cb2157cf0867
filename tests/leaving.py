"""Processes of a stack that are told to leave."""

import re
import signal

from deploy.local.stack import Stack
from tests.client import eventually

GRACE_SECONDS = 60
"""As long as the deployment lets a service leave."""
LEFT_IN_ORDER = "exit status 0"


def told_to_leave(stack: Stack, name: str) -> None:
    """Send SIGTERM to a process and return once it has left in order, in time, and its successor is ready."""
    before = len(exits(stack, name))
    stack.supervisor.kill(name, signal.SIGTERM)
    eventually(lambda: len(exits(stack, name)) > before, f"{name} left", GRACE_SECONDS)
    assert exits(stack, name)[before:] == [(name, LEFT_IN_ORDER)], stack.supervisor.log_tail(name)
    stack.wait_ready([name])


def exits(stack: Stack, name: str = r"\S+") -> list[tuple[str, str]]:
    """Which processes have ended, and how, as supervisord saw it."""
    log = (stack.directory / "logs" / "supervisord.log").read_text()
    return re.findall(rf"exited: ({name}) \(([^;)]*)", log)
