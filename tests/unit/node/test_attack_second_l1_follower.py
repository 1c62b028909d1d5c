"""Attacks on the L1 follower, second reading: refusals that look healthy, and a log that came late."""

from typing import Any

from sequencer.l1.inbox import InboxHead
from sequencer.node.settlement import Settlement
from tests.committee import Committee
from tests.unit.node.test_attack_l1_follower import (  # noqa: F401 (fixtures)
    follower,
    l1,
    run_looks,
    told,
)

CHAIN = Committee().chain


async def test_an_l1_that_is_refused_is_not_reachable(follower, l1):  # noqa: F811
    """docs/internals/settlement.md: 'later the node goes on without an L1 and says so on /healthz'."""
    l1.latest, l1.finalized = 100, 90
    l1.commit(50)
    await run_looks(follower, l1)
    l1.forks = dict.fromkeys(range(1, 200), 1)  # another L1
    l1.latest = 101
    await follower.run()  # returns: refused
    assert follower.refusal is not None
    settlement: Any = object.__new__(Settlement)
    settlement.follower, settlement._poster = follower, None
    assert not follower.is_reachable
    assert not settlement.health()[0].ok


async def test_a_backend_that_lags_as_a_whole_hides_no_batch_for_ever(follower, l1):  # noqa: F811
    """`latest` and `finalized` from one backend, log and head from one that is a block behind (shallow finality)."""
    l1.latest = l1.finalized = 10
    l1.commit(10)
    l1.hidden.add(10)
    honest_head = l1.head
    l1.head = _head_of_nothing
    await run_looks(follower, l1)  # the cursor stands at 10, batch 1 is not kept
    l1.hidden.clear()
    l1.head = honest_head
    l1.latest = l1.finalized = 12
    l1.commit(12)
    await run_looks(follower, l1, 8)
    assert follower.end.next_index == 3


async def _head_of_nothing():
    return InboxHead(1, 1, CHAIN.chain_id, 1)


async def test_what_is_final_is_not_above_what_is_newest(follower, l1, told):  # noqa: F811
    """One absurd `finalized` makes an anchor that no later look corrects."""
    l1.latest, l1.finalized = 100, 32 * 2**40
    await run_looks(follower, l1)
    l1.finalized = 64
    await run_looks(follower, l1)
    assert all(event.anchor.number <= 100 for event in told), told
