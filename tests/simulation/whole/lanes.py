"""The lanes and the mempool of one node at work, as `lane_driver.py` and `submissions.py` drive them.

Responsible for: one write of batches at a time, pushes, fetches, sealing and receipts.
Refuses to do: decide anything: the cores do.
"""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from consensus.errors import BrokenInvariant, InvalidObject
from consensus.numbers import GENESIS_EPOCH, Digest, Hash, Milliseconds, Seq, ValidatorIndex
from consensus.ordering.cut import LanePosition
from consensus.replica.effects import CommittedBlock, NeedBatches
from consensus.replica.events import BatchHeld, LaneForked
from consensus.vocabulary.batch import Batch, Items
from sequencer.lanes import effects, events
from sequencer.lanes.bounds import LaneBounds
from sequencer.lanes.lanes import Lanes
from sequencer.lanes.recovered import RecoveredBatch
from sequencer.mempool.bounds import MempoolBounds
from sequencer.mempool.draft import Draft
from sequencer.mempool.mempool import Mempool
from sequencer.mempool.seal import OwnLane
from sequencer.node.records import batch_record, own_head_puts
from sequencer.node.recovery import recover_lanes
from storage.keyspace import Puts
from storage.segments import BatchRecord
from tests.simulation.keys import node_key

if TYPE_CHECKING:
    from tests.simulation.whole.node import WholeNode

BOUNDS = LaneBounds(
    lane_bytes_max=4 * 1024 * 1024,
    lane_batches_max=256,
    push_grace_ms=4,
    patience_min_ms=4,
    patience_max_ms=100,
    round_pause_ms=40,
    gap_delay_ms=4,
    gap_retry_ms=40,
    rewind_interval_ms=20,
)
FETCH_TIMEOUT_MS = 100.0


