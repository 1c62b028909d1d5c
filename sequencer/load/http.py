"""HTTP/1.1 to one node over kept connections, for a client that asks thousands of times a second.

Responsible for: one request and its whole answer within a time; keeping connections for the next request.
Refuses to do: repeat a request, follow a redirect, or read what an answer means.

Invariants:
1. A connection carries one request at a time; one that was not left clean is closed.
2. Whatever a node does ends in an `Answer` of at most ANSWER_BYTES_MAX or in `Unanswered`.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import h11
import trio

from sequencer.load.errors import PlanFault, Unanswered

ANSWER_BYTES_MAX = 64 * 1024 * 1024
_RECEIVE_BYTES = 64 * 1024
_IDLE_S = 20.0  # nodes close a silent connection after 60 s
_Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Connection:
    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.state = h11.Connection(h11.CLIENT)
        self.used_at = trio.current_time()

    async def ask(self, request: h11.Request, body: bytes) -> Answer:
        head = self.state.send(request) or b""
        parts = self.state.send(h11.Data(data=body)) if body else b""
        end = self.state.send(h11.EndOfMessage())
        await self.stream.send_all(head + (parts or b"") + (end or b""))
        response: h11.Response | None = None
        chunks: list[bytes] = []
        size = 0
        while True:
            event = self.state.next_event()
            if event is h11.NEED_DATA:
                self.state.receive_data(await self.stream.receive_some(_RECEIVE_BYTES))
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                size += len(event.data)
                if size > ANSWER_BYTES_MAX:
                    raise Unanswered("garbage", f"an answer above {ANSWER_BYTES_MAX} bytes")
                chunks.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage) and response is not None:
                break
            elif not isinstance(event, h11.InformationalResponse):
                raise Unanswered("reset", "closed before the answer was whole")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
        return Answer(response.status_code, headers, b"".join(chunks))

    def is_clean(self) -> bool:
        if self.state.our_state is not h11.DONE or self.state.their_state is not h11.DONE:
            return False
        self.state.start_next_cycle()
        self.used_at = trio.current_time()
        return True


class NodeConnections:
    """`async with NodeConnections(url) as node`: connections are opened when needed."""

    def __init__(self, url: str) -> None:
        """Raises `PlanFault` for an address that is none."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise PlanFault(f"{url}: an address starts with http:// or https://")
        self.url = url
        self._host, self._is_tls = parts.hostname, parts.scheme == "https"
        self._port = parts.port or (443 if self._is_tls else 80)
        self._path = parts.path.rstrip("/")
        self._authority = parts.netloc.rpartition("@")[2]
        self._idle: list[_Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes what is kept."""
        while self._idle:
            await trio.aclose_forcefully(self._idle.pop().stream)

    async def ask(
        self, method: str, path: str, headers: _Headers = (), body: bytes = b"", *, timeout_s: float = 60.0
    ) -> Answer:
        """One request. Raises `Unanswered`."""
        sent = [("host", self._authority), ("content-length", str(len(body))), *headers]
        request = h11.Request(method=method, target=f"{self._path}{path}", headers=sent)
        try:
            with trio.fail_after(timeout_s):
                return await self._ask(request, body)
        except trio.TooSlowError as error:
            raise Unanswered("timeout", f"{self.url}: no answer within {timeout_s:g} s") from error
        except ConnectionRefusedError as error:
            raise Unanswered("refused", f"{self.url}: {error}") from error
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Unanswered("reset", f"{self.url}: {error}") from error
        except h11.ProtocolError as error:
            raise Unanswered("garbage", f"{self.url}: {error}") from error

    async def _ask(self, request: h11.Request, body: bytes) -> Answer:
        connection = await self._take()
        is_kept = False
        try:
            answer = await connection.ask(request, body)
            is_kept = connection.is_clean()
            return answer
        finally:
            if is_kept:
                self._idle.append(connection)
            else:
                await trio.aclose_forcefully(connection.stream)

    async def _take(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if trio.current_time() - connection.used_at < _IDLE_S:
                return connection
            await trio.aclose_forcefully(connection.stream)
        stream: trio.abc.Stream = await trio.open_tcp_stream(self._host, self._port)
        if self._is_tls:
            stream = trio.SSLStream(stream, ssl.create_default_context(), server_hostname=self._host)
        return _Connection(stream)
