"""Everything that depends on the inside of py-libp2p 0.8.1, and nothing else.

This file is responsible for secure, multiplexed connections made of the library's parts: `TransportUpgrader`, Noise
and Yamux, on a socket of our own. Two parts of it stand beside it, `admission.py` before Noise and `muxer_guard.py`
before Yamux. It refuses to know peers by index, frames or links. A test, `test_library_upgrade.py`, fails when an
upgrade changes what is relied upon here.

The library's `Swarm` and `BasicHost` are not used between validators. What their source says: an inbound connection
keeps its slot until the process ends, so that after 250 reconnections nobody gets in; an exception in any connection's
task ends the whole service; one failed dial bans a peer for 60 s, and each dial waits 250 ms for a second address; a
listener shares its port with a second process; a manager of connections dials on its own. Below the swarm none of this
exists: a dial here is one TCP connect without a ban or a delay, a bind that fails raises, and what a connection does
ends in that connection.

1. Noise alone secures and Yamux alone multiplexes; neither plaintext nor TLS is ever offered.
2. Until a connection is secure it may send `HANDSHAKE_BYTES_MAX` bytes, whatever lengths it announces, and while a
   stream chooses its protocol `NEGOTIATION_BYTES_MAX`.
3. `hard_close` closes the socket and nothing else: it never waits, and everything blocked on the connection wakes.
4. A write is only started when the stream's window covers it: the library's own wait polls, and gives up after 5 s.
5. Reading a connection never waits for writing to it.
6. A peer may be at most `WINDOW_BYTES_MAX` ahead of us on a stream.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import trio
from libp2p.crypto.keys import KeyPair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import ParseError
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import IOException
from libp2p.network.connection.exceptions import RawConnError
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect import MULTISELECT_PROTOCOL_ID, Multiselect
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.exceptions import PeerIDMismatchesPubkey
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL
from libp2p.stream_muxer.exceptions import MuxedStreamEOF
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_PROTOCOL
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream
from libp2p.transport.exceptions import SecurityUpgradeFailure
from libp2p.transport.upgrader import TransportUpgrader
from libp2p.utils.varint import encode_delim, read_delim

from p2p.admission import Admit, AdmittingNoise, HandshakeRefused
from p2p.bounds import READ_BYTES, WINDOW_BYTES_MAX
from p2p.errors import ConnectionLost, HandshakeFailed
from p2p.muxer_guard import MuxerGuard
from p2p.tcp import Socket

LIBRARY_VERSION = "0.8.1"
NEGOTIATION_BYTES_MAX = 1_024
OWED_FRAMES_MAX = 4_096
_NEVER_S = 1_000_000_000
_LONG_AGO = 1e-9


def quiet_library() -> None:
    """Keep the library's own log off stderr: it reports at WARNING and ERROR what any stranger can cause.

    The logger `libp2p` has no stream by default, so its records fall through to Python's last resort, stderr. Where
    somebody debugs the library (`LIBP2P_DEBUG` in the environment lowers the level), it is left alone.
    """
    logger = logging.getLogger("libp2p")
    if logger.level == logging.WARNING:
        logger.addHandler(logging.NullHandler())
        logger.setLevel(logging.CRITICAL)
        logger.propagate = False


class _Muxer(Yamux):
    """Yamux whose reading never waits for its own writing.

    The library acknowledges streams and pings from the task that reads. Two peers that fill each other's sockets would
    then both wait for the other to read first, until silence ends the link.
    """

    _reading: trio.lowlevel.Task | None = None

    async def handle_incoming(self) -> None:
        self._reading = trio.lowlevel.current_task()
        self._owed: deque[bytes] = deque()
        self._owes = trio.Event()
        if self._nursery is not None:
            self._nursery.start_soon(self._pay)
        await super().handle_incoming()

    async def _write_frame(self, data: bytes) -> None:
        if trio.lowlevel.current_task() is not self._reading:
            await super()._write_frame(data)
            return
        if len(self._owed) >= OWED_FRAMES_MAX:
            raise RawConnError("the other side causes answers and does not read them")
        self._owed.append(data)
        self._owes.set()
        await trio.lowlevel.checkpoint()

    async def _pay(self) -> None:
        try:
            while True:
                await self._owes.wait()
                self._owes = trio.Event()
                while self._owed:
                    await super()._write_frame(self._owed.popleft())
        except (IOException, RawConnError):
            return  # the connection is over; whoever reads it finds out


class _Windows:
    """What the guard must know of Yamux's streams."""

    def __init__(self, muxer: Yamux) -> None:
        self._muxer = muxer
        self._theirs = 0 if muxer.is_initiator else 1

    def window_of(self, stream_id: int) -> int | None:
        stream = self._muxer.streams.get(stream_id)
        return None if stream is None else stream.recv_window

    def opened_by_peer(self) -> int:
        return sum(1 for stream_id in self._muxer.streams if stream_id % 2 == self._theirs)


