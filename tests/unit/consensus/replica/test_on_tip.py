"""Tips outside proposals: which are taken, whom a missing one is asked of, and when the asking ends."""

from dataclasses import replace

import pytest

from consensus import limits
from consensus.numbers import ValidatorIndex
from consensus.replica.effects import Commit, FetchTips, StoreTips
from consensus.replica.events import TipsFetched
from consensus.replica.walk import want_tip
from consensus.vocabulary.messages import Proposal
from tests.simulation.forge import no_block
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


def test_an_invalid_tip_that_came_along_with_a_timeout_is_its_senders_fault():
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(4)
    tip = seat.forge.tip(4, seat.forge.certify(tips[-1]), height=9)
    assert seat.faults(seat.hear(tip, 1)) == [(1, "height")]
    assert seat.state.tree.get(tip.id) is None


def test_a_tip_of_a_view_ahead_is_not_taken():
    """Valid tips of all views to come can be made of one QC and TCs; nothing names them."""
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(4)
    qc = seat.forge.certify(tips[-1])
    ahead = seat.forge.tip(6, qc, seat.forge.tc_of(5, qc))
    assert seat.faults(seat.hear(ahead, 1)) == []
    assert seat.state.tree.get(ahead.id) is None


def test_wanted_tips_are_bounded():
    seat, _, _ = laggard()
    for number in range(200):
        want_tip(seat.state, no_block(str(number)), (ValidatorIndex(1),))
    assert len(seat.state.wanted) <= 64


def test_a_page_that_is_no_chain_from_the_wanted_tip_is_refused():
    for places in ((2, 1), (3, 1), (3, 3)):
        seat, tips, _ = laggard()
        (asked,) = seat.asked(FetchTips)
        page = tuple(tips[place] for place in places)
        effects = seat.step(TipsFetched(asked.peers[0], asked.wanted, page))
        assert seat.faults(effects) == [(asked.peers[0], "unwanted_tip")]
        assert [tip.view for tip in tips if seat.state.tree.get(tip.id) is not None] == []


def test_a_fetched_tip_with_other_parts_than_its_header_says_is_refused():
    seat, tips, _ = laggard()
    (asked,) = seat.asked(FetchTips)
    swapped = replace(tips[3], reports=seat.forge.reports(4, tips[3].reports[0].sent_ms, validators=(1, 2, 3)))
    assert swapped.id == tips[3].id
    effects = seat.step(TipsFetched(asked.peers[0], asked.wanted, (swapped, *reversed(tips[:3]))))
    assert seat.faults(effects) == [(asked.peers[0], "reports_hash")]
    assert seat.state.tree.get(tips[3].id) is None


def test_an_answer_with_another_tip_than_a_timeout_names_is_refused():
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(4)
    qc = seat.forge.certify(tips[-1])
    named, other = (seat.forge.tip(4, qc, reports=seat.forge.reports(4, qc.body.ts_ms + salt)) for salt in (1, 2))
    seat.hear(seat.forge.timeout(4, 1, named, qc), 1)
    seat.wait(seat.timing.fetch_delay_ms)
    effects = seat.step(TipsFetched(ValidatorIndex(1), named.id, (other,)))
    assert seat.faults(effects) == [(1, "unwanted_tip")]
    assert seat.state.tree.get(other.id) is None


# walks


@pytest.fixture
def _pages_of_two(monkeypatch):
    monkeypatch.setattr(limits, "WALK_TIPS_MAX", 2)


def asked_next(seat: Seat, effects: list) -> FetchTips:
    (asked,) = seat.asked(FetchTips, effects)
    return asked


@pytest.mark.usefixtures("_pages_of_two")
def test_the_next_page_is_asked_of_another_peer():
    seat, tips, _ = laggard()
    (asked,) = seat.asked(FetchTips)
    following = asked_next(seat, seat.step(TipsFetched(asked.peers[0], asked.wanted, (tips[3], tips[2]))))
    assert following.wanted == tips[1].id
    assert following.peers == (*asked.peers[1:], asked.peers[0])


@pytest.mark.usefixtures("_pages_of_two")
def test_a_peer_that_sent_a_short_page_is_asked_after_all_that_did_not():
    seat, tips, _ = laggard()
    (asked,) = seat.asked(FetchTips)
    following = asked_next(seat, seat.step(TipsFetched(asked.peers[0], asked.wanted, (tips[3],))))
    assert following.wanted == tips[2].id
    assert following.peers[-1] == asked.peers[0]
    again = seat.wait(3 * seat.timing.fetch_retry_ms)
    assert {fetch.peers[-1] for fetch in seat.asked(FetchTips, again)} == {asked.peers[0]}


