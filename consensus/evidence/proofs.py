"""What a proof of a fault is made of: signed statements that no honest validator makes together.

Responsible for: the kinds of proof, E1 to E9, and their one encoding.
Refuses to do: judge (`check.py`) or look for them (`detector.py`).

Invariants:
1. A proof holds everything that its judge needs besides the genesis, and nothing that no signature or hash covers.
2. Of two statements the one with the smaller encoding comes first, so that one pair is one proof.
3. A proof is bounded before it is read: by `PROOF_BYTES_MAX`, and every part by its own type.
4. Whoever signs two statements that are about the same and say something else contradicts itself.
"""

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from consensus import limits
from consensus.encoding import Reader, decode_whole, u8, u16, u64, variable
from consensus.errors import DecodeError
from consensus.genesis import Genesis
from consensus.numbers import BlockId, Digest, Epoch, Hash, ValidatorIndex, View
from consensus.signing import SIGNATURE_BYTES, Kind
from consensus.vocabulary.attestation import AttestationShare
from consensus.vocabulary.batch import BatchHeader
from consensus.vocabulary.certificates import TimeoutBody, VoteBody
from consensus.vocabulary.l1_batch import BatchShare
from consensus.vocabulary.messages import Proposal
from consensus.vocabulary.receipt import Receipt
from consensus.vocabulary.tip import Header

EVIDENCE_VERSION = 1
PROOF_BYTES_MAX = 32 * 1024 * 1024  # a proposal of the largest committee; what travels has the link's bound as well
Body = TypeVar("Body", VoteBody, TimeoutBody)


@dataclass(frozen=True, slots=True)
class SignedTip:
    """A tip's header and its author's signature."""

    header: Header
    signature: bytes

    def encode(self) -> bytes:
        """header ‖ signature."""
        return self.header.encoded + self.signature

    @property
    def about(self) -> tuple[int, ...]:
        """epoch, view, author."""
        return self.header.epoch, self.header.view, self.header.author

    @property
    def says(self) -> BlockId:
        """The tip's id."""
        return self.header.id

    def digest(self, chain: Genesis) -> Hash:
        """What the author signed."""
        return self.header.signing_digest(chain)

    @staticmethod
    def decode(reader: Reader) -> "SignedTip":
        """The inverse of `encode`."""
        return SignedTip(Header.decode(reader), reader.fixed(SIGNATURE_BYTES))


@dataclass(frozen=True, slots=True)
class SignedProposal:
    """What a leader signs of a proposal: view ‖ tip id ‖ SHA-256(author_sig) ‖ SHA-256(entry)."""

    epoch: Epoch
    view: View
    tip_id: BlockId
    author_sig_hash: Hash
    entry_hash: Hash
    signature: bytes

    def encode(self) -> bytes:
        """The fields in order."""
        head = u64(self.epoch) + u64(self.view)
        return head + self.tip_id + self.author_sig_hash + self.entry_hash + self.signature

    @property
    def about(self) -> tuple[int, ...]:
        """epoch, view."""
        return self.epoch, self.view

    @property
    def says(self) -> BlockId:
        """The tip's id: signatures and entries may differ."""
        return self.tip_id

    def digest(self, chain: Genesis) -> Hash:
        """What the leader signed."""
        body = u64(self.view) + self.tip_id + self.author_sig_hash + self.entry_hash
        return chain.domain.digest(Kind.PROPOSAL, self.epoch, body)

    @staticmethod
    def decode(reader: Reader) -> "SignedProposal":
        """The inverse of `encode`."""
        return SignedProposal(
            Epoch(reader.u64()),
            View(reader.u64()),
            BlockId(reader.fixed(32)),
            Hash(reader.fixed(32)),
            Hash(reader.fixed(32)),
            reader.fixed(SIGNATURE_BYTES),
        )


@dataclass(frozen=True, slots=True)
class _SignedBody(Generic[Body]):
    """A body of consensus and its signature."""

    body: Body
    signature: bytes

    def encode(self) -> bytes:
        """body ‖ signature."""
        return self.body.encode() + self.signature

    @property
    def about(self) -> tuple[int, ...]:
        """epoch, view."""
        return self.body.epoch, self.body.view

    @property
    def says(self) -> Body:
        """All of the body."""
        return self.body

    def digest(self, chain: Genesis) -> Hash:
        """What was signed."""
        return self.body.signing_digest(chain.domain)


