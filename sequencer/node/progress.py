"""How far the chain is as this node sees it, when each rung was reached, and who waits for it.

Responsible for: the newest ordered, final, executed and attested positions, recent times, and waking waiters.
Refuses to do: read the disk or know transactions: positions are (lane, seq) and heights.

Invariants:
1. Positions only rise.
2. Times are of this process alone and of the newest HISTORY_MAX steps; what is older is None.
3. A waiter costs nothing until its own position is reached.
"""

import heapq
import itertools
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from consensus.numbers import GENESIS_HEIGHT, Height, Milliseconds, Seq, ValidatorIndex
from sequencer.client.status import Status
from sequencer.node.clock import wall_ms

HISTORY_MAX = 8_192

Ends = tuple[Seq, ...]  # per lane, the last seq covered


class CutTime(NamedTuple):
    """A cut, the height it belongs to, and when it was reached."""

    ends: Ends
    height: Height
    at_ms: Milliseconds


class CutHistory:
    """The newest cuts of one rung, rising in every lane."""

    def __init__(self, ends: Ends, height: Height) -> None:
        self.ends = ends
        self.height = height
        self._ends_before = ends  # what was reached before the first step that is remembered
        self._steps: list[CutTime] = []

    def note(self, ends: Ends, height: Height) -> None:
        """A higher cut was reached now."""
        self.ends = tuple(max(old, new) for old, new in zip(self.ends, ends, strict=True))
        self.height = max(self.height, height)
        self._steps.append(CutTime(self.ends, height, wall_ms()))
        if len(self._steps) > 2 * HISTORY_MAX:
            self._ends_before = self._steps[HISTORY_MAX - 1].ends
            del self._steps[:HISTORY_MAX]

    def covers(self, lane: int, seq: int) -> bool:
        """Whether the position is reached."""
        return self.ends[lane] >= seq

    def first_covering(self, lane: int, seq: int) -> CutTime | None:
        """The step that reached a position, if it is remembered."""
        if seq <= self._ends_before[lane]:
            return None
        place = bisect_left(self._steps, seq, key=lambda step: step.ends[lane])
        return self._steps[place] if place < len(self._steps) else None


@dataclass(slots=True)
class _HeightTimes:
    """When heights reached a rung: (height, ms), rising."""

    steps: list[tuple[Height, Milliseconds]] = field(default_factory=list)

    def note(self, height: Height) -> None:
        self.steps.append((height, wall_ms()))
        if len(self.steps) > 2 * HISTORY_MAX:
            del self.steps[:HISTORY_MAX]

    def of(self, height: Height) -> Milliseconds | None:
        place = bisect_left(self.steps, height, key=lambda step: step[0])
        if place == len(self.steps) or (place == 0 and self.steps[0][0] != height):
            return None
        return self.steps[place][1]


class Progress:
    """See the module's invariants."""

    def __init__(self, ends: Ends, executed_height: Height, attested_height: Height) -> None:
        """`ends`: the executed cut that the disk gave back."""
        self.ordered = CutHistory(ends, executed_height)
        self.executed = CutHistory(ends, executed_height)
        self.final_height = executed_height
        self.attested_height = attested_height
        self._final = _HeightTimes()
        self._attested = _HeightTimes()
        self._numbers = itertools.count()
        self._lane_waiters: dict[tuple[Status, int], list[tuple[int, int, trio.Event]]] = {}
        self._height_waiters: list[tuple[int, int, trio.Event]] = []
        self._moved = trio.Event()

    def note_ordered(self, ends: Ends, height: Height) -> None:
        """A fresh QC covers these ends."""
        self.ordered.note(ends, height)
        self._wake_lanes(Status.ORDERED, self.ordered.ends)

    def note_final(self, height: Height) -> None:
        """The chain is committed up to `height`."""
        self.final_height = max(self.final_height, height)
        self._final.note(height)

    def note_executed(self, ends: Ends, height: Height) -> None:
        """The chain is executed up to `height`, whose cut ends so; a block that is executed is ordered, too."""
        self.executed.note(ends, height)
        if height > self.ordered.height:
            self.ordered.note(ends, height)
            self._wake_lanes(Status.ORDERED, self.ordered.ends)
        self._wake_lanes(Status.FINAL, self.executed.ends)
        self._moved.set()
        self._moved = trio.Event()

    def note_attested(self, height: Height) -> None:
        """A certificate covers everything up to `height`."""
        if height <= self.attested_height:
            return
        self.attested_height = height
        self._attested.note(height)
        while self._height_waiters and self._height_waiters[0][0] <= height:
            heapq.heappop(self._height_waiters)[2].set()

    def final_ms(self, height: Height) -> Milliseconds | None:
        """When the height was committed, if it is remembered."""
        return self._final.of(height)

    def attested_ms(self, height: Height) -> Milliseconds | None:
        """When the height was attested, if it is remembered."""
        return self._attested.of(height)

    async def until_lane(self, status: Status, lane: ValidatorIndex, seq: Seq) -> None:
        """Returns once the position is `ordered`, or executed for `final`."""
        history = self.ordered if status is Status.ORDERED else self.executed
        if history.covers(lane, seq):
            return
        event = trio.Event()
        waiters = self._lane_waiters.setdefault((status, lane), [])
        heapq.heappush(waiters, (seq, next(self._numbers), event))
        await event.wait()

    async def until_attested(self, height: Height) -> None:
        """Returns once a certificate covers `height`."""
        if height <= self.attested_height:
            return
        event = trio.Event()
        heapq.heappush(self._height_waiters, (height, next(self._numbers), event))
        await event.wait()

    async def until_executed_more(self) -> None:
        """Returns after the next executed height."""
        await self._moved.wait()

    def _wake_lanes(self, status: Status, ends: Ends) -> None:
        for lane, end in enumerate(ends):
            waiters = self._lane_waiters.get((status, lane))
            while waiters and waiters[0][0] <= end:
                heapq.heappop(waiters)[2].set()


def start_of_progress(ends: Ends, executed_height: Height, attested_height: Height | None) -> Progress:
    """Progress as a start finds it."""
    return Progress(ends, executed_height, attested_height or GENESIS_HEIGHT)
