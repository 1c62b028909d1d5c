"""Requests: one stream for each, answered once.

This file is responsible for both sides of a request. It refuses to decide what is asked or answered.

1. At most `requests_in_flight_max` requests of a link are open in each direction. The asking side waits for its turn;
   a request that arrives beyond it is reset unread.
2. A request is written whole and its side of the stream closed; so is the answer. A byte more is a fault.
3. A timeout ends the waiting, not the reading: the stream is reset by the link's own tasks, never by cancelling them.
4. The asking side opens streams at half the pace the answering side allows.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from p2p.bounds import STREAMS_BURST, STREAMS_PER_SECOND, LinkBounds
from p2p.errors import REFUSAL_BYTES_MAX, ConnectionLost, PeerFault, RequestFailed, RequestRefused
from p2p.frames import (
    EXCHANGE_HEADER_BYTES,
    AnswerStatus,
    decode_answer_header,
    decode_request_header,
    encode_answer,
    encode_request,
)
from p2p.guards import Pace
from p2p.libp2p_inside import Connection, opening_of, read_agreement
from p2p.muxer import Stream
from p2p.writer import Writer

REQUEST_PROTOCOL = "/shared-sequencer/request/1"

Task = Callable[[], Awaitable[None]]


class Spawn(Protocol):
    """Starts a task of the link; False if the link is closing and nothing was started."""

    def __call__(self, task: Task, /) -> bool:
        """Start it."""


class _Call:
    def __init__(self, kind: int, body: bytes, answer_bytes_max: int) -> None:
        self.kind = kind
        self.body = body
        self.answer_bytes_max = answer_bytes_max
        self.stream: Stream | None = None
        self.abandoned = False
        self.over = trio.Event()
        self.answer = b""
        self.failure: RequestFailed | None = RequestFailed("link_closed")


class Asking:
    """Our requests to one peer."""

    def __init__(self, *, connection: Connection, writer: Writer, bounds: LinkBounds, spawn: Spawn) -> None:
        self._connection = connection
        self._writer = writer
        self._spawn = spawn
        self._slots = trio.Semaphore(bounds.requests_in_flight_max)
        self._pace = Pace(burst=STREAMS_BURST // 2, per_second=STREAMS_PER_SECOND / 2, now=trio.current_time())

    async def ask(self, kind: int, body: bytes, *, timeout_ms: int, answer_bytes_max: int) -> bytes:
        """The answer's body. Raises RequestFailed."""
        call = _Call(kind, body, answer_bytes_max)
        with trio.move_on_after(timeout_ms / 1_000) as patience:
            await self._slots.acquire()
            if not self._spawn(lambda: self._perform(call)):
                self._slots.release()
                raise RequestFailed("link_closed")
            try:
                await call.over.wait()
            finally:
                if not call.over.is_set():
                    call.abandoned = True
                    self._spawn(lambda: self._give_up(call))
        if patience.cancelled_caught:
            raise RequestFailed("timeout", f"{timeout_ms} ms")
        if call.failure is not None:
            raise call.failure
        return call.answer

    async def _perform(self, call: _Call) -> None:
        try:
            await self._keep_pace()
            if call.abandoned:
                return
            call.stream = self._connection.open_stream()
            if call.abandoned:
                await self._give_up(call)
                return
            request = opening_of(REQUEST_PROTOCOL) + encode_request(call.kind, call.body)
            await self._writer.transmit(call.stream, request)
            await call.stream.close()
            await read_agreement(call.stream, REQUEST_PROTOCOL)
            call.failure = await _read_answer(call.stream, call)
        except ConnectionLost as error:
            call.failure = RequestFailed("reset", str(error))
            self._spawn(lambda: self._give_up(call))
        except PeerFault as fault:
            call.failure = RequestFailed("bad_answer", fault.detail)
            raise
        finally:
            call.over.set()
            self._slots.release()

    async def _keep_pace(self) -> None:
        wait_s = self._pace.take(trio.current_time())
        while wait_s > 0:
            await trio.sleep(wait_s)
            wait_s = self._pace.take(trio.current_time())

    async def _give_up(self, call: _Call) -> None:
        if call.stream is not None:
            await call.stream.reset()
            self._writer.wake()


async def _read_answer(stream: Stream, call: _Call) -> RequestFailed | None:
    header = await stream.read_exactly(EXCHANGE_HEADER_BYTES)
    status, length = decode_answer_header(header, call.answer_bytes_max, REFUSAL_BYTES_MAX)
    body = await stream.read_exactly(length)
    if await stream.read(1):
        raise PeerFault("bad_answer", "bytes after the answer")
    if status is AnswerStatus.REFUSED:
        return RequestFailed("refused", body.decode("utf-8", "replace"))
    call.answer = body
    return None


class Answering:
    """The requests of one peer to us. `answer` is asked with kind and body and gives the answer's body."""

    def __init__(self, *, writer: Writer, bounds: LinkBounds, answer: Callable[[int, bytes], Awaitable[bytes]]) -> None:
        self._writer = writer
        self._bounds = bounds
        self._answer = answer
        self._began_at: dict[Stream, float] = {}

    def late(self, now: float, serve_s: float) -> list[Stream]:
        """The streams of requests that have been open for longer than `serve_s` seconds."""
        return [stream for stream, began_at in self._began_at.items() if now - began_at > serve_s]

    async def serve(self, stream: Stream) -> bool:
        """Read a request, have it answered, write the answer. False if there were too many already.

        Raises ConnectionLost or PeerFault.
        """
        if len(self._began_at) >= self._bounds.requests_in_flight_max:
            await stream.reset()
            return False
        self._began_at[stream] = trio.current_time()
        try:
            header = await stream.read_exactly(EXCHANGE_HEADER_BYTES)
            kind, length = decode_request_header(header, self._bounds.requests)
            body = await stream.read_exactly(length)
            if await stream.read(1):
                raise PeerFault("bad_request", "bytes after the request")
            await self._writer.transmit(stream, await self._encoded_answer(kind, body))
            await stream.close()
        finally:
            del self._began_at[stream]
        return True

    async def _encoded_answer(self, kind: int, body: bytes) -> bytes:
        try:
            answer = await self._answer(kind, body)
        except RequestRefused as refusal:
            return encode_answer(AnswerStatus.REFUSED, refusal.reason.encode()[:REFUSAL_BYTES_MAX])
        if len(answer) > self._bounds.answer_bytes_max:
            raise ValueError(f"an answer of {len(answer)} bytes is over our own bound")
        return encode_answer(AnswerStatus.ANSWERED, answer)
