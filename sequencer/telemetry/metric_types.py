"""What a metric is: its type, name, help and labels, as declared in `table.py`.

Responsible for: the declarations' types and the rule for names.
Refuses to do: hold values (`metrics.py`).

Invariants:
1. A name is `sequencer_<room>_<noun>_<unit>`, the unit one of UNITS; counters, and only they, end in `_total`.
2. A label has either a closed list of values or a bound on how many it may take.
"""

import re
from dataclasses import dataclass

from sequencer.telemetry.errors import MetricMisuse

OTHER = "other"
ROOMS = (
    "attesting",
    "consensus",
    "execution",
    "l1",
    "lanes",
    "mempool",
    "p2p",
    "process",
    "rpc",
    "settlement",
    "storage",
)
UNITS = ("bytes", "count", "info", "number", "seconds", "total", "wei")
_NAME = re.compile(rf"sequencer_({'|'.join(ROOMS)})(_[a-z0-9]+)+_({'|'.join(UNITS)})")

# Seconds. A LAN view takes milliseconds, a view that times out seconds.
LATENCY_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


@dataclass(frozen=True, slots=True)
class Label:
    """One dimension. With `values` it is closed; without, it takes the first `values_max` values it meets."""

    name: str
    meaning: str
    values: tuple[str, ...] = ()
    values_max: int = 0

    def __post_init__(self) -> None:
        if bool(self.values) == bool(self.values_max):
            raise MetricMisuse(f"label {self.name} has either values or values_max")


@dataclass(frozen=True, slots=True)
class Metric:
    """A declaration. Use one of the three kinds below."""

    name: str
    help: str
    labels: tuple[Label, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise MetricMisuse(f"{self.name} is not sequencer_<room>_<noun>_<unit>")
        if self.name.endswith("_total") != isinstance(self, Counter):
            raise MetricMisuse(f"{self.name}: counters, and only they, end in _total")


@dataclass(frozen=True, slots=True)
class Counter(Metric):
    """Only grows; starts at 0 with the process."""


@dataclass(frozen=True, slots=True)
class Gauge(Metric):
    """Goes up and down."""


@dataclass(frozen=True, slots=True)
class Histogram(Metric):
    """Counts observations by size; `buckets` are upper bounds in the metric's unit, rising."""

    buckets: tuple[float, ...] = LATENCY_BUCKETS


AnyMetric = Counter | Gauge | Histogram
