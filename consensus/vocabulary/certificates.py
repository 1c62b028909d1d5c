"""Votes' and timeouts' bodies, and the certificates that a quorum of them makes: QC and TC.

Responsible for: types, encodings, rank and the genesis certificate.
Refuses to do: judge them (`consensus/validity.py`).

Invariants:
1. A QC lists signatures in bitmap order; a TC lists each signer's own body with its signature. No tips, no QCs inside.
2. The rank of a timeout body is (tip_view, qc_view) for a tip and (qc_view, ∞) for a QC alone, compared
   lexicographically; on a tie the smaller id ranks higher.
3. The genesis QC has an empty bitmap and is valid only by byte equality.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from consensus.encoding import Reader, bitmap, u64
from consensus.numbers import (
    GENESIS_EPOCH,
    GENESIS_HEIGHT,
    GENESIS_VIEW,
    ZERO_HASH,
    BlockId,
    Epoch,
    Hash,
    Height,
    Milliseconds,
    ValidatorIndex,
    View,
)
from consensus.signing import SIGNATURE_BYTES, Domain, Kind, sha256
from consensus.vocabulary.report import read_time

_INFINITE_VIEW = 2**64
_ID_MAX = 2**256 - 1
NO_TIP = BlockId(ZERO_HASH)


@dataclass(frozen=True, slots=True)
class VoteBody:
    """What a vote says. `block_view` = `view` for a fresh tip, less for a re-proposed one."""

    epoch: Epoch
    view: View
    block_id: BlockId
    block_view: View
    height: Height
    justify_view: View
    ts_ms: Milliseconds

    def encode(self) -> bytes:
        """80 bytes."""
        return (
            u64(self.epoch)
            + u64(self.view)
            + self.block_id
            + u64(self.block_view)
            + u64(self.height)
            + u64(self.justify_view)
            + u64(self.ts_ms)
        )

    @staticmethod
    def decode(reader: Reader) -> "VoteBody":
        """The inverse of `encode`."""
        return VoteBody(
            Epoch(reader.u64()),
            View(reader.u64()),
            BlockId(reader.fixed(32)),
            View(reader.u64()),
            Height(reader.u64()),
            View(reader.u64()),
            read_time(reader),
        )

    def signing_digest(self, domain: Domain) -> Hash:
        """What a voter signs."""
        return domain.digest(Kind.VOTE, self.epoch, self.encode())

    @property
    def is_fresh(self) -> bool:
        """Whether the block was made in the view of this vote."""
        return self.block_view == self.view


@dataclass(frozen=True)
class QC:
    """A quorum certificate: `signers` rising, `signatures` beside them, over one vote body."""

    body: VoteBody
    signers: tuple[ValidatorIndex, ...]
    signatures: tuple[bytes, ...]
    count: int  # size of the validator set, the bitmap's width

    @property
    def view(self) -> View:
        """The view in which the votes were cast."""
        return self.body.view

    @cached_property
    def encoded(self) -> bytes:
        """body ‖ bitmap ‖ signatures."""
        return self.body.encode() + bitmap(self.signers, self.count) + b"".join(self.signatures)

    @cached_property
    def hash(self) -> Hash:
        """SHA-256 of the full encoding, signatures included ▲."""
        return sha256(self.encoded)

    @staticmethod
    def decode(reader: Reader, count: int) -> "QC":
        """Reads a QC over a set of `count` validators."""
        body = VoteBody.decode(reader)
        signers = reader.bitmap(count)
        signatures = tuple(reader.fixed(SIGNATURE_BYTES) for _ in signers)
        return QC(body, tuple(ValidatorIndex(index) for index in signers), signatures, count)


@lru_cache(maxsize=64)
def genesis_qc(chain_id: bytes, time_ms: Milliseconds, count: int) -> QC:
    """The certificate of block 0, whose id is the chain id's own hash: view 0, height 0, ts_ms = genesis time."""
    block_id = BlockId(sha256(b"genesis" + chain_id))
    body = VoteBody(GENESIS_EPOCH, GENESIS_VIEW, block_id, GENESIS_VIEW, GENESIS_HEIGHT, GENESIS_VIEW, time_ms)
    return QC(body, (), (), count)


