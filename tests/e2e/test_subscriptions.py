"""Subscribers of a real network: everything comes once and in order, also over a killed validator."""

from contextlib import aclosing

import pytest
import trio

from consensus.numbers import NamespaceId
from sequencer.client.client import SequencerClient
from sequencer.client.status import Status
from tests.e2e.network import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FIRST = NamespaceId(1001)
SETTINGS = {"consensus.view_timeout_ms": 600, "consensus.idle_interval_ms": 50}


class Watcher:
    """What one client is told, while it runs."""

    def __init__(self, client: SequencerClient) -> None:
        self.client = client
        self.transactions: list[bytes] = []
        self.indices: list[int] = []
        self.heads: list[tuple[Status, int, bytes]] = []

    async def follow(self) -> None:
        async with aclosing(self.client.follow_namespace(FIRST)) as blocks:
            async for block in blocks:
                assert block.proved
                self.indices.append(block.block.index)
                self.transactions += block.transactions

    async def watch_heads(self) -> None:
        async with aclosing(self.client.follow_heads()) as heads:
            async for head in heads:
                self.heads.append((head.status, head.height, head.block_id))


async def test_a_subscriber_misses_nothing_while_its_validator_is_killed(make_network):
    network = make_network(settings=SETTINGS)
    network.start()
    await network.until_ready()
    first, second = network.nodes[:2]
    items = [b"transaction %d" % number for number in range(60)]
    async with first.client() as client, second.client() as sender, trio.open_nursery() as nursery:
        watcher = Watcher(client)
        nursery.start_soon(watcher.follow)
        nursery.start_soon(watcher.watch_heads)
        await sender.send_many(FIRST, items[:20])
        await until(lambda: len(watcher.transactions) == 20, "the first transactions are told")
        first.kill()
        await sender.send_many(FIRST, items[20:40])
        first.start()
        await first.until_ready()
        await sender.send_many(FIRST, items[40:])
        await until(lambda: len(watcher.transactions) == len(items), "all transactions are told")
        assert watcher.transactions == items
        assert watcher.indices == list(range(len(watcher.indices)))

        receipt = await client.send(FIRST, b"one more")
        hash = receipt.items[0].hash
        async with aclosing(client.follow_transactions([hash], Status.ATTESTED)) as statuses:
            told = [status.status async for status in statuses]
        assert told[-1] is Status.ATTESTED

        await until(lambda: len({head for head in watcher.heads if head[0] is Status.FINAL}) > 3, "heads are told")
        nursery.cancel_scope.cancel()
    finals = {height: block_id for status, height, block_id in watcher.heads if status is Status.FINAL}
    ordered = {height: block_id for status, height, block_id in watcher.heads if status is Status.ORDERED}
    common = finals.keys() & ordered.keys()
    assert common
    assert all(finals[height] == ordered[height] for height in common)
    places = {(status, height): place for place, (status, height, _) in enumerate(watcher.heads)}
    assert all(places[Status.ORDERED, height] < places[Status.FINAL, height] for height in common)
    await network.stop()
