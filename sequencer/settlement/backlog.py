"""Which executed blocks with data are not on the L1 yet, in bounded memory.

Responsible for: the oldest such height, its time, and how many bytes wait.
Refuses to do: read the disk; the driver tells it what was executed and what the L1 holds.

Invariants:
1. Heights rise. At most MARKS_MAX of them are kept; then every second is dropped, and its bytes count with the next, so
   the bytes of a backlog are exact at its ends and late by one mark at most in between. The oldest is always exact
   until blocks between two marks are committed; then the next mark stands for them.
"""

from collections import deque
from dataclasses import dataclass

from consensus.numbers import GENESIS_HEIGHT, Height, Milliseconds
from sequencer.settlement.poster import Backlog

MARKS_MAX = 65_536


@dataclass(frozen=True, slots=True)
class _Mark:
    height: Height
    ts_ms: Milliseconds
    byte_count: int


class BacklogCounter:
    """The blocks with data above the newest batch."""

    def __init__(self) -> None:
        self._marks: deque[_Mark] = deque()
        self._bytes = 0
        self._posted = GENESIS_HEIGHT

    def note_executed(self, height: Height, ts_ms: Milliseconds, byte_count: int) -> None:
        """A block with data was executed; heights rise, repeats and posted ones are ignored."""
        if height <= self._posted or (self._marks and height <= self._marks[-1].height):
            return
        self._marks.append(_Mark(height, ts_ms, byte_count))
        self._bytes += byte_count
        if len(self._marks) > MARKS_MAX:
            self._thin()

    def note_posted(self, height: Height) -> None:
        """The L1 holds everything up to this height."""
        self._posted = max(self._posted, height)
        while self._marks and self._marks[0].height <= height:
            self._bytes -= self._marks.popleft().byte_count

    def backlog(self, attested: Height) -> Backlog:
        """What waits now."""
        if not self._marks:
            return Backlog(None, Milliseconds(0), 0, attested)
        oldest = self._marks[0]
        return Backlog(oldest.height, oldest.ts_ms, self._bytes, attested)

    def _thin(self) -> None:
        marks = list(self._marks)
        kept, carried = [marks[0]], 0
        for place, mark in enumerate(marks[1:], 1):
            if place % 2 and mark is not marks[-1]:
                carried += mark.byte_count
            else:
                kept.append(_Mark(mark.height, mark.ts_ms, mark.byte_count + carried))
                carried = 0
        self._marks = deque(kept)
