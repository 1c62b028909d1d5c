"""What anybody can do to an open port. After each attack the honest peer's link must never have been lost, and a new
one must still be possible.
"""

import tracemalloc
from random import Random

import pytest
import trio
from Crypto.PublicKey import RSA
from libp2p.crypto.pb import crypto_pb2
from libp2p.security.noise.pb import noise_pb2

from p2p.bounds import LinkTimes
from p2p.errors import HandshakeFailed
from p2p.host import CONNECTIONS_BURST_PER_ADDRESS, HALF_OPEN_PER_ADDRESS_MAX
from p2p.identity import decode_public_key, decode_secret
from tests.integration.p2p.attackers import (
    HONEST,
    HOSTILE,
    STRANGER,
    VICTIM,
    connect,
    dial,
    ended,
    open_arena,
    shake_hands,
)
from tests.integration.p2p.nodes import NOWHERE, PUBLIC_KEYS, SECRETS, RecordingNode, make_host, start, until

HURRIED = LinkTimes(handshake_ms=500)
MULTISTREAM = b"\x13/multistream/1.0.0\n"
NOISE = b"\x07/noise\n"
TLS_CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(200)


@pytest.mark.parametrize("seed", range(5))
async def test_random_bytes(seed: int) -> None:
    async with open_arena(HURRIED) as arena:
        stream = await dial(arena.address)
        await stream.send_all(Random(seed).randbytes(3_000))
        await ended(stream)
        await until(lambda: arena.victim.counters.connections_refused.total() == 1)


@pytest.mark.parametrize(
    "opening",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        TLS_CLIENT_HELLO,
        MULTISTREAM + b"\x11/plaintext/2.0.0\n",
        MULTISTREAM + b"\x0b/tls/1.0.0\n",
        MULTISTREAM + b"\x03ls\n" * 200,
        MULTISTREAM + b"\x01\n" * 200,
        MULTISTREAM + b"\x00",
        MULTISTREAM + b"\x04\xff\xfe\xfd\n",
    ],
    ids=["http", "tls", "plaintext", "tls-by-name", "ls-flood", "empty-names", "no-newline", "not-utf-8"],
)
async def test_what_is_not_noise_gets_no_further(opening: bytes) -> None:
    async with open_arena(HURRIED) as arena:
        stream = await dial(arena.address)
        await stream.send_all(opening)
        said = await ended(stream)
        assert b"plaintext" not in said
        assert b"tls" not in said
        await until(lambda: arena.victim.counters.connections_refused.total() == 1)


@pytest.mark.parametrize(
    "length",
    [b"\xff" * 9 + b"\x01", b"\xff" * 10_000, b"\x80" * 5_000, (50_000_000).to_bytes(4, "big"), b"\x80\xe1\xeb\x17"],
    ids=["64-bits", "endless", "endless-zero", "50-MB-fixed", "50-MB-varint"],
)
async def test_oversized_varint(length: bytes) -> None:
    async with open_arena(HURRIED) as arena:
        stream = await dial(arena.address)
        tracemalloc.start()
        await stream.send_all(length + bytes(2_000))
        await ended(stream)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2_000_000


async def test_a_noise_message_of_announced_64_kilobytes_is_not_waited_for() -> None:
    async with open_arena() as arena:
        stream = await dial(arena.address)
        await stream.send_all(MULTISTREAM + NOISE + b"\xff\xff" + bytes(100))
        assert await ended(stream) == MULTISTREAM + NOISE
        await until(lambda: arena.victim.counters.connections_refused["bad_handshake"] == 1)


async def test_silent_sockets_are_closed_in_time() -> None:
    async with open_arena(HURRIED) as arena:
        streams = [await dial(arena.address) for _ in range(20)]
        for stream in streams:
            assert MULTISTREAM.startswith(await ended(stream))
        await until(lambda: arena.victim.counters.connections_refused["handshake_late"] == 20)


async def test_a_socket_that_falls_silent_within_noise_is_closed_in_time() -> None:
    async with open_arena(LinkTimes(handshake_ms=3_000)) as arena:
        stream = await dial(arena.address)
        await stream.send_all(MULTISTREAM + NOISE + b"\x00\x20" + bytes(range(1, 33)))
        assert len(await ended(stream)) > len(MULTISTREAM + NOISE) + 32, "it answers once"
        await until(lambda: arena.victim.counters.connections_refused["handshake_late"] == 1)


async def test_a_slow_socket_does_not_get_more_time_for_each_byte() -> None:
    async with open_arena(HURRIED) as arena:
        stream = await dial(arena.address)

        async def one_byte_at_a_time() -> None:
            for byte in (MULTISTREAM + NOISE + bytes(200)) * 100:
                try:
                    await stream.send_all(bytes([byte]))
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return
                await trio.sleep(0.02)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one_byte_at_a_time)
            await ended(stream)
            await stream.aclose()
        await until(lambda: arena.victim.counters.connections_refused.total() == 1)


async def test_many_connections_cost_the_flooder_its_own() -> None:
    async with open_arena() as arena:
        streams = []
        for _ in range(CONNECTIONS_BURST_PER_ADDRESS * 3):
            with trio.move_on_after(5):
                streams.append(await dial(arena.address))
        refused = arena.victim.counters.connections_refused
        await until(lambda: refused["too_fast"] > 0)
        assert len(arena.victim._half_open) <= HALF_OPEN_PER_ADDRESS_MAX
        await until(lambda: refused["too_many"] > 0)
        for stream in streams:
            await stream.aclose()


