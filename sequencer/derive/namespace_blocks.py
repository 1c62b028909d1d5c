"""Namespace blocks made of a payload: their sections, roots and hashes, and the transactions in them.

Responsible for: one block from its part of the table and its runs' bytes.
Refuses to do: read a payload, or know what came before (the caller hands in the namespace's head).

Invariants:
1. Every run is a leaf of its section's root: 0 ‖ SHA-256(bytes), or 2 ‖ SHA-256(bytes) if it is inert.
2. An inert run's bytes count, its items do not. A run is inert if the table says so, or if its framing is wrong.
3. The block takes its index from the chain that is rebuilt, whatever the table says.
"""

from dataclasses import dataclass

from consensus.genesis import Genesis
from consensus.merkle import merkle_root
from consensus.numbers import ZERO_HASH, Hash, NamespaceIndex
from consensus.signing import sha256
from consensus.vocabulary.batch import LENGTH_PREFIX_BYTES
from consensus.vocabulary.block import INERT_LEAF, RUN_LEAF, NamespaceBlock, Section, SectionKind
from consensus.vocabulary.payload import NamespaceRuns


@dataclass(frozen=True, slots=True)
class Head:
    """A namespace's newest block."""

    index: NamespaceIndex
    hash: Hash


@dataclass(frozen=True, slots=True)
class DerivedBlock:
    """A namespace block with its hash and its transactions in order."""

    block: NamespaceBlock
    hash: Hash
    transactions: tuple[bytes, ...]


def split_items(run: bytes, item_bytes_max: int) -> list[bytes] | None:
    """The items of a run, repeated `u32 length ‖ item`, each of 1 to `item_bytes_max` bytes; None if it is not that."""
    items, at = [], 0
    while at < len(run):
        start = at + LENGTH_PREFIX_BYTES
        size = int.from_bytes(run[at:start], "big")
        at = start + size
        if not 1 <= size <= item_bytes_max or at > len(run):
            return None
        items.append(run[start:at])
    return items


def build_block(chain: Genesis, head: Head | None, entry: NamespaceRuns) -> tuple[DerivedBlock, bool]:
    """The block behind `head` (None: the first one), and whether a run was inert that the table calls good."""
    leaves: list[bytes] = []
    transactions: list[bytes] = []
    is_misnamed = False
    flags = [run.is_inert for section in entry.part.sections for run in section.runs]
    for run, is_inert in zip(entry.runs, flags, strict=True):
        items = None if is_inert else split_items(run, chain.parameters.tx_bytes_max)
        is_misnamed |= items is None and not is_inert
        leaves.append((INERT_LEAF if items is None else RUN_LEAF) + sha256(run))
        transactions.extend(items or ())
    section = Section(SectionKind.OPEN, len(transactions), sum(map(len, entry.runs)), merkle_root(leaves))
    block = NamespaceBlock(
        entry.part.namespace,
        NamespaceIndex(head.index + 1 if head else 0),
        head.hash if head else ZERO_HASH,
        entry.block.height,
        entry.block.block_id,
        entry.block.ts_ms,
        entry.block.anchor,
        (section,),
        merkle_root([section.encode()]),
    )
    return DerivedBlock(block, block.hash(chain.domain), tuple(transactions)), is_misnamed
