"""Timeouts of others: whose are taken, what they carry, and when they count."""

from dataclasses import replace

from consensus.numbers import ValidatorIndex, View
from consensus.replica.effects import EnterView, FetchTips
from consensus.vocabulary.certificates import TC
from consensus.vocabulary.messages import Timeout
from tests.simulation.seat import Seat


def seated(view: int, me: int = 0) -> tuple[Seat, list]:
    seat = Seat(me)
    seat.start()
    tips = seat.enter(view)
    seat.effects.clear()
    return seat, tips


def test_a_timeout_is_taken_from_its_signers_link_only():
    """The envelope is unsigned: whoever passed it on may have changed it."""
    seat, tips = seated(3)
    qc = seat.forge.certify(tips[-1])
    assert seat.faults(seat.hear(seat.forge.timeout(3, 1, qc, qc), 3)) == [(3, "foreign_timeout")]
    assert not seat.state.timeouts.of_view(View(3))


def test_a_body_that_contradicts_the_tip_it_names_is_its_deliverers_fault():
    seat, tips = seated(4)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(4, qc)
    seat.hear(seat.forge.proposal(4, tip), 1)
    lie = replace(seat.forge.timeout(4, 3, tip, qc).body, qc_view=View(2))
    timeout = replace(seat.forge.timeout(4, 3, tip, qc), body=lie, signature=seat.forge.sign_timeout(lie, 3))
    assert seat.faults(seat.hear(timeout, 3)) == [(3, "timeout_tip")]
    assert not seat.state.timeouts.knows(View(4), ValidatorIndex(3))


def test_a_missing_tip_is_nobodys_fault_and_at_the_next_leader_counts_once_it_is_held():
    seat, tips = seated(4, me=0)  # leader(5)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(4, qc)
    seat.hear(seat.forge.timeout(4, 1, tip, qc), 1)
    seat.hear(seat.forge.timeout(4, 2, tip, qc), 2)
    assert not seat.faults()
    assert seat.state.view == 4  # with its own there are three, of which it can use one
    assert seat.asked(FetchTips, seat.wait(seat.timing.fetch_delay_ms))
    seat.hear(tip, 1)
    assert seat.state.view == 5


def test_elsewhere_its_signature_suffices():
    seat, tips = seated(4, me=3)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(4, qc)
    seat.hear(seat.forge.timeout(4, 1, tip, qc), 1)
    seat.hear(seat.forge.timeout(4, 2, tip, qc), 2)
    assert seat.state.view == 5
    assert not seat.asked(FetchTips, seat.wait(seat.timing.fetch_delay_ms))


def test_at_the_next_leader_a_tip_that_belies_the_timeout_does_not_count_it():
    """The lie came before the tip: the timeout was kept, unjudged; now it cannot stand in a TC of ours."""
    seat, tips = seated(4, me=0)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(4, qc)
    lie = replace(seat.forge.timeout(4, 3, tip, qc).body, qc_view=View(2))
    seat.hear(replace(seat.forge.timeout(4, 3, tip, qc), body=lie, signature=seat.forge.sign_timeout(lie, 3)), 3)
    seat.hear(tip, 1)
    seat.hear(seat.forge.timeout(4, 1, tip, qc), 1)
    assert seat.state.view == 4
    seat.hear(seat.forge.timeout(4, 2, tip, qc), 2)
    assert seat.state.view == 5
    assert isinstance(seat.state.entry, TC)
    assert 3 not in seat.state.entry.signers


def test_a_quorum_of_timeouts_is_a_tc():
    seat, tips = seated(3, me=0)
    qc = seat.forge.certify(tips[-1])
    for signer in (1, 3):
        seat.hear(seat.forge.timeout(3, signer, qc, qc), signer)
    assert [(effect.view, effect.by_timeout) for effect in seat.asked(EnterView)] == [(4, True)]
    assert isinstance(seat.state.entry, TC)
    assert seat.state.entry.signers == (0, 1, 3)


def test_backup_votes_of_a_quorum_are_a_qc():
    seat, tips = seated(3, me=0)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(3, qc)
    votes = {voter: seat.forge.vote(tip.vote_body(View(3)), voter) for voter in (1, 2, 3)}
    for signer in (1, 2, 3):
        seat.hear(seat.forge.timeout(3, signer, tip, qc, votes[signer]), signer)
    assert seat.state.high_qc.body == tip.vote_body(View(3))
    assert seat.state.view == 4


def test_a_timeout_that_is_re_sent_is_not_counted_twice_and_does_not_hide_those_of_others():
    seat, tips = seated(3, me=0)
    qc = seat.forge.certify(tips[-1])
    timeout = seat.forge.timeout(3, 1, qc, qc)
    for _ in range(3):
        seat.hear(timeout, 1)
    assert len(seat.state.timeouts.of_view(View(3))) == 1
    assert not seat.said(Timeout)  # one signer is no witness set, however often it speaks
    seat.hear(seat.forge.timeout(3, 3, qc, qc), 3)
    assert seat.state.view == 4


def test_a_re_sent_timeout_reaches_one_who_restarted_since():
    """Deduplication lives in memory: what was known before a crash is taken again after it."""
    seat, tips = seated(3, me=0)
    qc = seat.forge.certify(tips[-1])
    timeout = seat.forge.timeout(3, 1, qc, qc)
    seat.hear(timeout, 1)
    seat.restart()
    seat.hear(timeout, 1)
    seat.hear(seat.forge.timeout(3, 3, qc, qc), 3)
    assert seat.state.view == 4


def test_what_a_timeout_of_the_view_before_carries_is_used():
    seat, tips = seated(4, me=0)
    low, high = seat.forge.certify(tips[1]), seat.forge.certify(tips[2])
    late = Seat(me=0)
    late.start()
    late.enter(3)
    late.hear(late.forge.tc_of(3, low))
    late.hear(late.forge.timeout(3, 1, low, low, late.forge.vote(tips[2].vote_body(View(3)), 1)), 1)
    assert late.state.view == 4
    late.hear(late.forge.timeout(4, 2, high, high), 2)
    assert late.state.high_qc == high


def test_a_timeout_far_behind_is_not_even_checked():
    seat, tips = seated(4)
    qc = seat.forge.certify(tips[0])
    false = replace(seat.forge.timeout(2, 1, qc, qc), signature=bytes(65))
    assert not seat.faults(seat.hear(false, 1))
