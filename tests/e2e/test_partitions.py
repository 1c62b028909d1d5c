"""Real validators that cannot hear each other: nothing forks, and what was promised is ordered once they can again."""

import pytest
import trio

from tests.e2e.chain_audit import audit, settle
from tests.e2e.load import Ledger, Load
from tests.e2e.namespaces import CUT
from tests.e2e.network import note, until
from tests.e2e.packet_switch import GOOD

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SETTINGS = {"consensus.view_timeout_ms": 600, "consensus.idle_interval_ms": 50}
IN_FLIGHT_S = 1.5  # what was on its way, or in a thread, when the lines were cut


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


async def test_two_and_two_make_nothing_final_until_they_hear_each_other(make_network_of_hosts, hosts):
    async def part(nodes, load):
        hosts.part((0, 1), (2, 3))
        await trio.sleep(IN_FLIGHT_S)
        before = await final_heights(nodes)
        await trio.sleep(5)
        assert await final_heights(nodes) == before
        hosts.heal()

    await run_faults(make_network_of_hosts(settings=SETTINGS), part)


@pytest.mark.slow
async def test_three_go_on_without_the_fourth(make_network_of_hosts, hosts):
    async def part(nodes, load):
        for alone in (3, 0):
            others = [node for node in nodes if node.index != alone]
            hosts.part([node.index for node in others], [alone])
            await trio.sleep(IN_FLIGHT_S)
            (before,) = await final_heights([nodes[alone]])
            await until_higher(others, await final_heights(others))
            await load.until_promised(50, by=others[0].index)
            await until_higher(others, await final_heights(others))
            assert await final_heights([nodes[alone]]) == [before]
            hosts.heal()
            await until_higher([nodes[alone]], [before])

    await run_faults(make_network_of_hosts(settings=SETTINGS), part)


@pytest.mark.slow
async def test_partitions_that_come_and_go(make_network_of_hosts, hosts):
    partings = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0,), (1, 2, 3)), ((0,), (1,), (2, 3)), ((0, 1, 3), (2,))]

    async def part(nodes, load):
        for number in range(4 * len(partings)):
            hosts.part(*partings[number % len(partings)])
            await trio.sleep((0.2, 0.7, 1.5, 4.0)[number // len(partings)])
            hosts.heal()
            await trio.sleep((0.0, 0.4, 1.0)[number % 3])

    await run_faults(make_network_of_hosts(settings=SETTINGS), part)


@pytest.mark.slow
@pytest.mark.parametrize("deaf", [True, False])
async def test_one_that_hears_nobody_or_that_nobody_hears(make_network_of_hosts, hosts, deaf):
    async def part(nodes, load):
        others = nodes[:1] + nodes[2:]
        indices = [node.index for node in others]
        hosts.set_lines(*((indices, [1]) if deaf else ([1], indices)), CUT)
        await trio.sleep(IN_FLIGHT_S)
        await until_higher(others, await final_heights(others))
        await load.until_promised(50, by=0)
        hosts.heal()

    await run_faults(make_network_of_hosts(settings=SETTINGS), part)


@pytest.mark.slow
async def test_lines_that_carry_one_way_only(make_network_of_hosts, hosts):
    """Each is heard by the next and by nobody else: no link can stand."""

    async def part(nodes, load):
        hosts.set_all(CUT)
        for index in range(len(nodes)):
            hosts.set_lines([index], [(index + 1) % len(nodes)], GOOD)
        await trio.sleep(8)
        hosts.heal()

    await run_faults(make_network_of_hosts(settings=SETTINGS), part)
