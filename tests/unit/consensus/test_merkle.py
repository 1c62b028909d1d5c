"""The Merkle tree against RFC 6962's own recursive definition, and what its paths prove."""

import hashlib

import pytest

from consensus.encoding import decode_whole
from consensus.errors import DecodeError
from consensus.merkle import (
    PATH_STEPS_MAX,
    MerkleTree,
    PathStep,
    decode_path,
    encode_path,
    merkle_path,
    merkle_root,
    root_of_path,
)
from consensus.numbers import ZERO_HASH, Hash

SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33]


def leaves_of(size: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(size)]


def recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, word by word: split at the largest power of two below n."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + recursive_root(leaves[:split]) + recursive_root(leaves[split:])).digest()


def test_the_root_of_nothing_is_zeros() -> None:
    assert merkle_root([]) == ZERO_HASH


@pytest.mark.parametrize("size", SIZES)
def test_roots_are_those_of_rfc_6962(size: int) -> None:
    assert merkle_root(leaves_of(size)) == recursive_root(leaves_of(size))


def test_known_roots_of_certificate_transparency() -> None:
    # the published test vectors of the Certificate Transparency log, first 1, 2 and 3 leaves
    leaves = [b"", b"\x00", b"\x10"]
    assert merkle_root(leaves[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle_root(leaves[:2]).hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    assert merkle_root(leaves[:3]).hex() == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_has_a_path_to_the_root_and_no_other_leaf_takes_it(size: int) -> None:
    leaves = leaves_of(size)
    root = merkle_root(leaves)
    for position, leaf in enumerate(leaves):
        path = merkle_path(leaves, position)
        assert root_of_path(leaf, path) == root
        assert root_of_path(b"another", path) != root


def test_every_part_of_a_path_counts() -> None:
    leaves = leaves_of(11)
    root, path = merkle_root(leaves), merkle_path(leaves, 5)
    for place, step in enumerate(path):
        for altered in (
            PathStep(step.sibling, not step.is_left),
            PathStep(Hash(bytes([step.sibling[0] ^ 1]) + step.sibling[1:]), step.is_left),
        ):
            assert root_of_path(leaves[5], (*path[:place], altered, *path[place + 1 :])) != root
    assert root_of_path(leaves[5], path[:-1]) != root
    assert root_of_path(leaves[5], (*path, path[-1])) != root


def test_an_inner_node_does_not_pass_for_a_leaf() -> None:
    leaves = leaves_of(4)
    tree = MerkleTree.of(leaves)
    inner = tree.levels[0][0] + tree.levels[0][1]
    assert root_of_path(inner, (PathStep(tree.levels[1][1], False),)) != tree.root


@pytest.mark.parametrize("size", SIZES)
def test_changed_leaves_give_the_tree_of_the_changed_list(size: int) -> None:
    leaves = leaves_of(size)
    changed = {0: b"first", size - 1: b"last", size // 2: b"middle"}
    tree = MerkleTree.of(leaves).with_leaves(changed)
    for position, leaf in changed.items():
        leaves[position] = leaf
    assert tree == MerkleTree.of(leaves)


def test_a_position_outside_the_tree_is_an_error() -> None:
    with pytest.raises(IndexError):
        MerkleTree.of([]).path(0)
    with pytest.raises(IndexError):
        merkle_path(leaves_of(3), 3)
    with pytest.raises(IndexError):
        merkle_path(leaves_of(3), -1)
    with pytest.raises(IndexError):
        MerkleTree.of(leaves_of(3)).with_leaves({3: b"x"})
    with pytest.raises(IndexError):
        MerkleTree.of([]).with_leaves({0: b"x"})


def test_paths_survive_encoding_and_have_one_encoding() -> None:
    path = merkle_path(leaves_of(13), 6)
    encoded = encode_path(path)
    assert decode_whole(encoded, decode_path) == path
    with pytest.raises(DecodeError):  # a side is 0 or 1
        decode_whole(encoded[:4] + b"\x02" + encoded[5:], decode_path)
    with pytest.raises(DecodeError):
        decode_whole(encode_path((path[0],) * (PATH_STEPS_MAX + 1)), decode_path)
