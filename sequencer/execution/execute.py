"""From one committed tip to its namespaced blocks, as a pure function of the chain so far.

Responsible for: the order of a tip's batches, what each segment contributes to which namespace, closed lanes, the
namespace blocks and their root, and which height becomes due for attestation.
Refuses to do: read batches from anywhere (they are handed in), sign, store, or judge a tip: it was committed.

Invariants:
1. Same chain, same bytes: on every node and after every restart. Nothing here depends on anything but state, tip and
   the batches that the tip orders.
2. A batch whose header does not chain to the last ordered digest of its lane closes the lane: it and all later ones
   emit nothing, while cuts go on counting.
3. A segment of kind 0 of a registered namespace is a run of that namespace's block; its bytes count even if it is
   inert (framing, item size or the claimed count is wrong), its items then do not. Any other segment contributes
   nothing. A namespace with a run gets a block; a block of the chain is empty if no namespace has one.
4. Sections: only the open one. Its root is over the runs in block order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from consensus.errors import BrokenInvariant
from consensus.genesis import Genesis
from consensus.merkle import merkle_root
from consensus.numbers import (
    GENESIS_EPOCH,
    ZERO_HASH,
    Digest,
    NamespaceId,
    NamespaceIndex,
    Seq,
    ValidatorIndex,
)
from consensus.ordering.effective import Effective, OrderedBatch, order_block
from consensus.signing import SIGNATURE_BYTES
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.attestation import Attestation
from consensus.vocabulary.batch import KIND_OPEN, Batch, read_segment
from consensus.vocabulary.block import INERT_LEAF, RUN_LEAF, NamespaceBlock, Section, SectionKind
from consensus.vocabulary.tip import Header, Tip
from sequencer.execution.attested import Attested, due_attestation, is_open_after
from sequencer.execution.blocks import ClosedLane, Dropped, ExecutedBlock, ExecutedNamespace, Run
from sequencer.execution.errors import MissingBatch
from sequencer.execution.namespaces import LeavesRecord, NamespaceHead
from sequencer.execution.state import ExecutionState, execution_start


@dataclass(frozen=True, slots=True)
class OrderedTip:
    """A committed tip with what it adds to the order: the effective cut and anchor after it, and its batches."""

    tip: Tip
    effective: Effective
    batches: tuple[OrderedBatch, ...]


@dataclass(frozen=True, slots=True)
class Execution:
    """The result of one height.

    `attested` is the state after the height that became due for attestation, if one did: this one or its parent.
    `record` is stored under that height.
    """

    state: ExecutionState
    block: ExecutedBlock
    record: LeavesRecord | None
    attested: ExecutionState | None


@dataclass(slots=True)
class _OpenSection:
    """The open section of one namespace while a block is executed."""

    runs: list[Run] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    item_count: int = 0
    byte_count: int = 0

    def section(self) -> Section:
        return Section(SectionKind.OPEN, self.item_count, self.byte_count, merkle_root(self.leaves))


@dataclass(slots=True)
class _Contents:
    """What the batches of a block contribute, gathered one batch after another."""

    tx_bytes_max: int
    registered: frozenset[NamespaceId]
    sections: dict[NamespaceId, _OpenSection] = field(default_factory=dict)
    closed: list[ClosedLane] = field(default_factory=list)
    closed_lane_batches: int = 0
    inert_runs: int = 0
    foreign_segments: int = 0
    foreign_bytes: int = 0

    def add_batch(self, ordered: OrderedBatch, batch: Batch) -> None:
        """Adds every segment of a batch that chains."""
        offset = len(batch.header.encoded) + SIGNATURE_BYTES
        for place, entry in enumerate(batch.header.segments):
            end = offset + entry.byte_count
            if entry.kind == KIND_OPEN and entry.namespace in self.registered:
                items = read_segment(batch.encoded[offset:end], entry.item_count, self.tx_bytes_max)
                item_count = len(items) if items is not None else 0
                section = self.sections.setdefault(entry.namespace, _OpenSection())
                section.leaves.append((RUN_LEAF if item_count else INERT_LEAF) + entry.segment_hash)
                run = (ordered.lane, ordered.seq, ordered.digest, place, offset, entry.byte_count)
                section.runs.append(Run(*run, section.item_count, item_count))
                section.item_count += item_count
                section.byte_count += entry.byte_count
                self.inert_runs += not item_count
            else:
                self.foreign_segments += 1
                self.foreign_bytes += entry.byte_count
            offset = end

    def dropped(self) -> Dropped:
        return Dropped(self.closed_lane_batches, self.inert_runs, self.foreign_segments, self.foreign_bytes)


class Executor:
    """Executes the chain of one genesis. Holds nothing that changes."""

    def __init__(self, chain: Genesis) -> None:
        self._chain = chain
        self._registered = chain.namespace_ids()

    def start(self) -> ExecutionState:
        """The state at block 0."""
        return execution_start(self._chain)

    def order(self, state: ExecutionState, tip: Tip) -> OrderedTip:
        """What `tip`, the committed child of the block that `state` is after, orders: which batches are needed.

        Raises `BrokenInvariant` if it is not that block's child.
        """
        if tip.header.parent_id != state.block_id or tip.header.height != state.height + 1:
            raise BrokenInvariant(f"height {tip.header.height} does not follow executed height {state.height}")
        effective, batches = order_block(state.effective, tip, self._chain.validator_set)
        return OrderedTip(tip, effective, batches)

    def execute(self, state: ExecutionState, ordered: OrderedTip, batches: Mapping[Digest, Batch]) -> Execution:
        """The height after `state`. `ordered` is `order(state, tip)`; `batches` may load each batch when asked.

        Raises `MissingBatch`. Batches of lanes that are closed are not asked for.
        """
        header = ordered.tip.header
        if header.parent_id != state.block_id:
            raise BrokenInvariant(f"height {header.height} does not follow executed height {state.height}")
        contents = self._gather(state, ordered, batches)
        executed = [
            self._namespace_block(state, header, ordered.effective.anchor, namespace, contents.sections[namespace])
            for namespace in sorted(contents.sections)
        ]
        newer = [NamespaceHead(item.block.namespace, item.block.index, item.hash) for item in executed]
        heads = state.namespaces.with_heads(newer) if newer else state.namespaces
        due = due_attestation(
            is_parent_open=state.is_open,
            parent_ts_ms=state.ts_ms,
            ts_ms=header.ts_ms,
            is_empty=not executed,
            attest_ms=self._chain.parameters.attest_ms,
        )
        after = ExecutionState(
            header.height,
            ordered.tip.id,
            header.ts_ms,
            ordered.effective,
            tuple(sorted((*state.closed_lanes, *contents.closed), key=lambda closed: closed.lane)),
            heads,
            is_open_after(due, is_empty=not executed),
            state.progress.with_changes(newer),
        )
        attested = {Attested.BLOCK: after, Attested.PARENT: state}.get(due)
        attestation, record = None, None
        if attested is not None:
            attestation = self._attestation(attested)
            progress, record = after.progress.record(attested.height, heads)
            after = replace(after, progress=progress)
        return Execution(
            after,
            ExecutedBlock(
                header.height,
                ordered.tip.id,
                header.parent_id,
                header.view,
                header.ts_ms,
                ordered.effective.anchor,
                heads.root,
                tuple(executed),
                tuple(contents.closed),
                contents.dropped(),
                attestation,
            ),
            record,
            attested,
        )

    def _attestation(self, state: ExecutionState) -> Attestation:
        epoch = GENESIS_EPOCH
        order_root = state.order_root(self._chain.domain)
        return Attestation(epoch, state.height, state.block_id, state.namespaces.root, aux_root=order_root)

    def _gather(self, state: ExecutionState, ordered: OrderedTip, batches: Mapping[Digest, Batch]) -> _Contents:
        contents = _Contents(self._chain.parameters.tx_bytes_max, self._registered)
        closed = {item.lane for item in state.closed_lanes}
        last = [position.digest for position in state.effective.cut]
        for item in ordered.batches:
            if item.lane not in closed:
                batch = batches.get(item.digest)
                if batch is None:
                    raise MissingBatch(item.digest)
                if _chains(batch, item.lane, item.seq, last[item.lane]):
                    contents.add_batch(item, batch)
                    last[item.lane] = item.digest
                    continue
                closed.add(item.lane)
                contents.closed.append(ClosedLane(item.lane, item.seq))
            contents.closed_lane_batches += 1
        return contents

    def _namespace_block(
        self, state: ExecutionState, header: Header, anchor: Anchor, namespace: NamespaceId, content: _OpenSection
    ) -> ExecutedNamespace:
        before = state.namespaces.head(namespace)
        section = content.section()
        block = NamespaceBlock(
            namespace,
            NamespaceIndex(before.index + 1 if before else 0),
            before.hash if before else ZERO_HASH,
            header.height,
            header.id,
            header.ts_ms,
            anchor,
            (section,),
            merkle_root([section.encode()]),
        )
        return ExecutedNamespace(block, block.hash(self._chain.domain), tuple(content.runs))


def _chains(batch: Batch, lane: ValidatorIndex, seq: Seq, last_digest: Digest) -> bool:
    header = batch.header
    return header.author == lane and header.seq == seq and header.prev_digest == last_digest
