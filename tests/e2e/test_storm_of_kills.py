"""Kills at any moment, of any number of validators at once, for many rounds: no promise is broken."""

from random import Random

import pytest
import trio

from tests.e2e.chain_audit import audit, check_every_proof, check_positions, settle
from tests.e2e.load import Ledger, Load
from tests.e2e.network import note

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROUNDS = 10
SETTINGS = {
    "consensus.view_timeout_ms": 600,
    "consensus.idle_interval_ms": 50,
    "storage.segment_bytes": 1024 * 1024,
}


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", [1, 2])
async def test_no_promise_is_broken_by_a_storm_of_kills(make_network, seed):
    network = make_network(settings=SETTINGS)
    nodes = network.start()
    await network.until_ready()
    ledger = Ledger(network.chain)
    random = Random(seed)
    async with trio.open_nursery() as nursery:
        load = Load(ledger, nursery)
        for node in nodes:
            for namespace in (1001, 1002):
                load.add(node, namespace, items=8, pause_s=0.05)
        for _ in range(ROUNDS):
            await load.until_promised(random.randrange(20, 400))
            victims = random.sample(nodes, random.choice((1, 1, 2, 3, 4)))
            for victim in victims:
                victim.process.kill()
                await trio.sleep(random.choice((0, 0, 0.01, 0.3)))  # a moment of the storm's choosing
            for victim in victims:
                victim.kill()
            random.shuffle(victims)
            for victim in victims:
                victim.start()
                await trio.sleep(random.choice((0, 0, 0.5)))
            if random.random() < 0.6:  # else the next kill may hit a start
                await network.until_ready()
        await network.until_ready()
        for node in nodes:
            await load.until_promised(20, by=node.index)
        await load.stop()
    await settle(nodes, ledger, "end")
    chains = await audit(nodes, ledger)
    for node in nodes:
        assert await check_every_proof(node, chains) > 0
    await network.stop()
    check_positions(nodes[seed % 4], chains, ledger)
    note(f"{len(ledger.promises)} receipts, {len(ledger.sent)} sent, failures {dict(ledger.failures)}")
