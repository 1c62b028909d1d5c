"""A batch: the unit of a lane, one validator's sealed transactions by namespace and kind.

Responsible for: the header, its digest, the layout of the bytes, what a receiver checks, and transaction ids.
Refuses to do: look inside a segment at reception. Framing, counts and unknown kinds are judged at execution
(`sequencer/execution`), where a bad segment is inert: nobody is punished for holding or voting for it.

Invariants:
1. bytes = header ‖ author_sig ‖ segments, each of exactly its header's `byte_count`: segments are slices of what was
   received, never re-encoded.
2. digest = SHA-256(header); the header commits to every segment's hash, so the digest names the bytes.
3. Segments are sorted and unique on (namespace, kind).
"""

import hashlib
import itertools
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from consensus import limits
from consensus.encoding import Reader, sequence, u8, u16, u32, u64
from consensus.errors import DecodeError, InvalidObject
from consensus.genesis import Genesis
from consensus.numbers import Digest, Epoch, Hash, Milliseconds, NamespaceId, Seq, ValidatorIndex
from consensus.signing import SIGNATURE_BYTES, Kind, NodeKey, require_signature, sha256

BATCH_VERSION = 1
KIND_OPEN = 0  # open transactions; other kinds are carried, hashed, counted and inert
LENGTH_PREFIX_BYTES = 4
SEGMENT_ENTRY_BYTES = 49  # of one entry in a header
_U32 = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """One namespace's bytes of one kind, as the header commits to them."""

    namespace: NamespaceId
    kind: int  # u8
    item_count: int  # u32, as the author claims; execution counts for itself
    byte_count: int  # u32, length prefixes included
    segment_hash: Hash

    def encode(self) -> bytes:
        """49 bytes."""
        return u64(self.namespace) + u8(self.kind) + u32(self.item_count) + u32(self.byte_count) + self.segment_hash

    @staticmethod
    def decode(reader: Reader) -> "SegmentEntry":
        """The inverse of `encode`."""
        return SegmentEntry(NamespaceId(reader.u64()), reader.u8(), reader.u32(), reader.u32(), Hash(reader.fixed(32)))


@dataclass(frozen=True)
class BatchHeader:
    """The signed part of a batch."""

    epoch: Epoch
    author: ValidatorIndex
    seq: Seq
    prev_digest: Digest
    created_ms: Milliseconds
    segments: tuple[SegmentEntry, ...]

    @cached_property
    def encoded(self) -> bytes:
        """version ‖ epoch ‖ author ‖ seq ‖ prev_digest ‖ created_ms ‖ segments."""
        return (
            u8(BATCH_VERSION)
            + u64(self.epoch)
            + u16(self.author)
            + u64(self.seq)
            + self.prev_digest
            + u64(self.created_ms)
            + sequence([segment.encode() for segment in self.segments])
        )

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of the encoded header."""
        return Digest(sha256(self.encoded))

    @staticmethod
    def decode(reader: Reader) -> "BatchHeader":
        """Reads a header. Raises `DecodeError`, also for unsorted or repeated segments."""
        if reader.u8() != BATCH_VERSION:
            raise DecodeError("unknown batch version")
        header = BatchHeader(
            epoch=Epoch(reader.u64()),
            author=ValidatorIndex(reader.u16()),
            seq=Seq(reader.u64()),
            prev_digest=Digest(reader.fixed(32)),
            created_ms=Milliseconds(reader.u64()),
            segments=reader.sequence(limits.BATCH_SEGMENTS_MAX, SegmentEntry.decode),
        )
        keys = [(segment.namespace, segment.kind) for segment in header.segments]
        if any(earlier >= later for earlier, later in itertools.pairwise(keys)):
            raise DecodeError("segments are sorted and unique on (namespace, kind)")
        return header


@dataclass(frozen=True, slots=True)
class Batch:
    """A decoded batch: its header and the bytes it came in."""

    header: BatchHeader
    author_sig: bytes
    encoded: bytes  # the whole batch as received

    @property
    def digest(self) -> Digest:
        """The batch's name."""
        return self.header.digest

    def segment(self, place: int) -> bytes:
        """The bytes of the segment at `place` in the header."""
        start = len(self.header.encoded) + SIGNATURE_BYTES
        start += sum(entry.byte_count for entry in self.header.segments[:place])
        return self.encoded[start : start + self.header.segments[place].byte_count]

    @staticmethod
    def decode(data: bytes, batch_bytes_max: int) -> "Batch":
        """Splits `data`. Raises `DecodeError` for a wrong size or framing; checks no hash and no signature."""
        if len(data) > batch_bytes_max:
            raise DecodeError(f"a batch of {len(data)} bytes is above {batch_bytes_max}")
        reader = Reader(data)
        header = BatchHeader.decode(reader)
        author_sig = reader.fixed(SIGNATURE_BYTES)
        if sum(entry.byte_count for entry in header.segments) != reader.remaining:
            raise DecodeError("the segments do not fill the batch")
        return Batch(header, author_sig, data)

    def check(self, chain: Genesis) -> None:
        """What a receiver checks (per batch, never per transaction). Raises `InvalidObject`."""
        header = self.header
        if header.epoch != 0:
            raise InvalidObject("wrong_epoch")
        if header.author >= chain.validator_set.count:
            raise InvalidObject("unknown_author")
        if header.seq < 1 or not header.segments:
            raise InvalidObject("empty_batch")
        at = len(header.encoded) + SIGNATURE_BYTES
        view = memoryview(self.encoded)
        for entry in header.segments:
            if entry.byte_count == 0:
                raise InvalidObject("empty_segment")
            if hashlib.sha256(view[at : at + entry.byte_count]).digest() != entry.segment_hash:
                raise InvalidObject("segment_hash")
            at += entry.byte_count
        digest = chain.domain.digest(Kind.BATCH, header.epoch, header.digest)
        require_signature(chain.validator_set.node_public_key(header.author), digest, self.author_sig)


