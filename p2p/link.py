"""One link: a connection with one validator, from the first byte after the handshake to the last.

This file is responsible for the life of a link: opening the streams, the two hellos, reading, and ending for a reason.
It refuses to dial, to know of other links, and to look inside a body.

1. Each side opens its own one-way streams, urgent and bulk; the first frame on the urgent one is the hello, and nothing
   is dispatched before it or twice.
2. Frames of one stream are handed to the node one at a time; the next waits until the node is done with the last.
3. A link ends by closing the socket, at once and before anything else; only then are its tasks cancelled. Callbacks of
   the node run to their end first.
4. The watchdog never writes and never waits for a task that does.
5. No exception of a task leaves the link, whatever the other side sent. Those the node calls fatal end the host.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import trio

from p2p.bounds import KIND_HEARTBEAT, KIND_HELLO, STREAMS_INBOUND_MAX, LinkBounds, LinkTimes
from p2p.errors import ConnectionLost, PeerFault, RequestFailed
from p2p.frames import FrameDecoder, encode_frame
from p2p.guards import Shelter
from p2p.libp2p_inside import Connection, opening_of, read_agreement
from p2p.liveness import HEARTBEAT_BYTES, Liveness
from p2p.muxer import Stream
from p2p.outbox import Outbox
from p2p.peers import HostCounters, LinkEvents
from p2p.requests import REQUEST_PROTOCOL, Answering, Asking
from p2p.writer import Writer

URGENT_PROTOCOL = "/shared-sequencer/link/1"
BULK_PROTOCOL = "/shared-sequencer/link/1/bulk"
FRAMES_PER_TURN = 64
"""So many frames are dispatched before the other tasks of the process get a turn."""

PROTOCOLS = (URGENT_PROTOCOL, BULK_PROTOCOL, REQUEST_PROTOCOL)


class LinkOwner(Protocol):
    """What a link needs of the host it belongs to."""

    bounds: LinkBounds
    times: LinkTimes
    events: LinkEvents
    counters: HostCounters
    shelter: Shelter

    async def admit(self, link: "Link", hello: bytes) -> bool:
        """Both hellos are through: make this the peer's link. False if a newer one is."""

    def blame(self, peer: int, fault: PeerFault) -> None:
        """Count a fault of the peer, and mute it."""

    def report(self, peer: int, error: Exception) -> None:
        """An exception of our own side: log it, or end the host."""


