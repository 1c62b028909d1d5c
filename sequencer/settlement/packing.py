"""From executed blocks to the payload of an L1 batch.

Responsible for: the table of a range, its payload both ways, and what the batch says of its last height.
Refuses to do: read the disk (blocks and a reader of runs are handed in), or choose a range.

Invariants:
1. Only blocks with data are in the table; the range's last block is one of them where a poster chose it.
2. The uncompressed payload is a function of the chain: every node that executed the range makes the same bytes.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from consensus.errors import DecodeError
from consensus.limits import PAYLOAD_BYTES_MAX
from consensus.numbers import BlockId, Hash, Height, NamespaceId
from consensus.vocabulary.block import SectionKind
from consensus.vocabulary.payload import Compression, encode_payload, payload_parts
from consensus.vocabulary.payload_table import (
    PayloadBlock,
    PayloadNamespace,
    PayloadRun,
    PayloadSection,
    PayloadTable,
)
from sequencer.execution.blocks import ExecutedBlock, ExecutedNamespace, Run
from sequencer.settlement.errors import MissingBlocks

_INDEX_ENTRY_BYTES = 16
HELD_BYTES_TARGET = PAYLOAD_BYTES_MAX - 1024 * 1024  # of blocks in one held range; head and index fit in the rest


@dataclass(frozen=True, slots=True)
class PackedRange:
    """A range of heights as a batch commits to it. `byte_count`, `held_hash`: of the uncompressed payload."""

    last: Height
    block_id: BlockId  # of `last`
    namespaces_root: Hash  # after `last`
    table: PayloadTable
    runs: Mapping[NamespaceId, Sequence[bytes]]
    byte_count: int
    held_hash: Hash
    ends_with_data: bool

    @property
    def block_count(self) -> int:
        """Blocks with data."""
        return len(self.table.blocks)

    def held_payload(self) -> bytes:
        """The uncompressed payload. Copies every byte: run it in a thread."""
        return encode_payload(self.table, self.runs)


def payload_bytes(block: ExecutedBlock) -> int:
    """What a block adds to an uncompressed payload, at most."""
    byte_count = sum(namespace.byte_count for namespace in block.namespaces)
    return _block(block).encoded_bytes() + _INDEX_ENTRY_BYTES * len(block.namespaces) + byte_count


def pack(
    first: Height, last: ExecutedBlock, blocks: Sequence[ExecutedBlock], read_run: Callable[[Run], bytes]
) -> PackedRange:
    """Packs heights `first` to `last`; `blocks` are those with data, rising. Copies and hashes: run it in a thread.

    Raises `MissingBlocks` if there is no data, or too much, or what `read_run` raises.
    """
    table = PayloadTable(first, last.height, tuple(_block(block) for block in blocks))
    runs: dict[NamespaceId, list[bytes]] = {}
    for block in blocks:
        for namespace in block.namespaces:
            runs.setdefault(namespace.block.namespace, []).extend(read_run(run) for run in namespace.runs)
    digest, byte_count = hashlib.sha256(), 0
    try:
        for part in payload_parts(table, runs):
            digest.update(part)
            byte_count += len(part)
    except DecodeError as error:
        raise MissingBlocks(f"heights {first} to {last.height} cannot be packed: {error}") from error
    ends_with_data = bool(blocks) and blocks[-1].height == last.height
    held_hash = Hash(digest.digest())
    return PackedRange(
        last.height, last.block_id, last.namespaces_root, table, runs, byte_count, held_hash, ends_with_data
    )


def compress(packed: PackedRange) -> bytes:
    """The range's payload for the L1: compressed if that makes it shorter. Run it in a thread."""
    if packed.byte_count > PAYLOAD_BYTES_MAX:
        return packed.held_payload()
    compressed = encode_payload(packed.table, packed.runs, Compression.ZLIB)
    return compressed if len(compressed) < packed.byte_count else packed.held_payload()


def _block(block: ExecutedBlock) -> PayloadBlock:
    namespaces = tuple(_namespace(namespace) for namespace in block.namespaces)
    return PayloadBlock(block.height, block.block_id, block.ts_ms, block.anchor, namespaces)


def _namespace(executed: ExecutedNamespace) -> PayloadNamespace:
    runs = tuple(PayloadRun(run.byte_count, is_inert=run.item_count == 0) for run in executed.runs)
    return PayloadNamespace(executed.block.namespace, executed.block.index, (PayloadSection(SectionKind.OPEN, runs),))
