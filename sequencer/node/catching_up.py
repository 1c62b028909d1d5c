"""How a node that is far behind catches up: in which phase it is, how fast, and how much is left.

Responsible for: these figures, from heights that others keep, and two log lines.
Refuses to do: decide whether the node is ready (`service.py`), or read a clock: `CatchingUp` is told the time.

Invariants:
1. A node catches up once it has been more than FAR_HEIGHTS behind for BEGINS_AFTER_S, until it no longer is: a write
   that stalls for a second is none of this.
2. Rates are those of the last WINDOW_S. The time left is that in which the distance goes to nothing at the rate at
   which it shrinks; the head moves on meanwhile.
3. The phase is what holds the node up: headers while nothing that is committed waits for its execution.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from consensus.numbers import Height
from sequencer.client.views import CatchUp, CatchUpPhase

FAR_HEIGHTS = 20
BEGINS_AFTER_S = 2.0
WINDOW_S = 10.0
PERIOD_S = 1.0
LOG_EVERY_S = 10.0

_log = structlog.get_logger("node")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is."""

    target_height: Height  # of the newest QC that it knows
    final_height: Height
    executed_height: Height
    walk_height: Height | None  # where headers are fetched, if they are
    missing_batches: int  # that execution waits for

    @property
    def heights_left(self) -> int:
        """How far execution is behind the head."""
        return max(0, self.target_height - self.executed_height)

    @property
    def phase(self) -> CatchUpPhase:
        """Invariant 3."""
        if self.executed_height >= self.final_height:
            return "headers"
        return "batches" if self.missing_batches else "executing"


class CatchingUp:
    """See the module's invariants."""

    def __init__(self) -> None:
        self._far_since_s: float | None = None
        self._seen: deque[tuple[float, Place]] = deque()
        self.figures: CatchUp | None = None  # None while the node follows

    @property
    def is_far(self) -> bool:
        """Whether it is far behind, if only for a moment."""
        return self._far_since_s is not None

    def note(self, now_s: float, place: Place) -> None:
        """Where the node is now; to be told about once a second. `now_s` never falls."""
        if place.heights_left <= FAR_HEIGHTS:
            self._far_since_s = self.figures = None
            self._seen.clear()
            return
        if self._far_since_s is None:
            self._far_since_s = now_s
        self._seen.append((now_s, place))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - WINDOW_S:
            self._seen.popleft()
        if now_s - self._far_since_s >= BEGINS_AFTER_S:
            self.figures = self._figures(now_s, place)

    def _figures(self, now_s: float, place: Place) -> CatchUp:
        began_s, before = self._seen[0]
        lasted_s = max(now_s - began_s, 1e-3)
        closing_per_s = (before.heights_left - place.heights_left) / lasted_s
        return CatchUp(
            phase=place.phase,
            walk_height=place.walk_height,
            heights_left=place.heights_left,
            blocks_per_s=round((place.executed_height - before.executed_height) / lasted_s),
            seconds_left=round(place.heights_left / closing_per_s) if closing_per_s > 0 else None,
        )


async def follow_catching_up(catching_up: CatchingUp, read: Callable[[], Place]) -> None:
    """Tells it the place and the time for ever, and the log what it found."""
    told_s: float | None = None
    began: tuple[float, Height] | None = None  # the last look before it was far behind, or the first one
    while True:
        now_s, place = trio.current_time(), read()
        catching_up.note(now_s, place)
        figures = catching_up.figures
        if began is None or not catching_up.is_far:
            if told_s is not None and began is not None:
                took_s, blocks = round(now_s - began[0]), place.executed_height - began[1]
                _log.info("caught_up", height=place.executed_height, blocks=blocks, seconds=took_s)
            told_s, began = None, (now_s, place.executed_height)
        elif figures is not None and (told_s is None or now_s - told_s >= LOG_EVERY_S):
            told_s = now_s
            _log.info(
                "catching_up",
                phase=figures.phase,
                executed_height=place.executed_height,
                target_height=place.target_height,
                walk_height=figures.walk_height,
                heights_left=figures.heights_left,
                blocks_per_s=figures.blocks_per_s,
                seconds_left=figures.seconds_left,
            )
        await trio.sleep(PERIOD_S)
