"""What waits to be written to one peer, and in which order it leaves.

This file is responsible for the queues of one link and the cutting into slices. It does no I/O: the link's writer
asks for the next slice, writes it, and asks again.

Two queues of frames, *urgent* (votes, timeouts, proposals) and *bulk* (batches), and the *transfers*: bodies of
requests and answers, each for a stream of its own.

1. Frames are queued whole or not at all; a queue never holds more bytes than its bound.
2. Each queue is one stream of bytes, cut at `SLICE_BYTES` whatever the frame borders: small frames share a slice, large
   ones span several, and a slice is exactly one message of the cipher below.
3. Order holds within a queue, never between queues: an urgent frame overtakes everything else at the next slice.
4. Bulk and transfers take turns, so neither starves the other.
"""

from collections import deque

from p2p.bounds import SLICE_BYTES


class ByteQueue:
    """Frames in order, taken out as slices of bytes. Their parts are shared and never copied until taken."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._parts: deque[bytes] = deque()
        self._taken_of_first = 0
        self.waiting_bytes = 0

    def offer(self, *parts: bytes) -> bool:
        """Queue the parts of a frame; False, and nothing queued, if it would exceed the bound."""
        frame_bytes = sum(map(len, parts))
        if self.waiting_bytes + frame_bytes > self._bytes_max:
            return False
        self._parts.extend(filter(None, parts))
        self.waiting_bytes += frame_bytes
        return True

    @property
    def slice_bytes(self) -> int:
        """How many bytes the next slice has."""
        return min(self.waiting_bytes, SLICE_BYTES)

    def take_slice(self) -> bytes:
        """The next slice; empty if nothing waits."""
        wanted = self.slice_bytes
        self.waiting_bytes -= wanted
        parts: list[memoryview | bytes] = []
        while wanted > 0:
            first = self._parts[0]
            if self._taken_of_first == 0 and len(first) <= wanted:
                parts.append(first)
                wanted -= len(first)
                self._parts.popleft()
                continue
            part = memoryview(first)[self._taken_of_first : self._taken_of_first + wanted]
            parts.append(part)
            wanted -= len(part)
            self._taken_of_first += len(part)
            if self._taken_of_first == len(first):
                self._parts.popleft()
                self._taken_of_first = 0
        return b"".join(parts)


class Outbox:
    """The two queues of frames of one link. Sizes in bytes."""

    def __init__(self, *, urgent_bytes_max: int, bulk_bytes_max: int) -> None:
        self.urgent = ByteQueue(urgent_bytes_max)
        self.bulk = ByteQueue(bulk_bytes_max)

    @property
    def waiting_bytes(self) -> int:
        """Bytes queued and not yet handed to the connection."""
        return self.urgent.waiting_bytes + self.bulk.waiting_bytes

    def offer(self, *parts: bytes, urgent: bool) -> bool:
        """Queue the parts of a frame; False if its queue is full, which means the peer is behind."""
        return (self.urgent if urgent else self.bulk).offer(*parts)
