"""How much of our own lane may be out at once: sealed, and not committed.

A lane is first in, first out, whatever namespace a batch is for: what waits in it cannot be served fairly any more. So
it is kept short, and what is too much waits in the queues of those who sent it, where each namespace has its share.

Responsible for: the bytes that are out, and what the next batch may add to them.
Refuses to do: count batches against the lane bound (`seal.py`).

Invariants:
1. At most the window is out, and the least batch more; but for a batch each PATIENCE_MS where nothing is committed.
2. The least batch always fits, whatever is out. It holds the longest transaction that the chain allows: one that never
   fitted would keep all others waiting behind it.
"""

from collections import deque

BATCH_BYTES_LEAST = 128 * 1024  # a batch costs the same CPU whatever it holds: smaller ones would cost more than it


class LaneWindow:
    """See the module's invariants."""

    __slots__ = ("_byte_count", "_least_bytes", "_out", "_out_bytes")

    def __init__(self, byte_count: int, least_bytes: int = BATCH_BYTES_LEAST) -> None:
        """`least_bytes`: what the next batch may have at least."""
        self._byte_count = byte_count
        self._least_bytes = least_bytes
        self._out: deque[int] = deque()  # bytes of each batch, oldest first
        self._out_bytes = 0

    def note_sealed(self, byte_count: int) -> None:
        """A batch is on its way."""
        self._out.append(byte_count)
        self._out_bytes += byte_count

    def note_uncommitted(self, batch_count: int) -> None:
        """So many batches are out now; those that were sealed before the last restart are the oldest of them."""
        while len(self._out) > batch_count:
            self._out_bytes -= self._out.popleft()

    @property
    def is_full(self) -> bool:
        """Whether the next batch should wait for a commit."""
        return self._out_bytes >= self._byte_count

    @property
    def room_bytes(self) -> int:
        """What the next batch may have."""
        return max(self._least_bytes, self._byte_count - self._out_bytes)
