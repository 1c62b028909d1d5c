"""What the chain looks like from this node: blocks, namespace blocks with their bytes, proofs, attestations.

Responsible for: reading the stores back into the types that clients share.
Refuses to do: keep anything; every answer is read from disk or from the replica's tree, in a bounded number of reads.

Invariants:
1. What grows with the content of blocks is read and decoded in a thread, at most READS_AT_ONCE_MAX at a time. A thread
   touches the stores, the batch source and the plain numbers of `Progress`; the replica's tree stays on the event loop.
2. `ordered` is what a fresh QC names, and its ancestors, until their commit is on disk: then they are `final`.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import trio

from consensus.encoding import decode_whole
from consensus.genesis import Genesis, Namespace
from consensus.numbers import GENESIS_EPOCH, GENESIS_HEIGHT, Height, NamespaceId, NamespaceIndex
from consensus.replica.replica import Replica
from consensus.vocabulary.attestation import AttestationCertificate
from consensus.vocabulary.block import NamespaceBlock
from consensus.vocabulary.tip import Tip
from sequencer.client.namespace_views import NamespaceView
from sequencer.client.parts import NamespaceBlockPart
from sequencer.client.status import Status
from sequencer.client.views import BlockName, BlockView, NamespaceEntry
from sequencer.client.wire import NamespaceProof
from sequencer.execution.blocks import ExecutedBlock, ExecutedNamespace
from sequencer.execution.namespaces import NamespaceHeads, leaves_at
from sequencer.node.batch_source import BatchSource
from sequencer.node.errors import PrunedHere
from sequencer.node.namespace_pages import NamespacePages
from sequencer.node.progress import Progress
from sequencer.rpc.errors import RequestRefused
from storage.blocks import BlockStore
from storage.chain import ChainStore

READS_AT_ONCE_MAX = 2


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
        heads: Callable[[], NamespaceHeads],
        unsaved_tip: Callable[[Height], Tip | None],
    ) -> None:
        """`heads`: the newest block of every namespace, as executed; asked in threads, too.

        `unsaved_tip`: the tip of a height that is committed, so no longer in the tree, and not on disk yet.
        """
        self._chain = chain
        self._replica = replica
        self._store = store
        self._blocks = blocks
        self._heads = heads
        self._unsaved_tip = unsaved_tip
        self._pages = NamespacePages(store, blocks, source, heads)
        self._progress = progress
        self._limiter = trio.CapacityLimiter(READS_AT_ONCE_MAX)

    # blocks

    async def block(self, which: Height | BlockName) -> BlockView | None:
        """See `Service.block`."""
        if which == "ordered":
            branch = self._ordered_branch()
            if branch:
                return self._tip_view(branch[-1], Status.ORDERED)
        if which in ("ordered", "final"):
            height = Height(self._progress.final_height)
        elif which == "attested":
            height = Height(self._progress.attested_height)
        elif which == "posted":
            height = Height(self._progress.posted_height)
        elif which == "settled":
            height = Height(self._progress.settled_height)
        else:
            height = Height(int(which))
        executed = await trio.to_thread.run_sync(self._executed_view_at, height, limiter=self._limiter)
        found = executed or self._unexecuted_view_at(height)
        if found is None and GENESIS_HEIGHT < height <= self._store.load_prunable_height():
            raise RequestRefused("pruned", f"this node began after height {height}; ask one that keeps everything")
        return found

    def _unexecuted_view_at(self, height: Height) -> BlockView | None:
        block_id = self._store.load_committed_id(height)
        if block_id is not None:
            committed = self._tip(block_id)
            return self._tip_view(committed, Status.FINAL) if committed is not None else None
        branch = self._ordered_branch()
        ordered = next((tip for tip in branch if tip.header.height == height), None) or self._unsaved_tip(height)
        return self._tip_view(ordered, Status.ORDERED) if ordered is not None else None

    def _tip(self, block_id: bytes) -> Tip | None:
        stored = self._store.load_tip(block_id)
        if stored is None:
            return None
        return decode_whole(stored, lambda reader: Tip.decode(reader, self._chain.validator_set.count))

    def _ordered_branch(self) -> Sequence[Tip]:
        """The tips above the committed block that are `ordered`, oldest first.

        The newest of them is the highest on the branch of the newest QC that a fresh QC names: a QC on a proposal made
        again in a later view confirms nothing of its own.
        """
        state = self._replica.state
        qc = state.high_qc
        while (tip := state.tree.get(qc.body.block_id)) is not None:
            known = state.qcs.get(tip.view)
            if qc.body.is_fresh or (known is not None and known.body.block_id == tip.id):
                return state.tree.branch(tip.id) or ()
            qc = tip.justify
        return ()

    def ordered_block(self, tip: Tip) -> BlockView:
        """A block that a fresh QC covers and that is not committed yet."""
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

    def _executed_view_at(self, height: Height) -> BlockView | None:
        """In a thread: a block names every batch in it."""
        encoded = self._blocks.load_executed_block(height)
        return self._executed_view(ExecutedBlock.decode(encoded)) if encoded is not None else None

    def _executed_view(self, block: ExecutedBlock) -> BlockView:
        """From the block alone: its tip may be pruned. Its author is the leader of its view."""
        entries = tuple(_entry(namespace) for namespace in block.namespaces)
        zeros = type(block.namespaces_root)(bytes(32))
        return BlockView(
            block.height,
            GENESIS_EPOCH,
            block.view,
            block.block_id,
            block.parent_id,
            self._chain.validator_set.leader(block.view),
            block.ts_ms,
            block.anchor,
            self._progress.rung(block.height),
            block.namespaces_root,
            zeros,
            zeros,
            entries,
        )

    # namespaces

    def newest_index(self, namespace: NamespaceId) -> NamespaceIndex | None:
        """See `Service.newest_index`."""
        head = self._heads().head(namespace)
        return None if head is None else head.index

    async def namespaces(self, from_id: NamespaceId, count: int) -> Sequence[NamespaceView]:
        """See `Service.namespaces`."""
        return await trio.to_thread.run_sync(self._namespace_views, from_id, count, limiter=self._limiter)

    def _namespace_views(self, from_id: NamespaceId, count: int) -> Sequence[NamespaceView]:
        """In a thread: three reads for each."""
        found = [namespace for namespace in self._chain.namespaces if namespace.id >= from_id][:count]
        return [self._namespace_view(namespace) for namespace in found]

    def _namespace_view(self, registered: Namespace) -> NamespaceView:
        """Of a node that began at a checkpoint after the namespace's newest block, without that block's height."""
        namespace, name, terms = registered.id, registered.name, registered.terms
        head = self._heads().head(namespace)
        if head is None:
            return NamespaceView(namespace, name, None, None, None, terms)
        encoded = self._blocks.load_namespace_block(namespace, head.index)
        height = decode_whole(encoded, NamespaceBlock.decode).height if encoded is not None else None
        return NamespaceView(namespace, name, head.index, height, head.hash, terms)

    async def namespace_blocks(
        self, namespace: NamespaceId, from_index: NamespaceIndex, count: int, first_run: int, bytes_max: int
    ) -> Sequence[NamespaceBlockPart]:
        """See `Service.namespace_blocks`."""
        try:
            return await trio.to_thread.run_sync(
                self._pages.read, namespace, from_index, count, first_run, bytes_max, limiter=self._limiter
            )
        except PrunedHere as error:
            raise RequestRefused("pruned", str(error)) from error

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

    async def namespace_proof(
        self, namespace: NamespaceId, which: Height | Literal["attested"]
    ) -> NamespaceProof | None:
        """See `Service.namespace_proof`."""
        return await trio.to_thread.run_sync(self._prove, namespace, which, limiter=self._limiter)

    def _prove(self, namespace: NamespaceId, which: Height | Literal["attested"]) -> NamespaceProof | None:
        """In a thread: the tree has a leaf for every namespace that was ever used."""
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
