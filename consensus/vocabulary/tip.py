"""Header and tip: the thing that is proposed, a quorum of lane reports and what follows from them.

Responsible for: types and encodings.
Refuses to do: judge a tip (`consensus/validity.py`) or make one (`consensus/replica/propose.py`).

Invariants:
1. block id = tip id = SHA-256(header); `justify_hash` and `fresh_hash` cover the full encodings, signatures included ▲.
2. The author's signature is outside the id: never cache "invalid" by id.
"""

from dataclasses import dataclass
from functools import cached_property

from consensus.encoding import Reader, optional, u8, u16, u64
from consensus.errors import DecodeError
from consensus.genesis import Genesis
from consensus.numbers import BlockId, Epoch, Hash, Height, Milliseconds, ValidatorIndex, View
from consensus.signing import SIGNATURE_BYTES, Kind, sha256
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.certificates import QC, TC, VoteBody
from consensus.vocabulary.report import LaneReport, decode_reports, encode_reports, read_time

TIP_VERSION = 1
_HEIGHT_AT = 17  # behind version u8, epoch u64 and view u64; the parent's id follows


@dataclass(frozen=True)
class Header:
    """What a block id commits to. Everything but view, author and fresh follows from justify and the reports."""

    epoch: Epoch
    view: View
    height: Height
    parent_id: BlockId
    justify_hash: Hash
    author: ValidatorIndex
    ts_ms: Milliseconds
    l1_anchor: Anchor
    cut_root: Hash
    reports_hash: Hash
    fresh_hash: Hash

    @cached_property
    def encoded(self) -> bytes:
        """version ‖ the fields in order."""
        return (
            u8(TIP_VERSION)
            + u64(self.epoch)
            + u64(self.view)
            + u64(self.height)
            + self.parent_id
            + self.justify_hash
            + u16(self.author)
            + u64(self.ts_ms)
            + self.l1_anchor.encode()
            + self.cut_root
            + self.reports_hash
            + self.fresh_hash
        )

    @cached_property
    def id(self) -> BlockId:
        """SHA-256 of the encoded header."""
        return BlockId(sha256(self.encoded))

    @staticmethod
    def decode(reader: Reader) -> "Header":
        """The inverse of `encoded`."""
        if reader.u8() != TIP_VERSION:
            raise DecodeError("unknown tip version")
        return Header(
            Epoch(reader.u64()),
            View(reader.u64()),
            Height(reader.u64()),
            BlockId(reader.fixed(32)),
            Hash(reader.fixed(32)),
            ValidatorIndex(reader.u16()),
            read_time(reader),
            Anchor.decode(reader),
            Hash(reader.fixed(32)),
            Hash(reader.fixed(32)),
            Hash(reader.fixed(32)),
        )

    def signing_digest(self, chain: Genesis) -> Hash:
        """What the author signs."""
        return chain.domain.digest(Kind.TIP, self.epoch, self.id)


@dataclass(frozen=True)
class Tip:
    """A header with everything that is needed to judge it without any state."""

    header: Header
    author_sig: bytes
    justify: QC
    reports: tuple[LaneReport, ...]
    fresh: TC | None
    count: int

    @property
    def id(self) -> BlockId:
        """The block id."""
        return self.header.id

    @property
    def view(self) -> View:
        """The view in which the tip was made."""
        return self.header.view

    @cached_property
    def reports_encoded(self) -> bytes:
        """The reports in their compact form."""
        return encode_reports(self.reports, self.count)

    @cached_property
    def encoded(self) -> bytes:
        """header ‖ author_sig ‖ justify ‖ reports ‖ optional fresh."""
        return b"".join(
            (
                self.header.encoded,
                self.author_sig,
                self.justify.encoded,
                self.reports_encoded,
                optional(self.fresh.encoded if self.fresh else None),
            )
        )

    @staticmethod
    def decode(reader: Reader, count: int) -> "Tip":
        """Reads a tip over a set of `count` validators; the caller has bounded its bytes."""
        header = Header.decode(reader)
        return Tip(
            header,
            reader.fixed(SIGNATURE_BYTES),
            QC.decode(reader, count),
            decode_reports(reader, header.epoch, header.view, count),
            TC.decode(reader, count) if reader.flag() else None,
            count,
        )

    def vote_body(self, view: View) -> VoteBody:
        """What a vote for this tip in `view` says."""
        header = self.header
        return VoteBody(header.epoch, view, self.id, header.view, header.height, self.justify.view, header.ts_ms)


def read_link(encoded: bytes) -> tuple[Height, BlockId]:
    """Height and parent id of an encoded tip, from their places, without decoding the rest. Raises `DecodeError`."""
    reader = Reader(encoded[_HEIGHT_AT : _HEIGHT_AT + 40])
    return Height(reader.u64()), BlockId(reader.fixed(32))


def fresh_hash(fresh: TC | None) -> Hash:
    """SHA-256 over the optional value, its leading 0 or 1 included."""
    return sha256(optional(fresh.encoded if fresh else None))
