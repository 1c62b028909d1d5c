"""From one validator, the central sequencer, to seven: the same path for clients. And what a dead validator costs."""

import re
from itertools import pairwise

import httpx
import pytest
import trio

from tests.e2e.chain_audit import audit, check_every_proof, settle
from tests.e2e.load import Ledger, Load

pytestmark = pytest.mark.e2e


async def run_load(network, nodes, each):
    """A load on all of `nodes` until each has given `each` more receipts; returns the audited chains."""
    ledger = Ledger(network.chain)
    async with trio.open_nursery() as nursery:
        load = Load(ledger, nursery)
        for node in nodes:
            for namespace in (1001, 1002):
                load.add(node, namespace, items=10)
        for node in nodes:
            await load.until_promised(each, by=node.index)
        await load.stop()
    await settle(nodes, ledger, "end")
    return await audit(nodes, ledger)


@pytest.mark.timeout(300)
async def test_one_validator_is_a_central_sequencer_with_the_same_proofs(make_network):
    network = make_network(1)
    network.start()
    await network.until_ready()
    chains = await run_load(network, network.nodes, 300)
    assert await check_every_proof(network.nodes[0], chains) > 0
    network.nodes[0].kill()
    network.start()
    await network.until_ready()
    async with network.nodes[0].client() as client:
        assert {view.id: view.index for view in await client.namespaces()} == {
            namespace: served.verified[-1].block.index for namespace, served in chains.items()
        }
    await network.stop()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [2, 3, 5, 7])
async def test_other_committees_finalise(make_network, count):
    network = make_network(count)
    network.start()
    await network.until_ready()
    await run_load(network, network.nodes, 100)
    await network.stop()


@pytest.mark.timeout(600)
async def test_one_of_four_dead_from_the_start_costs_views_but_no_transaction(make_network, capsys):
    network = make_network(4)
    nodes = network.start(0, 1, 2)
    await network.until_ready(nodes)
    chains = await run_load(network, nodes, 200)
    async with nodes[0].client() as client:
        final = await client.block("final")
        blocks = [await client.block(height) for height in range(1, final.height + 1)]
    figures = await view_durations(nodes[0])
    await network.stop()
    assert {block.leader for block in blocks} == {0, 1, 2}
    gaps = [(later.view - earlier.view, later.ts_ms - earlier.ts_ms) for earlier, later in pairwise(blocks)]
    skipped = sorted(ms for views, ms in gaps if views > 1)
    steady = sorted(ms for views, ms in gaps if views == 1)
    assert skipped, "the dead validator led no view"
    with capsys.disabled():
        print_line(
            f"one of four dead: {final.height} heights in {final.view} views, {sum(map(len_of, chains.values()))} tx; "
            f"{final.view - final.height} views lost, at most {max(views for views, _ in gaps) - 1} in a row; "
            f"between blocks {median(steady)} ms, over a lost view {median(skipped)} ms (longest {skipped[-1]} ms); "
            f"mean view {figures:.0f} ms"
        )


def len_of(served):
    return sum(len(block.transactions) for block in served.verified)


def median(values):
    return values[len(values) // 2] if values else None


def print_line(line):
    import sys

    sys.stdout.write(f"\n{line}\n")


async def view_durations(node):
    """The mean duration of a view in ms, as the node's metrics have it."""
    async with httpx.AsyncClient(trust_env=False) as http:
        page = (await http.get(f"{node.metrics_url}/metrics")).text
    found = dict(
        re.findall(r"^sequencer_consensus_view_duration_seconds_(sum|count) ([0-9.e+-]+)$", page, re.MULTILINE)
    )
    return 1_000 * float(found["sum"]) / float(found["count"])
