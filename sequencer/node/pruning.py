"""Pruning: what is final, attested, posted and old enough loses its tips and batch bytes; what proves it stays.

Responsible for: how far may be pruned, and taking it away bit by bit.
Refuses to do: prune blocks, namespace blocks, commit proofs, certificates, leaves, places of transactions or evidence.

Invariants:
1. Everything above the newest checkpoint stays, so that a new node can start from it and catch up ▲.
2. Nothing is pruned that is not executed, attested and, on a chain with an L1, in a finalized L1 block ▲.
3. The prunable height is on disk before anything goes: a reader that finds nothing at or below it knows why.
4. The tip that the safety record names stays ▲.
"""

from collections.abc import Callable

import structlog
import trio

from consensus.encoding import decode_whole
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_HEIGHT, Height
from consensus.ordering.cut import determine_cut
from consensus.replica.safety import SafetyRecord
from consensus.vocabulary.tip import Tip
from sequencer.execution.blocks import ExecutedBlock
from sequencer.node.checkpoints import Checkpoints
from sequencer.node.clock import wall_ms
from sequencer.node.progress import Progress
from sequencer.node.recovery import Stores
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from storage.chain import ChainStore
from storage.errors import StorageFault

KEEP_HEIGHTS = 256  # below what is executed, whatever the configuration says
HEIGHTS_PAGE = 512  # pruned with one write
PERIOD_S = 10.0

_log = structlog.get_logger("pruning")


class Pruning:
    """One node's pruning."""

    def __init__(
        self,
        *,
        chain: Genesis,
        stores: Stores,
        keep_s: float,
        progress: Progress,
        checkpoints: Checkpoints,
        metrics: Metrics,
    ) -> None:
        self._chain = chain
        self._stores = stores
        self._keep_s = keep_s
        self._progress = progress
        self._checkpoints = checkpoints
        self._metrics = metrics

    async def run(self) -> None:
        """Prunes for ever; returns at once where everything is kept. Raises `StorageFault`."""
        if not self._keep_s:
            return
        while True:
            freed = await self.prune(wall_ms())
            self._metrics.add(table.STORAGE_PRUNED_BYTES, freed)
            await trio.sleep(min(PERIOD_S, self._keep_s))

    async def prune(self, now_ms: int) -> int:
        """One round, in steps between which the node can stop; returns the bytes of batches that were freed.

        Raises `StorageFault`.
        """
        before_ms = now_ms - round(self._keep_s * 1_000)
        tip = await trio.to_thread.run_sync(self._rise, self._allowed_height(), before_ms)
        if tip is None:
            return 0
        height = tip.header.height
        while await trio.to_thread.run_sync(self._prune_tips, height):
            pass
        is_needed, freed = self._cut(tip), 0
        while (size := await trio.to_thread.run_sync(self._stores.batches.prune_oldest, is_needed)) is not None:
            freed += size
        if freed:
            _log.info("pruned", height=height, freed_bytes=freed)
        return freed

    def _allowed_height(self) -> Height:
        """Everything above it is still needed."""
        progress = self._progress
        limits = [progress.executed.height - KEEP_HEIGHTS, progress.attested_height, self._checkpoints.height - 1]
        if self._chain.l1_chain_id:
            limits.append(progress.settled_height)
        return Height(max(GENESIS_HEIGHT, min(limits)))

    def _rise(self, allowed: Height, before_ms: int) -> Tip | None:
        """In a thread: raises the prunable height; returns its tip, or None if nothing may go now.

        Where a home began at a checkpoint the prunable height may be above what is allowed, or young.
        """
        store = self._stores.chain
        before = store.load_prunable_height()
        height = self._newest_older(before, allowed, before_ms)
        if height > before:
            self._stores.database.write(ChainStore.prunable_puts(height), sync=True)
        self._metrics.set(table.STORAGE_PRUNABLE, height)
        tip = self._tip(height)
        return tip if tip is not None and height <= allowed and tip.header.ts_ms <= before_ms else None

    def _newest_older(self, low: int, high: int, ts_ms: int) -> int:
        """The highest height in low … high whose block is not younger than `ts_ms`; `low` if none is."""
        while low < high:
            middle = (low + high + 1) // 2
            encoded = self._stores.blocks.load_executed_block(middle)
            if encoded is None:
                raise StorageFault(f"the executed block of height {middle} is not stored: the database is damaged")
            if ExecutedBlock.decode(encoded).ts_ms <= ts_ms:
                low = middle
            else:
                high = middle - 1
        return low

    def _tip(self, height: int) -> Tip | None:
        block_id = self._stores.chain.load_committed_id(height)
        encoded = self._stores.chain.load_tip(block_id) if block_id is not None else None
        if encoded is None:
            return None
        return decode_whole(encoded, lambda reader: Tip.decode(reader, self._chain.validator_set.count))

    def _cut(self, tip: Tip) -> Callable[[int, int], bool]:
        """Which batches are needed: those above the cut of this tip, which the chain's cut is never below."""
        ends = [end.seq for end in determine_cut(tip.reports, self._chain.validator_set).ends]
        return lambda author, seq: author >= len(ends) or seq > ends[author]

    def _prune_tips(self, height: int) -> bool:
        """In a thread: a page of those below `height`, whose own tip tells which batches may go; false at the end."""
        store, named = self._stores.chain, self._named_tip()
        done = store.load_pruned_height()
        if done >= height - 1:
            return False
        page = [entry for entry in store.list_from(done + 1, HEIGHTS_PAGE) if entry.height < height]
        last = page[-1].height if page else height - 1
        ids = [entry.block_id for entry in page if entry.block_id != named]
        self._stores.database.write(ChainStore.pruned_puts(last), ChainStore.tip_deletes(ids), sync=False)
        return True

    def _named_tip(self) -> bytes | None:
        loaded = self._stores.safety.load()
        count = self._chain.validator_set.count
        return SafetyRecord.decode(loaded.record, count).high_tip_id if loaded is not None else None
