"""Entering views: by certificates only, with what the leader of the new view needs from us."""

from dataclasses import replace

from consensus.numbers import ValidatorIndex, View
from consensus.replica.effects import EnterView
from consensus.replica.events import PeerConnected
from consensus.replica.state import QCS_KEPT
from consensus.vocabulary.certificates import QC, TC
from consensus.vocabulary.messages import Timeout, Vote
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip
from tests.simulation.seat import Seat


def seated(view: int, me: int = 0) -> tuple[Seat, list]:
    seat = Seat(me)
    seat.start()
    tips = seat.enter(view)
    seat.effects.clear()
    return seat, tips


def test_a_certificate_of_any_later_view_is_a_jump_and_an_earlier_one_is_nothing():
    seat = Seat()
    seat.start()
    tips = seat.forge.chain_of(9)
    seat.hear(seat.forge.certify(tips[8]))
    assert seat.state.view == 10
    seat.hear(seat.forge.tc_of(4, seat.forge.certify(tips[1])))
    seat.hear(seat.forge.certify(tips[4]))
    assert seat.state.view == 10
    seat.hear(seat.forge.tc_of(700, seat.forge.certify(tips[8])))
    assert seat.state.view == 701
    assert [effect.view for effect in seat.asked(EnterView)] == [1, 10, 701]


def test_views_do_not_move_by_time_or_by_single_messages():
    seat, tips = seated(3)
    qc = seat.forge.certify(tips[-1])
    seat.wait(20 * seat.timing.view_timeout_ms)
    ahead = seat.forge.tip(9, qc, seat.forge.tc_of(8, qc))
    for sender in (1, 2):
        seat.hear(seat.forge.vote(ahead.vote_body(View(9)), sender), sender)
    seat.hear(ahead, 1)
    assert seat.state.view == 3


def test_whoever_enters_by_a_tc_without_having_timed_out_signs_a_timeout_of_the_view_before():
    """A jumper, too: with every honest timeout at hand, the next leader can always complete some TC."""
    for ended in (3, 8):
        seat, tips = seated(3, me=3)
        qc = seat.forge.certify(tips[-1])
        tip = seat.forge.tip(3, qc)
        seat.hear(seat.forge.proposal(3, tip), 2)
        effects = seat.hear(seat.forge.tc_of(ended, qc))
        assert seat.state.view == ended + 1
        (timeout,) = seat.said(Timeout, effects)
        assert timeout.view == ended
        assert timeout.body.tip_id == tip.id
        assert isinstance(timeout.entry, TC)
        following = seat.forge.leader(ended + 1)
        assert set(seat.sent_to(Timeout, effects)) == {following}
        assert seat.sent_to(Tip, effects) == [following]
        assert seat.state.timeout_view == ended


def test_on_entering_no_vote_is_cast_and_the_one_of_the_ended_view_goes_along():
    seat, tips = seated(3, me=3)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(3, qc)
    seat.hear(seat.forge.proposal(3, tip), 2)
    (cast, *_) = seat.said(Vote)
    effects = seat.hear(seat.forge.tc_of(3, qc))
    assert seat.said(Timeout, effects)[0].backup_vote == cast.without_report()
    assert not seat.said(Vote, effects)
    assert seat.state.voted_view == 3
    later = seat.hear(seat.forge.tc_of(6, tip))
    assert seat.said(Timeout, later)[0].backup_vote is None
    assert seat.state.voted_view == 3


def test_whoever_has_timed_out_sends_that_very_timeout_to_the_next_leader():
    seat, tips = seated(3, me=3)
    tip = seat.forge.tip(3, seat.forge.certify(tips[-1]))
    seat.hear(seat.forge.proposal(3, tip), 2)
    (first, *_) = seat.said(Timeout, seat.wait(seat.timing.view_timeout_ms))
    effects = seat.hear(seat.forge.tc_of(3, tip))
    assert seat.said(Timeout, effects) == [first]
    assert seat.sent_to(Timeout, effects) == [seat.forge.leader(4)]
    assert seat.sent_to(Tip, effects) == [seat.forge.leader(4)]


