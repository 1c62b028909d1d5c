"""Confirming and committing: a fresh QC confirms; two QCs of consecutive views make final."""

from consensus.numbers import View
from consensus.replica.effects import Commit, Confirm, FetchTips
from consensus.replica.events import TipsFetched
from consensus.vocabulary.tip import Tip
from tests.simulation.seat import Seat


def told(seat: Seat, tips: list[Tip]) -> None:
    for tip in tips:
        seat.hear(seat.forge.proposal(tip.view, tip), seat.forge.leader(tip.view))


def committed(seat: Seat) -> list[bytes]:
    return [block.tip.id for commit in seat.asked(Commit) for block in commit.blocks]


def started() -> Seat:
    seat = Seat(me=0)
    seat.start()
    return seat


def test_a_fresh_qc_confirms_and_the_next_one_commits_its_parent():
    seat = started()
    tips = seat.forge.chain_of(3)
    told(seat, tips)
    assert [confirm.tip.id for confirm in seat.asked(Confirm)] == [tip.id for tip in tips[:2]]
    assert committed(seat) == [tips[0].id]
    seat.hear(seat.forge.certify(tips[2]))
    assert [confirm.tip.id for confirm in seat.asked(Confirm)] == [tip.id for tip in tips]
    assert committed(seat) == [tip.id for tip in tips[:2]]  # and never the certified block itself


def test_the_commit_comes_with_its_proof():
    seat = started()
    tips = seat.forge.chain_of(2)
    told(seat, tips)
    qc = seat.forge.certify(tips[1])
    seat.hear(qc)
    (commit,) = seat.asked(Commit)
    assert commit.certificate == tips[1].justify
    assert commit.child_certificate == qc
    assert commit.certificate.view + 1 == commit.child_certificate.view


def test_a_qc_on_a_re_proposed_tip_confirms_nothing():
    seat = started()
    tips = seat.forge.chain_of(2)
    told(seat, tips)
    seat.hear(seat.forge.tc_of(2, tips[1]))
    seat.effects.clear()
    seat.hear(seat.forge.certify(tips[1], view=3))
    assert not seat.asked(Confirm)


def test_qcs_of_views_that_are_not_consecutive_commit_nothing():
    """Tip 4 stands on QC 1 of its parent: the views between may hide another branch."""
    seat = started()
    first = seat.forge.tip(1, seat.forge.genesis_qc)
    qc = seat.forge.certify(first)
    later = seat.forge.tip(4, qc, seat.forge.tc_of(3, qc))
    told(seat, [first, later])
    seat.hear(seat.forge.certify(later))
    assert [confirm.tip.id for confirm in seat.asked(Confirm)] == [first.id, later.id]
    assert committed(seat) == []


def test_consecutive_are_the_views_of_the_qcs_not_those_in_which_the_tips_were_made():
    """Tip 1 was re-proposed in view 3, so tip 4 follows it at once; tip 2' is certified in view 3 only."""
    seat = started()
    first = seat.forge.tip(1, seat.forge.genesis_qc)
    again = seat.forge.certify(first, view=3)
    fourth = seat.forge.tip(4, again)
    told(seat, [first, fourth])
    seat.hear(seat.forge.certify(fourth))
    assert committed(seat) == [first.id]

    seat = started()
    second = seat.forge.tip(2, seat.forge.certify(first))
    told(seat, [first, second])
    seat.hear(seat.forge.certify(second, view=3))  # made in the view after its justify's, certified in the one after
    assert committed(seat) == []


def test_a_commit_takes_all_ancestors_along_oldest_first():
    seat = started()
    first = seat.forge.tip(1, seat.forge.genesis_qc)
    qc = seat.forge.certify(first)
    third = seat.forge.tip(3, qc, seat.forge.tc_of(2, qc))
    qc = seat.forge.certify(third)
    fifth = seat.forge.tip(5, qc, seat.forge.tc_of(4, qc))
    sixth = seat.forge.tip(6, seat.forge.certify(fifth))
    told(seat, [first, third, fifth, sixth])
    assert committed(seat) == []
    seat.hear(seat.forge.certify(sixth))
    assert committed(seat) == [first.id, third.id, fifth.id]


def test_an_abandoned_re_proposed_qc_is_never_final():
    """QC 3 on tip 2 is known to us alone; a TC of view 3 that does not know it lets tip 4 go on from tip 1."""
    seat = started()
    tips = seat.forge.chain_of(2)
    told(seat, tips)
    provisional = seat.forge.certify(tips[1], view=3)
    seat.hear(provisional)
    low = seat.forge.certify(tips[0])
    other = seat.forge.tip(5, low, seat.forge.tc_of(4, low))
    sixth = seat.forge.tip(6, seat.forge.certify(other))
    told(seat, [other, sixth])
    assert seat.state.voted_view == 6  # no lock keeps it from voting
    seat.hear(seat.forge.certify(sixth))
    assert committed(seat) == [tips[0].id, other.id]
    assert not seat.faults()
    assert View(3) not in {confirm.qc.view for confirm in seat.asked(Confirm)}


def test_a_late_qc_commits_what_the_later_ones_could_not():
    seat = started()
    tips = seat.forge.chain_of(2)
    told(seat, tips)
    seat.hear(seat.forge.tc_of(2, tips[1]))
    seat.hear(seat.forge.certify(tips[1], view=3))  # provisional, and not consecutive to QC 1
    assert committed(seat) == []
    fourth = seat.forge.tip(4, seat.forge.certify(tips[1], view=3))
    told(seat, [fourth])
    seat.hear(seat.forge.certify(fourth))
    assert committed(seat) == [tips[0].id, tips[1].id]


def test_a_block_is_ordered_once_its_way_to_the_committed_one_is_known():
    seat = started()
    tips = seat.forge.chain_of(4)
    told(seat, tips[3:])
    seat.hear(seat.forge.certify(tips[3]))
    assert seat.asked(Confirm) == []
    seat.wait(seat.timing.fetch_delay_ms)
    (asked,) = seat.asked(FetchTips)
    seat.step(TipsFetched(asked.peers[0], asked.wanted, tuple(reversed(tips[:3]))))
    assert [confirm.tip.id for confirm in seat.asked(Confirm)] == [tips[3].id]
