"""What the tree remembers of the way down, and how much it does in one call."""

from typing import Any

from consensus import limits
from consensus.numbers import GENESIS_HEIGHT, GENESIS_VIEW, Height
from consensus.ordering.effective import effective_start
from consensus.replica.tree import TIPS_PER_VIEW_MAX, Gap, TipTree
from tests.simulation.forge import Forge
from tests.simulation.keys import make_genesis


class Counting(dict[Any, Any]):
    """Counts lookups."""

    looked_up = 0

    def get(self, key: Any, default: Any = None) -> Any:
        self.looked_up += 1
        return super().get(key, default)


def tree_and_chain(length: int) -> tuple[TipTree, list]:
    chain = make_genesis((1, 1, 1, 1))
    forge = Forge(chain)
    genesis_id = forge.genesis_qc.body.block_id
    return TipTree(chain.validator_set, genesis_id, GENESIS_HEIGHT, GENESIS_VIEW, effective_start(4)), forge.chain_of(
        length
    )


def way(tree: TipTree, tip: Any) -> Gap | None:
    return tree.missing_ancestor(tip.id, tip.header.height)


def test_the_way_down_a_long_branch_is_walked_once():
    tree, tips = tree_and_chain(60)
    tree._tips = counting = Counting()
    for tip in tips[20:59]:
        tree.add(tip, named=True)
    gap = Gap(tips[19].id, Height(20))
    assert way(tree, tips[58]) == gap
    for event in range(20):
        counting.looked_up = 0
        assert tree.order(tips[58]) is None
        assert counting.looked_up <= 2, event
    tree.add(tips[59], named=True)
    counting.looked_up = 0
    assert way(tree, tips[59]) == gap
    assert counting.looked_up <= 3


def test_the_way_goes_on_when_the_gap_is_filled_and_breaks_off_when_a_tip_is_dropped(monkeypatch):
    monkeypatch.setattr(limits, "TIPS_UNCOMMITTED_MAX", 4)
    tree, tips = tree_and_chain(6)
    for tip in tips[1:5]:
        tree.add(tip)
    assert way(tree, tips[4]) == Gap(tips[0].id, Height(1))
    tree.add(tips[0], named=True)
    assert way(tree, tips[4]) is None
    tree.add(tips[5])  # one too many: the oldest of those that nobody names goes
    assert way(tree, tips[5]) == Gap(tips[1].id, Height(2))
    tree.commit(tips[0])
    assert way(tree, tips[5]) == Gap(tips[1].id, Height(2))
    tree.add(tips[1], named=True)
    assert way(tree, tips[5]) is None


def test_one_call_orders_no_more_than_its_share(monkeypatch):
    monkeypatch.setattr(limits, "STEP_LANES_MAX", 40)
    tree, tips = tree_and_chain(25)
    for tip in tips:
        tree.add(tip, named=True)
    assert tree.blocks_per_step == 10
    assert [tree.order(tips[-1]) is not None for _ in range(4)] == [False, False, True, True]
    assert tree.order(tips[-1]) == tree.order(tips[-1])


def test_a_step_does_at_least_one_block_however_many_lanes_there_are(monkeypatch):
    monkeypatch.setattr(limits, "STEP_LANES_MAX", 1)
    tree, tips = tree_and_chain(1)
    tree.add(tips[0], named=True)
    assert tree.order(tips[0]) is not None


def test_an_equivocating_leader_fills_its_view_and_no_more():
    tree, (first,) = tree_and_chain(1)
    forge = Forge(make_genesis((1, 1, 1, 1)))
    qc = forge.certify(first)
    crowd = [forge.tip(2, qc, reports=forge.reports(2, qc.body.ts_ms + salt)) for salt in range(1, 7)]
    assert [tree.add(tip) for tip in crowd] == [True] * TIPS_PER_VIEW_MAX + [False, False]
    assert tree.add(crowd[5], named=True)
