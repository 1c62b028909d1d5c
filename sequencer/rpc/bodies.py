"""Reading request bodies: bounded in bytes, in time, and over all requests together.

Responsible for: refusing a body that is too long before reading it, or as soon as it is.
Refuses to do: look inside.

Invariants:
1. A body never exceeds its bound in memory; a declared length above it is refused before a byte is read.
2. All bodies held at once stay below one budget, of which a client never takes the last (`places.py`); a body counts as
   it arrives, so that nobody reserves room unused.
3. Compressed bodies are refused: their size would be unknown until it is too late.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from starlette.requests import Request

from sequencer.rpc.clients import client_of
from sequencer.rpc.errors import RequestRefused
from sequencer.rpc.options import BODIES_BYTES_MAX_FACTOR, BODY_SECONDS_MAX
from sequencer.rpc.places import FairPlaces


class BodyReader:
    """Reads bodies of at most `body_bytes_max` bytes. One per server."""

    def __init__(self, body_bytes_max: int) -> None:
        self._body_bytes_max = body_bytes_max
        self._held_bytes = FairPlaces(body_bytes_max * BODIES_BYTES_MAX_FACTOR)

    @asynccontextmanager
    async def held(self, request: Request, content_types: tuple[str, ...]) -> AsyncIterator[bytes]:
        """The body, which counts until the block is left. Raises `RequestRefused`."""
        self._check_headers(request, content_types)
        chunks: list[bytes] = []
        client, size = client_of(request.scope), 0
        try:
            with trio.move_on_after(BODY_SECONDS_MAX) as deadline:
                more = True
                while more:
                    chunk, more = await _receive_chunk(request)
                    if size + len(chunk) > self._body_bytes_max:
                        raise self._oversized()
                    self._held_bytes.take(client, len(chunk))
                    size += len(chunk)
                    chunks.append(chunk)
            if deadline.cancelled_caught:
                raise RequestRefused("too_slow")
            body = b"".join(chunks)
            chunks.clear()
            yield body
        finally:
            self._held_bytes.give_back(client, size)

    def _check_headers(self, request: Request, content_types: tuple[str, ...]) -> None:
        given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if given not in content_types:
            raise RequestRefused("unsupported_media_type", f"content-type is {content_types[0]}")
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise RequestRefused("unsupported_media_type", "the body is not compressed")
        declared = request.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared[:20]) > self._body_bytes_max:
            raise self._oversized()

    def _oversized(self) -> RequestRefused:
        return RequestRefused("oversized", f"a body has at most {self._body_bytes_max} bytes")


async def _receive_chunk(request: Request) -> tuple[bytes, bool]:
    """The next bytes, and whether there may be more. Starlette's own stream leaves a generator open when refused."""
    message = await request.receive()
    if message["type"] != "http.request":
        raise RequestRefused("malformed", "the body is cut short")
    return message.get("body", b""), message.get("more_body", False)
