"""The one place where the node reads its clocks."""

import time

import trio

from consensus.clock import Now
from consensus.numbers import Milliseconds

_NANOSECONDS_PER_MS = 1_000_000


def wall_ms() -> Milliseconds:
    """Wall time in ms since 1970."""
    return Milliseconds(time.time_ns() // _NANOSECONDS_PER_MS)


def read_now() -> Now:
    """Both clocks; the monotonic one is trio's, so that timers and cores agree."""
    return Now(wall_ms(), trio.current_time() * 1_000)
