"""What was found, for a person and for a program."""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How bad something is."""

    GOOD = "good"
    """As it should be."""
    WARNING = "warning"
    """It works, and less well or less safely than it should."""
    PROBLEM = "problem"
    """Something does not work, or will not when it is needed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: such as ``topics`` or ``clocks``.
        text: what was found.
        remedy: how to mend it; empty where all is good.
    """

    grade: Grade
    subject: str
    text: str
    remedy: str = ""


def good(subject: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(Grade.GOOD, subject, text)


def warning(subject: str, text: str, remedy: str) -> Finding:
    """It works, and less well than it should."""
    return Finding(Grade.WARNING, subject, text, remedy)


def problem(subject: str, text: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(Grade.PROBLEM, subject, text, remedy)
