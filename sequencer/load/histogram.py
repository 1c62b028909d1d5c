"""Latencies counted in buckets whose width grows with the value, as HdrHistogram has them.

Responsible for: counting whole numbers (here microseconds), percentiles, adding up, a JSON form.
Refuses to do: keep single values, or round a percentile down: what it says is never better than what was measured.

Invariants:
1. Memory is bounded whatever is counted: at most BUCKETS_MAX buckets of one integer each.
2. A percentile is at least the true one, and above it by less than 1 / HALF (0.8%), and never above the maximum.
"""

import math
from collections.abc import Iterable
from typing import Any, Self

HALF = 128  # buckets of one doubling; below twice this every value has a bucket of its own
_SHIFT = HALF.bit_length()
VALUE_MAX = 2**36 - 1  # 19 hours in microseconds; longer ones count as this
BUCKETS_MAX = HALF * (36 - _SHIFT + 2)


def bucket_of(value: int) -> int:
    """The number of a value's bucket."""
    shift = max(0, value.bit_length() - _SHIFT)
    return shift * HALF + (value >> shift)


def bucket_end(bucket: int) -> int:
    """The largest value of a bucket."""
    if bucket < 2 * HALF:
        return bucket
    shift = bucket // HALF - 1
    return ((bucket - shift * HALF + 1) << shift) - 1


class Histogram:
    """Counts of values from 0 to VALUE_MAX."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.max = 0
        self.sum = 0

    def record(self, value: int, count: int = 1) -> None:
        """Counts a value; a negative one as 0."""
        value = min(max(0, value), VALUE_MAX)
        bucket = bucket_of(value)
        self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += count
        self.sum += value * count
        self.max = max(self.max, value)

    def add(self, other: Self) -> None:
        """Everything that the other one counted, too."""
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += other.count
        self.sum += other.sum
        self.max = max(self.max, other.max)

    def percentile(self, share: float) -> int | None:
        """The value that a `share` (0 … 1) of all values does not exceed; None if nothing was counted."""
        return self.percentiles((share,))[0]

    def percentiles(self, shares: Iterable[float]) -> list[int | None]:
        """`percentile` for rising shares, in one pass."""
        found: list[int | None] = []
        passed, buckets = 0, iter(sorted(self._counts.items()))
        end = 0
        for share in shares:
            wanted = max(1, math.ceil(share * self.count))
            while passed < wanted and self.count:
                bucket, count = next(buckets)
                passed += count
                end = min(bucket_end(bucket), self.max)
            found.append(end if self.count else None)
        return found

    @property
    def mean(self) -> float | None:
        """Exact, unlike percentiles."""
        return self.sum / self.count if self.count else None

    def to_json(self) -> dict[str, Any]:
        """`{count, sum, max, buckets: [[largest value, count] …]}`, rising."""
        buckets = [[bucket_end(bucket), count] for bucket, count in sorted(self._counts.items())]
        return {"count": self.count, "sum": self.sum, "max": self.max, "buckets": buckets}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        found = cls()
        found._counts = {bucket_of(end): count for end, count in value["buckets"]}
        found.count, found.sum, found.max = value["count"], value["sum"], value["max"]
        return found
