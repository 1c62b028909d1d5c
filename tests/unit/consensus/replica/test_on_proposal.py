"""Voting: one vote per view, for the first valid proposal, whatever else is missing or late."""

from consensus.numbers import Digest, Hash, View
from consensus.replica.effects import NeedBatches, Save, Send
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from tests.simulation.forge import START_MS, no_block
from tests.simulation.seat import Seat


def seated(view: int, me: int = 0) -> tuple[Seat, list]:
    seat = Seat(me)
    seat.start()
    tips = seat.enter(view)
    seat.effects.clear()
    return seat, tips


def test_the_first_proposal_of_the_view_gets_the_vote_and_a_second_none():
    seat, tips = seated(3)
    qc = seat.forge.certify(tips[-1])
    first, second = (seat.forge.tip(3, qc, reports=seat.forge.reports(3, qc.body.ts_ms + late)) for late in (1, 2))
    seat.hear(seat.forge.proposal(3, first), 2)
    seat.hear(seat.forge.proposal(3, second), 2)
    bodies = {vote.body for vote in seat.said(Vote)}
    assert bodies == {first.vote_body(View(3))}


def test_a_proposal_of_a_past_view_gets_no_vote_but_its_tip_is_kept():
    seat, tips = seated(3)
    late = seat.forge.tip(3, seat.forge.certify(tips[-1]))
    seat.hear(seat.forge.tc_of(3, seat.forge.certify(tips[-1])))
    seat.effects.clear()
    seat.hear(seat.forge.proposal(3, late), 2)
    assert not seat.said(Vote)
    assert seat.state.tree.get(late.id) is not None


def test_there_is_no_vote_in_a_view_that_was_timed_out():
    seat, tips = seated(3)
    seat.wait(seat.timing.view_timeout_ms)
    assert seat.said(Timeout)
    seat.hear(seat.forge.proposal(3, seat.forge.tip(3, seat.forge.certify(tips[-1]))), 2)
    assert not seat.said(Vote)


def test_votes_go_to_everybody_and_the_report_to_the_next_leader_alone():
    seat, tips = seated(3)
    effects = seat.hear(seat.forge.proposal(3, seat.forge.tip(3, seat.forge.certify(tips[-1]))), 2)
    assert sorted(seat.sent_to(Vote, effects)) == [1, 2, 3]
    with_report = [vote for vote in seat.said(Vote, effects) if vote.report is not None]
    (vote,) = with_report
    assert vote.report is not None
    assert vote.report.view == 4
    receivers = [effect.to for effect in effects if isinstance(effect, Send) and effect.message == vote]
    assert receivers == [seat.forge.leader(4)]


def test_above_16_validators_votes_go_to_the_leaders_of_this_view_and_the_next():
    seat = Seat(me=0, stakes=(1,) * 17)
    seat.start()
    leader, following = seat.forge.leader(1), seat.forge.leader(2)
    assert 0 not in (leader, following)
    effects = seat.hear(seat.forge.proposal(1, seat.forge.tip(1, seat.forge.genesis_qc)), leader)
    assert sorted(seat.sent_to(Vote, effects)) == sorted({leader, following})


def test_the_vote_and_its_tip_are_saved_before_it_leaves():
    seat, tips = seated(3)
    tip = seat.forge.tip(3, seat.forge.certify(tips[-1]))
    effects = seat.hear(seat.forge.proposal(3, tip), 2)
    names = [type(effect).__name__ for effect in effects]
    assert names.index("Save") < names.index("Send")
    (save,) = seat.asked(Save, effects)
    assert save.record.voted_view == 3
    assert save.record.high_tip_id == tip.id
    assert tip.id in {kept.id for kept in save.tips}


