"""What the bytes on a link mean: the table of frame and request kinds, their bounds, and the hello.

Responsible for: numbers, bounds and the mapping between kinds and the protocol's objects.
Refuses to do: move bytes (`p2p`) or act on what it decodes.

Invariants:
1. A kind's number is part of the format and never reused. 0 and 255 belong to the links themselves.
2. Every kind has a bound that an honest message never exceeds, and that is checked before a body is read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, unique

from consensus import limits
from consensus.encoding import Reader, decode_whole, sequence, u8, u16, u64, variable
from consensus.errors import DecodeError
from consensus.genesis import Genesis
from consensus.numbers import BlockId, Epoch, Hash, Height, Seq, ValidatorIndex
from consensus.replica.effects import Message
from consensus.signing import SIGNATURE_BYTES
from consensus.vocabulary.batch import SEGMENT_ENTRY_BYTES
from consensus.vocabulary.certificates import QC, TC
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip
from p2p.bounds import LinkBounds
from sequencer.settlement.sharing import REQUEST_OVERHEAD_BYTES

HELLO_VERSION = 1
_SMALL = 1024


@unique
class FrameKind(IntEnum):
    """Frames on a link."""

    PROPOSAL = 1
    VOTE = 2
    TIMEOUT = 3
    QC = 4
    TC = 5
    TIP = 6
    LANE_REPORT = 7
    BATCH = 8
    ATTESTATION_SHARE = 9
    ATTESTATION_CERTIFICATE = 10
    LANE_GAP = 11  # to an author: push your lane again from this seq on
    EVIDENCE = 12  # a proof of a validator's fault


@unique
class RequestKind(IntEnum):
    """Requests between validators."""

    TIPS = 1  # wanted id ‖ floor height → the wanted tip and its parents above the floor
    BATCH = 2  # digest → the batch's bytes
    ATTESTATION = 3  # height → the certificate of that height
    BATCH_SHARES = 4  # a range, the batch before it, a payload → signatures on the L1 batch (`settlement/sharing.py`)


URGENT = frozenset(
    {FrameKind.PROPOSAL, FrameKind.VOTE, FrameKind.TIMEOUT, FrameKind.QC, FrameKind.TC, FrameKind.LANE_REPORT}
)


def link_bounds(chain: Genesis) -> LinkBounds:
    """The bound of every kind on this chain, in bytes."""
    count = chain.validator_set.count
    certificate = _SMALL + count * (128 + SIGNATURE_BYTES)
    vote = _SMALL + chain.report_bytes_max
    return LinkBounds(
        frames={
            FrameKind.PROPOSAL: chain.tip_bytes_max + certificate,
            FrameKind.VOTE: vote,
            FrameKind.TIMEOUT: _SMALL + 2 * certificate + vote,
            FrameKind.QC: certificate,
            FrameKind.TC: certificate,
            FrameKind.TIP: chain.tip_bytes_max,
            FrameKind.LANE_REPORT: chain.report_bytes_max,
            FrameKind.BATCH: chain.parameters.batch_bytes_max,
            FrameKind.ATTESTATION_SHARE: _SMALL,
            FrameKind.ATTESTATION_CERTIFICATE: _SMALL,
            FrameKind.LANE_GAP: 8,
            FrameKind.EVIDENCE: evidence_bytes_max(chain),
        },
        requests={
            RequestKind.TIPS: 40,
            RequestKind.BATCH: 32,
            RequestKind.ATTESTATION: 8,
            RequestKind.BATCH_SHARES: REQUEST_OVERHEAD_BYTES + chain.parameters.commit_bytes_max,
        },
    )


def evidence_bytes_max(chain: Genesis) -> int:
    """What a proof takes on a link: two batch headers (E7) or a proposal (E9). Receipts' proofs (E8) do not travel."""
    certificate = _SMALL + chain.validator_set.count * (128 + SIGNATURE_BYTES)
    headers = 2 * (_SMALL + limits.BATCH_SEGMENTS_MAX * SEGMENT_ENTRY_BYTES)
    return _SMALL + max(chain.tip_bytes_max + certificate, headers)


def encode_message(message: Message) -> tuple[FrameKind, bytes]:
    """The frame of a consensus message."""
    match message:
        case Proposal():
            return FrameKind.PROPOSAL, message.encoded
        case Vote():
            return FrameKind.VOTE, message.encoded
        case Timeout():
            return FrameKind.TIMEOUT, message.encoded
        case QC():
            return FrameKind.QC, message.encoded
        case TC():
            return FrameKind.TC, message.encoded
        case Tip():
            return FrameKind.TIP, message.encoded
        case LaneReport():
            return FrameKind.LANE_REPORT, message.encoded


def message_decoders(count: int) -> dict[int, Callable[[Reader], Message]]:
    """How to read each consensus message over a set of `count` validators."""
    return {
        FrameKind.PROPOSAL: lambda reader: Proposal.decode(reader, count),
        FrameKind.VOTE: Vote.decode,
        FrameKind.TIMEOUT: lambda reader: Timeout.decode(reader, count),
        FrameKind.QC: lambda reader: QC.decode(reader, count),
        FrameKind.TC: lambda reader: TC.decode(reader, count),
        FrameKind.TIP: lambda reader: Tip.decode(reader, count),
        FrameKind.LANE_REPORT: LaneReport.decode,
    }


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame: who speaks, of which chain, and how far it holds each lane; authors stream from there."""

    chain_id: Hash
    epoch: Epoch
    index: ValidatorIndex
    heads: tuple[Seq, ...]

    def encode(self) -> bytes:
        """version ‖ chain_id ‖ epoch ‖ index ‖ heads."""
        return (
            u8(HELLO_VERSION)
            + self.chain_id
            + u64(self.epoch)
            + u16(self.index)
            + sequence([u64(head) for head in self.heads])
        )

    @staticmethod
    def decode(data: bytes) -> "Hello":
        """The inverse of `encode`. Raises `DecodeError`."""
        return decode_whole(data, _read_hello)


def _read_hello(reader: Reader) -> Hello:
    if reader.u8() != HELLO_VERSION:
        raise DecodeError("unknown hello version")
    return Hello(
        Hash(reader.fixed(32)),
        Epoch(reader.u64()),
        ValidatorIndex(reader.u16()),
        reader.sequence(limits.VALIDATORS_MAX, lambda item: Seq(item.u64())),
    )


def encode_tips_request(wanted: BlockId, floor_height: int) -> bytes:
    """Body of a TIPS request."""
    return wanted + u64(floor_height)


def decode_tips_request(body: bytes) -> tuple[BlockId, Height]:
    """The inverse. Raises `DecodeError`."""
    return decode_whole(body, lambda reader: (BlockId(reader.fixed(32)), Height(reader.u64())))


def encode_tips(tips: list[bytes]) -> bytes:
    """Answer to a TIPS request: encoded tips, each with its length."""
    return sequence([variable(tip) for tip in tips])


def decode_tips(body: bytes, count: int, tip_bytes_max: int) -> tuple[Tip, ...]:
    """The inverse. Raises `DecodeError`."""

    def read_tip(reader: Reader) -> Tip:
        return decode_whole(reader.variable(tip_bytes_max), lambda inner: Tip.decode(inner, count))

    return decode_whole(body, lambda reader: reader.sequence(limits.WALK_TIPS_MAX, read_tip))
