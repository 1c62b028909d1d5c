"""Namespace blocks with their bytes and proofs, as a node delivers them, signed by a committee."""

from collections.abc import Sequence

from consensus.merkle import MerkleTree, merkle_root
from consensus.numbers import (
    GENESIS_EPOCH,
    ZERO_HASH,
    BlockId,
    Digest,
    Hash,
    Height,
    Milliseconds,
    NamespaceId,
    NamespaceIndex,
    Seq,
    ValidatorIndex,
)
from consensus.signing import sha256
from consensus.vocabulary.anchor import NO_ANCHOR
from consensus.vocabulary.attestation import Attestation, make_certificate
from consensus.vocabulary.batch import frame_items
from consensus.vocabulary.block import INERT_LEAF, RUN_LEAF, NamespaceBlock, Section, SectionKind, namespace_leaf
from sequencer.client.wire import DeliveredBlock, DeliveredRun, NamespaceProof
from tests.committee import GENESIS_MS, Committee


class DeliveredChain:
    """Grows one height per block; `attest` proves everything up to the newest height."""

    def __init__(self, committee: Committee) -> None:
        self._committee = committee
        self.height = Height(0)
        self.delivered: dict[NamespaceId, list[DeliveredBlock]] = {}

    def add_block(self, namespace: NamespaceId, *runs: Sequence[bytes] | None) -> DeliveredBlock:
        """The namespace's next block, of these runs of transactions; None is an inert run."""
        self.height = Height(self.height + 1)
        earlier = self.delivered.setdefault(namespace, [])
        delivered_runs = tuple(self._run(place, items) for place, items in enumerate(runs))
        leaves = [(RUN_LEAF if run.item_count else INERT_LEAF) + sha256(run.segment) for run in delivered_runs]
        section = Section(
            SectionKind.OPEN,
            sum(run.item_count for run in delivered_runs),
            sum(len(run.segment) for run in delivered_runs),
            merkle_root(leaves),
        )
        block = NamespaceBlock(
            namespace,
            NamespaceIndex(len(earlier)),
            earlier[-1].hash if earlier else ZERO_HASH,
            self.height,
            BlockId(sha256(b"block %d" % self.height)),
            Milliseconds(GENESIS_MS + self.height),
            NO_ANCHOR,
            (section,),
            merkle_root([section.encode()]),
        )
        delivered = DeliveredBlock(block, block.hash(self._committee.chain.domain), delivered_runs)
        earlier.append(delivered)
        return delivered

    def _run(self, place: int, items: Sequence[bytes] | None) -> DeliveredRun:
        segment = b"\xff" * 7 if items is None else frame_items(list(items))
        batch = Digest(Hash(sha256(b"batch %d %d" % (self.height, place))))
        return DeliveredRun(ValidatorIndex(place), Seq(self.height), batch, 0 if items is None else len(items), segment)

    def attest(self, namespace: NamespaceId) -> NamespaceProof:
        """The proof of the namespace's newest block at the newest height."""
        committee, heads = self._committee, sorted(self.delivered)
        tree = MerkleTree.of([self._leaf(head) for head in heads])
        attestation = Attestation(GENESIS_EPOCH, self.height, BlockId(sha256(b"block %d" % self.height)), tree.root)
        digest = attestation.signing_digest(committee.chain.domain)
        shares = {ValidatorIndex(index): key.sign(digest) for index, key in enumerate(committee.bls_keys[:-1])}
        newest = self.delivered[namespace][-1]
        return NamespaceProof(
            make_certificate(attestation, shares, committee.count),
            tree.path(heads.index(namespace)),
            namespace,
            newest.block.index,
            newest.hash,
        )

    def _leaf(self, namespace: NamespaceId) -> bytes:
        newest = self.delivered[namespace][-1]
        return namespace_leaf(namespace, newest.block.index, newest.hash)
