"""One TCP connection as the library's handshake and our own messages see it.

This file is responsible for reading ahead, counting and closing. It relies only on the library's public interface of
a raw connection, and knows nothing of what passes through but where a message ends: `u16 length ‖ bytes`.

1. A read returns all it was asked for, however slowly it arrives, and nothing less before the end: the library's own
   gives up when a message comes in more than a hundred pieces.
2. Until `budget_bytes` is lifted, no announced length makes it wait for or keep more than that. What is read ahead is
   bounded by one buffer.
3. `hard_close` never waits; every read and write blocked on the connection ends with an error.
4. One task reads and one writes.
"""

import os
from typing import Any

import trio
from libp2p.abc import IRawConnection
from libp2p.connection_types import ConnectionType
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.exceptions import RawConnError

from p2p.bounds import READ_BYTES

HANDSHAKE_BYTES_MAX = 4_096
MESSAGE_LENGTH_BYTES = 2
MESSAGE_BYTES_MAX = 0xFFFF
_BUFFER_BYTES = READ_BYTES + MESSAGE_LENGTH_BYTES + MESSAGE_BYTES_MAX


class Socket(IRawConnection):
    """One TCP connection: reads ahead, counts, and can be closed from anywhere without waiting."""

    def __init__(self, stream: trio.SocketStream, *, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self.received_at = trio.current_time()
        self.bytes_in = 0
        self.bytes_out = 0
        self.budget_bytes: int | None = HANDSHAKE_BYTES_MAX
        self._socket = stream.socket
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._start = 0
        self._end = 0
        self._closed = False

    async def read(self, n: int | None = None) -> bytes:
        """Exactly `n` bytes, or fewer at the end: what asks here has read a length and needs all of it."""
        wanted = 1 if n is None else n
        if self.budget_bytes is not None:
            if wanted > self.budget_bytes:
                raise RawConnError(f"{wanted} bytes announced before the connection is secure")
            self.budget_bytes -= wanted
        parts: list[bytes] = []
        while wanted > 0:
            if self._start == self._end and not await self._fill():
                break
            part = bytes(self._buffer[self._start : min(self._end, self._start + wanted)])
            self._start += len(part)
            wanted -= len(part)
            parts.append(part)
        return b"".join(parts)

    def next_message(self) -> memoryview | None:
        """The next whole message of what has arrived, valid until the next `fill`; None if its end has not."""
        begin = self._start + MESSAGE_LENGTH_BYTES
        if begin > self._end:
            return None
        end = begin + int.from_bytes(self._buffer[self._start : begin], "big")
        if end > self._end:
            return None
        self._start = end
        return self._buffer[begin:end]

    async def fill(self) -> None:
        """Wait for more of what the other side sends. Raises ConnectionClosedError if there is none."""
        if not await self._fill():
            raise ConnectionClosedError("the other side has closed the connection", transport="tcp")

    async def _fill(self) -> bool:
        if self._start:
            kept = self._end - self._start
            self._buffer[:kept] = bytes(self._buffer[self._start : self._end])
            self._start, self._end = 0, kept
        try:
            count = await self._socket.recv_into(self._buffer[self._end : self._end + READ_BYTES])
        except (OSError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("the socket is closed", transport="tcp") from error
        if count:
            self.received_at = trio.current_time()
            self.bytes_in += count
            self._end += count
        return count > 0

    async def write(self, data: bytes | memoryview) -> None:
        """All of `data`. A write that is cancelled leaves half a message: only a dead connection's may be.

        Other tasks get a turn only if the socket is full.
        """
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._socket.fileno(), left) :]
            except BlockingIOError:
                await self._until_writable()
            except OSError as error:
                raise ConnectionClosedError("the socket is closed", transport="tcp") from error
        self.bytes_out += len(data)

    async def _until_writable(self) -> None:
        try:
            await trio.lowlevel.wait_writable(self._socket.fileno())
        except (OSError, ValueError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("the socket is closed", transport="tcp") from error

    def hard_close(self) -> None:
        """Close the socket now. Every read and write blocked on it ends with an error."""
        if not self._closed:
            self._closed = True
            self._socket.close()

    async def close(self) -> None:
        """The library's way in to `hard_close`."""
        self.hard_close()
        await trio.lowlevel.checkpoint()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Not offered: who the other side is, its key says."""
        return None

    def get_transport_addresses(self) -> list[Any]:
        """Not offered."""
        return []

    def get_connection_type(self) -> ConnectionType:
        """Always direct: there are no relays between validators."""
        return ConnectionType.DIRECT
