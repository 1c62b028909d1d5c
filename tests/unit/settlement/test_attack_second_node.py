"""Attacks on one validator's whole L1 side, second reading: alone, with unequal stakes, in every data mode."""

from contextlib import contextmanager

import pytest

from sequencer.settlement.turn import turn_order
from tests.memory_l1 import MemoryL1
from tests.settling_node import SettlingNode, rich, settling_committee, threads_inline
from tests.stored_chain import stored_chain


@contextmanager
def settling(path, stakes, **parameters):
    committee = settling_committee(stakes, **parameters)
    chain = committee.chain
    first = turn_order(chain.validator_set, chain.chain_id, 1)[0]
    with threads_inline(), stored_chain(committee, path) as stored:
        yield SettlingNode(stored, committee, rich(MemoryL1(committee)), index=first)


@pytest.mark.parametrize("l1_data", [0, 1, 2])
@pytest.mark.parametrize("stakes", [(1,), (10, 1, 1, 1, 1, 1, 1), (3, 2, 2, 1, 1, 1, 1)])
async def test_every_mode_settles(tmp_path, stakes, l1_data, autojump_clock):
    with settling(tmp_path, stakes, l1_data=l1_data) as node:
        for height in range(1, 6):
            node.execute(10 * height, b"data %d" % height)
            await node.run_for(10)
        await node.run_for(200)
        assert node.follower.settled_height == 5


async def test_one_wrong_nonce_does_not_end_posting(tmp_path, autojump_clock):
    """A single answer of `eth_getTransactionCount` is four too high; the endpoint is right ever after."""
    with settling(tmp_path, (1,)) as node:
        honest, answers = node.client.nonce, [4]

        async def nonce(address, block="latest"):
            return await honest(address, block) + (answers.pop() if answers else 0)

        node.client.nonce = nonce
        node.execute(10, b"one")
        await node.run_for(100)
        assert node.follower.posted_height == 1