@dataclass(frozen=True, slots=True)
class SignedVote(_SignedBody[VoteBody]):
    """A vote's body and signature."""

    @staticmethod
    def decode(reader: Reader) -> "SignedVote":
        """The inverse of `encode`."""
        return SignedVote(VoteBody.decode(reader), reader.fixed(SIGNATURE_BYTES))


@dataclass(frozen=True, slots=True)
class SignedTimeout(_SignedBody[TimeoutBody]):
    """A timeout's body and signature."""

    @staticmethod
    def decode(reader: Reader) -> "SignedTimeout":
        """The inverse of `encode`."""
        return SignedTimeout(TimeoutBody.decode(reader), reader.fixed(SIGNATURE_BYTES))


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """A batch's header and its author's signature."""

    header: BatchHeader
    signature: bytes

    def encode(self) -> bytes:
        """header ‖ signature."""
        return self.header.encoded + self.signature

    @property
    def about(self) -> tuple[int, ...]:
        """epoch, seq, author."""
        return self.header.epoch, self.header.seq, self.header.author

    @property
    def says(self) -> Digest:
        """The batch's digest."""
        return self.header.digest

    def digest(self, chain: Genesis) -> Hash:
        """What the author signed."""
        return chain.domain.digest(Kind.BATCH, self.header.epoch, self.header.digest)

    @staticmethod
    def decode(reader: Reader) -> "SignedHeader":
        """The inverse of `encode`."""
        return SignedHeader(BatchHeader.decode(reader), reader.fixed(SIGNATURE_BYTES))


Signed = SignedTip | SignedProposal | SignedVote | SignedTimeout | SignedHeader


@dataclass(frozen=True, slots=True)
class TwoTips:
    """E1: two tips of one view by one author."""

    first: SignedTip
    second: SignedTip


@dataclass(frozen=True, slots=True)
class TwoProposals:
    """E2: two proposals of one view with different tips."""

    first: SignedProposal
    second: SignedProposal


@dataclass(frozen=True, slots=True)
class TwoVotes:
    """E3: two vote bodies of one view."""

    voter: ValidatorIndex
    first: SignedVote
    second: SignedVote


@dataclass(frozen=True, slots=True)
class VoteAboveTimeout:
    """E4: a vote, and a timeout of its view or a later one that reports less than what was voted for."""

    validator: ValidatorIndex
    vote: SignedVote
    timeout: SignedTimeout


@dataclass(frozen=True, slots=True)
class TwoTimeouts:
    """E5: two timeout bodies of one view."""

    signer: ValidatorIndex
    first: SignedTimeout
    second: SignedTimeout


@dataclass(frozen=True, slots=True)
class TwoAttestations:
    """E6: two attestations of one height that differ."""

    first: AttestationShare
    second: AttestationShare


@dataclass(frozen=True, slots=True)
class TwoBatchShares:
    """E6, too: shares of L1 batches with one last height whose roots or block ids differ."""

    first: BatchShare
    second: BatchShare


@dataclass(frozen=True, slots=True)
class TwoBatches:
    """E7: two batches of one (author, seq)."""

    first: SignedHeader
    second: SignedHeader


@dataclass(frozen=True, slots=True)
class FalseReceipt:
    """E8: a receipt that contradicts the author's own batch.

    Either the batch is another than the receipt names (then `segment` is empty), or it is the one, and item `place` of
    the receipt is not in it where the receipt says. `segment` are the bytes that the item's (namespace, kind) has in
    the batch, empty if it has none.
    """

    receipt: Receipt
    batch: SignedHeader
    place: int
    segment: bytes


@dataclass(frozen=True, slots=True)
class InvalidProposal:
    """E9: a signed proposal that breaks the validity rules."""

    proposal: Proposal


