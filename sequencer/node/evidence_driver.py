"""Drives evidence: messages in, proofs out, onto the disk and to the other validators.

Responsible for: feeding the detector, making proofs of what lanes and attesting found, checking what peers send,
storing, logging, counting and spreading.
Refuses to do: judge (`consensus/evidence`) or punish: that is the L1's.

Invariants:
1. A proof is checked before it is stored, stored (synced) before it is sent, and sent on once.
2. One proof per offence and at most OFFENCES_MAX offences of a validator against a rule: what a peer can make us store
   is bounded.
3. Checking runs in a thread, one proof after another; at most QUEUE_MAX wait, of peers QUEUE_BYTES_MAX, and what finds
   no room is dropped: who has it sends it again when the link opens.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from consensus.errors import InvalidObject
from consensus.evidence.check import Offence, check_proof
from consensus.evidence.detector import Detector
from consensus.evidence.proofs import (
    InvalidProposal,
    Proof,
    SignedHeader,
    TwoAttestations,
    TwoBatches,
    decode_proof,
    encode_proof,
    in_order,
)
from consensus.genesis import Genesis
from consensus.numbers import Hash, ValidatorIndex, View
from consensus.replica.effects import Message
from consensus.signing import sha256
from consensus.vocabulary.messages import Proposal
from p2p.errors import PeerFault
from p2p.host import ValidatorHost
from sequencer.attesting.effects import RecordEvidence
from sequencer.client.evidence_views import EvidenceView
from sequencer.lanes.effects import KeepEvidence
from sequencer.node.batch_source import BatchSource
from sequencer.node.frames import FrameKind, evidence_bytes_max
from sequencer.rpc.options import EVIDENCE_PAGE_BYTES_MAX
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from storage.database import Database
from storage.evidence import EvidenceStore, StoredProof

QUEUE_MAX = 256
QUEUE_BYTES_MAX = 32 * 1024 * 1024  # of peers' proofs
SEEN_MAX = 1_024  # hashes of proofs that came lately, so that repeats cost nothing
SENT_ON_OPENING_MAX = 64  # proofs that a peer gets when its link opens, in the order of their offences

_log = structlog.get_logger("evidence")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A proof to be checked: encoded, as a peer sent it, or made here."""

    proof: Proof | bytes
    sender: ValidatorIndex | None = None
    is_counted: bool = False  # the detector found it, so its offence counts already


