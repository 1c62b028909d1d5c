"""The one task that writes to a peer.

This file is responsible for the order in which what waits for a peer reaches its connection. It refuses to decide
what is sent.

A link has two one-way streams in each direction, one for urgent frames and one for the rest. On a single stream a
vote could not enter the middle of a batch, and worse, could not be *read* before the receiver is done with the batch:
a disk that stalls on a batch would stop votes. Cutting batches into chunks of their own would cure the first and not
the second, and cost a reassembly. Two streams cost one window.

1. Everything large is written by this task, one slice at a time: an urgent frame waits for one slice at most.
2. A slice is written only when its stream's window covers it. A receiver that does not read holds back its own stream
   and nothing else.
3. Nothing here is ever cancelled while the connection lives.
"""

from collections import deque

import trio

from p2p.bounds import SLICE_BYTES
from p2p.errors import ConnectionLost
from p2p.muxer import Stream
from p2p.outbox import ByteQueue, Outbox


class _Transfer:
    """A body on its way into a stream of its own."""

    def __init__(self, stream: Stream, data: bytes) -> None:
        self.stream = stream
        self.over = trio.Event()
        self.lost = False
        self._left = memoryview(data)

    @property
    def slice_bytes(self) -> int:
        return min(len(self._left), SLICE_BYTES)

    def take_slice(self) -> bytes:
        taken, self._left = self._left[:SLICE_BYTES], self._left[SLICE_BYTES:]
        return bytes(taken)

    def end(self, *, lost: bool) -> None:
        self.lost = lost
        self.over.set()


class Writer:
    """Writes the outbox of one link, and the transfers of its requests."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._transfers: deque[_Transfer] = deque()
        self._wake = trio.Event()
        self._bulk_is_next = True

    def wake(self) -> None:
        """Something was queued, a window grew or a stream ended: look again."""
        self._wake.set()

    async def transmit(self, stream: Stream, data: bytes) -> None:
        """Write all of `data` to a stream of its own, in turns with everything else. Raises ConnectionLost."""
        transfer = _Transfer(stream, data)
        self._transfers.append(transfer)
        self.wake()
        await transfer.over.wait()
        if transfer.lost:
            raise ConnectionLost("the stream broke while being written")

    async def run(self, urgent: Stream, bulk: Stream) -> None:
        """Write for as long as the connection lives. Raises ConnectionLost when it does not."""
        while True:
            self._wake = trio.Event()
            if not await self._write_one(urgent, bulk):
                await self._wake.wait()

    async def _write_one(self, urgent: Stream, bulk: Stream) -> bool:
        if await _write_slice(urgent, self._outbox.urgent):
            return True
        self._bulk_is_next = not self._bulk_is_next
        if self._bulk_is_next:
            return await _write_slice(bulk, self._outbox.bulk) or await self._write_transfer()
        return await self._write_transfer() or await _write_slice(bulk, self._outbox.bulk)

    async def _write_transfer(self) -> bool:
        for _ in range(len(self._transfers)):
            transfer = self._transfers.popleft()
            if transfer.stream.is_broken:
                transfer.end(lost=True)
                continue
            try:
                written = await _write_slice(transfer.stream, transfer)
            except ConnectionLost:
                transfer.end(lost=True)
                continue
            if transfer.slice_bytes == 0:
                transfer.end(lost=False)
            else:
                self._transfers.append(transfer)
            if written:
                return True
        return False


async def _write_slice(stream: Stream, source: ByteQueue | _Transfer) -> bool:
    """Write the next slice of `source`, if there is one and the window covers it."""
    wanted = source.slice_bytes
    if wanted == 0:
        return False
    if stream.is_broken:
        raise ConnectionLost("the other side closed the stream")
    if stream.window_bytes < wanted:
        return False
    await stream.write(source.take_slice())
    return True
