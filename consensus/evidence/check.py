"""The judge of evidence: who broke which rule, by what a proof holds and the genesis alone.

Responsible for: convicting exactly those who signed what no honest validator signs together.
Refuses to do: use any state of a chain: a contract, a client and a node come to the same judgement.

Invariants:
1. Every statement is checked against its signer's key; nothing that a signature or a hash does not cover convicts.
2. Whoever follows the protocol cannot be convicted, whatever others do with what it signed.
3. An offence has one name (rule, validator, place), however many proofs of it there are.
"""

from dataclasses import dataclass
from typing import assert_never

from consensus.encoding import decode_whole, u8, u16, u64
from consensus.errors import InvalidObject
from consensus.evidence.proofs import (
    FalseReceipt,
    InvalidProposal,
    Proof,
    Signed,
    SignedHeader,
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
    rule_of,
)
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_EPOCH, ValidatorIndex, View
from consensus.signing import require_signature, sha256
from consensus.validity import Validity, check_content
from consensus.vocabulary.attestation import Attestation, AttestationShare
from consensus.vocabulary.batch import parse_segment, transaction_id
from consensus.vocabulary.certificates import TimeoutBody, VoteBody
from consensus.vocabulary.l1_batch import BatchShare, L1Batch
from consensus.vocabulary.messages import Proposal
from consensus.vocabulary.receipt import Receipt

OFFENCE_BYTES = 11
LANE_FORK_RULE = 7
INVALID_PROPOSAL_RULE = 9
_INFINITE_VIEW = 2**64


@dataclass(frozen=True, slots=True, order=True)
class Offence:
    """Whom a proof convicts of what. `place` is a view (E1–E5, E9), a height (E6) or a seq (E7, E8)."""

    rule: int
    validator: ValidatorIndex
    place: int

    @property
    def is_slashable(self) -> bool:
        """Whether stake is lost; an invalid proposal (E9) only excludes its leader."""
        return self.rule != INVALID_PROPOSAL_RULE

    def encode(self) -> bytes:
        """rule ‖ validator ‖ place: OFFENCE_BYTES."""
        return u8(self.rule) + u16(self.validator) + u64(self.place)

    @staticmethod
    def decode(data: bytes) -> "Offence":
        """The inverse of `encode`. Raises `DecodeError`."""
        return decode_whole(data, lambda reader: Offence(reader.u8(), ValidatorIndex(reader.u16()), reader.u64()))

    def __str__(self) -> str:
        return f"E{self.rule} by validator {self.validator} at {self.place}"


def _require(condition: bool, why: str) -> None:
    if not condition:
        raise InvalidObject("proves_nothing", why)


def accused_of(proof: Proof, chain: Genesis) -> Offence:
    """Whom a proof speaks against, and of what: a few look-ups, and nothing of it is believed yet.

    Raises `InvalidObject` if there is no such validator.
    """
    validator, epoch, place = _name(proof, chain)
    _require(epoch == GENESIS_EPOCH and validator < chain.validator_set.count, "no such validator")
    return Offence(rule_of(proof), ValidatorIndex(validator), place)


def _name(proof: Proof, chain: Genesis) -> tuple[int, int, int]:
    """Validator, epoch and place."""
    match proof:
        case TwoTips(SignedTip(header)):
            return header.author, header.epoch, header.view
        case TwoProposals(first):
            return _leader(chain, first.view), first.epoch, first.view
        case TwoVotes(voter, SignedVote(vote)):
            return voter, vote.epoch, vote.view
        case VoteAboveTimeout(validator, _, SignedTimeout(timeout)) | TwoTimeouts(validator, SignedTimeout(timeout)):
            return validator, timeout.epoch, timeout.view
        case TwoAttestations(first):
            return first.validator, first.attestation.epoch, first.attestation.height
        case TwoBatchShares(first):
            return first.validator, GENESIS_EPOCH, first.batch.last
        case TwoBatches(SignedHeader(header)):
            return header.author, header.epoch, header.seq
        case FalseReceipt(receipt):
            return receipt.lane, receipt.epoch, receipt.seq
        case InvalidProposal(proposal):
            return _leader(chain, proposal.view), proposal.epoch, proposal.view
        case _:
            assert_never(proof)


def _leader(chain: Genesis, view: View) -> ValidatorIndex:
    _require(view >= 1, "no leader")
    return chain.validator_set.leader(view)


def check_proof(proof: Proof, chain: Genesis) -> Offence:
    """Whom it convicts. Raises `InvalidObject` ("proves_nothing" or "bad_signature") if it convicts nobody.

    E1–E5 and E7 cost two signatures (0.1 ms), E6 two BLS signatures (5 ms), E8 a hash of a segment, E9 what the
    proposal costs (ms): run E6, E8 and E9 in a thread.
    """
    offence = accused_of(proof, chain)
    _Judge(chain, offence.validator).require_true(proof)
    return offence


