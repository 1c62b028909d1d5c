"""Replicas of one chain in one process, on virtual time, from one seed.

Real: the replica core, its encodings, keys and signatures. Simulated: links with delays, clocks, disks, and lanes (a
batch is a digest that validators hold from some moment on; its author streams it again over a reopened link).
"""

import hashlib
import heapq
import itertools
import random
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from consensus import signing
from consensus.encoding import decode_whole
from consensus.evidence.check import Offence, check_proof
from consensus.evidence.detector import Detector
from consensus.evidence.proofs import Proof, decode_proof, encode_proof
from consensus.genesis import Genesis
from consensus.numbers import BlockId, Digest, ValidatorIndex
from consensus.replica.effects import Commit, CommittedBlock, Effect, Message
from consensus.replica.events import PeerConnected
from consensus.replica.state import ReplicaTiming, received
from consensus.vocabulary.certificates import QC
from consensus.vocabulary.messages import Vote
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip
from tests.simulation.keys import make_genesis
from tests.simulation.node import Disk, Node
from tests.simulation.watcher import Watcher

Page = tuple[Tip, ...]
DECODED_OF = 8  # one of so many messages of honest validators is decoded from its bytes
AT_ONE_TIME_MAX = 100_000  # things that happen at one moment of virtual time
SYNC_MS = 0.3  # from a batch's arrival to the return of its sync


@dataclass
class Sent:
    """A message on its way, for filters and traces."""

    sender: int
    receiver: int
    message: Message


Lie = Callable[[Sent], Iterable[tuple[float, Message]]]  # (delay in ms, message) for each that is sent instead


@dataclass(frozen=True)
class Confirmation:
    """A node's word that a block is ordered."""

    node: int
    view: int
    height: int
    tip_id: BlockId


