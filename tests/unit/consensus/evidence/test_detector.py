"""What the detector remembers, believes and forgets."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from consensus import signing
from consensus.evidence import detector as detectors
from consensus.evidence.check import Offence, check_proof
from consensus.evidence.detector import Detector, views_kept
from consensus.numbers import Epoch, ValidatorIndex, View
from consensus.vocabulary.messages import Vote
from tests.simulation.keys import node_key
from tests.unit.consensus.evidence.test_check import CHAIN, FORGE, two_tips

FIRST, SECOND = two_tips()
VOTER = 2
KEPT = views_kept(4)
NOW = 10_000


def make(view: int = 1, **options) -> Detector:
    detector = Detector(CHAIN, **options)
    detector.enter(View(view))
    return detector


def vote(tip, view: int = 1, voter: int = VOTER) -> Vote:
    return FORGE.vote(tip.vote_body(View(view)), voter)


def forged(tip, view: int = 1) -> Vote:
    """In the voter's name, signed by another."""
    return replace(vote(tip, view), signature=vote(tip, view, voter=1).signature)


def count_calls(monkeypatch, module, name: str) -> Counter[str]:
    """From now on, of a function that goes on to work."""
    calls: Counter[str] = Counter()
    real = getattr(module, name)

    def count(*given):
        calls[name] += 1
        return real(*given)

    monkeypatch.setattr(module, name, count)
    return calls


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
    detector = make(NOW)
    for view in (NOW - KEPT - 1, NOW + 11, 2**63):
        for tip in (FIRST, SECOND):
            assert not detector.see(vote(tip, view))
    detector.enter(View(NOW + KEPT + 1_000))
    assert not any(statements.votes for statements in detector._statements)


@pytest.mark.parametrize("view", [NOW - KEPT, NOW, NOW + 10])
def test_views_nearby_are(view):
    detector = make(NOW)
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
    assert detector.convict_leader(replace(proposal, view=View(NOW))) is None


def of_another_epoch(tip) -> Vote:
    body = replace(tip.vote_body(View(1)), epoch=Epoch(1))
    return Vote(body, ValidatorIndex(VOTER), node_key(VOTER).sign(body.signing_digest(CHAIN.domain)))


def test_a_statement_of_another_epoch_is_not_kept_beside_those_of_this():
    detector = make()
    assert not detector.see(of_another_epoch(FIRST))
    assert not detector.see(vote(FIRST))
    assert not detector.see(of_another_epoch(SECOND))
    assert convicted(detector.see(vote(SECOND))) == [f"E3 by validator {VOTER} at 1"]


@pytest.mark.parametrize("true_first", [True, False])
def test_a_forged_copy_does_not_hide_the_true_statement(true_first):
    detector = make()
    copies = [forged(FIRST), vote(FIRST)]
    for copy in reversed(copies) if true_first else copies:
        assert not detector.see(copy)
    assert convicted(detector.see(vote(SECOND))) == [f"E3 by validator {VOTER} at 1"]


def test_nothing_is_read_of_a_certificate_behind_a_false_signature(monkeypatch):
    detector = make()
    detector.see(FORGE.certify(FIRST, signers=(0, 1, 2)))
    checked = count_calls(monkeypatch, signing, "is_signature")
    qc = FORGE.certify(SECOND, signers=(0, 1, 2))
    assert not detector.see(replace(qc, signatures=(bytes(65), *qc.signatures[1:])))
    assert checked.total() == 1


def test_a_forged_vote_is_checked_once_whatever_it_contradicts(monkeypatch):
    child = FORGE.tip(2, FORGE.certify(FIRST))
    detector = make(40)
    for view in range(2, 40):
        assert not detector.see(FORGE.timeout(view, VOTER, FIRST, FORGE.genesis_qc))
    checked = count_calls(monkeypatch, signing, "is_signature")
    assert not detector.see(forged(child, 2))
    assert checked.total() == 1
    found = convicted(detector.see(vote(child, 2)))
    assert found == [f"E4 by validator {VOTER} at {view}" for view in range(2, 2 + detectors.OFFENCES_MAX)]


def test_what_agrees_costs_a_look_at_few_views(monkeypatch):
    """However many are remembered: votes rise, and timeouts report what was voted for last."""
    child = FORGE.tip(2, FORGE.certify(FIRST))
    detector = make(2)
    detector.see(vote(child, 2))
    looks = count_calls(monkeypatch, detectors, "is_below")
    for view in range(3, 40):
        detector.enter(View(view))
        tip = FORGE.tip(view, FORGE.genesis_qc)
        detector.see(vote(tip, view))
        detector.see(FORGE.timeout(view, VOTER, tip, FORGE.genesis_qc))
    assert 37 <= looks.total() <= 2 * 37


def test_a_tip_of_somebody_who_does_not_lead_is_not_remembered():
    detector = make(1_000)
    for view in range(1, 1_000):
        author = ValidatorIndex((FORGE.leader(view) + 1) % 4)
        detector.see(replace(FIRST, header=replace(FIRST.header, view=View(view), author=author)))
    assert not any(statements.tips for statements in detector._statements)


def test_what_is_remembered_goes_with_the_views():
    detector = make()
    for view in range(1, KEPT + 500):
        detector.enter(View(view))
        detector.see(vote(FIRST, view))
    (kept,) = [statements.votes for statements in detector._statements if statements.votes]
    assert KEPT <= len(kept) <= KEPT + 33
    assert min(kept) >= 500 - 33