@dataclass(frozen=True, slots=True)
class TimeoutBody:
    """What a timeout says: the highest tip (tip_view 0 = none) or, without one, the highest QC of its signer.

    `qc_view` is the tip's own justify view if there is a tip, else the view of the highest QC ▲.
    """

    epoch: Epoch
    view: View
    tip_view: View
    tip_id: BlockId
    qc_view: View

    def encode(self) -> bytes:
        """64 bytes."""
        return u64(self.epoch) + u64(self.view) + self.highest()

    def highest(self) -> bytes:
        """The part that differs between signers: tip_view ‖ tip_id ‖ qc_view."""
        return u64(self.tip_view) + self.tip_id + u64(self.qc_view)

    @staticmethod
    def decode(reader: Reader) -> "TimeoutBody":
        """The inverse of `encode`."""
        return TimeoutBody.decode_highest(reader, Epoch(reader.u64()), View(reader.u64()))

    @staticmethod
    def decode_highest(reader: Reader, epoch: Epoch, view: View) -> "TimeoutBody":
        """The inverse of `highest`."""
        return TimeoutBody(epoch, view, View(reader.u64()), BlockId(reader.fixed(32)), View(reader.u64()))

    @property
    def names_tip(self) -> bool:
        """Whether it reports a tip and not only a QC."""
        return self.tip_view > 0

    @property
    def rank(self) -> tuple[int, int, int]:
        """Sort key; see invariant 2."""
        if self.names_tip:
            return tip_rank(self.tip_view, self.qc_view, self.tip_id)
        return (self.qc_view, _INFINITE_VIEW, _ID_MAX)

    def signing_digest(self, domain: Domain) -> Hash:
        """What the signer signs."""
        return domain.digest(Kind.TIMEOUT, self.epoch, self.encode())


def tip_rank(tip_view: View, justify_view: View, tip_id: BlockId) -> tuple[int, int, int]:
    """Rank of a tip made in `tip_view` on a QC of `justify_view`."""
    return (tip_view, justify_view, _ID_MAX - int.from_bytes(tip_id, "big"))


def qc_only(epoch: Epoch, view: View, qc_view: View) -> TimeoutBody:
    """The body of a timeout without a tip."""
    return TimeoutBody(epoch, view, GENESIS_VIEW, NO_TIP, qc_view)


@dataclass(frozen=True)
class TC:
    """A timeout certificate: bodies of distinct signers (rising) for one view, with their signatures."""

    epoch: Epoch
    view: View
    signers: tuple[ValidatorIndex, ...]
    bodies: tuple[TimeoutBody, ...]
    signatures: tuple[bytes, ...]
    count: int

    @cached_property
    def encoded(self) -> bytes:
        """epoch ‖ view ‖ bitmap ‖ (highest, signature) of each signer."""
        entries = b"".join(
            body.highest() + signature for body, signature in zip(self.bodies, self.signatures, strict=True)
        )
        return u64(self.epoch) + u64(self.view) + bitmap(self.signers, self.count) + entries

    @cached_property
    def hash(self) -> Hash:
        """SHA-256 of the full encoding."""
        return sha256(self.encoded)

    @cached_property
    def high(self) -> TimeoutBody:
        """The body of highest rank."""
        return max(self.bodies, key=lambda body: body.rank)

    @staticmethod
    def decode(reader: Reader, count: int) -> "TC":
        """Reads a TC over a set of `count` validators."""
        epoch, view = Epoch(reader.u64()), View(reader.u64())
        signers = tuple(ValidatorIndex(index) for index in reader.bitmap(count))
        bodies, signatures = [], []
        for _ in signers:
            bodies.append(TimeoutBody.decode_highest(reader, epoch, view))
            signatures.append(reader.fixed(SIGNATURE_BYTES))
        return TC(epoch, view, signers, tuple(bodies), tuple(signatures), count)


def make_qc(body: VoteBody, votes: Mapping[ValidatorIndex, bytes], count: int) -> QC:
    """The QC of checked votes, by signer."""
    signers = tuple(sorted(votes))
    return QC(body, signers, tuple(votes[signer] for signer in signers), count)


Certificate = QC | TC


def encode_certificate(certificate: Certificate) -> bytes:
    """0 ‖ QC or 1 ‖ TC: an entry certificate, where either may stand."""
    return (b"\x00" if isinstance(certificate, QC) else b"\x01") + certificate.encoded


def decode_certificate(reader: Reader, count: int) -> Certificate:
    """The inverse of `encode_certificate`."""
    return TC.decode(reader, count) if reader.flag() else QC.decode(reader, count)