Proof = (
    TwoTips
    | TwoProposals
    | TwoVotes
    | VoteAboveTimeout
    | TwoTimeouts
    | TwoAttestations
    | TwoBatchShares
    | TwoBatches
    | FalseReceipt
    | InvalidProposal
)
Pair = TypeVar("Pair", TwoTips, TwoProposals, TwoVotes, TwoTimeouts, TwoAttestations, TwoBatchShares, TwoBatches)
_KINDS: dict[type, tuple[int, int]] = {  # rule, and which of its kinds
    TwoTips: (1, 0),
    TwoProposals: (2, 0),
    TwoVotes: (3, 0),
    VoteAboveTimeout: (4, 0),
    TwoTimeouts: (5, 0),
    TwoAttestations: (6, 0),
    TwoBatchShares: (6, 1),
    TwoBatches: (7, 0),
    FalseReceipt: (8, 0),
    InvalidProposal: (9, 0),
}


def rule_of(proof: Proof) -> int:
    """1 … 9: the number behind the E."""
    return _KINDS[type(proof)][0]


def in_order(pair: Pair) -> Pair:
    """The same pair in the one order that is encoded (invariant 2)."""
    if pair.first.encode() <= pair.second.encode():
        return pair
    return replace(pair, first=pair.second, second=pair.first)


def encode_proof(proof: Proof) -> bytes:
    """version ‖ rule ‖ kind ‖ the parts in order."""
    rule, kind = _KINDS[type(proof)]
    return u8(EVIDENCE_VERSION) + u8(rule) + u8(kind) + _encode_parts(proof)


def _encode_parts(proof: Proof) -> bytes:
    match proof:
        case TwoVotes(who, first, second) | TwoTimeouts(who, first, second):
            return u16(who) + first.encode() + second.encode()
        case VoteAboveTimeout(validator, vote, timeout):
            return u16(validator) + vote.encode() + timeout.encode()
        case FalseReceipt(receipt, batch, place, segment):
            return receipt.encode() + batch.encode() + u16(place) + variable(segment)
        case InvalidProposal(proposal):
            return proposal.encoded
        case _:
            return proof.first.encode() + proof.second.encode()


def decode_proof(data: bytes, count: int) -> Proof:
    """Reads a proof over a set of `count` validators. Raises `DecodeError`, also for a pair in the wrong order."""
    if len(data) > PROOF_BYTES_MAX:
        raise DecodeError(f"a proof has at most {PROOF_BYTES_MAX} bytes")
    return decode_whole(data, lambda reader: _read(reader, count))


def _read(reader: Reader, count: int) -> Proof:  # noqa: C901 - one table
    if reader.u8() != EVIDENCE_VERSION:
        raise DecodeError("unknown version of evidence")
    match (reader.u8(), reader.u8()):
        case (1, 0):
            return _ordered(TwoTips(SignedTip.decode(reader), SignedTip.decode(reader)))
        case (2, 0):
            return _ordered(TwoProposals(SignedProposal.decode(reader), SignedProposal.decode(reader)))
        case (3, 0):
            voter = ValidatorIndex(reader.u16())
            return _ordered(TwoVotes(voter, SignedVote.decode(reader), SignedVote.decode(reader)))
        case (4, 0):
            validator = ValidatorIndex(reader.u16())
            return VoteAboveTimeout(validator, SignedVote.decode(reader), SignedTimeout.decode(reader))
        case (5, 0):
            signer = ValidatorIndex(reader.u16())
            return _ordered(TwoTimeouts(signer, SignedTimeout.decode(reader), SignedTimeout.decode(reader)))
        case (6, 0):
            return _ordered(TwoAttestations(AttestationShare.decode(reader), AttestationShare.decode(reader)))
        case (6, 1):
            return _ordered(TwoBatchShares(BatchShare.decode(reader), BatchShare.decode(reader)))
        case (7, 0):
            return _ordered(TwoBatches(SignedHeader.decode(reader), SignedHeader.decode(reader)))
        case (8, 0):
            receipt, batch = Receipt.decode(reader), SignedHeader.decode(reader)
            return FalseReceipt(receipt, batch, reader.u16(), reader.variable(limits.BATCH_BYTES_CEILING))
        case (9, 0):
            return InvalidProposal(Proposal.decode(reader, count))
        case rule, kind:
            raise DecodeError(f"no evidence of rule {rule} and kind {kind}")


def _ordered(pair: Pair) -> Pair:
    if pair.first.encode() >= pair.second.encode():
        raise DecodeError("the two statements of a proof differ and stand in their order")
    return pair
