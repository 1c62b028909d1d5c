"""What the chain looks like from this node: blocks, namespace blocks with their bytes, proofs, attestations.

Responsible for: reading the stores back into the types that clients share.
Refuses to do: keep anything; every answer is read from disk or from the replica's tree, in a bounded number of reads.
"""

from collections.abc import Sequence
from typing import Literal

from consensus.encoding import decode_whole
from consensus.errors import BrokenInvariant
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_HEIGHT, Digest, Height, NamespaceId, NamespaceIndex
from consensus.replica.replica import Replica
from consensus.vocabulary.attestation import AttestationCertificate
from consensus.vocabulary.block import NamespaceBlock
from consensus.vocabulary.tip import Tip
from sequencer.client.status import Status
from sequencer.client.views import BlockName, BlockView, NamespaceEntry, NamespaceView
from sequencer.client.wire import DeliveredBlock, DeliveredRun, NamespaceProof
from sequencer.execution.blocks import ExecutedBlock, ExecutedNamespace, Run
from sequencer.execution.namespaces import leaves_at
from sequencer.node.batch_source import BatchSource
from sequencer.node.progress import Progress
from sequencer.rpc.service import NamespaceBlockPart
from storage.blocks import BlockStore
from storage.chain import ChainStore


class ChainViews:
    """Answers about blocks."""

    def __init__(
        self,
        *,
        chain: Genesis,
        replica: Replica,
        store: ChainStore,
        blocks: BlockStore,
        source: BatchSource,
        progress: Progress,
    ) -> None:
        self._chain = chain
        self._replica = replica
        self._store = store
        self._blocks = blocks
        self._source = source
        self._progress = progress

    # blocks

    def block(self, which: Height | BlockName) -> BlockView | None:
        """See `Service.block`."""
        if which == "ordered":
            return self._newest_ordered()
        if which == "final":
            height = Height(self._progress.final_height)
        elif which == "attested":
            height = Height(self._progress.attested_height)
        else:
            height = Height(int(which))
        return self._block_at(height)

    def _block_at(self, height: Height) -> BlockView | None:
        executed = self._executed(height)
        if executed is not None:
            return self._executed_view(executed)
        block_id = self._store.load_committed_id(height)
        tip = self._tip(block_id) if block_id is not None else self._ordered_tip(height)
        if tip is None:
            return None
        return self._tip_view(tip, Status.FINAL if block_id is not None else Status.ORDERED)

    def _executed(self, height: Height) -> ExecutedBlock | None:
        encoded = self._blocks.load_executed_block(height)
        return ExecutedBlock.decode(encoded) if encoded is not None else None

    def _tip(self, block_id: bytes) -> Tip | None:
        stored = self._store.load_tip(block_id)
        if stored is None:
            return None
        return decode_whole(stored, lambda reader: Tip.decode(reader, self._chain.validator_set.count))

    def _ordered_tip(self, height: Height) -> Tip | None:
        """The tip at `height` on the branch of the newest QC."""
        state = self._replica.state
        branch = state.tree.branch(state.high_qc.body.block_id) or []
        return next((tip for tip in branch if tip.header.height == height), None)

    def _newest_ordered(self) -> BlockView | None:
        tip = self._replica.state.tree.get(self._replica.state.high_qc.body.block_id)
        if tip is None:
            return self._block_at(Height(self._progress.final_height))
        return self._tip_view(tip, Status.ORDERED)

    def _tip_view(self, tip: Tip, status: Status) -> BlockView:
        header = tip.header
        ordered = self._replica.state.tree.order(tip)
        anchor = ordered[0].anchor if ordered is not None else header.l1_anchor
        return BlockView(
            header.height,
            header.epoch,
            header.view,
            tip.id,
            header.parent_id,
            header.author,
            header.ts_ms,
            anchor,
            status,
            None,
            None,
            None,
            None,
        )

    def _executed_view(self, block: ExecutedBlock) -> BlockView:
        tip = self._tip(block.block_id)
        if tip is None:
            raise BrokenInvariant(f"the tip of executed height {block.height} is not stored")
        is_attested = block.height <= self._progress.attested_height
        entries = tuple(_entry(namespace) for namespace in block.namespaces)
        zeros = type(block.namespaces_root)(bytes(32))
        return BlockView(
            block.height,
            tip.header.epoch,
            block.view,
            block.block_id,
            block.parent_id,
            tip.header.author,
            block.ts_ms,
            block.anchor,
            Status.ATTESTED if is_attested else Status.FINAL,
            block.namespaces_root,
            zeros,
            zeros,
            entries,
        )

    # namespaces

    def namespaces(self, from_id: NamespaceId, count: int) -> Sequence[NamespaceView]:
        """See `Service.namespaces`."""
        found = [namespace for namespace in self._chain.namespaces if namespace.id >= from_id][:count]
        return [self._namespace_view(namespace.id, namespace.name) for namespace in found]

    def _namespace_view(self, namespace: NamespaceId, name: str) -> NamespaceView:
        index = self._blocks.load_newest_namespace_index(namespace, self._progress.executed.height)
        encoded = self._blocks.load_namespace_block(namespace, index) if index is not None else None
        if encoded is None:
            return NamespaceView(namespace, name, None, None, None)
        block = decode_whole(encoded, NamespaceBlock.decode)
        return NamespaceView(namespace, name, block.index, block.height, block.hash(self._chain.domain))

    def namespace_blocks(
        self, namespace: NamespaceId, from_index: NamespaceIndex, count: int, first_run: int, bytes_max: int
    ) -> Sequence[NamespaceBlockPart]:
        """See `Service.namespace_blocks`."""
        parts: list[NamespaceBlockPart] = []
        left = bytes_max
        index = from_index
        while len(parts) < count and (executed := self._executed_namespace(namespace, index)) is not None:
            if first_run and first_run >= len(executed.runs):
                break
            taken = _runs_within(executed.runs[first_run:], left, at_least_one=not parts)
            if not taken:
                break
            delivered = DeliveredBlock(executed.block, executed.hash, tuple(self._deliver(run) for run in taken))
            parts.append(NamespaceBlockPart(delivered, first_run, len(executed.runs)))
            if first_run + len(taken) < len(executed.runs):
                break
            left -= sum(run.byte_count for run in taken)
            first_run, index = 0, NamespaceIndex(index + 1)
        return parts

    def _executed_namespace(self, namespace: NamespaceId, index: NamespaceIndex) -> ExecutedNamespace | None:
        encoded = self._blocks.load_namespace_block(namespace, index)
        if encoded is None:
            return None
        height = decode_whole(encoded, NamespaceBlock.decode).height
        executed = self._executed(height)
        if executed is None:
            raise BrokenInvariant(f"the executed block of height {height} is not stored")
        return next(item for item in executed.namespaces if item.block.namespace == namespace)

    def _deliver(self, run: Run) -> DeliveredRun:
        encoded = self._source.encoded(run.digest)
        if encoded is None:
            raise BrokenInvariant(f"batch {run.digest.hex()} of an executed block is not held")
        segment = encoded[run.offset : run.offset + run.byte_count]
        return DeliveredRun(run.lane, run.seq, Digest(run.digest), run.item_count, segment)

    # proofs

    def attestation(self, which: Height | Literal["attested"]) -> AttestationCertificate | None:
        """See `Service.attestation`."""
        if which == "attested":
            found = self._blocks.load_newest_certificate()
        else:
            found = self._blocks.load_certificate_at_or_after(int(which))
        if found is None:
            return None
        count = self._chain.validator_set.count
        return decode_whole(found.record, lambda reader: AttestationCertificate.decode(reader, count))

    def namespace_proof(self, namespace: NamespaceId, which: Height | Literal["attested"]) -> NamespaceProof | None:
        """See `Service.namespace_proof`."""
        certificate = self.attestation(which)
        if certificate is None or certificate.attestation.height == GENESIS_HEIGHT:
            return None
        height = certificate.attestation.height
        if self._blocks.load_leaves_record(height) is None:
            return None
        heads = leaves_at(height, self._blocks.load_leaves_record)
        head, path = heads.head(namespace), heads.path(namespace)
        if head is None or path is None:
            return None
        return NamespaceProof(certificate, path, namespace, head.index, head.hash)


def _entry(namespace: ExecutedNamespace) -> NamespaceEntry:
    block = namespace.block
    return NamespaceEntry(
        block.namespace, block.index, namespace.item_count, namespace.byte_count, block.data_root, namespace.hash
    )


def _runs_within(runs: Sequence[Run], bytes_max: int, *, at_least_one: bool) -> Sequence[Run]:
    """The runs from the first on that fit; one that does not fit is taken alone if it must be."""
    taken: list[Run] = []
    size = 0
    for run in runs:
        size += run.byte_count
        if size > bytes_max and (taken or not at_least_one):
            break
        taken.append(run)
    return taken
