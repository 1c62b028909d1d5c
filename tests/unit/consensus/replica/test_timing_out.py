"""Timing out: the backup vote first, then one body, signed once and re-sent as it is."""

from dataclasses import replace

import pytest

from consensus.numbers import View
from consensus.replica.effects import Save
from consensus.vocabulary.certificates import NO_TIP
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


def timed_out(seat: Seat) -> Timeout:
    seat.effects.clear()
    seat.wait(seat.timing.view_timeout_ms * 2)
    return seat.said(Timeout)[0]


def test_without_a_tip_above_it_the_highest_qc_is_reported_and_carried():
    seat, tips = seated(3)
    timeout = timed_out(seat)
    assert (timeout.view, timeout.body.tip_view, timeout.body.tip_id, timeout.body.qc_view) == (3, 0, NO_TIP, 2)
    assert timeout.qc == seat.forge.certify(tips[-1])
    assert timeout.backup_vote is None
    assert timeout.entry == timeout.qc


def test_a_tip_is_reported_with_its_own_justify_view_not_with_the_highest_qc():
    """Leader(3)'s tip stands on QC 1 by a TC; we know QC 2. Reporting 2 would lift the tip above its rank: a fork."""
    seat = Seat(me=0)
    seat.start()
    seat.enter(2)
    low = seat.forge.certify(seat.forge.chain_of(1)[0])
    seat.hear(seat.forge.tc_of(2, low))
    other = seat.forge.tip(2, low, reports=seat.forge.reports(2, low.body.ts_ms + 7))
    tip = seat.forge.tip(3, low, seat.forge.tc_of(2, low))
    seat.hear(seat.forge.proposal(3, tip), 2)
    seat.hear(seat.forge.certify(other))  # a QC of view 2 that was hidden until now
    assert seat.state.high_qc.view == 2
    timeout = timed_out(seat)
    assert (timeout.body.tip_id, timeout.body.tip_view, timeout.body.qc_view) == (tip.id, 3, 1)
    assert timeout.qc is None


def test_a_tip_that_a_qc_covers_is_reported_no_more():
    seat, tips = seated(3)
    tip = seat.forge.tip(3, seat.forge.certify(tips[-1]))
    seat.hear(seat.forge.proposal(3, tip), 2)
    seat.hear(seat.forge.certify(tip))
    timeout = timed_out(seat)
    assert not timeout.body.names_tip
    assert timeout.body.qc_view == 3


def test_the_vote_already_cast_in_the_view_is_the_backup_vote():
    seat, tips = seated(3)
    tip = seat.forge.tip(3, seat.forge.certify(tips[-1]))
    seat.hear(seat.forge.proposal(3, tip), 2)
    cast = seat.said(Vote)[0].without_report()
    assert timed_out(seat).backup_vote == cast


def waiting_for_a_re_proposal() -> tuple[Seat, Tip]:
    """In view 4, entered by a TC that names tip 3, which we hold but never voted for; leader(4) is silent."""
    seat, tips = seated(3, me=3)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(3, qc)
    seat.wait(seat.timing.view_timeout_ms)
    seat.hear(seat.forge.proposal(3, tip), 2)  # too late for a vote
    assert not seat.said(Vote)
    seat.hear(seat.forge.tc(3, {0: qc, 1: tip, 2: tip}))
    assert seat.state.view == 4
    return seat, tip


def test_the_tip_that_the_entry_names_gets_a_backup_vote_which_counts_as_a_vote():
    seat, tip = waiting_for_a_re_proposal()
    timeout = timed_out(seat)
    assert timeout.backup_vote is not None
    assert timeout.backup_vote.body == tip.vote_body(View(4))
    saves = seat.asked(Save)
    assert saves[0].record.voted_view == 4
    assert saves[0].record.high_tip_id == tip.id
    assert tip.id in seat.stored
    assert timeout.body.tip_id == tip.id
    assert (timeout.body.tip_view, timeout.body.qc_view) == (3, 2)
    seat.hear(seat.forge.proposal(4, tip, seat.forge.tc(3, dict.fromkeys((0, 1, 2), tip))), 1)
    assert not seat.said(Vote)  # it stands in the timeout; there is no second one


