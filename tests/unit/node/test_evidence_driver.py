"""Evidence at work: found, checked, stored, spread, and bounded whatever peers send."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from consensus import signing
from consensus.evidence.check import LANE_FORK_RULE, Offence
from consensus.evidence.proofs import InvalidProposal, SignedVote, TwoAttestations, TwoVotes, encode_proof, in_order
from consensus.numbers import Digest, Seq, ValidatorIndex, View
from consensus.signing import sha256
from p2p.errors import PeerFault
from sequencer.attesting.effects import RecordEvidence
from sequencer.lanes.effects import KeepEvidence
from sequencer.node.batch_source import BatchSource
from sequencer.node.evidence_driver import EvidenceDriver
from sequencer.node.evidence_queue import QUEUE_BYTES_MAX, SHARE_MAX
from sequencer.node.frames import FrameKind
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from storage.batches import BatchLog
from storage.database import Database
from storage.evidence import EvidenceStore
from tests.unit.consensus.evidence.test_check import CHAIN, EXAMPLES, FORGE, INNOCENTS, attestation, header, two_tips
from tests.unit.consensus.evidence.test_detector import count_calls

OWN = ValidatorIndex(0)


class Host:
    """Links that note what they are asked to do."""

    def __init__(self):
        self.broadcasts, self.sent, self.accused = [], [], []

    def broadcast(self, kind, body, *, urgent=False):
        assert kind == FrameKind.EVIDENCE
        self.broadcasts.append(body)

    def send(self, peer, kind, body, *, urgent=False):
        assert kind == FrameKind.EVIDENCE
        self.sent.append((peer, body))
        return True

    def accuse(self, peer, fault):
        assert isinstance(fault, PeerFault)
        self.accused.append(peer)


@pytest.fixture
def database(tmp_path):
    with Database.open(tmp_path, CHAIN.chain_id) as opened:
        yield opened


@pytest.fixture
def make_driver(database, tmp_path):
    log = BatchLog.open(tmp_path / "batches", database, CHAIN.chain_id)

    def make(forked=None):
        driver = EvidenceDriver(
            chain=CHAIN,
            index=OWN,
            database=database,
            source=BatchSource(CHAIN, log),
            view=lambda: View(3),
            kept=lambda evidence: None,
            fork_proven=(forked if forked is not None else []).append,
            metrics=Metrics("test"),
        )
        driver.attach(Host())  # type: ignore[arg-type]
        return driver

    yield make
    log.close()


async def take_all(driver):
    """Runs the driver until nothing waits."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        with trio.fail_after(60):
            while driver._queue or driver._limiter.borrowed_tokens:  # noqa: ASYNC110 - a thread works on it
                await trio.sleep(0.001)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_what_the_links_bring_is_compared_and_a_contradiction_is_kept_and_spread(make_driver):
    driver = make_driver()
    first, second = two_tips()
    for tip in (first, second):
        driver.see(FORGE.vote(tip.vote_body(View(1)), 2))
    await take_all(driver)
    (found,) = driver.page(b"", 10)
    assert found.offence == Offence(3, ValidatorIndex(2), 1)
    assert driver._host.broadcasts == [found.proof]
    assert driver._metrics.value(table.CONSENSUS_EVIDENCE, "E3") == 1
    driver.see(FORGE.vote(second.vote_body(View(1)), 2))
    await take_all(driver)
    assert len(driver._host.broadcasts) == 1


async def test_a_refused_proposal_convicts_its_leader(make_driver):
    driver = make_driver()
    first, _ = two_tips()
    peer = ValidatorIndex(1)
    driver.see_refused(peer, FORGE.proposal(3, FORGE.tip(3, FORGE.certify(first))))
    driver.see_refused(peer, FORGE.vote(first.vote_body(View(1)), 2))
    await take_all(driver)
    assert [found.offence.rule for found in driver.page(b"", 10)] == [9]


async def test_a_true_proof_of_a_peer_is_kept_and_sent_on_once_and_a_false_one_is_its_fault(make_driver):
    driver = make_driver()
    proof = encode_proof(EXAMPLES["two timeouts"][0])
    for _ in range(3):
        driver.receive(ValidatorIndex(1), proof)
    driver.receive(ValidatorIndex(2), encode_proof(INNOCENTS["votes of two voters"]))
    driver.receive(ValidatorIndex(3), b"\x01\x03")
    await take_all(driver)
    assert driver._host.broadcasts == [proof]
    assert driver._host.accused == [2, 3]


