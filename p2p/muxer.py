"""The multiplexer of the links between validators: a few streams over one secure channel.

    frame  u8 kind ‖ u32 stream ‖ u16 length ‖ body
    OPEN   the first data of a stream       CLOSE  nothing more will be written to the stream
    DATA   more of it                       RESET  the stream is given up in both directions
    CREDIT u32, how many more bytes the other side may send

This file is responsible for streams, their numbers and their windows, and for what a hostile peer may not do with
them. It refuses to know protocols: what is chosen on a stream is said in `p2p.libp2p_inside`.

1. The side that dialled opens odd numbers and the other even ones, each above its last. Unknown kinds, numbers of ours
   and lengths that mean nothing end the connection (`bad_muxing`).
2. A peer holds at most `STREAMS_INBOUND_MAX` open streams and opens them no faster than its pace (`stream_flood`).
3. A stream buffers what its reader has given credit for: `WINDOW_BYTES_FIRST` before anything is read, then up to
   `WINDOW_BYTES_MAX` ahead of it. A byte more ends the connection (`window_overflow`). A receiver that does not read
   holds back its own stream and nothing else.
4. Reading the connection never waits for writing to it: credit is owed, and paid by a task of its own. What is owed is
   one number per stream.
5. A write is one frame of at most `SLICE_BYTES`, and with that one message of the cipher; the window covers it.
6. Only what was decrypted and authenticated is judged, so that a violation is the peer's own.
"""

from collections import deque
from collections.abc import Callable
from struct import Struct

import trio

from p2p.bounds import (
    READ_BYTES,
    SLICE_BYTES,
    SMALL_BYTES,
    STREAMS_BURST,
    STREAMS_INBOUND_MAX,
    STREAMS_PER_SECOND,
    WINDOW_BYTES_FIRST,
    WINDOW_BYTES_MAX,
)
from p2p.channel import Channel
from p2p.errors import ConnectionLost
from p2p.guards import Pace

OPEN, DATA, CREDIT, CLOSE, RESET = range(5)
FRAMES_PER_TURN = 256
"""So many frames are taken before the other tasks of the process get a turn."""

WRITES_PER_TURN = 4
"""So many frames are written before the other tasks of the process get a turn."""

_HEADER = Struct("!BIH")
_CREDIT = Struct("!I")
_LEAST_CREDIT_BYTES = WINDOW_BYTES_FIRST // 2


