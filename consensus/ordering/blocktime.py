"""Block time and L1 anchor: the two scalars that a quorum of reports determines.

Invariants:
1. ts_ms = max(justify.ts_ms + 1, weighted lower median of sent_ms): strictly rising, and within honest clocks as
   soon as those are ahead of the parent.
2. l1_anchor = the highest pair that a witness set reports *exactly*, else (0, zeros) ▲: at least one honest validator
   considers exactly that block final.
"""

from collections.abc import Iterable, Sequence

from consensus.numbers import Milliseconds
from consensus.validators import ValidatorSet
from consensus.vocabulary.anchor import NO_ANCHOR, Anchor
from consensus.vocabulary.report import LaneReport


def weighted_lower_median(values: Iterable[tuple[int, int]]) -> int:
    """The smallest v with 2 × stake(values ≤ v) ≥ stake of all, for (value, stake) pairs; at least one is given."""
    ordered = sorted(values)
    total = sum(stake for _, stake in ordered)
    held = 0
    for value, stake in ordered:
        held += stake
        if 2 * held >= total:
            return value
    raise ValueError("the median of nothing")


def block_time(reports: Sequence[LaneReport], justify_ts_ms: Milliseconds, validators: ValidatorSet) -> Milliseconds:
    """The time of a block on a parent of time `justify_ts_ms`."""
    median = weighted_lower_median((report.sent_ms, validators.stakes[report.validator]) for report in reports)
    return Milliseconds(max(justify_ts_ms + 1, median))


def block_anchor(reports: Sequence[LaneReport], validators: ValidatorSet) -> Anchor:
    """The tip's own anchor; what a block carries is made monotone after commit (`effective.py`)."""
    stakes: dict[Anchor, int] = {}
    for report in reports:
        stakes[report.l1_final] = stakes.get(report.l1_final, 0) + validators.stakes[report.validator]
    return max((anchor for anchor, stake in stakes.items() if stake >= validators.witness), default=NO_ANCHOR)
