"""Pages of a namespace's executed blocks with their bytes, read from the stores.

Responsible for: which runs a page takes, and cutting their bytes out of the batches.
Refuses to do: run on the event loop: what a page reads is bounded, but it is megabytes. Everything in here may be
called from several threads at once.

Invariants:
1. A page holds at least one run if there is one, so that a client gets on whatever the blocks are like.
2. A batch is read and checked whole even for one small segment of it, and an executed block is decoded whole for one
   namespace. Both are bounded by page, by what is read and not by what is delivered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consensus.encoding import decode_whole
from consensus.errors import BrokenInvariant
from consensus.numbers import Digest, NamespaceId, NamespaceIndex
from consensus.vocabulary.block import NamespaceBlock
from sequencer.client.parts import NamespaceBlockPart
from sequencer.client.wire import DeliveredBlock, DeliveredRun
from sequencer.execution.blocks import ExecutedBlock, ExecutedNamespace, Run
from sequencer.execution.namespaces import NamespaceHeads
from sequencer.node.batch_source import BatchSource
from sequencer.node.errors import PrunedHere
from storage.blocks import BlockStore
from storage.chain import ChainStore

BATCH_BYTES_READ_MAX = 16 * 1024 * 1024  # per page; one batch more at most
BLOCK_BYTES_READ_MAX = 256 * 1024  # of encoded executed blocks, per page; one block more at most


@dataclass(slots=True)
class _Room:
    """The bytes that a page may still deliver and read."""

    delivered: int
    batches: int
    blocks: int

    @property
    def is_read_up(self) -> bool:
        """Whether no further read is to begin."""
        return self.batches <= 0 or self.blocks <= 0


class NamespacePages:
    """Reads pages."""

    def __init__(
        self,
        store: ChainStore,
        blocks: BlockStore,
        source: BatchSource,
        heads: Callable[[], NamespaceHeads],
        batch_bytes_read_max: int = BATCH_BYTES_READ_MAX,
        block_bytes_read_max: int = BLOCK_BYTES_READ_MAX,
    ) -> None:
        """`heads`: the newest block of every namespace, as executed; asked in a thread."""
        self._store = store
        self._blocks = blocks
        self._source = source
        self._heads = heads
        self._batch_bytes_read_max = batch_bytes_read_max
        self._block_bytes_read_max = block_bytes_read_max

    def read(
        self, namespace: NamespaceId, from_index: NamespaceIndex, count: int, first_run: int, bytes_max: int
    ) -> Sequence[NamespaceBlockPart]:
        """See `Service.namespace_blocks`. Raises `PrunedHere`, `StorageFault` or `BrokenInvariant`.

        A page ends before what is pruned; one that would begin with it is refused.
        """
        parts: list[NamespaceBlockPart] = []
        room = _Room(bytes_max, self._batch_bytes_read_max, self._block_bytes_read_max)
        index = from_index
        while len(parts) < count and not room.is_read_up:
            executed = self._executed(namespace, index, room)
            if executed is None:
                break
            try:
                runs = self._deliver(executed, first_run, room, at_least_one=not parts)
            except PrunedHere:
                if parts:
                    break
                raise
            if not runs:
                break
            delivered = DeliveredBlock(executed.block, executed.hash, runs)
            parts.append(NamespaceBlockPart(delivered, first_run, len(executed.runs)))
            if not parts[-1].is_last:
                break
            first_run, index = 0, NamespaceIndex(index + 1)
        return parts

    def _executed(self, namespace: NamespaceId, index: NamespaceIndex, room: _Room) -> ExecutedNamespace | None:
        head = self._heads().head(namespace)  # before the block, which may be stored meanwhile
        encoded = self._blocks.load_namespace_block(namespace, index)
        if encoded is None:
            if head is not None and head.index >= index:
                raise PrunedHere(f"this node began after block {index} of the namespace; ask one that keeps everything")
            return None
        height = decode_whole(encoded, NamespaceBlock.decode).height
        encoded = self._blocks.load_executed_block(height)
        if encoded is None:
            raise BrokenInvariant(f"the executed block of height {height} is not stored")
        room.blocks -= len(encoded)
        namespaces = ExecutedBlock.decode(encoded).namespaces
        return next(item for item in namespaces if item.block.namespace == namespace)

    def _deliver(
        self, executed: ExecutedNamespace, first_run: int, room: _Room, *, at_least_one: bool
    ) -> tuple[DeliveredRun, ...]:
        """The runs from one on that there is room for; one that does not fit is taken alone if it must be."""
        taken: list[DeliveredRun] = []
        for run in executed.runs[first_run:]:
            is_optional = bool(taken) or not at_least_one
            if is_optional and (run.byte_count > room.delivered or room.batches <= 0):
                break
            encoded = self._source.encoded(run.digest)
            if encoded is None:
                raise self._missing(executed, run)
            room.batches -= len(encoded)
            room.delivered -= run.byte_count
            segment = encoded[run.offset : run.offset + run.byte_count]
            taken.append(DeliveredRun(run.lane, run.seq, Digest(run.digest), run.item_count, segment))
        return tuple(taken)

    def _missing(self, executed: ExecutedNamespace, run: Run) -> Exception:
        """Why a batch of an executed block is not held."""
        height = executed.block.height
        if height <= self._store.load_prunable_height():
            return PrunedHere(f"this node has pruned height {height}; ask one that keeps everything")
        return BrokenInvariant(f"batch {run.digest.hex()} of an executed block is not held")
