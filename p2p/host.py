"""The validator host: one port, one key, one link with every other validator.

This file is responsible for listening, dialling, letting in, and for which link is a peer's. It refuses to know what
frames mean.

1. Between two validators the one with the lower index dials, for ever, with a bounded, jittered pause.
2. A connection is let in only with the key of a validator that is to dial us and is not muted. Everything else is
   refused as soon as it shows its key, and counted; nobody else gets as far as the multiplexer.
3. A peer has one link. A newer one ends the older, and opens only when the node has seen the older close.
4. A peer that cannot be innocent is muted: for a while it is neither let in nor dialled.
5. Connections that have not proved who they are are few, short-lived and counted by address.
6. Nothing here ends the host but its own cancellation, a failing bind, or an error the node has called fatal.
"""

import errno
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

import structlog
import trio
from libp2p.peer.id import ID

from p2p.bounds import LinkBounds, LinkTimes
from p2p.errors import HandshakeFailed, PeerFault, PortInUse, RequestFailed
from p2p.frames import frame_parts
from p2p.guards import AddressPaces, HalfOpenTable, MuteList, Shelter
from p2p.identity import decode_public_key, decode_secret, peer_id_of
from p2p.libp2p_inside import Connection, Upgrader, quiet_library
from p2p.link import Link
from p2p.peers import HostCounters, LinkEvents, Peer, PeerStatus
from p2p.tcp import Socket

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # its stubs shadow trio's own types, which lack nothing but this name

HALF_OPEN_MAX = 128
HALF_OPEN_PER_ADDRESS_MAX = 32
CONNECTIONS_BURST_PER_ADDRESS = 64
CONNECTIONS_PER_SECOND_PER_ADDRESS = 16
ADDRESSES_REMEMBERED_MAX = 4_096
UNOPENED_LINKS_PER_PEER_MAX = 2

_log = structlog.get_logger(__name__)


