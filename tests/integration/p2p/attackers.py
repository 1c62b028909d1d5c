"""What a stranger and a hostile validator have at hand: the library's parts, used without manners."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio
import trio.lowlevel
from libp2p.abc import ISecureConn
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.security.noise.patterns import PatternXX
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.transport.upgrader import TransportUpgrader

from p2p.bounds import KIND_HELLO, LinkTimes
from p2p.errors import ConnectionLost
from p2p.frames import encode_frame
from p2p.host import ValidatorHost
from p2p.identity import decode_secret, peer_id_of
from p2p.libp2p_inside import MUXER_PROTOCOL, Connection, Upgrader, opening_of, read_agreement
from p2p.link import BULK_PROTOCOL, URGENT_PROTOCOL
from p2p.muxer import Stream
from p2p.requests import REQUEST_PROTOCOL
from p2p.tcp import Socket
from tests.integration.p2p.nodes import (
    ECHO,
    NOWHERE,
    PUBLIC_KEYS,
    SECRETS,
    VOTE,
    Address,
    RecordingNode,
    is_linked,
    make_host,
    start,
    until,
)

HOSTILE, HONEST, VICTIM, STRANGER = 0, 1, 2, 7
PATIENT = LinkTimes(handshake_ms=120_000, serve_ms=120_000)
"""An attack is not to be ended by a deadline it is not about, however busy the machine is."""


async def dial(address: Address) -> trio.SocketStream:
    """A bare TCP connection."""
    return await trio.open_tcp_stream(*address)


async def ended(stream: trio.SocketStream) -> bytes:
    """What the other side still says before it hangs up on us. Closes our end too."""
    said = b""
    with trio.fail_after(60):
        async with stream:
            while True:
                try:
                    data = await stream.receive_some(65_536)
                except trio.BrokenResourceError:
                    return said
                if not data:
                    return said
                said += data


class LyingPattern(PatternXX):
    """Noise with another payload than the truth."""

    payload = b""

    def make_handshake_payload(self, extensions: Any = None) -> Any:
        return self

    def serialize(self) -> bytes:
        return self.payload


class LyingNoise(NoiseTransport):
    payload: bytes | None = None

    def get_pattern(self) -> PatternXX:
        if self.payload is None:
            return PatternXX(self.local_peer, self.libp2p_privkey, self.noise_privkey)
        pattern = LyingPattern(self.local_peer, self.libp2p_privkey, self.noise_privkey)
        pattern.payload = self.payload
        return pattern


async def shake_hands(address: Address, secret: bytes, payload: bytes | None = None) -> tuple[Socket, ISecureConn]:
    """A connection secured by Noise and nothing on top of it."""
    noise = LyingNoise(decode_secret(secret), create_noise_key_pair().private_key)
    noise.payload = payload
    socket = Socket(await dial(address), is_initiator=True)
    socket.budget_bytes = None
    upgrader = TransportUpgrader({NOISE_PROTOCOL: noise}, {})
    try:
        return socket, await upgrader.upgrade_security(socket, True, peer_id_of(PUBLIC_KEYS[VICTIM]))
    except BaseException:
        socket.hard_close()
        raise


async def choose_muxer(session: ISecureConn) -> None:
    """Agree on our multiplexer, and speak it oneself."""
    said = opening_of(MUXER_PROTOCOL)
    await session.write(said)
    answer = b""
    while len(answer) < len(said):
        answer += await session.read(1)
    assert answer == said


async def connect(address: Address, index: int = HOSTILE, victim: int = VICTIM) -> Connection:
    """A connection as an honest validator has it. Its `run` is the caller's to start."""
    socket = Socket(await dial(address), is_initiator=True)
    upgrader = Upgrader(decode_secret(SECRETS[index]), lambda key, inbound: None)
    try:
        return await upgrader.upgrade(socket, peer_id_of(PUBLIC_KEYS[victim]))
    except BaseException:
        socket.hard_close()
        raise


async def open_stream(connection: Connection, protocol: str) -> Stream:
    stream = connection.open_stream()
    await stream.write(opening_of(protocol))
    await read_agreement(stream, protocol)
    return stream


@dataclass
class HostileLink:
    """A link that has said hello, with its two streams to write to."""

    connection: Connection
    urgent: Stream
    bulk: Stream


