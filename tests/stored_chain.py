"""The stores of a node after a run of the chain, with reads that are counted, and a replica's tree above it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from consensus.numbers import Height, Milliseconds, View
from consensus.ordering.cut import determine_cut
from consensus.replica.tree import TipTree
from consensus.vocabulary.certificates import QC
from sequencer.execution.blocks import ExecutedBlock
from sequencer.node.batch_source import BatchSource
from sequencer.node.chain_views import ChainViews
from sequencer.node.progress import Progress
from sequencer.node.records import batch_record, execution_puts, tips_puts
from storage.batches import BatchLog
from storage.blocks import BlockStore
from storage.chain import ChainStore
from storage.database import Database
from storage.keyspace import BATCH_DIGEST, NAMESPACE_BLOCK, id_key, namespace_key
from tests.chain_run import ChainRun


class Source(BatchSource):
    """Counts what is read and notes where."""

    read_bytes = 0
    threads: frozenset[threading.Thread] = frozenset()

    def encoded(self, digest):
        found = super().encoded(digest)
        self.read_bytes += len(found or b"")
        self.threads |= {threading.current_thread()}
        return found


class Blocks(BlockStore):
    """Notes the threads of reads that decode much."""

    threads: frozenset[threading.Thread] = frozenset()
    read_bytes = 0

    def load_executed_block(self, height):
        self.threads |= {threading.current_thread()}
        found = super().load_executed_block(height)
        self.read_bytes += len(found or b"")
        return found

    def load_leaves_record(self, height):
        self.threads |= {threading.current_thread()}
        return super().load_leaves_record(height)

    def load_newest_namespace_index(self, namespace, height):
        self.threads |= {threading.current_thread()}
        return super().load_newest_namespace_index(namespace, height)


@dataclass
class ReplicaState:
    tree: TipTree
    high_qc: QC
    qcs: dict[View, QC]


@dataclass
class Replica:
    state: ReplicaState


class StoredChain:
    """A node's stores with what a run of the chain left in them, and a replica's tree above it."""

    def __init__(self, committee, database, log):
        self.run = ChainRun(committee)
        self.chain, self.database, self.log = committee.chain, database, log
        self.blocks, self.source = Blocks(database), Source(committee.chain, log)
        state = self.run.state
        tree = TipTree(self.chain.validator_set, state.block_id, state.height, View(0), state.effective)
        self.replica: Any = Replica(ReplicaState(tree, committee_qc(committee), {}))

    def execute(self, ts_ms, batches):
        """Stores what a node stores of an executed block."""
        tip = self.run.tips.tip(ts_ms, batches)
        for added in batches.values():
            self.run.batches.update((batch.digest, batch) for batch in added)
            self.log.append_many([batch_record(batch, Milliseconds(1)) for batch in added], lambda: 1)
        done = self.run.execute(tip)
        block = done.block
        puts = execution_puts(done) + tips_puts([tip]) + ChainStore.commit_puts(block.height, tip.id)
        self.database.write(puts, sync=False)
        return block

    def prune(self, up_to):
        """Takes away the batches of the blocks up to a height, as pruning does."""
        self.database.write(ChainStore.prunable_puts(up_to), sync=False)
        for height in range(1, up_to + 1):
            block = ExecutedBlock.decode(self.blocks.load_executed_block(height))
            digests = {run.digest for namespace in block.namespaces for run in namespace.runs}
            self.database.write((), [id_key(BATCH_DIGEST, digest) for digest in digests], sync=False)

    def forget_namespace_blocks(self, namespace, up_to):
        """As if the node had begun at a checkpoint after them."""
        keys = [namespace_key(NAMESPACE_BLOCK, namespace, index) for index in range(up_to + 1)]
        self.database.write((), keys, sync=False)

    def certify(self, height):
        certificate = self.run.certificate(height)
        self.database.write(self.blocks.certificate_puts(height, certificate.encode()), sync=False)

    def propose(self, ts_ms):
        """A tip above the committed chain."""
        tip = self.run.tips.tip(ts_ms)
        self.replica.state.tree.add(tip, determine_cut(tip.reports, self.chain.validator_set), named=True)
        return tip

    def views(self, final_height=0, attested_height=0, unsaved=None):
        height = self.run.state.height
        ends = tuple(end.seq for end in self.run.state.effective.cut)
        return ChainViews(
            heads=lambda: self.run.state.namespaces,
            unsaved_tip=(unsaved or {}).get,
            chain=self.chain,
            replica=self.replica,
            store=ChainStore(self.database),
            blocks=self.blocks,
            source=self.source,
            progress=Progress(ends, height, max(height, Height(final_height)), Height(attested_height)),
        )


def committee_qc(committee):
    return ChainRun(committee).tips.tip(1).justify


def qc_on(tip, child, view=None):
    """The QC on `tip`, as its child justifies itself, or one of a later view in which it was proposed again."""
    qc = child.justify
    assert qc.body.block_id == tip.id
    return qc if view is None else replace(qc, body=replace(qc.body, view=View(view)))


@contextmanager
def stored_chain(committee, path) -> Iterator[StoredChain]:
    """An empty one in a new home."""
    chain_id = committee.chain.chain_id
    with Database.open(path, chain_id) as database:
        log = BatchLog.open(path / "batches", database, chain_id)
        yield StoredChain(committee, database, log)
        log.close()