class _PeerRecord:
    """What the host knows of one peer across links."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.peer_id = peer_id_of(peer.public_key)
        self.link: Link | None = None
        self.unopened: list[Link] = []
        self.bytes_in = 0
        self.bytes_out = 0
        self.faults = 0
        self.last_reason: str | None = None


class ValidatorHost:
    """Links with all other validators.

    `secret` is the node key's 32 bytes; `jitter` a generator of our own for the pauses between dials; `fatal` the
    exceptions of callbacks that must end the host rather than one link.
    """

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        *,
        secret: bytes,
        index: int,
        peers: Sequence[Peer],
        listen_host: str,
        listen_port: int,
        events: LinkEvents,
        bounds: LinkBounds,
        jitter: Random,
        times: LinkTimes | None = None,
        fatal: tuple[type[Exception], ...] = (),
    ) -> None:
        quiet_library()
        self.bounds = bounds
        self.times = times or LinkTimes()
        self.events = events
        self.counters = HostCounters()
        self.shelter = Shelter()
        self.fatal = fatal
        self._index = index
        self._listen_host = listen_host
        self._listen_port = listen_port
        self._jitter = jitter
        key_pair = decode_secret(secret)
        self._upgrader = Upgrader(key_pair, self._admit_key)
        self._records = {peer.index: _PeerRecord(peer) for peer in peers}
        self._by_id: dict[ID, _PeerRecord] = {record.peer_id: record for record in self._records.values()}
        self._by_key = {
            decode_public_key(record.peer.public_key).serialize(): record for record in self._records.values()
        }
        own_id = ID.from_pubkey(key_pair.public_key)
        if index in self._records or own_id in self._by_id or len(self._by_id) != len(peers):
            raise ValueError("peers must be the other validators, each index and each key once")
        self._mutes = MuteList()
        self._half_open = HalfOpenTable(connections_max=HALF_OPEN_MAX, per_address_max=HALF_OPEN_PER_ADDRESS_MAX)
        self._paces = AddressPaces(
            burst=CONNECTIONS_BURST_PER_ADDRESS,
            per_second=CONNECTIONS_PER_SECOND_PER_ADDRESS,
            addresses_max=ADDRESSES_REMEMBERED_MAX,
        )
        self._nursery: trio.Nursery | None = None
        self._fatal_error: Exception | None = None
        self._serial = 0

    async def run(self, *, task_status: "TaskStatus[tuple[str, int]]" = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Starts with the address listened on. Raises PortInUse, or an error called fatal."""
        listeners = await self._listen()
        address = listeners[0].socket.getsockname()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._lift_shelter_at_end)
                for record in self._records.values():
                    if record.peer.index > self._index:
                        nursery.start_soon(self._keep_dialled, record)
                nursery.start_soon(trio.serve_listeners, self._let_in, listeners)
                task_status.started((address[0], address[1]))
        finally:
            for listener in listeners:
                listener.socket.close()
        if self._fatal_error is not None:
            raise self._fatal_error

    def send(self, peer: int, kind: int, body: bytes, *, urgent: bool = False) -> bool:
        """Queue a frame. Never waits; False if there is no link or its queue is full: the protocol sends again."""
        self._check_outgoing(kind, body)
        return self._queue(self._records[peer], kind, frame_parts(kind, body), urgent=urgent)

    def broadcast(self, kind: int, body: bytes, *, urgent: bool = False) -> None:
        """Queue a frame for every peer that is linked; its bytes are shared by all queues."""
        self._check_outgoing(kind, body)
        parts = frame_parts(kind, body)
        for record in self._records.values():
            self._queue(record, kind, parts, urgent=urgent)

    async def request(self, peer: int, kind: int, body: bytes, *, timeout_ms: int, response_bytes_max: int) -> bytes:
        """Ask a peer and return its answer. Raises RequestFailed, also when `timeout_ms` have passed."""
        if len(body) > self.bounds.requests[kind]:
            raise ValueError(f"a request of kind {kind} with {len(body)} bytes is over its own bound")
        self.counters.requests_out[kind] += 1
        link = self._records[peer].link
        try:
            if link is None or not link.is_open:
                raise RequestFailed("not_connected")
            return await link.request(kind, body, timeout_ms=timeout_ms, response_bytes_max=response_bytes_max)
        except RequestFailed as failure:
            self.counters.requests_failed[failure.reason] += 1
            raise

    def peers(self) -> list[PeerStatus]:
        """How each peer stands, by index."""
        return [self._status(self._records[index]) for index in sorted(self._records)]

    def close_link(self, peer: int, reason: str) -> None:
        """End the link with a peer, if there is one. It is not muted: the link may come back at once."""
        link = self._records[peer].link
        if link is not None:
            link.close(reason)

    def accuse(self, peer: int, fault: PeerFault) -> None:
        """A fault that the node found outside of a callback: counted and muted like one that a callback raises."""
        self.blame(peer, fault)
        self.close_link(peer, fault.reason)

    # What a link needs of its owner.

    async def admit(self, link: Link, hello: bytes) -> bool:
        """Make `link` its peer's link, ending an older one first. False if a newer one is. Raises PeerFault."""
        record = self._records[link.peer]
        while (current := record.link) is not None:
            if current.serial > link.serial:
                return False
            current.close("replaced")
            await current.ended.wait()
        if link not in record.unopened:
            return False
        record.link = link
        record.unopened.remove(link)
        link.mark_announced()
        try:
            await self.shelter.run(lambda: self.events.link_opened(link.peer, hello))
        except Exception:
            link.announced = False
            raise
        self.counters.links_opened += 1
        return True

    def blame(self, peer: int, fault: PeerFault) -> None:
        """Count a fault, and mute the peer unless the fault says not to."""
        self.counters.faults[fault.reason] += 1
        self._records[peer].faults += 1
        if fault.mutes:
            self._mutes.mute(peer, trio.current_time() + self.times.mute_ms / 1_000)

    def report(self, peer: int, error: Exception) -> None:
        """An exception of our own side: if it is fatal the host ends and `run` raises it, otherwise it is logged."""
        if not isinstance(error, self.fatal):
            _log.error("link_failed_inside", peer=peer, exc_info=error)
            return
        self._fatal_error = self._fatal_error or error
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    # Listening.

    async def _listen(self) -> Sequence[trio.SocketListener]:
        try:
            return await trio.open_tcp_listeners(self._listen_port, host=self._listen_host)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(self._listen_host, self._listen_port) from error
            raise

    async def _let_in(self, stream: trio.SocketStream) -> None:
        """One connection from outside, to its end. `serve_listeners` must see no exception of it."""
        self.counters.connections_in += 1
        try:
            address = str(stream.socket.getpeername()[0])
        except OSError:
            stream.socket.close()
            return
        if not self._paces.allows(address, trio.current_time()):
            self.counters.connections_refused["too_fast"] += 1
            stream.socket.close()
            return
        socket = Socket(stream, is_initiator=False)
        ended = self._half_open.enter(socket, address)
        if ended:
            self.counters.connections_refused["too_many"] += ended
        try:
            connection = await self._upgrade(socket, None)
        except HandshakeFailed as failure:
            self.counters.connections_refused[failure.reason] += 1
            return
        finally:
            self._half_open.leave(socket)
        await self._keep_link(self._by_id[connection.remote_id], connection)

    def _admit_key(self, key: bytes, inbound: bool) -> None:
        record = self._by_key.get(key)
        if record is None:
            raise HandshakeFailed("unknown_peer")
        if inbound and record.peer.index > self._index:
            raise HandshakeFailed("not_the_dialler")
        if self._mutes.muted_until(record.peer.index, trio.current_time()) is not None:
            raise HandshakeFailed("muted")

    async def _upgrade(self, socket: Socket, expected: ID | None) -> Connection:
        """Secure a socket within the handshake's time; the socket is closed if that fails. Raises HandshakeFailed."""
        late = False

        async def close_when_late() -> None:
            nonlocal late
            await trio.sleep(self.times.handshake_ms / 1_000)
            late = True
            socket.hard_close()

        connection: Connection | None = None
        failure: HandshakeFailed | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(close_when_late)
                try:
                    connection = await self._upgrader.upgrade(socket, expected)
                except HandshakeFailed as refused:
                    failure = refused
                nursery.cancel_scope.cancel()
        finally:
            if connection is None or late:
                socket.hard_close()
        if connection is None or late:
            raise HandshakeFailed("handshake_late") if late or failure is None else failure
        return connection

    # Dialling.

    async def _keep_dialled(self, record: _PeerRecord) -> None:
        pause_ms = float(self.times.redial_first_ms)
        while True:
            await self._wait_while_muted(record)
            if await self._dial(record) * 1_000 > self.times.redial_last_ms:
                pause_ms = self.times.redial_first_ms
            await trio.sleep(pause_ms * self._jitter.uniform(0.5, 1.0) / 1_000)
            pause_ms = min(2 * pause_ms, self.times.redial_last_ms)

    async def _wait_while_muted(self, record: _PeerRecord) -> None:
        until = self._mutes.muted_until(record.peer.index, trio.current_time())
        while until is not None:
            await trio.sleep_until(until)
            until = self._mutes.muted_until(record.peer.index, trio.current_time())

    async def _dial(self, record: _PeerRecord) -> float:
        """Dial once and keep the link to its end. Returns for how many seconds it was open."""
        self.counters.dials += 1
        try:
            connection = await self._upgrade(await self._connect(record.peer), record.peer_id)
        except HandshakeFailed as failure:
            self.counters.dials_failed[failure.reason] += 1
            record.last_reason = failure.reason
            return 0.0
        return await self._keep_link(record, connection)

    async def _connect(self, peer: Peer) -> Socket:
        with trio.move_on_after(self.times.connect_ms / 1_000):
            try:
                # All addresses of a name at once: a dead one costs no time.
                stream = await trio.open_tcp_stream(peer.host, peer.port, happy_eyeballs_delay=0.0)
            except (OSError, ValueError) as error:  # a name that is none is a ValueError
                raise HandshakeFailed("unreachable", str(error)) from error
            return Socket(stream, is_initiator=True)
        raise HandshakeFailed("unreachable", "the connection timed out")

    # Links.

    async def _keep_link(self, record: _PeerRecord, connection: Connection) -> float:
        """Run a link to its end. Returns for how many seconds it was open."""
        self._serial += 1
        link = Link(peer=record.peer.index, serial=self._serial, connection=connection, owner=self)
        record.unopened.append(link)
        while len(record.unopened) > UNOPENED_LINKS_PER_PEER_MAX:
            record.unopened.pop(0).close("replaced")
        try:
            await link.run()
        except Exception as error:  # noqa: BLE001 - judged by `report`
            self.report(link.peer, error)
        finally:
            self._forget(record, link)
        return 0.0 if link.opened_at is None else trio.current_time() - link.opened_at

    def _forget(self, record: _PeerRecord, link: Link) -> None:
        if link in record.unopened:
            record.unopened.remove(link)
        record.bytes_in += link.bytes_in
        record.bytes_out += link.bytes_out
        reason = link.reason or "host_ended"
        record.last_reason = reason
        if record.link is link:
            record.link = None
        self.counters.links_closed[reason] += 1
        if link.announced:
            try:
                self.events.link_closed(link.peer, reason)
            except Exception as error:  # noqa: BLE001 - judged by `report`
                self.report(link.peer, error)
        link.ended.set()

    async def _lift_shelter_at_end(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.shelter.lift()

    def _check_outgoing(self, kind: int, body: bytes) -> None:
        if len(body) > self.bounds.frames[kind]:
            raise ValueError(f"a frame of kind {kind} with {len(body)} bytes is over its own bound")

    def _queue(self, record: _PeerRecord, kind: int, parts: tuple[bytes, ...], *, urgent: bool) -> bool:
        link = record.link
        if link is None or not link.is_open or not link.send(*parts, urgent=urgent):
            self.counters.frames_not_queued[kind] += 1
            return False
        self.counters.frames_out[kind] += 1
        self.counters.frame_bytes_out[kind] += sum(map(len, parts))
        return True

    def _status(self, record: _PeerRecord) -> PeerStatus:
        link = record.link
        is_open = link is not None and link.is_open
        return PeerStatus(
            index=record.peer.index,
            connected=is_open,
            since_s=link.opened_at if link is not None and is_open else None,
            bytes_in=record.bytes_in + (link.bytes_in if link is not None else 0),
            bytes_out=record.bytes_out + (link.bytes_out if link is not None else 0),
            queue_bytes=link.queue_bytes if link is not None else 0,
            round_trip_ms=link.round_trip_ms if link is not None else None,
            faults=record.faults,
            last_reason=record.last_reason,
        )