class _Judge:
    """One chain's keys, and the accused."""

    def __init__(self, chain: Genesis, accused: ValidatorIndex) -> None:
        self._chain = chain
        self._accused = accused

    def require_true(self, proof: Proof) -> None:
        """Raises `InvalidObject` unless the proof holds."""
        match proof:
            case TwoTips(first, second) | TwoProposals(first, second) | TwoBatches(first, second):
                self._require_contradiction(first, second)
            case TwoVotes(_, first, second) | TwoTimeouts(_, first, second):
                self._require_contradiction(first, second)
            case VoteAboveTimeout(_, vote, timeout):
                _require(vote.body.epoch == timeout.body.epoch, "two epochs")
                _require(is_below(timeout.body, vote.body), "no contradiction")
                self._require_signed(vote)
                self._require_signed(timeout)
            case TwoAttestations(first, second):
                _require(_differ(first.attestation, second.attestation), "no contradiction")
                self._require_shares(first, second)
            case TwoBatchShares(first, second):
                _require(_contradict(first.batch, second.batch), "no contradiction")
                self._require_shares(first, second)
            case FalseReceipt():
                self._require_false(proof)
            case InvalidProposal(proposal):
                self._require_invalid(proposal)
            case _:
                assert_never(proof)

    def _require_signed(self, statement: Signed) -> None:
        public_key = self._chain.validator_set.node_public_key(self._accused)
        require_signature(public_key, statement.digest(self._chain), statement.signature)

    def _require_contradiction(self, first: Signed, second: Signed) -> None:
        _require(first.about == second.about, "about two things")
        _require(first.says != second.says, "no contradiction")
        self._require_signed(first)
        self._require_signed(second)

    def _require_shares(self, first: AttestationShare | BatchShare, second: AttestationShare | BatchShare) -> None:
        _require(first.validator == second.validator, "two validators")
        first.check(self._chain)
        second.check(self._chain)

    def _require_false(self, proof: FalseReceipt) -> None:
        receipt, header = proof.receipt, proof.batch.header
        receipt.check(self._chain)
        _require((receipt.epoch, receipt.seq, receipt.lane) == proof.batch.about, "a batch of another place")
        self._require_signed(proof.batch)
        if receipt.batch != header.digest:
            _require(not proof.segment and proof.place == 0, "more than is needed")
        else:
            _require(proof.place < len(receipt.items), "no such item")
            _require(not self._is_kept(receipt, proof), "the receipt is true")

    def _is_kept(self, receipt: Receipt, proof: FalseReceipt) -> bool:
        """Whether the item stands in the segment where the receipt says. Raises if it is not the batch's segment."""
        item = receipt.items[proof.place]
        wanted = (item.namespace, item.kind)
        entries = [entry for entry in proof.batch.header.segments if (entry.namespace, entry.kind) == wanted]
        if not entries:
            _require(not proof.segment, "more than is needed")
            return False
        _require(sha256(proof.segment) == entries[0].segment_hash, "not the batch's segment")
        items = parse_segment(proof.segment, entries[0].item_count, self._chain.parameters.tx_bytes_max)
        if items is None or item.index >= len(items):
            return False
        return transaction_id(item.namespace, item.kind, items[item.index]) == item.hash

    def _require_invalid(self, proposal: Proposal) -> None:
        """All of a proposal is bound by its leader's signature: tip id, author_sig and entry by it, the rest by the id.

        So what does not fit the id may be an accuser's work and proves nothing; any other rule that is broken does.
        """
        public_key = self._chain.validator_set.node_public_key(self._accused)
        require_signature(public_key, proposal.signing_digest(self._chain), proposal.leader_sig)
        check_content(proposal.tip)
        try:
            Validity(self._chain).check_proposal(proposal)
        except InvalidObject:
            return
        raise InvalidObject("proves_nothing", "the proposal is valid")


def reported_rank(timeout: TimeoutBody) -> tuple[int, int]:
    """The rank that a timeout reports: (view, justify view) of its tip, (view, ∞) of a QC alone."""
    return (timeout.tip_view, timeout.qc_view) if timeout.names_tip else (timeout.qc_view, _INFINITE_VIEW)


def is_below(timeout: TimeoutBody, vote: VoteBody) -> bool:
    """Whether a timeout hides what its signer had voted for in that view or before (E4): rank below (b, j)."""
    return timeout.view >= vote.view and reported_rank(timeout) < (vote.block_view, vote.justify_view)


def _differ(one: Attestation, other: Attestation) -> bool:
    return (one.epoch, one.height) == (other.epoch, other.height) and one != other


def _contradict(one: L1Batch, other: L1Batch) -> bool:
    """The same chain up to the same height, with another result."""

    def result(batch: L1Batch) -> tuple[object, ...]:
        return batch.block_id, batch.namespaces_root, batch.state_root, batch.aux_root, batch.forced_cursor

    return one.last == other.last and result(one) != result(other)
