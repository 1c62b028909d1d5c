"""Proposal, vote and timeout: what replicas send each other in a view.

Responsible for: types and encodings.
Refuses to do: judge them (`consensus/validity.py`) or route them (`consensus/replica`).

Invariants:
1. A proposal's signature binds the tip's id, its author's signature and the entry certificate ▲, so that nobody can
   swap one of them and accuse the leader.
2. A vote's lane report is a field of its own, outside the signed body. The extension count is 0.
3. A timeout's envelope (QC, backup vote, entry certificate) is unsigned: timeouts are taken only from the
   signer's link.
"""

from dataclasses import dataclass
from functools import cached_property

from consensus.encoding import Reader, optional, u8, u16, u64
from consensus.errors import DecodeError
from consensus.genesis import Genesis
from consensus.numbers import Epoch, Hash, ValidatorIndex, View
from consensus.signing import SIGNATURE_BYTES, Kind, sha256
from consensus.vocabulary.certificates import (
    QC,
    TC,
    Certificate,
    TimeoutBody,
    VoteBody,
    decode_certificate,
    encode_certificate,
)
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip


@dataclass(frozen=True)
class Proposal:
    """A leader's tip for `view`: fresh (made in this view, no entry) or re-proposed (entry = TC of view − 1)."""

    epoch: Epoch
    view: View
    tip: Tip
    entry: TC | None
    leader_sig: bytes = b""

    @cached_property
    def encoded(self) -> bytes:
        """epoch ‖ view ‖ tip ‖ optional entry ‖ leader_sig."""
        entry = optional(self.entry.encoded if self.entry else None)
        return u64(self.epoch) + u64(self.view) + self.tip.encoded + entry + self.leader_sig

    @staticmethod
    def decode(reader: Reader, count: int) -> "Proposal":
        """Reads a proposal over a set of `count` validators; the caller has bounded its bytes."""
        epoch, view = Epoch(reader.u64()), View(reader.u64())
        tip = Tip.decode(reader, count)
        entry = TC.decode(reader, count) if reader.flag() else None
        return Proposal(epoch, view, tip, entry, reader.fixed(SIGNATURE_BYTES))

    def signing_digest(self, chain: Genesis) -> Hash:
        """What the leader signs: view ‖ tip id ‖ SHA-256(author_sig) ‖ SHA-256(entry), in the epoch's domain."""
        entry = optional(self.entry.encoded if self.entry else None)
        body = u64(self.view) + self.tip.id + sha256(self.tip.author_sig) + sha256(entry)
        return chain.domain.digest(Kind.PROPOSAL, self.epoch, body)


@dataclass(frozen=True)
class Vote:
    """A signed vote body; to the leader of the next view with the voter's lane report for it."""

    body: VoteBody
    voter: ValidatorIndex
    signature: bytes
    report: LaneReport | None = None

    @cached_property
    def encoded(self) -> bytes:
        """body ‖ voter ‖ signature ‖ optional report ‖ extension count 0."""
        report = optional(self.report.encoded if self.report else None)
        return self.body.encode() + u16(self.voter) + self.signature + report + u8(0)

    @staticmethod
    def decode(reader: Reader) -> "Vote":
        """Reads a vote; raises `DecodeError`, also for extensions, which no release uses yet."""
        body, voter = VoteBody.decode(reader), ValidatorIndex(reader.u16())
        signature = reader.fixed(SIGNATURE_BYTES)
        report = LaneReport.decode(reader) if reader.flag() else None
        if reader.u8() != 0:
            raise DecodeError("vote extensions are not in use")
        return Vote(body, voter, signature, report)

    def without_report(self) -> "Vote":
        """The same vote for those who are not the next leader."""
        return Vote(self.body, self.voter, self.signature) if self.report else self


@dataclass(frozen=True)
class Timeout:
    """A signed timeout body with its unsigned envelope. Signed once per view, re-sent verbatim."""

    body: TimeoutBody
    signer: ValidatorIndex
    signature: bytes
    qc: QC | None  # the signer's highest QC, if the body names no tip
    backup_vote: Vote | None  # the signer's vote of this view, cast before or together with the timeout
    entry: Certificate  # how the signer entered the view, so that a laggard jumps

    @cached_property
    def encoded(self) -> bytes:
        """body ‖ signer ‖ signature ‖ optional QC ‖ optional backup vote ‖ entry."""
        return b"".join(
            (
                self.body.encode(),
                u16(self.signer),
                self.signature,
                optional(self.qc.encoded if self.qc else None),
                optional(self.backup_vote.encoded if self.backup_vote else None),
                encode_certificate(self.entry),
            )
        )

    @staticmethod
    def decode(reader: Reader, count: int) -> "Timeout":
        """Reads a timeout over a set of `count` validators."""
        return Timeout(
            TimeoutBody.decode(reader),
            ValidatorIndex(reader.u16()),
            reader.fixed(SIGNATURE_BYTES),
            QC.decode(reader, count) if reader.flag() else None,
            Vote.decode(reader) if reader.flag() else None,
            decode_certificate(reader, count),
        )

    @property
    def view(self) -> View:
        """The view that timed out."""
        return self.body.view
