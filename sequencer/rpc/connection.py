"""One client's connection: hypercorn's HTTP/1.1 machine on a trio stream, with every wait bounded.

Responsible for: everything here that depends on the inside of hypercorn 0.18, and what its own server leaves open:
a client that never reads its answers, one that connects and says nothing, an exception that would end the node.
Refuses to do: know any path or method.

Invariants:
1. HTTP/1.1 only, one request at a time: what a client can have in progress is bounded by its connections. Upgrades to
   HTTP/2 are ignored.
2. Nothing that a client sends or leaves unread ends more than its own connection.
3. Every connection ends: an unfinished first request after FIRST_REQUEST_SECONDS_MAX, silence after IDLE_SECONDS_MAX,
   an unread answer after SEND_SECONDS_MAX and what its length allows; a WebSocket after as long a silence as it is
   given. Bodies are bounded by their reader.
4. When a client is gone, what still works for it is cancelled.
5. Nothing is sent behind what was cut off half-way.
"""

import contextlib
import logging
import math
from collections.abc import Callable
from typing import Any, cast

import h11
import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Request
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState, H11SendableEvent
from starlette.types import ASGIApp

from sequencer.rpc.options import (
    FIRST_REQUEST_SECONDS_MAX,
    IDLE_SECONDS_MAX,
    MESSAGE_BYTES_MAX,
    PING_SECONDS,
    SEND_BYTES_PER_SECOND_MIN,
    SEND_SECONDS_MAX,
)
from sequencer.rpc.web_socket_stream import EXTENSIONS_HEADER, WebSocketStream, is_web_socket

_log = structlog.get_logger()
_RECEIVE_BYTES = 64 * 1024
_HEADER_BYTES_MAX = 16 * 1024
_BODY_EVENTS_MAX = 2  # body chunks of at most _RECEIVE_BYTES that wait for the application
STATE_KEY = "connection"  # where the application finds its connection in the scope's state


def http_config() -> Config:
    """Hypercorn's settings: its log goes through the standard library, which `telemetry/logs.py` routes."""
    config = Config()
    config.errorlog = logging.getLogger("hypercorn.error")
    config.accesslog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = _HEADER_BYTES_MAX
    config.max_app_queue_size = _BODY_EVENTS_MAX
    config.keep_alive_max_requests = 1_000_000
    config.websocket_max_message_size = MESSAGE_BYTES_MAX
    config.websocket_ping_interval = PING_SECONDS
    return config


class _Http11(H11Protocol):
    """HTTP/1.1 that stays HTTP/1.1, and sends an answer's head together with the first of its body."""

    _head = b""

    async def _check_protocol(self, event: h11.Request) -> None:
        """An `Upgrade: h2c` is ignored, which RFC 9110 §7.8 allows."""

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        try:
            data = self._head + (self.connection.send(event) or b"")
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        self._head = data if isinstance(event, h11.Response) else b""
        if data and not self._head:
            await self.send(RawData(data))

    async def _create_stream(self, request: h11.Request) -> None:
        if not is_web_socket(request):
            await super()._create_stream(request)
            return
        self.stream = WebSocketStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        self.connection = H11WSConnection(cast(h11.Connection, self.connection))
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=[(name, value) for name, value in request.headers if name.lower() != EXTENSIONS_HEADER],
                http_version=request.http_version.decode(),
                method="GET",
                raw_path=request.target,
                state=self.connection_state,
            )
        )


class Connection:
    """Serves one stream until either side ends it."""

    def __init__(self, stream: trio.SocketStream, application: ASGIApp, config: Config, context: WorkerContext) -> None:
        self._stream = stream
        self._application = ASGIWrapper(cast(ASGIFramework, application))
        self._config = config
        self._context = context
        self._scope = trio.CancelScope()
        self._is_idle = True
        self._is_cut = False
        self._silence_seconds_max = math.inf
        self._receiving = trio.CancelScope()
        self._send_lock = trio.Lock()

    def end(self) -> None:
        """Ends the connection now, whatever it is doing."""
        self._scope.cancel()

    def end_if_idle(self) -> None:
        """Ends the connection now if it has no request in progress. A WebSocket's never ends by itself."""
        if self._is_idle or self._silence_seconds_max < math.inf:
            self.end()

    def become_web_socket(self, silence_seconds_max: float) -> None:
        """From now on the client is to send something, if only pongs, before so many seconds have passed."""
        self._silence_seconds_max = silence_seconds_max
        self._receiving.deadline = trio.current_time() + silence_seconds_max

    async def run(self) -> None:
        """Never raises, apart from cancellation."""
        try:
            with self._scope:
                await self._serve()
        except* Exception as errors:  # noqa: BLE001
            # A fault of the HTTP library that this client has found costs this client its connection.
            _log.warning("http_connection_failed", error=repr(errors.exceptions))
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _serve(self) -> None:
        async with TaskGroup() as task_group:
            self._protocol = _Http11(
                self._application,
                self._config,
                self._context,
                task_group,
                ConnectionState({STATE_KEY: self}),
                False,
                _address(self._stream.socket.getpeername),
                _address(self._stream.socket.getsockname),
                self._send,
            )
            self._expect_request(FIRST_REQUEST_SECONDS_MAX)
            await self._receive()
            self.end()

    async def _receive(self) -> None:
        while True:
            try:
                with trio.CancelScope(deadline=trio.current_time() + self._silence_seconds_max) as self._receiving:
                    data = bytes(await self._stream.receive_some(_RECEIVE_BYTES))
                if self._receiving.cancelled_caught:
                    return
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            if not data:
                return
            await self._protocol.handle(RawData(data))

    async def _send(self, event: Event) -> None:
        match event:
            case RawData(data=data):
                await self._send_data(data)
            case Updated(idle=True):
                self._expect_request(IDLE_SECONDS_MAX)
            case Updated():
                self._is_idle = False
                self._scope.deadline = math.inf
            case Closed():
                await self._finish()
            case _:
                raise TypeError(f"hypercorn sends an unknown event {event!r}")

    async def _send_data(self, data: bytes) -> None:
        seconds_max = SEND_SECONDS_MAX + len(data) / SEND_BYTES_PER_SECOND_MIN
        try:
            async with self._send_lock:
                if self._is_cut:
                    return
                self._is_cut = True
                with trio.fail_after(seconds_max):
                    await self._stream.send_all(data)
                self._is_cut = False
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            self.end()

    async def _finish(self) -> None:
        """The last answer is sent; tell the client so before the socket goes."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            await self._stream.send_eof()
        self.end()

    def _expect_request(self, seconds: float) -> None:
        self._is_idle = True
        self._scope.deadline = trio.current_time() + seconds


def _address(look_up: Callable[[], Any]) -> tuple[str, int] | None:
    try:
        address = look_up()
    except OSError:  # the client has gone already
        return None
    return str(address[0]), int(address[1])
