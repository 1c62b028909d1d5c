"""The whole product under load and faults: kill, freeze, power cut; then every promise is checked by the verifier."""

import pytest
import trio

from tests.e2e.chain_audit import audit, check_every_proof, check_positions, settle
from tests.e2e.load import Ledger, Load
from tests.e2e.network import note
from tests.e2e.tampering import check_tampering

pytestmark = pytest.mark.e2e


async def run_scenario(network, *, transactions, items, frozen_s):
    nodes = network.start()
    await network.until_ready()
    ledger = Ledger(network.chain)
    async with trio.open_nursery() as nursery:
        load = Load(ledger, nursery)
        for node in nodes:
            for namespace in (1001, 1002):
                load.add(node, namespace, items=items)
        await load.until_promised(transactions // 5)

        nodes[1].kill()
        await load.until_promised(transactions // 10)
        nodes[1].start()
        await nodes[1].until_ready()
        await load.until_promised(100, by=1)

        nodes[2].pause()
        await trio.sleep(frozen_s)
        nodes[2].resume()
        await load.until_promised(100, by=2)

        for node in nodes:
            node.process.kill()
        for node in nodes:
            node.kill()
        network.start()
        await network.until_ready()
        for node in nodes:
            await load.until_promised(100, by=node.index)
        await load.until_promised(max(0, transactions - len(ledger.promises)))
        await load.stop()

    await settle(nodes, ledger, "end")
    chains = await audit(nodes, ledger)
    assert len(ledger.promises) >= transactions
    assert len(chains) == 2
    for node in nodes:
        assert await check_every_proof(node, chains) > 0
    namespace = network.chain.namespaces[0].id
    last = chains[namespace].verified[-1]
    falsified = await check_tampering(nodes[3], namespace, last.block.index, last.block.prev_hash)
    await network.stop()
    check_positions(nodes[0], chains, ledger)
    note(f"{len(ledger.promises)} receipts, {len(ledger.sent)} sent, failures {dict(ledger.failures)}")
    note(f"{falsified} falsifications of one block and its proof refused")


@pytest.mark.timeout(600)
async def test_no_promise_is_broken_by_a_kill_a_freeze_and_a_power_cut(make_network):
    await run_scenario(make_network(), transactions=5_000, items=20, frozen_s=4)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
async def test_no_promise_is_broken_under_a_long_heavy_load(make_network):
    await run_scenario(make_network(), transactions=40_000, items=60, frozen_s=20)
