"""How far the chain is as this node sees it, when each rung was reached, and who waits for it.

Responsible for: the newest ordered, final, executed and attested positions, recent times, and waking waiters.
Refuses to do: read the disk or know transactions: positions are (lane, seq) and heights.

Invariants:
1. Positions only rise, but for `posted`, which a reorganisation of the L1 may take back.
2. Times are of this process alone and of the newest HISTORY_MAX steps; what is older is None.
3. What clients follow is told on by `news` as soon as it is noted here.
4. A waiter costs nothing until its own position is reached, and one that gave up is forgotten: what is held is at most
   twice what waits.
"""

import heapq
import itertools
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from consensus.numbers import GENESIS_HEIGHT, Height, Milliseconds, Seq, ValidatorIndex
from sequencer.client.status import Status
from sequencer.node.clock import wall_ms
from sequencer.node.news import News

HISTORY_MAX = 8_192

_LANE_RUNGS = (Status.ORDERED, Status.FINAL)  # those that are reached lane by lane

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
        self.forgotten_height = height  # at or below which that was
        self._steps: list[CutTime] = []

    def note(self, ends: Ends, height: Height) -> None:
        """A higher cut was reached now."""
        self.ends = tuple(max(old, new) for old, new in zip(self.ends, ends, strict=True))
        self.height = max(self.height, height)
        self._steps.append(CutTime(self.ends, height, wall_ms()))
        if len(self._steps) > 2 * HISTORY_MAX:
            self._ends_before, self.forgotten_height, _ = self._steps[HISTORY_MAX - 1]
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


class Waiters:
    """Who waits for positions of one line."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._events: dict[int, trio.Event] = {}  # by number, of those that still wait
        self._places: list[tuple[int, int]] = []  # a heap of (position, number)

    @property
    def held(self) -> int:
        """Places in memory, of waiters and of those that gave up."""
        return len(self._places)

    async def until(self, position: int) -> None:
        """Returns once `wake` reaches the position."""
        number = next(self._numbers)
        event = self._events[number] = trio.Event()
        heapq.heappush(self._places, (position, number))
        try:
            await event.wait()
        finally:
            self._events.pop(number, None)
            if len(self._places) > 2 * len(self._events):
                self._places = [place for place in self._places if place[1] in self._events]
                heapq.heapify(self._places)

    def wake(self, position: int) -> None:
        """Wakes all whose position is at or below this one."""
        while self._places and self._places[0][0] <= position:
            event = self._events.pop(heapq.heappop(self._places)[1], None)
            if event is not None:
                event.set()

    def wake_all(self) -> None:
        """Wakes all."""
        for event in self._events.values():
            event.set()
        self._events.clear()
        self._places.clear()


class Progress:
    """See the module's invariants."""

    def __init__(
        self,
        ends: Ends,
        executed_height: Height,
        final_height: Height,
        attested_height: Height,
        *,
        ordered: Ends | None = None,
    ) -> None:
        """What the disk gave back. `ends`: the executed cut; execution may be behind what is committed (`final`).

        `ordered`: the committed cut, if it is known.
        """
        self.news = News()
        committed_height = max(executed_height, final_height)
        self.ordered = CutHistory(ends, executed_height) if ordered is None else CutHistory(ordered, committed_height)
        self.executed = CutHistory(ends, executed_height)
        self.final_height = final_height
        self.attested_height = attested_height
        self._final = _HeightTimes()
        self._attested = _HeightTimes()
        self._lane_waiters = {(status, lane): Waiters() for status in _LANE_RUNGS for lane in range(len(ends))}
        self._height_waiters = Waiters()
        self.posted_height = GENESIS_HEIGHT
        self.settled_height = GENESIS_HEIGHT
        self._l1_waiters = {Status.POSTED: Waiters(), Status.SETTLED: Waiters()}
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
        self.news.executed(height)

    def note_closed(self, lane: ValidatorIndex) -> None:
        """The lane is closed: whoever waits for a position of it waits for nothing."""
        for status in _LANE_RUNGS:
            self._lane_waiters[status, lane].wake_all()

    def note_attested(self, height: Height) -> None:
        """A certificate covers everything up to `height`."""
        if height <= self.attested_height:
            return
        self.attested_height = height
        self._attested.note(height)
        self._height_waiters.wake(height)
        self.news.attested(height)

    def note_l1(self, posted: Height, settled: Height) -> None:
        """The L1 holds everything up to `posted`, a final block of it up to `settled`. An L1 may take `posted` back."""
        self.posted_height, self.settled_height = posted, settled
        self._l1_waiters[Status.POSTED].wake(posted)
        self._l1_waiters[Status.SETTLED].wake(settled)
        self.news.on_l1(posted, settled)

    def rung(self, height: Height) -> Status:
        """How sure an executed height is."""
        if height <= self.settled_height:
            return Status.SETTLED
        if height <= self.posted_height:
            return Status.POSTED
        return Status.ATTESTED if height <= self.attested_height else Status.FINAL

    def final_ms(self, height: Height) -> Milliseconds | None:
        """When the height was committed, if it is remembered."""
        return self._final.of(height)

    def attested_ms(self, height: Height) -> Milliseconds | None:
        """When the height was attested, if it is remembered."""
        return self._attested.of(height)

    async def until_lane(self, status: Status, lane: ValidatorIndex, seq: Seq) -> None:
        """Returns once the position is `ordered`, or executed for `final`; or when the lane is closed."""
        history = self.ordered if status is Status.ORDERED else self.executed
        if not history.covers(lane, seq):
            await self._lane_waiters[status, lane].until(seq)

    async def until_any_lane(self, status: Status, places: Sequence[tuple[ValidatorIndex, Seq]]) -> None:
        """Returns once one of these positions is, or its lane was closed meanwhile."""
        async with trio.open_nursery() as nursery:

            async def until(lane: ValidatorIndex, seq: Seq) -> None:
                await self.until_lane(status, lane, seq)
                nursery.cancel_scope.cancel()

            for place in places:
                nursery.start_soon(until, *place)

    async def until_attested(self, height: Height) -> None:
        """Returns once a certificate covers `height`."""
        if height > self.attested_height:
            await self._height_waiters.until(height)

    async def until_on_l1(self, status: Status, height: Height) -> None:
        """Returns once the height is `posted` or `settled`."""
        if height > (self.posted_height if status is Status.POSTED else self.settled_height):
            await self._l1_waiters[status].until(height)

    async def until_executed_more(self) -> None:
        """Returns after the next executed height."""
        await self._moved.wait()

    def _wake_lanes(self, status: Status, ends: Ends) -> None:
        for lane, end in enumerate(ends):
            self._lane_waiters[status, lane].wake(end)
