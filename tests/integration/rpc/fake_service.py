"""A node's service in memory: real keys, receipts and blocks, no consensus. Plain attributes set its behaviour."""

from collections.abc import Sequence
from typing import Literal

import trio

from consensus.numbers import (
    GENESIS_EPOCH,
    ZERO_HASH,
    BlockId,
    Digest,
    Epoch,
    Hash,
    Height,
    Milliseconds,
    NamespaceId,
    NamespaceIndex,
    Seq,
    ValidatorIndex,
    View,
)
from consensus.validators import ValidatorSet
from consensus.vocabulary.anchor import NO_ANCHOR
from consensus.vocabulary.attestation import AttestationCertificate
from consensus.vocabulary.batch import KIND_OPEN, Items, transaction_id
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from sequencer.client.chain_view import CheckpointView
from sequencer.client.evidence_views import EvidenceView
from sequencer.client.l1_views import BatchName, L1BatchView
from sequencer.client.namespace_views import NamespaceLoad, NamespaceView
from sequencer.client.status import LanePlace, Status, TransactionStatus
from sequencer.client.submission import Refused, SubmitOutcome, refused_item
from sequencer.client.views import BlockName, BlockView, HealthCheck, PeerView, SyncStatus
from sequencer.client.wire import DeliveredBlock, DeliveredRun, NamespaceProof
from sequencer.rpc.errors import RequestRefused
from sequencer.rpc.news import Listener
from sequencer.rpc.service import NamespaceBlockPart
from tests.committee import GENESIS_MS, Committee

LOAD = NamespaceLoad(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, {"quota": 11})


