"""The pacemaker: how long a view may take.

Invariants:
1. T = base × 1.2^min(k, 6), then × 1.1 per further view up to T_MAX, with k = consecutive views ended by a TC.
   No doubling: whoever delays a few views would be given seconds.
2. A leader whose last slot passed without a proposal gets T/4 until one of its proposals succeeds: crashed and silent
   leaders tax a rotation little. Never zero, or a few skippers and withholders kill good views ▲.
"""

from dataclasses import dataclass, field

from consensus import limits
from consensus.numbers import ValidatorIndex

_GROWTH = 1.2
_GROWTH_SLOW = 1.1
_ABSENT_DIVISOR = 4


@dataclass(slots=True)
class Pacemaker:
    """Durations in ms. `base_ms` is VIEW_TIMEOUT_MS, `max_ms` T_MAX_MS."""

    base_ms: float
    max_ms: float
    timed_out_count: int = 0
    absent: set[ValidatorIndex] = field(default_factory=set)

    def view_ended(self, leader: ValidatorIndex, *, by_timeout: bool, proposal_seen: bool) -> None:
        """Notes how a view of `leader` ended."""
        if by_timeout:
            self.timed_out_count += 1
            if not proposal_seen:
                self.absent.add(leader)
        else:
            self.timed_out_count = 0
            self.absent.discard(leader)

    def duration_ms(self, leader: ValidatorIndex) -> float:
        """How long a view of `leader` may take now."""
        steps = self.timed_out_count
        fast, slow = min(steps, limits.PACEMAKER_EXPONENT_MAX), max(0, steps - limits.PACEMAKER_EXPONENT_MAX)
        slow = min(slow, 100)  # 1.1^100 is far beyond any T_MAX; keeps the power finite
        duration = min(self.max_ms, self.base_ms * _GROWTH**fast * _GROWTH_SLOW**slow)
        return duration / _ABSENT_DIVISOR if leader in self.absent else duration
