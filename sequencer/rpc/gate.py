"""The outermost part of the application: unread bodies, unexpected exceptions, and what must stop the node.

Responsible for: that every request ends in a state in which its connection can go on, or is closed.
Refuses to do: bound a body that somebody reads (`bodies.py`).

Invariants:
1. When an answer is sent before the body was read, the rest is read away within DRAIN_SECONDS_MAX and DRAIN_BYTES_MAX,
   so that the client gets to read the answer; then the connection is closed. Hypercorn would wait for ever.
2. An exception of the application ends in its error answer and the log; one that must stop the node reaches `crash`.
3. Only HTTP and WebSockets are served; anything else is refused.
"""

from collections.abc import Callable

import structlog
import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sequencer.rpc.connection import STATE_KEY
from sequencer.rpc.faults import find_fatal
from sequencer.rpc.options import DRAIN_BYTES_MAX, DRAIN_SECONDS_MAX
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics

_log = structlog.get_logger()


class Gate:
    """Wraps an ASGI application."""

    def __init__(self, application: ASGIApp, metrics: Metrics, crash: Callable[[Exception], None]) -> None:
        """`crash` is told of an exception that must stop the node; it must not block."""
        self._application = application
        self._metrics = metrics
        self._crash = crash
        self._in_flight_count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] == "websocket":
            await self._run(scope, receive, send)
        if scope["type"] != "http":
            return
        self._count(1)
        try:
            await self._pass(scope, receive, send)
        finally:
            self._count(-1)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope, receive, send)
        await self._run(scope, exchange.receive, exchange.send)
        if exchange.is_end_held and not await exchange.drain():
            scope["state"][STATE_KEY].end()

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._application(scope, receive, send)
        except* Exception as errors:  # noqa: BLE001 (a group may also hold a cancellation, which goes on)
            fatal = find_fatal(errors)
            if fatal is not None:
                self._crash(fatal)
            else:
                _log.exception("http_request_failed", path=scope["path"])

    def _count(self, change: int) -> None:
        self._in_flight_count += change
        self._metrics.set(table.RPC_IN_FLIGHT, self._in_flight_count)


class _Exchange:
    """One request and its answer: notes how much of the body was read and holds back the answer's end until it all was.

    The client has the whole answer before its end is sent, since it has a content length.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_read = not any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        self.is_end_held = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._is_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False) and not self._is_read:
            self.is_end_held = True
            message = {**message, "more_body": True}
        await self._send(message)

    async def drain(self) -> bool:
        """Reads the rest of the body away and ends the answer; False if there is too much of it."""
        left = DRAIN_BYTES_MAX
        with trio.move_on_after(DRAIN_SECONDS_MAX):
            while not self._is_read and left > 0:
                left -= len((await self.receive()).get("body", b""))
        if not self._is_read:
            return False
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        return True
