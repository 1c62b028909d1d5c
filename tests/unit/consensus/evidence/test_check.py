"""Each rule of evidence: what convicts, and every trick of an accuser that must not."""

from dataclasses import replace

import pytest

from consensus.encoding import optional
from consensus.errors import DecodeError, InvalidObject
from consensus.evidence.check import OFFENCE_BYTES, Offence, check_proof
from consensus.evidence.proofs import (
    FalseReceipt,
    InvalidProposal,
    Proof,
    SignedHeader,
    SignedProposal,
    SignedTimeout,
    SignedTip,
    SignedVote,
    TwoAttestations,
    TwoBatches,
    TwoBatchShares,
    TwoProposals,
    TwoTimeouts,
    TwoTips,
    TwoVotes,
    VoteAboveTimeout,
    decode_proof,
    encode_proof,
    in_order,
)
from consensus.numbers import (
    GENESIS_EPOCH,
    BlockId,
    Digest,
    Epoch,
    Hash,
    Height,
    Milliseconds,
    NamespaceId,
    Seq,
    ValidatorIndex,
    View,
)
from consensus.signing import Kind, sha256
from consensus.vocabulary.attestation import Attestation, AttestationShare
from consensus.vocabulary.batch import KIND_OPEN, BatchHeader, SegmentEntry, frame_items, transaction_id
from consensus.vocabulary.l1_batch import BatchShare, DataKind, L1Batch
from consensus.vocabulary.messages import Proposal
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from consensus.vocabulary.tip import Tip
from tests.simulation.forge import START_MS, Forge
from tests.simulation.keys import bls_key, make_genesis, node_key

CHAIN = make_genesis((1, 1, 1, 1))
OTHER_CHAIN = replace(CHAIN, name="another")
FORGE = Forge(CHAIN)
NAMESPACE = NamespaceId(1001)


def signed_tip(tip: Tip) -> SignedTip:
    return SignedTip(tip.header, tip.author_sig)


def signed_proposal(proposal: Proposal) -> SignedProposal:
    entry = sha256(optional(proposal.entry.encoded if proposal.entry else None))
    author = sha256(proposal.tip.author_sig)
    return SignedProposal(proposal.epoch, proposal.view, proposal.tip.id, author, entry, proposal.leader_sig)


def vote(tip: Tip, view: int, voter: int = 2) -> SignedVote:
    made = FORGE.vote(tip.vote_body(View(view)), voter)
    return SignedVote(made.body, made.signature)


def timeout(view: int, high, signer: int = 2) -> SignedTimeout:
    body = FORGE.body(view, high)
    return SignedTimeout(body, FORGE.sign_timeout(body, signer))


def two_tips() -> tuple[Tip, Tip]:
    """Of view 1, by its leader."""
    first = FORGE.tip(1, FORGE.genesis_qc)
    return first, FORGE.tip(1, FORGE.genesis_qc, reports=FORGE.reports(1, START_MS + 99))


def attestation(root: bytes, height: int = 7, validator: int = 1) -> AttestationShare:
    body = Attestation(GENESIS_EPOCH, Height(height), BlockId(sha256(b"b")), sha256(root))
    digest = body.signing_digest(CHAIN.domain)
    return AttestationShare(body, ValidatorIndex(validator), bls_key(validator).sign(digest))


def batch_share(root: bytes, last: int = 9, kind: DataKind = DataKind.HELD, validator: int = 1) -> BatchShare:
    zero, block = Hash(bytes(32)), BlockId(sha256(b"b"))
    batch = L1Batch(31337, bytes(20), 1, Height(1), Height(last), zero, kind, zero, block, sha256(root))
    return BatchShare(batch, ValidatorIndex(validator), bls_key(validator).sign(batch.signing_digest(CHAIN.domain)))


def header(label: bytes, seq: int = 5, author: int = 3, count: int = 1) -> tuple[SignedHeader, bytes]:
    segment = frame_items([label])
    entry = SegmentEntry(NAMESPACE, KIND_OPEN, count, len(segment), sha256(segment))
    made = BatchHeader(
        GENESIS_EPOCH, ValidatorIndex(author), Seq(seq), Digest(bytes(32)), Milliseconds(START_MS), (entry,)
    )
    digest = CHAIN.domain.digest(Kind.BATCH, GENESIS_EPOCH, made.digest)
    return SignedHeader(made, node_key(author).sign(digest)), segment


