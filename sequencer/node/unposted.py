"""The executed blocks that the L1 does not hold yet, counted as they come and go.

Responsible for: reading back what waited before a start, and again after the L1 took a batch back.
Refuses to do: pack or post.

Invariant: a count that is being read back is added to only afterwards, so no block is counted twice or missed.
"""

import trio

from consensus.numbers import GENESIS_HEIGHT, Height
from sequencer.execution.blocks import ExecutedBlock
from sequencer.node.progress import Progress
from sequencer.node.range_reader import HeightWithData, RangeReader
from sequencer.settlement.backlog import BacklogCounter
from sequencer.settlement.poster import Backlog

HEIGHTS_PAGE = 4_096  # read back at a time


class Unposted:
    """One node's backlog."""

    def __init__(self, reader: RangeReader, progress: Progress) -> None:
        self._reader = reader
        self._progress = progress
        self._counter = BacklogCounter()
        self._counted = GENESIS_HEIGHT  # every block up to here is in the counter, or posted
        self._posted = GENESIS_HEIGHT
        self._is_reading = False

    @property
    def backlog(self) -> Backlog:
        """What waits now."""
        return self._counter.backlog(self._progress.attested_height)

    def note_executed(self, block: ExecutedBlock) -> None:
        """A block was executed."""
        if self._is_reading or block.height != self._counted + 1:
            return
        self._counted = block.height
        if block.namespaces:
            byte_count = sum(namespace.byte_count for namespace in block.namespaces)
            self._counter.note_executed(block.height, block.ts_ms, byte_count)

    def note_posted(self, posted: Height) -> None:
        """The L1 holds everything up to `posted`."""
        self._posted = max(self._posted, posted)
        self._counter.note_posted(posted)

    async def catch_up(self, posted: Height) -> None:
        """The L1 holds everything up to `posted`; counts anew what is above it if that is less than before."""
        if posted < self._posted:
            self._counter, self._counted = BacklogCounter(), posted
        self._posted = posted
        self._counted = max(self._counted, posted)
        self._counter.note_posted(posted)
        self._is_reading = True
        try:
            while self._counted < self._progress.executed.height:
                first = Height(self._counted + 1)
                last = Height(min(self._progress.executed.height, first + HEIGHTS_PAGE - 1))
                for found in await trio.to_thread.run_sync(self._read, first, last):
                    self._counter.note_executed(found.height, found.ts_ms, found.byte_count)
                self._counted = last
        finally:
            self._is_reading = False

    def _read(self, first: Height, last: Height) -> list[HeightWithData]:
        return list(self._reader.with_data(first, last))
