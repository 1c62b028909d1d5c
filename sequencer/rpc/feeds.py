"""What all subscriptions are fed from: the node's news, each item made into JSON once, for whoever follows.

Responsible for: the ring of heads and that of evidence, one feed for each namespace that is followed, and how far every
rung of the ladder is.
Refuses to do: know subscribers, or WebSockets.

Invariants:
1. Nothing is read or encoded that nobody follows, and nothing twice while somebody does.
2. What the rings of namespaces keep is bounded together: FEEDS_BYTES_MAX, and the newest item of each.
3. What is read from the disk or grows with a block's content is read and encoded in threads.
4. A fault of the disk or a broken invariant that a feed meets goes to `crash`; nothing else ends a feed.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import msgspec
import structlog
import trio

from consensus.numbers import Height, NamespaceId, Seq
from sequencer.client.evidence_views import EvidenceView, evidence_to_json
from sequencer.client.status import Status
from sequencer.client.views import BlockView, block_to_json
from sequencer.rpc.context import Context
from sequencer.rpc.faults import find_fatal
from sequencer.rpc.namespace_feed import NamespaceFeed
from sequencer.rpc.ring import Ring
from sequencer.rpc.rungs import Rungs

FEEDS_BYTES_MAX = 256 * 1024 * 1024

_log = structlog.get_logger("rpc")


class Feeds:
    """One per server. Implements `sequencer.rpc.news.Listener`."""

    def __init__(self, context: Context, crash: Callable[[Exception], None]) -> None:
        """`crash` is told of an exception that must stop the node; it must not block."""
        self._context = context
        self._crash = crash
        options = context.options
        self._bounds = options.subscription_messages_max, options.subscription_bytes_max
        self._heads: Ring[Status] = Ring(*self._bounds)
        self._evidence: Ring[None] = Ring(*self._bounds)
        self._heads_count = 0
        self._next_head = Height(0)  # the next that is final
        self._evidence_count = 0
        self._namespaces: dict[NamespaceId, NamespaceFeed] = {}
        self._heads_scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self.rungs = Rungs(context.service.sync_status())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Feeds until the block ends. What the block raises comes out as it is."""
        errors: list[Exception] = []
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                yield
            except Exception as error:  # noqa: BLE001 - raised again below, out of the nursery's group
                errors.append(error)
            nursery.cancel_scope.cancel()
        if errors:
            raise errors[0]

    # what the node tells

    def note_ordered(self, blocks: Sequence[BlockView], ends: tuple[Seq, ...]) -> None:
        """See `Listener`."""
        if not blocks:
            return
        self.rungs.ordered_height, self.rungs.ordered_ends = blocks[-1].height, ends
        if self._heads_count:
            for block in blocks:
                self._heads.append(_encode_block(block), Status.ORDERED)
        self.rungs.wake()

    def note_executed(self, height: Height) -> None:
        """See `Listener`."""
        self.rungs.executed_height = height
        self.rungs.wake()

    def note_attested(self, height: Height) -> None:
        """See `Listener`."""
        self.rungs.attested_height = height
        self.rungs.wake()

    def note_l1(self, posted: Height, settled: Height) -> None:
        """See `Listener`."""
        self.rungs.posted_height, self.rungs.settled_height = posted, settled
        self.rungs.wake()

    def note_evidence(self, evidence: EvidenceView) -> None:
        """See `Listener`."""
        if self._evidence_count:
            self._evidence.append(_encode(evidence_to_json(evidence)), None)

    # following

    @contextmanager
    def heads(self) -> Iterator[Ring[Status]]:
        """The ring of blocks, each tagged with its status: `ordered` from now on, `final` from the next height on."""
        if not self._heads_count:
            self._next_head = Height(self.rungs.executed_height + 1)
            self._heads_scope = self._start(self._feed_final_heads)
        self._heads_count += 1
        try:
            yield self._heads
        finally:
            self._heads_count -= 1
            if not self._heads_count:
                self._heads_scope.cancel()

    @contextmanager
    def evidence(self) -> Iterator[Ring[None]]:
        """The ring of proofs of faults, from now on."""
        self._evidence_count += 1
        try:
            yield self._evidence
        finally:
            self._evidence_count -= 1

    @contextmanager
    def namespace(self, namespace: NamespaceId, *, proofs: bool) -> Iterator[NamespaceFeed]:
        """The feed of a namespace, with proofs if somebody wants them."""
        feed = self._namespaces.get(namespace)
        if feed is None:
            feed = self._namespaces[namespace] = NamespaceFeed(self._context, namespace, Ring(*self._bounds))
            feed.scope = self._start(lambda: feed.run(self.rungs))
            self._share()
        feed.follower_count += 1
        feed.proofs_wanted_count += proofs
        if proofs and feed.proofs_wanted_count == 1:
            self.rungs.wake()  # what is in the ring already is to be proved now, whether or not the chain moves
        try:
            yield feed
        finally:
            feed.follower_count -= 1
            feed.proofs_wanted_count -= proofs
            if not feed.follower_count:
                feed.scope.cancel()
                del self._namespaces[namespace]
                self._share()

    def _share(self) -> None:
        """Gives every namespace's ring its part of the room."""
        bytes_max = min(self._bounds[1], FEEDS_BYTES_MAX // max(1, len(self._namespaces)))
        for feed in self._namespaces.values():
            feed.ring.bytes_max = bytes_max

    def _start(self, feed: Callable[[], Awaitable[None]]) -> trio.CancelScope:
        if self._nursery is None:
            raise RuntimeError("feeds are followed while they run")
        scope = trio.CancelScope()
        self._nursery.start_soon(self._run_feed, feed, scope)
        return scope

    async def _run_feed(self, feed: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
        with scope:
            while True:
                try:
                    await feed()
                except Exception as error:  # noqa: BLE001 - one feed's fault is not that of the others
                    fatal = find_fatal(error)
                    if fatal is not None:
                        self._crash(fatal)
                        return
                    _log.exception("feed_failed")
                    await self.rungs.until_moved()

    async def _feed_final_heads(self) -> None:
        while True:
            while self._next_head <= self.rungs.executed_height:
                block = await self._context.service.block(self._next_head)
                if block is not None:
                    self._heads.append(await self._context.make_answer(_encode_block, block), Status.FINAL)
                self._next_head = Height(self._next_head + 1)
            await self.rungs.until_moved()


def _encode_block(block: BlockView) -> str:
    return _encode(block_to_json(block))


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()