def receipt(of: SignedHeader, body: bytes, index: int = 0, namespace: NamespaceId = NAMESPACE) -> Receipt:
    item = ReceiptItem(namespace, KIND_OPEN, transaction_id(namespace, KIND_OPEN, body), index)
    made = of.header
    unsigned = Receipt(
        CHAIN.chain_id, GENESIS_EPOCH, made.author, made.seq, made.digest, Milliseconds(START_MS), (item,)
    )
    return unsigned.sign(CHAIN, node_key(made.author))


def examples() -> dict[str, tuple[Proof, tuple[int, int, int]]]:
    """Proofs that hold, with (rule, validator, place)."""
    first, second = two_tips()
    leader = FORGE.leader(1)
    child = FORGE.tip(2, FORGE.certify(first))
    batch, segment = header(b"one")
    other, _ = header(b"two")
    inert, inert_segment = header(b"three", count=7)
    stale = FORGE.proposal(3, FORGE.tip(3, FORGE.certify(first)))  # QC(1) in view 3 without a TC
    first_proposal, second_proposal = FORGE.proposal(1, first), FORGE.proposal(1, second)
    return {
        "two tips": (in_order(TwoTips(signed_tip(first), signed_tip(second))), (1, leader, 1)),
        "two proposals": (
            in_order(TwoProposals(signed_proposal(first_proposal), signed_proposal(second_proposal))),
            (2, leader, 1),
        ),
        "two votes": (in_order(TwoVotes(ValidatorIndex(2), vote(first, 1), vote(second, 1))), (3, 2, 1)),
        "below a vote": (VoteAboveTimeout(ValidatorIndex(2), vote(child, 2), timeout(4, first)), (4, 2, 4)),
        "below a vote, by a QC": (
            VoteAboveTimeout(ValidatorIndex(2), vote(child, 2), timeout(2, FORGE.certify(first))),
            (4, 2, 2),
        ),
        "two timeouts": (
            in_order(TwoTimeouts(ValidatorIndex(2), timeout(4, first), timeout(4, child))),
            (5, 2, 4),
        ),
        "two attestations": (in_order(TwoAttestations(attestation(b"1"), attestation(b"2"))), (6, 1, 7)),
        "two batch shares": (in_order(TwoBatchShares(batch_share(b"1"), batch_share(b"2"))), (6, 1, 9)),
        "two batches": (in_order(TwoBatches(batch, other)), (7, 3, 5)),
        "receipt of another batch": (FalseReceipt(receipt(other, b"two"), batch, 0, b""), (8, 3, 5)),
        "receipt of what is not there": (FalseReceipt(receipt(batch, b"none"), batch, 0, segment), (8, 3, 5)),
        "receipt beyond the end": (FalseReceipt(receipt(batch, b"one", 1), batch, 0, segment), (8, 3, 5)),
        "receipt of no segment": (
            FalseReceipt(receipt(batch, b"one", namespace=NamespaceId(9)), batch, 0, b""),
            (8, 3, 5),
        ),
        "receipt of inert bytes": (FalseReceipt(receipt(inert, b"three"), inert, 0, inert_segment), (8, 3, 5)),
        "invalid proposal": (InvalidProposal(stale), (9, FORGE.leader(3), 3)),
    }


EXAMPLES = examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_true_proof_convicts_and_survives_its_encoding(name):
    proof, (rule, validator, place) = EXAMPLES[name]
    offence = check_proof(decode_proof(encode_proof(proof), 4), CHAIN)
    assert offence == Offence(rule, ValidatorIndex(validator), place)
    assert len(offence.encode()) == OFFENCE_BYTES
    assert Offence.decode(offence.encode()) == offence
    assert offence.is_slashable == (rule != 9)
    assert str(offence) == f"E{rule} by validator {validator} at {place}"


@pytest.mark.parametrize("name", EXAMPLES)
def test_on_another_chain_it_convicts_nobody(name):
    with pytest.raises(InvalidObject):
        check_proof(EXAMPLES[name][0], OTHER_CHAIN)


