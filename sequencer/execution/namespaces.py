"""The newest block of every namespace, and the Merkle root over them.

Responsible for: the leaves of `namespaces_root`, sorted by namespace; their paths; and what is stored at each attested
height so that paths of old heights can be answered.
Refuses to do: build namespace blocks (`execute.py`) or read a disk.

Invariants:
1. There is one leaf for every namespace that ever had a block, sorted by id.
2. A value never changes: a block with new heads makes new leaves that share what is the same, at a few hashes per
   changed namespace.
3. A record holds the leaves that changed since the record of an earlier attested height, or all of them. It holds all
   if the ones since the last full record outnumber the namespaces, or came in 64 steps. So a record costs about two
   leaves per change, and a path is answered from at most 64 records.
4. Whoever deletes records keeps every one down to the newest full record at or below the lowest height to be answered.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from consensus import limits
from consensus.encoding import Reader, decode_whole, sequence, u32, u64
from consensus.errors import BrokenInvariant, DecodeError
from consensus.merkle import MerkleTree, Path
from consensus.numbers import GENESIS_HEIGHT, Hash, Height, NamespaceId, NamespaceIndex
from consensus.vocabulary.block import namespace_leaf
from sequencer.execution.errors import NotAttested

RECORD_STEPS_MAX = 64  # records read for one path


@dataclass(frozen=True, slots=True, order=True)
class NamespaceHead:
    """A namespace's newest block, by index and hash."""

    namespace: NamespaceId
    index: NamespaceIndex
    hash: Hash

    def leaf(self) -> bytes:
        """48 bytes: the leaf in `namespaces_root`, and the head's encoding."""
        return namespace_leaf(self.namespace, self.index, self.hash)

    @staticmethod
    def decode(reader: Reader) -> "NamespaceHead":
        """The inverse of `leaf`."""
        return NamespaceHead(NamespaceId(reader.u64()), NamespaceIndex(reader.u64()), Hash(reader.fixed(32)))


@dataclass(frozen=True, slots=True)
class NamespaceHeads:
    """All heads, sorted by namespace, with their tree."""

    heads: tuple[NamespaceHead, ...]
    tree: MerkleTree = field(repr=False)
    _places: dict[NamespaceId, int] = field(repr=False, compare=False)

    @staticmethod
    def of(heads: Sequence[NamespaceHead]) -> "NamespaceHeads":
        """From heads in any order, at most one per namespace."""
        ordered = tuple(sorted(heads))
        places = {head.namespace: place for place, head in enumerate(ordered)}
        return NamespaceHeads(ordered, MerkleTree.of([head.leaf() for head in ordered]), places)

    @property
    def root(self) -> Hash:
        """`namespaces_root`."""
        return self.tree.root

    def head(self, namespace: NamespaceId) -> NamespaceHead | None:
        """The newest block of a namespace, or None if it never had one."""
        place = self._places.get(namespace)
        return None if place is None else self.heads[place]

    def path(self, namespace: NamespaceId) -> Path | None:
        """The Merkle path of a namespace's leaf, or None if it has none."""
        place = self._places.get(namespace)
        return None if place is None else self.tree.path(place)

    def with_heads(self, newer: Sequence[NamespaceHead]) -> "NamespaceHeads":
        """These heads with some replaced or added."""
        if any(head.namespace not in self._places for head in newer):
            known = {head.namespace: head for head in self.heads}
            return NamespaceHeads.of([*(known | {head.namespace: head for head in newer}).values()])
        heads = list(self.heads)
        changed = {}
        for head in newer:
            place = self._places[head.namespace]
            heads[place] = head
            changed[place] = head.leaf()
        return NamespaceHeads(tuple(heads), self.tree.with_leaves(changed), self._places)

    def encode(self) -> bytes:
        """List of heads; the tree follows from them."""
        return encode_heads(self.heads)

    @staticmethod
    def decode(reader: Reader) -> "NamespaceHeads":
        """The inverse of `encode`."""
        return NamespaceHeads.of(decode_heads(reader))


