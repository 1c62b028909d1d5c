"""Sends a load to a network and sees what becomes of it.

Responsible for: sending when due, following a part of the requests up to `final`, going to another node when one is
away, and counting all of it.
Refuses to do: start or watch nodes, print, or stop for a node that refuses.

Invariants:
1. An open loop never waits for an answer before it sends what is due; what it cannot send since too much is unanswered
   is counted as `unsent`, never sent late in silence.
2. What waits here is bounded: `requests_max` requests and `followers_max` followers.
3. A request that nobody answered goes to the next node, once per node; then it has failed. Its time counts from when it
   was due.
"""

import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random

import trio

from consensus.numbers import NamespaceId
from consensus.vocabulary.batch import KIND_OPEN, transaction_id
from sequencer.client.status import LADDER, Status
from sequencer.load.answers import Taken, read_taken
from sequencer.load.errors import Unanswered
from sequencer.load.http import Answer, NodeConnections
from sequencer.load.plan import LoadPlan, Payloads
from sequencer.load.record import LoadRecord

_FAST_DOOR = (("content-type", "application/octet-stream"), ("accept", "application/octet-stream"))
_JSON = (("content-type", "application/json"),)
_PAUSE_S = 0.1  # of a closed-loop client that was refused or not answered
_AWAY_S = 1.0  # a node that did not answer is left alone for so long
_ROUND_S = 10.0  # a longer wait is asked for in rounds
_OTHERS_ROUND_S = 0.5  # of nodes that may never know it
_GRACE_S = 5.0
_RANKS = {status.value: rank for rank, status in enumerate(LADDER)}

OnAnswer = Callable[[str, int, bytes, Answer], None]  # node, namespace, first transaction, answer with receipts


