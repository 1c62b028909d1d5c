"""Three honest validators' lanes, their disks and links, and a fourth validator that does as it likes.

Everything is in the hands of the test: when a disk syncs, when a frame arrives, when a link breaks, when a node loses
its memory, which batch the chain orders next. What must always hold is asserted at every effect.
"""

from collections import deque
from dataclasses import dataclass, field, replace

from consensus.clock import Now
from consensus.errors import InvalidObject
from consensus.numbers import ZERO_HASH, Digest, Milliseconds, NamespaceId, Seq, ValidatorIndex
from consensus.ordering.cut import LanePosition
from consensus.ordering.effective import OrderedBatch
from consensus.replica.effects import NeededBatch
from consensus.replica.events import BatchHeld, LaneForked
from consensus.vocabulary.batch import Batch
from sequencer.lanes.bounds import LaneBounds
from sequencer.lanes.effects import (
    BlamePeer,
    CheckBatch,
    CountDrop,
    Effect,
    KeepEvidence,
    PushLane,
    RequestBatch,
    RequestGap,
    StoreBatch,
)
from sequencer.lanes.events import (
    BatchChecked,
    BatchesNeeded,
    BatchesStored,
    BatchFaulted,
    BatchReceived,
    Committed,
    Event,
    FetchFailed,
    GapRequested,
    LinkClosed,
    LinkOpened,
    OwnBatchSealed,
    Ticked,
)
from sequencer.lanes.lanes import Lanes
from sequencer.lanes.recovered import RecoveredBatch, RecoveredLanes
from tests.committee import Committee, Segment

COMMITTEE = Committee()
HONEST, LIAR, COUNT = (0, 1, 2), 3, 4
CHAIN = replace(COMMITTEE.chain, parameters=replace(COMMITTEE.chain.parameters, batch_bytes_max=400))
COMMITTEE.chain = CHAIN  # whose signatures it makes
BOUNDS = LaneBounds(
    lane_bytes_max=2_000, lane_batches_max=12, ahead_bytes_max=0, requests_max=5, requests_per_peer_max=2
)
LINK_BATCHES_MAX = 3
START = LanePosition(Seq(0), Digest(ZERO_HASH))


def seal(author: int, seq: int, prev_digest: Digest, salt: int = 0) -> Batch:
    items = (bytes([author, seq, salt]),)
    return COMMITTEE.seal(author, seq, prev_digest, [Segment(NamespaceId(1001), items)])


@dataclass(frozen=True)
class Request:
    digest: Digest


@dataclass(frozen=True)
class Answer:
    digest: Digest
    encoded: bytes | None


@dataclass(frozen=True)
class Gap:
    from_seq: Seq


Frame = bytes | Request | Answer | Gap


@dataclass
class Node:
    """What survives a crash is the disk; the chain is everybody's."""

    index: int
    disk: dict[Digest, tuple[Batch, Milliseconds]] = field(default_factory=dict)
    commits_seen: int = 0
    unsynced: list[Batch] = field(default_factory=list)
    told: set[Digest] = field(default_factory=set)
    chained: dict[int, LanePosition] = field(default_factory=dict)  # the last one told as chained, by lane
    forked: set[int] = field(default_factory=set)
    blamed: set[int] = field(default_factory=set)
    evidence: list[KeepEvidence] = field(default_factory=list)
    lanes: Lanes = field(init=False)