async def test_after_a_restart_it_is_known_and_shown_to_peers_whose_link_opens(make_driver):
    driver = make_driver()
    proof = encode_proof(EXAMPLES["two votes"][0])
    driver.receive(ValidatorIndex(1), proof)
    await take_all(driver)
    again = make_driver()
    await again.show_all(ValidatorIndex(3))
    assert again._host.sent == [(3, proof)]
    again.receive(ValidatorIndex(1), proof)
    await take_all(again)
    assert not again._host.broadcasts


async def test_a_proof_of_a_peer_tells_of_a_forked_lane_also_after_a_restart(make_driver):
    proof, (rule, validator, _) = EXAMPLES["two batches"]
    assert rule == LANE_FORK_RULE
    driver = make_driver()
    assert not driver.has_forked(ValidatorIndex(validator))
    driver.receive(ValidatorIndex(1), encode_proof(proof))
    driver.receive(ValidatorIndex(1), encode_proof(EXAMPLES["two votes"][0]))
    await take_all(driver)
    for told in (driver, make_driver()):
        assert [lane for lane in range(4) if told.has_forked(ValidatorIndex(lane))] == [validator]


async def test_what_peers_can_make_us_hold_is_bounded(make_driver, monkeypatch):
    monkeypatch.setattr("consensus.evidence.detector.OFFENCES_MAX", 2)
    driver = make_driver()
    first, second = two_tips()
    for view in range(1, 6):
        votes = [FORGE.vote(tip.vote_body(View(view)), 2) for tip in (first, second)]
        driver.receive(ValidatorIndex(1), encode_proof(_ordered_votes(*votes)))
    await take_all(driver)
    assert len(driver.page(b"", 10)) == 2
    for number in range(SHARE_MAX + 50):
        driver.receive(ValidatorIndex(1), b"junk %d" % number)
    assert len(driver._queue) == SHARE_MAX
    await take_all(driver)
    for number in range(40):
        driver.receive(ValidatorIndex(number % 4), b"%d" % number + bytes(1024 * 1024))
    assert 24 <= len(driver._queue) < 32


async def test_a_proof_that_found_no_room_is_taken_when_it_comes_again(make_driver):
    driver, peer = make_driver(), ValidatorIndex(1)
    for number in range(SHARE_MAX):
        driver.receive(peer, b"junk %d" % number)
    proof = encode_proof(EXAMPLES["two votes"][0])
    driver.receive(peer, proof)
    await take_all(driver)
    assert not driver.page(b"", 10)
    driver.receive(peer, proof)
    await take_all(driver)
    assert [found.proof for found in driver.page(b"", 10)] == [proof]


