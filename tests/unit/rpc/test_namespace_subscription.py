"""Old and new blocks join: whatever comes between, a subscriber gets each part once and every proof in its place."""

import random
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from consensus.numbers import NamespaceIndex
from sequencer.client.subscription_items import Kind
from sequencer.rpc.context import Context
from sequencer.rpc.feeds import Feeds
from sequencer.rpc.namespace_subscription import NamespaceSubscription
from sequencer.rpc.options import RpcOptions
from sequencer.rpc.ring import FellBehind
from sequencer.rpc.session import Session, Subscription, Wanted
from sequencer.telemetry.metrics import Metrics
from tests.committee import FIRST, Committee
from tests.integration.rpc.fake_service import FakeService
from tests.integration.rpc.web_sockets import GrowingChain

COMMITTEE = Committee()


class Stage:
    """A service in memory, feeds, and subscribers whose items are kept; all waits are as random as the seed says."""

    def __init__(self, seed: int, *, messages_max: int = 1_000) -> None:
        self.random = random.Random(seed)
        self.service = FakeService(COMMITTEE)
        self.service.heights = (0, 0, 0, 0, 0)
        self._page = self.service.namespace_blocks
        self.service.namespace_blocks = self._dawdle_and_read  # type: ignore[method-assign, assignment]
        options = RpcOptions(port=0, subscription_messages_max=messages_max)
        self.context = Context(self.service, options, Metrics("test"))
        self.feeds = Feeds(self.context, self._crash)
        self.service.listen(self.feeds)
        self.chain = GrowingChain(self.service)

    def _crash(self, error: Exception) -> None:
        raise error

    async def dawdle(self) -> None:
        for _ in range(self.random.randrange(4)):
            await trio.lowlevel.checkpoint()

    async def _dawdle_and_read(self, *arguments: Any) -> Any:
        await self.dawdle()
        found = await self._page(*arguments)
        await self.dawdle()
        return found

    async def follow(self, from_index: int, items: list[dict[str, Any]]) -> None:
        async def send(message: Any) -> None:
            await self.dawdle()
            items.append(msgspec.json.decode(message["text"])["params"]["result"])

        session = Session(self.context, self.feeds, send)

        async def read(_nursery: trio.Nursery) -> None:
            subscription = Subscription("0x1", Wanted(Kind.NAMESPACE, self._nothing), session)
            with self.feeds.namespace(FIRST, proofs=True) as feed:
                index = NamespaceIndex(from_index)
                await NamespaceSubscription(
                    self.context, self.feeds.rungs, feed, subscription, FIRST, index, proofs=True
                ).run()

        await session.run(read)

    async def _nothing(self, _subscription: Subscription) -> None:
        raise AssertionError("not called")


def check(items: list[dict[str, Any]], from_index: int, count: int) -> bool:
    """Asserts that what has come is right; whether it is all."""
    next_index, next_run, proved = from_index, 0, from_index - 1
    for item in items:
        if item["block"] is not None:
            block = item["block"]
            assert (block["index"], block["first_run"]) == (next_index, next_run)
            next_run += len(block["sections"][0]["runs"])
            if next_run == block["run_count"]:
                next_index, next_run = next_index + 1, 0
        else:
            index = item["proof"]["leaf"]["index"]
            assert proved < index < next_index
            proved = index
    return next_index == count and proved == count - 1


@pytest.mark.parametrize("seed", range(12))
async def test_nothing_is_left_out_or_told_twice(seed, monkeypatch):
    for place in ("namespace_feed", "namespace_subscription"):
        monkeypatch.setattr(f"sequencer.rpc.{place}.SUBSCRIPTION_PAGE_BLOCKS", 1 + seed % 3)
        monkeypatch.setattr(f"sequencer.rpc.{place}.SUBSCRIPTION_PAGE_BYTES", 1 if seed % 2 else 1_000)
    stage = Stage(seed)
    told: list[tuple[int, list[dict[str, Any]]]] = []
    count = 0

    def grow() -> None:
        nonlocal count
        lanes = stage.random.randrange(1, 4)
        batches = {lane: stage.chain.run.data(lane, b"%d.%d" % (count, lane))[lane] for lane in range(lanes)}
        stage.chain.add_batches(batches, attested=stage.random.random() < 0.4)
        count += 1

    for _ in range(stage.random.randrange(6)):
        grow()
    async with stage.feeds.running(), trio.open_nursery() as nursery:
        for _ in range(20):
            if len(told) < 6:
                from_index = stage.random.randrange(count + 2)
                told.append((from_index, []))
                nursery.start_soon(stage.follow, *told[-1])
            await stage.dawdle()
            grow()
            await stage.dawdle()
        stage.chain.add(attested=True)
        for _ in range(2):  # the second time nothing new comes: what is old is proved all the same
            with trio.fail_after(20):
                while not all(check(items, from_index, count) for from_index, items in told):  # noqa: ASYNC110
                    await trio.sleep(0.001)
            for from_index in (0, count - 1):
                told.append((from_index, []))
                nursery.start_soon(stage.follow, *told[-1])
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("from_index", [0, 1, 2])
async def test_the_first_who_wants_proofs_gets_them_of_what_others_followed_without(from_index):
    stage = Stage(1)
    items: list[dict[str, Any]] = []
    async with stage.feeds.running(), trio.open_nursery() as nursery:
        with stage.feeds.namespace(FIRST, proofs=False) as feed:
            await trio.testing.wait_all_tasks_blocked()
            for index in range(3):
                stage.chain.add(b"%d" % index)
            stage.chain.add(attested=True)
            while feed.next_index < 3:  # noqa: ASYNC110 - a thread encodes
                await trio.sleep(0.001)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(stage.follow, from_index, items)
            with trio.fail_after(5):
                while not check(items, from_index, 3):  # noqa: ASYNC110
                    await trio.sleep(0.001)
        nursery.cancel_scope.cancel()


