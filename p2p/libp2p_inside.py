"""Everything that depends on the inside of py-libp2p 0.8.1, and nothing else.

This file is responsible for secure, multiplexed connections made of the library's parts: `TransportUpgrader`, Noise
and multistream negotiation, on a socket and with a multiplexer of our own. A part of it stands beside it,
`admission.py` before Noise. It refuses to know peers by index, frames or links. A test, `test_library_upgrade.py`,
fails when an upgrade changes what is relied upon here.

The library's `Swarm` and `BasicHost` are not used between validators. What their source says: an inbound connection
keeps its slot until the process ends, so that after 250 reconnections nobody gets in; an exception in any connection's
task ends the whole service; one failed dial bans a peer for 60 s, and each dial waits 250 ms for a second address; a
listener shares its port with a second process; a manager of connections dials on its own. Below the swarm none of this
exists: a dial here is one TCP connect without a ban or a delay, a bind that fails raises, and what a connection does
ends in that connection.

1. Noise alone secures and `p2p.muxer` alone multiplexes; neither plaintext nor TLS is ever offered.
2. Until a connection is secure it may send `HANDSHAKE_BYTES_MAX` bytes, whatever lengths it announces, and while a
   stream chooses its protocol `NEGOTIATION_BYTES_MAX`, answered by `NEGOTIATION_ANSWERS_MAX` writes.
3. `hard_close` closes the socket and nothing else: it never waits, and everything blocked on the connection wakes.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from libp2p.abc import ISecureConn
from libp2p.crypto.keys import KeyPair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import ParseError
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import IOException
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect import MULTISELECT_PROTOCOL_ID, Multiselect
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.exceptions import PeerIDMismatchesPubkey
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL
from libp2p.transport.exceptions import SecurityUpgradeFailure
from libp2p.transport.upgrader import TransportUpgrader
from libp2p.utils.varint import encode_delim, read_delim

from p2p.admission import Admit, AdmittingNoise, HandshakeRefused
from p2p.channel import NoiseChannel
from p2p.errors import ConnectionLost, HandshakeFailed
from p2p.muxer import Muxer, Stream
from p2p.tcp import Socket

LIBRARY_VERSION = "0.8.1"
MUXER_PROTOCOL = "/shared-sequencer/streams/1"
NEGOTIATION_BYTES_MAX = 1_024
NEGOTIATION_ANSWERS_MAX = 4  # an honest opening has two
_NEVER_S = 1_000_000_000


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


class _Negotiation(ReadWriteCloser):
    """A fresh stream while a protocol is chosen on it: small, whatever lengths are announced."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._bytes_left = NEGOTIATION_BYTES_MAX
        self._answers_left = NEGOTIATION_ANSWERS_MAX

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
        if self._answers_left == 0:
            raise IOException("too many proposals while choosing a protocol")
        self._answers_left -= 1
        await self._stream.write(data)

    async def close(self) -> None:
        await self._stream.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        return None


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

    def __init__(self, socket: Socket, session: ISecureConn) -> None:
        self.remote_id: ID = session.get_remote_peer()  # proved
        self._socket = socket
        self._muxer = Muxer(NoiseChannel(socket, session))

    @property
    def violation(self) -> str | None:
        """Which rule of the multiplexer the other side broke, if it broke one."""
        return self._muxer.violation

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
        self._muxer.concern_writers = call

    async def run(self) -> None:
        """Carry the streams until the connection is over, whatever the reason. Raises ConnectionLost."""
        await self._muxer.run()

    def open_stream(self) -> Stream:
        """A new stream; `opening_of` its protocol is to be written first."""
        return self._muxer.open_stream()

    async def accept_stream(self) -> Stream:
        """The next stream the other side opens; its protocol is not chosen yet. Raises ConnectionLost."""
        return await self._muxer.accept_stream()

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
        muxer_opt: Mapping[TProtocol, Any] = {TProtocol(MUXER_PROTOCOL): Connection}
        self._upgrader = TransportUpgrader(sec_opt, muxer_opt)

    async def upgrade(self, socket: Socket, expected: ID | None) -> Connection:
        """Secure and multiplex; `expected` is whom we dialled, None if we were dialled. Raises HandshakeFailed."""
        try:
            session = await self._upgrader.upgrade_security(socket, socket.is_initiator, expected)
            # Not `upgrade_connection`: it knows the library's own multiplexers only.
            await self._upgrader.muxer_multistream.select_transport(session)
            connection = Connection(socket, session)
        except SecurityUpgradeFailure as error:
            if isinstance(error.__cause__, HandshakeRefused):
                raise error.__cause__.refusal from None
            if isinstance(error.__cause__, PeerIDMismatchesPubkey):
                raise HandshakeFailed("wrong_peer", "another validator answered") from error
            raise HandshakeFailed("bad_handshake", str(error)) from error
        except Exception as error:
            raise HandshakeFailed("bad_handshake", f"{type(error).__name__}: {error}") from error
        socket.budget_bytes = None
        return connection
