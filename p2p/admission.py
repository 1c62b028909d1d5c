"""Noise that looks at the other side's key before it computes anything with it.

The library verifies a signature under whatever key a stranger sends, and an RSA key of hostile size keeps a processor
busy for seconds. This file is responsible for comparing the key with the node's allow-list as soon as it is decrypted.
It subclasses the library's handshake, and is a part of `p2p.libp2p_inside`.

1. A key that is not admitted is never parsed: it is compared byte for byte in its serialized form.
2. A refusal reaches the caller as it was raised, through whatever the library makes of it.
"""

from collections.abc import Callable

from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.security.exceptions import HandshakeFailure
from libp2p.security.noise.patterns import PatternXX
from libp2p.security.noise.pb import noise_pb2
from libp2p.security.noise.transport import Transport as NoiseTransport
from noise.connection import Keypair as NoiseKeypairKind
from noise.connection import NoiseConnection as NoiseState

from p2p.errors import HandshakeFailed

Admit = Callable[[bytes, bool], None]
"""Called with the other side's serialized public key and whether it dialled us; raises HandshakeFailed to refuse."""


class HandshakeRefused(HandshakeFailure):
    """Carries our own refusal through the library's handshake."""

    def __init__(self, refusal: HandshakeFailed) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class _AdmittingNoiseState(NoiseState):  # type: ignore[misc]  # noiseprotocol has no types
    """A Noise handshake that looks at the other side's key as soon as it is decrypted, before it is used."""

    admit: Admit
    was_dialled = False

    def set_as_responder(self) -> None:
        self.was_dialled = True
        super().set_as_responder()

    def read_message(self, data: bytes) -> bytearray:
        payload: bytearray = super().read_message(data)
        if payload:
            try:
                key = noise_pb2.NoiseHandshakePayload.FromString(bytes(payload)).identity_key
            except Exception as error:  # protobuf's exception types differ between its implementations
                raise HandshakeRefused(HandshakeFailed("bad_handshake", "payload does not parse")) from error
            try:
                self.admit(key, self.was_dialled)
            except HandshakeFailed as refusal:
                raise HandshakeRefused(refusal) from refusal
        return payload


class _AdmittingPattern(PatternXX):
    admit: Admit

    def create_noise_state(self, prologue: bytes | None = None) -> NoiseState:
        state = _AdmittingNoiseState.from_name(self.protocol_name)
        state.admit = self.admit
        state.set_keypair_from_private_bytes(NoiseKeypairKind.STATIC, self.noise_static_key.to_bytes())
        if prologue is not None:
            state.set_prologue(prologue)
        return state


class AdmittingNoise(NoiseTransport):
    """Noise XX that admits only the keys it is told to."""

    def __init__(self, key_pair: KeyPair, admit: Admit) -> None:
        super().__init__(key_pair, noise_privkey=create_noise_key_pair().private_key)
        self._admit = admit

    def get_pattern(self) -> PatternXX:
        pattern = _AdmittingPattern(self.local_peer, self.libp2p_privkey, self.noise_privkey)
        pattern.admit = self._admit
        return pattern
