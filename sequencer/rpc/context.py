"""What every method and door works with: the service, the bounds, the metrics.

Responsible for: what doors share: a known namespace, how many calls may wait at once, and where answers are made.
Refuses to do: parse or encode.

Invariants:
1. At most WAITING_CALLS_MAX calls wait for a transaction at once, and at most TRANSACTIONS_WAITING_MAX transactions
   wait to be sealed; beyond that a call is refused as `overloaded`. Both bound memory over all clients. Places for
   transactions are divided between namespaces, those for calls between clients (`places.py`).
2. Pages of blocks that become answers, answers of batches that are being put together, and those that wait at a
   WebSocket take at most ANSWERS_BYTES_MAX together: a batch of small calls brings megabytes, and there may be hundreds
   of clients that read nothing.
3. At most HASHES_FOLLOWED_MAX transactions are followed by subscriptions, and the messages that came through WebSockets
   and are being worked on are bounded as bodies are.
4. An answer that grows with the content of blocks is made in a thread, at most ANSWERS_MADE_AT_ONCE_MAX at a time: a
   page of the smallest transactions takes hundreds of milliseconds.
"""

import copy
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Self, TypeVar

import trio

from consensus.numbers import NamespaceId
from consensus.vocabulary.batch import Items
from sequencer.client.fields import namespace_to_json
from sequencer.client.submission import SubmitOutcome
from sequencer.client.subscription_items import Kind
from sequencer.rpc.clients import UNKNOWN
from sequencer.rpc.errors import RequestRefused
from sequencer.rpc.options import (
    ANSWERS_BYTES_MAX,
    BODIES_BYTES_MAX_FACTOR,
    HASHES_FOLLOWED_MAX,
    TRANSACTIONS_WAITING_MAX,
    WAITING_CALLS_MAX,
    RpcOptions,
)
from sequencer.rpc.places import FairPlaces
from sequencer.rpc.service import Service
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics

ANSWERS_MADE_AT_ONCE_MAX = 2

_Value = TypeVar("_Value")
_Answer = TypeVar("_Answer")


class Context:
    """Shared by all requests of one server, but for `client`: who asks."""

    def __init__(self, service: Service, options: RpcOptions, metrics: Metrics) -> None:
        self.service = service
        self.options = options
        self.metrics = metrics
        self.client = UNKNOWN
        self._calls_waiting = FairPlaces(WAITING_CALLS_MAX)
        self._transactions_waiting = FairPlaces(TRANSACTIONS_WAITING_MAX, owner_count=len(service.chain.namespaces))
        self.hashes_followed = FairPlaces(HASHES_FOLLOWED_MAX)
        self.message_bytes = FairPlaces(options.request_bytes_max * BODIES_BYTES_MAX_FACTOR)
        self._answer_bytes = FairPlaces(ANSWERS_BYTES_MAX)
        self._subscription_counts: Counter[Kind] = Counter()
        self._making = trio.CapacityLimiter(ANSWERS_MADE_AT_ONCE_MAX)

    def for_client(self, client: str) -> Self:
        """The same, for what this client asks."""
        found = copy.copy(self)
        found.client = client
        return found

    def require_namespace(self, namespace: NamespaceId) -> None:
        """Raises `RequestRefused("unknown_namespace")` for one that is not registered."""
        if not self.service.is_namespace(namespace):
            raise RequestRefused("unknown_namespace", f"namespace {namespace_to_json(namespace)} is not registered")

    async def submit(self, door: str, namespace: NamespaceId, items: Items) -> SubmitOutcome:
        """Hands transactions in and returns when they are sealed; `door` names the method for the metric."""
        self.require_namespace(namespace)
        self.metrics.add(table.RPC_TRANSACTIONS, len(items), door)
        with self._transactions_waiting.taken(namespace, len(items)):
            return await self.service.submit(namespace, items, self.client)

    async def make_answer(self, make: Callable[[_Value], _Answer], value: _Value) -> _Answer:
        """A large answer's JSON shape or text, made in a thread."""
        return await trio.to_thread.run_sync(make, value, limiter=self._making)

    def count_subscriptions(self, kind: Kind, change: int) -> None:
        """Notes that there are more subscriptions of a kind, or fewer."""
        self._subscription_counts[kind] += change
        self.metrics.set(table.RPC_SUBSCRIPTIONS, self._subscription_counts[kind], kind.value)

    def call_waiting(self) -> AbstractContextManager[None]:
        """Holds a place for a call that waits. Raises `RequestRefused("overloaded")` if none is left."""
        return self._calls_waiting.taken(self.client, 1)

    def answer_held(self, byte_count: int) -> AbstractContextManager[None]:
        """Holds a place for an answer in memory. Raises `RequestRefused("overloaded")` if none is left."""
        return self._answer_bytes.taken(self.client, byte_count)
