"""What the tests of bad networks have in common: validators under load, faults, and a judgement at the end."""

import trio

from tests.e2e.chain_audit import audit, settle
from tests.e2e.load import Ledger, Load
from tests.e2e.network import note, until

# Short views, or a test waits most of its time.
SETTINGS = {"consensus.view_timeout_ms": 600, "consensus.idle_interval_ms": 50}


async def final_heights(nodes):
    heights = []
    for node in nodes:
        async with node.client() as client:
            heights.append((await client.sync_status()).final_height)
    return heights


async def until_higher(nodes, than):
    """Each of these makes blocks final above the height it had."""

    async def is_higher():
        return all(now > then for now, then in zip(await final_heights(nodes), than, strict=True))

    await until(is_higher, "new blocks are final")


async def run_faults(network, faults):
    """All validators under load; then `faults` happen; then everything is final and the same everywhere."""
    nodes = network.start()
    await network.until_ready()
    ledger = Ledger(network.chain)
    async with trio.open_nursery() as nursery:
        load = Load(ledger, nursery)
        for node in nodes:
            load.add(node, 1001 + node.index % 2, items=3, pause_s=0.1)
        await load.until_promised(40)
        await faults(nodes, load)
        await until_higher(nodes, await final_heights(nodes))
        for node in nodes:
            await load.until_promised(10, by=node.index)
        await load.stop()
    await settle(nodes, ledger, "end")
    await audit(nodes, ledger)
    await network.stop()
    note(f"{len(ledger.promises)} receipts, {len(ledger.sent)} sent, failures {dict(ledger.failures)}")
