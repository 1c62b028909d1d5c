"""The watcher itself: it convicts whoever breaks a rule of evidence, and nobody who does not."""

from dataclasses import replace

import pytest

from consensus.numbers import View
from consensus.replica.effects import Message
from tests.simulation.forge import Forge
from tests.simulation.keys import make_genesis
from tests.simulation.watcher import Watcher

FORGE = Forge(make_genesis((1, 1, 1, 1)))
TIPS = FORGE.chain_of(4)
QCS = [FORGE.genesis_qc, *(FORGE.certify(tip) for tip in TIPS)]
OTHER = FORGE.tip(3, QCS[2], reports=FORGE.reports(3, QCS[2].body.ts_ms + 9))
LEADER = FORGE.leader(3)
ENTRY = FORGE.tc(3, dict.fromkeys((0, 1, 3), OTHER))


def convicted(*messages: Message, sender: int = 1) -> set[tuple[str, int]]:
    watcher = Watcher(FORGE.leader, FORGE.chain.validator_set.is_quorum)
    for message in messages:
        watcher.see(sender, message)
    return {(item.rule, item.validator) for item in watcher.convictions()}


def test_e1_two_tips_of_one_view():
    assert convicted(TIPS[2], OTHER) == {("E1", LEADER)}
    assert convicted(TIPS[2], TIPS[2], TIPS[1]) == set()


def test_e2_two_proposals_of_one_view():
    leader = FORGE.leader(4)
    assert ("E2", leader) in convicted(FORGE.proposal(4, OTHER, ENTRY), FORGE.proposal(4, TIPS[3]))
    assert convicted(FORGE.proposal(4, TIPS[3]), FORGE.proposal(4, TIPS[3])) == set()


def test_e3_two_votes_of_one_view_wherever_they_stand():
    one, other = TIPS[2].vote_body(View(3)), OTHER.vote_body(View(3))
    assert convicted(FORGE.vote(one, 1), FORGE.vote(other, 1)) == {("E3", 1)}
    assert convicted(FORGE.vote(one, 1), FORGE.vote(other, 2)) == set()
    in_timeout = FORGE.timeout(3, 1, OTHER, QCS[2], FORGE.vote(other, 1))
    assert ("E3", 1) in convicted(FORGE.vote(one, 1), in_timeout)
    assert ("E3", 1) in convicted(FORGE.vote(one, 1), FORGE.certify(OTHER, signers=(0, 1, 3)))


@pytest.mark.parametrize(
    ("high", "guilty"),
    [(QCS[2], True), (TIPS[1], True), (TIPS[2], False), (QCS[3], False), (TIPS[3], False)],
    ids=["lower QC", "lower tip", "the tip", "its QC", "higher tip"],
)
def test_e4_a_vote_and_a_timeout_of_its_view_or_later_below_it(high, guilty):
    vote = FORGE.vote(TIPS[2].vote_body(View(3)), 1)
    for view in (4, 9):
        timeout = FORGE.timeout(view, 1, high, QCS[3])
        assert (("E4", 1) in convicted(vote, timeout)) == guilty
        assert (("E4", 1) in convicted(timeout, vote)) == guilty


def test_e4_compares_the_justify_view_too_and_forgives_earlier_timeouts():
    vote = FORGE.vote(TIPS[2].vote_body(View(4)), 1)
    body = replace(FORGE.body(4, TIPS[2]), qc_view=View(1))
    lie = replace(FORGE.timeout(4, 1, TIPS[2], QCS[3]), body=body)
    assert ("E4", 1) in convicted(vote, lie)
    assert convicted(vote, FORGE.timeout(3, 1, QCS[2], QCS[2])) == set()


def test_e5_two_timeouts_of_one_view():
    one, other = FORGE.timeout(4, 1, QCS[3], QCS[3]), FORGE.timeout(4, 1, TIPS[3], QCS[3])
    assert convicted(one, other) == {("E5", 1)}
    assert ("E5", 1) in convicted(one, FORGE.tc(4, dict.fromkeys((0, 1, 3), TIPS[3])))


def test_a_timeout_that_changes_in_its_envelope_is_noticed_though_nobody_could_prove_it():
    watcher = Watcher(FORGE.leader, FORGE.chain.validator_set.is_quorum)
    timeout = FORGE.timeout(4, 1, TIPS[3], QCS[3])
    watcher.see(1, timeout)
    watcher.see(2, replace(timeout, entry=FORGE.tc_of(3, QCS[3])))  # another's doing
    watcher.check({0, 1, 2, 3})
    watcher.see(1, replace(timeout, backup_vote=FORGE.vote(TIPS[3].vote_body(View(4)), 1)))
    with pytest.raises(AssertionError, match="changed"):
        watcher.check({0, 1, 2, 3})
