"""``docs/metrics.md``: every metric as it is declared, and the service levels that are made from them."""

from libs.telemetry.declaring import Declaration, Label
from libs.telemetry.metrics import Metrics

_INTRODUCTION = """\
# Metrics

Made by `make docs` from [libs/telemetry/metrics.py](../libs/telemetry/metrics.py), where every metric is declared.
Each process serves them at `/metrics` of its `ROWDOCK_OPS_PORT`.

- **Labels are bounded** ([0069](adr/0069-metrics.md)). Runs, rows and addresses are never labels; of organizations
  only the few that have most going on.
- **(observer)**: counted over the whole state, by one gateway of all, every `ROWDOCK_OBSERVE_SECONDS`, in a time that
  does not grow with what is stored. The others export nothing of it, or NaN: ask for the `max`, which passes it over.
- Targets have the labels `service` and `instance` from whatever scrapes them, by which dashboards and alerts go:
  [deploy/prometheus/prometheus.yml](../deploy/prometheus/prometheus.yml) shows how.
- Beside these there are the `process_…` and `python_gc_…` metrics of prometheus-client.

"""


def metrics_document() -> str:
    """The text of the document."""
    lines = ["| metric | kind | tells | labels |", "|---|---|---|---|"]
    lines += [_line(each) for each in Metrics("documents").declared]
    return _INTRODUCTION + "\n".join(lines) + "\n"


def _line(declared: Declaration) -> str:
    labels = "; ".join(f"`{name}`: {_values(label)}" for name, label in declared.labels.items())
    return f"| `{declared.name}` | {declared.kind} | {declared.text} | {labels} |"


def _values(label: Label) -> str:
    return label if isinstance(label, str) else ", ".join(f"`{each}`" for each in label)
