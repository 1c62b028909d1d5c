"""Real validators with slow lines that lose packets: everything ends final and identical."""

import subprocess
import sys

import pytest

from tests.e2e.faults import SETTINGS, final_heights, run_faults, until_higher
from tests.e2e.network import environment, note
from tests.e2e.packet_switch import Line

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

# One connection to an address, timed; in a process of its own because it runs on another host.
_CONNECT = """
import socket, sys, time
start_s = time.monotonic()
socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10).close()
print(time.monotonic() - start_s)
"""


def connect_s(hosts, index, node):
    """How long a connection takes from a host to a validator."""
    command = hosts.command_in(index, (sys.executable, "-c", _CONNECT, node.host, str(node.p2p_port)))
    return float(subprocess.run(command, env=environment(), capture_output=True, check=True, timeout=30).stdout)


async def until_three_more(nodes):
    """Three times over, every one of these makes new blocks final."""
    for _ in range(3):
        await until_higher(nodes, await final_heights(nodes))


@pytest.mark.parametrize(
    "line",
    [
        Line(delay_s=0.05),
        Line(delay_s=0.05, jitter_s=0.02, loss=0.01),
        Line(delay_s=0.1, jitter_s=0.1, loss=0.05),
        Line(loss=0.1),
    ],
    ids=["50 ms", "50 ms and 1 %", "100 to 200 ms and 5 %", "10 %"],
)
async def test_lines_that_are_slow_and_lose(make_network_of_hosts, hosts, line):
    async def worsen(nodes, load):
        hosts.set_all(line)
        if not line.loss:
            assert connect_s(hosts, 0, nodes[1]) >= 2 * line.delay_s
        await until_three_more(nodes)
        for node in nodes:
            await load.until_promised(100, by=node.index)
        lost, carried = sum(hosts.switch.lost.values()), sum(hosts.switch.carried.values())
        assert (lost > 0) == (line.loss > 0)
        note(f"{lost} packets lost, {carried} carried")

    # As operators set it: well above the way there and back.
    await run_faults(make_network_of_hosts(settings=SETTINGS | {"consensus.view_timeout_ms": 2_000}), worsen)


async def test_one_line_much_worse_than_all_others(make_network_of_hosts, hosts):
    async def worsen(nodes, load):
        hosts.set_lines([2], [0, 1, 3], Line(delay_s=0.4, loss=0.05))
        hosts.set_lines([0, 1, 3], [2], Line(delay_s=0.1))
        await until_three_more(nodes[:2])
        await load.until_promised(50, by=2)

    await run_faults(make_network_of_hosts(settings=SETTINGS), worsen)
