"""One replica with its disk, its clock and its lanes.

A disk keeps what an encoded record holds and nothing else; a crash loses the rest. Where the protocol demands that
something is on disk before a message leaves, the node checks it at that moment.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from consensus import limits
from consensus.clock import Now
from consensus.encoding import decode_whole
from consensus.errors import BrokenInvariant
from consensus.numbers import BlockId, Digest, Height, Milliseconds, Seq, ValidatorIndex, View
from consensus.ordering.effective import effective_start
from consensus.replica.effects import (
    Broadcast,
    Commit,
    CommittedBlock,
    Confirm,
    Effect,
    EnterView,
    FetchTips,
    Message,
    NeedBatches,
    NeededBatch,
    PeerFault,
    Save,
    Send,
    SetTimer,
    StoreTips,
)
from consensus.replica.events import BatchHeld, Event, ProposalReceived, Started, Timer, TimerFired, TipsFetched
from consensus.replica.replica import Replica
from consensus.replica.safety import SafetyRecord
from consensus.replica.state import Recovered
from consensus.vocabulary.certificates import QC, genesis_qc
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.tip import Tip
from tests.simulation.keys import GENESIS_TIME_MS, node_key

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

NEED_RETRY_MS = 50
COMMIT_SAVED_MS = 1.0  # at most, with a disk that syncs at once


@dataclass
class Disk:
    """What survives a crash of one node."""

    executed: CommittedBlock | None = None  # the last block whose batches, and those before, are all held
    record: bytes | None = None
    tips: dict[BlockId, bytes] = field(default_factory=dict)
    walked: dict[BlockId, bytes] = field(default_factory=dict)  # tips of walks
    loose: dict[BlockId, View] = field(default_factory=dict)  # saved tips that are not committed
    committed: list[CommittedBlock] = field(default_factory=list)  # by height, from 1
    certificates: tuple[QC, ...] = ()  # of the last commit
    held: dict[tuple[int, int, Digest], tuple[Milliseconds, bool]] = field(default_factory=dict)

    def copy(self) -> "Disk":
        """What a backup holds."""
        return replace(
            self,
            tips=dict(self.tips),
            walked=dict(self.walked),
            loose=dict(self.loose),
            committed=list(self.committed),
            held=dict(self.held),
        )


@dataclass(frozen=True)
class Backup:
    """A node's disk at some time, and what the simulation knows of it."""

    disk: Any
    saved: SafetyRecord | None
    committed: tuple[BlockId, ...]
    heads: tuple[int, ...]


def decode_tip(raw: bytes, count: int) -> Tip:
    return decode_whole(raw, lambda reader: Tip.decode(reader, count))


