"""Listening: sockets, the number of connections, and an orderly stop. Serves any ASGI application.

Responsible for: binding (port 0 picks a free one and says which), accepting, stopping.
Refuses to do: know what is served.

Invariants:
1. At most `connections_max` connections; one more is told 503 and closed at once.
2. An address that cannot be listened on is a `ListenFailed` before anything is served.
3. Cancelling the server closes everything at once; `Server.stop` first lets current requests end.
"""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio
from hypercorn.trio.worker_context import WorkerContext
from starlette.types import ASGIApp

from sequencer.rpc.connection import Connection, http_config
from sequencer.rpc.errors import ListenFailed

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # its stubs shadow trio's own types, which lack nothing but this name

_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_BACKLOG = 1_024


class Server:
    """A running server. `port` is the bound one."""

    def __init__(
        self,
        application: ASGIApp,
        connections_max: int,
        on_connections: Callable[[int], None] | None,
        host: str,
        port: int,
    ) -> None:
        self.host = host
        self.port = port
        self._application = application
        self._connections_max = connections_max
        self._on_connections = on_connections
        self._config = http_config()
        self._context = WorkerContext(None)
        self._connections: set[Connection] = set()
        self._accepting = trio.CancelScope()
        self._idle = trio.Event()
        self._stopped = trio.Event()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    async def stop(self, within_s: float) -> None:
        """Accepts nothing more, lets requests end for at most `within_s` seconds, then closes what is left."""
        self._accepting.cancel()
        await self._context.terminated.set()
        for connection in self._connections:
            connection.end_if_idle()
        if not self._connections:
            self._idle.set()
        with trio.move_on_after(within_s):
            await self._idle.wait()
        for connection in tuple(self._connections):
            connection.end()
        await self._stopped.wait()

    async def _run(self, listeners: list[trio.SocketListener]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                with self._accepting:
                    await trio.serve_listeners(self._serve_stream, listeners, handler_nursery=nursery)
        finally:
            self._stopped.set()

    async def _serve_stream(self, stream: trio.SocketStream) -> None:
        if len(self._connections) >= self._connections_max:
            await _refuse(stream)
            return
        connection = Connection(stream, self._application, self._config, self._context)
        self._connections.add(connection)
        self._report()
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self._report()

    def _report(self) -> None:
        if self._on_connections is not None:
            self._on_connections(len(self._connections))
        if not self._connections and self._context.terminated.is_set():
            self._idle.set()


async def serve_application(
    application: ASGIApp,
    host: str,
    port: int,
    *,
    connections_max: int = 64,
    on_connections: Callable[[int], None] | None = None,
    task_status: "TaskStatus[Server]" = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves until cancelled or stopped; `task_status` gets the `Server`. Raises `ListenFailed`."""
    listeners = await _listen(host, port)
    bound_port: int = listeners[0].socket.getsockname()[1]
    server = Server(application, connections_max, on_connections, host, bound_port)
    task_status.started(server)
    await server._run(listeners)  # noqa: SLF001


async def _listen(host: str, port: int) -> list[trio.SocketListener]:
    """One listener per address of the host; with port 0 only the first, since each would get a port of its own."""
    try:
        listeners = list(await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG))
    except OSError as error:
        raise ListenFailed(host, port, error.strerror or str(error)) from error
    if port == 0:
        for surplus in listeners[1:]:
            await surplus.aclose()
        del listeners[1:]
    return listeners


async def _refuse(stream: trio.SocketStream) -> None:
    with trio.move_on_after(1):
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(_TOO_MANY)
    await trio.aclose_forcefully(stream)
