"""Real validators with wrong clocks, or that stand still for longer than a view: all ends final and identical."""

import sys

import pytest
import trio

from tests.e2e.faults import SETTINGS, final_heights, run_faults, until_higher

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    "offsets_ms",
    [(0, 400, -400, 150), (0, 0, 0, HOUR_MS), (-HOUR_MS, 0, 0, 0), (100, 2_000, -2_000, -100)],
    ids=["a little apart", "one an hour ahead", "one an hour behind", "two seconds apart"],
)
async def test_clocks_that_are_apart(make_network, offsets_ms):
    network = make_network(settings=SETTINGS)
    for node, offset_ms in zip(network.nodes, offsets_ms, strict=True):
        node.command = (sys.executable, "-m", "tests.e2e.skewed_validator", str(offset_ms))

    async def wait(nodes, load):
        for node in nodes:
            await load.until_promised(50, by=node.index)
        await until_higher(nodes, await final_heights(nodes))

    await run_faults(network, wait)


async def test_processes_that_stand_still_for_longer_than_a_view(make_network):
    async def stop_in_turn(nodes, load):
        for victim in nodes:
            others = [node for node in nodes if node is not victim]
            before = await final_heights(others)
            victim.pause()
            await trio.sleep(4)
            await until_higher(others, before)
            victim.resume()
            await load.until_promised(10, by=victim.index)

    await run_faults(make_network(settings=SETTINGS), stop_in_turn)


async def test_two_processes_and_then_all_that_stand_still(make_network):
    """Without a quorum nothing can be final; the links of those that stood still have been given up meanwhile."""

    async def stop_together(nodes, load):
        for count in (2, 4):
            for victim in nodes[:count]:
                victim.pause()
            await trio.sleep(8)
            for victim in nodes[:count]:
                victim.resume()
            await until_higher(nodes, await final_heights(nodes))

    await run_faults(make_network(settings=SETTINGS), stop_together)