class Node:
    """See the module."""

    def __init__(self, cluster: "Cluster", index: int) -> None:
        self.cluster = cluster
        self.index: ValidatorIndex = ValidatorIndex(index)
        self.instance = index  # what partitions call it: twins share an index and not this
        self.disk = Disk()
        self.saved: SafetyRecord | None = None  # what the disk's record says
        self.clock_offset_ms = 0
        self.clock_rate = 1.0  # how fast both clocks run
        self.replica: Replica | None = None
        self.timers: dict[Timer, float] = {}
        self.life = 0  # counts restarts, so that events of an earlier life are ignored
        self.ahead: dict[tuple[int, int], Digest] = {}  # batches that arrived before their predecessor
        self.heads = [0] * cluster.count  # per lane, the last batch held without a gap
        self.faults: list[tuple[int, str]] = []
        self.committed: list[BlockId] = []
        self.views: list[int] = []
        self.pages_asked: list[int] = []  # of whom
        self._fetching: set[BlockId] = set()
        self._queue: list[Effect] = []
        self._writing: list[Effect] = []
        self._unsaved: list[Commit] = []  # told, and lost in a crash

    @property
    def alive(self) -> bool:
        return self.replica is not None

    @property
    def final_count(self) -> int:
        """Committed blocks, written or not."""
        return len(self.committed) + sum(len(commit.blocks) for commit in self._unsaved)

    @property
    def core(self) -> Replica:
        """The running replica."""
        assert self.replica is not None, f"node {self.index} is down"
        return self.replica

    def now(self) -> Now:
        time = self.cluster.time_ms * self.clock_rate
        return Now(Milliseconds(int(GENESIS_TIME_MS + 1_000 + time + self.clock_offset_ms)), time)

    # life

    def start(self) -> None:
        """Boots from the disk."""
        assert not self.alive
        self.life += 1
        self.timers, self.ahead, self._fetching = {}, {}, set()
        self.replica = Replica(self.cluster.chain, node_key(self.index), self.cluster.timing, self._recovered())
        self.step(Started())

    def _recovered(self) -> Recovered:
        disk, chain, count = self.disk, self.cluster.chain, self.cluster.count
        record = SafetyRecord.decode(disk.record, count) if disk.record is not None else None
        genesis = genesis_qc(chain.chain_id, chain.time_ms, count).body
        done = disk.executed
        effective = done.effective if done else effective_start(count)
        height = done.tip.header.height if done else Height(0)
        named = {record.high_tip_id} if record and record.high_tip_id else set()
        return Recovered(
            record,
            done.tip.id if done else genesis.block_id,
            height,
            done.tip.view if done else View(0),
            effective,
            tuple(self.stored_tip(block.tip.id) for block in disk.committed[height:]),
            tuple(self.stored_tip(tip_id) for tip_id in {**disk.loose, **dict.fromkeys(named)}),
            disk.certificates,
            tuple(
                (ValidatorIndex(lane), Seq(seq), digest, arrival_ms, chained)
                for (lane, seq, digest), (arrival_ms, chained) in disk.held.items()
                if seq > effective.cut[lane].seq
            ),
        )

    def stored_tip(self, tip_id: BlockId) -> Tip:
        return decode_tip(self.disk.tips[tip_id], self.cluster.count)

    def has_stored(self, tip_id: BlockId) -> bool:
        """Whether a tip that was voted for, proposed or committed is on the disk."""
        return tip_id in self.disk.tips

    def unsaved_tip(self, tip_id: BlockId) -> Tip | None:
        """A tip whose commit waits for its write."""
        return next((block.tip for commit in self._unsaved for block in commit.blocks if block.tip.id == tip_id), None)

    def has_servable(self, tip_id: BlockId) -> bool:
        """Whether peers that ask for it get it from the disk."""
        return self.has_stored(tip_id)

    def store_walked(self, tips: tuple[Tip, ...]) -> None:
        """Keeps tips of a walk, unsynced."""
        self.disk.walked.update({tip.id: tip.encoded for tip in tips})

    def walked_tip(self, tip_id: BlockId) -> Tip | None:
        """A tip that a walk of ours stored."""
        raw = self.disk.walked.get(tip_id)
        return decode_tip(raw, self.cluster.count) if raw is not None else None

    def crash(self) -> None:
        """Loses everything but the disk; a write that was under way is on it or not, but never in part."""
        if self._writing and self.cluster.random.random() < 0.5:
            for item in self._writing:
                if isinstance(item, Save):
                    self._deliver(item)
        self._writing, self._queue, self._unsaved = [], [], []
        self.replica = None
        self.timers, self.ahead = {}, {}

    def backup(self) -> Backup:
        """A copy of the disk, as an operator makes one."""
        return Backup(self.disk.copy(), self.saved, tuple(self.committed), tuple(self.heads))

    def restore(self, backup: Backup) -> None:
        """The disk is as it was; the next start finds it so."""
        assert not self.alive
        self.disk, self.saved = backup.disk.copy(), backup.saved
        self.committed, self.heads = list(backup.committed), list(backup.heads)

    # steps

    def step(self, event: Event) -> None:
        """One step of the core, and its effects in order; a crash point may stop in the middle."""
        if self.replica is None:
            return
        try:
            effects = self.replica.step(event, self.now())
        except BrokenInvariant:
            if not self.cluster.may_fork:
                raise
            self.crash()  # with a third of the stake Byzantine a node may meet what cannot be; it stops
            return
        for effect in effects:
            if self.replica is None:
                return
            if isinstance(effect, PeerFault) and isinstance(event, ProposalReceived):
                self._accuse(event.proposal)
            self.carry_out(effect)

    def _accuse(self, proposal: Proposal) -> None:
        """A proposal that was refused may convict its leader."""
        detector = self.cluster.detector
        proof = detector.convict_leader(proposal) if self.index not in self.cluster.byzantine else None
        if proof is not None:
            self.cluster.note_proof(proof)
            detector.note(self.cluster.offences[-1])

    def carry_out(self, effect: Effect) -> None:
        """Does what the core asks for, as a driver does, unless the crash point comes first."""
        cluster = self.cluster
        if cluster.before_effect is not None and cluster.before_effect(self, effect):
            self.crash()
            return
        for observe in cluster.observers:
            observe(self, effect)
        match effect:
            case Save() | Commit() | Send() | Broadcast() | Confirm():
                self._queue.append(effect)
                if not self._writing:
                    self._drain()
            case SetTimer(timer, at_mono_ms):
                self._set_timer(timer, at_mono_ms)
            case StoreTips(tips):
                self.store_walked(tips)
            case FetchTips(wanted, floor_height, peers):
                self._fetch(wanted, floor_height, peers)
            case PeerFault():
                self.faults.append((effect.sender, effect.reason))
            case EnterView():
                self.views.append(effect.view)
                if self.index not in cluster.byzantine:
                    cluster.detector.enter(View(effect.view))
            case NeedBatches(batches):
                self._need(batches)

    # the disk: puts and what waits for them, in one order; what comes while a write runs is the next one

    def _drain(self) -> None:
        while self._queue and not self._writing:
            if self.cluster.sync_ms == 0 or not any(isinstance(item, Save) for item in self._queue):
                self._deliver(self._queue.pop(0))
            else:
                self._start_write()

    def _start_write(self) -> None:
        self._writing, self._queue = self._queue, []
        life = self.life

        def finish() -> None:
            if self.life == life and self.alive:
                items, self._writing = self._writing, []
                self._finish_write(items)
                self._drain()

        self.cluster.after(self.cluster.random.uniform(0, 2 * self.cluster.sync_ms), finish)

    def _finish_write(self, items: list[Effect]) -> None:
        for item in sorted(items, key=lambda item: not isinstance(item, Save)):  # puts first
            self._deliver(item)

    def _deliver(self, effect: Effect) -> None:
        match effect:
            case Save(record, tips):
                self._save(record, tips)
            case Commit():
                self._commit(effect)
            case Send(to, message):
                self._transmit((to,), message)
            case Broadcast(message):
                self._transmit(range(self.cluster.count), message)
            case Confirm(tip, qc):
                self.cluster.note_confirmed(self.index, tip, qc)
            case _:
                raise AssertionError(f"{effect} does not wait for the disk")

    def _save(self, record: SafetyRecord, tips: tuple[Tip, ...]) -> None:
        self.disk.record = record.encode()
        self.saved = record
        for tip in tips:
            self.disk.tips[tip.id] = tip.encoded
            self.disk.loose[tip.id] = tip.view

    def _transmit(self, receivers: Iterable[int], message: Message) -> None:
        self._check_saved(message)
        for receiver in receivers:
            if receiver != self.index:
                self.cluster.transmit(self, receiver, message)

    def _check_saved(self, message: Message) -> None:
        """Nothing that must not be said twice leaves before the disk knows of it."""
        saved = self.saved
        match message:
            case Vote() if message.voter == self.index:
                assert saved is not None, "a vote left unsaved"
                assert saved.voted_view >= message.body.view, "a vote left unsaved"
                assert self.has_stored(message.body.block_id), "a tip voted for is not stored"
            case Timeout() if message.signer == self.index:
                assert saved is not None, "a timeout left unsaved"
                assert saved.timeout_view >= message.view, "a timeout left unsaved"
                assert saved.timeout_view > message.view or saved.timeout == message, "another timeout was saved"
            case Proposal() if self.cluster.leader(message.view) == self.index:
                assert saved is not None, "a proposal left unsaved"
                assert saved.proposed_view >= message.view, "a proposal left unsaved"
                assert self.has_stored(message.tip.id), "a proposed tip is not stored"
            case _:
                pass

    def _commit(self, commit: Commit) -> None:
        """Told at once and written a little later, as execution does: what was saved meanwhile may outlive it."""
        self.cluster.check_commit_proof(commit)
        for block in commit.blocks:
            self.cluster.note_committed(self.index, block)
        self._unsaved.append(commit)
        life = self.life

        def save() -> None:
            if self.life == life and self.alive:
                self._save_commit(self._unsaved.pop(0))

        self.cluster.after(self.cluster.random.uniform(0, 2 * self.cluster.sync_ms + COMMIT_SAVED_MS), save)

    def _save_commit(self, commit: Commit) -> None:
        for block in commit.blocks:
            tip = block.tip
            self.disk.tips[tip.id] = tip.encoded
            self.disk.committed.append(block)
            self.committed.append(tip.id)
            self.disk.loose = {tip_id: view for tip_id, view in self.disk.loose.items() if view > tip.view}
        self.disk.certificates = (commit.certificate, commit.child_certificate)
        self._execute()

    def _execute(self) -> None:
        """Notes the last committed block up to which every batch is held."""
        height = self.disk.executed.tip.header.height if self.disk.executed else 0
        for block in self.disk.committed[height:]:
            if not all((batch.lane, batch.seq, batch.digest) in self.disk.held for batch in block.batches):
                return
            self.disk.executed = block

    def _set_timer(self, timer: Timer, at_mono_ms: float | None) -> None:
        if at_mono_ms is None:
            self.timers.pop(timer, None)
            return
        self.timers[timer] = at_mono_ms
        life = self.life

        def fire() -> None:
            if self.life == life and self.alive and self.timers.get(timer) == at_mono_ms:
                del self.timers[timer]
                self.step(TimerFired(timer))

        self.at_mono(at_mono_ms, fire)

    def at_mono(self, at_mono_ms: float, action: Callable[[], None]) -> None:
        """Calls `action` when our monotonic clock shows this time, or the first one after it."""
        time_ms = at_mono_ms / self.clock_rate
        while time_ms * self.clock_rate < at_mono_ms:
            time_ms = math.nextafter(time_ms, math.inf)
        self.cluster.at(time_ms, action)

    # tips of others

    def _fetch(self, wanted: BlockId, floor_height: int, peers: tuple[ValidatorIndex, ...]) -> None:
        """One walk per id at a time; what is stored is not asked of peers."""
        cluster, life = self.cluster, self.life
        peer = cluster.nodes[peers[0]]
        stored = self._walked_from(wanted, floor_height)
        if wanted in self._fetching or not (stored or cluster.connected(self.instance, peer.instance)):
            return
        self._fetching.add(wanted)

        def deliver(sender: ValidatorIndex, tips: tuple[Tip, ...]) -> None:
            if self.life == life:
                self._fetching.discard(wanted)
                self.step(TipsFetched(sender, wanted, tips))

        def answer() -> None:
            delay_ms, tips = cluster.answers(peer.index, peer.tips_from(wanted, floor_height))
            cluster.after(cluster.delay(peer.index, self.index) + delay_ms, lambda: deliver(peer.index, tips))

        if stored:
            cluster.after(0, lambda: deliver(self.index, stored))
        else:
            self.pages_asked.append(peer.index)
            cluster.after(cluster.delay(self.index, peer.index), answer)

    def tips_from(self, wanted: BlockId, floor_height: int) -> tuple[Tip, ...]:
        """A page of tips, the wanted one first, then parents above `floor_height`; nothing while down."""
        tips: list[Tip] = []
        while self.replica is not None and len(tips) < limits.WALK_TIPS_MAX:
            tip = self.replica.state.tree.get(wanted) or self.unsaved_tip(wanted)
            if tip is None and self.has_servable(wanted):
                tip = self.stored_tip(wanted)
            if tip is None or tip.header.height <= floor_height:
                break
            tips.append(tip)
            wanted = tip.header.parent_id
        return tuple(tips)

    def _walked_from(self, wanted: BlockId, floor_height: int) -> tuple[Tip, ...]:
        """The same of what our own walks stored."""
        tips: list[Tip] = []
        while len(tips) < limits.WALK_TIPS_MAX and (tip := self.walked_tip(wanted)) is not None:
            if tip.header.height <= floor_height:
                break
            tips.append(tip)
            wanted = tip.header.parent_id
        return tuple(tips)

    # lanes

    def receive_batch(self, lane: int, seq: int, digest: Digest) -> None:
        """A batch came over the author's link: held once its predecessors are."""
        if not self.alive or seq <= self.heads[lane]:
            return
        self.ahead[lane, seq] = digest
        self._advance(lane)

    def _advance(self, lane: int) -> None:
        """Moves the lane's head over what arrived ahead or was fetched by its digest."""
        while self.alive:
            seq = self.heads[lane] + 1
            fetched = next((key[2] for key in self.disk.held if key[:2] == (lane, seq)), None)
            digest = self.ahead.pop((lane, seq), fetched)
            if digest is None:
                return
            self.heads[lane] = seq
            self._hold(lane, seq, digest, chained=True)

    def _hold(self, lane: int, seq: int, digest: Digest, *, chained: bool) -> None:
        """The batch is synced on this disk."""
        arrival_ms = self.disk.held.get((lane, seq, digest), (self.now().wall_ms, chained))[0]
        self.disk.held[lane, seq, digest] = (arrival_ms, chained)
        self._execute()
        self.step(BatchHeld(ValidatorIndex(lane), Seq(seq), digest, arrival_ms, chained))

    def _need(self, batches: tuple[NeededBatch, ...]) -> None:
        """Fetches batches by their digests from whoever has them, until they are held."""
        for batch in batches:
            self._look_for((batch.lane, batch.seq, batch.digest), 2 * self.cluster.delay(self.index, self.index))

    def _look_for(self, key: tuple[ValidatorIndex, Seq, Digest], wait_ms: float) -> None:
        cluster, life = self.cluster, self.life

        def look() -> None:
            if self.life != life or not self.alive or key in self.disk.held:
                return
            holders = (peer for peer in cluster.nodes if peer.alive and key in peer.disk.held)
            if any(cluster.connected(self.instance, peer.instance) for peer in holders):
                self._hold(*key, chained=False)
                self._advance(key[0])
            else:
                self._look_for(key, NEED_RETRY_MS)

        cluster.after(wait_ms, look)
