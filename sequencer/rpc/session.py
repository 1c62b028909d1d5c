"""One client's WebSocket: its subscriptions, and the one way on which everything goes out to it.

Responsible for: sending whole messages in turn, counting, starting and ending subscriptions, and what a client is told
when one fails.
Refuses to do: read what the client sends (`web_socket.py`), or know the kinds (`subscriptions.py`).

Invariants:
1. One message is on its way to a client and one more is ready; an item is taken from its feed only then. A client that
   never reads costs these two, one page of old blocks, and a position per subscription.
   Of answers to its calls at most BATCH_ANSWER_BYTES_MAX are not sent, and one more, and of all clients' what `Context`
   allows.
2. A subscription's answer is sent before its first item.
3. A message that has begun to be sent is sent whole, whatever becomes of its subscription: only the writer writes.
4. A subscriber that has fallen behind is told so, with where to go on, and its connection is closed.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import msgspec
import structlog
import trio
from starlette.types import Message, Send

from sequencer.client.fields import JsonObject
from sequencer.client.subscription_items import Kind
from sequencer.rpc.context import Context
from sequencer.rpc.errors import RequestRefused, error_object
from sequencer.rpc.faults import find_fatal
from sequencer.rpc.feeds import Feeds
from sequencer.rpc.options import BATCH_ANSWER_BYTES_MAX, CLOSE_SECONDS_MAX
from sequencer.rpc.ring import FellBehind
from sequencer.telemetry import table

POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1
TRY_AGAIN_LATER = 1013  # in the registry of that RFC

_log = structlog.get_logger("rpc")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client subscribes to: checked, and ready to run."""

    kind: Kind
    follow: "Callable[[Subscription], Awaitable[None]]"
    hash_count: int = 0


@dataclass(eq=False, slots=True)
class Subscription:
    """One subscription, as what feeds it sees it."""

    id: str
    wanted: Wanted
    session: "Session"
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    places: ExitStack = field(default_factory=ExitStack)
    resume: JsonObject | None = None  # where to go on should it end here

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
        """Waits until it may send; gives what sends items, each its JSON text."""
        async with self.session.turn:
            yield self._send_item

    async def send(self, text: str) -> None:
        """Sends one item."""
        async with self.turn() as send:
            await send(text)

    async def _send_item(self, text: str) -> None:
        kind = self.wanted.kind.value
        self.session.metrics.add(table.RPC_NOTIFICATIONS, 1, kind)
        self.session.metrics.add(table.RPC_NOTIFICATION_BYTES, len(text), kind)
        await self.session.send_in_turn(
            f'{{"jsonrpc":"2.0","method":"seq_subscription","params":{{"subscription":"{self.id}","result":{text}}}}}'
        )