class LaneSide:
    """See the module."""

    def __init__(
        self, node: "WholeNode", committed: tuple[LanePosition, ...], stored: Sequence[RecoveredBatch]
    ) -> None:
        cluster = node.cluster
        self._node = node
        self._cluster = cluster
        self._life = node.life
        self.core = Lanes(cluster.chain, node.index, BOUNDS, recover_lanes(node.stores, committed, stored))
        self.mempool = Mempool(cluster.chain, node.index, MempoolBounds(batch_bytes_target=cluster.batch_bytes_target))
        self._unwritten: list[Batch] = []
        self._writing: list[Batch] = []
        self._own: tuple[Draft, Puts] | None = None  # sealed, not yet held
        self._wake_ms: float | None = None
        self._seal_ms: float | None = None
        self._batches: dict[Digest, Batch] = {}

    @property
    def _is_over(self) -> bool:
        return not self._node.alive or self._node.life != self._life

    def start(self) -> None:
        self._carry_out(self.core.start())

    def handle(self, event: events.Event) -> None:
        if self._is_over:
            return
        try:
            self._carry_out(self.core.step(event, self._node.now()))
        except BrokenInvariant:
            if self._node.index not in self._cluster.possessed:
                raise
            self._node.crash()  # a Byzantine validator's process ends
            return
        self._schedule_wake()

    def _carry_out(self, found: Sequence[effects.Effect]) -> None:  # noqa: C901 - one table
        node = self._node
        for effect in found:
            if self._is_over:
                return
            match effect:
                case effects.CheckBatch():
                    self._check(effect)
                case effects.StoreBatch():
                    self._unwritten.append(effect.batch)
                    self._batches[effect.batch.digest] = effect.batch
                    self._start_write()
                case BatchHeld():
                    self._cluster.note_held(node.index, effect.digest)
                    node.step(effect)
                    if not self._is_over:
                        node.blocks.execute()
                case LaneForked():
                    node.step(effect)
                case effects.PushLane():
                    for peer in effect.peers:
                        self._pump(peer)
                case effects.RequestBatch():
                    self._request(effect)
                case effects.RequestGap():
                    self._request_gap(effect)
                case effects.KeepEvidence():
                    self._cluster.note_lane_fork(node.index, effect)
                case effects.BlamePeer():
                    node.faults.append((effect.peer, f"{effect.fault.value}: {effect.detail}"))
                case effects.CountDrop():
                    pass

    def _request_gap(self, effect: effects.RequestGap) -> None:
        event = events.GapRequested(self._node.index, effect.from_seq)
        self._cluster.carry(self._node.index, effect.author, 8, lambda peer: peer.lanes.handle(event))

    def _check(self, effect: effects.CheckBatch) -> None:
        try:
            effect.batch.check(self._cluster.chain)
        except InvalidObject as fault:
            self.handle(events.BatchFaulted(effect.peer, effect.asked, fault.reason))
            return
        self.handle(events.BatchChecked(effect.peer, effect.batch, effect.asked))

    def _schedule_wake(self) -> None:
        at_ms = self.core.next_wake_ms()
        if at_ms is None or at_ms == self._wake_ms:
            return
        self._wake_ms = at_ms

        def wake() -> None:
            if not self._is_over and self._wake_ms == at_ms:
                self._wake_ms = None
                self.handle(events.Ticked())

        self._node.at_mono(at_ms, wake)

    # writing

    def _start_write(self) -> None:
        if self._writing or not self._unwritten:
            return
        self._writing, self._unwritten = self._unwritten, []
        self._cluster.after(self._cluster.draw_batch_sync_ms(), self._finish_write)

    def _records(self) -> list[BatchRecord]:
        wall_ms = self._node.now().wall_ms
        return [batch_record(batch, wall_ms) for batch in self._writing]

    def _append(self) -> tuple[tuple[Digest, Milliseconds], ...]:
        stored = self._node.stores.batches.append_many(self._records(), lambda: self._node.now().wall_ms)
        for entry in stored:
            self._cluster.note_stored(self._node.index, entry.author, Digest(Hash(entry.digest)))
        return tuple((Digest(Hash(entry.digest)), Milliseconds(entry.arrival_ms)) for entry in stored)

    def _own_written(self) -> tuple[Draft, Puts] | None:
        own = self._own
        return own if own is not None and any(b.digest == own[0].header.digest for b in self._writing) else None

    def _finish_write(self) -> None:
        node = self._node
        if self._is_over or node.is_struck("before appending batches"):
            return
        stored, own = self._append(), self._own_written()
        if node.is_struck("after appending batches"):
            return
        if own is not None:
            node.stores.database.write(own[1], sync=True)
            if node.is_struck("after the own head"):
                return
        self._writing = []
        self.handle(events.BatchesStored(stored))
        if own is not None and not self._is_over:
            self._own = None
            self._give_receipts(own[0])
        if not self._is_over:
            self._start_write()
            self.wake()

    def crash(self, rng: random.Random) -> None:
        """What a write of batches that was under way leaves: nothing, a torn tail, or all of it."""
        if not self._writing:
            return
        outcome, own = rng.random(), self._own_written()
        if outcome < 0.3:
            self._append()
            if own is not None and outcome < 0.15:
                self._node.stores.database.write(own[1], sync=True)
        elif outcome < 0.6:
            self._node.storage.append_torn(self._records(), rng)
        self._writing = []

    # the own lane

    def submit(self, namespace: int, body: bytes) -> Hash | None:
        submission = self.mempool.submit(namespace, Items.of([body]), self._node.now())
        self.wake()
        return submission.admitted[0][1] if submission.admitted else None

    def wake(self) -> None:
        """Seals if a batch is due, else looks again when one will be."""
        if self._is_over or self._own is not None:
            return
        now = self._node.now()
        at_ms = self.mempool.next_seal_ms(OwnLane(self.core.own_uncommitted(), is_syncing=self.core.own_is_syncing()))
        if at_ms is None:
            return
        if at_ms > now.mono_ms:
            if at_ms != self._seal_ms:
                self._seal_ms = at_ms
                self._node.at_mono(at_ms, self.wake)
            return
        seq, prev_digest = self.core.own_next()
        draft = self.mempool.draft(now, seq, prev_digest, GENESIS_EPOCH)
        if draft is not None:
            self._hold_own(draft)

    def _hold_own(self, draft: Draft) -> None:
        batch = draft.seal(self._cluster.chain, node_key(self._node.index))
        self._own = (draft, own_head_puts(batch))
        self.handle(events.OwnBatchSealed(batch))

    def _give_receipts(self, draft: Draft) -> None:
        for _, receipt in draft.receipts(self._cluster.chain, node_key(self._node.index)):
            self._cluster.note_receipt(receipt)

    def note_committed(self, block: CommittedBlock) -> None:
        self.handle(events.Committed(block.effective.cut, block.batches))
        self.wake()

    def need(self, needed: NeedBatches) -> None:
        self.handle(events.BatchesNeeded(needed.batches))

    # links

    def link_opened(self, peer: int, heads: tuple[Seq, ...]) -> None:
        self.handle(events.LinkOpened(ValidatorIndex(peer), heads))
        self._pump(ValidatorIndex(peer))

    def link_closed(self, peer: int) -> None:
        self.handle(events.LinkClosed(ValidatorIndex(peer)))

    def receive(self, peer: int, encoded: bytes) -> None:
        self.handle(events.BatchReceived(ValidatorIndex(peer), encoded))

    def _pump(self, peer: ValidatorIndex) -> None:
        while not self._is_over and (seq := self.core.next_to_push(peer)) is not None:
            encoded = self._own_encoded(seq)
            self._cluster.push(self._node.index, peer, seq, encoded)
            self.core.push_accepted(peer, seq)

    def _own_encoded(self, seq: Seq) -> bytes:
        (entry, *_) = self._node.stores.batches.list_lane(self._node.index, seq, 1)
        assert entry.seq == seq, f"batch {seq} of our own lane is not held"
        encoded = self.encoded(Digest(Hash(entry.digest)))
        assert encoded is not None
        return encoded

    def load(self, digest: Digest) -> Batch:
        """A held batch."""
        known = self._batches.get(digest)
        if known is None:
            raw = self._node.stores.batches.read(digest)
            assert raw is not None, "a batch is indexed and not held"
            known = self._batches[digest] = Batch.decode(raw, self._cluster.chain.parameters.batch_bytes_max)
        return known

    def encoded(self, digest: Digest) -> bytes | None:
        """The bytes of a held batch, for a peer."""
        return self.load(digest).encoded if self._node.stores.batches.contains(digest) else None

    # fetching

    def _request(self, effect: effects.RequestBatch) -> None:
        """Answers exactly once: with the bytes, or that there are none."""
        cluster, node = self._cluster, self._node
        open_requests = [True]

        def answer(encoded: bytes) -> None:
            if open_requests:
                open_requests.clear()
                if encoded:
                    self.handle(events.BatchReceived(effect.peer, encoded, effect.digest))
                else:
                    self.handle(events.FetchFailed(effect.peer, effect.digest))

        cluster.ask_batch(node.index, effect.peer, effect.digest, answer)
        cluster.after(FETCH_TIMEOUT_MS, lambda: answer(b""))
