"""Vectors of evidence: a proof of each kind with whom it convicts, and forms that convict nobody."""

from dataclasses import replace
from typing import Any

from consensus.evidence.check import check_proof
from consensus.evidence.proofs import (
    FalseReceipt,
    InvalidProposal,
    Pair,
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
    encode_proof,
    in_order,
)
from consensus.numbers import (
    GENESIS_EPOCH,
    BlockId,
    Digest,
    Hash,
    Height,
    Milliseconds,
    NamespaceId,
    Seq,
    ValidatorIndex,
    View,
)
from consensus.signing import sha256
from consensus.vocabulary.attestation import Attestation, AttestationShare
from consensus.vocabulary.batch import Batch, transaction_id
from consensus.vocabulary.certificates import TimeoutBody, VoteBody, qc_only
from consensus.vocabulary.l1_batch import BatchShare, DataKind, L1Batch
from consensus.vocabulary.messages import Proposal
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from consensus.vocabulary.tip import Header
from sequencer.client.fields import to_hex
from tests.committee import FIRST, GENESIS_MS, Segment
from tests.vectors.object_vectors import CHAIN, COMMITTEE, VIEW, described, filled, sample_tip

ACCUSED = ValidatorIndex(2)
TIP = sample_tip()
LEADER = TIP.header.author


def _sign(signer: int, digest: Hash) -> bytes:
    return COMMITTEE.node_keys[signer].sign(digest)


def _tip(header: Header) -> SignedTip:
    return SignedTip(header, _sign(LEADER, header.signing_digest(CHAIN)))


def _proposal(tip_id: BlockId) -> SignedProposal:
    unsigned = SignedProposal(GENESIS_EPOCH, VIEW, tip_id, sha256(TIP.author_sig), sha256(b"\x00"), b"")
    return replace(unsigned, signature=_sign(LEADER, unsigned.digest(CHAIN)))


def _vote(body: VoteBody) -> SignedVote:
    return SignedVote(body, _sign(ACCUSED, body.signing_digest(CHAIN.domain)))


def _timeout(body: TimeoutBody) -> SignedTimeout:
    return SignedTimeout(body, _sign(ACCUSED, body.signing_digest(CHAIN.domain)))


def _attestation(root: int) -> AttestationShare:
    body = Attestation(GENESIS_EPOCH, Height(9), BlockId(filled(5)), Hash(filled(root)), Hash(filled(9)))
    return AttestationShare(body, ACCUSED, COMMITTEE.bls_keys[ACCUSED].sign(body.signing_digest(CHAIN.domain)))


def _batch_share(root: int) -> BatchShare:
    batch = L1Batch(
        31337, filled(6)[:20], 3, Height(8), Height(9), Hash(filled(7)), DataKind.HELD, Hash(filled(8)),
        BlockId(filled(5)), Hash(filled(root)),
    )  # fmt: skip
    return BatchShare(batch, ACCUSED, COMMITTEE.bls_keys[ACCUSED].sign(batch.signing_digest(CHAIN.domain)))


def _batch(*items: bytes) -> Batch:
    return COMMITTEE.seal(ACCUSED, 4, Digest(filled(1)), [Segment(FIRST, items)])


def _header(batch: Batch) -> SignedHeader:
    return SignedHeader(batch.header, batch.author_sig)


def _receipt(batch: Digest, body: bytes) -> Receipt:
    item = ReceiptItem(NamespaceId(FIRST), 0, transaction_id(FIRST, 0, body), 0)
    unsigned = Receipt(CHAIN.chain_id, GENESIS_EPOCH, ACCUSED, Seq(4), batch, Milliseconds(GENESIS_MS), (item,))
    return unsigned.sign(CHAIN, COMMITTEE.node_keys[ACCUSED])


def _re_proposed(view: View, signer: int | None = None) -> Proposal:
    """TIP as `view`'s proposal, without an entry: valid in its own view alone."""
    unsigned = Proposal(GENESIS_EPOCH, view, TIP, None)
    leader = CHAIN.validator_set.leader(view) if signer is None else signer
    return replace(unsigned, leader_sig=_sign(leader, unsigned.signing_digest(CHAIN)))


