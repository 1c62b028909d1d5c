"""A node made of all its real cores: replica, lanes, mempool, execution, attesting, over the real stores.

Responsible for: what a process does at its start, and for carrying out the replica's effects as the drivers do: one
synced write for everything pending, deliveries behind it. `lanes.py` and `blocks.py` beside it do the other cores'.
Refuses to do: know who attacks. The cluster says when it crashes.

Invariants:
1. A crash loses everything but the disk; what a write under way leaves is drawn from the seed.
2. An event that an effect makes happen is the next step, never part of this one.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consensus.encoding import decode_whole
from consensus.errors import BrokenInvariant
from consensus.numbers import GENESIS_HEIGHT, BlockId, Digest, Hash, Height
from consensus.replica.effects import Broadcast, Commit, Confirm, Effect, NeedBatches, Save, Send
from consensus.replica.events import Event, Started
from consensus.replica.replica import Replica
from consensus.replica.safety import SafetyRecord
from consensus.vocabulary.tip import Tip
from sequencer.node.records import save_puts, tips_puts
from sequencer.node.recovery import (
    Stores,
    adopt_own_batches,
    first_record,
    load_execution,
    recover_replica,
    stored_above,
)
from storage.errors import StorageFault
from storage.keyspace import Puts
from storage.safety import SafetyStore
from tests.simulation.keys import node_key
from tests.simulation.node import Backup, Node
from tests.simulation.whole.blocks import BlockSide
from tests.simulation.whole.lanes import LaneSide

if TYPE_CHECKING:
    from tests.simulation.whole.cluster import WholeCluster


@dataclass(frozen=True, slots=True)
class Point:
    """A place outside the replica where a crash may strike."""

    name: str


class WholeNode(Node):
    """See the module."""

    cluster: "WholeCluster"

    def __init__(self, cluster: "WholeCluster", index: int) -> None:
        super().__init__(cluster, index)
        self.storage = cluster.disks.make(cluster.chain, index, cluster.segment_bytes)
        self._events: deque[Event] = deque()
        self._is_stepping = False

    # life

    @property
    def stores(self) -> Stores:
        assert self.storage.stores is not None, f"node {self.index} is down"
        return self.storage.stores

    def start(self) -> None:
        """Boots from the disk, in the order of `sequencer.node.node.Node`."""
        assert not self.alive
        try:
            self._start()
        except (BrokenInvariant, StorageFault):
            self.storage.close()
            self.replica = None
            if self.index not in self.cluster.possessed:
                raise

    def _start(self) -> None:
        self.life += 1
        self.timers, self._fetching = {}, set()
        self._events, self._is_stepping = deque(), False
        chain, stores = self.cluster.chain, self.storage.open()
        loaded = stores.safety.load()
        if loaded is None:
            stores.database.write(SafetyStore.record_puts(first_record(chain).encode(), {}), sync=True)
        execution = load_execution(chain, stores)
        newest = stores.blocks.load_newest_certificate()
        adopt_own_batches(chain, stores, self.index)
        stored = stored_above(chain, stores, execution.effective.cut)
        for batch in stored:  # a torn write may have left some of its batches whole: had since they were received
            self.cluster.note_stored(self.index, batch.lane, batch.digest)
            self.cluster.note_held(self.index, batch.digest, batch.arrival_ms)
        recovered = recover_replica(chain, stores, loaded, execution, stored)
        self.replica = Replica(chain, node_key(self.index), self.cluster.timing, recovered)
        self.lanes = LaneSide(self, self.replica.state.tree.effective.cut, stored)
        self.blocks = BlockSide(self, execution, Height(newest.height) if newest is not None else GENESIS_HEIGHT)
        self._check_recovered(stores)
        self.step(Started())
        if self.alive:
            self.lanes.start()
        if self.alive:
            self.blocks.start(Height(len(self.committed)))

    def _check_recovered(self, stores: Stores) -> None:
        last = stores.chain.load_last_committed()
        assert (last.height if last else 0) == len(self.committed), f"node {self.index} lost a commit"
        record = stores.safety.load()
        if record is not None and self.saved is not None:
            assert SafetyRecord.decode(record.record, self.cluster.count) == self.saved, "the safety record is older"

    def crash(self) -> None:
        """See the module's invariant 1."""
        if not self.alive:
            return
        rng = self.cluster.random
        if self._writing and rng.random() < 0.5:
            self._write([item for item in self._writing if isinstance(item, Save)])
        self.lanes.crash(rng)
        self._writing, self._queue = [], []
        self._events.clear()
        self.replica = None
        self.timers = {}
        self.storage.close()
        self.storage.power_cut(rng)
        self.cluster.note_crashed(self.index)

    def backup(self) -> Backup:
        return Backup(self.storage.leveldb.copy(), self.saved, tuple(self.committed), ())

    def restore(self, backup: Backup) -> None:
        """Only the database is as it was: segment files are newer."""
        assert not self.alive
        self.storage.leveldb, self.saved = backup.disk.copy(), backup.saved
        self.committed = list(backup.committed)

    def is_struck(self, point: str) -> bool:
        """Whether the process dies here, between two acts outside the replica."""
        strikes = self.cluster.before_effect
        if self.alive and strikes is not None and strikes(self, Point(point)):  # type: ignore[arg-type]
            self.crash()
        return not self.alive

    # steps

    def step(self, event: Event) -> None:
        """See the module's invariant 2."""
        if not self.alive:
            return
        self._events.append(event)
        if self._is_stepping:
            return
        self._is_stepping = True
        life = self.life
        while self._events and self.life == life:  # a crash empties the queue
            super().step(self._events.popleft())
        if self.life == life:
            self._is_stepping = False

    def _deliver(self, effect: Effect) -> None:
        match effect:
            case Save():
                self._write([effect])
            case Commit():
                self._told(effect)
            case Send() | Broadcast() | Confirm():
                super()._deliver(effect)
            case _:
                raise AssertionError(f"{effect} does not wait for the disk")

    def _finish_write(self, items: list[Effect]) -> None:
        """One synced write; then what waited for it, in order."""
        self._write([item for item in items if isinstance(item, Save)])
        for item in items:
            if not self.alive:
                return
            if isinstance(item, Commit):
                self._told(item)
            elif not isinstance(item, Save):
                super()._deliver(item)

    def _write(self, saves: list[Save]) -> None:
        puts: Puts = []
        for save in saves:
            puts += save_puts(save)
            self.saved = save.record
        if puts:
            self.stores.database.write(puts, sync=True)

    def _told(self, commit: Commit) -> None:
        """Lanes and execution hear of a commit; execution writes it."""
        self.cluster.check_commit_proof(commit)
        for block in commit.blocks:
            self.cluster.note_committed(self.index, block)
        for block in commit.blocks:
            if self.alive:
                self.lanes.note_committed(block)
        if self.alive:
            self.blocks.note_committed(commit)

    def note_saved(self, commits: Sequence[Commit]) -> None:
        """These are on the disk."""
        self.committed += [block.tip.id for commit in commits for block in commit.blocks]

    # the disk

    def has_stored(self, tip_id: BlockId) -> bool:
        return self._stored_bytes(tip_id) is not None

    def _stored_bytes(self, tip_id: BlockId) -> bytes | None:
        found = self.stores.chain.load_tip(tip_id)
        return found if found is not None else (self.stores.safety.load() or _NOTHING).tips.get(tip_id)

    def unsaved_tip(self, tip_id: BlockId) -> Tip | None:
        return self.blocks.unsaved_tip(tip_id)

    def has_servable(self, tip_id: BlockId) -> bool:
        """Pages for peers are read from the chain alone."""
        return self.stores.chain.contains_tip(tip_id)

    def stored_tip(self, tip_id: BlockId) -> Tip:
        raw = self._stored_bytes(tip_id)
        assert raw is not None
        return self._decoded(raw)

    def _decoded(self, raw: bytes) -> Tip:
        return decode_whole(raw, lambda reader: Tip.decode(reader, self.cluster.count))

    def store_walked(self, tips: tuple[Tip, ...]) -> None:
        self.stores.database.write(tips_puts(tips), sync=True)

    def walked_tip(self, tip_id: BlockId) -> Tip | None:
        raw = self.stores.chain.load_tip(tip_id)
        return self._decoded(raw) if raw is not None else None

    # lanes

    def holds(self, digest: Digest) -> bool:
        """Whether the batch is synced on this disk, which may be one that is down."""
        return self.storage.contains(digest)

    def _need(self, batches: tuple) -> None:
        self.lanes.need(NeedBatches(batches))

    def receive_batch_frame(self, peer: int, encoded: bytes) -> None:
        """A batch pushed over `peer`'s link."""
        if self.alive:
            self.lanes.receive(peer, encoded)

    def submit(self, namespace: int, body: bytes) -> Hash | None:
        """A client's transaction; None if it is refused."""
        return self.lanes.submit(namespace, body) if self.alive else None


@dataclass(frozen=True)
class _NoRecord:
    tips: dict[bytes, bytes]


_NOTHING = _NoRecord({})
