"""Feeding and exposing metrics: one registry per node, built from the one table in `table.py`.

Responsible for: the collectors of a node, and keeping their label sets closed.
Refuses to do: know when to count something; each room's driver does that.

Invariants:
1. Every node has a registry of its own: two nodes in one process never share a value.
2. A label value outside its declared set, or beyond the bound of an open set, is counted as `other`: no client and no
   peer can make a new time series.
"""

from typing import assert_never

import prometheus_client
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics import MetricWrapperBase

from sequencer.telemetry import table
from sequencer.telemetry.errors import MetricMisuse
from sequencer.telemetry.metric_types import OTHER, AnyMetric, Counter, Gauge, Histogram

# `_created` doubles the number of series and nobody reads it; the library only knows a switch for the process.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """A node's metrics. Not for use from several threads at once with the same labels' first value."""

    def __init__(self, version: str) -> None:
        """`version` is the program's, for `sequencer_process_build_info`."""
        self.registry = CollectorRegistry(auto_describe=False)
        self._collectors: dict[str, MetricWrapperBase] = {}
        self._children: dict[tuple[str, ...], MetricWrapperBase] = {}
        self._seen: dict[tuple[str, str], set[str]] = {}
        for metric in table.METRICS:
            self._collectors[metric.name] = self._collector(metric)
        ProcessCollector(registry=self.registry)
        self.set(table.PROCESS_BUILD_INFO, 1, version)

    def add(self, metric: Counter, amount: float = 1, *labels: str) -> None:
        """Counts `amount` (≥ 0)."""
        self._child(metric, labels).inc(amount)  # type: ignore[attr-defined]

    def set(self, metric: Gauge, value: float, *labels: str) -> None:
        """Says what the value is now."""
        self._child(metric, labels).set(value)  # type: ignore[attr-defined]

    def observe(self, metric: Histogram, value: float, *labels: str) -> None:
        """Adds one observation, in the metric's unit."""
        self._child(metric, labels).observe(value)  # type: ignore[attr-defined]

    def value(self, metric: Counter | Gauge, *labels: str) -> float:
        """What the metric reads now; 0 before its first use."""
        found = self.registry.get_sample_value(
            metric.name, dict(zip([label.name for label in metric.labels], labels, strict=True))
        )
        return found or 0.0

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format 0.0.4."""
        return prometheus_client.generate_latest(self.registry)

    def _collector(self, metric: AnyMetric) -> MetricWrapperBase:
        names = [label.name for label in metric.labels]
        match metric:
            case Counter():
                return prometheus_client.Counter(metric.name, metric.help, names, registry=self.registry)
            case Gauge():
                return prometheus_client.Gauge(metric.name, metric.help, names, registry=self.registry)
            case Histogram():
                return prometheus_client.Histogram(
                    metric.name, metric.help, names, registry=self.registry, buckets=metric.buckets
                )
            case _:
                assert_never(metric)

    def _child(self, metric: AnyMetric, labels: tuple[str, ...]) -> MetricWrapperBase:
        key = (metric.name, *labels)
        child = self._children.get(key)
        if child is not None:
            return child
        if len(labels) != len(metric.labels):
            raise MetricMisuse(f"{metric.name} has {len(metric.labels)} labels, not {len(labels)}")
        if not labels:
            child = self._collectors[metric.name]
        else:
            child = self._collectors[metric.name].labels(*self._closed(metric, labels))
            if OTHER in self._closed(metric, labels):
                return child  # not remembered: the key came from outside the closed set
        self._children[key] = child
        return child

    def _closed(self, metric: AnyMetric, labels: tuple[str, ...]) -> list[str]:
        closed = []
        for label, value in zip(metric.labels, labels, strict=True):
            if label.values:
                closed.append(value if value in label.values else OTHER)
                continue
            seen = self._seen.setdefault((metric.name, label.name), set())
            if value not in seen and len(seen) < label.values_max:
                seen.add(value)
            closed.append(value if value in seen else OTHER)
        return closed
