"""A namespace block: what one rollup gets at one height; and the roots that an attestation covers.

Responsible for: the type, its encoding and hash, and the leaf of a namespace in `namespaces_root`.
Refuses to do: build blocks (`sequencer/execution`).

Invariants:
1. `index` is dense per namespace: 0, 1, 2 …; `prev_hash` chains them (zeros first).
2. hash = SHA-256 over the NAMESPACE_BLOCK domain of this chain and the encoding.
"""

from dataclasses import dataclass
from enum import IntEnum, unique

from consensus.encoding import Reader, sequence, u8, u32, u64
from consensus.errors import DecodeError
from consensus.numbers import BlockId, Hash, Height, Milliseconds, NamespaceId, NamespaceIndex
from consensus.signing import Domain, Kind
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.report import read_time

NAMESPACE_BLOCK_VERSION = 1
RUN_LEAF = b"\x00"  # leaf of a section root: 0 ‖ segment_hash, a run of open transactions
ITEM_LEAF = b"\x01"  # leaf of a section root: 1 ‖ item_hash, a single item
INERT_LEAF = b"\x02"  # leaf of a section root: 2 ‖ segment_hash, an inert run: bytes without items
# Whether a run is inert can hang on the count in its batch's header, which a client does not see; the root says it.


@unique
class SectionKind(IntEnum):
    """The sections of a block in their order; only OPEN is in use."""

    FORCED = 1
    AUCTION = 2
    SEALED = 3
    OPEN = 4


@dataclass(frozen=True, slots=True)
class Section:
    """One section: `item_count` transactions, `byte_count` bytes (length prefixes and inert runs included)."""

    section: SectionKind
    item_count: int  # u32
    byte_count: int  # u64
    root: Hash

    def encode(self) -> bytes:
        """45 bytes; also the section's leaf in `data_root`."""
        return u8(self.section) + u32(self.item_count) + u64(self.byte_count) + self.root

    @staticmethod
    def decode(reader: Reader) -> "Section":
        """The inverse of `encode`."""
        number = reader.u8()
        if number not in set(SectionKind):
            raise DecodeError(f"unknown section {number}")
        return Section(SectionKind(number), reader.u32(), reader.u64(), Hash(reader.fixed(32)))


@dataclass(frozen=True, slots=True)
class NamespaceBlock:
    """The part of the block at `height` that belongs to one namespace."""

    namespace: NamespaceId
    index: NamespaceIndex
    prev_hash: Hash
    height: Height
    block_id: BlockId
    ts_ms: Milliseconds
    l1_anchor: Anchor
    sections: tuple[Section, ...]
    data_root: Hash

    def encode(self) -> bytes:
        """version ‖ the fields in order."""
        return (
            u8(NAMESPACE_BLOCK_VERSION)
            + u64(self.namespace)
            + u64(self.index)
            + self.prev_hash
            + u64(self.height)
            + self.block_id
            + u64(self.ts_ms)
            + self.l1_anchor.encode()
            + sequence([section.encode() for section in self.sections])
            + self.data_root
        )

    @staticmethod
    def decode(reader: Reader) -> "NamespaceBlock":
        """Reads a block; raises `DecodeError`, also for sections out of order."""
        if reader.u8() != NAMESPACE_BLOCK_VERSION:
            raise DecodeError("unknown namespace block version")
        block = NamespaceBlock(
            NamespaceId(reader.u64()),
            NamespaceIndex(reader.u64()),
            Hash(reader.fixed(32)),
            Height(reader.u64()),
            BlockId(reader.fixed(32)),
            read_time(reader),
            Anchor.decode(reader),
            reader.sequence(len(SectionKind), Section.decode),
            Hash(reader.fixed(32)),
        )
        kinds = [section.section for section in block.sections]
        if kinds != sorted(set(kinds)):
            raise DecodeError("sections are sorted, each once")
        return block

    def hash(self, domain: Domain) -> Hash:
        """The block's hash on this chain."""
        return domain.hash_unsigned(Kind.NAMESPACE_BLOCK, self.encode())


def namespace_leaf(namespace: NamespaceId, index: NamespaceIndex, block_hash: Hash) -> bytes:
    """A namespace's leaf in `namespaces_root`: (namespace, index, hash of its newest block)."""
    return u64(namespace) + u64(index) + block_hash
