"""The order of a block's batches, and what committing adds to the lanes."""

import pytest

from consensus.errors import BrokenInvariant
from consensus.numbers import ZERO_HASH, Seq
from consensus.ordering.cut import Cut, LanePosition, ListedBatch
from consensus.ordering.effective import Effective, effective_start, order_cut
from consensus.signing import sha256
from consensus.vocabulary.anchor import NO_ANCHOR, Anchor
from tests.property.lane_worlds import digest
from tests.simulation.forge import Forge, no_block
from tests.simulation.keys import make_genesis

FORGE = Forge(make_genesis((1, 1, 1, 1)))
TIP = FORGE.tip(1, FORGE.genesis_qc)


def made_cut(*lanes: list[int], first: int = 1) -> Cut:
    """Each lane's batches by their arrival, from seq `first` on."""
    listed = tuple(
        tuple(ListedBatch(Seq(seq), digest(lane, seq), arrival) for seq, arrival in enumerate(arrivals, first))
        for lane, arrivals in enumerate(lanes)
    )
    ends = tuple(
        LanePosition(batches[-1].seq, batches[-1].digest) if batches else LanePosition(Seq(0), digest(9, 9))
        for batches in listed
    )
    return Cut(ends, listed)


def places(cut: Cut, parent: Effective | None = None) -> list[tuple[int, int]]:
    _, batches = order_cut(parent or effective_start(4), TIP, cut)
    return [(batch.lane, batch.seq) for batch in batches]


def test_batches_are_ordered_by_arrival_across_lanes():
    assert places(made_cut([10, 40], [20], [], [30])) == [(0, 1), (1, 1), (3, 1), (0, 2)]


def test_a_tie_never_reverses_a_lane():
    """Many lanes with batches that all arrived at once: by digest half of them would be out of order."""
    found = places(made_cut([50] * 6, [50] * 6, [50] * 6, [50] * 6))
    for lane in range(4):
        assert [seq for of, seq in found if of == lane] == [1, 2, 3, 4, 5, 6]


def test_a_tie_between_lanes_is_broken_by_the_parent_so_that_no_lane_always_wins():
    found = places(made_cut([50], [50], [50], [50]))
    keys = [sha256(TIP.header.parent_id + lane.to_bytes(2, "big")) for lane in range(4)]
    assert [lane for lane, _ in found] == sorted(range(4), key=keys.__getitem__)
    winners = set()
    for view in range(1, 30):
        tip = FORGE.tip(1, FORGE.genesis_qc, parent_id=no_block(str(view)))
        winners.add(order_cut(effective_start(4), tip, made_cut([50], [50], [50], [50]))[1][0].lane)
    assert winners == {0, 1, 2, 3}


def test_what_the_parent_ordered_is_not_ordered_again_and_a_lower_cut_takes_nothing_back():
    parent = Effective(
        tuple(LanePosition(Seq(seq), digest(lane, seq)) for lane, seq in enumerate((2, 5, 0, 0))), NO_ANCHOR
    )
    cut = made_cut([10, 20, 30], [10, 20, 30], [], [])
    after, batches = order_cut(parent, TIP, cut)
    assert [(batch.lane, batch.seq) for batch in batches] == [(0, 3)]
    assert [end.seq for end in after.cut] == [3, 5, 0, 0]


def test_the_effective_anchor_only_grows():
    high = Anchor(64, ZERO_HASH)
    assert order_cut(Effective(effective_start(4).cut, high), TIP, made_cut([], [], [], []))[0].anchor == high


def test_a_hole_between_two_cuts_is_a_broken_invariant():
    with pytest.raises(BrokenInvariant):
        order_cut(effective_start(4), TIP, made_cut([10, 20], [], [], [], first=3))
