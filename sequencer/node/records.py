"""What the cores decide, as it stands on disk: the puts and records of commits, executed blocks and batches.

Responsible for: the one form of each, for the drivers and for the simulator, which so tests the real one.
Refuses to do: write, or choose when: drivers do.
"""

from collections.abc import Iterable

from consensus.numbers import Milliseconds
from consensus.replica.effects import Commit, Save
from consensus.vocabulary.batch import Batch
from consensus.vocabulary.tip import Tip
from sequencer.execution.execute import Execution
from storage.blocks import BlockStore, ExecutionState
from storage.chain import ChainStore, CommitProof
from storage.keyspace import Puts
from storage.safety import OwnHead, SafetyStore
from storage.segments import BatchRecord


def save_puts(save: Save) -> Puts:
    """The safety record and the tips that it needs."""
    return SafetyStore.record_puts(save.record.encode(), {tip.id: tip.encoded for tip in save.tips})


def tips_puts(tips: Iterable[Tip]) -> Puts:
    """Tips that may be read back by their ids."""
    return [put for tip in tips for put in ChainStore.tip_puts(tip.id, tip.encoded)]


def commit_puts(commit: Commit) -> Puts:
    """The committed tips, their heights, and what proves the last one committed."""
    tips = [block.tip for block in commit.blocks]
    puts = tips_puts(tips)
    for tip in tips:
        puts += ChainStore.commit_puts(tip.header.height, tip.id)
    proof = CommitProof(commit.certificate.encoded, commit.child_certificate.encoded)
    return puts + ChainStore.commit_proof_puts(tips[-1].header.height, proof)


def execution_puts(execution: Execution) -> Puts:
    """An executed block, its namespaces' blocks and the state behind it, without the index of transactions."""
    block, height = execution.block, execution.block.height
    puts = BlockStore.executed_block_puts(height, block.encode())
    for namespace in block.namespaces:
        part = namespace.block
        puts += BlockStore.namespace_block_puts(part.namespace, part.index, height, part.encode())
    if execution.record is not None and block.attestation is not None:
        puts += BlockStore.leaves_record_puts(block.attestation.height, execution.record.encode())
    return puts + BlockStore.state_puts(ExecutionState(height, execution.state.encode()))


def batch_record(batch: Batch, received_ms: Milliseconds) -> BatchRecord:
    """A batch in a segment file."""
    header = batch.header
    return BatchRecord(header.author, header.seq, header.digest, received_ms, batch.encoded)


def own_head_puts(batch: Batch) -> Puts:
    """The newest batch of our own lane."""
    return SafetyStore.own_head_puts(OwnHead(batch.header.seq, batch.digest, batch.header.encoded))
