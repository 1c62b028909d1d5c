"""Merkle trees as RFC 6962 §2.1: one root for a list of leaves, and paths that prove a leaf.

Responsible for: the root of a list, a tree kept by level so that changing a few leaves costs a few hashes, a leaf's
path, and the root that a path leads to.
Refuses to do: know what a leaf means.

Invariants:
1. leaf hash = SHA-256(0 ‖ leaf), node hash = SHA-256(1 ‖ left ‖ right), so that no node passes for a leaf. The root of
   no leaves is 32 zero bytes.
2. A level pairs its nodes from the left; an odd last node rises unchanged. This is the tree of RFC 6962 (left subtrees
   are the largest full ones).
3. A path says on which side each sibling stands, so it proves membership without the size of the tree, and every bit of
   it counts: altering any changes the root it leads to.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from consensus.encoding import Reader, sequence, u8
from consensus.numbers import ZERO_HASH, Hash

PATH_STEPS_MAX = 32  # trees of up to 2^32 leaves


class PathStep(NamedTuple):
    """One sibling on the way from a leaf to the root."""

    sibling: Hash
    is_left: bool  # the sibling stands left of the node that the walk has reached


Path = tuple[PathStep, ...]


def leaf_hash(leaf: bytes) -> Hash:
    """SHA-256(0 ‖ leaf)."""
    return Hash(hashlib.sha256(b"\x00" + leaf).digest())


def _node_hash(left: Hash, right: Hash) -> Hash:
    return Hash(hashlib.sha256(b"\x01" + left + right).digest())


@dataclass(frozen=True, slots=True)
class MerkleTree:
    """A tree by level, from the leaf hashes up to the root; no levels at all without leaves."""

    levels: tuple[tuple[Hash, ...], ...]

    @staticmethod
    def of(leaves: Sequence[bytes]) -> "MerkleTree":
        """The tree over `leaves` in their order."""
        if not leaves:
            return MerkleTree(())
        level = tuple(leaf_hash(leaf) for leaf in leaves)
        levels = [level]
        while len(level) > 1:
            level = tuple(_parent(level, place) for place in range((len(level) + 1) // 2))
            levels.append(level)
        return MerkleTree(tuple(levels))

    @property
    def root(self) -> Hash:
        """32 bytes; zeros without leaves."""
        return self.levels[-1][0] if self.levels else ZERO_HASH

    def with_leaves(self, changed: Mapping[int, bytes]) -> "MerkleTree":
        """The tree with the leaves at the given positions replaced: a few hashes per changed leaf.

        Raises `IndexError` for a position outside the tree.
        """
        if not changed:
            return self
        level = list(self.levels[0]) if self.levels else []
        for position, leaf in changed.items():
            if not 0 <= position < len(level):
                raise IndexError(f"no leaf at {position}")
            level[position] = leaf_hash(leaf)
        levels = [tuple(level)]
        touched = set(changed)
        for old in self.levels[1:]:
            touched = {position >> 1 for position in touched}
            level = list(old)
            for position in touched:
                level[position] = _parent(levels[-1], position)
            levels.append(tuple(level))
        return MerkleTree(tuple(levels))

    def path(self, position: int) -> Path:
        """The path of the leaf at `position`. Raises `IndexError` outside the tree."""
        if not self.levels or not 0 <= position < len(self.levels[0]):
            raise IndexError(f"no leaf at {position}")
        steps = []
        for level in self.levels[:-1]:
            sibling = position ^ 1
            if sibling < len(level):
                steps.append(PathStep(level[sibling], sibling < position))
            position >>= 1
        return tuple(steps)


def _parent(level: Sequence[Hash], place: int) -> Hash:
    """The node above positions 2 × place and 2 × place + 1 of `level`."""
    left = 2 * place
    return _node_hash(level[left], level[left + 1]) if left + 1 < len(level) else level[left]


def merkle_root(leaves: Sequence[bytes]) -> Hash:
    """The root over `leaves` in their order."""
    return MerkleTree.of(leaves).root


def merkle_path(leaves: Sequence[bytes], position: int) -> Path:
    """The path of the leaf at `position`. Raises `IndexError` outside the list."""
    return MerkleTree.of(leaves).path(position)


def root_of_path(leaf: bytes, path: Path) -> Hash:
    """The root that `leaf` and its siblings lead to; the leaf is proved if it is the expected root."""
    reached = leaf_hash(leaf)
    for sibling, is_left in path:
        reached = _node_hash(sibling, reached) if is_left else _node_hash(reached, sibling)
    return reached


def encode_path(path: Path) -> bytes:
    """List of (side u8: 1 = the sibling is left, sibling)."""
    return sequence([u8(step.is_left) + step.sibling for step in path])


def decode_path(reader: Reader) -> Path:
    """The inverse of `encode_path`. Raises `DecodeError`."""
    return reader.sequence(PATH_STEPS_MAX, _read_step)


def _read_step(reader: Reader) -> PathStep:
    is_left = reader.flag()
    return PathStep(Hash(reader.fixed(32)), is_left)
