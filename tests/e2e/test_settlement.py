"""Blocks on a real L1 under load and faults: no batch twice, none missing, `derive` rebuilds what the nodes serve."""

import os
import signal

import pytest
import trio

from sequencer.l1dev.running import L1_CHAIN_ID
from tests.e2e.chain_audit import audit, settle
from tests.e2e.load import Ledger, Load
from tests.e2e.network import note, until
from tests.e2e.settling import (
    attempts,
    check_batches,
    check_derived,
    check_settled_statuses,
    give_l1,
    l1_of,
    until_all_settled,
)

pytestmark = pytest.mark.e2e

HELD = {"l1.backlog_s": 0.0}  # every backlog is too long for calldata
CALLDATA = {"l1.backlog_s": 86_400.0}


async def run_scenario(network, anvil, *, load_s, l1_away_s, victims, items=10):
    """`victims`: validator and failpoint, in turn; each is started again while others take over its turn."""
    record = await give_l1(network, anvil)
    nodes = network.nodes
    network.start()
    await network.until_ready()
    ledger = Ledger(network.chain)
    async with trio.open_nursery() as nursery:
        load = Load(ledger, nursery)
        for node in nodes[:3]:
            for namespace in (1001, 1002):
                load.add(node, namespace, items=items, pause_s=0.3)
        started = trio.current_time()
        for index, point in victims:
            victim = nodes[index]
            await victim.stop()
            victim.start("--failpoint", point)
            code = await victim.until_ended(600)
            assert code == -signal.SIGKILL, (point, code)
            posted = (await l1_of(nodes[3])).batch_index
            if point.startswith(("post_before_save", "post_after_save")):  # its turn passes to another
                await until(_has_more(nodes[3], posted), "another validator takes over", 300)
            victim.start()
            await victim.until_ready()
            note(f"{point}: validator {index} died at batch {posted + 1}")
        os.kill(anvil.process.pid, signal.SIGSTOP)
        before = max([(await l1_of(node)).batch_index for node in nodes])  # one that just started may not know yet
        await trio.sleep(l1_away_s)
        await load.until_promised(100)
        away = await l1_of(nodes[0])
        os.kill(anvil.process.pid, signal.SIGCONT)
        assert away.batch_index <= before + 1
        assert away.backlog_bytes > 0
        await until(_has_more(nodes[0], away.batch_index), "posting resumes by itself", 300)
        nodes[3].kill()
        await until(_has_more(nodes[0], (await l1_of(nodes[0])).batch_index + 1), "three validators post", 300)
        await trio.sleep(max(0.0, load_s - (trio.current_time() - started)))
        await load.stop()
    alive = nodes[:3]
    await settle(alive, ledger, "end")
    await until_all_settled(alive)
    chains = await audit(alive, ledger)
    batches = await check_batches(network, anvil, record, chains)
    await check_derived(anvil, record, alive, chains)
    await check_settled_statuses(nodes[1], ledger)
    await network.stop()
    kinds = {found.certificate.batch.data_kind.name for found in batches}
    fates = sorted({(node.index, entry["state"]) for node in nodes for entry in attempts(node)})
    note(f"{len(ledger.promises)} receipts, {len(batches)} batches {kinds}, fates {fates}")
    return batches, fates


def _has_more(node, batch_index):
    async def has_more():
        return (await l1_of(node)).batch_index > batch_index

    return has_more


@pytest.mark.timeout(600)
async def test_a_poster_that_dies_before_it_sends(make_network, make_anvil):
    """The short version: its turn passes to another, and what it had written down is sent late and loses the race."""
    network = make_network(settings={"l1.seal_age_s": 0.5, **CALLDATA}, l1_chain_id=L1_CHAIN_ID)
    anvil = make_anvil(block_time_s=1, slots_in_an_epoch=1)
    victims = [(0, "post_after_save:1")]
    _, fates = await run_scenario(network, anvil, load_s=0, l1_away_s=2, victims=victims, items=2)
    assert (0, "lost_race") in fates


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("data", "kind"), [(CALLDATA, "CALLDATA"), (HELD, "HELD")], ids=["calldata", "held"])
async def test_posters_that_die_and_an_l1_that_is_away(make_network, make_anvil, data, kind):
    network = make_network(settings={"l1.seal_age_s": 0.5, **data}, l1_chain_id=L1_CHAIN_ID)
    victims = [(0, "post_after_save:2"), (1, "post_after_send:1")]
    anvil = make_anvil(block_time_s=1)
    batches, fates = await run_scenario(network, anvil, load_s=0, l1_away_s=6, victims=victims)
    assert {found.certificate.batch.data_kind.name for found in batches} == {kind}
    assert (0, "lost_race") in fates  # the transaction that had been written down was sent, and came too late
    assert (1, "finalized") in fates


@pytest.mark.slow
@pytest.mark.timeout(2_400)
@pytest.mark.parametrize("data", [CALLDATA, HELD, {}], ids=["calldata", "held", "prefer"])
async def test_ten_minutes_of_load_and_faults(make_network, make_anvil, data):
    network = make_network(settings=data, l1_chain_id=L1_CHAIN_ID)
    victims = [
        (0, "post_after_save:2"),
        (1, "post_after_send:2"),
        (2, "post_before_save:3"),
    ]
    anvil = make_anvil(block_time_s=1)
    await run_scenario(network, anvil, load_s=600, l1_away_s=60, victims=victims)
