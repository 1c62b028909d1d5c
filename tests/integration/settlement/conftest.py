"""A node's L1 side in virtual time."""

import pytest

from sequencer.settlement.turn import turn_order
from tests.memory_l1 import MemoryL1
from tests.settling_node import SettlingNode, rich, settling_committee, threads_inline
from tests.stored_chain import stored_chain


@pytest.fixture(autouse=True)
def _no_threads():
    with threads_inline():
        yield


@pytest.fixture(scope="session")
def committee():
    return settling_committee()


@pytest.fixture
def l1(committee):
    return rich(MemoryL1(committee))


@pytest.fixture
def stored(committee, tmp_path):
    with stored_chain(committee, tmp_path) as chain:
        yield chain


@pytest.fixture
def first_index(committee):
    """The validator whose turn the first batch is."""
    chain = committee.chain
    return turn_order(chain.validator_set, chain.chain_id, 1)[0]


@pytest.fixture
def node(stored, committee, l1, first_index):
    return SettlingNode(stored, committee, l1, index=first_index)
