"""What was seen of a load: latencies by rung, what was refused or failed, and every second by itself.

Responsible for: counting, in bounded memory; a JSON form.
Refuses to do: judge.

Invariants:
1. A latency counts from the moment its request was due, not from when it was sent: a generator that is late, or a node
   that lets it wait, makes it longer (no coordinated omission).
2. `rungs` holds requests that were due after the warm-up only; `seconds` holds the whole run.
3. A transaction that was not seen to reach a rung in time counts there with the time that was waited for it.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sequencer.load.histogram import Histogram

RUNGS = ("received", "ordered", "final")
SHARES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999))
SECONDS_MAX = 7_200  # later ones count as the last


@dataclass(slots=True)
class Second:
    """Transactions by what became of them in this second; latencies of requests that were due in it."""

    counts: Counter[str] = field(default_factory=Counter)
    latencies: dict[str, Histogram] = field(default_factory=dict)


@dataclass(slots=True)
class LoadRecord:
    """Of one run. Counts are of transactions; `counted` are those between the warm-up and the end of the sending."""

    warm_up_s: float
    end_s: float
    seconds: dict[int, Second] = field(default_factory=dict)
    rungs: dict[str, Histogram] = field(default_factory=lambda: {rung: Histogram() for rung in RUNGS})
    total: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)  # by reason
    failed: Counter[str] = field(default_factory=Counter)  # requests that nobody answered, by kind

    def latency(self, rung: str, due_s: float, took_s: float, count: int = 1) -> None:
        """A followed transaction's, or a request's (`received`)."""
        took_us = round(took_s * 1e6)
        latencies = self._second(due_s).latencies
        if rung not in latencies:
            latencies[rung] = Histogram()
        latencies[rung].record(took_us, count)
        if due_s >= self.warm_up_s:
            self.rungs[rung].record(took_us, count)

    def note(self, what: str, at_s: float, count: int) -> None:
        """So many transactions were due, unsent, sent, moved, failed, refused, received, unfollowed, ordered …"""
        self._second(at_s).counts[what] += count
        self.total[what] += count
        if self.warm_up_s <= at_s < self.end_s:
            self.counted[what] += count

    def _second(self, at_s: float) -> Second:
        number = max(0, min(SECONDS_MAX, int(at_s)))
        if number not in self.seconds:
            self.seconds[number] = Second()
        return self.seconds[number]

    def percentiles_ms(self) -> dict[str, dict[str, float | None]]:
        """By rung: n, p50, p90, p99, p999, max, in ms; None where nothing was counted."""
        return {rung: summary_ms(histogram) for rung, histogram in self.rungs.items()}

    def to_json(self) -> dict[str, Any]:
        """Everything that was counted."""
        return {
            "warm_up_s": self.warm_up_s,
            "end_s": self.end_s,
            "total": dict(self.total),
            "counted": dict(self.counted),
            "refused": dict(self.refused),
            "failed": dict(self.failed),
            "rungs": {rung: histogram.to_json() for rung, histogram in self.rungs.items()},
            "seconds": [
                {
                    "second": number,
                    **second.counts,
                    "latencies_ms": {rung: summary_ms(found) for rung, found in second.latencies.items()},
                }
                for number, second in sorted(self.seconds.items())
            ],
        }


def summary_ms(histogram: Histogram) -> dict[str, float | None]:
    """n, percentiles and maximum of microseconds, in ms."""
    values = histogram.percentiles(share for _, share in SHARES)
    found = {name: None if value is None else value / 1e3 for (name, _), value in zip(SHARES, values, strict=True)}
    return {"n": histogram.count, **found, "max": histogram.max / 1e3 if histogram.count else None}