def test_a_lower_ranked_tip_is_voted_for_and_does_not_lower_what_we_report():
    """Keep-max: an equivocating leader(3) showed us one of its tips; TC 3 of the others names the other one."""
    seat, tips = seated(3)
    qc = seat.forge.certify(tips[-1])
    made = [seat.forge.tip(3, qc, reports=seat.forge.reports(3, qc.body.ts_ms + late)) for late in (1, 9)]
    high, low = sorted(made, key=lambda tip: tip.id)  # on a tie the smaller id ranks higher
    seat.hear(seat.forge.proposal(3, high), 2)
    seat.hear(seat.forge.proposal(4, low, seat.forge.tc(3, dict.fromkeys((1, 2, 3), low))), 1)
    assert seat.state.voted_view == 4
    assert seat.state.high_tip is not None
    assert seat.state.high_tip.id == high.id


def test_of_two_tips_of_one_view_the_one_on_the_higher_justify_is_kept():
    tips = Seat().forge.chain_of(2)
    low, high = Seat().forge.certify(tips[0]), Seat().forge.certify(tips[1])
    for first, second in ((low, high), (high, low)):
        seat = Seat()
        seat.start()
        seat.enter(3)
        seat.hear(seat.forge.tc_of(3, high))
        made = {
            qc.view: seat.forge.tip(4, qc, seat.forge.tc_of(3, qc), seat.forge.reports(4, high.body.ts_ms + 3))
            for qc in (first, second)
        }
        seat.hear(seat.forge.proposal(4, made[first.view]), 1)
        entry = seat.forge.tc(4, dict.fromkeys((1, 2, 3), made[second.view]))
        seat.hear(seat.forge.proposal(5, made[second.view], entry), 1)
        assert seat.state.high_tip is not None
        assert seat.state.high_tip.justify.view == 2


def test_nothing_but_validity_stops_a_vote():
    """Missing batches, an unknown parent, reports from a far future: the vote leaves, fetching starts at once."""
    seat = Seat()
    seat.start()
    digest = Digest(no_block("a batch that nobody here holds"))
    far_ms = START_MS + 10**9
    unknown = seat.forge.qc(seat.forge.chain_of(5)[4].vote_body(View(5)))
    lanes = {2: (0, ((digest, 5),))}
    reports = tuple(seat.forge.report(6, validator, far_ms, lanes, Anchor(64, Hash(digest))) for validator in (0, 1, 2))
    tip = seat.forge.tip(6, unknown, reports=reports)
    effects = seat.hear(seat.forge.proposal(6, tip), 3)
    assert {vote.body.block_id for vote in seat.said(Vote, effects)} == {tip.id}
    (needed,) = seat.asked(NeedBatches, effects)
    (batch,) = needed.batches
    assert (batch.lane, batch.seq) == (2, 1)
    assert batch.digest == digest
    assert set(batch.holders) == {1, 2}
    assert seat.state.sent_ms() >= far_ms  # and its own next report is not older than what it voted for


def test_an_invalid_proposal_leaves_nothing_but_a_fault_of_its_deliverer():
    seat, tips = seated(3)
    bad = seat.forge.tip(3, seat.forge.certify(tips[-1]), height=77)
    effects = seat.hear(seat.forge.proposal(3, bad), 1)
    assert seat.faults(effects) == [(1, "height")]
    assert not seat.said(Vote, effects)
    good = seat.forge.tip(3, seat.forge.certify(tips[-1]))
    assert seat.said(Vote, seat.hear(seat.forge.proposal(3, good), 2))


def test_a_proposal_takes_a_laggard_along():
    """Its justify, its entry and its proof are certificates like any other."""
    seat = Seat()
    seat.start()
    tips = seat.forge.chain_of(4)
    qc = seat.forge.certify(tips[3])
    seat.hear(seat.forge.proposal(5, seat.forge.tip(5, qc)), 1)
    assert seat.state.view == 5
    entry = seat.forge.tc_of(7, tips[3])
    seat.hear(seat.forge.proposal(8, tips[3], entry), 1)
    assert seat.state.view == 8
    fresh = seat.forge.tc_of(10, qc)
    seat.hear(seat.forge.proposal(11, seat.forge.tip(11, qc, fresh)), 2)
    assert seat.state.view == 11
    assert not seat.said(Proposal)
