"""Time as a value: cores never read a clock, they are handed one reading per step.

Invariants:
1. `wall_ms` may jump (it is what reports and blocks state); `mono_ms` never goes back and is what timers and ages use.
"""

from typing import NamedTuple

from consensus.numbers import Milliseconds


class Now(NamedTuple):
    """One reading of both clocks: wall time in ms since 1970, monotonic time in ms (fractions allowed)."""

    wall_ms: Milliseconds
    mono_ms: float
