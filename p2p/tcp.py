"""One TCP connection as the library's handshake and multiplexer see it.

This file is responsible for reading ahead, counting and closing. It relies only on the library's public interface of
a raw connection, and knows nothing of what passes through.

1. A read returns all it was asked for, however slowly it arrives, and nothing less before the end: the library's own
   gives up when a message comes in more than a hundred pieces.
2. Until `budget_bytes` is lifted, no announced length makes it wait for or keep more than that.
3. `hard_close` never waits; every read and write blocked on the connection ends with an error.
"""

from typing import Any

import trio
from libp2p.abc import IRawConnection
from libp2p.connection_types import ConnectionType
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.exceptions import RawConnError

from p2p.bounds import READ_BYTES

HANDSHAKE_BYTES_MAX = 4_096


class Socket(IRawConnection):
    """One TCP connection: reads ahead, counts, and can be closed from anywhere without waiting."""

    def __init__(self, stream: trio.SocketStream, *, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self.received_at = trio.current_time()
        self.bytes_in = 0
        self.bytes_out = 0
        self.budget_bytes: int | None = HANDSHAKE_BYTES_MAX
        self._stream = stream
        self._buffer = bytearray()
        self._closed = False

    async def read(self, n: int | None = None) -> bytes:
        """Exactly `n` bytes, or fewer at the end: what asks here has read a length and needs all of it."""
        wanted = READ_BYTES if n is None else n
        if self.budget_bytes is not None:
            if wanted > self.budget_bytes:
                raise RawConnError(f"{wanted} bytes announced before the connection is secure")
            self.budget_bytes -= wanted
        while len(self._buffer) < (wanted if n is not None else 1):
            try:
                data = await self._stream.receive_some(READ_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ConnectionClosedError("the socket is closed", transport="tcp") from error
            if not data:
                break
            self.received_at = trio.current_time()
            self.bytes_in += len(data)
            self._buffer += data
        taken = bytes(self._buffer[:wanted])
        del self._buffer[:wanted]
        return taken

    async def write(self, data: bytes) -> None:
        """All of `data`. A write that is cancelled leaves half a message: only a dead connection's may be."""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("the socket is closed", transport="tcp") from error
        self.bytes_out += len(data)

    def hard_close(self) -> None:
        """Close the socket now. Every read and write blocked on it ends with an error."""
        if not self._closed:
            self._closed = True
            self._stream.socket.close()

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