class LaneNetwork:
    """See the module."""

    def __init__(self) -> None:
        self.mono_ms = 0.0
        self.nodes = [Node(index) for index in HONEST]
        self.links: dict[tuple[int, int], deque[Frame]] = {}
        self.commits: list[tuple[tuple[LanePosition, ...], tuple[OrderedBatch, ...]]] = []
        self.batches: dict[Digest, Batch] = {}  # everything that ever left an author
        self.left: dict[tuple[int, int], Digest] = {}
        for node in self.nodes:
            self.start(node)
        self.connect_all()

    def now(self) -> Now:
        return Now(Milliseconds(1_700_000_000_000 + int(self.mono_ms)), self.mono_ms)

    def cut_after(self, commits: int) -> tuple[LanePosition, ...]:
        return self.commits[commits - 1][0] if commits else (START,) * COUNT

    # a node's life

    def start(self, node: Node) -> None:
        """Builds the lanes from the disk."""
        cut = self.cut_after(node.commits_seen)
        held = tuple(
            RecoveredBatch(
                batch.header.author,
                batch.header.seq,
                batch.digest,
                batch.header.prev_digest,
                len(batch.encoded),
                arrival_ms,
            )
            for batch, arrival_ms in node.disk.values()
            if batch.header.seq >= cut[batch.header.author].seq
        )
        own = [batch.header for batch, _ in node.disk.values() if batch.header.author == node.index]
        newest = tuple(LanePosition(header.seq, header.digest) for header in own)
        forked = frozenset(evidence.author for evidence in node.evidence)
        node.lanes = Lanes(
            CHAIN, ValidatorIndex(node.index), BOUNDS, RecoveredLanes(cut, held, forked, own_sealed=newest)
        )
        node.chained = dict(enumerate(cut))
        node.forked = set()
        node.told = set(node.disk)  # the replica recovers these from the disk itself
        self.carry_out(node, node.lanes.start())
        for _, ordered in self.commits[: node.commits_seen]:
            self.need(node, ordered)

    def crash(self, node: Node) -> None:
        """Loses its memory and its links, and starts again."""
        for other in range(COUNT):
            self.disconnect(node.index, other)
        node.unsynced = []
        self.start(node)

    def step(self, node: Node, event: Event) -> None:
        self.carry_out(node, node.lanes.step(event, self.now()))
        self.check_bounds(node)

    def carry_out(self, node: Node, effects: list[Effect]) -> None:  # noqa: C901 - one table
        for effect in effects:
            match effect:
                case CheckBatch():
                    self.check_batch(node, effect)
                case StoreBatch():
                    node.unsynced.append(effect.batch)
                case BatchHeld():
                    self.check_held(node, effect)
                case LaneForked():
                    assert effect.lane == LIAR
                    node.forked.add(effect.lane)
                case PushLane():
                    for peer in effect.peers:
                        self.pump(node, peer)
                case RequestBatch():
                    self.send(node.index, effect.peer, Request(effect.digest))
                case RequestGap():
                    self.send(node.index, effect.author, Gap(effect.from_seq))
                case KeepEvidence():
                    self.check_evidence(node, effect)
                case BlamePeer():
                    node.blamed.add(effect.peer)
                case CountDrop():
                    pass

    def check_batch(self, node: Node, effect: CheckBatch) -> None:
        try:
            effect.batch.check(CHAIN)
        except InvalidObject as error:
            self.step(node, BatchFaulted(effect.peer, effect.asked, error.reason))
        else:
            self.step(node, BatchChecked(effect.peer, effect.batch, effect.asked))

    # what must always hold

    def check_held(self, node: Node, held: BatchHeld) -> None:
        batch, arrival_ms = node.disk[held.digest]  # never before its own sync
        assert (batch.header.author, batch.header.seq, arrival_ms) == (held.lane, held.seq, held.arrival_ms)
        node.told.add(held.digest)
        if not held.chained:
            return
        assert held.lane not in node.forked
        last = max(node.chained[held.lane], node.lanes._lanes[held.lane].committed)
        assert (held.seq, batch.header.prev_digest) == (last.seq + 1, last.digest)
        node.chained[held.lane] = LanePosition(held.seq, held.digest)

    def check_evidence(self, node: Node, evidence: KeepEvidence) -> None:
        first, second = node.disk[evidence.first][0], node.disk[evidence.second][0]
        assert evidence.first != evidence.second
        for batch in (first, second):
            assert (batch.header.author, batch.header.seq) == (evidence.author, evidence.seq) == (LIAR, evidence.seq)
        node.evidence.append(evidence)

    def check_bounds(self, node: Node) -> None:
        for lane in node.lanes._lanes:
            entries = lane.by_digest.values()
            assert lane.byte_count == sum(entry.byte_count for entry in lane.at.values())
            ahead = sum(entry.byte_count for entry in entries if entry.buffered is not None)
            assert lane.ahead_bytes == ahead <= 2 * CHAIN.parameters.batch_bytes_max
            pushed = sum(entry.byte_count for entry in lane.at.values() if not entry.is_needed)
            assert lane.is_own or pushed <= BOUNDS.lane_bytes_max
            assert all(seq > lane.committed.seq for seq in lane.at)
            assert lane.head.seq <= lane.tip.seq
        assert node.lanes._fetches.in_flight_count <= BOUNDS.requests_max
        assert max(node.lanes._fetches._load.values(), default=0) <= BOUNDS.requests_per_peer_max
        assert not node.blamed & set(HONEST)

    # links

    def send(self, source: int, target: int, frame: Frame) -> None:
        queue = self.links.get((source, target))
        if queue is not None:
            queue.append(frame)

    def pump(self, node: Node, peer: int) -> None:
        """The author's side: as much of its lane as the link's queue takes."""
        queue = self.links.get((node.index, peer))
        while queue is not None and (seq := node.lanes.next_to_push(ValidatorIndex(peer))) is not None:
            if sum(isinstance(frame, bytes) for frame in queue) >= LINK_BATCHES_MAX:
                return
            (batch,) = [
                batch for batch, _ in node.disk.values() if (batch.header.author, batch.header.seq) == (node.index, seq)
            ]
            self.batches[batch.digest] = batch
            assert self.left.setdefault((node.index, seq), batch.digest) == batch.digest
            queue.append(batch.encoded)
            node.lanes.push_accepted(ValidatorIndex(peer), seq)

    def connect(self, one: int, other: int) -> None:
        if one == other or (one, other) in self.links:
            return
        self.links[one, other], self.links[other, one] = deque(), deque()
        for source, target in ((one, other), (other, one)):
            if target != LIAR:
                heads = self.nodes[source].lanes.heads() if source != LIAR else (Seq(0),) * COUNT
                self.step(self.nodes[target], LinkOpened(ValidatorIndex(source), heads))

    def connect_all(self) -> None:
        for one in range(COUNT):
            for other in range(one):
                self.connect(one, other)

    def disconnect(self, one: int, other: int) -> None:
        if (one, other) not in self.links:
            return
        del self.links[one, other], self.links[other, one]
        for source, target in ((one, other), (other, one)):
            if target != LIAR:
                self.step(self.nodes[target], LinkClosed(ValidatorIndex(source)))

    def deliver_some(self, choice: int, place: int) -> None:
        """A frame of some link that has one."""
        busy = [ends for ends, queue in self.links.items() if queue]
        if busy:
            self.deliver(*busy[choice % len(busy)], place)

    def deliver(self, source: int, target: int, place: int = 0) -> None:
        """One frame arrives; batches may overtake one another, as checks in threads do."""
        queue = self.links.get((source, target))
        if not queue:
            return
        place %= len(queue)
        frame = queue[place]
        del queue[place]
        if target != LIAR:
            self.receive(self.nodes[target], source, frame)
        elif isinstance(frame, Request):
            self.send(LIAR, source, Answer(frame.digest, None))
        if source != LIAR:
            self.pump(self.nodes[source], target)

    def receive(self, node: Node, source: int, frame: Frame) -> None:
        peer = ValidatorIndex(source)
        match frame:
            case bytes():
                self.step(node, BatchReceived(peer, frame))
            case Gap():
                self.step(node, GapRequested(peer, frame.from_seq))
            case Request():
                held = node.disk.get(frame.digest)
                self.send(node.index, source, Answer(frame.digest, held[0].encoded if held else None))
            case Answer():
                if frame.encoded is None:
                    self.step(node, FetchFailed(peer, frame.digest))
                else:
                    self.step(node, BatchReceived(peer, frame.encoded, frame.digest))

    # authors, disks, the chain

    def seal(self, node: Node) -> None:
        own = node.lanes.own_uncommitted()
        if own < BOUNDS.lane_batches_max:
            seq, prev_digest = node.lanes.own_next()
            salt = len(self.batches) % 256
            self.step(node, OwnBatchSealed(seal(node.index, seq, prev_digest, salt)))

    def sync(self, node: Node, keep: int = 0) -> None:
        """The disk is done with all but the last `keep` writes."""
        done = node.unsynced[: len(node.unsynced) - keep]
        node.unsynced = node.unsynced[len(done) :]
        arrival_ms = self.now().wall_ms
        for batch in done:
            node.disk.setdefault(batch.digest, (batch, arrival_ms))
        self.step(node, BatchesStored(tuple((batch.digest, node.disk[batch.digest][1]) for batch in done)))

    def order(self, lane: int, choice: int) -> None:
        """The chain orders the next batch of a lane: one that some honest node holds and its author has sent."""
        cut = list(self.cut_after(len(self.commits)))
        seq = cut[lane].seq + 1
        known = {batch.digest for node in self.nodes for batch, _ in node.disk.values() if batch.header.seq == seq}
        found = sorted(digest for digest in known if self.batches_of(lane, digest))
        if found:
            digest = found[choice % len(found)]
            cut[lane] = LanePosition(Seq(seq), digest)
            self.commits.append((tuple(cut), (OrderedBatch(ValidatorIndex(lane), Seq(seq), digest, 0),)))

    def batches_of(self, lane: int, digest: Digest) -> bool:
        return digest in self.batches and self.batches[digest].header.author == lane

    def holders(self, digest: Digest) -> tuple[ValidatorIndex, ...]:
        honest = [ValidatorIndex(node.index) for node in self.nodes if digest in node.disk]
        return (*honest, ValidatorIndex(LIAR))

    def need(self, node: Node, ordered: tuple[OrderedBatch, ...]) -> None:
        """What the replica asks for when it lacks what was ordered."""
        lacking = tuple(
            NeededBatch(batch.lane, batch.seq, batch.digest, self.holders(batch.digest))
            for batch in ordered
            if batch.digest not in node.told
        )
        if lacking and not all(batch.digest in node.disk for batch in lacking):
            self.step(node, BatchesNeeded(tuple(batch for batch in lacking if batch.digest not in node.disk)))

    def commit(self, node: Node, *, need_first: bool = False) -> None:
        """The node learns of the next ordered batch."""
        if node.commits_seen < len(self.commits):
            cut, ordered = self.commits[node.commits_seen]
            if need_first:
                self.need(node, ordered)
            node.commits_seen += 1
            self.step(node, Committed(cut, ordered))
            self.need(node, ordered)

    def tick(self, elapsed_ms: float) -> None:
        self.mono_ms += elapsed_ms
        for node in self.nodes:
            wake_ms = node.lanes.next_wake_ms()
            if wake_ms is not None and wake_ms <= self.mono_ms:
                self.step(node, Ticked())

    def settle(self) -> None:
        """Everything works from now on: links, disks, and the chain, of which everybody learns."""
        self.connect_all()
        for _ in range(300):
            for author in HONEST:
                self.order(author, 0)
            for node in self.nodes:
                self.sync(node)
                self.commit(node)
                for peer in range(COUNT):
                    if peer != node.index:
                        self.pump(node, peer)
            for source, target in list(self.links):
                while self.links.get((source, target)):
                    self.deliver(source, target)
            self.tick(30)
            if self.is_settled():
                return
        raise AssertionError("the lanes did not settle")

    def is_settled(self) -> bool:
        if any(node.unsynced or node.commits_seen < len(self.commits) for node in self.nodes):
            return False
        heads = [self.nodes[author].lanes.own_next()[0] - 1 for author in HONEST]
        return (
            not any(self.links.values())
            and all(node.lanes.heads()[:LIAR] == tuple(heads) for node in self.nodes)
            and all(node.lanes.missing_count() == 0 for node in self.nodes)
        )
