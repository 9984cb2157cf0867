"""Shares that are promised, and alerts on how fast their budgets are used up."""

from collections.abc import Callable
from dataclasses import dataclass

from deploy.monitoring.alert import Alert, Clock, Trial
from deploy.monitoring.panels import TARGETS as J


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """A share that is promised, and what may be missed of it.

    Attributes:
        name: of its alert.
        promise: for people.
        objective: the share that is promised.
        missed: the share that was missed over a duration.
        enough: what has to be true over the long time, too. Where little is imported, one that is slow is already more
            than the budget, and no reason to call anybody.
    """

    name: str
    promise: str
    objective: float
    missed: Callable[[str], str]
    trial: Trial
    enough: Callable[[str], str] | None = None

    def alerts(self) -> list[Alert]:
        """Burns through its budget of a month in days, or in weeks; over a long and a short time, so that it ends soon
        after its cause."""
        return [
            Alert(self.name, "page", f"{self.promise}: the budget of a month would be gone in 2 days", self._burns(60, 5, 14.4), 0, self.trial),
            Alert(self.name, "ticket", f"{self.promise}: the budget of a month would be gone in 5 days", self._burns(360, 30, 6), 0, self.trial),
        ]  # fmt: skip

    def _burns(self, long: float, short: float, rate: float) -> Callable[[Clock], str]:
        budget = f"{rate * (1 - self.objective):.10g}"

        def expression(clock: Clock) -> str:
            conditions = [f"({self.missed(clock(minutes))}) > {budget}" for minutes in (long, short)]
            conditions += [self.enough(clock(long))] if self.enough else []
            return " and ".join(conditions)

        return expression


FEWEST_SLOW = 5
"""Of so many slow ones somebody hears, if they are also too large a share."""


@dataclass(frozen=True, slots=True)
class _Slower:
    """What took longer than so many seconds."""

    histogram: str
    seconds: int
    labels: str

    def share(self, duration: str) -> str:
        return f"1 - sum(rate({self._fast}[{duration}])) / (sum(rate({self._all}[{duration}])) > 0)"

    def enough(self, duration: str) -> str:
        return f"sum(increase({self._all}[{duration}])) - sum(increase({self._fast}[{duration}])) >= {FEWEST_SLOW}"

    @property
    def _fast(self) -> str:
        return f'{self.histogram}_bucket{{{self.labels}, le=~"{self.seconds}(\\\\.0)?"}}'

    @property
    def _all(self) -> str:
        return f"{self.histogram}_count{{{self.labels}}}"


def _lost(duration: str) -> str:
    lost = f'sum(rate(rowdock_accounted_rows_total{{{J}, outcome="lost"}}[{duration}]))'
    return f"{lost} / (sum(rate(rowdock_accounted_rows_total{{{J}}}[{duration}])) > 0)"


_SLOW_IMPORTS = _Slower("rowdock_run_duration_seconds", 10, f'{J}, lane="small", status=~"completed|failed"')
_LATE_WEBHOOKS = _Slower("rowdock_webhook_first_attempt_delay_seconds", 30, J)
# Labels of series in trials.
SMALL_IMPORTS = 'job="rowdock",service="writer",instance="writer-1",lane="small",status="completed"'
WEBHOOKS = 'job="rowdock",service="webhooks",instance="webhooks-1"'

SERVICE_LEVELS = (
    ServiceLevel(
        "RowdockSmallImportsSlow",
        "99 % of small imports end within 10 s",
        0.99,
        _SLOW_IMPORTS.share,
        Trial(
            {
                f'rowdock_run_duration_seconds_bucket{{{SMALL_IMPORTS},le="10.0"}}': "0+5x120",
                f"rowdock_run_duration_seconds_count{{{SMALL_IMPORTS}}}": "0+10x120",
            },
            60,
        ),
        _SLOW_IMPORTS.enough,
    ),
    ServiceLevel(
        "RowdockRowsLost",
        "every accepted row is accounted for, all but one in 100,000",
        0.99999,
        _lost,
        Trial(
            {
                f'rowdock_accounted_rows_total{{{J},service="writer",outcome="written"}}': "0+1000x120",
                f'rowdock_accounted_rows_total{{{J},service="gateway",outcome="lost"}}': "0+10x120",
            },
            60,
        ),
    ),
    ServiceLevel(
        "RowdockWebhooksLate",
        "99 % of webhooks are first tried within 30 s",
        0.99,
        _LATE_WEBHOOKS.share,
        Trial(
            {
                f'rowdock_webhook_first_attempt_delay_seconds_bucket{{{WEBHOOKS},le="30.0"}}': "0+5x120",
                f"rowdock_webhook_first_attempt_delay_seconds_count{{{WEBHOOKS}}}": "0+10x120",
            },
            60,
        ),
        _LATE_WEBHOOKS.enough,
    ),
)