class FakeService:
    """Implements `sequencer.rpc.service.Service`."""

    def __init__(self, committee: Committee) -> None:
        self.committee = committee
        self.chain = committee.chain
        self.offences: list[EvidenceView] = []
        self.room = 1_000_000  # transactions taken before the queue is full
        self.full = "full"  # why nothing is taken when there is no room
        self.clients: list[str] = []  # who handed something in
        self.accepting = True
        self.is_validator = True
        self.failure: Exception | None = None
        self.not_ready: list[str] = []
        self.checks = [HealthCheck("storage", True, "synced 3 ms ago")]
        self.submitted: list[tuple[NamespaceId, bytes]] = []
        self.statuses: dict[Hash, TransactionStatus] = {}
        self.delivered: dict[NamespaceId, list[DeliveredBlock]] = {}
        self.proofs: list[NamespaceProof] = []  # rising height
        self.blocks: dict[int | str, BlockView] = {}
        self.l1: list[L1BatchView] = []
        self.payloads: dict[int, bytes] = {}
        self.submitting = trio.Event()  # set when a submission has been admitted
        self.sealed = trio.Event()  # submissions return once it is set
        self.sealed.set()
        self.heights = (9, 8, 8, 7, 9)  # ordered, final, executed, attested, target
        self.listener: Listener | None = None
        self._known: dict[Hash, Receipt] = {}
        self._seq = 0

    def is_namespace(self, namespace: NamespaceId) -> bool:
        return namespace in self.chain.namespace_ids()

    def newest_index(self, namespace: NamespaceId) -> NamespaceIndex | None:
        count = len(self.delivered.get(namespace, []))
        return NamespaceIndex(count - 1) if count else None

    def listen(self, listener: Listener) -> None:
        self.listener = listener

    async def submit(self, namespace: NamespaceId, items: Items, client: str = "") -> SubmitOutcome:
        self.clients.append(client)
        if self.failure is not None:
            raise self.failure
        if not self.accepting:
            raise RequestRefused("not_accepting", retry_after_ms=2_000)
        if not self.is_validator:
            raise RequestRefused("not_validator")
        if self.room == 0:
            raise RequestRefused(self.full, retry_after_ms=1_500)
        hashes = tuple(transaction_id(namespace, KIND_OPEN, item) for item in items)
        refused: list[Refused] = []
        taken: list[ReceiptItem] = []
        for place, (item, hash) in enumerate(zip(items, hashes, strict=True)):
            if not item:
                refused.append(refused_item(place, "empty"))
            elif len(item) > self.chain.parameters.tx_bytes_max:
                refused.append(refused_item(place, "oversized"))
            elif hash in self._known:
                refused.append(refused_item(place, "known", first_receipt=self._known[hash]))
            elif self.room == 0:
                refused.append(refused_item(place, "full", retry_after_ms=1_500))
            else:
                self.room -= 1
                self.submitted.append((namespace, item))
                taken.append(ReceiptItem(namespace, KIND_OPEN, hash, len(taken)))
        receipts: tuple[Receipt, ...] = (self._receipt(tuple(taken)),) if taken else ()
        for entry in taken:
            self._known[entry.hash] = receipts[0]
            self.statuses[entry.hash] = TransactionStatus(
                entry.hash, Status.RECEIVED, namespace=entry.namespace, receipt=receipts[0]
            )
        self.submitting.set()
        await self.sealed.wait()
        return SubmitOutcome(hashes, receipts, tuple(refused))

    def _receipt(self, items: tuple[ReceiptItem, ...]) -> Receipt:
        self._seq += 1
        receipt = Receipt(
            self.chain.chain_id,
            GENESIS_EPOCH,
            ValidatorIndex(0),
            Seq(self._seq),
            Digest(Hash(self._seq.to_bytes(32, "big"))),
            Milliseconds(GENESIS_MS + self._seq),
            items,
        )
        return receipt.sign(self.chain, self.committee.node_keys[0])

    def status(self, hash: Hash, place: LanePlace | None = None) -> TransactionStatus:
        if self.failure is not None:
            raise self.failure
        return self.statuses.get(hash, TransactionStatus(hash, Status.UNKNOWN))

    async def wait(
        self, hash: Hash, status: Status, timeout_ms: int, place: LanePlace | None = None
    ) -> TransactionStatus:
        found = self.status(hash, place)
        if not (found.has_reached(status) or found.has_ended):
            await trio.sleep(timeout_ms / 1000)
        return self.status(hash, place)

    async def block(self, which: Height | BlockName) -> BlockView | None:
        return self.blocks.get(which)

    async def namespace_blocks(
        self, namespace: NamespaceId, from_index: NamespaceIndex, count: int, first_run: int, bytes_max: int
    ) -> Sequence[NamespaceBlockPart]:
        parts: list[NamespaceBlockPart] = []
        left = bytes_max
        for whole in self.delivered.get(namespace, [])[from_index : from_index + count]:
            runs: list[DeliveredRun] = []
            for run in whole.runs[first_run:]:
                if len(run.segment) > left and (parts or runs):
                    break
                left -= len(run.segment)
                runs.append(run)
            if runs:
                part = DeliveredBlock(whole.block, whole.hash, tuple(runs))
                parts.append(NamespaceBlockPart(part, first_run, len(whole.runs)))
            if first_run + len(runs) < len(whole.runs):
                break
            first_run = 0
        return parts

    async def namespace_proof(
        self, namespace: NamespaceId, which: Height | Literal["attested"]
    ) -> NamespaceProof | None:
        found = [proof for proof in self.proofs if proof.namespace == namespace]
        if which == "attested":
            return found[-1] if found else None
        return next((proof for proof in found if proof.certificate.attestation.height >= which), None)

    def attestation(self, which: Height | Literal["attested"]) -> AttestationCertificate | None:
        found = [proof.certificate for proof in self.proofs]
        if which == "attested":
            return found[-1] if found else None
        return next((certificate for certificate in found if certificate.attestation.height >= which), None)

    def l1_batch(self, which: int | BatchName) -> L1BatchView | None:
        if isinstance(which, int):
            return next((batch for batch in self.l1 if batch.index == which), None)
        found = [batch for batch in self.l1 if which == "posted" or batch.status is Status.SETTLED]
        return found[-1] if found else None

    def l1_batches(self, from_index: int, count: int) -> Sequence[L1BatchView]:
        return [batch for batch in self.l1 if batch.index >= from_index][:count]

    async def held_payload(self, index: int) -> bytes | None:
        return self.payloads.get(index)

    async def evidence(self, after: bytes, count: int) -> Sequence[EvidenceView]:
        return [found for found in self.offences if found.offence.encode() > after][:count]

    async def checkpoint(self) -> CheckpointView | None:
        return CheckpointView(Height(7), BlockId(Hash(bytes(32))), b"unverified")

    async def evidence_of(self, offence: bytes) -> EvidenceView | None:
        return next((found for found in self.offences if found.offence.encode() == offence), None)

    def validators(self, epoch: Epoch) -> ValidatorSet | None:
        return self.chain.validator_set if epoch == 0 else None

    async def namespaces(self, from_id: NamespaceId, count: int) -> Sequence[NamespaceView]:
        found = [
            NamespaceView(namespace.id, namespace.name, None, None, None, namespace.terms, LOAD)
            for namespace in self.chain.namespaces
            if namespace.id >= from_id
        ]
        return found[:count]

    def peers(self) -> Sequence[PeerView]:
        return [
            PeerView(ValidatorIndex(1), "16Uiu2HAm", "127.0.0.1:9010", True, Milliseconds(GENESIS_MS), 2, 10, 20, 0),
            PeerView(ValidatorIndex(2), "16Uiu2HAn", None, False, None, None, 0, 0, 0),
        ]

    def sync_status(self) -> SyncStatus:
        reasons = tuple(self.not_ready)
        ordered, final, executed, attested, target = map(Height, self.heights)
        return SyncStatus(
            not reasons, reasons, View(11), ordered, final, executed, attested, target, missing_batches=0, l1=None
        )

    def readiness(self) -> Sequence[str]:
        return self.not_ready

    def health(self) -> Sequence[HealthCheck]:
        return self.checks


def l1_batch_view(index: int, status: Status = Status.POSTED) -> L1BatchView:
    """A batch of ten heights that is held."""
    first, last = Height(10 * index - 9), Height(10 * index)
    hashes = [Hash(bytes([index, number]) * 16) for number in range(6)]
    return L1BatchView(
        index,
        first,
        last,
        hashes[0],
        hashes[1],
        "held",
        hashes[2],
        0,
        hashes[3],
        bytes(20),
        hashes[4],
        7,
        hashes[5],
        status,
    )


def block_view(height: int, status: Status = Status.FINAL) -> BlockView:
    """A block that is ordered and not executed."""
    identity = BlockId(Hash(height.to_bytes(32, "big")))
    return BlockView(
        Height(height),
        GENESIS_EPOCH,
        View(height),
        identity,
        BlockId(ZERO_HASH),
        ValidatorIndex(0),
        Milliseconds(GENESIS_MS),
        NO_ANCHOR,
        status,
        None,
        None,
        None,
        None,
    )