class Link:
    """The link with validator `peer` over `connection`; a newer link has a larger `serial`. `run` is called once."""

    def __init__(self, *, peer: int, serial: int, connection: Connection, owner: LinkOwner) -> None:
        self.peer = peer
        self.serial = serial
        self.ended = trio.Event()
        self.opened_at: float | None = None
        self.announced = False
        self.reason: str | None = None
        self._connection = connection
        self._owner = owner
        bounds = owner.bounds
        self._outbox = Outbox(
            urgent_bytes_max=bounds.urgent_queue_bytes_max, bulk_bytes_max=bounds.bulk_queue_bytes_max
        )
        self._writer = Writer(self._outbox)
        self._asking = Asking(connection=connection, writer=self._writer, bounds=bounds, spawn=self._spawn)
        self._answering = Answering(writer=self._writer, bounds=bounds, answer=self._answer)
        times = owner.times
        self._began_at = trio.current_time()
        self._liveness = Liveness(now=self._began_at, silence_s=times.silence_ms / 1_000, tick_s=times.tick_ms / 1_000)
        self._nursery: trio.Nursery | None = None
        self._closing = trio.Event()
        self._opened = trio.Event()
        self._greeted = False
        self._hello_written = trio.Event()
        self._takes = trio.Semaphore(STREAMS_INBOUND_MAX)
        self._choosing: dict[Stream, float] = {}
        self._incoming: set[str] = set()

    @property
    def is_open(self) -> bool:
        """The peer can be sent to."""
        return self.announced and not self._closing.is_set()

    @property
    def bytes_in(self) -> int:
        """Bytes read from the socket."""
        return self._connection.bytes_in

    @property
    def bytes_out(self) -> int:
        """Bytes written to the socket."""
        return self._connection.bytes_out

    @property
    def queue_bytes(self) -> int:
        """Bytes of frames that wait to be written."""
        return self._outbox.waiting_bytes

    @property
    def round_trip_ms(self) -> float | None:
        """The last measured round trip."""
        return self._liveness.round_trip_ms

    async def run(self) -> None:
        """Keep the link until it ends, for whatever reason; `reason` says which."""
        self._connection.when_writers_are_concerned(self._writer.wake)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for task in (self._carry, self._watch, self._accept, self._write):
                    self._spawn(task)
                await self._closing.wait()
                nursery.cancel_scope.cancel()
        finally:
            self.close("host_ended")

    def close(self, reason: str) -> None:
        """End the link now. Never waits; the first reason stands."""
        if not self._closing.is_set():
            self.reason = reason
            self._closing.set()
            self._connection.hard_close()

    def send(self, *parts: bytes, urgent: bool) -> bool:
        """Queue the parts of a frame; False if its queue is full."""
        if not self._outbox.offer(*parts, urgent=urgent):
            return False
        self._writer.wake()
        return True

    async def request(self, kind: int, body: bytes, *, timeout_ms: int, response_bytes_max: int) -> bytes:
        """Ask the peer. Raises RequestFailed."""
        if self._closing.is_set():
            raise RequestFailed("link_closed")
        return await self._asking.ask(kind, body, timeout_ms=timeout_ms, answer_bytes_max=response_bytes_max)

    def mark_announced(self) -> None:
        """From here on the node knows of this link and may send on it."""
        self.announced = True
        self.opened_at = trio.current_time()

    def _spawn(self, task: Callable[[], Awaitable[None]]) -> bool:
        if self._nursery is None or self._closing.is_set():
            return False
        self._nursery.start_soon(self._guarded, task)
        return True

    async def _guarded(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except PeerFault as fault:
            self._blame(fault)
        except ConnectionLost:
            self._lost()
        except Exception as error:  # noqa: BLE001 - nothing a remote peer does may end more than its own link
            self._owner.report(self.peer, error)
            self.close("internal_error")

    def _blame(self, fault: PeerFault) -> None:
        if not self._closing.is_set():
            self._owner.blame(self.peer, fault)
        self.close(fault.reason)

    def _lost(self) -> None:
        if self._connection.violation is not None:
            self._blame(PeerFault(self._connection.violation))
        else:
            self.close("connection_lost")

    async def _carry(self) -> None:
        await self._connection.run()
        self._lost()

    async def _watch(self) -> None:
        times = self._owner.times
        heartbeat_due = self._began_at
        while not self._closing.is_set():
            await trio.sleep(times.tick_ms / 1_000)
            now = trio.current_time()
            if self._liveness.tick(now, self._connection.received_at):
                self.close("silence")
            elif not self._greeted and now - self._began_at > times.handshake_ms / 1_000:
                self.close("no_hello")
            if now >= heartbeat_due:
                heartbeat_due = now + times.heartbeat_ms / 1_000
                self.send(encode_frame(KIND_HEARTBEAT, self._liveness.encode_heartbeat(now)), urgent=True)
            late = [stream for stream, since in self._choosing.items() if now - since > times.handshake_ms / 1_000]
            late += self._answering.late(now, times.serve_ms / 1_000)
            for stream in late:
                if not stream.is_reset:
                    self._spawn(partial(self._reset, stream))

    async def _reset(self, stream: Stream) -> None:
        await stream.reset()
        self._writer.wake()

    async def _write(self) -> None:
        hello = self._owner.events.hello()
        if len(hello) > self._owner.bounds.hello_bytes_max:
            raise ValueError(f"our own hello of {len(hello)} bytes is over its bound")
        urgent, bulk = self._connection.open_stream(), self._connection.open_stream()
        await urgent.write(opening_of(URGENT_PROTOCOL) + encode_frame(KIND_HELLO, hello))
        await bulk.write(opening_of(BULK_PROTOCOL))
        await read_agreement(urgent, URGENT_PROTOCOL)
        await read_agreement(bulk, BULK_PROTOCOL)
        self._hello_written.set()
        await self._writer.run(urgent, bulk)

    async def _accept(self) -> None:
        while True:
            await self._takes.acquire()
            stream = await self._connection.accept_stream()
            self._spawn(partial(self._take, stream))

    async def _take(self, stream: Stream) -> None:
        """One of at most `STREAMS_INBOUND_MAX` tasks, also for streams that were reset while it could not write."""
        try:
            await self._take_one(stream)
        finally:
            self._takes.release()

    async def _take_one(self, stream: Stream) -> None:
        """One stream the other side opened. Losing a request's stream is no loss of the link."""
        self._choosing[stream] = trio.current_time()
        try:
            await self._connection.listen(stream, PROTOCOLS)
        except ConnectionLost:
            await self._reset_quietly(stream)
            return
        finally:
            del self._choosing[stream]
        if stream.protocol == REQUEST_PROTOCOL:
            await self._take_request(stream)
            return
        if stream.protocol in self._incoming:
            raise PeerFault("stream_twice", stream.protocol)
        self._incoming.add(stream.protocol)
        if stream.protocol == URGENT_PROTOCOL:
            await self._read_urgent(stream)
        else:
            await self._opened.wait()
            await self._read_frames(stream, FrameDecoder(self._owner.bounds.frames))
        self.close("closed_by_peer")

    async def _reset_quietly(self, stream: Stream) -> None:
        try:
            await self._reset(stream)
        except ConnectionLost:
            return

    async def _take_request(self, stream: Stream) -> None:
        await self._opened.wait()
        try:
            if not await self._answering.serve(stream):
                self._owner.counters.requests_dropped += 1
        except ConnectionLost:
            await self._reset_quietly(stream)

    async def _read_urgent(self, stream: Stream) -> None:
        decoder = FrameDecoder({KIND_HELLO: self._owner.bounds.hello_bytes_max})
        hello = await _next_frame(stream, decoder)
        if hello is None:
            return
        decoder.bounds = {**self._owner.bounds.frames, KIND_HEARTBEAT: HEARTBEAT_BYTES}
        await self._hello_written.wait()
        self._greeted = True
        if not await self._owner.admit(self, hello):
            self.close("replaced")
            return
        self._opened.set()
        await self._read_frames(stream, decoder)

    async def _read_frames(self, stream: Stream, decoder: FrameDecoder) -> None:
        """Dispatch what arrives, one frame at a time, until the stream ends."""
        dispatch = partial(self._dispatch, decoder)
        while True:
            await self._owner.shelter.run(dispatch)
            data = await stream.read()
            if not data:
                return
            decoder.feed(data)

    async def _dispatch(self, decoder: FrameDecoder) -> None:
        """All frames that have arrived whole."""
        counters, dispatched = self._owner.counters, 0
        while not self._closing.is_set() and (frame := decoder.next_frame()) is not None:
            kind, body = frame
            if kind == KIND_HEARTBEAT:
                self._liveness.heartbeat_received(body, trio.current_time())
            else:
                counters.frames_in[kind] += 1
                counters.frame_bytes_in[kind] += len(body)
                await self._owner.events.frame_received(self.peer, kind, body)
            dispatched += 1
            if dispatched % FRAMES_PER_TURN == 0:
                await trio.lowlevel.checkpoint()

    async def _answer(self, kind: int, body: bytes) -> bytes:
        self._owner.counters.requests_in[kind] += 1
        return await self._owner.shelter.run(partial(self._owner.events.request_received, self.peer, kind, body))


async def _next_frame(stream: Stream, decoder: FrameDecoder) -> bytes | None:
    """The body of the next frame; None if the stream ends before it."""
    while True:
        frame = decoder.next_frame()
        if frame is not None:
            return frame[1]
        data = await stream.read()
        if not data:
            return None
        decoder.feed(data)
