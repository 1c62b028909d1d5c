"""A WebSocket on a connection: hypercorn's, with what it leaves open closed.

Responsible for: everything about WebSockets that depends on the inside of hypercorn 0.18: a message that goes on after
it was refused for its length, a handshake that is refused and never ended, frames that are worked on as fast as they
come, compression.
Refuses to do: know any path, or what messages mean.

Invariants:
1. A message is refused as soon as it is too long; what comes behind it is thrown away, for DRAIN_SECONDS_MAX at most,
   so that the client gets to read why.
2. Every handshake ends in an open WebSocket or in a closed connection.
3. No extension is agreed on: a compressed message has no bound until it is unpacked, and what is compressed for one
   client cannot be shared with another.
4. Frames that bring next to nothing (pings, pongs, small fragments) are worked on no faster than FRAMES_PER_SECOND:
   a read brings ten thousand of them, which would take a good part of a second in one turn of the event loop. Whole
   messages wait for the application instead.
"""

from typing import Any

import h11
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.ws_stream import WSStream
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Event, Message, Ping
from wsproto.frame_protocol import CloseReason

from sequencer.rpc.options import DRAIN_SECONDS_MAX, FRAME_BYTES_MIN, FRAMES_PER_SECOND
from sequencer.rpc.pace import Pace

EXTENSIONS_HEADER = b"sec-websocket-extensions"


def is_web_socket(request: h11.Request) -> bool:
    """Whether a request asks for a WebSocket."""
    fields = {name.lower(): value for name, value in request.headers}
    tokens = [token.strip().lower() for token in fields.get(b"connection", b"").split(b",")]
    return (
        request.method.upper() == b"GET"
        and b"upgrade" in tokens
        and fields.get(b"upgrade", b"").strip().lower() == b"websocket"
    )


class WebSocketStream(WSStream):
    """See the module's invariants."""

    _is_refused = False
    _pace: Pace | None = None

    async def handle(self, event: StreamEvent) -> None:
        """Takes what comes from the client."""
        was_closed = self.closed
        await super().handle(event)
        if self.closed and not was_closed and not isinstance(event, StreamClosed):
            await self.send(StreamClosed(stream_id=self.stream_id))

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            await self._handle_event(event)
            if self._is_refused or _brings_little(event):
                self._pace = self._pace or Pace(FRAMES_PER_SECOND)
                await self._pace.take()

    async def _handle_event(self, event: Event) -> None:
        match event:
            case Message() if not self._is_refused:
                await self._take(event)
            case Ping():
                await self._send_wsproto_event(event.response())
            case CloseConnection():
                if self.connection.state is ConnectionState.REMOTE_CLOSING:
                    await self._send_wsproto_event(event.response())
                await self.send(StreamClosed(stream_id=self.stream_id))
            case _:
                pass  # a pong has done its work by coming; a refused message goes nowhere

    async def _take(self, message: Message[Any]) -> None:
        if self.buffer.length + len(message.data) > self.buffer.max_length:
            self._is_refused = True
            self.buffer.clear()
            await self._send_wsproto_event(CloseConnection(code=CloseReason.MESSAGE_TOO_BIG))
            self.task_group.spawn(self._end_soon)
            return
        self.buffer.extend(message)
        if message.message_finished and self.app_put is not None:
            await self.app_put(self.buffer.to_message())
            self.buffer.clear()

    async def _end_soon(self) -> None:
        await self.context.sleep(DRAIN_SECONDS_MAX)
        if not self.closed:
            await self.send(StreamClosed(stream_id=self.stream_id))


def _brings_little(event: Event) -> bool:
    """Whether an event costs as much as any other and nothing else holds it back."""
    if isinstance(event, Message):
        return event.frame_finished and not event.message_finished and len(event.data) < FRAME_BYTES_MIN
    return True
