"""Whole nodes of one chain in one process: everything a validator is, but its sockets, threads and real disk.

Responsible for: links that open and close, what travels over them besides consensus messages, and what is checked of
batches, blocks, attestations and receipts while it happens.
Refuses to do: make faults: campaigns and tests do.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable

from consensus.numbers import Digest, Height, Seq, ValidatorIndex
from consensus.replica.effects import CommittedBlock
from consensus.replica.events import PeerConnected
from consensus.replica.state import ReplicaTiming
from consensus.vocabulary.attestation import AttestationCertificate, AttestationShare
from consensus.vocabulary.receipt import Receipt
from sequencer.attesting import events as attesting_events
from sequencer.attesting.effects import RecordEvidence
from sequencer.execution.blocks import ExecutedBlock
from sequencer.lanes.effects import KeepEvidence
from tests.simulation.cluster import Cluster
from tests.simulation.whole.disk import Disks
from tests.simulation.whole.node import WholeNode


class WholeCluster(Cluster):
    """n whole nodes. Use it as a context manager, or call `close`: its segment files lie in memory."""

    make_node = WholeNode
    nodes: list[WholeNode]

    def __init__(
        self,
        stakes: tuple[int, ...] = (1, 1, 1, 1),
        seed: int = 0,
        timing: ReplicaTiming | None = None,
        *,
        segment_bytes: int = 64 * 1024,
        batch_bytes_target: int = 64 * 1024,
    ) -> None:
        self.disks = Disks()
        self.segment_bytes = segment_bytes
        self.batch_bytes_target = batch_bytes_target
        self.batch_sync_ms = 0.3  # mean duration of a synced write of batches
        self.bytes_per_ms: float | None = None  # of each directed link; None: no limit
        self._busy_until: dict[tuple[int, int], float] = defaultdict(float)
        self._open: set[tuple[int, int]] = set()
        self.receipts: list[Receipt] = []
        self.certificates: dict[int, AttestationCertificate] = {}
        self.executed: dict[int, bytes] = {}
        self.holders: dict[Digest, set[int]] = defaultdict(set)  # on whose disks a batch is
        self.sealed: dict[tuple[int, int], Digest] = {}  # (author, seq) of honest lanes
        self.arrivals: dict[Digest, dict[int, int]] = defaultdict(dict)  # when each node had it, by its own clock
        self.lane_forks: set[tuple[int, int]] = set()
        self.serve_batch: dict[int, Callable[[int, Digest], bytes]] = {}  # how Byzantine validators answer
        self.push_lies: dict[int, Callable[[int, int, bytes], bytes | None]] = {}  # what their links carry instead
        self.on_push: Callable[[int, int, bytes], None] | None = None  # an attacker sees every pushed batch
        self._signed_up_to: dict[int, int] = defaultdict(int)
        self._transactions = itertools.count()
        super().__init__(stakes, seed, timing)

    def __enter__(self) -> "WholeCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all nodes."""
        for node in self.nodes:
            node.storage.close()
        self.disks.remove()

    # links

    def _pairs(self, *indices: int) -> list[tuple[int, int]]:
        pairs = itertools.combinations(range(self.count), 2)
        return [pair for pair in pairs if not indices or pair[0] in indices or pair[1] in indices]

    def _is_up(self, index: int) -> bool:
        return self.nodes[index].alive or index in self.byzantine

    def reconnect(self, *indices: int) -> None:
        """Closes and opens every link (of these nodes) that can be open."""
        for one, other in self._pairs(*indices):
            self._close_link(one, other)
            if self._is_up(one) and self._is_up(other) and self.connected(one, other):
                self._open.add((one, other))
                heads = {index: self._heads(index) for index in (one, other)}
                self._link_opened(one, other, heads[other])
                self._link_opened(other, one, heads[one])

    def _heads(self, index: int) -> tuple[Seq, ...]:
        node = self.nodes[index]
        return node.lanes.core.heads() if node.alive else (Seq(0),) * self.count

    def _link_opened(self, index: int, peer: int, heads: tuple[Seq, ...]) -> None:
        node = self.nodes[index]
        if node.alive:
            node.lanes.link_opened(peer, heads)
        if node.alive:
            node.step(PeerConnected(ValidatorIndex(peer)))
        if node.alive:
            node.blocks.handle(attesting_events.PeerConnected(ValidatorIndex(peer)))

    def _close_link(self, one: int, other: int) -> None:
        if (one, other) in self._open:
            self._open.remove((one, other))
            for index, peer in ((one, other), (other, one)):
                if self.nodes[index].alive:
                    self.nodes[index].lanes.link_closed(peer)

    def reset_link(self, one: int, other: int) -> None:
        """The link breaks, and with it what is on its way; it is up again at once."""
        pair = (min(one, other), max(one, other))
        self._close_link(*pair)
        self.after(self.delay(*pair), lambda: self._reopen(*pair))

    def _reopen(self, one: int, other: int) -> None:
        if (one, other) not in self._open and self._is_up(one) and self._is_up(other) and self.connected(one, other):
            self._open.add((one, other))
            heads = {index: self._heads(index) for index in (one, other)}
            self._link_opened(one, other, heads[other])
            self._link_opened(other, one, heads[one])

    def partition(self, *groups: set[int]) -> None:
        super().partition(*groups)
        for one, other in sorted(self._open):
            if not self.connected(one, other):
                self._close_link(one, other)

    def note_crashed(self, index: int) -> None:
        """Its peers notice."""
        for pair in self._pairs(index):
            self._close_link(*pair)

    def size_delay_ms(self, sender: int, receiver: int, size: int) -> float:
        """How long the link is busy before these bytes are through."""
        if self.bytes_per_ms is None:
            return 0.0
        start = max(self.time_ms, self._busy_until[sender, receiver])
        self._busy_until[sender, receiver] = start + size / self.bytes_per_ms
        return self._busy_until[sender, receiver] - self.time_ms

    def carry(self, sender: int, receiver: int, size: int, deliver: Callable[[WholeNode], None]) -> None:
        """Anything but a consensus message or a batch, over a link that is and stays open."""
        pair = (min(sender, receiver), max(sender, receiver))
        node = self.nodes[receiver]

        def arrive() -> None:
            if pair in self._open and node.alive:
                deliver(node)

        if pair in self._open:
            self.after(self.delay(sender, receiver) + self.size_delay_ms(sender, receiver, size), arrive)

    def push(self, author: int, receiver: int, seq: int, encoded: bytes) -> None:
        """A batch on its author's link."""
        if self.on_push is not None:
            self.on_push(author, receiver, encoded)
        lie = self.push_lies.get(author)
        said = lie(receiver, seq, encoded) if lie is not None else encoded
        if said is not None and not self.withholds(author, receiver, seq):
            self.carry(author, receiver, len(said), lambda node: node.receive_batch_frame(author, said))

    def ask_batch(self, asker: int, peer: int, digest: Digest, answer: Callable[[bytes], None]) -> None:
        """A request for a batch and its answer, empty if the peer has none."""

        def back(encoded: bytes) -> None:
            self.carry(peer, asker, len(encoded), lambda _: answer(encoded))

        served = self.serve_batch.get(peer)
        if served is not None:
            self.after(2 * self.delay(asker, peer), lambda: back(served(asker, digest)))
        elif not self._is_up(peer) or self.nodes[peer].alive:
            self.carry(asker, peer, 32, lambda node: back(node.lanes.encoded(digest) or b""))

    def show_share(self, sender: int, receiver: int, share: AttestationShare) -> None:
        """A share of an attestation on a link."""
        self.carry(sender, receiver, 300, lambda node: node.blocks.receive_share(sender, share))

    # clients

    def batch(self, author: int, delays_ms: dict[int, float] | None = None) -> Digest:
        """Submits one transaction. The digest is a name for it: its own id."""
        assert delays_ms is None, "batches travel over links here"
        number = next(self._transactions)
        namespace = self.chain.namespaces[self.random.randrange(len(self.chain.namespaces))].id
        body = b"transaction %d " % number + self.random.randbytes(self.random.choice((8, 200, 2_000)))
        tx_hash = self.nodes[author].submit(namespace, body)
        return Digest(tx_hash) if tx_hash is not None else Digest(self.chain.chain_id)

    def draw_batch_sync_ms(self) -> float:
        return self.random.uniform(0, 2 * self.batch_sync_ms)

    def promised(self) -> set[Digest]:
        """The batches that receipts name."""
        return {receipt.batch for receipt in self.receipts}

    # what happens, and what must hold then

    def note_stored(self, index: int, lane: int, digest: Digest) -> None:
        self.holders[digest].add(index)
        if index == lane and digest not in self.lanes[lane]:
            self.lanes[lane].append(digest)

    def note_held(self, index: int, digest: Digest, arrival_ms: int | None = None) -> None:
        """A batch is held, as of now or of the time that is stored with it."""
        if arrival_ms is None:
            arrival_ms = self.nodes[index].now().wall_ms
        self.arrivals[digest].setdefault(index, arrival_ms)

    def note_receipt(self, receipt: Receipt) -> None:
        if receipt.lane in self.byzantine:
            return
        place = (receipt.lane, receipt.seq)
        assert self.sealed.setdefault(place, receipt.batch) == receipt.batch, f"two batches are receipted at {place}"
        self.receipts.append(receipt)

    def note_lane_fork(self, index: int, found: KeepEvidence) -> None:
        assert found.author in self.byzantine, f"node {index} has evidence E7 against honest {found.author}"
        self.lane_forks.add((found.author, found.seq))

    def note_two_attestations(self, found: RecordEvidence) -> None:
        assert found.first.validator in self.byzantine, f"evidence E6 against honest {found.first.validator}"

    def note_committed(self, index: int, block: CommittedBlock) -> None:
        is_new = block.tip.header.height > len(self.blocks)
        super().note_committed(index, block)
        if is_new:
            for batch in block.batches:
                honest = self.holders[batch.digest] - self.byzantine
                assert honest, f"no honest validator holds batch {batch.seq} of lane {batch.lane}"

    def note_executed(self, index: int, block: ExecutedBlock) -> None:
        encoded = block.encode()
        known = self.executed.setdefault(block.height, encoded)
        assert encoded == known, f"node {index} executes height {block.height} otherwise"

    def note_certified(self, index: int, certificate: AttestationCertificate) -> None:
        attestation = certificate.attestation
        known = self.certificates.setdefault(attestation.height, certificate)
        assert known.attestation == attestation, f"two attestations of height {attestation.height}"
        for signer in certificate.signers:
            if signer not in self.byzantine:
                self._check_signer(signer, attestation.height)

    def _check_signer(self, signer: int, height: int) -> None:
        """Attested means synced: an honest signer's disk has every byte up to the height."""
        for block in self.blocks[self._signed_up_to[signer] : height]:
            for batch in block.batches:
                assert signer in self.holders[batch.digest], f"signer {signer} of height {height} lacks its bytes"
        self._signed_up_to[signer] = max(self._signed_up_to[signer], height)

    def check(self) -> None:
        super().check()
        ordered: dict[tuple[int, int], Digest] = {
            (batch.lane, batch.seq): batch.digest for block in self.blocks for batch in block.batches
        }
        for place, digest in self.sealed.items():
            assert ordered.get(place, digest) == digest, f"the batch receipted at {place} is ordered otherwise"

    def await_receipt(self, tx_hash: Digest) -> set[Digest]:
        """Runs until a transaction has its receipt; returns the batch that this names."""

        def found() -> set[Digest]:
            return {receipt.batch for receipt in self.receipts for item in receipt.items if bytes(item.hash) == tx_hash}

        self.run_until(lambda: bool(found()), limit_ms=2_000)
        return found()

    def await_everything(self, height: int, limit_ms: float) -> None:
        """Runs until every honest node has executed up to `height`, and what of it holds data is attested."""
        self.run_until(lambda: all(node.blocks.state.height >= height for node in self.honest), limit_ms)
        last = max((block.tip.header.height for block in self.blocks[:height] if block.batches), default=0)
        self.run_until(lambda: all(node.blocks.core.certified_height >= last for node in self.honest), limit_ms)

    @property
    def honest(self) -> list[WholeNode]:  # type: ignore[override]
        return [node for node in self.nodes if node.index not in self.byzantine]

    def attested_height(self) -> Height:
        return Height(max(self.certificates, default=0))

    def arrivals_by_digest(self) -> dict[Digest, dict[int, int]]:
        return self.arrivals

    def forked_lanes(self) -> set[int]:
        return {author for author, _ in self.lane_forks}