class Cluster:
    """n nodes, links between them, virtual time in ms."""

    make_node: type = Node

    def __init__(
        self, stakes: tuple[int, ...] = (1, 1, 1, 1), seed: int = 0, timing: ReplicaTiming | None = None
    ) -> None:
        self.chain: Genesis = make_genesis(stakes)
        self.count = len(stakes)
        self.random = random.Random(seed)
        self.timing = timing or ReplicaTiming()
        self.time_ms = 0.0
        self._at_this_time = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.nodes = [self.make_node(self, index) for index in range(self.count)]
        self.byzantine: set[int] = set()  # their nodes never start, unless possessed; an attacker speaks for them
        self.possessed: set[int] = set()  # Byzantine ones whose node runs, with lies
        self.lies: dict[int, Lie] = {}  # what becomes of a message that a possessed node sends
        self.twins: list[Node] = []  # second nodes with the key of a Byzantine validator
        self.has_forks = False  # with a third of the stake Byzantine, forks are noted and no failure
        self.may_fork = False
        self.latency_ms = (0.5, 1.5)
        self.sync_ms = 0.0  # mean duration of a synced write; the core steps on meanwhile
        self.drops: Callable[[Sent], bool] = lambda sent: False
        self.copies: Callable[[Sent], int] = lambda sent: 1  # how often a message arrives
        self.answers: Callable[[int, Page], tuple[float, Page]] = lambda peer, tips: (0.0, tips)  # how late, and what
        self.extra_delay_ms: Callable[[Sent], float] = lambda sent: 0.0
        self.withholds: Callable[[int, int, int], bool] = lambda author, receiver, seq: False
        self.before_effect: Callable[[Node, Effect], bool] | None = None
        self.observers: list[Callable[[Node, Effect], None]] = []
        self.on_transmit: Callable[[Sent], None] | None = None  # an attacker that sees every message
        self.groups: tuple[frozenset[int], ...] | None = None  # of a partition; None: all are connected
        self.watcher = Watcher(self.leader, self.chain.validator_set.is_quorum)
        self.detector = Detector(self.chain)  # the product's own, fed with everything that anybody says
        self.offences: list[Offence] = []
        self.blocks: list[CommittedBlock] = []  # the one chain, by height from 1
        self.ordered_set: set[Digest] = set()
        self.confirmations: set[Confirmation] = set()
        self.lanes: list[list[Digest]] = [[] for _ in stakes]

    # what the chain says

    @property
    def chain_ids(self) -> list[BlockId]:
        """Ids of the committed blocks, by height from 1."""
        return [block.tip.id for block in self.blocks]

    @property
    def ordered(self) -> list[Digest]:
        """Digests of the committed batches in their order."""
        return [batch.digest for block in self.blocks for batch in block.batches]

    @property
    def honest(self) -> list[Node]:
        """Everybody but the Byzantine."""
        return [node for node in self.nodes if node.index not in self.byzantine]

    def leader(self, view: int) -> ValidatorIndex:
        return self.chain.validator_set.leader(view)  # type: ignore[arg-type]

    # time

    def at(self, time_ms: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (max(time_ms, self.time_ms), next(self._numbers), action))

    def after(self, delay_ms: float, action: Callable[[], None]) -> None:
        self.at(self.time_ms + delay_ms, action)

    def run(self, duration_ms: float) -> None:
        """Lets virtual time pass."""
        end = self.time_ms + duration_ms
        while self._queue and self._queue[0][0] <= end:
            self._do_next()
        self.time_ms = end

    def run_until(self, condition: Callable[[], bool], limit_ms: float = 60_000) -> None:
        """Runs until `condition` holds; fails if it does not within `limit_ms`."""
        end = self.time_ms + limit_ms
        while not condition():
            if not self._queue or self._queue[0][0] > end:
                raise AssertionError(f"not reached within {limit_ms} ms of virtual time: {self.summary()}")
            self._do_next()

    def _do_next(self) -> None:
        time_ms, _, action = heapq.heappop(self._queue)
        self._at_this_time = self._at_this_time + 1 if time_ms == self.time_ms else 0
        assert self._at_this_time < AT_ONE_TIME_MAX, (
            "time stands still: something wakes itself at once, again and again"
        )
        self.time_ms = time_ms
        action()

    # links

    def delay(self, sender: int, receiver: int) -> float:
        return self.random.uniform(*self.latency_ms)

    def connected(self, one: int, other: int) -> bool:
        return self.groups is None or any(one in group and other in group for group in self.groups)

    def transmit(self, node: Node, receiver: int, message: Message) -> None:
        """What a node sends to a validator; a possessed one may say something else, or later, or nothing."""
        lie = self.lies.get(node.index)
        if lie is None:
            self._transmit(node, receiver, message)
            return
        for delay_ms, said in lie(Sent(node.index, receiver, message)):
            self.after(delay_ms, partial(self._transmit, node, receiver, said))

    def witness(self, message: Message) -> None:
        """The detector sees a message; what it proves is checked by its judge, and convicts nobody honest."""
        for proof in self.detector.see(message):
            self.note_proof(proof)

    def note_proof(self, proof: Proof) -> None:
        offence = check_proof(decode_proof(encode_proof(proof), self.count), self.chain)
        assert offence.validator in self.byzantine, f"evidence against an honest validator: {offence}"
        self.offences.append(offence)

    def _transmit(self, node: Node, receiver: int, message: Message) -> None:
        sender = node.index
        sent = Sent(sender, receiver, message)
        self.watcher.see(sender, message)
        self.witness(message)
        if self.on_transmit is not None:
            self.on_transmit(sent)
        targets = [target for target in self.instances(receiver) if self.connected(node.instance, target.instance)]
        if not targets or self.drops(sent):
            return
        event = received(sender, self._as_received(sender, message))
        busy_ms = self.size_delay_ms(sender, receiver, len(message.encoded)) + self.extra_delay_ms(sent)
        for _ in range(self.copies(sent)):
            for target in targets:
                self.after(self.delay(sender, receiver) + busy_ms, partial(target.step, event))

    def _as_received(self, sender: int, message: Message) -> Message:
        """What a Byzantine validator says is decoded from its bytes. What the product says is for one in eight: it is
        the same value, as every such decoding asserts, and decoding is much of a schedule's cost.
        """
        if sender in self.byzantine or zlib.crc32(message.encoded) % DECODED_OF == 0:
            return reencode(message, self.count)
        return message

    def instances(self, index: int) -> list[Node]:
        """The node of a validator, and its twin if it has one."""
        return [self.nodes[index], *(twin for twin in self.twins if twin.index == index)]

    def add_twin(self, index: int) -> Node:
        """A second node with the key of a possessed validator; it has a disk of its own. Partitions name it by
        `instance`.
        """
        assert index in self.possessed
        twin: Node = self.make_node(self, index)
        twin.instance = self.count + len(self.twins)
        self.twins.append(twin)
        return twin

    def size_delay_ms(self, sender: int, receiver: int, size: int) -> float:
        """How long the link is busy until these bytes are through."""
        return 0.0

    def partition(self, *groups: set[int]) -> None:
        """From now on only members of one group reach each other."""
        self.groups = tuple(frozenset(group) for group in groups)

    def heal(self) -> None:
        """Ends a partition; links reopen."""
        self.groups = None
        self.reconnect()

    def reconnect(self, *indices: int) -> None:
        """Tells both ends of every link (of these nodes) that it opened; authors stream their lanes from there."""
        for one, other in itertools.permutations([*self.nodes, *self.twins], 2):
            if (indices and one.index not in indices and other.index not in indices) or one.index == other.index:
                continue
            if one.alive and other.alive and self.connected(one.instance, other.instance):
                one.step(PeerConnected(other.index))
                self._stream(one.index, other)

    def reset_link(self, one: int, other: int) -> None:
        """The link breaks and is up again at once."""
        self.reconnect(one, other)

    # nodes

    def start(self, *indices: int) -> None:
        mute = self.byzantine - self.possessed
        started = [index for index in indices or range(self.count) if index not in mute]
        for index in started:
            for node in self.instances(index):
                if not node.alive:
                    node.start()
        self.reconnect(*started)

    def crash(self, *indices: int) -> None:
        for index in indices:
            self.nodes[index].crash()

    # lanes

    def batch(self, author: int, delays_ms: dict[int, float] | None = None) -> Digest:
        """The author seals and syncs a batch; each validator gets it after its delay (default: a link's)."""
        lane = self.lanes[author]
        seq = len(lane) + 1
        digest = Digest(hashlib.sha256(b"batch %d %d" % (author, seq)).digest())
        lane.append(digest)
        self.nodes[author].receive_batch(author, seq, digest)
        for receiver in range(self.count):
            if receiver != author:
                delay_ms = (delays_ms or {}).get(receiver, self.delay(author, receiver))
                for node in self.instances(receiver):
                    self._push(author, node, seq, delay_ms)
        return digest

    def _stream(self, author: int, receiver: Node) -> None:
        for seq in range(receiver.heads[author] + 1, len(self.lanes[author]) + 1):
            self._push(author, receiver, seq, self.delay(author, receiver.index))

    def _push(self, author: int, receiver: Node, seq: int, delay_ms: float) -> None:
        if not self.connected(author, receiver.instance) or self.withholds(author, receiver.index, seq):
            return
        digest = self.lanes[author][seq - 1]
        self.after(delay_ms + SYNC_MS, lambda: receiver.receive_batch(author, seq, digest))

    # checks

    def note_committed(self, index: int, block: CommittedBlock) -> None:
        """One committed chain: every node commits the same block at a height, with the same batches."""
        height = block.tip.header.height
        if height <= len(self.blocks):
            known = self.blocks[height - 1]
            if self.may_fork and known.tip.id != block.tip.id:
                self.has_forks = True
                return
            assert known.tip.id == block.tip.id, f"FORK at height {height} by node {index}"
            assert known.batches == block.batches, f"node {index} orders height {height} otherwise"
            return
        assert height == len(self.blocks) + 1
        self.blocks.append(block)
        self.ordered_set.update(batch.digest for batch in block.batches)

    def check_commit_proof(self, commit: Commit) -> None:
        """What a light client is shown: two QCs of consecutive views, the second for a child of the last block."""
        last, first, second = commit.blocks[-1].tip, commit.certificate, commit.child_certificate
        for qc in (first, second):
            digest = qc.body.signing_digest(self.chain.domain)
            assert self.chain.validator_set.is_quorum(set(qc.signers)), "a commit proof lacks a quorum"
            for signer, signature in zip(qc.signers, qc.signatures, strict=True):
                key = self.chain.validator_set.node_public_key(signer)
                assert signing.is_signature(key, digest, signature), "a commit proof has a bad signature"
        assert first.body.block_id == last.id, "a commit proof certifies another block"
        assert second.view == first.view + 1, "a commit proof's views are not consecutive"
        assert second.body.justify_view == first.view, "a commit proof's child is another block's"
        assert second.body.height == first.body.height + 1, "a commit proof's child has another height"

    def note_confirmed(self, index: int, tip: Tip, qc: QC) -> None:
        self.confirmations.add(Confirmation(index, qc.view, tip.header.height, tip.id))

    def check(self) -> None:
        """One chain; nobody honest is called faulty or can be convicted; no fresh QC is reversed."""
        chain_ids = self.chain_ids
        for node in self.honest:
            assert node.committed == chain_ids[: len(node.committed)], f"node {node.index} has another chain"
            faults = [fault for fault in node.faults if fault[0] not in self.byzantine]
            assert not faults, f"node {node.index} blames {faults}"
        self.watcher.check({node.index for node in self.honest})
        for view, block_ids in self.watcher.certified.items():
            assert len(block_ids) == 1, f"two QCs in view {view}"
        cheaters = {(item.validator, item.view) for item in self.watcher.convictions() if item.rule in ("E1", "E2")}
        for confirmed in self.confirmations:
            is_reversed = confirmed.height <= len(chain_ids) and chain_ids[confirmed.height - 1] != confirmed.tip_id
            if is_reversed:
                culprit = (self.leader(confirmed.view), confirmed.view)
                assert culprit in cheaters, f"the fresh QC of view {confirmed.view} was reversed"
        assert len(self.ordered) == len(set(self.ordered)), "a batch was ordered twice"

    def arrivals_by_digest(self) -> dict[Digest, dict[int, int]]:
        """When each validator had each batch, by its own clock."""
        found: dict[Digest, dict[int, int]] = {}
        for node in self.nodes:
            for (_, _, digest), (arrival_ms, _) in node.disk.held.items():
                found.setdefault(digest, {})[node.index] = arrival_ms
        return found

    def forked_lanes(self) -> set[int]:
        """Lanes whose author made two batches of one seq."""
        return set()

    def summary(self) -> str:
        return "; ".join(
            f"node {node.index}: view {node.replica.state.view} height {len(node.committed)}"
            if node.replica
            else f"node {node.index}: down"
            for node in self.nodes
        )


def reencode(message: Message, count: int) -> Message:
    """The message as a peer decodes it."""
    kind: Any = type(message)
    return _decode(kind, message.encoded, count)


@lru_cache(maxsize=8_192)
def _decode(kind: Any, raw: bytes, count: int) -> Any:
    """Every receiver decodes the same bytes to the same value: done once."""
    is_sized = kind not in (Vote, LaneReport)
    decoded = decode_whole(raw, lambda reader: kind.decode(reader, count) if is_sized else kind.decode(reader))
    assert decoded.encoded == raw
    return decoded


__all__ = ["Cluster", "Confirmation", "Disk", "Node", "Sent", "reencode"]