def test_the_leader_of_a_view_gets_a_report_unless_one_was_sent():
    seat, tips = seated(3, me=3)
    tip = seat.forge.tip(3, seat.forge.certify(tips[-1]))
    effects = seat.hear(seat.forge.certify(tip))  # no vote of ours carried a report for view 4
    assert seat.sent_to(LaneReport, effects) == [seat.forge.leader(4)]
    assert seat.said(LaneReport, effects)[0].view == 4

    seat, tips = seated(3, me=3)
    seat.hear(seat.forge.proposal(3, tip), 2)
    assert not seat.said(LaneReport, seat.hear(seat.forge.certify(tip)))


def test_views_after_a_jump_report_to_their_leader_too():
    seat, tips = seated(3, me=3)
    effects = seat.hear(seat.forge.tc_of(7, seat.forge.certify(tips[-1])))
    assert seat.sent_to(LaneReport, effects) == [seat.forge.leader(8)]


def test_the_entry_of_a_laggards_timeout_is_how_a_laggard_jumps():
    seat = Seat()
    seat.start()
    tips = seat.forge.chain_of(6)
    qc = seat.forge.certify(tips[5])
    seat.hear(seat.forge.timeout(9, 1, qc, seat.forge.tc_of(8, qc)), 1)
    assert seat.state.view == 9
    assert seat.state.high_qc.view == 6


def test_a_qc_of_the_view_before_is_still_used_after_entering_by_a_tc():
    seat, tips = seated(3)
    tip = seat.forge.tip(3, seat.forge.certify(tips[-1]))
    seat.hear(seat.forge.proposal(3, tip), 2)
    seat.hear(seat.forge.tc_of(3, tip))
    qc: QC = seat.forge.certify(tip)
    seat.hear(qc)
    assert seat.state.view == 4
    assert seat.state.high_qc == qc
    assert seat.state.tree.committed_view == 2


def test_a_certificate_that_nobody_signed_moves_nothing_and_is_its_senders_fault():
    seat, tips = seated(3)
    known = seat.forge.certify(tips[-1])
    qc = seat.forge.certify(seat.forge.tip(3, known))
    tc = seat.forge.tc_of(7, known)
    for false in (replace(qc, signatures=(bytes(65),) * 3), replace(tc, signatures=tc.signatures[::-1])):
        assert seat.faults(seat.hear(false, 2)) == [(2, "bad_signature")]
        assert (seat.state.view, seat.state.high_qc.view) == (3, 2)


def test_a_lower_qc_does_not_lower_what_is_known():
    """QC 3 was shown to us; the others go on from QC 2, and we with them."""
    seat, tips = seated(4, me=3)
    low = seat.forge.certify(tips[1])
    seat.hear(seat.forge.proposal(4, seat.forge.tip(4, low, seat.forge.tc_of(3, low))), 1)
    assert (seat.state.voted_view, seat.state.high_qc.view) == (4, 3)


def test_the_qcs_that_are_kept_are_bounded():
    seat, _ = seated(QCS_KEPT + 10)
    assert len(seat.state.qcs) == QCS_KEPT
    assert max(seat.state.qcs) == QCS_KEPT + 9


def test_a_peer_whose_link_opens_is_told_our_timeout_and_the_next_leader_its_tip():
    seat, tips = seated(3, me=3)
    tip = seat.forge.tip(3, seat.forge.certify(tips[-1]))
    seat.hear(seat.forge.proposal(3, tip), 2)
    (timeout,) = seat.said(Timeout, seat.wait(seat.timing.view_timeout_ms))
    for peer, gets_the_tip in ((0, False), (1, True)):
        effects = seat.step(PeerConnected(ValidatorIndex(peer)))
        assert seat.said(Timeout, effects) == [timeout]
        assert (seat.sent_to(Tip, effects) == [peer]) == gets_the_tip


def test_a_peer_whose_link_opens_is_told_how_the_view_was_entered():
    seat, tips = seated(3)
    qc = seat.forge.certify(tips[-1])
    assert seat.said(QC, seat.step(PeerConnected(ValidatorIndex(2)))) == [qc]
    entry = seat.forge.tc_of(3, qc)
    seat.hear(entry)
    assert seat.said(TC, seat.step(PeerConnected(ValidatorIndex(2)))) == [entry]
