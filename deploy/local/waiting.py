"""Waiting for a condition with a deadline, and the one error of the local stack."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class LocalStackError(Exception):
    """The local stack could not do what was asked; the message says what, why and what to do.

    Attributes:
        log: the last lines of the log of the process that failed, empty where there is none.
    """

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(message)
        self.log = log


def wait_until(check: Callable[[], T | None], what: str, *, seconds: float, interval: float = 0.05) -> T:
    """Return the first truthy answer of ``check``.

    Raises:
        LocalStackError: there was none after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise LocalStackError(f"{what}: not done after {seconds:.0f} s")
        time.sleep(interval)