NO_NAMESPACES = NamespaceHeads.of(())


def encode_heads(heads: Sequence[NamespaceHead]) -> bytes:
    """List of heads."""
    return sequence([head.leaf() for head in heads])


def decode_heads(reader: Reader) -> tuple[NamespaceHead, ...]:
    """The inverse of `encode_heads`; they are sorted, one per namespace."""
    heads = reader.sequence(limits.NAMESPACES_MAX, NamespaceHead.decode)
    if any(earlier.namespace >= later.namespace for earlier, later in itertools.pairwise(heads)):
        raise DecodeError("heads are sorted by namespace, each once")
    return heads


@dataclass(frozen=True, slots=True)
class LeavesRecord:
    """Stored for an attested height: all leaves (`base` 0), or those that changed since the record of `base`."""

    base: Height
    heads: tuple[NamespaceHead, ...]

    def encode(self) -> bytes:
        """base ‖ heads."""
        return u64(self.base) + encode_heads(self.heads)

    @staticmethod
    def decode(data: bytes) -> "LeavesRecord":
        """The inverse of `encode`. Raises `DecodeError`."""
        return decode_whole(data, lambda reader: LeavesRecord(Height(reader.u64()), decode_heads(reader)))


@dataclass(frozen=True, slots=True)
class RecordProgress:
    """What decides the next record: the last one, the records and leaves since the last full one, the changes since."""

    base: Height = GENESIS_HEIGHT
    steps: int = 0
    leaves: int = 0
    changed: tuple[NamespaceId, ...] = ()

    def with_changes(self, heads: Sequence[NamespaceHead]) -> "RecordProgress":
        """After a block with these new heads."""
        changed = {*self.changed, *(head.namespace for head in heads)}
        return RecordProgress(self.base, self.steps, self.leaves, tuple(sorted(changed)))

    def record(self, height: Height, heads: NamespaceHeads) -> tuple["RecordProgress", LeavesRecord]:
        """The record of the attested `height`, at which the leaves are `heads`."""
        leaves = self.leaves + len(self.changed)
        if self.base == GENESIS_HEIGHT or self.steps + 1 >= RECORD_STEPS_MAX or leaves >= len(heads.heads):
            return RecordProgress(height), LeavesRecord(GENESIS_HEIGHT, heads.heads)
        newer = tuple(head for namespace in self.changed if (head := heads.head(namespace)) is not None)
        return RecordProgress(height, self.steps + 1, leaves), LeavesRecord(self.base, newer)

    def encode(self) -> bytes:
        """base ‖ steps ‖ leaves ‖ list of changed namespaces."""
        return u64(self.base) + u32(self.steps) + u32(self.leaves) + sequence([u64(item) for item in self.changed])

    @staticmethod
    def decode(reader: Reader) -> "RecordProgress":
        """The inverse of `encode`."""
        base, steps, leaves = Height(reader.u64()), reader.u32(), reader.u32()
        changed = reader.sequence(limits.NAMESPACES_MAX, lambda item: NamespaceId(item.u64()))
        return RecordProgress(base, steps, leaves, changed)


def leaves_at(height: Height, load_record: Callable[[Height], bytes | None]) -> NamespaceHeads:
    """All leaves at an attested height; `load_record` gives the encoded record of a height.

    Raises `NotAttested` if there is none for `height`, `BrokenInvariant` if one that it builds on is missing.
    """
    newest: dict[NamespaceId, NamespaceHead] = {}
    at = height
    for _ in range(RECORD_STEPS_MAX):
        data = load_record(at)
        if data is None:
            if at == height:
                raise NotAttested(height)
            raise BrokenInvariant(f"the leaves record of height {at} is missing")
        record = LeavesRecord.decode(data)
        for head in record.heads:
            newest.setdefault(head.namespace, head)
        if record.base == GENESIS_HEIGHT:
            return NamespaceHeads.of([*newest.values()])
        at = record.base
    raise BrokenInvariant(f"no full leaves record within {RECORD_STEPS_MAX} steps below height {height}")
