"""The WebSocket door: `GET /ws` is JSON-RPC as at `POST /`, and subscriptions.

Responsible for: who may open one, how many there are, how fast their messages are worked on, and how they end.
Refuses to do: know methods (`json_rpc.py`), subscriptions (`session.py`), or frames (`web_socket_stream.py`).

Invariants:
1. At most `web_sockets_max` are open, of one client at most half of those that others leave; one more is refused with
   503 before it is. Its place is taken before anything waits: many handshakes come in one turn of the event loop.
2. A web page may open one only if its origin is configured: a browser sends no preflight for a WebSocket, so any page
   could otherwise use a node on its reader's machine.
3. At most CALLS_AT_ONCE_MAX messages of a client are worked on, and MESSAGES_PER_SECOND read; the rest waits unread.
4. When the server stops, a client is told so (1001), within CLOSE_SECONDS_MAX.
"""

from contextlib import ExitStack

import msgspec
import trio
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from sequencer.rpc.clients import client_of
from sequencer.rpc.connection import STATE_KEY
from sequencer.rpc.context import Context
from sequencer.rpc.errors import RequestRefused, error_object
from sequencer.rpc.feeds import Feeds
from sequencer.rpc.json_rpc import JsonRpc, error_answer
from sequencer.rpc.options import (
    CALLS_AT_ONCE_MAX,
    CLOSE_SECONDS_MAX,
    MESSAGES_PER_SECOND,
    SILENCE_SECONDS_MAX,
)
from sequencer.rpc.pace import Pace
from sequencer.rpc.places import FairPlaces
from sequencer.rpc.session import Caller, Session
from sequencer.telemetry import table

PATH = "/ws"
GOING_AWAY = 1001  # RFC 6455 §7.4.1


class WebSocketDoor:
    """Serves WebSockets; an ASGI application. One per server."""

    def __init__(self, context: Context, feeds: Feeds, json_rpc: JsonRpc) -> None:
        self._context = context
        self._feeds = feeds
        self._json_rpc = json_rpc
        self._open_count = 0
        self._places = FairPlaces(context.options.web_sockets_max + 1)  # half is rounded up: one place is one client's

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The endpoint."""
        with ExitStack() as place:
            refused = self._take_place(scope, place)
            await receive()  # websocket.connect
            if refused is not None:
                await _deny(refused, scope, receive, send)
                return
            self._count(1)
            place.callback(self._count, -1)
            await self._serve(scope, receive, send)

    def _take_place(self, scope: Scope, place: ExitStack) -> RequestRefused | None:
        """Holds a place until `place` is closed; or why there is none."""
        origins = [value.decode("latin1") for name, value in scope["headers"] if name.lower() == b"origin"]
        allowed = self._context.options.origins
        if "*" not in allowed and any(origin not in allowed for origin in origins):
            return RequestRefused("forbidden_origin")
        try:
            place.enter_context(self._places.taken(client_of(scope), 1))
        except RequestRefused as refused:
            return refused
        return None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][STATE_KEY].become_web_socket(SILENCE_SECONDS_MAX)
        await send({"type": "websocket.accept"})
        client = client_of(scope)
        context = self._context.for_client(client)
        session = Session(context, self._feeds, send)
        connection = _Connection(context, self._json_rpc.for_client(client), session, receive)
        try:
            await session.run(connection.read)
        finally:
            if not session.gone.is_set():
                with trio.CancelScope(deadline=trio.current_time() + CLOSE_SECONDS_MAX, shield=True):
                    await send({"type": "websocket.close", "code": GOING_AWAY, "reason": "stopping"})

    def _count(self, change: int) -> None:
        self._open_count += change
        self._context.metrics.set(table.RPC_WEB_SOCKETS, self._open_count)


class _Connection:
    """What comes through one WebSocket."""

    def __init__(self, context: Context, json_rpc: JsonRpc, session: Session, receive: Receive) -> None:
        self._context = context
        self._json_rpc = json_rpc
        self._session = session
        self._receive = receive

    async def read(self, nursery: trio.Nursery) -> None:
        """Reads until the client is gone; answers in `nursery`."""
        pace, places = Pace(MESSAGES_PER_SECOND), trio.Semaphore(CALLS_AT_ONCE_MAX)
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._session.gone.set()
                return
            await pace.take()
            await places.acquire()
            nursery.start_soon(self._answer, _body(message), places)

    async def _answer(self, body: bytes, places: trio.Semaphore) -> None:
        caller = Caller(self._session)
        try:
            answer = await self._make_answer(body, caller)
            if answer is not None:
                self._context.metrics.add(table.RPC_BODY_BYTES, len(answer), "sent")
                await self._session.answer(answer)
        finally:
            places.release()
        caller.begin()

    async def _make_answer(self, body: bytes, caller: Caller) -> bytes | None:
        self._context.metrics.add(table.RPC_BODY_BYTES, len(body), "received")
        try:
            with self._context.message_bytes.taken(self._context.client, len(body)):
                return await self._json_rpc.answer(body, caller)
        except RequestRefused as refused:
            return error_answer(None, refused)


def _body(message: Message) -> bytes:
    """A message's bytes; JSON comes as text or binary."""
    text = message.get("text")
    return bytes(message["bytes"]) if text is None else str(text).encode()


async def _deny(refused: RequestRefused, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers the handshake with an HTTP error."""
    body = msgspec.json.encode({"error": error_object(refused)})
    response = Response(body, refused.entry.http_status, media_type="application/json")
    await response(scope, receive, send)
