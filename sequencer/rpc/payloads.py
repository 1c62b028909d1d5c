"""Payloads of held L1 batches: what is not on the L1 is asked for here.

`GET /v1/batches/{index}/payload` answers `application/octet-stream`: the bytes whose SHA-256 is the batch's data hash.

Responsible for: the path, its errors, and one payload at a time.
Refuses to do: serve what is on the L1 already: read it there.

Invariant: a payload may be large; while one is being made and sent, others are told to come back.
"""

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sequencer.rpc.context import Context
from sequencer.rpc.errors import RequestRefused
from sequencer.telemetry import table

PATH = "/v1/batches/{index}/payload"
RETRY_AFTER_MS = 1_000
_DIGITS_MAX = 15


class PayloadDoor:
    """Answers requests for payloads. One per server."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._turn = trio.Semaphore(1)

    async def answer(self, request: Request) -> Response:
        """The endpoint. Raises `RequestRefused`."""
        text = request.path_params["index"]
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
            raise RequestRefused("malformed", "the number of a batch is a decimal number")
        try:
            self._turn.acquire_nowait()
        except trio.WouldBlock as error:
            raise RequestRefused("overloaded", retry_after_ms=RETRY_AFTER_MS) from error
        try:
            payload = await self._context.service.held_payload(int(text))
            if payload is None:
                raise RequestRefused("unknown_batch", "no held batch has this number here")
        except BaseException:
            self._turn.release()
            raise
        self._context.metrics.add(table.RPC_BODY_BYTES, len(payload), "sent")
        return _PayloadResponse(payload, self._turn)


class _PayloadResponse(Response):
    """Gives the turn back once the payload is sent, or its client is gone."""

    def __init__(self, payload: bytes, turn: trio.Semaphore) -> None:
        super().__init__(payload, media_type="application/octet-stream")
        self._turn = turn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._turn.release()
