"""HTTP to one or several nodes: which one is asked, and what happens when it does not answer.

Responsible for: bounded requests and answers, and going on to the next node.
Refuses to do: know methods or shapes.

Invariants:
1. A request that may change something is sent to another node only if it certainly did not reach the first one, or if
   that one refused it without taking anything. Otherwise it ends as `OutcomeUnknown`.
2. An answer is at most ANSWER_BYTES_MAX and is never decompressed; a request ends within its time.
3. The node that answered last is asked first. No proxy, no credentials and no redirect: only the addresses given.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import httpx
import trio

from sequencer.client.errors import (
    ClientError,
    MalformedAnswer,
    NodeUnreachable,
    NoSubscriptions,
    OutcomeUnknown,
    RequestRefused,
)
from sequencer.client.web_socket import WebSocket, open_web_socket

T = TypeVar("T")

ANSWER_BYTES_MAX = 64 * 1024 * 1024
CONNECT_SECONDS_MAX = 5.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_ELSEWHERE = ("not_accepting", "lane_forked", "not_validator", "overloaded")  # nothing was taken: another node may


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    content_type: str
    body: bytes


class _Body(httpx.AsyncByteStream):
    """A request's bytes, in one piece. The library's own is a generator, left unfinished by a broken connection."""

    def __init__(self, data: bytes) -> None:
        self._left = [data]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class Transport:
    """Asks nodes. Use inside `open_transport`."""

    def __init__(self, urls: Sequence[str], http: httpx.AsyncClient, tls: ssl.SSLContext, timeout_s: float) -> None:
        self._urls = [url.rstrip("/") for url in urls]
        self._http = http
        self._tls = tls
        self.timeout_s = timeout_s  # for each node's answer

    @property
    def node_count(self) -> int:
        """How many nodes there are to ask."""
        return len(self._urls)

    @property
    def urls(self) -> tuple[str, ...]:
        """The nodes, in the order in which they are asked."""
        return tuple(self._urls)

    def distrust_first(self) -> None:
        """Asks the node that was asked first so far only after all others."""
        self._urls.append(self._urls.pop(0))

    async def ask(
        self,
        path: str,
        read: Callable[[Answer], T],
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        extra_s: float = 0.0,
    ) -> T:
        """The first node's answer as `read` understands it; `GET` without a body, else `POST`.

        Goes on to the next node while one is unreachable or not accepting. `extra_s` is added to the time. If none
        answers, raises the last refusal, or else the first failure.
        """
        failure: ClientError | None = None
        for url in tuple(self._urls):
            try:
                value = read(await self._exchange(url + path, body, headers or {}, self.timeout_s + extra_s))
            except RequestRefused as refused:
                if refused.reason not in _ELSEWHERE:
                    raise
                failure = refused
            except NodeUnreachable as unreachable:
                failure = failure or unreachable
            except OutcomeUnknown as unknown:
                if not repeatable:
                    raise
                failure = failure or NodeUnreachable(str(unknown))
            else:
                self._urls.insert(0, self._urls.pop(self._urls.index(url)))
                return value
        raise failure or NodeUnreachable("no node to ask")

    async def open_web_socket(self) -> WebSocket:
        """A WebSocket to the first node that opens one.

        Raises `NodeUnreachable` if none answers, and `NoSubscriptions` if those that answer take none.
        """
        failure: ClientError | None = None
        for url in tuple(self._urls):
            try:
                socket = await open_web_socket(url, self._tls, self.timeout_s)
            except NoSubscriptions as refused:
                failure = refused
            except NodeUnreachable as unreachable:
                failure = failure or unreachable
            else:
                self._urls.insert(0, self._urls.pop(self._urls.index(url)))
                return socket
        raise failure or NodeUnreachable("no node to ask")

    async def _exchange(self, url: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float) -> Answer:
        try:
            with trio.fail_after(timeout_s):
                return await self._receive(url, body, headers)
        except _NOT_SENT as error:
            raise NodeUnreachable(f"{url}: {str(error) or type(error).__name__}") from error
        except (httpx.TransportError, trio.TooSlowError) as error:
            raise OutcomeUnknown(f"{url}: {str(error) or type(error).__name__}") from error
        except httpx.InvalidURL as error:
            raise NodeUnreachable(f"{url}: {error}") from error

    async def _receive(self, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        method = "GET" if body is None else "POST"
        request = self._http.build_request(method, url, content=body, headers=dict(headers))
        if body is not None:
            request.stream = _Body(body)
        async with aclosing(await self._http.send(request, stream=True)) as response:
            parts: list[bytes] = []
            size = 0
            # Not a break: the library's generators are only unwound properly by an exception from inside.
            with trio.CancelScope() as reading:
                async for part in response.aiter_raw():
                    size += len(part)
                    if size > ANSWER_BYTES_MAX:
                        reading.cancel()
                    else:
                        parts.append(part)
            if size > ANSWER_BYTES_MAX:
                raise MalformedAnswer(f"{url}: an answer of more than {ANSWER_BYTES_MAX} bytes")
            content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            return Answer(response.status_code, content_type, b"".join(parts))


@asynccontextmanager
async def open_transport(urls: Sequence[str], timeout_s: float) -> AsyncIterator[Transport]:
    """A transport to these nodes, each an `http(s)://host:port`."""
    timeout = httpx.Timeout(None, connect=min(CONNECT_SECONDS_MAX, timeout_s))
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    headers = {"accept-encoding": "identity"}
    # Loading the system's certificates takes 50 ms; a context without any serves plain HTTP and refuses all else.
    needs_tls = any(url.startswith("https:") for url in urls)
    tls = ssl.create_default_context() if needs_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with httpx.AsyncClient(timeout=timeout, limits=limits, headers=headers, trust_env=False, verify=tls) as http:
        yield Transport(urls, http, tls, timeout_s)
