"""Networks for end-to-end tests: made in the test's own directory, gone when it ends."""

import itertools

import pytest

from tests.e2e.namespaces import Hosts, reason_to_skip
from tests.e2e.network import COMMAND, Network


@pytest.fixture
def make_network(tmp_path):
    """`make_network(count, …)`: see `Network`."""
    made = []
    numbers = itertools.count()

    def make(count=4, **options):
        made.append(Network(tmp_path / f"net-{next(numbers)}", count, **options))
        return made[-1]

    yield make
    for network in made:
        network.end()


@pytest.fixture
def hosts():
    """Four hosts of their own; skips where there can be none."""
    reason = reason_to_skip()
    if reason is not None:
        pytest.skip(reason)
    made = Hosts(4)
    yield made
    made.close()


@pytest.fixture
def make_network_of_hosts(hosts, make_network):
    """`make_network_of_hosts(…)`: four validators, each on its own of the `hosts`."""

    def make(**options):
        network = make_network(hosts=hosts.addresses, **options)
        for node in network.nodes:
            node.command = hosts.command_in(node.index, COMMAND)
        return network

    return make