async def test_connections_that_come_and_go_leave_nothing_behind() -> None:
    async with open_arena() as arena:
        for _ in range(300):
            stream = await dial(arena.address)
            await stream.aclose()
        await until(lambda: len(arena.victim._half_open) == 0)
        await until(lambda: arena.victim.counters.connections_refused.total() >= 300)


async def test_a_key_that_is_no_validators_is_refused_before_anything_is_multiplexed() -> None:
    async with open_arena() as arena:
        await arena.refused("unknown_peer", lambda: connect(arena.address, STRANGER))
        assert len(arena.victim_node.opened) == 1


async def test_a_validator_that_is_not_to_dial_us_is_refused() -> None:
    async with trio.open_nursery() as nursery:
        node = RecordingNode()
        low = make_host(0, {1: NOWHERE}, node)
        address = await start(nursery, low)
        with pytest.raises(HandshakeFailed):
            await connect(address, index=1, victim=0)
        await until(lambda: low.counters.connections_refused["not_the_dialler"] == 1)
        assert node.opened == []
        nursery.cancel_scope.cancel()


async def test_a_peer_that_answers_with_another_validators_key_is_not_taken_for_the_one_dialled() -> None:
    async with trio.open_nursery() as nursery:
        address = await start(nursery, make_host(2, {0: NOWHERE, 1: NOWHERE}, RecordingNode()))
        node = RecordingNode()
        low = make_host(0, {1: address, 2: NOWHERE}, node)
        await start(nursery, low)
        await until(lambda: low.counters.dials_failed["wrong_peer"] >= 2)
        assert node.opened == []
        nursery.cancel_scope.cancel()


def noise_payload(key_type: int, key: bytes, signature: bytes = b"x" * 70) -> bytes:
    identity = crypto_pb2.PublicKey(key_type=key_type, data=key).SerializeToString()  # type: ignore[arg-type]
    return noise_pb2.NoiseHandshakePayload(identity_key=identity, identity_sig=signature).SerializeToString()


def rsa_key(bits: int) -> bytes:
    """A key whose exponent is as large as its modulus: to check one signature takes as long as to make thousands."""
    return RSA.construct(((1 << bits) - 1, (1 << (bits - 1)) + 1), consistency_check=False).export_key("DER")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff" * 50, "bad_handshake"),
        (b"", "bad_handshake"),
        (noise_pb2.NoiseHandshakePayload(identity_sig=b"x").SerializeToString(), "unknown_peer"),
        (noise_payload(crypto_pb2.RSA, b"garbage"), "unknown_peer"),
        (noise_payload(crypto_pb2.RSA, rsa_key(8_000)), "unknown_peer"),
        (noise_payload(crypto_pb2.RSA, rsa_key(16_000)), "bad_handshake"),
        (noise_payload(crypto_pb2.Ed25519, b"31 bytes are one too few for it"), "unknown_peer"),
        (noise_payload(crypto_pb2.Secp256k1, PUBLIC_KEYS[HOSTILE] + b"\x00"), "unknown_peer"),
        (noise_payload(crypto_pb2.Secp256k1, PUBLIC_KEYS[HOSTILE], b"not a signature"), "bad_handshake"),
        (noise_payload(crypto_pb2.Secp256k1, PUBLIC_KEYS[HONEST], b""), "bad_handshake"),
    ],
    ids=[
        "unknown-protobuf",
        "empty",
        "missing-key",
        "rsa-garbage",
        "rsa-large",
        "rsa-beyond-the-budget",
        "ed25519-wrong-length",
        "secp256k1-wrong-length",
        "validators-key-without-its-secret",
        "no-signature",
    ],
)
async def test_a_lying_handshake_is_refused(payload: bytes, reason: str) -> None:
    async with open_arena() as arena:
        await arena.refused(reason, lambda: handshake_and_wait(arena.address, payload))
        assert [peer for peer, _ in arena.victim_node.opened] == [HONEST]


async def handshake_and_wait(address: tuple[str, int], payload: bytes) -> None:
    socket, session = await shake_hands(address, SECRETS[HOSTILE], payload)
    try:
        await session.read(1)
    finally:
        socket.hard_close()


async def test_a_handshake_played_back_is_refused() -> None:
    """Everything an honest peer's connection sent, sent again: the victim's side of Noise is another each time."""
    heard = bytearray()
    async with trio.open_nursery() as nursery:
        node = RecordingNode()
        victim = make_host(VICTIM, {HONEST: NOWHERE}, node)
        address = await start(nursery, victim)

        async def tap(client: trio.SocketStream) -> None:
            async with await dial(address) as server, trio.open_nursery() as both:
                both.start_soon(copy, client, server, heard)
                both.start_soon(copy, server, client, bytearray())

        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, tap, [listener])
        await start(nursery, make_host(HONEST, {VICTIM: listener.socket.getsockname()}, RecordingNode()))
        await until(lambda: len(node.opened) == 1)
        stream = await dial(address)
        await stream.send_all(bytes(heard))
        await ended(stream)
        await until(lambda: victim.counters.connections_refused["bad_handshake"] == 1)
        assert node.closed == []
        nursery.cancel_scope.cancel()


async def copy(source: trio.SocketStream, target: trio.SocketStream, heard: bytearray) -> None:
    async for data in source:
        heard += data
        await target.send_all(data)


def test_the_keys_used_here_are_what_they_seem() -> None:
    assert decode_public_key(PUBLIC_KEYS[VICTIM]).serialize() == decode_secret(SECRETS[VICTIM]).public_key.serialize()
