"""Ranges of executed blocks read back for the L1: which heights hold data, and their packed payload.

Responsible for: reading the stores; everything runs in a thread.
Refuses to do: choose a range's purpose or judge it (`sequencer/settlement`).

Invariants:
1. Heights without data cost nothing: heights with data are found through the index of each namespace's blocks.
2. At most PAYLOAD_BYTES_MAX of run bytes, BLOCKS_MAX blocks and RUNS_MAX runs are read for one range, lone blocks
   apart; a longer range is `MissingBlocks`, never memory.
3. A range that reaches below the prunable height is `MissingBlocks`, not one with less in it ▲.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge

from consensus import limits
from consensus.genesis import Genesis
from consensus.limits import PAYLOAD_BYTES_MAX
from consensus.numbers import Digest, Height, Milliseconds
from sequencer.execution.blocks import ExecutedBlock, Run
from sequencer.node.batch_source import BatchSource
from sequencer.settlement.errors import MissingBlocks
from sequencer.settlement.packing import PackedRange, pack, payload_bytes
from storage.blocks import BlockStore
from storage.chain import ChainStore

BLOCKS_MAX = 8_192  # with data in one range: each costs some 0.3 ms to pack
RUNS_MAX = 65_536  # in a range of several blocks: each costs some 8 µs to decode
HEIGHTS_PAGE = 1_024  # heights of one namespace read at a time


@dataclass(frozen=True, slots=True)
class HeightWithData:
    """An executed block with data, as far as a backlog needs it."""

    height: Height
    ts_ms: Milliseconds
    byte_count: int


class RangeReader:
    """Reads ranges."""

    def __init__(self, chain: Genesis, store: ChainStore, blocks: BlockStore, source: BatchSource) -> None:
        self._chain = chain
        self._store = store
        self._blocks = blocks
        self._source = source

    def heights_with_data(self, first: Height, last: Height) -> Iterator[Height]:
        """Rising heights from `first` to `last` at which some namespace has a block."""
        newest = 0
        for height in merge(*(self._heights_of(ns.id, first, last) for ns in self._chain.namespaces)):
            if height > newest:
                newest = height
                yield Height(height)

    def _heights_of(self, namespace: int, first: int, last: int) -> Iterator[int]:
        start = first
        while page := self._blocks.list_namespace_heights(namespace, start, last, HEIGHTS_PAGE):
            yield from page
            start = page[-1] + 1

    def has_data(self, height: Height) -> bool:
        """Whether some namespace has a block at this height. Raises `MissingBlocks` if it may be pruned."""
        self._require_kept(height)
        return next(self.heights_with_data(height, height), None) is not None

    def with_data(self, first: Height, last: Height) -> Iterator[HeightWithData]:
        """The executed blocks with data of a range, rising. Raises `StorageFault`."""
        for height in self.heights_with_data(first, last):
            block = self._block(height)
            byte_count = sum(namespace.byte_count for namespace in block.namespaces)
            yield HeightWithData(height, block.ts_ms, byte_count)

    def choose_last(self, first: Height, last: Height, bytes_max: int) -> Height | None:
        """The last height with data such that the range's payload, uncompressed, is at most `bytes_max`.

        At least one block with data is taken, however long it is; None if there is none.
        """
        total, runs, count, chosen = 0, 0, 0, None
        for height in self.heights_with_data(first, last):
            block = self._block(height)
            total, runs, count = total + payload_bytes(block), runs + _run_count(block), count + 1
            if chosen is not None and (total > bytes_max or _is_too_many(runs, count)):
                break
            chosen = height
        return chosen

    def halve(self, first: Height, last: Height) -> Height | None:
        """The height with data in the middle of a range; None if it holds fewer than two."""
        heights = list(self.heights_with_data(first, last))
        return heights[(len(heights) - 1) // 2] if len(heights) > 1 else None

    def pack(self, first: Height, last: Height) -> PackedRange:
        """The range's payload. Raises `MissingBlocks` if it is not all held here, is empty, or is too long."""
        self._require_kept(first)
        encoded = self._blocks.load_executed_block(last)
        if encoded is None:
            raise MissingBlocks(f"height {last} is not executed")
        blocks, total, runs = list[ExecutedBlock](), 0, 0
        for height in self.heights_with_data(first, last):
            blocks.append(self._block(height))
            total, runs = total + payload_bytes(blocks[-1]), runs + _run_count(blocks[-1])
            if len(blocks) > 1 and (total > PAYLOAD_BYTES_MAX or _is_too_many(runs, len(blocks))):
                raise MissingBlocks(f"the payload of heights {first} to {last} is too long")
        reader = _RunReader(self._source)
        return pack(first, ExecutedBlock.decode(encoded), blocks, reader.read)

    def _require_kept(self, height: Height) -> None:
        pruned = self._store.load_prunable_height()
        if height <= pruned:
            raise MissingBlocks(f"height {height} is not kept: this node has pruned, or begun at, height {pruned}")

    def _block(self, height: Height) -> ExecutedBlock:
        encoded = self._blocks.load_executed_block(height)
        if encoded is None:
            raise MissingBlocks(f"height {height} is not executed")
        return ExecutedBlock.decode(encoded)


def _run_count(block: ExecutedBlock) -> int:
    return sum(len(namespace.runs) for namespace in block.namespaces)


def _is_too_many(run_count: int, block_count: int) -> bool:
    return run_count > min(RUNS_MAX, limits.PAYLOAD_RUNS_MAX) or block_count > BLOCKS_MAX


class _RunReader:
    """Cuts runs out of batches; keeps the newest batch, since runs of one batch come together."""

    def __init__(self, source: BatchSource) -> None:
        self._source = source
        self._newest: tuple[Digest, bytes] | None = None

    def read(self, run: Run) -> bytes:
        if self._newest is None or self._newest[0] != run.digest:
            encoded = self._source.encoded(run.digest)
            if encoded is None:
                raise MissingBlocks(f"batch {run.digest.hex()} is not held")
            self._newest = (run.digest, encoded)
        return self._newest[1][run.offset : run.offset + run.byte_count]
