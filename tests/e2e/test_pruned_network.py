"""A network that keeps only what is young brings up a validator that has nothing, from a checkpoint."""

import itertools
from functools import partial

import pytest

from consensus.numbers import NamespaceId, NamespaceIndex
from sequencer.client.errors import RequestRefused
from sequencer.node.config import config_file_path
from tests.e2e.chain_audit import settle
from tests.e2e.commands import ask, run_command
from tests.e2e.faults import final_heights, until_higher
from tests.e2e.load import Ledger, payloads
from tests.e2e.network import until

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
SETTINGS = {
    "consensus.view_timeout_ms": 600,
    "consensus.view_timeout_max_ms": 1_200,
    "consensus.idle_interval_ms": 20,
    "storage.keep_s": 2,
    "storage.segment_bytes": MIB,
}
FIRST, SECOND = NamespaceId(1001), NamespaceId(1002)
NEW = 3


async def send(node, ledger, source, namespace, byte_count):
    """Transactions of 32 KiB through one validator."""
    async with node.client() as client:
        for _ in range(max(1, byte_count // (8 * 32 * 1024))):
            items = list(itertools.islice(source, 8))
            ledger.note_sent(namespace, items)
            ledger.note_outcome(await client.send_many(namespace, items))


async def is_pruned(node):
    """Whether the first block is refused: it is gone, and not "not there yet"."""
    async with node.client() as client:
        try:
            await client.namespace_blocks(FIRST, NamespaceIndex(0), 1)
        except RequestRefused as refusal:
            return refusal.reason == "pruned"
    return False


def freed(node):
    return sum(event["freed_bytes"] for event in node.events("pruned"))


async def kept_blocks(node, namespace):
    """The newest blocks that a node serves, from the first that it still has."""
    async with node.client() as client:
        newest = next(view for view in await client.namespaces() if view.id == namespace)
        assert newest.index is not None
        found = []
        for index in range(newest.index, -1, -1):
            try:
                found += await client.namespace_blocks(namespace, NamespaceIndex(index), 1)
            except RequestRefused as refusal:
                if refusal.reason != "pruned":
                    raise
                break
        return {part.delivered.block.index: part.delivered for part in found}


def configure(node, section, line):
    """Adds a line to a section of a node's configuration file."""
    path = config_file_path(node.home)
    text = path.read_text()
    assert text.count(f"[{section}]\n") == 1
    path.write_text(text.replace(f"[{section}]\n", f"[{section}]\n{line}\n"))


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_pruned_network_brings_up_a_validator_from_a_checkpoint(make_network):
    network = make_network(settings=SETTINGS)
    nodes, new, ledger = network.nodes, network.nodes[NEW], Ledger(network.chain)
    others = nodes[:NEW]
    network.start(*range(NEW))
    await network.until_ready(others)
    source = payloads("pruned", 32 * 1024)
    for node in others:
        await send(node, ledger, source, FIRST, MIB)
        await send(node, ledger, source, SECOND, MIB)
    for node in others:
        await until(partial(freed, node), f"validator {node.index} has pruned batches")
    for node in others:  # what it still has in memory is served; and a pruned home starts again
        assert await node.stop() == 0
        node.start()
        await network.until_ready(others)
    for node in others:
        assert await is_pruned(node)
        async with node.client() as client:  # where transactions stand is still known, and proved
            tx_hash = next(iter(ledger.promises))
            assert (await client.status(tx_hash)).height is not None
            assert await client.namespace_proof(FIRST) is not None

    # with nothing, it cannot execute: what it needs is gone
    new.start()
    await until(lambda: any(node.events("peer_lacks_pruned_batches") for node in others), "its peers say so")
    assert await new.stop() == 0

    file = new.home / "config" / "checkpoint"
    shown = await ask("checkpoint", "fetch", str(file), "--url", others[0].url, "--home", str(new.home))
    assert shown["height"] > 1
    assert await ask("checkpoint", "show", str(file), "--home", str(new.home)) == shown
    configure(new, "storage", 'checkpoint = "config/checkpoint"')
    new.start()
    await new.until_ready()
    assert new.events("started_from_checkpoint")[0]["height"] == shown["height"]

    # it takes part, and goes on after a restart
    for rounds in range(2):
        await send(new, ledger, source, SECOND, 1)
        await settle(nodes, ledger, f"round {rounds}")
        await until_higher(nodes, await final_heights(nodes))
        for namespace in (FIRST, SECOND):
            served = [await kept_blocks(node, namespace) for node in nodes]
            for blocks in served:
                common = blocks.keys() & served[0].keys()
                assert common
                assert all(blocks[index] == served[0][index] for index in common)
        async with new.client() as client:
            assert not await client.evidence()
            with pytest.raises(RequestRefused, match="pruned"):
                await client.namespace_blocks(FIRST, NamespaceIndex(0), 1)
        if rounds == 0:
            assert await new.stop() == 0
            new.start()
            await new.until_ready()
            assert not new.events("started_from_checkpoint")
    await network.stop()


@pytest.mark.timeout(120)
async def test_a_checkpoint_that_nobody_proves_is_refused_with_the_reason(make_network):
    network = make_network(settings=SETTINGS)
    node, file = network.nodes[0], network.directory / "checkpoint"
    file.write_bytes(b"I am height 1,000,000")
    configure(node, "storage", f'checkpoint = "{file}"')
    node.start()
    assert await node.until_ended() == 2
    assert "no checkpoint of this chain" in node.said()
    assert "Traceback" not in node.said()
    said = await run_command("checkpoint", "show", str(file), "--home", str(node.home), code=1)
    assert not said
