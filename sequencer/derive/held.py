"""Payloads that are held off the L1: fetched from nodes and checked against the certified hash.

Responsible for: `GET /v1/batches/{index}/payload` of one node after another, within bounds.
Refuses to do: trust an answer, or read it (`batches.py`).

Invariants:
1. What is returned has the certified hash. A node whose answer has not is passed over, as is one that is away.
2. An answer is at most PAYLOAD_BLOCK_BYTES_MAX, is never decompressed, and must go on at 1 MiB per STALL_SECONDS.
3. The node that answered last is asked first. No proxy, no redirect: only the addresses given.
"""

import hashlib
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from io import BytesIO

import httpx
import trio

from consensus.limits import PAYLOAD_BLOCK_BYTES_MAX
from consensus.numbers import Hash
from sequencer.derive.errors import PayloadUnavailable

STALL_SECONDS = 10.0
CONNECT_SECONDS_MAX = 5.0
ATTEMPTS_MAX = 5  # while nodes say that they are busy
PAUSE_SECONDS = 1.0
_STEP_BYTES = 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_HTTP_OK = 200
_BUSY = (429, 503)


class _Unusable(Exception):
    """A node's answer is of no use; the message says why."""


class _Busy(_Unusable):
    """The node may answer a little later."""


class HeldPayloads:
    """Asks nodes for payloads. Use inside `open_held_payloads`."""

    def __init__(self, urls: Sequence[str], http: httpx.AsyncClient) -> None:
        self._urls = [url.rstrip("/") for url in urls]
        self._http = http

    async def fetch(self, index: int, data_hash: Hash) -> bytes:
        """The payload of a batch. Raises `PayloadUnavailable` if no node has it, or all stay busy."""
        answers: dict[str, str] = {}
        for attempt in range(ATTEMPTS_MAX):
            await trio.sleep(PAUSE_SECONDS if attempt else 0)
            answers, is_busy = {}, False
            for url in [*self._urls]:
                try:
                    data = await self._ask(f"{url}/v1/batches/{index}/payload", data_hash)
                except (_Unusable, httpx.HTTPError, httpx.InvalidURL) as error:
                    answers[url] = str(error) or type(error).__name__
                    is_busy |= isinstance(error, _Busy)
                    continue
                self._urls.remove(url)
                self._urls.insert(0, url)
                return data
            if not is_busy:
                break
        said = "; ".join(f"{url}: {answer}" for url, answer in answers.items())
        raise PayloadUnavailable(index, said or "no node was named")

    async def _ask(self, address: str, data_hash: Hash) -> bytes:
        body = _Body()
        with trio.CancelScope(deadline=trio.current_time() + STALL_SECONDS) as scope:
            async with self._http.stream("GET", address) as response:
                if response.status_code in _BUSY:
                    raise _Busy(f"HTTP {response.status_code}")
                if response.status_code != _HTTP_OK:
                    raise _Unusable(f"HTTP {response.status_code}")
                async for chunk in response.aiter_raw(_CHUNK_BYTES):
                    if body.add(chunk):
                        scope.deadline = trio.current_time() + STALL_SECONDS
                    if body.size > PAYLOAD_BLOCK_BYTES_MAX:
                        scope.cancel()  # not a break: the library's generators are unwound by an exception from inside
        if body.size > PAYLOAD_BLOCK_BYTES_MAX:
            raise _Unusable("its answer is too long")
        if scope.cancelled_caught:
            raise _Unusable(f"less than {_STEP_BYTES} bytes in {STALL_SECONDS:g} s")
        if body.hash() != data_hash:
            raise _Unusable("its answer does not have the certified hash")
        return body.data()


class _Body:
    """What came so far, hashed as it comes."""

    def __init__(self) -> None:
        self.size = 0
        self._data = BytesIO()
        self._hash = hashlib.sha256()

    def add(self, chunk: bytes) -> bool:
        """Takes a chunk; says whether a further megabyte is full."""
        before = self.size
        self.size += len(chunk)
        self._data.write(chunk)
        self._hash.update(chunk)
        return before // _STEP_BYTES != self.size // _STEP_BYTES

    def hash(self) -> bytes:
        return self._hash.digest()

    def data(self) -> bytes:
        return self._data.getvalue()


@asynccontextmanager
async def open_held_payloads(
    urls: Sequence[str], transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[HeldPayloads]:
    """A client of these nodes; tests hand in a transport."""
    # Loading the system's certificates takes 50 ms; a context without any serves plain HTTP and refuses all else.
    is_secure = any(url.startswith("https://") for url in urls)
    async with httpx.AsyncClient(
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS_MAX),
        headers={"accept-encoding": "identity"},
        trust_env=False,
        verify=ssl.create_default_context() if is_secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        transport=transport,
    ) as http:
        yield HeldPayloads(urls, http)
