"""The safety record: what must be on disk before anything leaves.

Responsible for: the record and its encoding.
Refuses to do: touch a disk (`storage/safety.py`) or decide (`voting.py`, `timing_out.py`, `propose.py`).

Invariants:
1. It holds every decision that must not be taken twice or taken back: the last vote, timeout and proposal verbatim, the
   highest tip and QC, and how the view was entered. Tips are named by id and stored beside it, until executed ▲.
2. `high_tip` is None or of a view above `high_qc.view`.
"""

from dataclasses import dataclass

from consensus.encoding import Reader, decode_whole, optional, u64
from consensus.numbers import BlockId, Epoch, View
from consensus.signing import SIGNATURE_BYTES
from consensus.vocabulary.certificates import (
    QC,
    TC,
    Certificate,
    decode_certificate,
    encode_certificate,
)
from consensus.vocabulary.messages import Timeout, Vote


@dataclass(frozen=True, slots=True)
class StoredProposal:
    """A proposal without its tip, which is stored by id."""

    view: View
    tip_id: BlockId
    entry: TC | None
    leader_sig: bytes

    def encode(self) -> bytes:
        """view ‖ tip_id ‖ optional entry ‖ leader_sig."""
        return u64(self.view) + self.tip_id + optional(self.entry.encoded if self.entry else None) + self.leader_sig

    @staticmethod
    def decode(reader: Reader, count: int) -> "StoredProposal":
        """The inverse of `encode`."""
        view, tip_id = View(reader.u64()), BlockId(reader.fixed(32))
        entry = TC.decode(reader, count) if reader.flag() else None
        return StoredProposal(view, tip_id, entry, reader.fixed(SIGNATURE_BYTES))


@dataclass(frozen=True, slots=True)
class SafetyRecord:
    """See the module's invariants. `view` is entry.view + 1."""

    epoch: Epoch
    entry: Certificate
    voted_view: View
    vote: Vote | None
    timeout_view: View
    timeout: Timeout | None
    proposed_view: View
    proposal: StoredProposal | None
    high_tip_id: BlockId | None
    high_qc: QC

    def encode(self) -> bytes:
        """The fields in order."""
        return b"".join(
            (
                u64(self.epoch),
                encode_certificate(self.entry),
                u64(self.voted_view),
                optional(self.vote.encoded if self.vote else None),
                u64(self.timeout_view),
                optional(self.timeout.encoded if self.timeout else None),
                u64(self.proposed_view),
                optional(self.proposal.encode() if self.proposal else None),
                optional(self.high_tip_id),
                self.high_qc.encoded,
            )
        )

    @staticmethod
    def decode(data: bytes, count: int) -> "SafetyRecord":
        """The inverse of `encode`, over a set of `count` validators. Raises `DecodeError`."""

        def read(reader: Reader) -> SafetyRecord:
            return SafetyRecord(
                Epoch(reader.u64()),
                decode_certificate(reader, count),
                View(reader.u64()),
                Vote.decode(reader) if reader.flag() else None,
                View(reader.u64()),
                Timeout.decode(reader, count) if reader.flag() else None,
                View(reader.u64()),
                StoredProposal.decode(reader, count) if reader.flag() else None,
                BlockId(reader.fixed(32)) if reader.flag() else None,
                QC.decode(reader, count),
            )

        return decode_whole(data, read)
