"""Authors that misuse their lane; for whole nodes, where batches have bytes."""

from consensus.numbers import GENESIS_EPOCH, Digest, NamespaceId, Seq
from consensus.signing import sha256
from consensus.vocabulary.batch import KIND_OPEN, Batch, BatchHeader, SegmentEntry, frame_items, seal_batch
from tests.simulation.attackers.attacker import Attacker
from tests.simulation.keys import node_key
from tests.simulation.whole.cluster import WholeCluster

JUNK_BYTES = 4_000


class _Author(Attacker):
    """Decides what each other validator gets of its lane."""

    needs_whole_nodes = True
    cluster: WholeCluster

    def begin(self) -> None:
        self.cluster.push_lies[self.member] = self.pushed

    def pushed(self, receiver: int, seq: int, encoded: bytes) -> bytes | None:
        """The bytes that go to `receiver`; None for none."""
        return encoded

    def on_view(self, view: int) -> None:
        """Its lane has something in it."""
        self.cluster.batch(self.member)

    def batch_beside(self, batch: Batch, label: bytes) -> Batch:
        """Another one of the same author and seq."""
        header = batch.header
        segment = frame_items([b"beside " + label])
        namespace = NamespaceId(self.cluster.chain.namespaces[0].id)
        entry = SegmentEntry(namespace, KIND_OPEN, 1, len(segment), sha256(segment))
        other = BatchHeader(header.epoch, header.author, header.seq, header.prev_digest, header.created_ms, (entry,))
        return seal_batch(self.cluster.chain, node_key(self.member), other, [segment])

    def decoded(self, encoded: bytes) -> Batch:
        return Batch.decode(encoded, self.cluster.chain.parameters.batch_bytes_max)


class LaneEquivocator(_Author):
    """Makes two batches of one seq and shows each to some."""

    def pushed(self, receiver: int, seq: int, encoded: bytes) -> bytes | None:
        if (seq + receiver) % 2 or seq % 3 == 0:
            return encoded
        return self.batch_beside(self.decoded(encoded), b"%d" % (receiver % 3)).encoded


class BatchWithholder(_Author):
    """Gives its batches to as few as may make them ordered, and answers nobody who asks for them, or with rubbish."""

    def begin(self) -> None:
        super().begin()
        self.cluster.serve_batch[self.member] = self._serve
        self._given_to = set(self.some())

    def pushed(self, receiver: int, seq: int, encoded: bytes) -> bytes | None:
        return encoded if receiver in self._given_to else None

    def _serve(self, asker: int, digest: Digest) -> bytes:
        return self.random.choice((b"", b"", b"rubbish", bytes(200)))


class LaneFlooder(_Author):
    """Fills its lane with junk, and the links with batches that do not chain, are too far ahead or do not decode."""

    def on_tick(self, view: int) -> None:
        node = self.cluster.nodes[self.member]
        namespace = self.cluster.chain.namespaces[0].id
        for _ in range(self.random.choice((0, 0, 1, 4))):
            node.submit(namespace, self.random.randbytes(JUNK_BYTES))
        if self.random.random() < 0.1:
            for receiver in self.some():
                self.cluster.carry(self.member, receiver, JUNK_BYTES, lambda peer: self._flood(peer.index))

    def _flood(self, receiver: int) -> None:
        self.cluster.nodes[receiver].receive_batch_frame(self.member, self._junk())

    def _junk(self) -> bytes:
        rng = self.random
        if rng.random() < 0.3:
            return rng.randbytes(rng.randrange(400))
        segment = frame_items([rng.randbytes(64)])
        entry = SegmentEntry(
            NamespaceId(rng.choice((0, 7, 2**63))), rng.randrange(256), 1, len(segment), sha256(segment)
        )
        header = BatchHeader(
            GENESIS_EPOCH,
            self.member,
            Seq(rng.choice((1, 2, 40, 2**40))),
            Digest(sha256(b"nothing")),
            self.cluster.nodes[self.honest[0]].now().wall_ms,
            (entry,),
        )
        return seal_batch(self.cluster.chain, node_key(self.member), header, [segment]).encoded