class Stream:
    """One stream of a connection. One task may read it and one may write it."""

    def __init__(self, muxer: "Muxer", number: int | None) -> None:
        self.protocol = ""
        self.is_reset = False
        self.window_bytes = WINDOW_BYTES_FIRST
        self._muxer = muxer
        self._number = number  # None until something of it was written
        self._is_write_closed = False
        self._is_read_closed = False
        self._arrived = trio.Event()
        self._chunks: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._credit_bytes = WINDOW_BYTES_FIRST
        self._ahead_bytes_max = WINDOW_BYTES_FIRST

    @property
    def is_broken(self) -> bool:
        """Nothing can be written to it any more."""
        return self._is_write_closed or self.is_reset or self._muxer.is_over

    async def read(self, bytes_max: int = READ_BYTES) -> bytes:
        """Up to `bytes_max` bytes, empty at the end. Raises ConnectionLost if the stream or the connection broke.

        Other tasks get a turn only if it has to wait: what is buffered is bounded.
        """
        while not self._chunks:
            if self.is_reset or self._muxer.is_over:
                raise ConnectionLost("the stream was given up" if self.is_reset else "the connection is closed")
            if self._is_read_closed:
                return b""
            self._arrived = trio.Event()
            await self._arrived.wait()
        taken = self._take(bytes_max)
        self._buffered_bytes -= len(taken)
        self._give_credit()
        return taken

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
        if self.is_broken:
            raise ConnectionLost("nothing can be written to the stream")
        if len(data) > self.window_bytes:
            raise ValueError(f"{len(data)} bytes written where the window has {self.window_bytes}")
        self.window_bytes -= len(data)
        for start in range(0, len(data), SLICE_BYTES):
            await self._send(DATA, data[start : start + SLICE_BYTES])

    async def close(self) -> None:
        """Say that nothing more will be written. Reading goes on. Raises ConnectionLost."""
        if self.is_broken:
            raise ConnectionLost("the stream is closed")
        self._is_write_closed = True
        self._forget_if_over()
        await self._send(CLOSE)

    async def reset(self) -> None:
        """Give the stream up in both directions, drop what was not read, and wake whoever reads it."""
        if self.is_reset:
            return
        self._give_up()
        if self._number is not None:
            await self._send(RESET)

    async def _send(self, kind: int, body: bytes = b"") -> None:
        if self._number is None:
            self._number = self._muxer.enter(self)
            if kind == DATA:
                kind = OPEN
            else:
                await self._muxer.write_frame(OPEN, self._number)
        await self._muxer.write_frame(kind, self._number, body)

    def _take(self, bytes_max: int) -> bytes:
        first = self._chunks.popleft()
        if len(first) > bytes_max:
            self._chunks.appendleft(first[bytes_max:])
            return first[:bytes_max]
        parts, room = [first], bytes_max - len(first)
        while self._chunks and len(self._chunks[0]) <= room:
            parts.append(self._chunks.popleft())
            room -= len(parts[-1])
        return first if len(parts) == 1 else b"".join(parts)

    def _give_credit(self) -> None:
        ahead = self._credit_bytes + self._buffered_bytes
        if self._is_read_closed or self._number is None or ahead > self._ahead_bytes_max - _LEAST_CREDIT_BYTES:
            return
        self._ahead_bytes_max = WINDOW_BYTES_MAX
        self._credit_bytes += WINDOW_BYTES_MAX - ahead
        self._muxer.owe_credit(self._number, WINDOW_BYTES_MAX - ahead)

    # What the connection receives.

    def violation_of(self, data: bytes) -> str | None:
        """Which rule more data would break."""
        if self._is_read_closed:
            return "bad_muxing"
        return "window_overflow" if len(data) > self._credit_bytes else None

    def receive(self, data: bytes) -> None:
        """More data, which breaks no rule."""
        if not data:
            return
        self._credit_bytes -= len(data)
        self._buffered_bytes += len(data)
        if self._chunks and len(self._chunks[-1]) + len(data) <= SMALL_BYTES:
            self._chunks[-1] += data  # or a million frames of one byte would be a million objects
        else:
            self._chunks.append(data)
        self._arrived.set()

    def receive_end(self) -> None:
        """The other side writes no more."""
        self._is_read_closed = True
        self._forget_if_over()
        self._arrived.set()

    def receive_reset(self) -> None:
        """The other side gave the stream up."""
        self._give_up()

    def wake(self) -> None:
        """The connection is over: whoever reads finds out."""
        self._arrived.set()

    def _give_up(self) -> None:
        self.is_reset = True
        self._chunks.clear()
        self._buffered_bytes = 0
        self._forget()
        self._arrived.set()

    def _forget_if_over(self) -> None:
        if self._is_read_closed and self._is_write_closed:
            self._forget()

    def _forget(self) -> None:
        if self._number is not None:
            self._muxer.forget(self._number)


