"""Votes: one per voter and view, a quorum of one body makes a QC, whatever else was thrown in."""

from dataclasses import replace

import pytest

from consensus import limits
from consensus.numbers import View
from consensus.vocabulary.certificates import QC
from tests.simulation.forge import no_block
from tests.simulation.seat import Seat


def seated(view: int, me: int = 0) -> tuple[Seat, list]:
    seat = Seat(me)
    seat.start()
    tips = seat.enter(view)
    seat.effects.clear()
    return seat, tips


def test_a_quorum_of_votes_for_one_body_is_a_qc():
    seat, tips = seated(3)
    body = seat.forge.tip(3, seat.forge.certify(tips[-1])).vote_body(View(3))
    for voter in (1, 2):
        seat.hear(seat.forge.vote(body, voter), voter)
        assert seat.state.view == 3
    seat.hear(seat.forge.vote(body, 3), 3)
    assert seat.state.view == 4
    assert seat.state.high_qc.signers == (1, 2, 3)


def test_a_quorum_is_counted_in_stake():
    for voters, certified in (((1, 2, 3), False), ((0, 1), True), ((0, 2, 3), True)):
        seat = Seat(me=3, stakes=(4, 3, 2, 1))
        seat.start()
        body = seat.forge.tip(1, seat.forge.genesis_qc).vote_body(View(1))
        for voter in voters:
            seat.hear(seat.forge.vote(body, voter), voter if voter != 3 else 1)
        assert (seat.state.high_qc.view == 1) == certified


def test_the_leader_of_the_view_broadcasts_its_qc():
    for me, leads in ((2, True), (0, False)):
        seat, tips = seated(3, me)
        body = seat.forge.tip(3, seat.forge.certify(tips[-1])).vote_body(View(3))
        for voter in range(4):
            if voter != me:
                seat.hear(seat.forge.vote(body, voter), voter)
        assert (seat.sent_to(QC) == [-1]) == leads


def test_votes_for_different_bodies_do_not_add_up():
    seat, tips = seated(3)
    body = seat.forge.tip(3, seat.forge.certify(tips[-1])).vote_body(View(3))
    for voter in (1, 2, 3):
        seat.hear(seat.forge.vote(replace(body, height=body.height + voter), voter), voter)  # type: ignore[arg-type]
    assert seat.state.high_qc.view == 2


def test_one_bad_vote_spoils_nothing():
    """One bad share: it is its deliverer's fault, and the others still make the QC."""
    seat, tips = seated(3)
    body = seat.forge.tip(3, seat.forge.certify(tips[-1])).vote_body(View(3))
    bad = replace(seat.forge.vote(body, 1), signature=seat.forge.vote(body, 2).signature)
    assert seat.faults(seat.hear(bad, 1)) == [(1, "bad_signature")]
    for voter in (2, 3):
        seat.hear(seat.forge.vote(body, voter), voter)
    seat.hear(seat.forge.vote(body, 1), 1)
    assert seat.state.high_qc.view == 3
    assert seat.state.high_qc.signers == (1, 2, 3)


def test_a_voter_counts_once_per_view():
    seat, tips = seated(3)
    body = seat.forge.tip(3, seat.forge.certify(tips[-1])).vote_body(View(3))
    other = replace(body, block_id=no_block("another"))
    seat.hear(seat.forge.vote(other, 1), 1)
    for _ in range(4):
        seat.hear(seat.forge.vote(body, 1), 1)
        seat.hear(seat.forge.vote(body, 2), 2)
    assert seat.state.high_qc.view == 2


@pytest.mark.parametrize("index", [4, 65_535])
def test_a_vote_of_nobody(index):
    seat, tips = seated(3)
    vote = replace(seat.forge.vote(seat.forge.tip(3, seat.forge.certify(tips[-1])).vote_body(View(3)), 1), voter=index)
    assert seat.faults(seat.hear(vote, 1)) == [(1, "unknown_validator")]


@pytest.mark.parametrize(("ahead", "kept"), [(-2, 0), (-1, 1), (0, 1), (limits.VIEWS_AHEAD, 1), (11, 0), (2**40, 0)])
def test_votes_are_kept_for_views_that_can_matter_soon(ahead, kept):
    seat = Seat()
    seat.start()
    seat.hear(seat.forge.tc_of(4, seat.forge.genesis_qc))
    assert seat.state.view == 5
    tip = seat.forge.tip(1, seat.forge.genesis_qc)
    view = View(5 + ahead)
    seat.hear(seat.forge.vote(tip.vote_body(view), 1), 1)
    assert len(seat.state.votes.bodies(view)) == kept


def test_a_vote_with_the_report_of_another_or_for_another_view_is_dropped():
    seat, tips = seated(4, me=0)
    body = seat.forge.tip(4, seat.forge.certify(tips[-1])).vote_body(View(4))
    for report in (seat.forge.report(5, 2), seat.forge.report(6, 1)):
        seat.hear(seat.forge.vote(body, 1, report), 1)
    assert not seat.state.votes.bodies(View(4))
    seat.hear(seat.forge.vote(body, 1, seat.forge.report(5, 1)), 1)
    assert seat.state.votes.bodies(View(4))


def test_votes_of_past_views_are_forgotten():
    seat, tips = seated(3)
    qc = seat.forge.certify(tips[-1])
    for view in (3, 4):
        seat.hear(seat.forge.vote(seat.forge.tip(view, qc).vote_body(View(view)), 1), 1)
    seat.hear(seat.forge.tc_of(4, qc))
    assert [len(seat.state.votes.bodies(View(view))) for view in (3, 4)] == [0, 1]
