"""A real validator whose wall clock is wrong: `python -m tests.e2e.skewed_validator OFFSET_MS start --home …`.

Timers stay right: they count with the monotonic clock.
"""

import sys
import time

from sequencer.cli.main import main

if __name__ == "__main__":
    offset_ns = int(sys.argv[1]) * 1_000_000
    read_right = time.time_ns
    time.time_ns = lambda: read_right() + offset_ns
    sys.exit(main(sys.argv[2:]))