def _proofs() -> dict[str, Proof]:
    later = View(VIEW + 1)
    vote, names_qc = TIP.vote_body(VIEW), qc_only(GENESIS_EPOCH, later, View(VIEW - 1))
    names_tip = TimeoutBody(GENESIS_EPOCH, later, VIEW, TIP.id, View(VIEW - 1))
    batch, other = _batch(b"first", b"second"), _batch(b"third")
    return {
        "two tips": in_order(
            TwoTips(_tip(TIP.header), _tip(replace(TIP.header, ts_ms=Milliseconds(TIP.header.ts_ms + 1))))
        ),
        "two proposals": in_order(TwoProposals(_proposal(TIP.id), _proposal(BlockId(filled(2))))),
        "two votes": in_order(TwoVotes(ACCUSED, _vote(vote), _vote(replace(vote, block_id=BlockId(filled(2)))))),
        "a vote above a timeout": VoteAboveTimeout(ACCUSED, _vote(vote), _timeout(names_qc)),
        "two timeouts": in_order(TwoTimeouts(ACCUSED, _timeout(names_qc), _timeout(names_tip))),
        "two attestations": in_order(TwoAttestations(_attestation(3), _attestation(4))),
        "two shares of L1 batches": in_order(TwoBatchShares(_batch_share(3), _batch_share(4))),
        "two batches": in_order(TwoBatches(_header(batch), _header(other))),
        "a receipt of another batch": FalseReceipt(_receipt(other.digest, b"third"), _header(batch), 0, b""),
        "a receipt of what is not there": FalseReceipt(
            _receipt(batch.digest, b"third"), _header(batch), 0, batch.segment(0)
        ),
        "an invalid proposal": InvalidProposal(_re_proposed(later)),
    }


def _swapped(pair: Pair) -> Pair:
    return replace(pair, first=pair.second, second=pair.first)


def _refused() -> dict[str, bytes]:
    bodies = [replace(TIP.vote_body(VIEW), block_id=BlockId(filled(number))) for number in (2, 3)]
    votes = in_order(TwoVotes(ACCUSED, *map(_vote, bodies)))
    batch = _batch(b"first")
    other_view = replace(TIP.vote_body(VIEW), view=View(VIEW + 1))
    honest = _timeout(TimeoutBody(GENESIS_EPOCH, VIEW, VIEW, TIP.id, View(VIEW - 1)))
    true = FalseReceipt(_receipt(batch.digest, b"first"), _header(batch), 0, batch.segment(0))
    encoded = encode_proof(votes)
    return {
        "a byte behind the end": encoded + b"\x00",
        "a byte less": encoded[:-1],
        "an unknown version": b"\x02" + encoded[1:],
        "a kind that there is not": encoded[:2] + b"\x01" + encoded[3:],
        "the pair the other way round": encode_proof(_swapped(votes)),
        "one statement twice": encode_proof(replace(votes, second=votes.first)),
        "another's signatures": encode_proof(replace(votes, voter=ValidatorIndex(1))),
        "a validator that there is not": encode_proof(replace(votes, voter=ValidatorIndex(4))),
        "votes of two views": encode_proof(in_order(replace(votes, second=_vote(other_view)))),
        "a timeout that names what was voted for": encode_proof(
            VoteAboveTimeout(ACCUSED, _vote(TIP.vote_body(VIEW)), honest)
        ),
        "attestations of two heights": encode_proof(_attestations_of_two_heights()),
        "a true receipt": encode_proof(true),
        "a true receipt without its segment": encode_proof(replace(true, segment=b"")),
        "a valid proposal": encode_proof(InvalidProposal(_re_proposed(VIEW))),
        "a proposal by another than its leader": encode_proof(InvalidProposal(_re_proposed(View(VIEW + 1), 3))),
        "a proposal with another tip than was signed": encode_proof(
            InvalidProposal(replace(_re_proposed(VIEW), tip=replace(TIP, author_sig=bytes(65))))
        ),
    }


def _attestations_of_two_heights() -> TwoAttestations:
    body = replace(_attestation(4).attestation, height=Height(10))
    signature = COMMITTEE.bls_keys[ACCUSED].sign(body.signing_digest(CHAIN.domain))
    return in_order(TwoAttestations(_attestation(3), AttestationShare(body, ACCUSED, signature)))


def evidence() -> Any:
    """Proofs E1 to E9, and what a judge must refuse."""
    shown = []
    for what, proof in _proofs().items():
        offence = check_proof(proof, CHAIN)
        shown.append(
            {
                "what": what,
                "rule": offence.rule,
                "validator": offence.validator,
                "place": offence.place,
                "offence_encoded": to_hex(offence.encode()),
                "fields": described(proof),
                "encoded": to_hex(encode_proof(proof)),
            }
        )
    return {
        "genesis": to_hex(CHAIN.encode()),
        "proofs": shown,
        "refused": [{"why": why, "encoded": to_hex(encoded)} for why, encoded in _refused().items()],
    }
