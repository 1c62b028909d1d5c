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
    rule_of,
)
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_EPOCH, Epoch, ValidatorIndex
from consensus.signing import require_signature, sha256
from consensus.validity import Validity, check_content
from consensus.vocabulary.attestation import Attestation
from consensus.vocabulary.batch import parse_segment, transaction_id
from consensus.vocabulary.certificates import TimeoutBody, VoteBody
from consensus.vocabulary.l1_batch import L1Batch
from consensus.vocabulary.receipt import Receipt

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
        """rule ‖ validator ‖ place: 11 bytes."""
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


def check_proof(proof: Proof, chain: Genesis) -> Offence:
    """Whom it convicts. Raises `InvalidObject` ("proves_nothing" or "bad_signature") if it convicts nobody.

    E1–E5 and E7 cost two signatures (0.1 ms), E6 two BLS signatures (5 ms), E8 a hash of a segment, E9 what the
    proposal costs (ms): run E6, E8 and E9 in a thread.
    """
    judge = _Judge(chain)
    validator, place = judge.convict(proof)
    return Offence(rule_of(proof), validator, place)


class _Judge:
    """One chain's keys."""

    def __init__(self, chain: Genesis) -> None:
        self._chain = chain

    def convict(self, proof: Proof) -> tuple[ValidatorIndex, int]:
        match proof:
            case TwoTips(first, second):
                return self._two_tips(first, second)
            case TwoProposals(first, second):
                return self._two_proposals(first, second)
            case TwoVotes(voter, first, second):
                return self._two_votes(voter, first, second)
            case VoteAboveTimeout(validator, vote, timeout):
                return self._vote_above_timeout(validator, vote, timeout)
            case TwoTimeouts(signer, first, second):
                return self._two_timeouts(signer, first, second)
            case TwoAttestations(first, second):
                _require(first.validator == second.validator, "two validators")
                _require(_differ(first.attestation, second.attestation), "no contradiction")
                first.check(self._chain)
                second.check(self._chain)
                return first.validator, first.attestation.height
            case TwoBatchShares(first, second):
                _require(first.validator == second.validator, "two validators")
                _require(_contradict(first.batch, second.batch), "no contradiction")
                first.check(self._chain)
                second.check(self._chain)
                return first.validator, first.batch.last
            case TwoBatches(first, second):
                return self._two_batches(first, second)
            case FalseReceipt():
                return self._false_receipt(proof)
            case InvalidProposal():
                return self._invalid_proposal(proof)
            case _:
                assert_never(proof)

    def _require_signed(self, validator: int, statement: Signed) -> ValidatorIndex:
        validators = self._chain.validator_set
        _require(validator < validators.count, "unknown validator")
        index = ValidatorIndex(validator)
        require_signature(validators.node_public_key(index), statement.digest(self._chain), statement.signature)
        return index

    def _leader(self, epoch: Epoch, view: int) -> ValidatorIndex:
        _require(epoch == GENESIS_EPOCH and view >= 1, "no leader")
        return self._chain.validator_set.leader(view)  # type: ignore[arg-type]

    def _two_tips(self, first: SignedTip, second: SignedTip) -> tuple[ValidatorIndex, int]:
        one, other = first.header, second.header
        _require((one.epoch, one.view, one.author) == (other.epoch, other.view, other.author), "two views or authors")
        _require(one.id != other.id, "one tip")
        self._require_signed(one.author, first)
        return self._require_signed(one.author, second), one.view

    def _two_proposals(self, first: SignedProposal, second: SignedProposal) -> tuple[ValidatorIndex, int]:
        _require((first.epoch, first.view) == (second.epoch, second.view), "two views")
        _require(first.tip_id != second.tip_id, "one tip")
        leader = self._leader(first.epoch, first.view)
        for proposal in (first, second):
            self._require_signed(leader, proposal)
        return leader, first.view

    def _two_votes(self, voter: int, first: SignedVote, second: SignedVote) -> tuple[ValidatorIndex, int]:
        one, other = first.body, second.body
        _require((one.epoch, one.view) == (other.epoch, other.view), "two views")
        _require(one != other, "one body")
        self._require_signed(voter, first)
        return self._require_signed(voter, second), one.view

    def _two_timeouts(self, signer: int, first: SignedTimeout, second: SignedTimeout) -> tuple[ValidatorIndex, int]:
        one, other = first.body, second.body
        _require((one.epoch, one.view) == (other.epoch, other.view), "two views")
        _require(one != other, "one body")
        self._require_signed(signer, first)
        return self._require_signed(signer, second), one.view

    def _vote_above_timeout(
        self, validator: int, vote: SignedVote, timeout: SignedTimeout
    ) -> tuple[ValidatorIndex, int]:
        _require(vote.body.epoch == timeout.body.epoch, "two epochs")
        _require(is_below(timeout.body, vote.body), "no contradiction")
        self._require_signed(validator, vote)
        return self._require_signed(validator, timeout), timeout.body.view

    def _two_batches(self, first: SignedHeader, second: SignedHeader) -> tuple[ValidatorIndex, int]:
        one, other = first.header, second.header
        _require((one.epoch, one.author, one.seq) == (other.epoch, other.author, other.seq), "two places")
        _require(one.digest != other.digest, "one batch")
        self._require_signed(one.author, first)
        return self._require_signed(one.author, second), one.seq

    def _false_receipt(self, proof: FalseReceipt) -> tuple[ValidatorIndex, int]:
        receipt, header = proof.receipt, proof.batch.header
        receipt.check(self._chain)
        place = (receipt.epoch, receipt.lane, receipt.seq)
        _require(place == (header.epoch, header.author, header.seq), "a batch of another place")
        self._require_signed(header.author, proof.batch)
        if receipt.batch != header.digest:
            _require(not proof.segment and proof.place == 0, "more than is needed")
        else:
            _require(proof.place < len(receipt.items), "no such item")
            _require(not self._is_kept(receipt, proof), "the receipt is true")
        return receipt.lane, receipt.seq

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

    def _invalid_proposal(self, proof: InvalidProposal) -> tuple[ValidatorIndex, int]:
        """All of a proposal is bound by its leader's signature: tip id, author_sig and entry by it, the rest by the id.

        So what does not fit the id may be an accuser's work and proves nothing; any other rule that is broken does.
        """
        proposal = proof.proposal
        leader = self._leader(proposal.epoch, proposal.view)
        public_key = self._chain.validator_set.node_public_key(leader)
        require_signature(public_key, proposal.signing_digest(self._chain), proposal.leader_sig)
        check_content(proposal.tip)
        try:
            Validity(self._chain).check_proposal(proposal)
        except InvalidObject:
            return leader, proposal.view
        raise InvalidObject("proves_nothing", "the proposal is valid")


def is_below(timeout: TimeoutBody, vote: VoteBody) -> bool:
    """Whether a timeout hides what its signer had voted for in that view or before (E4): rank below (b, j)."""
    rank = (timeout.tip_view, timeout.qc_view) if timeout.names_tip else (timeout.qc_view, _INFINITE_VIEW)
    return timeout.view >= vote.view and rank < (vote.block_view, vote.justify_view)


def _differ(one: Attestation, other: Attestation) -> bool:
    return (one.epoch, one.height) == (other.epoch, other.height) and one != other


def _contradict(one: L1Batch, other: L1Batch) -> bool:
    """The same chain up to the same height, with another result."""

    def result(batch: L1Batch) -> tuple[object, ...]:
        return batch.block_id, batch.namespaces_root, batch.state_root, batch.aux_root, batch.forced_cursor

    return one.last == other.last and result(one) != result(other)
