"""A validator that was away comes back, fetches what it missed and serves the same chains."""

import shutil

import pytest
import trio

from tests.e2e.chain_audit import audit, check_every_proof, settle
from tests.e2e.load import Ledger, Load
from tests.e2e.network import note, until

pytestmark = pytest.mark.e2e

SETTINGS = {"consensus.view_timeout_ms": 600, "consensus.idle_interval_ms": 50}


def block_count(served):
    return len(served.verified)


async def run_absence(network, heights, *, in_order=False):
    """Ends one of four under load, by SIGKILL or `in_order`; it returns when the others are `heights` further."""
    nodes = network.start()
    away, others = nodes[3], nodes[:3]
    await network.until_ready()
    ledger = Ledger(network.chain)
    async with trio.open_nursery() as nursery:
        load = Load(ledger, nursery)
        for node in nodes:
            load.add(node, 1001 + node.index % 2, items=5, pause_s=0.1)
        await load.until_promised(50, by=3)
        if in_order:
            assert await away.stop() == 0
        else:
            away.kill()
        async with others[0].client() as client:
            left_at = (await client.sync_status()).final_height

            async def are_further():
                return (await client.sync_status()).final_height >= left_at + heights

            await until(are_further, f"{heights} heights without validator 3", patience_s=900)
            away.start()
            await away.until_ready()
            began_s, missed = trio.current_time(), (await client.sync_status()).final_height - left_at

            async with away.client() as returned:

                async def has_caught_up():
                    own, target = await returned.sync_status(), await client.sync_status()
                    return own.executed_height >= target.executed_height - 20

                await until(has_caught_up, "validator 3 has caught up", patience_s=600)
                note(f"{missed} heights caught up in {trio.current_time() - began_s:.1f} s after it was ready")
        await load.until_promised(50, by=3)
        await load.stop()
    await settle(nodes, ledger, "end")
    chains = await audit(nodes, ledger)
    assert await check_every_proof(away, chains) > 0
    blocks = sum(map(block_count, chains.values()))
    note(f"away from height {left_at} on; {len(ledger.promises)} receipts, {blocks} blocks")
    return nodes


@pytest.mark.timeout(600)
async def test_a_validator_that_was_away_for_some_time(make_network):
    network = make_network(settings=SETTINGS)
    nodes = await run_absence(network, 60)
    away = nodes[3]
    await away.stop()
    shutil.rmtree(away.home / "data")
    away.start()
    assert await away.until_ended() == 2
    assert "has no safety record" in away.said()
    assert "Traceback" not in away.said()
    await network.stop()


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(("heights", "in_order"), [(400, True), (1_000, False)])
async def test_a_validator_that_was_away_for_long(make_network, heights, in_order):
    network = make_network(settings=SETTINGS)
    await run_absence(network, heights, in_order=in_order)
    await network.stop()
