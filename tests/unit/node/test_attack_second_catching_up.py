"""Attacks on the L1 follower, second reading: pages of the log that an endpoint leaves out while a node catches up."""

import pytest

from sequencer.node.l1_follower import PAGE_BLOCKS
from tests.unit.node.test_attack_l1_follower import (  # noqa: F401 (fixtures)
    follower,
    l1,
    run_looks,
    told,
)


@pytest.mark.parametrize("finalized", [0, 10 * PAGE_BLOCKS - 64])
async def test_a_page_that_was_left_out_while_catching_up_is_read_later(follower, l1, finalized):  # noqa: F811
    """`finality = finalized`; one old page comes back empty once (its index is not built), the head is right."""
    l1.latest, l1.finalized = 10 * PAGE_BLOCKS, finalized
    l1.commit(50)
    l1.commit(9 * PAGE_BLOCKS)
    l1.hidden.add(50)
    await run_looks(follower, l1)
    assert not follower.is_reachable  # it was seen
    l1.hidden.clear()
    l1.latest, l1.finalized = l1.latest + 10, finalized + 10
    await run_looks(follower, l1)
    assert follower.is_reachable
    assert follower.end.next_index == 3