class _Negotiation(ReadWriteCloser):
    """A fresh stream while a protocol is chosen on it: small, whatever lengths are announced."""

    def __init__(self, stream: "Stream") -> None:
        self._stream = stream
        self._bytes_left = NEGOTIATION_BYTES_MAX

    async def read(self, n: int | None = None) -> bytes:
        wanted = 1 if n is None else n
        if wanted > self._bytes_left:
            raise IOException(f"{wanted} bytes announced while choosing a protocol")
        data = await self._stream.read(wanted)
        if not data:
            raise IOException("the stream ended while choosing a protocol")
        self._bytes_left -= len(data)
        return data

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)

    async def close(self) -> None:
        await self._stream.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        return None


class Stream:
    """One stream of a connection. One task may read it and one may write it."""

    def __init__(self, muxer: Yamux, stream: YamuxStream) -> None:
        self.protocol = ""
        self._muxer = muxer
        self._stream = stream

    @property
    def window_bytes(self) -> int:
        """How much may be written now without waiting for the other side."""
        return max(0, self._stream.send_window)

    @property
    def is_broken(self) -> bool:
        """Nothing can be written to it any more."""
        return self._stream.send_closed or self._stream.closed or self._stream.reset_received

    async def read(self, bytes_max: int = READ_BYTES) -> bytes:
        """Up to `bytes_max` bytes, empty at the end. Raises ConnectionLost if the stream or the connection broke."""
        if self._stream.target_recv_window >= WINDOW_BYTES_MAX:
            # The window grows with a read unless the last one is long ago.
            self._stream.epoch_start = _LONG_AGO
        try:
            return await self._stream.read(bytes_max)
        except MuxedStreamEOF:
            if self._muxer.event_shutting_down.is_set():
                raise ConnectionLost("the connection is closed") from None
            return b""
        except Exception as error:
            raise ConnectionLost(str(error)) from error

    async def read_exactly(self, wanted: int) -> bytes:
        """Exactly `wanted` bytes, already bounded by the caller. Raises ConnectionLost if the stream ends before."""
        buffer = bytearray()
        while len(buffer) < wanted:
            data = await self.read(min(wanted - len(buffer), READ_BYTES))
            if not data:
                raise ConnectionLost(f"the stream ended {wanted - len(buffer)} bytes early")
            buffer += data
        return bytes(buffer)

    async def write(self, data: bytes) -> None:
        """All of `data`, which `window_bytes` must cover. Raises ConnectionLost."""
        try:
            await self._stream.write(data)
        except Exception as error:
            raise ConnectionLost(str(error)) from error

    async def close(self) -> None:
        """Say that nothing more will be written. Reading goes on."""
        try:
            await self._stream.close()
        except Exception as error:
            raise ConnectionLost(str(error)) from error

    async def reset(self) -> None:
        """Give the stream up in both directions, drop what was not read, and wake whoever reads it."""
        identifier = self._stream.stream_id
        arrived = self._muxer.stream_events.get(identifier)
        unread = self._muxer.stream_buffers.get(identifier)
        if unread is not None:
            unread.clear()
        try:
            await self._stream.reset()
        except Exception as error:
            raise ConnectionLost(str(error)) from error
        finally:
            if arrived is not None:
                arrived.set()


def opening_of(protocol: str) -> bytes:
    """What a stream of ours begins with. What follows may be written at once: there is nothing to choose from."""
    return encode_delim(MULTISELECT_PROTOCOL_ID.encode()) + encode_delim(protocol.encode())


async def read_agreement(stream: Stream, protocol: str) -> None:
    """The other side's answer to `opening_of`. Raises ConnectionLost if it does not speak `protocol`."""
    negotiation = _Negotiation(stream)
    try:
        for expected in (MULTISELECT_PROTOCOL_ID, protocol):
            answer = await read_delim(negotiation)
            if answer != expected.encode():
                raise ConnectionLost(f"{protocol} is not spoken")
    except (IOException, ParseError) as error:
        raise ConnectionLost(f"{protocol}: {error}") from error


