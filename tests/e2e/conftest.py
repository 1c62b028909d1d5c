"""Networks for end-to-end tests: made in the test's own directory, gone when it ends."""

import itertools

import pytest

from tests.e2e.network import Network


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