class Muxer:
    """The streams of one secure channel. `run` carries them; see the module."""

    def __init__(self, channel: Channel) -> None:
        self.is_over = False
        self.violation: str | None = None
        self.concern_writers: Callable[[], None] = lambda: None
        self._channel = channel
        self._streams: dict[int, Stream] = {}
        self._next_number = 1 if channel.is_initiator else 2
        self._their_parity = 0 if channel.is_initiator else 1
        self._their_last = 0
        self._their_count = 0
        self._pace = Pace(burst=STREAMS_BURST, per_second=STREAMS_PER_SECOND, now=trio.current_time())
        self._opened_by_peer, self._to_accept = trio.open_memory_channel[Stream](STREAMS_BURST)
        self._writing = trio.Lock()
        self._written_in_turn = 0
        self._owed: dict[int, int] = {}
        self._owes = trio.Event()
        self._rest = b""  # of a frame whose end has not arrived

    async def run(self) -> None:
        """Carry the streams until the connection is over. Raises ConnectionLost."""
        lost = ConnectionLost("the connection is closed")
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pay)
                try:
                    await self._receive()
                except ConnectionLost as error:
                    lost = error
                nursery.cancel_scope.cancel()
        finally:
            self._end()
        raise lost

    def open_stream(self) -> Stream:
        """A new stream. It has a number, and the other side hears of it, with the first write."""
        return Stream(self, None)

    async def accept_stream(self) -> Stream:
        """The next stream the other side opens. Raises ConnectionLost."""
        try:
            return await self._to_accept.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise ConnectionLost("the connection is closed") from None

    # What streams ask for.

    def enter(self, stream: Stream) -> int:
        """The number of a stream of ours, whose first frame is written next: numbers arrive in their order."""
        number, self._next_number = self._next_number, self._next_number + 2
        self._streams[number] = stream
        return number

    async def write_frame(self, kind: int, number: int, body: bytes = b"") -> None:
        """One frame, as one message. Raises ConnectionLost."""
        try:
            self._writing.acquire_nowait()  # `acquire` would give the others a turn each time
        except trio.WouldBlock:
            await self._writing.acquire()
        try:
            await self._write(_HEADER.pack(kind, number, len(body)) + body)
        finally:
            self._writing.release()
        self._written_in_turn += 1
        if self._written_in_turn >= WRITES_PER_TURN:
            self._written_in_turn = 0
            await trio.lowlevel.checkpoint()

    def owe_credit(self, number: int, credit_bytes: int) -> None:
        """Let the other side send more on a stream, as soon as that can be written."""
        self._owed[number] = self._owed.get(number, 0) + credit_bytes
        self._owes.set()

    def forget(self, number: int) -> None:
        """A stream is over."""
        if self._streams.pop(number, None) is not None and number % 2 == self._their_parity:
            self._their_count -= 1
        self._owed.pop(number, None)

    # Tasks.

    async def _write(self, message: bytes) -> None:
        if self.is_over:
            raise ConnectionLost("the connection is closed")
        await self._channel.send(message)

    async def _pay(self) -> None:
        try:
            while True:
                await self._owes.wait()
                self._owes = trio.Event()
                async with self._writing:
                    owed, self._owed = self._owed, {}
                    frames = [_HEADER.pack(CREDIT, number, 4) + _CREDIT.pack(owed[number]) for number in owed]
                    if frames:
                        await self._write(b"".join(frames))
        except ConnectionLost:
            return  # whoever reads the connection finds out

    async def _receive(self) -> None:
        while True:
            for message in await self._channel.receive():
                await self._take_frames(self._rest + message if self._rest else message)

    def _end(self) -> None:
        self.is_over = True
        self._opened_by_peer.close()
        for stream in list(self._streams.values()):
            stream.wake()
        self.concern_writers()

    # What arrives.

    async def _take_frames(self, data: bytes) -> None:
        start = taken = 0
        while len(data) - start >= _HEADER.size:
            kind, number, length = _HEADER.unpack_from(data, start)
            if kind > RESET or length > SLICE_BYTES:
                self._refuse("bad_muxing")
            end = start + _HEADER.size + length
            if end > len(data):
                break
            self._take_frame(kind, number, data[start + _HEADER.size : end])
            start = end
            taken += 1
            if taken % FRAMES_PER_TURN == 0:
                await trio.lowlevel.checkpoint()
        self._rest = data[start:]

    def _take_frame(self, kind: int, number: int, body: bytes) -> None:
        if kind == OPEN:
            self._take_new_stream(number).receive(body)
            return
        if number == 0 or number > (self._their_last if number % 2 == self._their_parity else self._next_number - 2):
            self._refuse("bad_muxing")
        stream = self._streams.get(number)
        if stream is None:
            return  # we gave it up, and the other side did not know when it wrote this
        if kind == DATA:
            violation = stream.violation_of(body)
            if violation is not None:
                self._refuse(violation)
            stream.receive(body)
            return
        if len(body) != (_CREDIT.size if kind == CREDIT else 0):
            self._refuse("bad_muxing")
        if kind == CREDIT:
            stream.window_bytes += _CREDIT.unpack(body)[0]
        elif kind == CLOSE:
            stream.receive_end()
        else:
            stream.receive_reset()
        self.concern_writers()

    def _take_new_stream(self, number: int) -> Stream:
        if number % 2 != self._their_parity or number <= self._their_last:
            self._refuse("bad_muxing")
        if self._their_count >= STREAMS_INBOUND_MAX or self._pace.take(trio.current_time()) > 0:
            self._refuse("stream_flood")
        self._their_last = number
        self._their_count += 1
        stream = self._streams[number] = Stream(self, number)
        try:
            self._opened_by_peer.send_nowait(stream)
        except trio.WouldBlock:
            self._refuse("stream_flood")
        return stream

    def _refuse(self, violation: str) -> None:
        self.violation = violation
        raise ConnectionLost(violation)
