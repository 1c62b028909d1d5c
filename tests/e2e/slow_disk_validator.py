"""A real validator whose disk syncs slowly: `python -m tests.e2e.slow_disk_validator MS start --home …`.

Every sync takes so many milliseconds more, on the thread that asked for it, several at once if several ask.
"""

import sys
import time

from sequencer.cli.main import main
from storage.durable import Operation, set_witness

_SYNCS = ("sync_file", "sync_directory", "write_synced")


class SlowDisk:
    """A witness (`storage.durable.Witness`)."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def carry_out(self, operation: Operation) -> None:
        """As it is, and late."""
        operation.run()
        if operation.kind in _SYNCS:
            time.sleep(self._delay_s)


if __name__ == "__main__":
    set_witness(SlowDisk(int(sys.argv[1]) / 1_000))
    sys.exit(main(sys.argv[2:]))
