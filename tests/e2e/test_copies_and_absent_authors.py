"""Clients that do not depend on one validator: copies through several, and receipts whose author is away."""

import pytest

from consensus.numbers import NamespaceId
from sequencer.client.client import SequencerClient
from sequencer.client.status import Status
from tests.e2e.network import until

pytestmark = pytest.mark.e2e

ROLLUP = NamespaceId(1001)


@pytest.mark.timeout(300)
async def test_copies_stand_under_one_hash_with_all_their_positions(make_network):
    network = make_network()
    network.start()
    await network.until_ready()
    urls = [node.url for node in network.nodes]
    async with SequencerClient(urls, genesis=network.chain, timeout_s=20) as client:
        sent = await client.send_copies(ROLLUP, b"through three", 3)
    assert [receipt.lane for receipt in sent.receipts] == [0, 1, 2]
    (tx_hash,) = {receipt.items[0].hash for receipt in sent.receipts}
    promised = {(receipt.lane, receipt.seq, receipt.items[0].index) for receipt in sent.receipts}
    for node in network.nodes:
        async with node.client() as client:

            async def are_final(client=client):
                return (await client.status(tx_hash)).count == 3

            await until(are_final, f"validator {node.index} knows three copies")
            found = await client.status(tx_hash)
            assert {(place.lane, place.seq, place.index) for place in found.places} == promised
            assert None not in {place.height for place in found.places}
            order = [(place.namespace_index, place.position) for place in found.places]
            assert order == sorted(order)
            assert order[0] == (found.namespace_index, found.position)
    network.nodes[0].kill()
    async with SequencerClient(urls, genesis=network.chain, timeout_s=20) as client:
        sent = await client.send_copies(ROLLUP, b"one of them is dead", 2)
    assert [receipt.lane for receipt in sent.receipts] == [1]
    assert len(sent.failures) == 1
    await network.stop()


@pytest.mark.timeout(300)
async def test_a_receipt_whose_author_is_away_says_since_when(make_network):
    network = make_network()
    nodes = network.start()
    await network.until_ready()
    author, others = nodes[0], nodes[1:]
    for node in others:
        node.kill()
    async with author.client() as client:
        receipt = await client.send(ROLLUP, b"nobody else has it")
    author.kill()
    for node in others:
        node.start()
    await network.until_ready(others)
    tx_hash = receipt.items[0].hash
    async with others[0].client() as client:
        assert (await client.status(tx_hash)).status is Status.UNKNOWN
        found = await client.status(tx_hash, receipt)
        assert (found.status, found.reason, found.received_ms) == (Status.RECEIVED, None, None)
        assert found.author_away_since_ms is not None
        assert found.author_away_since_ms > receipt.received_ms
        author.start()
        found = await client.wait(tx_hash, Status.FINAL, 60, receipt)
        assert found.places[0].seq == receipt.seq
    await network.stop()
