"""Replicas of one chain in one process, on virtual time, from one seed.

Real: the replica core, its encodings, keys and signatures, and a disk that holds encoded records. Simulated: links with
delays, clocks, and lanes (a batch is a digest that validators hold from some moment on).
"""

import hashlib
import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from consensus.clock import Now
from consensus.encoding import Reader, decode_whole
from consensus.genesis import Genesis
from consensus.numbers import BlockId, Digest, Height, Milliseconds, Seq, ValidatorIndex, View
from consensus.ordering.effective import effective_start
from consensus.replica.effects import (
    Broadcast,
    Commit,
    Confirm,
    Effect,
    EnterView,
    FetchTips,
    Message,
    NeedBatches,
    PeerFault,
    Save,
    Send,
    SetTimer,
)
from consensus.replica.events import BatchHeld, Event, PeerConnected, Started, Timer, TimerFired, TipsFetched
from consensus.replica.replica import Replica
from consensus.replica.safety import SafetyRecord
from consensus.replica.state import Recovered, ReplicaTiming, received
from consensus.vocabulary.certificates import QC, TC, VoteBody, genesis_qc
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip
from tests.simulation.keys import GENESIS_TIME_MS, make_genesis, node_key


@dataclass
class Disk:
    """What survives a crash of one node."""

    record: bytes | None = None
    tips: dict[BlockId, bytes] = field(default_factory=dict)
    committed: list[BlockId] = field(default_factory=list)  # by height, from 1
    held: list[tuple[ValidatorIndex, Seq, Digest, Milliseconds, bool]] = field(default_factory=list)


@dataclass
class Sent:
    """A message on its way, for filters and traces."""

    sender: int
    receiver: int
    message: Message


class Node:
    """One replica with its disk and its clock's offset."""

    def __init__(self, cluster: "Cluster", index: int) -> None:
        self.cluster = cluster
        self.index = ValidatorIndex(index)
        self.disk = Disk()
        self.clock_offset_ms = 0
        self.replica: Replica | None = None
        self.timers: dict[Timer, float] = {}
        self.life = 0  # counts restarts, so that events of an earlier life are ignored
        self.faults: list[tuple[int, str]] = []
        self.confirmed: list[tuple[int, BlockId]] = []
        self.committed: list[BlockId] = []
        self.views: list[int] = []
        self.needed: set[Digest] = set()

    @property
    def alive(self) -> bool:
        return self.replica is not None

    def now(self) -> Now:
        time = self.cluster.time_ms
        return Now(Milliseconds(int(GENESIS_TIME_MS + 1_000 + time + self.clock_offset_ms)), time)

    def start(self) -> None:
        """Boots from the disk."""
        chain, count = self.cluster.chain, self.cluster.count
        record = SafetyRecord.decode(self.disk.record, count) if self.disk.record is not None else None
        tips = {
            tip_id: decode_whole(raw, lambda reader: Tip.decode(reader, count))
            for tip_id, raw in self.disk.tips.items()
        }
        committed = tuple(tips[tip_id] for tip_id in self.disk.committed)
        recovered = Recovered(
            record,
            genesis_qc(chain.chain_id, chain.time_ms, count).body.block_id,
            Height(0),
            View(0),
            effective_start(count),
            committed,
            tuple(tip for tip_id, tip in tips.items() if tip_id not in set(self.disk.committed)),
            tuple(self.disk.held),
        )
        self.life += 1
        self.timers = {}
        self.replica = Replica(chain, node_key(self.index), self.cluster.timing, recovered)
        self.committed = [tip.id for tip in committed]
        self.step(Started())

    def crash(self) -> None:
        """Loses everything but the disk."""
        self.replica = None
        self.timers = {}

    def step(self, event: Event) -> None:
        """One step of the core, and its effects in order; a crash point may stop in the middle."""
        if self.replica is None:
            return
        for effect in self.replica.step(event, self.now()):
            if self.replica is None:
                return
            self.carry_out(effect)

    def carry_out(self, effect: Effect) -> None:
        cluster = self.cluster
        if cluster.before_effect is not None and cluster.before_effect(self, effect):
            self.crash()
            return
        match effect:
            case Save(record, tips):
                self.disk.record = record.encode()
                self.disk.tips.update({tip.id: tip.encoded for tip in tips})
            case Send(to, message):
                cluster.transmit(self.index, to, message)
            case Broadcast(message):
                for to in range(cluster.count):
                    if to != self.index:
                        cluster.transmit(self.index, to, message)
            case SetTimer(timer, at_mono_ms):
                self._set_timer(timer, at_mono_ms)
            case FetchTips(wanted, floor_height, peers):
                self._fetch(wanted, floor_height, peers)
            case Commit(blocks):
                for block in blocks:
                    self.disk.tips[block.tip.id] = block.tip.encoded
                    self.disk.committed.append(block.tip.id)
                    self.committed.append(block.tip.id)
                    cluster.note_committed(self.index, block.tip, block.batches)
            case Confirm(tip, qc):
                self.confirmed.append((qc.view, tip.id))
                cluster.confirmations.append((self.index, qc.view, tip.id))
            case PeerFault(sender, reason):
                self.faults.append((sender, reason))
            case EnterView(view):
                self.views.append(view)
            case NeedBatches(batches):
                self.needed.update(batch.digest for batch in batches)

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

        self.cluster.at(at_mono_ms, fire)

    def _fetch(self, wanted: BlockId, floor_height: int, peers: tuple[ValidatorIndex, ...]) -> None:
        cluster, life = self.cluster, self.life
        peer = cluster.nodes[peers[0]]
        if not cluster.connected(self.index, peer.index):
            return

        def answer() -> None:
            tips = peer.tips_from(wanted, floor_height) if peer.alive else ()

            def deliver() -> None:
                if self.life == life:
                    self.step(TipsFetched(peer.index, wanted, tips))

            cluster.after(cluster.delay(peer.index, self.index), deliver)

        cluster.after(cluster.delay(self.index, peer.index), answer)

    def tips_from(self, wanted: BlockId, floor_height: int) -> tuple[Tip, ...]:
        """A page of at most 8 tips, the wanted one first, then parents above `floor_height`."""
        tips: list[Tip] = []
        while len(tips) < 8:
            raw = self.disk.tips.get(wanted)
            tip = decode_whole(raw, lambda reader: Tip.decode(reader, self.cluster.count)) if raw else None
            if tip is None and self.replica is not None:
                tip = self.replica.state.tree.get(wanted)
            if tip is None or tip.header.height <= floor_height:
                break
            tips.append(tip)
            wanted = tip.header.parent_id
        return tuple(tips)