async def test_one_that_was_live_and_fell_behind_is_told():
    stage = Stage(1, messages_max=4)
    async with stage.feeds.running():
        gate = trio.Lock()
        items: list[str] = []

        async def send(message: Any) -> None:
            async with gate:
                items.append(message["text"])

        session = Session(stage.context, stage.feeds, send)
        failed: list[dict[str, object] | None] = []

        async def read(_nursery: trio.Nursery) -> None:
            subscription = Subscription("0x1", Wanted(Kind.NAMESPACE, stage._nothing), session)
            with stage.feeds.namespace(FIRST, proofs=False) as feed:
                following = NamespaceSubscription(
                    stage.context, stage.feeds.rungs, feed, subscription, FIRST, NamespaceIndex(0), proofs=False
                )
                with pytest.raises(FellBehind):
                    await following.run()
            failed.append(subscription.resume)
            session.gone.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run, read)
            await trio.testing.wait_all_tasks_blocked()
            await gate.acquire()
            for number in range(12):
                stage.chain.add(b"%d" % number)
            feed = stage.feeds._namespaces[FIRST]
            with trio.fail_after(20):
                while feed.next_index < 12:  # noqa: ASYNC110 - pages are read in threads
                    await trio.sleep(0.001)
            gate.release()
        (resume,) = failed
        assert resume == {"from_index": len(items)}


async def test_one_that_comes_to_the_ring_as_its_oldest_item_goes_reads_on_from_the_node():
    stage = Stage(1, messages_max=4)
    items: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        items.append(msgspec.json.decode(message["text"])["params"]["result"])

    session = Session(stage.context, stage.feeds, send)

    async def until_fed(count: int) -> None:
        with trio.fail_after(20):
            while stage.feeds._namespaces[FIRST].next_index < count:  # noqa: ASYNC110 - pages are read in threads
                await trio.sleep(0.001)

    async def read(nursery: trio.Nursery) -> None:
        subscription = Subscription("0x1", Wanted(Kind.NAMESPACE, stage._nothing), session)
        with stage.feeds.namespace(FIRST, proofs=True) as feed:
            await trio.testing.wait_all_tasks_blocked()
            for number in range(8):
                stage.chain.add(b"%d" % number)
            await until_fed(8)
            following = NamespaceSubscription(
                stage.context, stage.feeds.rungs, feed, subscription, FIRST, NamespaceIndex(4), proofs=True
            )
            async with session.turn:  # as if another subscription's item went out
                nursery.start_soon(following.run)
                await trio.testing.wait_all_tasks_blocked()
                for number in range(8, 10):
                    stage.chain.add(b"%d" % number)
                stage.chain.add(attested=True)
                await until_fed(10)
            with trio.fail_after(20):
                while not check(items, 4, 10):  # noqa: ASYNC110
                    await trio.sleep(0.001)
        session.gone.set()

    async with stage.feeds.running():
        await session.run(read)


async def test_old_blocks_are_proved_page_by_page(monkeypatch):
    """A client need not hold a long chain before it may use the first block."""
    monkeypatch.setattr("sequencer.rpc.namespace_subscription.SUBSCRIPTION_PAGE_BLOCKS", 3)
    stage = Stage(2)
    for number in range(20):
        stage.chain.add(b"%d" % number, attested=number % 2 == 0)
    stage.chain.add(attested=True)
    items: list[dict[str, Any]] = []
    async with stage.feeds.running(), trio.open_nursery() as nursery:
        nursery.start_soon(stage.follow, 0, items)
        with trio.fail_after(20):
            while not check(items, 0, 20):  # noqa: ASYNC110 - pages are read in threads
                await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    unproved, most = 0, 0
    for item in items:
        unproved = unproved + 1 if item["proof"] is None else 0
        most = max(most, unproved)
    assert most <= 3 + 1  # a page, and up to the next attested block