@asynccontextmanager
async def hostile_connection(
    arena: "Arena", answer: bytes | None = None, *, refusing: bool = False
) -> AsyncIterator[Connection]:
    """A connection whose incoming streams are agreed to and never read; requests get `answer`, or none.

    If it is `refusing`, it agrees to no request and goes on sending instead.
    """
    connection = await connect(arena.address)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ignoring_loss, connection.run)
        nursery.start_soon(ignoring_loss, accept_everything, connection, answer, refusing, nursery)
        yield connection
        connection.hard_close()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def hostile_link(
    arena: "Arena", hello: bytes = b"hostile", answer: bytes | None = None, *, refusing: bool = False
) -> AsyncIterator[HostileLink]:
    async with hostile_connection(arena, answer, refusing=refusing) as connection:
        urgent, bulk = await open_stream(connection, URGENT_PROTOCOL), await open_stream(connection, BULK_PROTOCOL)
        await urgent.write(encode_frame(KIND_HELLO, hello))
        await until(lambda: is_linked(arena.victim, HOSTILE))
        yield HostileLink(connection, urgent, bulk)


async def ignoring_loss(task: Callable[..., Any], *arguments: Any) -> None:
    try:
        await task(*arguments)
    except Exception:  # noqa: BLE001 - the attacker does not mind what becomes of its connection
        return


async def accept_everything(
    connection: Connection, answer: bytes | None, refusing: bool, nursery: trio.Nursery
) -> None:
    taken = 0
    while True:
        stream = await connection.accept_stream()
        taken += 1
        if refusing and taken > len((URGENT_PROTOCOL, BULK_PROTOCOL)):
            nursery.start_soon(ignoring_loss, stream.write, b"\x01\n" + bytes(200_000))
        else:
            nursery.start_soon(ignoring_loss, agree, connection, stream, answer)


async def agree(connection: Connection, stream: Stream, answer: bytes | None) -> None:
    await connection.listen(stream, (URGENT_PROTOCOL, BULK_PROTOCOL, REQUEST_PROTOCOL))
    if stream.protocol == REQUEST_PROTOCOL and answer is not None:
        await stream.write(answer)
        await stream.close()


async def flood(step: Callable[[], Any]) -> None:
    """Do something again and again until the connection is lost."""
    with trio.fail_after(60), pytest.raises(ConnectionLost):
        await for_ever(step)


async def for_ever(step: Callable[[], Any]) -> None:
    while True:
        await step()
        await trio.lowlevel.checkpoint()


class Arena:
    """A victim with an honest peer, and room for a hostile one."""

    def __init__(self, victim: ValidatorHost, honest: ValidatorHost, address: Address) -> None:
        self.victim, self.honest, self.address = victim, honest, address
        assert isinstance(victim.events, RecordingNode)
        assert isinstance(honest.events, RecordingNode)
        self.victim_node, self.honest_node = victim.events, honest.events

    async def still_serves(self) -> None:
        """The link with the honest peer was never lost, works both ways, and a new one can still be made."""
        assert self.honest_node.closed == []
        await self._exchange()
        self.honest.close_link(VICTIM, "reconnect")
        await until(lambda: len(self.honest_node.opened) == 2)
        await self._exchange()

    async def _exchange(self) -> None:
        received = len(self.victim_node.bodies(HONEST, VOTE))
        answer = await self.honest.request(VICTIM, ECHO, b"well?", timeout_ms=60_000, response_bytes_max=5)
        assert answer == b"well?"
        await until(lambda: self.honest.send(VICTIM, VOTE, b"vote", urgent=True))
        await until(lambda: self.victim.send(HONEST, VOTE, b"vote", urgent=True))
        await until(lambda: len(self.victim_node.bodies(HONEST, VOTE)) == received + 1)
        await until(lambda: bool(self.honest_node.bodies(VICTIM, VOTE)))

    async def blamed(self, reason: str) -> None:
        """The victim has counted the fault, hung up, and does not let the hostile peer in again."""
        await until(lambda: self.victim.counters.faults[reason] == 1)
        await until(lambda: not is_linked(self.victim, HOSTILE))
        await self.refused("muted", lambda: connect(self.address))

    async def refused(self, reason: str, attempt: Callable[[], Any]) -> None:
        """The attempt fails, and the victim has counted why."""
        before = self.victim.counters.connections_refused[reason]
        await ignoring_loss(attempt)
        await until(lambda: self.victim.counters.connections_refused[reason] == before + 1)


@asynccontextmanager
async def open_arena(times: LinkTimes = PATIENT) -> AsyncIterator[Arena]:
    """Start victim and honest peer, let an attack happen, and see that the victim still serves."""
    async with trio.open_nursery() as nursery:
        victim = make_host(VICTIM, {HOSTILE: NOWHERE, HONEST: NOWHERE}, RecordingNode(b"victim"), times=times)
        address = await start(nursery, victim)
        honest = make_host(HONEST, {VICTIM: address}, RecordingNode(b"honest"))
        await start(nursery, honest)
        await until(lambda: is_linked(victim, HONEST) and is_linked(honest, VICTIM))
        arena = Arena(victim, honest, address)
        yield arena
        await arena.still_serves()
        nursery.cancel_scope.cancel()