class Cluster:
    """n nodes, links between them, virtual time in ms."""

    def __init__(self, stakes: tuple[int, ...] = (1, 1, 1, 1), seed: int = 0, timing: ReplicaTiming | None = None):
        self.chain: Genesis = make_genesis(stakes)
        self.count = len(stakes)
        self.random = random.Random(seed)
        self.timing = timing or ReplicaTiming()
        self.time_ms = 0.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.nodes = [Node(self, index) for index in range(self.count)]
        self.latency_ms = (0.5, 1.5)
        self.drops: Callable[[Sent], bool] = lambda sent: False
        self.before_effect: Callable[[Node, Effect], bool] | None = None
        self.partition: set[int] | None = None
        self.sent: list[Sent] = []
        self.keep_sent = False
        self.chain_ids: list[BlockId] = []
        self.ordered: list[Digest] = []
        self.confirmations: list[tuple[int, int, BlockId]] = []
        self.lane_heads = [0] * self.count

    # time

    def at(self, time_ms: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (max(time_ms, self.time_ms), next(self._numbers), action))

    def after(self, delay_ms: float, action: Callable[[], None]) -> None:
        self.at(self.time_ms + delay_ms, action)

    def run(self, duration_ms: float) -> None:
        """Lets virtual time pass."""
        end = self.time_ms + duration_ms
        while self._queue and self._queue[0][0] <= end:
            self.time_ms, _, action = heapq.heappop(self._queue)
            action()
        self.time_ms = end

    def run_until(self, condition: Callable[[], bool], limit_ms: float = 60_000) -> None:
        """Runs until `condition` holds; fails if it does not within `limit_ms`."""
        end = self.time_ms + limit_ms
        while not condition():
            if not self._queue or self._queue[0][0] > end:
                raise AssertionError(f"not reached within {limit_ms} ms of virtual time: {self.summary()}")
            self.time_ms, _, action = heapq.heappop(self._queue)
            action()

    # links

    def delay(self, sender: int, receiver: int) -> float:
        return self.random.uniform(*self.latency_ms)

    def connected(self, one: int, other: int) -> bool:
        return self.partition is None or ((one in self.partition) == (other in self.partition))

    def transmit(self, sender: int, receiver: int, message: Message) -> None:
        sent = Sent(sender, receiver, message)
        if self.keep_sent:
            self.sent.append(sent)
        if not self.connected(sender, receiver) or self.drops(sent):
            return
        raw = reencode(message, self.count)
        node = self.nodes[receiver]
        self.after(self.delay(sender, receiver), lambda: node.step(received(ValidatorIndex(sender), raw)))

    def heal(self) -> None:
        """Ends a partition; links reopen."""
        self.partition = None
        self.reconnect()

    def reconnect(self, *indices: int) -> None:
        """Tells both ends of every link (of these nodes) that it opened."""
        for one, other in itertools.permutations(range(self.count), 2):
            if not indices or one in indices or other in indices:
                self.nodes[one].step(PeerConnected(ValidatorIndex(other)))

    # nodes

    def start(self, *indices: int) -> None:
        for index in indices or range(self.count):
            self.nodes[index].start()
        self.reconnect(*indices)

    def crash(self, *indices: int) -> None:
        for index in indices:
            self.nodes[index].crash()

    # lanes

    def batch(self, author: int, delays_ms: dict[int, float] | None = None) -> Digest:
        """The author seals a batch; each validator holds it after its delay (default: a link's)."""
        self.lane_heads[author] += 1
        seq = self.lane_heads[author]
        digest = Digest(hashlib.sha256(b"batch %d %d" % (author, seq)).digest())
        for index in range(self.count):
            wait = 0.3 if index == author else (delays_ms or {}).get(index, self.delay(author, index) + 0.3)
            self.after(wait, self._hold(index, author, seq, digest))
        return digest

    def _hold(self, index: int, author: int, seq: int, digest: Digest) -> Callable[[], None]:
        def hold() -> None:
            node = self.nodes[index]
            entry = (ValidatorIndex(author), Seq(seq), digest, node.now().wall_ms, True)
            node.disk.held.append(entry)
            node.step(BatchHeld(*entry))

        return hold

    # checks

    def note_committed(self, index: int, tip: Tip, batches: tuple) -> None:
        """One committed chain: every node commits the same block at a height."""
        height = tip.header.height
        if height <= len(self.chain_ids):
            assert self.chain_ids[height - 1] == tip.id, f"FORK at height {height} by node {index}"
            return
        assert height == len(self.chain_ids) + 1
        self.chain_ids.append(tip.id)
        self.ordered.extend(batch.digest for batch in batches)

    def check(self) -> None:
        """A fresh QC is never reversed; nobody honest is called faulty; every chain is a prefix of the one chain."""
        for node in self.nodes:
            assert node.committed == self.chain_ids[: len(node.committed)], f"node {node.index} has another chain"
            assert not node.faults, f"node {node.index} blames {node.faults}"

    def summary(self) -> str:
        return "; ".join(
            f"node {node.index}: view {node.replica.state.view} height {len(node.committed)}"
            if node.replica
            else f"node {node.index}: down"
            for node in self.nodes
        )


def reencode(message: Message, count: int) -> Message:
    """The message as a peer decodes it."""
    raw = message.encoded
    read: Callable[[Reader], Message]
    match message:
        case Proposal():
            read = lambda reader: Proposal.decode(reader, count)  # noqa: E731
        case Vote():
            read = Vote.decode
        case Timeout():
            read = lambda reader: Timeout.decode(reader, count)  # noqa: E731
        case QC():
            read = lambda reader: QC.decode(reader, count)  # noqa: E731
        case TC():
            read = lambda reader: TC.decode(reader, count)  # noqa: E731
        case Tip():
            read = lambda reader: Tip.decode(reader, count)  # noqa: E731
        case LaneReport():
            read = LaneReport.decode
    decoded = decode_whole(raw, read)
    assert decoded.encoded == raw
    return decoded


__all__ = ["Cluster", "Disk", "Node", "Sent", "VoteBody", "reencode"]
