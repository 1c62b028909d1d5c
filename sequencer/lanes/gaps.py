"""Asking an author to go back: when its lane has a gap here that does not close by itself.

Responsible for: when to ask, so that reordered checks ask nothing and a lost batch is not waited for long.
Refuses to do: fetch by digest; that is for what the chain names (`fetching.py`).

Invariants:
1. An author is asked only over an open link, only while there is room for the answer, and at most once per
   `gap_retry_ms` while its lane does not move.
"""

from consensus.clock import Now
from consensus.numbers import Seq, ValidatorIndex
from sequencer.lanes.bounds import LaneBounds
from sequencer.lanes.effects import RequestGap
from sequencer.lanes.lane import Lane


class Gaps:
    """The lanes with a gap, each with the time to ask and where the lane stood when that was set."""

    def __init__(self, bounds: LaneBounds) -> None:
        self._bounds = bounds
        self._due: dict[ValidatorIndex, tuple[float, Seq]] = {}

    def watch(self, lane: Lane, now: Now, *, has_room: bool) -> None:
        """The lane may have got a gap, or closed one."""
        if not lane.has_gap or not has_room:
            self._due.pop(lane.author, None)
            return
        due = self._due.get(lane.author)
        if due is None or due[1] != lane.tip.seq:
            self._due[lane.author] = (now.mono_ms + self._bounds.gap_delay_ms, lane.tip.seq)

    def forget(self, author: ValidatorIndex) -> None:
        """The link with the author is gone, or new: it streams from our hello."""
        self._due.pop(author, None)

    def next_due_ms(self) -> float | None:
        """When `requests` should be called next."""
        return min((due_mono_ms for due_mono_ms, _seq in self._due.values()), default=None)

    def requests(self, now: Now) -> list[RequestGap]:
        """Whom to ask now."""
        asked = []
        for author, (due_mono_ms, seq) in self._due.items():
            if due_mono_ms <= now.mono_ms:
                asked.append(RequestGap(author, Seq(seq + 1)))
                self._due[author] = (now.mono_ms + self._bounds.gap_retry_ms, seq)
        return asked
