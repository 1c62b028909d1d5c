"""Real validators that cannot hear each other: nothing forks, and what was promised is ordered once they can again."""

import pytest
import trio

from tests.e2e.faults import SETTINGS, final_heights, run_faults, until_higher
from tests.e2e.namespaces import CUT
from tests.e2e.packet_switch import GOOD

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

IN_FLIGHT_S = 1.5  # what was on its way, or in a thread, when the lines were cut


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
