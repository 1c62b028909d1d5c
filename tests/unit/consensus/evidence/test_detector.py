"""What the detector remembers, believes and forgets."""

from dataclasses import replace
from typing import Any

import pytest

from consensus import signing
from consensus.evidence import detector as detectors
from consensus.evidence.check import Offence, check_proof
from consensus.evidence.detector import VIEWS_KEPT, Detector
from consensus.numbers import ValidatorIndex, View
from consensus.vocabulary.messages import Vote
from tests.unit.consensus.evidence.test_check import CHAIN, FORGE, two_tips

FIRST, SECOND = two_tips()
VOTER = 2


def make(view: int = 1, **options) -> Detector:
    detector = Detector(CHAIN, **options)
    detector.enter(View(view))
    return detector


def vote(tip, view: int = 1, voter: int = VOTER) -> Vote:
    return FORGE.vote(tip.vote_body(View(view)), voter)


def forged(tip, view: int = 1) -> Vote:
    """In the voter's name, signed by another."""
    return replace(vote(tip, view), signature=vote(tip, view, voter=1).signature)


def convicted(proofs) -> list[str]:
    return [str(check_proof(proof, CHAIN)) for proof in proofs]


def test_statements_count_wherever_they_stand():
    child = FORGE.tip(2, FORGE.certify(FIRST, signers=(0, 1, 2)))
    entry = FORGE.certify(SECOND, signers=(1, 2, 3))
    cases: dict[str, list[Any]] = {
        "alone": [vote(FIRST), vote(SECOND)],
        "in certificates": [FORGE.certify(FIRST, signers=(0, 1, 2)), FORGE.certify(SECOND, signers=(1, 2, 3))],
        "in a justify and an entry": [child, FORGE.timeout(2, 0, FORGE.genesis_qc, entry)],
        "in an envelope": [vote(SECOND), FORGE.timeout(1, VOTER, FIRST, FORGE.genesis_qc, vote(FIRST))],
    }
    for name, messages in cases.items():
        detector = make(2)
        found = [proof for message in messages for proof in detector.see(message)]
        assert f"E3 by validator {VOTER} at 1" in convicted(found), name


def test_a_forged_statement_convicts_nobody_and_hides_nothing():
    detector = make()
    assert not detector.see(forged(FIRST))
    assert not detector.see(vote(SECOND))
    assert not detector.see(forged(FIRST))
    assert convicted(detector.see(vote(FIRST))) == [f"E3 by validator {VOTER} at 1"]
    timeouts = make(3)
    false = replace(FORGE.timeout(2, VOTER, FORGE.certify(FIRST), FORGE.genesis_qc), signature=bytes(65))
    child = FORGE.tip(2, FORGE.certify(FIRST))
    assert not timeouts.see(vote(child, 2))
    assert not timeouts.see(false)
    true = FORGE.timeout(3, VOTER, FIRST, FORGE.certify(child))
    assert f"E4 by validator {VOTER} at 3" in convicted(timeouts.see(true))


def test_a_forged_vote_above_a_true_timeout_convicts_nobody():
    child = FORGE.tip(2, FORGE.certify(FIRST))
    detector = make(3)
    assert not detector.see(forged(child, 2))
    assert not detector.see(FORGE.timeout(3, VOTER, FIRST, FORGE.genesis_qc))
    assert convicted(detector.see(vote(child, 2))) == [f"E4 by validator {VOTER} at 3"]


def test_honest_traffic_costs_no_signature(monkeypatch):
    def refuse(*_):
        raise AssertionError("a signature was checked")

    tips = FORGE.chain_of(4)
    monkeypatch.setattr(signing, "is_signature", refuse)
    detector = make(4)
    for tip in tips:
        for voter in range(4):
            detector.see(vote(tip, tip.view, voter))
        detector.see(FORGE.proposal(tip.view, tip))
        detector.see(tip.justify)


def test_one_proof_per_offence_and_as_many_offences_as_are_allowed(monkeypatch):
    monkeypatch.setattr(detectors, "OFFENCES_MAX", 2)
    detector = make(6, known=[Offence(3, ValidatorIndex(VOTER), 1)])
    found = [proof for view in range(1, 7) for tip in (FIRST, SECOND, FIRST) for proof in detector.see(vote(tip, view))]
    assert convicted(found) == [f"E3 by validator {VOTER} at 2"]


def test_many_offences_against_one_rule_leave_room_for_others(monkeypatch):
    monkeypatch.setattr(detectors, "OFFENCES_MAX", 1)
    leader = FORGE.leader(1)
    detector = make(1, known=[Offence(rule, leader, 9) for rule in (3, 9)])
    found = [proof for tip in (FIRST, SECOND) for proof in detector.see(FORGE.proposal(1, tip))]
    assert convicted(found) == [f"E2 by validator {leader} at 1", f"E1 by validator {leader} at 1"]


def test_views_far_away_are_not_remembered():
    detector = make(1_000)
    for view in (1_000 - VIEWS_KEPT - 1, 1_000 + 11, 2**63):
        for tip in (FIRST, SECOND):
            assert not detector.see(vote(tip, view))
    detector.enter(View(10_000))
    assert not any(statements.votes for statements in detector._statements)


@pytest.mark.parametrize("view", [1_000 - VIEWS_KEPT, 1_000, 1_010])
def test_views_nearby_are(view):
    detector = make(1_000)
    found = [proof for tip in (FIRST, SECOND) for proof in detector.see(vote(tip, view))]
    assert convicted(found) == [f"E3 by validator {VOTER} at {view}"]


def test_an_invalid_proposal_convicts_its_leader_once():
    detector = make(3)
    proposal = FORGE.proposal(3, FORGE.tip(3, FORGE.certify(FIRST)))
    proof = detector.convict_leader(proposal)
    assert proof is not None
    detector.note(check_proof(proof, CHAIN))
    assert detector.convict_leader(proposal) is None
    assert detector.convict_leader(FORGE.proposal(1, FIRST)) is None
    assert detector.convict_leader(replace(proposal, view=View(10_000))) is None
