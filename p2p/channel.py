"""Noise transport messages, as many at a time as have arrived, once the library has shaken hands.

The library's own session reads a message in four awaits and copies it five times. This file is responsible for what
is left of Noise after the handshake: a key and a counter in each direction (Noise Protocol Framework §5.1, ChaChaPoly
of §12.3), and messages of `u16 length ‖ ciphertext`. It takes keys and counters from the library's session and is a
part of `p2p.libp2p_inside`.

1. The session is not used again: no counter serves twice.
2. A message that is not authentic ends the connection and blames nobody: anyone on the path can put one there.
3. One task receives; one at a time sends.
"""

from typing import Any, Protocol

import trio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from libp2p.abc import ISecureConn
from libp2p.security.noise.io import NoiseTransportReadWriter
from libp2p.security.secure_session import SecureSession

from p2p.errors import ConnectionLost
from p2p.tcp import MESSAGE_BYTES_MAX, MESSAGE_LENGTH_BYTES, Socket

MESSAGES_PER_TURN = 256
TAG_BYTES = 16
PLAINTEXT_BYTES_MAX = MESSAGE_BYTES_MAX - TAG_BYTES


class Channel(Protocol):
    """Messages to and from one proved peer."""

    is_initiator: bool

    async def receive(self) -> list[bytes]:
        """What has arrived, at least one message. Raises ConnectionLost."""

    async def send(self, message: bytes) -> None:
        """At most `PLAINTEXT_BYTES_MAX` bytes. Raises ConnectionLost."""


class _Direction:
    """A key and its counter."""

    def __init__(self, cipher_state: Any) -> None:
        self.cipher = ChaCha20Poly1305(bytes(cipher_state.k))
        self._counter = int(cipher_state.n)

    def next_nonce(self) -> bytes:
        """Used once. At a million messages a second a counter lasts for half a million years."""
        nonce = bytes(4) + self._counter.to_bytes(8, "little")
        self._counter += 1
        return nonce


class NoiseChannel:
    """See the module. Raises ValueError if `session` is not what a finished handshake leaves."""

    def __init__(self, socket: Socket, session: ISecureConn) -> None:
        if not isinstance(session, SecureSession) or not isinstance(session.conn, NoiseTransportReadWriter):
            raise ValueError("not a session of Noise")
        if session.low_watermark != session.high_watermark:
            raise ValueError("the other side went on before a multiplexer was agreed on")
        self.is_initiator = session.is_initiator
        self._socket = socket
        keys = session.conn.noise_state.noise_protocol
        self._incoming = _Direction(keys.cipher_state_decrypt)
        self._outgoing = _Direction(keys.cipher_state_encrypt)
        self._has_more = False
        self._packet = memoryview(bytearray(MESSAGE_LENGTH_BYTES + MESSAGE_BYTES_MAX))

    async def receive(self) -> list[bytes]:
        """See `Channel`. Other tasks get a turn with every read of the socket and every `MESSAGES_PER_TURN`."""
        messages: list[bytes] = []
        try:
            if self._has_more:
                await trio.lowlevel.checkpoint()
            self._has_more = False
            while True:
                while not self._has_more and (sealed := self._socket.next_message()) is not None:
                    messages.append(self._incoming.cipher.decrypt(self._incoming.next_nonce(), sealed, None))
                    self._has_more = len(messages) >= MESSAGES_PER_TURN
                if messages:
                    break
                await self._socket.fill()
        except InvalidTag:
            raise ConnectionLost("a message is not authentic") from None
        except Exception as error:  # the library's classes for a broken connection share no base
            raise ConnectionLost(str(error)) from error
        return messages

    async def send(self, message: bytes) -> None:
        """See `Channel`. Other tasks get a turn only if the socket is full."""
        sealed_bytes = len(message) + TAG_BYTES
        packet = self._packet[: MESSAGE_LENGTH_BYTES + sealed_bytes]
        packet[:MESSAGE_LENGTH_BYTES] = sealed_bytes.to_bytes(MESSAGE_LENGTH_BYTES, "big")
        sealed = packet[MESSAGE_LENGTH_BYTES:]
        self._outgoing.cipher.encrypt_into(self._outgoing.next_nonce(), message, None, sealed)
        try:
            await self._socket.write(packet)
        except Exception as error:
            raise ConnectionLost(str(error)) from error
