"""Subscriptions of a client: one WebSocket each, opened again when it is lost.

Responsible for: subscribing, items one by one, and going on after a lost connection.
Refuses to do: judge items, or know where to go on: whoever follows says so at each opening.

Invariants:
1. Every error is a `ClientError`. A lost connection is one only if no node takes the subscription again within
   REOPENING_SECONDS_MAX, and at the first opening if every node that is reached has let it go. A node that has brought
   nothing since it was opened is asked only after all others.
2. What was subscribed to is subscribed to with a fresh filter each time: items sent in between come or do not come as
   the kind promises.
"""

from collections.abc import Callable
from typing import Any, Self

import msgspec
import trio

from sequencer.client.answers import read_envelope, refusal_of
from sequencer.client.errors import MalformedAnswer, NodeUnreachable, NoSubscriptions, RequestRefused
from sequencer.client.fields import Fields, parse_json
from sequencer.client.subscription_items import Kind
from sequencer.client.transport import Transport
from sequencer.client.web_socket import WebSocket

REOPENING_SECONDS_MAX = 60.0
REOPENING_DELAY_S_MIN = 0.05
REOPENING_DELAY_S_MAX = 2.0
_REQUEST_ID = 1


class SubscribedItems:
    """The items of one subscription, for ever."""

    def __init__(self, transport: Transport, kind: Kind, make_filter: Callable[[], dict[str, Any]]) -> None:
        """`make_filter` is asked at each opening."""
        self._transport = transport
        self._kind = kind
        self._make_filter = make_filter
        self._socket: WebSocket | None = None
        self._identity = ""
        self._was_open = False
        self._brings_items = False

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first item is asked for."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Closes it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Ends the subscription; the next item that is asked for opens it anew."""
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.aclose()

    async def next(self) -> Any:
        """The next item, a plain JSON value. Raises `ClientError`; may be called again after it."""
        lost_at_s: float | None = None
        left_count = 0
        delay_s = REOPENING_DELAY_S_MIN
        while True:
            try:
                socket = self._socket or await self._open()
                item = self._read_item(await socket.receive())
            except (NodeUnreachable, RequestRefused) as error:
                was_reached = self._socket is not None
                await self._leave()
                if isinstance(error, RequestRefused) and error.reason != "subscriber_too_slow":
                    raise
                left_count += was_reached
                lost_at_s = trio.current_time() if lost_at_s is None else lost_at_s
                if self._was_open and trio.current_time() - lost_at_s > REOPENING_SECONDS_MAX:
                    raise
                if not self._was_open and (not was_reached or left_count >= self._transport.node_count):
                    raise
            except BaseException:
                await self.aclose()
                raise
            else:
                self._brings_items = True
                return item
            await trio.sleep(delay_s)
            delay_s = min(2 * delay_s, REOPENING_DELAY_S_MAX)

    async def _leave(self) -> None:
        """Closes it; asks the other nodes first if this one took the connection and brought nothing."""
        if self._socket is not None and not self._brings_items:
            self._transport.distrust_first()
        await self.aclose()

    async def _open(self) -> WebSocket:
        self._socket = socket = await self._transport.open_web_socket()
        self._brings_items = False
        request = {
            "jsonrpc": "2.0",
            "id": _REQUEST_ID,
            "method": "seq_subscribe",
            "params": [self._kind.value, self._make_filter()],
        }
        await socket.send(msgspec.json.encode(request).decode())
        with trio.move_on_after(self._transport.timeout_s) as scope:
            answer = await socket.receive()
        if scope.cancelled_caught:
            raise NodeUnreachable("no answer to a subscription")
        try:
            identity = read_envelope(_parse(answer), _REQUEST_ID)
        except RequestRefused as refused:
            if refused.reason == "unknown_method":
                raise NoSubscriptions(str(refused)) from refused
            raise
        if not isinstance(identity, str):
            raise MalformedAnswer("a subscription's id is a string")
        self._identity = identity
        self._was_open = True
        return socket

    def _read_item(self, text: str) -> Any:
        fields = _parse(text)
        fields.constant("method", "seq_subscription")
        params = fields.object("params")
        params.constant("subscription", self._identity)
        if "error" in params:
            raise refusal_of(params.object("error"))
        return params["result"]


def _parse(text: str) -> Fields:
    try:
        return Fields(parse_json(text.encode()), "message")
    except ValueError as error:
        raise MalformedAnswer("a message that is not JSON") from error
