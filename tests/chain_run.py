"""A chain run by the real executor and attested by a committee, and what a node answers about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from consensus.numbers import Digest, Height, NamespaceId, ValidatorIndex
from consensus.vocabulary.anchor import NO_ANCHOR, Anchor
from consensus.vocabulary.attestation import Attestation, AttestationCertificate, make_certificate
from consensus.vocabulary.batch import Batch
from consensus.vocabulary.tip import Tip
from sequencer.client.wire import DeliveredBlock, DeliveredRun, NamespaceProof
from sequencer.execution.blocks import ExecutedBlock, ExecutedNamespace
from sequencer.execution.execute import Execution, Executor
from sequencer.execution.namespaces import leaves_at
from sequencer.execution.state import ExecutionState
from tests.committee import FIRST, Committee, LaneWriter, Segment, TipBuilder


@dataclass
class ChainRun:
    """Executes tip after tip and keeps what a node would store."""

    committee: Committee
    batches: dict[Digest, Batch] = field(default_factory=dict)
    records: dict[int, bytes] = field(default_factory=dict)
    attestations: dict[int, Attestation] = field(default_factory=dict)
    executed: dict[NamespaceId, list[ExecutedNamespace]] = field(default_factory=dict)
    results: list[Execution] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.executor = Executor(self.committee.chain)
        self.state: ExecutionState = self.executor.start()
        self.tips = TipBuilder(self.committee)
        self.lanes = [LaneWriter(self.committee, author) for author in range(self.committee.count)]

    def seal(self, lane: int, *segments: Segment) -> Batch:
        """A further batch of a lane."""
        return self.lanes[lane].seal(*segments)

    def data(self, lane: int, *items: bytes, namespace: NamespaceId = FIRST) -> dict[int, list[Batch]]:
        """A further batch of a lane with one segment, as `block` takes it."""
        return {lane: [self.seal(lane, Segment(namespace, items))]}

    def block(
        self, ts_ms: int, batches: Mapping[int, Sequence[Batch]] | None = None, anchor: Anchor = NO_ANCHOR
    ) -> ExecutedBlock:
        """Executes the next block, at `ts_ms` after the genesis."""
        for added in (batches or {}).values():
            self.batches.update((batch.digest, batch) for batch in added)
        return self.execute(self.tips.tip(ts_ms, batches, anchor)).block

    def execute(self, tip: Tip) -> Execution:
        """Executes a tip and stores the result."""
        done = self.executor.execute(self.state, self.executor.order(self.state, tip), self.batches)
        self.state = done.state
        self.results.append(done)
        for namespace in done.block.namespaces:
            self.executed.setdefault(namespace.block.namespace, []).append(namespace)
        if done.block.attestation is not None:
            height = done.block.attestation.height
            assert done.record is not None
            self.attestations[height] = done.block.attestation
            self.records[height] = done.record.encode()
        return done

    def certificate(self, height: int, signers: Sequence[int] = (0, 1, 2)) -> AttestationCertificate:
        """The certificate of an attested height."""
        attestation = self.attestations[height]
        digest = attestation.signing_digest(self.committee.chain.domain)
        shares = {ValidatorIndex(index): self.committee.bls_keys[index].sign(digest) for index in signers}
        return make_certificate(attestation, shares, self.committee.count)

    def proof(self, height: int, namespace: NamespaceId = FIRST) -> NamespaceProof:
        """The proof of a namespace at an attested height, answered from the stored records."""
        heads = leaves_at(Height(height), self.records.get)
        head, path = heads.head(namespace), heads.path(namespace)
        assert head is not None
        assert path is not None
        return NamespaceProof(self.certificate(height), path, namespace, head.index, head.hash)

    def delivered(self, index: int, namespace: NamespaceId = FIRST) -> DeliveredBlock:
        """A namespace block with its bytes, read from where the runs say they are."""
        executed = self.executed[namespace][index]
        runs = tuple(
            DeliveredRun(
                run.lane,
                run.seq,
                run.digest,
                run.item_count,
                self.batches[run.digest].encoded[run.offset : run.offset + run.byte_count],
            )
            for run in executed.runs
        )
        return DeliveredBlock(executed.block, executed.hash, runs)