class EvidenceDriver:
    """Evidence at work."""

    def __init__(
        self,
        *,
        chain: Genesis,
        index: ValidatorIndex,
        database: Database,
        source: BatchSource,
        view: Callable[[], View],
        metrics: Metrics,
    ) -> None:
        self._chain = chain
        self._index = index
        self._database = database
        self._store = EvidenceStore(database)
        self._source = source
        self._view = view
        self._metrics = metrics
        self._detector = Detector(chain, [Offence.decode(found) for found in self._store.list_offences()])
        self._host: ValidatorHost | None = None
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._arrived = trio.Event()
        self._seen: OrderedDict[Hash, None] = OrderedDict()
        self._limiter = trio.CapacityLimiter(1)

    def attach(self, host: ValidatorHost) -> None:
        """Gives the links."""
        self._host = host

    # what we find ourselves

    def see(self, message: Message) -> None:
        """A consensus message of a peer, whatever the replica made of it."""
        self._detector.enter(self._view())
        for proof in self._detector.see(message):
            self._wait(_Waiting(proof, is_counted=True))

    def see_refused(self, message: Message) -> None:
        """One that the replica refused: a proposal may convict its leader."""
        if isinstance(message, Proposal):
            self._wait(_Waiting(InvalidProposal(message)))

    def keep_fork(self, found: KeepEvidence) -> None:
        """E7, of two batches on our disk."""
        first, second = self._source.load(found.first), self._source.load(found.second)
        if first is not None and second is not None:
            signed = [SignedHeader(batch.header, batch.author_sig) for batch in (first, second)]
            self._wait(_Waiting(in_order(TwoBatches(*signed))))

    def keep_attestations(self, found: RecordEvidence) -> None:
        """E6, of two shares that were verified."""
        self._wait(_Waiting(in_order(TwoAttestations(found.first, found.second))))

    # links

    def receive(self, peer: ValidatorIndex, body: bytes) -> None:
        """A proof that a peer sends; what came lately costs nothing again."""
        name = sha256(body)
        if name in self._seen:
            return
        self._seen[name] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        self._wait(_Waiting(body, peer))

    async def show_all(self, peer: ValidatorIndex) -> None:
        """Shows proofs to a peer whose link has opened and that may lack them."""
        for stored in await trio.to_thread.run_sync(self._store.list_after, b"", SENT_ON_OPENING_MAX):
            if self._host is not None and self._travels(stored.proof):
                self._host.send(peer, FrameKind.EVIDENCE, stored.proof)

    def _travels(self, proof: bytes) -> bool:
        return len(proof) <= evidence_bytes_max(self._chain)

    # checking and keeping

    def _wait(self, waiting: _Waiting) -> None:
        size = len(waiting.proof) if isinstance(waiting.proof, bytes) else 0
        if len(self._queue) < QUEUE_MAX and self._queued_bytes + size <= QUEUE_BYTES_MAX:
            self._queue.append(waiting)
            self._queued_bytes += size
            self._arrived.set()

    async def run(self) -> None:
        """Checks and keeps for ever. Raises `StorageFault`."""
        while True:
            await self._arrived.wait()
            self._arrived = trio.Event()
            while self._queue:
                waiting = self._queue.popleft()
                self._queued_bytes -= len(waiting.proof) if isinstance(waiting.proof, bytes) else 0
                await self._take(waiting)

    async def _take(self, waiting: _Waiting) -> None:
        try:
            proof, offence = await trio.to_thread.run_sync(self._check, waiting.proof, limiter=self._limiter)
        except InvalidObject as fault:
            if waiting.sender is not None and self._host is not None:
                self._host.accuse(waiting.sender, PeerFault("false_evidence", str(fault)))
            return
        is_full = not waiting.is_counted and self._detector.knows(offence)
        if not is_full and self._store.load(offence.encode()) is None:
            await self._keep(proof, offence, waiting.sender)

    def _check(self, proof: Proof | bytes) -> tuple[Proof, Offence]:
        """In a thread. Raises `InvalidObject`."""
        decoded = decode_proof(proof, self._chain.validator_set.count) if isinstance(proof, bytes) else proof
        return decoded, check_proof(decoded, self._chain)

    async def _keep(self, proof: Proof, offence: Offence, sender: ValidatorIndex | None) -> None:
        encoded = encode_proof(proof)
        puts = EvidenceStore.proof_puts(StoredProof(offence.encode(), encoded))
        await trio.to_thread.run_sync(lambda: self._database.write(puts, sync=True), limiter=self._limiter)
        self._detector.note(offence)
        self._metrics.add(table.CONSENSUS_EVIDENCE, 1, f"E{offence.rule}")
        _log.error(
            "evidence_kept",
            rule=f"E{offence.rule}",
            validator=offence.validator,
            place=offence.place,
            is_own_key=offence.validator == self._index,
            sender=sender,
        )
        if self._host is not None and self._travels(encoded):
            self._host.broadcast(FrameKind.EVIDENCE, encoded)

    # reading

    def page(self, after: bytes, count: int) -> list[EvidenceView]:
        """In a thread: at most `count` proofs behind this offence, in their order; b"" for the first."""
        found: list[EvidenceView] = []
        byte_count = 0
        for stored in self._store.list_after(after, count):
            byte_count += len(stored.proof)
            if found and byte_count > EVIDENCE_PAGE_BYTES_MAX:
                break
            found.append(EvidenceView(Offence.decode(stored.offence), stored.proof))
        return found