def of_another_epoch() -> dict[str, Proof]:
    """Truly signed, of an epoch whose validators nobody here knows."""
    epoch, voter = Epoch(1), ValidatorIndex(2)
    first, second = two_tips()
    leader = FORGE.leader(1)
    tips = [replace(tip.header, epoch=epoch) for tip in (first, second)]
    votes = [replace(tip.vote_body(View(1)), epoch=epoch) for tip in (first, second)]
    highs = (first, FORGE.tip(2, FORGE.certify(first)), FORGE.genesis_qc)
    timeouts = [replace(FORGE.body(4, high), epoch=epoch) for high in highs]
    shares = [replace(attestation(label).attestation, epoch=epoch) for label in (b"1", b"2")]
    batches = [replace(header(label)[0].header, epoch=epoch) for label in (b"1", b"2")]
    domain = CHAIN.domain

    def sign(signer: int, digest: bytes) -> bytes:
        return node_key(signer).sign(digest)

    signed_votes = [SignedVote(body, sign(2, body.signing_digest(domain))) for body in votes]
    signed_timeouts = [SignedTimeout(body, sign(2, body.signing_digest(domain))) for body in timeouts]
    proposals = [replace(FORGE.proposal(1, tip), epoch=epoch) for tip in (first, second)]
    proposals = [replace(made, leader_sig=sign(leader, made.signing_digest(CHAIN))) for made in proposals]
    return {
        "two tips": in_order(TwoTips(*[SignedTip(made, sign(leader, made.signing_digest(CHAIN))) for made in tips])),
        "two proposals": in_order(TwoProposals(*[signed_proposal(made) for made in proposals])),
        "two votes": in_order(TwoVotes(voter, *signed_votes)),
        "below a vote": VoteAboveTimeout(voter, signed_votes[0], signed_timeouts[2]),
        "two timeouts": in_order(TwoTimeouts(voter, *signed_timeouts[:2])),
        "two attestations": in_order(
            TwoAttestations(
                *[AttestationShare(body, voter, bls_key(2).sign(body.signing_digest(domain))) for body in shares]
            )
        ),
        "two batches": in_order(
            TwoBatches(
                *[SignedHeader(made, sign(3, domain.digest(Kind.BATCH, epoch, made.digest))) for made in batches]
            )
        ),
        "an invalid proposal": InvalidProposal(proposals[0]),
    }


OF_ANOTHER_EPOCH = of_another_epoch()