class Generator:
    """One load on one network, from outside: through the RPC addresses alone."""

    def __init__(self, plan: LoadPlan, random: Random, on_answer: OnAnswer | None = None) -> None:
        """Raises `PlanFault`. `on_answer` is told of every answer that took something."""
        self.plan = plan.check()
        self.record = LoadRecord(plan.warm_up_s, plan.seconds)
        self._nodes = {url: NodeConnections(url) for url in plan.urls}
        self._payloads = Payloads(random)
        self._on_answer = on_answer
        self._start = 0.0
        self._requests = 0
        self._followers = 0
        self._sent_number = 0
        self._away_until: dict[str, float] = {}

    async def run(self) -> LoadRecord:
        """Returns once everything that was sent is answered and followed."""
        async with self._open(), trio.open_nursery() as nursery:
            self._start = trio.current_time()
            if self.plan.rate is None:
                for _ in range(self.plan.clients):
                    nursery.start_soon(self._closed_loop, nursery)
            else:
                await self._open_loop(nursery, self.plan.rate)
        return self.record

    async def one_by_one(self, count: int, pause_s: float = 0.05) -> LoadRecord:
        """One request at a time, each followed to final: what an idle network answers."""
        async with self._open():
            self._start = trio.current_time()
            for number in range(count):
                async with trio.open_nursery() as followers:
                    await self._request(number, trio.current_time(), followers)
                await trio.sleep(pause_s)
        return self.record

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for node in self._nodes.values():
                await stack.enter_async_context(node)
            yield

    def _now_s(self) -> float:
        return trio.current_time() - self._start

    # when to send

    async def _open_loop(self, nursery: trio.Nursery, rate: float) -> None:
        interval_s = self.plan.items / rate
        for number in range(int(self.plan.seconds / interval_s)):
            due_at = self._start + number * interval_s
            await trio.sleep_until(due_at)
            self.record.note("due", due_at - self._start, self.plan.items)
            if self._requests >= self.plan.requests_max:
                self.record.note("unsent", due_at - self._start, self.plan.items)
                continue
            self._requests += 1
            nursery.start_soon(self._due_request, number, due_at, nursery)

    async def _due_request(self, number: int, due_at: float, nursery: trio.Nursery) -> None:
        try:
            await self._request(number, due_at, nursery)
        finally:
            self._requests -= 1

    async def _closed_loop(self, nursery: trio.Nursery) -> None:
        while self._now_s() < self.plan.seconds:
            self._sent_number += 1
            now = trio.current_time()
            self.record.note("due", now - self._start, self.plan.items)
            if not await self._request(self._sent_number, now, nursery):
                await trio.sleep(_PAUSE_S)

    # one request

    async def _request(self, number: int, due_at: float, nursery: trio.Nursery) -> bool:
        """Whether anything was taken."""
        plan, record = self.plan, self.record
        first_url, namespace = plan.place(number)
        body, first, last = self._payloads.body(plan.items, plan.size)
        record.note("sent", due_at - self._start, plan.items)
        answered = await self._send(self._in_turn(first_url), namespace, body)
        now_s = self._now_s()
        if answered is None:
            record.note("failed", now_s, plan.items)
            return False
        url, answer, taken = answered
        if url != first_url:
            record.note("moved", now_s, plan.items)
        for reason, count in taken.refused.items():
            record.refused[reason] += count
            record.note("refused", now_s, count)
        if not taken.count:
            return False
        record.note("received", now_s, taken.count)
        record.latency("received", due_at - self._start, trio.current_time() - due_at)
        if self._on_answer is not None:
            self._on_answer(url, namespace, first, answer)
        if number % plan.follow_every == 0 and taken.last_is_taken:
            tx_hash = f"0x{transaction_id(NamespaceId(namespace), KIND_OPEN, last).hex()}"
            self._start_following(nursery, url, tx_hash, due_at, taken.count)
        return True

    async def _send(self, urls: Sequence[str], namespace: int, body: bytes) -> tuple[str, Answer, Taken] | None:
        path = f"/v1/namespaces/{namespace}/transactions"
        for url in urls:
            try:
                answer = await self._nodes[url].ask("POST", path, _FAST_DOOR, body)
                return url, answer, read_taken(answer, self.plan.items)
            except Unanswered as error:
                self.record.failed[error.kind] += 1
                self._away_until[url] = trio.current_time() + _AWAY_S
        return None

    def _in_turn(self, first: str) -> list[str]:
        """All nodes from `first` on; those that did not answer a moment ago come last."""
        urls = list(self.plan.urls)
        place = urls.index(first)
        turned = urls[place:] + urls[:place]
        now = trio.current_time()
        return sorted(turned, key=lambda url: self._away_until.get(url, 0.0) > now)

    # following

    def _start_following(self, nursery: trio.Nursery, url: str, tx_hash: str, due_at: float, count: int) -> None:
        if self._followers >= self.plan.followers_max:
            self.record.note("unfollowed", due_at - self._start, count)
            return
        self._followers += 1
        nursery.start_soon(self._follow, url, tx_hash, due_at, count)

    async def _follow(self, url: str, tx_hash: str, due_at: float, count: int) -> None:
        deadline = trio.current_time() + self.plan.wait_s
        try:
            for rung in (Status.ORDERED, Status.FINAL):
                is_reached = await self._wait(url, tx_hash, rung, deadline)
                self.record.latency(rung.value, due_at - self._start, trio.current_time() - due_at)
                if not is_reached:
                    self.record.note("unresolved", self._now_s(), count)
                    return
                self.record.note(rung.value, self._now_s(), count)
        finally:
            self._followers -= 1

    async def _wait(self, url: str, tx_hash: str, rung: Status, deadline: float) -> bool:
        """Asks the author, and while it is away the others, which know the transaction only if they index it."""
        turn = itertools.cycle(self._in_turn(url))
        asked = next(turn)
        while (left_s := deadline - trio.current_time()) > 0:
            status, round_s = None, min(left_s, _ROUND_S if asked == url else _OTHERS_ROUND_S)
            try:
                status = await self._ask_status(self._nodes[asked], tx_hash, rung, round_s)
            except Unanswered as error:
                self.record.failed[error.kind] += 1
                self._away_until[asked] = trio.current_time() + _AWAY_S
            if _RANKS.get(status or "", -1) >= _RANKS[rung.value]:
                return True
            if status in {Status.EXPIRED.value, Status.REFUSED.value}:
                return False
            if status is None or asked != url:
                asked = next(turn)
            await trio.sleep(_PAUSE_S)
        return False

    @staticmethod
    async def _ask_status(node: NodeConnections, tx_hash: str, rung: Status, wait_s: float) -> str | None:
        """The status once it is `rung`, or after `wait_s`; None if the node does not say. Raises `Unanswered`."""
        params = {"hash": tx_hash, "status": rung.value, "timeout_ms": max(100, int(wait_s * 1e3))}
        call = {"jsonrpc": "2.0", "id": 1, "method": "seq_waitForTransaction", "params": params}
        answer = await node.ask("POST", "/", _JSON, json.dumps(call).encode(), timeout_s=wait_s + _GRACE_S)
        with suppress(ValueError, KeyError, TypeError):
            return str(json.loads(answer.body)["result"]["status"])
        return None