def test_a_tip_of_the_same_id_but_another_rank_gets_no_backup_vote():
    seat, tips = seated(3, me=3)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(3, qc)
    seat.wait(seat.timing.view_timeout_ms)
    seat.hear(seat.forge.proposal(3, tip), 2)
    lie = replace(seat.forge.body(3, tip), qc_view=View(1))
    seat.hear(seat.forge.tc(3, {0: seat.forge.genesis_qc, 1: lie, 2: seat.forge.genesis_qc}))
    assert timed_out(seat).backup_vote is None


def test_a_timeout_is_re_sent_verbatim_each_period_even_if_more_is_known_by_then():
    """The tip of the entry arrives after the body was signed: a backup vote added now would contradict it."""
    seat, tips = seated(3, me=3)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(3, qc)
    seat.hear(seat.forge.tc(3, {0: qc, 1: tip, 2: tip}))
    first = timed_out(seat)
    assert first.view == 4
    assert first.backup_vote is None
    seat.hear(tip, 2)
    seat.hear(seat.forge.certify(tips[-1], signers=(1, 2, 3)))
    effects = seat.wait(3 * seat.timing.view_timeout_ms)
    again = seat.said(Timeout, effects)
    assert again == [first]
    assert len([receiver for receiver in seat.sent_to(Timeout, effects) if receiver == -1]) >= 2
    assert not seat.said(Vote, effects)


def test_a_timeout_is_re_sent_verbatim_even_if_a_higher_qc_is_known_by_then():
    seat, tips = seated(3, me=3)
    qc = seat.forge.certify(tips[-1])
    seat.hear(seat.forge.tc_of(3, qc))
    first = timed_out(seat)
    late = seat.forge.certify(seat.forge.tip(3, qc))
    seat.hear(late)
    assert seat.state.high_qc == late
    assert seat.said(Timeout, seat.wait(3 * seat.timing.view_timeout_ms)) == [first]


def test_a_timeout_is_re_sent_verbatim_after_a_restart():
    seat, tips = seated(3, me=3)
    tip = seat.forge.tip(3, seat.forge.certify(tips[-1]))
    seat.hear(seat.forge.proposal(3, tip), 2)
    first = timed_out(seat)
    effects = seat.restart()
    assert seat.said(Timeout, effects) == [first]
    assert seat.said(Timeout, seat.wait(5 * seat.timing.view_timeout_ms)) == [first]


def test_the_timeout_goes_to_all_the_tip_and_a_report_to_the_next_leader_alone():
    seat, tips = seated(3, me=3)
    tip = seat.forge.tip(3, seat.forge.certify(tips[-1]))
    seat.hear(seat.forge.proposal(3, tip), 2)
    timed_out(seat)
    following = seat.forge.leader(4)
    assert seat.sent_to(Timeout) == [-1] * len(seat.sent_to(Timeout))
    assert set(seat.sent_to(Tip)) == {following}
    assert set(seat.sent_to(LaneReport)) == {following}
    assert {report.view for report in seat.said(LaneReport)} == {4}


@pytest.mark.parametrize(("signers", "joins"), [((1,), False), ((1, 3), True), ((2,), True)])
def test_a_witness_set_or_the_leader_makes_everybody_time_out(signers, joins):
    seat, tips = seated(3)  # leader(3) is 2
    qc = seat.forge.certify(tips[-1])
    for signer in signers:
        seat.hear(seat.forge.timeout(3, signer, qc, qc), signer)
    assert bool(seat.said(Timeout)) == joins


def test_a_witness_set_is_counted_in_stake():
    for signers, joins in (((1,), False), ((3,), False), ((1, 3), True)):
        seat = Seat(me=0, stakes=(4, 3, 2, 1))
        seat.start()
        assert seat.forge.leader(1) == 0
        for signer in signers:
            seat.hear(seat.forge.timeout(1, signer, seat.forge.genesis_qc, seat.forge.genesis_qc), signer)
        assert bool(seat.said(Timeout)) == joins


def test_timeouts_of_others_after_our_own_make_us_sign_nothing_new():
    """A witness set that forms later, and a QC that was hidden until now, would change the body."""
    seat = Seat(me=0)
    seat.start()
    seat.enter(2)
    low = seat.forge.certify(seat.forge.chain_of(1)[0])
    entry = seat.forge.tc_of(2, low)
    seat.hear(entry)
    first = timed_out(seat)
    seat.hear(seat.forge.certify(seat.forge.tip(2, low)))
    for signer in (1, 2):
        seat.hear(seat.forge.timeout(3, signer, low, entry), signer)
    assert seat.state.high_qc.view == 2
    assert seat.said(Timeout) == [first]
