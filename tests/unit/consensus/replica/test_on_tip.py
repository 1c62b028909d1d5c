"""Tips outside proposals: which are taken, whom a missing one is asked of, and when the asking ends."""

from dataclasses import replace

from consensus.replica.effects import Commit, FetchTips
from consensus.replica.events import TipsFetched
from consensus.vocabulary.messages import Proposal
from tests.simulation.seat import Seat


def laggard(me: int = 0) -> tuple[Seat, list, list]:
    """A replica that knows QCs 1 to 4 and none of their tips; tips 2 to 4 are wanted by and by."""
    seat = Seat(me)
    seat.start()
    tips = seat.forge.chain_of(4)
    qcs = [seat.forge.certify(tip) for tip in tips]
    seat.hear(qcs[3])
    seat.wait(seat.timing.fetch_delay_ms)
    return seat, tips, qcs


def test_a_certified_tip_is_asked_for_and_its_parents_are_committed():
    seat, tips, _ = laggard()
    (asked,) = seat.asked(FetchTips)
    assert asked.wanted == tips[3].id
    effects = seat.step(TipsFetched(asked.peers[0], asked.wanted, tuple(reversed(tips))))
    (commit,) = seat.asked(Commit, effects)
    assert [block.tip.id for block in commit.blocks] == [tip.id for tip in tips[:3]]
    assert not seat.faults()


def test_a_fetched_tip_whose_author_did_not_sign_it_is_refused():
    """The id does not cover the author's signature: a tip with another one, re-proposed, would convict its proposer."""
    seat, tips, _ = laggard()
    (asked,) = seat.asked(FetchTips)
    forged = replace(tips[3], author_sig=tips[2].author_sig)
    assert forged.id == tips[3].id
    effects = seat.step(TipsFetched(asked.peers[0], asked.wanted, (forged, *reversed(tips[:3]))))
    assert seat.faults(effects) == [(asked.peers[0], "bad_signature")]
    assert seat.state.tree.get(tips[3].id) is None


def test_whoever_is_known_to_have_a_tip_is_asked_in_turn():
    """A Byzantine timeout that names a tip first must not become its only source."""
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(4)
    tip = seat.forge.tip(4, seat.forge.certify(tips[-1]))
    seat.hear(seat.forge.timeout(4, 1, tip, seat.forge.certify(tips[-1])), 1)  # leader(5) is we: it wants the tip
    assert list(seat.state.wanted) == [tip.id]
    seat.hear(seat.forge.certify(tip, signers=(1, 2, 3)))
    seat.wait(seat.timing.fetch_delay_ms + 3 * seat.timing.fetch_retry_ms)
    asked = [fetch.peers[0] for fetch in seat.asked(FetchTips) if fetch.wanted == tip.id]
    assert set(asked) == {1, 2, 3}


def test_a_tip_that_came_meanwhile_is_not_asked_for_after_its_commit():
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(4)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(4, qc)
    seat.hear(seat.forge.timeout(4, 3, tip, qc), 3)
    assert tip.id in seat.state.wanted
    for view in (4, 5, 6):
        seat.hear(seat.forge.proposal(view, tip), seat.forge.leader(view))
        qc = seat.forge.certify(tip)
        seat.hear(qc)
        tip = seat.forge.tip(view + 1, qc)
    assert seat.state.tree.committed_view == 5
    effects = seat.wait(5 * seat.timing.fetch_retry_ms)
    assert not seat.asked(FetchTips, effects)


def test_a_tip_that_nobody_has_is_not_asked_for_for_ever():
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(4)
    qc = seat.forge.certify(tips[-1])
    never_shown = seat.forge.tip(4, qc)
    seat.hear(seat.forge.timeout(4, 1, never_shown, qc), 1)
    other = seat.forge.tip(4, qc, reports=seat.forge.reports(4, qc.body.ts_ms + 5))
    for view in range(4, 9):
        seat.hear(seat.forge.proposal(view, other), seat.forge.leader(view))
        qc = seat.forge.certify(other)
        seat.hear(qc)
        other = seat.forge.tip(view + 1, qc)
    seat.effects.clear()
    seat.wait(5 * seat.timing.fetch_retry_ms)
    assert not seat.faults()
    assert not seat.asked(FetchTips)
    assert not seat.state.wanted


def test_a_tip_that_was_voted_for_is_kept_however_many_of_its_view_are_known():
    """The leader of view 3 equivocates four times in bare tips before it proposes a fifth."""
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(3)
    qc = seat.forge.certify(tips[-1])
    crowd = [seat.forge.tip(3, qc, reports=seat.forge.reports(3, qc.body.ts_ms + salt)) for salt in range(2, 7)]
    for tip in crowd[:4]:
        seat.hear(tip, 2)
    seat.hear(seat.forge.proposal(3, crowd[4]), 2)
    assert seat.state.voted_view == 3
    assert seat.state.tree.get(crowd[4].id) is not None
    assert not seat.said(Proposal)
