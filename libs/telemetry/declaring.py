"""How metrics are declared and exported: each with its documentation, in a registry of one process."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, choose_encoder

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST
_OPEN_METRICS = "application/openmetrics-text"
NOT_COUNTED = math.nan
"""What a process exports where another one counts: Prometheus' ``max`` passes it over. A 0 would be shown whenever
Prometheus misses the one that counts."""

Label = str | tuple[str, ...]
"""What a label says: all its values, or a text where they are not known beforehand."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A metric as it is documented.

    Attributes:
        name: as it is exported, with ``_total`` where it is a counter.
        kind: what it is.
        text: what it tells.
        labels: what each label says.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: Mapping[str, Label]


class DeclaredMetrics:
    """The metrics of a process.

    Attributes:
        registry: for the exposition.
        declared: all of them, in the order of their declaration.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.declared: list[Declaration] = []
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)

    def exposition_for(self, accept: str) -> tuple[bytes, str]:
        """All metrics as a header ``Accept`` asks for them, and their content type: only OpenMetrics has exemplars."""
        if _OPEN_METRICS not in accept:
            return self.exposition(), METRICS_CONTENT_TYPE
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _counter(self, name: str, text: str, **labels: Label) -> Counter:
        self.declared.append(Declaration(f"{name}_total", "counter", text, labels))
        counter = Counter(name, text, list(labels), registry=self.registry)
        for values in _known(labels):
            counter.labels(*values)
        return counter

    def _gauge(self, name: str, text: str, **labels: Label) -> Gauge:
        self.declared.append(Declaration(name, "gauge", text, labels))
        return Gauge(name, text, list(labels), registry=self.registry)

    def _counted_by_one(self, name: str, text: str) -> Gauge:
        gauge = self._gauge(name, text)
        gauge.set(NOT_COUNTED)
        return gauge

    def _histogram(self, name: str, text: str, buckets: Sequence[float], **labels: Label) -> Histogram:
        self.declared.append(Declaration(name, "histogram", text, labels))
        histogram = Histogram(name, text, list(labels), buckets=buckets, registry=self.registry)
        for values in _known(labels):
            histogram.labels(*values)
        return histogram


def _known(labels: Mapping[str, Label]) -> list[tuple[str, ...]]:
    """Every combination of the values of labels, where all of them are known."""
    values = [each for each in labels.values() if not isinstance(each, str)]
    return list(product(*values)) if values and len(values) == len(labels) else []