def test_a_peer_that_had_nothing_is_asked_last_until_it_gives_something():
    seat, tips, _ = laggard()
    (asked,) = seat.asked(FetchTips)
    empty_handed = asked.peers[0]
    seat.step(TipsFetched(empty_handed, asked.wanted, ()))
    again = seat.asked(FetchTips, seat.wait(3 * seat.timing.fetch_retry_ms))
    assert len(again) >= 2
    assert {fetch.peers[-1] for fetch in again} == {empty_handed}
    seat.step(TipsFetched(empty_handed, asked.wanted, tuple(reversed(tips))))
    assert not seat.state.fetch_failures


@pytest.mark.usefixtures("_pages_of_two")
def test_pages_on_the_way_are_stored_and_asked_for_again_once_the_way_is_known():
    seat = Seat(me=0)
    seat.start()
    tips = seat.forge.chain_of(7)
    seat.hear(seat.forge.certify(tips[6]))
    asked: FetchTips | None = asked_next(seat, seat.wait(seat.timing.fetch_delay_ms))
    chain = {tip.id: tip for tip in tips}
    wanted, committed = [], []
    stored: set[bytes] = set()
    while asked is not None:
        wanted.append(asked.wanted)
        first = chain[asked.wanted]
        page = [tip for tip in reversed(tips) if asked.floor_height < tip.header.height <= first.header.height][:2]
        sender = seat.state.me if asked.wanted in stored else asked.peers[0]
        effects = seat.step(TipsFetched(sender, asked.wanted, tuple(page)))
        stored.update(tip.id for kept in seat.asked(StoreTips, effects) for tip in kept.tips)
        committed += [block.tip.id for commit in seat.asked(Commit, effects) for block in commit.blocks]
        assert len(seat.state.tree) <= 4
        asked = next(iter(seat.asked(FetchTips, effects)), None)
    down = [tips[at].id for at in (6, 4, 2, 0)]
    assert wanted[: len(down)] == down
    assert set(wanted[len(down) :]) <= stored
    assert committed == [tip.id for tip in tips[:6]]
    assert seat.state.walk is None
    assert not seat.state.wanted


def abandoned() -> tuple[Seat, list, list]:
    """Two QCs that are not consecutive, on tips of a branch that we never saw; and the other branch, up to a QC."""
    seat = Seat(me=0)
    seat.start()
    forge = seat.forge
    first, second = forge.chain_of(2)
    low, provisional = forge.certify(first), forge.certify(second, view=3)
    third = forge.tip(5, provisional, forge.tc_of(4, provisional))
    seat.hear(forge.proposal(1, first), forge.leader(1))
    seat.hear(provisional)
    seat.hear(forge.certify(third, view=6))
    other = forge.tip(8, low, forge.tc_of(7, low))
    ninth = forge.tip(9, forge.certify(other))
    return seat, [first, second, third], [other, ninth]


def go_on(seat: Seat, tips: list) -> None:
    for tip in tips:
        seat.hear(seat.forge.proposal(tip.view, tip), seat.forge.leader(tip.view))
    seat.hear(seat.forge.certify(tips[-1]))


def test_a_certified_tip_is_given_up_once_the_committed_chain_has_its_height():
    seat, (_, second, _), others = abandoned()
    assert second.id in seat.state.wanted
    go_on(seat, others)
    assert seat.state.tree.committed_height == 2
    effects = seat.wait(5 * seat.timing.fetch_retry_ms)
    assert second.id not in {fetch.wanted for fetch in seat.asked(FetchTips, effects)[1:]}
    assert second.id not in seat.state.wanted


def test_a_walk_that_meets_another_chain_than_the_committed_one_ends():
    seat, (_, second, third), others = abandoned()
    go_on(seat, others)
    seat.wait(seat.timing.fetch_retry_ms)
    assert third.id in seat.state.wanted
    effects = seat.step(TipsFetched(seat.state.wanted[third.id].peers[0], third.id, (third, second)))
    assert not seat.asked(StoreTips, effects)
    assert seat.state.walk is None
    effects = seat.wait(5 * seat.timing.fetch_retry_ms)
    assert not seat.asked(FetchTips, effects)
    assert not seat.state.wanted
    assert not seat.faults()


@pytest.mark.usefixtures("_pages_of_two")
def test_a_walk_that_nobody_answers_gives_way_to_that_of_a_newer_qc():
    seat, tips, _ = laggard()
    (asked,) = seat.asked(FetchTips)
    following = asked_next(seat, seat.step(TipsFetched(asked.peers[0], asked.wanted, (tips[3], tips[2]))))
    longer = seat.forge.chain_of(8)
    seat.hear(seat.forge.certify(longer[6]))
    assert longer[6].id not in seat.state.wanted
    for _ in range(2):
        for peer in following.peers:
            seat.step(TipsFetched(peer, following.wanted, ()))
    seat.hear(seat.forge.certify(longer[7]))
    assert longer[7].id in seat.state.wanted
    assert following.wanted not in seat.state.wanted
