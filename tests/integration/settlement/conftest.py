"""A node's L1 side in virtual time."""

from contextlib import ExitStack

import pytest

from sequencer.settlement.turn import turn_order
from tests.memory_l1 import MemoryL1
from tests.settling_node import SettlingNode, rich, settling_committee, threads_inline
from tests.stored_chain import stored_chain


@pytest.fixture(autouse=True)
def _no_threads():
    with threads_inline():
        yield


@pytest.fixture
def committee():
    return settling_committee()


@pytest.fixture
def l1(committee):
    return rich(MemoryL1(committee))


@pytest.fixture
def make_node(tmp_path):
    """Nodes on one home: each further one is the node after a restart. By default it is the one whose turn is first."""
    with ExitStack() as stack:
        stores = {}

        def make(l1, **options):
            chain = l1.committee.chain
            if chain.chain_id not in stores:
                stores[chain.chain_id] = stack.enter_context(
                    stored_chain(l1.committee, tmp_path / chain.chain_id.hex())
                )
            options.setdefault("index", turn_order(chain.validator_set, chain.chain_id, 1)[0])
            return SettlingNode(stores[chain.chain_id], l1.committee, l1, **options)

        yield make


@pytest.fixture
def node(make_node, l1):
    return make_node(l1)


@pytest.fixture
def stored(make_node, l1):
    """The stores that its nodes are made on."""
    return make_node(l1).stored


@pytest.fixture
def first_index(committee):
    """The validator whose turn the first batch is."""
    chain = committee.chain
    return turn_order(chain.validator_set, chain.chain_id, 1)[0]
