"""What an alert is: true of series for some time, with a trial of its own.

Times are given in minutes and made by a clock, so that the proof on live data can use the same rules on a faster one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Clock:
    """How long a minute is: 1 of 60 seconds by default, less where a proof is in a hurry."""

    speed: float = 1
    least_seconds: int = 1

    def __call__(self, minutes: float) -> str:
        """A duration as Prometheus writes it."""
        seconds = max(self.least_seconds, round(minutes * 60 / self.speed))
        for unit, size in (("h", 3_600), ("m", 60)):
            if seconds % size == 0:
                return f"{seconds // size}{unit}"
        return f"{seconds}s"

    def seconds(self, seconds: float) -> str:
        """A number of seconds, as a number."""
        return f"{max(self.least_seconds, seconds / self.speed):g}"


@dataclass(frozen=True, slots=True)
class Trial:
    """Series under which an alert fires, in the notation of ``promtool test rules``, a sample a minute.

    Attributes:
        series: values by series.
        fires_at: minutes after which it does.
    """

    series: Mapping[str, str]
    fires_at: int


@dataclass(frozen=True, slots=True)
class Alert:
    """What somebody has to hear of.

    Attributes:
        name: also that of its runbook.
        severity: page: somebody is to look now; ticket: in working hours.
        summary: one line for whoever hears of it.
        expression: what is true while it is so.
        minutes: how long it has to be so first.
    """

    name: str
    severity: Literal["page", "ticket"]
    summary: str
    expression: Callable[[Clock], str]
    minutes: float
    trial: Trial