def seal_batch(chain: Genesis, key: NodeKey, header: BatchHeader, segments: list[bytes]) -> Batch:
    """Signs `header` and lays out the batch. The caller has hashed the segments into the header."""
    author_sig = key.sign(chain.domain.digest(Kind.BATCH, header.epoch, header.digest))
    return Batch(header, author_sig, b"".join((header.encoded, author_sig, *segments)))


def frame_items(items: Sequence[bytes]) -> bytes:
    """A segment: repeated `u32 length ‖ item`."""
    return b"".join([part for item in items for part in (u32(len(item)), item)])


@dataclass(frozen=True, slots=True)
class Items:
    """Transactions as a segment has them, with the place where each ends: no object for each of them."""

    framed: bytes  # repeated `u32 length ‖ item`
    ends: list[int]

    @staticmethod
    def of(items: Sequence[bytes]) -> "Items":
        """These, framed."""
        ends = list(itertools.accumulate(LENGTH_PREFIX_BYTES + len(item) for item in items))
        return Items(frame_items(items), ends)

    @staticmethod
    def parse(framed: bytes, items_max: int) -> "Items | None":
        """What is in `framed`, or None if its framing is wrong. Stops one item beyond `items_max`."""
        ends: list[int] = []
        at, end, read_length = 0, len(framed), _U32.unpack_from
        while at < end and len(ends) <= items_max:
            if at + LENGTH_PREFIX_BYTES > end:
                return None
            at += LENGTH_PREFIX_BYTES + read_length(framed, at)[0]
            if at > end:
                return None
            ends.append(at)
        return Items(framed, ends)

    def __len__(self) -> int:
        return len(self.ends)

    def begin(self, number: int) -> int:
        """Where the frame of item `number` begins."""
        return self.ends[number - 1] if number else 0

    def __getitem__(self, number: int) -> bytes:
        return self.framed[self.begin(number) + LENGTH_PREFIX_BYTES : self.ends[number]]

    def __iter__(self) -> Iterator[bytes]:
        return map(self.__getitem__, range(len(self)))

    def part(self, first: int, end: int) -> "Items":
        """Items `first` to `end`, with bytes of their own unless that is all."""
        if first == 0 and end == len(self):
            return self
        begin = self.begin(first)
        return Items(self.framed[begin : self.begin(end)], [at - begin for at in self.ends[first:end]])


def read_segment(segment: bytes, item_count: int, tx_bytes_max: int) -> Items | None:
    """The items of a segment, or None if it is inert: framing, the claimed count or an item's size is wrong."""
    ends: list[int] = []
    at, end, read_length = 0, len(segment), _U32.unpack_from
    while at < end:
        at += LENGTH_PREFIX_BYTES
        if at > end:
            return None
        (size,) = read_length(segment, at - LENGTH_PREFIX_BYTES)
        at += size
        if at > end or not 1 <= size <= tx_bytes_max:
            return None
        ends.append(at)
    return Items(segment, ends) if len(ends) == item_count else None


def parse_segment(segment: bytes, item_count: int, tx_bytes_max: int) -> list[bytes] | None:
    """`read_segment` with an object for each item."""
    items = read_segment(segment, item_count, tx_bytes_max)
    return None if items is None else list(items)


def transaction_id(namespace: NamespaceId, kind: int, body: bytes) -> Hash:
    """SHA-256("tx" ‖ namespace u64 ‖ kind u8 ‖ body)."""
    return Hash(hashlib.sha256(transaction_id_head(namespace, kind) + body).digest())


def transaction_id_head(namespace: NamespaceId, kind: int) -> bytes:
    """What stands before the body in the preimage of a transaction's id."""
    return b"tx" + u64(namespace) + u8(kind)


def transaction_ids(namespace: NamespaceId, kind: int, items: Items) -> list[Hash]:
    """The ids of all these."""
    head, framed, sha256_of, begin = transaction_id_head(namespace, kind), items.framed, hashlib.sha256, 0
    found = []
    for end in items.ends:
        found.append(Hash(sha256_of(head + framed[begin + LENGTH_PREFIX_BYTES : end]).digest()))
        begin = end
    return found