class Session:
    """See the module's invariants. Its tasks are in `running`."""

    def __init__(self, context: Context, feeds: Feeds, send: Send) -> None:
        self.feeds = feeds
        self.metrics = context.metrics
        self.turn = trio.Lock()
        self.catching_up = trio.Lock()  # held by the one subscription that has a page of old blocks in memory
        self.gone = trio.Event()  # the client has closed, or its connection is lost
        self._context = context
        self._send = send
        self._outgoing, self._waiting = trio.open_memory_channel[tuple[Message, ExitStack]](0)
        self._subscriptions: dict[str, Subscription] = {}
        self._number = 0
        self._answer_bytes = 0  # of answers that are not sent yet
        self._nursery: trio.Nursery | None = None

    async def run(self, read: Callable[[trio.Nursery], Awaitable[None]]) -> None:
        """Serves the client until it is gone, or closed for a fault of its own. `read` is what it sends."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(read, nursery)
                nursery.start_soon(self._write)
                await self.gone.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._nursery = None
            for subscription in list(self._subscriptions.values()):
                self._forget(subscription, "closed")

    # sending

    async def _write(self) -> None:
        async for message, held in self._waiting:
            with held:
                await self._send(message)
            if message["type"] == "websocket.close":
                break
        with trio.move_on_after(CLOSE_SECONDS_MAX):
            await self.gone.wait()
        self.gone.set()

    async def send_in_turn(self, text: str) -> None:
        """Hands one message to the writer; the caller holds `turn`."""
        await self._outgoing.send(({"type": "websocket.send", "text": text}, ExitStack()))

    async def answer(self, answer: bytes) -> None:
        """Sends an answer. Closes instead if too many of them wait to be read."""
        held = ExitStack()
        try:
            held.enter_context(self._answer_held(len(answer)))
        except RequestRefused:
            del answer
            await self.close(TRY_AGAIN_LATER, "answers are not read")
            return
        try:
            async with self.turn:
                await self._outgoing.send(({"type": "websocket.send", "text": answer.decode()}, held))
        except BaseException:
            held.close()  # else the writer does, once it is sent
            raise

    @contextmanager
    def _answer_held(self, byte_count: int) -> Iterator[None]:
        if self._answer_bytes > BATCH_ANSWER_BYTES_MAX:
            raise RequestRefused("overloaded")
        with self._context.answer_held(byte_count):
            self._answer_bytes += byte_count
            try:
                yield
            finally:
                self._answer_bytes -= byte_count

    async def close(self, code: int, reason: str) -> None:
        """Says goodbye; nothing is sent afterwards."""
        async with self.turn:
            await self._outgoing.send(({"type": "websocket.close", "code": code, "reason": reason}, ExitStack()))

    # subscriptions

    def subscribe(self, wanted: Wanted) -> Subscription:
        """A new subscription; `begin` starts it. Raises `RequestRefused`."""
        if len(self._subscriptions) >= self._context.options.subscriptions_max:
            most = self._context.options.subscriptions_max
            raise RequestRefused("too_many_subscriptions", f"one connection has at most {most} subscriptions")
        self._number += 1
        subscription = Subscription(hex(self._number), wanted, self)
        subscription.places.enter_context(self._context.hashes_followed.taken(self._context.client, wanted.hash_count))
        self._subscriptions[subscription.id] = subscription
        self._context.count_subscriptions(wanted.kind, 1)
        return subscription

    def begin(self, subscription: Subscription) -> None:
        """Starts it, once its answer is sent."""
        if self._nursery is not None and subscription.id in self._subscriptions:
            self._nursery.start_soon(self._run, subscription)

    def unsubscribe(self, identity: str) -> None:
        """Ends a subscription: nothing of it is sent afterwards. Raises `RequestRefused`."""
        subscription = self._subscriptions.get(identity)
        if subscription is None:
            raise RequestRefused("unknown_subscription", f"no subscription {identity[:32]!r} on this connection")
        self._forget(subscription, "unsubscribed")

    def _forget(self, subscription: Subscription, reason: str) -> None:
        if self._subscriptions.pop(subscription.id, None) is None:
            return
        subscription.scope.cancel()
        subscription.places.close()
        self._context.count_subscriptions(subscription.wanted.kind, -1)
        self.metrics.add(table.RPC_SUBSCRIPTIONS_ENDED, 1, reason)

    async def _run(self, subscription: Subscription) -> None:
        failures: list[RequestRefused] = []
        with subscription.scope:
            failures.append(await self._follow(subscription))
        if not failures or subscription.id not in self._subscriptions:  # unsubscribed
            return
        (refused,) = failures
        self._forget(subscription, refused.reason)
        await self._tell(subscription, refused)
        if refused.reason == "subscriber_too_slow":
            await self.close(POLICY_VIOLATION, refused.reason)

    async def _follow(self, subscription: Subscription) -> RequestRefused:
        """Runs it until it fails; why it did."""
        try:
            await subscription.wanted.follow(subscription)
        except FellBehind:
            return RequestRefused("subscriber_too_slow")
        except RequestRefused as refused:
            return refused
        except Exception as error:
            if find_fatal(error) is not None:
                raise
            _log.exception("subscription_failed", kind=subscription.wanted.kind.value)
        return RequestRefused("internal")

    async def _tell(self, subscription: Subscription, refused: RequestRefused) -> None:
        """Tells the client why a subscription ends, and where to go on."""
        error = error_object(refused)
        data = error["data"]
        if isinstance(data, dict):
            data["resume"] = subscription.resume
        params = {"subscription": subscription.id, "error": error}
        async with self.turn:
            await self.send_in_turn(
                msgspec.json.encode({"jsonrpc": "2.0", "method": "seq_subscription", "params": params}).decode()
            )


class Caller:
    """Who sent one message: what its calls subscribe to begins once the message is answered."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._new: list[Subscription] = []

    @property
    def feeds(self) -> Feeds:
        """What subscriptions are fed from."""
        return self._session.feeds

    def subscribe(self, wanted: Wanted) -> str:
        """See `Session.subscribe`; the new subscription's id."""
        subscription = self._session.subscribe(wanted)
        self._new.append(subscription)
        return subscription.id

    def unsubscribe(self, identity: str) -> None:
        """See `Session.unsubscribe`."""
        self._session.unsubscribe(identity)

    def begin(self) -> None:
        """The answer is sent."""
        for subscription in self._new:
            self._session.begin(subscription)
