"""A strict reader between Noise and Yamux.

Yamux believes its peer: it takes more data than it has allowed, streams without number, and goes on after a header
that means nothing. This file is responsible for reading every header before Yamux acts on it. It refuses to change or
answer anything: it passes a header on or ends the connection.

    header  u8 version ‖ u8 type ‖ u16 flags ‖ u32 stream ‖ u32 length

1. Version 0, the four types and the four flags are known; anything else ends the connection.
2. A peer opens streams with its own half of the numbers, at most `STREAMS_INBOUND_MAX` at once and no faster than its
   pace.
3. Data beyond the window a stream was given ends the connection: what a stream may buffer is its window.
4. Only what was decrypted and authenticated is judged, so that a violation is the peer's own.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Protocol

import trio
from libp2p.abc import ISecureConn
from libp2p.connection_types import ConnectionType
from libp2p.crypto.keys import PrivateKey, PublicKey
from libp2p.network.connection.exceptions import RawConnError
from libp2p.peer.id import ID

from p2p.bounds import STREAMS_BURST, STREAMS_INBOUND_MAX, STREAMS_PER_SECOND
from p2p.guards import Pace

WINDOW_BYTES_FIRST = 256 * 1024
_HEADER = Struct("!BBHII")
_DATA, _WINDOW_UPDATE, _GO_AWAY = 0, 1, 3
_FLAG_SYN = 1
_FLAGS_ALL = 0xF


class StreamWindows(Protocol):
    """What Yamux knows about its streams."""

    def window_of(self, stream_id: int) -> int | None:
        """Bytes the peer may still send on a stream; None if there is no such stream."""

    def opened_by_peer(self) -> int:
        """How many streams the peer has open."""


class MuxerGuard(ISecureConn):
    """Stands between Noise and Yamux and reads every Yamux header before Yamux acts on it."""

    def __init__(self, session: ISecureConn) -> None:
        self.is_initiator = session.is_initiator
        self.violation: str | None = None
        self.concern_writers: Callable[[], None] = lambda: None
        self._session = session
        self._windows: StreamWindows | None = None
        self._pace = Pace(burst=STREAMS_BURST, per_second=STREAMS_PER_SECOND, now=trio.current_time())
        self._message = b""
        self._taken = 0
        self._body_bytes_left = 0
        self._writers_concerned = False

    def watch(self, windows: StreamWindows) -> None:
        """From here on everything read is Yamux."""
        self._windows = windows

    async def read(self, n: int | None = None) -> bytes:
        """What Yamux asks for: a header, or the rest of the body the last header announced."""
        if self._windows is None or n is None:
            return await self._take(n)
        if self._body_bytes_left:
            data = await self._take(min(n, self._body_bytes_left))
            self._body_bytes_left -= len(data)
            return data
        if self._writers_concerned:
            # Yamux asks for the next header only when it has acted on the last one.
            self._writers_concerned = False
            self.concern_writers()
        header = await self._take(n)
        if len(header) == _HEADER.size:
            self._check(header, self._windows)
        return header

    async def _take(self, n: int | None) -> bytes:
        parts: list[bytes] = []
        missing = n
        while missing is None or missing > 0:
            if self._taken == len(self._message):
                self._message, self._taken = await self._session.read(None), 0
            end = len(self._message) if missing is None else self._taken + missing
            part = self._message[self._taken : end]
            self._taken += len(part)
            if missing is None or len(part) == missing:
                return b"".join([*parts, part]) if parts else part
            parts.append(part)
            missing -= len(part)
        return b""

    def _check(self, header: bytes, windows: StreamWindows) -> None:
        version, kind, flags, stream_id, length = _HEADER.unpack(header)
        if version != 0 or kind > _GO_AWAY or flags & ~_FLAGS_ALL:
            self._refuse("bad_muxing")
        if kind == _WINDOW_UPDATE or flags:
            self._writers_concerned = True
        if kind in {_DATA, _WINDOW_UPDATE} and flags & _FLAG_SYN:
            self._check_new_stream(stream_id, windows)
        if kind == _DATA:
            window = windows.window_of(stream_id)
            if length > (WINDOW_BYTES_FIRST if window is None else window):
                self._refuse("window_overflow")
            self._body_bytes_left = length

    def _check_new_stream(self, stream_id: int, windows: StreamWindows) -> None:
        theirs = 0 if self.is_initiator else 1
        if stream_id == 0 or stream_id % 2 != theirs:
            self._refuse("bad_muxing")
        if windows.opened_by_peer() >= STREAMS_INBOUND_MAX or self._pace.take(trio.current_time()) > 0:
            self._refuse("stream_flood")

    def _refuse(self, violation: str) -> None:
        self.violation = violation
        raise RawConnError(violation)

    async def write(self, data: bytes) -> None:
        """Pass through."""
        await self._session.write(data)

    async def close(self) -> None:
        """Pass through."""
        await self._session.close()

    def get_local_peer(self) -> ID:
        """Pass through."""
        return self._session.get_local_peer()

    def get_local_private_key(self) -> PrivateKey:
        """Pass through."""
        return self._session.get_local_private_key()

    def get_remote_peer(self) -> ID:
        """Pass through."""
        return self._session.get_remote_peer()

    def get_remote_public_key(self) -> PublicKey:
        """Pass through."""
        return self._session.get_remote_public_key()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Not offered."""
        return None

    def get_transport_addresses(self) -> list[Any]:
        """Not offered."""
        return []

    def get_connection_type(self) -> ConnectionType:
        """Always direct."""
        return ConnectionType.DIRECT
