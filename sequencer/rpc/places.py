"""A bounded number of places that are taken and given back.

Responsible for: that nobody takes the last ones.
Refuses to do: know what a place is, or wait for one.

Invariants:
1. An owner has at most half of what the others leave. Where it is known how many owners there may be, each has a part
   of its own besides, however much the others have (`sequencer/mempool/room.py`).
2. Only owners that hold places are remembered.
"""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from sequencer.mempool.room import Room
from sequencer.rpc.errors import RequestRefused
from sequencer.rpc.options import RETRY_AFTER_DEFAULT_MS


class FairPlaces:
    """See the module's invariants."""

    def __init__(self, places_max: int, owner_count: int = 0) -> None:
        """`owner_count`: how many owners there may be; 0 if anybody may be one."""
        self._room = Room.of(places_max, owner_count)
        self._taken: Counter[Hashable] = Counter()  # of those that hold any
        self._total = 0

    def take(self, owner: Hashable, count: int) -> None:
        """Takes `count` more places. Raises `RequestRefused("overloaded")` if the owner may not have so many."""
        own = self._taken[owner]
        if own + count > self._room.queue_max(self._total - own):
            raise RequestRefused("overloaded", retry_after_ms=RETRY_AFTER_DEFAULT_MS)
        if count:
            self._taken[owner] += count
            self._total += count

    def give_back(self, owner: Hashable, count: int) -> None:
        """The owner needs so many no longer."""
        self._total -= count
        self._taken[owner] -= count
        if not self._taken[owner]:
            del self._taken[owner]

    @contextmanager
    def taken(self, owner: Hashable, count: int) -> Iterator[None]:
        """Holds `count` places. Raises as `take` does."""
        self.take(owner, count)
        try:
            yield
        finally:
            self.give_back(owner, count)