class Connection:
    """A secure, multiplexed connection with a proved peer."""

    def __init__(self, socket: Socket, guard: MuxerGuard, muxer: Yamux) -> None:
        self._socket = socket
        self._guard = guard
        self._muxer = muxer

    @property
    def remote_id(self) -> ID:
        """The proved peer id of the other side."""
        return self._guard.get_remote_peer()

    @property
    def violation(self) -> str | None:
        """Which rule of the multiplexer the other side broke, if it broke one."""
        return self._guard.violation

    @property
    def received_at(self) -> float:
        """When the last byte came in, in seconds of trio's clock."""
        return self._socket.received_at

    @property
    def bytes_in(self) -> int:
        """Bytes read from the socket."""
        return self._socket.bytes_in

    @property
    def bytes_out(self) -> int:
        """Bytes written to the socket."""
        return self._socket.bytes_out

    def when_writers_are_concerned(self, call: Callable[[], None]) -> None:
        """Have `call` made whenever the other side allows more to be written, or ends a stream."""
        self._guard.concern_writers = call

    async def run(self) -> None:
        """Carry the streams; returns when the connection is over, whatever the reason."""
        try:
            await self._muxer.start()
        except Exception as error:
            raise ConnectionLost(str(error)) from error

    async def started(self) -> None:
        """Wait until streams can be opened."""
        await self._muxer.event_started.wait()

    async def open_stream(self) -> Stream:
        """A new stream; `opening_of` its protocol is to be written first. Raises ConnectionLost."""
        try:
            return Stream(self._muxer, await self._muxer.open_stream())
        except Exception as error:
            raise ConnectionLost(str(error)) from error

    async def accept_stream(self) -> Stream:
        """The next stream the other side opens; its protocol is not chosen yet. Raises ConnectionLost."""
        try:
            stream = await self._muxer.accept_stream()
        except Exception as error:
            raise ConnectionLost(str(error)) from error
        if not isinstance(stream, YamuxStream):
            raise ConnectionLost("not a stream of Yamux")
        return Stream(self._muxer, stream)

    async def listen(self, stream: Stream, protocols: tuple[str, ...]) -> None:
        """Let the other side choose one of `protocols` for a stream of its own. Raises ConnectionLost if it cannot."""
        try:
            multiselect = Multiselect({TProtocol(protocol): None for protocol in protocols})
            chosen, _ = await multiselect.negotiate(MultiselectCommunicator(_Negotiation(stream)), _NEVER_S)
        except Exception as error:
            raise ConnectionLost(f"no protocol chosen: {error}") from error
        if chosen is None:
            raise ConnectionLost("no protocol chosen")
        stream.protocol = str(chosen)

    def hard_close(self) -> None:
        """End the connection now, without a word to the other side."""
        self._socket.hard_close()


class Upgrader:
    """Makes secure, multiplexed connections out of sockets. `admit` decides who is let in."""

    def __init__(self, key_pair: KeyPair, admit: Admit) -> None:
        sec_opt: Mapping[TProtocol, Any] = {NOISE_PROTOCOL: AdmittingNoise(key_pair, admit)}
        muxer_opt: Mapping[TProtocol, Any] = {TProtocol(YAMUX_PROTOCOL): _Muxer}
        self._upgrader = TransportUpgrader(sec_opt, muxer_opt)

    async def upgrade(self, socket: Socket, expected: ID | None) -> Connection:
        """Secure and multiplex; `expected` is whom we dialled, None if we were dialled. Raises HandshakeFailed."""
        try:
            session = await self._upgrader.upgrade_security(socket, socket.is_initiator, expected)
            guard = MuxerGuard(session)
            # Not `upgrade_connection`: it answers Yamux's name with the stock class, whatever `muxer_opt` says.
            muxer_class = await self._upgrader.muxer_multistream.select_transport(guard)
            muxer = muxer_class(guard, session.get_remote_peer())
        except SecurityUpgradeFailure as error:
            if isinstance(error.__cause__, HandshakeRefused):
                raise error.__cause__.refusal from None
            if isinstance(error.__cause__, PeerIDMismatchesPubkey):
                raise HandshakeFailed("wrong_peer", "another validator answered") from error
            raise HandshakeFailed("bad_handshake", str(error)) from error
        except Exception as error:
            raise HandshakeFailed("bad_handshake", f"{type(error).__name__}: {error}") from error
        if not isinstance(muxer, Yamux):
            raise HandshakeFailed("bad_handshake", "not Yamux")
        guard.watch(_Windows(muxer))
        socket.budget_bytes = None
        return Connection(socket, guard, muxer)