async def test_no_peer_takes_the_room_of_another_or_ours(make_driver):
    driver = make_driver()
    for number in range(QUEUE_BYTES_MAX // 2**20):
        driver.receive(ValidatorIndex(1), number.to_bytes(2**20, "big"))
    for number in range(5 * SHARE_MAX):
        driver.receive(ValidatorIndex(2), b"junk %d" % number)
    driver.receive(ValidatorIndex(3), encode_proof(EXAMPLES["two timeouts"][0]))
    for tip in two_tips():
        driver.see(FORGE.vote(tip.vote_body(View(1)), 2))
    await take_all(driver)
    assert [found.offence.rule for found in driver.page(b"", 10)] == [3, 5]


async def test_what_we_find_ourselves_is_kept_whatever_waits(make_driver, monkeypatch):
    """The detector makes no second proof of an offence: the one it made must not be dropped."""
    monkeypatch.setattr("sequencer.node.evidence_queue.QUEUE_BYTES_MAX", 1024)
    driver = make_driver()
    for peer in range(1, 4):
        driver.receive(ValidatorIndex(peer), bytes(1000 - peer))
    for tip in two_tips():
        driver.see(FORGE.vote(tip.vote_body(View(1)), 2))
    attestations = TwoAttestations(attestation(b"1"), attestation(b"2"))
    driver.keep_attestations(RecordEvidence(attestations.first, attestations.second))
    await take_all(driver)
    assert [found.offence.rule for found in driver.page(b"", 10)] == [3, 6]


async def test_refused_proposals_count_with_their_bytes_for_who_sent_them(make_driver, monkeypatch):
    first, _ = two_tips()
    proposal = FORGE.proposal(3, FORGE.tip(3, FORGE.certify(first)))
    monkeypatch.setattr("sequencer.node.evidence_queue.QUEUE_BYTES_MAX", 2 * len(proposal.encoded))
    driver = make_driver()
    for peer in (1, 1, 2, 2, 3):
        driver.see_refused(ValidatorIndex(peer), proposal)
    assert len(driver._queue) == 2


async def test_what_is_known_is_not_verified_again(make_driver, monkeypatch):
    driver = make_driver()
    first, second = two_tips()
    pairs = [_ordered_votes(*[FORGE.vote(tip.vote_body(View(view)), 2) for tip in (first, second)]) for view in (1, 2)]
    stale = FORGE.proposal(3, FORGE.tip(3, FORGE.certify(first)))
    driver.receive(ValidatorIndex(1), encode_proof(pairs[0]))
    driver.see_refused(ValidatorIndex(1), stale)
    await take_all(driver)
    checked = count_calls(monkeypatch, signing, "is_signature")
    driver.receive(ValidatorIndex(3), encode_proof(_forged(pairs[0])))
    driver.receive(ValidatorIndex(3), encode_proof(InvalidProposal(replace(stale, leader_sig=bytes(65)))))
    driver.see_refused(ValidatorIndex(3), stale)
    await take_all(driver)
    assert checked.total() == 0
    assert [found.offence.rule for found in driver.page(b"", 10)] == [3, 9]


async def test_a_forged_proof_blocks_no_true_one_of_its_offence(make_driver):
    driver = make_driver()
    true = _ordered_votes(*[FORGE.vote(tip.vote_body(View(1)), 2) for tip in two_tips()])
    driver.receive(ValidatorIndex(3), encode_proof(_forged(true)))
    driver.receive(ValidatorIndex(1), encode_proof(true))
    await take_all(driver)
    assert driver._host.accused == [3]
    assert [found.proof for found in driver.page(b"", 10)] == [encode_proof(true)]


async def test_the_batches_of_a_fork_are_read_in_a_thread(make_driver):
    found = {Digest(sha256(label)): header(label)[0] for label in (b"one", b"two")}
    threads = set()

    class Source:
        def load(self, digest):
            threads.add(threading.current_thread())
            signed = found.get(digest)
            return SimpleNamespace(header=signed.header, author_sig=signed.signature) if signed else None

    driver = make_driver()
    driver._source = Source()
    driver.keep_fork(KeepEvidence(ValidatorIndex(3), Seq(5), *found))
    driver.keep_fork(KeepEvidence(ValidatorIndex(3), Seq(5), Digest(bytes(32)), next(iter(found))))
    await take_all(driver)
    assert [kept.offence for kept in driver.page(b"", 10)] == [Offence(7, ValidatorIndex(3), 5)]
    assert threading.main_thread() not in threads


async def test_whom_a_peers_proof_of_a_fork_convicts_is_told(make_driver):
    """We may never see the other half ourselves."""
    forked: list[ValidatorIndex] = []
    driver = make_driver(forked)
    for name in ("two votes", "two batches", "two batches"):
        driver.receive(ValidatorIndex(1), encode_proof(EXAMPLES[name][0]))
    await take_all(driver)
    assert forked == [EXAMPLES["two batches"][1][1]]


def _forged(votes):
    return in_order(replace(votes, second=replace(votes.second, signature=bytes(65))))


def _ordered_votes(first, second):
    pair = [SignedVote(vote.body, vote.signature) for vote in (first, second)]
    return in_order(TwoVotes(first.voter, *pair))


async def test_pages_go_on_behind_an_offence_and_are_bounded_in_bytes(make_driver, database, monkeypatch):
    driver = make_driver()
    for name in ("two votes", "two timeouts", "two batches"):
        driver.receive(ValidatorIndex(1), encode_proof(EXAMPLES[name][0]))
    await take_all(driver)
    first, *rest = driver.page(b"", 10)
    assert [found.offence.rule for found in (first, *rest)] == [3, 5, 7]
    assert driver.page(first.offence.encode(), 1) == rest[:1]
    assert driver.find(first.offence.encode()) == first
    assert driver.find(Offence(1, OWN, 1).encode()) is None
    monkeypatch.setattr("sequencer.node.evidence_driver.EVIDENCE_PAGE_BYTES_MAX", 1)
    assert driver.page(b"", 10) == [first]
    assert EvidenceStore(database).load(header(b"x")[0].encode()[:11]) is None