@pytest.mark.parametrize("name", OF_ANOTHER_EPOCH)
def test_in_another_epoch_it_convicts_nobody(name):
    with pytest.raises(InvalidObject, match="no such validator"):
        check_proof(OF_ANOTHER_EPOCH[name], CHAIN)


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_byte_of_it_can_be_changed(name):
    """Whatever byte is changed, it convicts nobody, or the same one of the same: never anybody else."""
    proof, expected = EXAMPLES[name]
    raw = encode_proof(proof)
    step = max(1, len(raw) // 150)
    for place in range(0, len(raw), step):
        changed = bytearray(raw)
        changed[place] ^= 1
        try:
            offence = check_proof(decode_proof(bytes(changed), 4), CHAIN)
        except InvalidObject:
            continue
        assert (offence.rule, offence.validator, offence.place) == expected


@pytest.mark.parametrize("name", EXAMPLES)
def test_trailing_bytes_and_pairs_out_of_order_are_refused(name):
    proof = EXAMPLES[name][0]
    with pytest.raises(DecodeError):
        decode_proof(encode_proof(proof) + b"\x00", 4)
    if not isinstance(proof, FalseReceipt | InvalidProposal | VoteAboveTimeout):
        swapped = replace(proof, first=proof.second, second=proof.first)  # type: ignore[arg-type]
        for pair in (swapped, replace(proof, second=proof.first)):  # type: ignore[arg-type]
            with pytest.raises(DecodeError):
                decode_proof(encode_proof(pair), 4)


def innocents() -> dict[str, Proof]:
    """What honest validators sign, put together by an accuser."""
    first, second = two_tips()
    next_tip = FORGE.tip(2, FORGE.certify(first))
    batch, segment = header(b"one")
    entry = FORGE.tc_of(2, first)
    re_proposal = FORGE.proposal(3, first, entry)
    swapped = replace(first, justify=FORGE.certify(second), author_sig=first.author_sig)
    good = FORGE.proposal(1, first)
    return {
        "one tip twice": TwoTips(signed_tip(first), signed_tip(first)),
        "tips of two views": TwoTips(signed_tip(first), signed_tip(next_tip)),
        "one proposal twice": TwoProposals(signed_proposal(good), signed_proposal(good)),
        "one vote twice": TwoVotes(ValidatorIndex(2), vote(first, 1), vote(first, 1)),
        "votes of two views": TwoVotes(ValidatorIndex(2), vote(first, 1), vote(first, 2)),
        "votes of two voters": TwoVotes(ValidatorIndex(2), vote(first, 1), vote(second, 1, voter=1)),
        "a timeout of its vote": VoteAboveTimeout(ValidatorIndex(2), vote(next_tip, 2), timeout(2, next_tip)),
        "a timeout before its vote": VoteAboveTimeout(ValidatorIndex(2), vote(next_tip, 2), timeout(1, first)),
        "a QC of its vote": VoteAboveTimeout(ValidatorIndex(2), vote(next_tip, 2), timeout(3, FORGE.certify(next_tip))),
        "a backup vote and its timeout": VoteAboveTimeout(ValidatorIndex(2), vote(first, 3), timeout(3, first)),
        "one timeout twice": TwoTimeouts(ValidatorIndex(2), timeout(4, first), timeout(4, first)),
        "attestations of two heights": TwoAttestations(attestation(b"1"), attestation(b"2", height=8)),
        "one attestation twice": TwoAttestations(attestation(b"1"), attestation(b"1")),
        "attestations of two validators": TwoAttestations(attestation(b"1"), attestation(b"2", validator=2)),
        "shares of two kinds": TwoBatchShares(batch_share(b"1"), batch_share(b"1", kind=DataKind.CALLDATA)),
        "shares of two ranges": TwoBatchShares(batch_share(b"1"), batch_share(b"2", last=8)),
        "batches of two seqs": TwoBatches(header(b"one")[0], header(b"two", seq=6)[0]),
        "batches of two authors": TwoBatches(header(b"one")[0], header(b"two", author=2)[0]),
        "a true receipt": FalseReceipt(receipt(batch, b"one"), batch, 0, segment),
        "a true receipt without its segment": FalseReceipt(receipt(batch, b"one"), batch, 0, b""),
        "a true receipt with other bytes": FalseReceipt(receipt(batch, b"one"), batch, 0, frame_items([b"two"])),
        "a true receipt's item that is none": FalseReceipt(receipt(batch, b"one"), batch, 1, segment),
        "a receipt and another place's batch": FalseReceipt(receipt(batch, b"one"), header(b"two", seq=6)[0], 0, b""),
        "a valid proposal": InvalidProposal(good),
        "a valid re-proposal": InvalidProposal(re_proposal),
        "a proposal with another justify": InvalidProposal(replace(good, tip=swapped)),
        "a proposal with another proof": InvalidProposal(replace(good, tip=replace(first, fresh=entry))),
        "a proposal with another author_sig": InvalidProposal(replace(good, tip=replace(first, author_sig=bytes(65)))),
        "a proposal with another entry": InvalidProposal(replace(re_proposal, entry=FORGE.tc_of(2, second))),
        "a proposal of another view": InvalidProposal(replace(good, view=View(5))),
        "a proposal of another epoch": InvalidProposal(replace(good, epoch=Epoch(1))),
    }


INNOCENTS = innocents()


@pytest.mark.parametrize("name", INNOCENTS)
def test_what_honest_validators_sign_convicts_nobody(name):
    with pytest.raises(InvalidObject):
        check_proof(INNOCENTS[name], CHAIN)


def test_a_signature_with_a_high_s_convicts_nobody():
    proof, _ = EXAMPLES["two votes"]
    assert isinstance(proof, TwoVotes)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    signature = proof.first.signature
    high = (order - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    mirrored = signature[:32] + high + bytes((signature[64] ^ 1,))
    with pytest.raises(InvalidObject):
        check_proof(replace(proof, first=replace(proof.first, signature=mirrored)), CHAIN)


def test_an_unknown_validator_or_rule_is_refused():
    first, second = two_tips()
    with pytest.raises(InvalidObject):
        check_proof(TwoVotes(ValidatorIndex(99), vote(first, 1), vote(second, 1)), CHAIN)
    for head in (b"\x02\x01\x00", b"\x01\x0a\x00", b"\x01\x01\x01", b"\x01"):
        with pytest.raises(DecodeError):
            decode_proof(head, 4)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_signature_in_it_is_checked(name):
    proof = EXAMPLES[name][0]
    parts = [part for part in ("first", "second", "vote", "timeout", "receipt", "batch") if hasattr(proof, part)]
    changed = [
        replace(proof, **{part: replace(getattr(proof, part), signature=bytes(len(getattr(proof, part).signature)))})
        for part in parts
    ]
    if isinstance(proof, InvalidProposal):
        changed = [InvalidProposal(replace(proof.proposal, leader_sig=bytes(65)))]
    assert changed
    for false in changed:
        with pytest.raises(InvalidObject):
            check_proof(false, CHAIN)
