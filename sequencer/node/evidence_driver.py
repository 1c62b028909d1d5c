"""Drives evidence: messages in, proofs out, onto the disk and to the other validators.

Responsible for: feeding the detector, making proofs of what lanes and attesting found, checking what peers send,
storing, logging, counting and spreading.
Refuses to do: judge (`consensus/evidence`) or punish: that is the L1's.

Invariants:
1. A proof is checked before it is stored, stored (synced) before it is sent, and sent on once.
2. One proof per offence and at most OFFENCES_MAX offences of a validator against a rule: what a peer can make us store
   is bounded.
3. Reading and checking run in a thread, one proof after another; what waits is bounded by `evidence_queue.py`, and what
   finds no room is dropped and not remembered: who has it sends it again when the link opens.
4. What a proof says of itself decides only that it need not be checked, because a true one of the same is kept already.
"""

from collections import OrderedDict
from collections.abc import Callable

import structlog
import trio

from consensus.errors import InvalidObject
from consensus.evidence.check import LANE_FORK_RULE, Offence, accused_of, check_proof
from consensus.evidence.detector import Detector
from consensus.evidence.proofs import (
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
from sequencer.node.evidence_queue import EvidenceQueue, Waiting
from sequencer.node.frames import FrameKind, evidence_bytes_max
from sequencer.rpc.options import EVIDENCE_PAGE_BYTES_MAX
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from storage.database import Database
from storage.evidence import EvidenceStore, StoredProof

SEEN_MAX = 1_024  # hashes of proofs that came lately, so that repeats cost nothing
SENT_ON_OPENING_MAX = 64  # proofs that a peer gets when its link opens, in the order of their offences

_log = structlog.get_logger("evidence")


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
        kept: Callable[[EvidenceView], None],
        fork_proven: Callable[[ValidatorIndex], None],
        metrics: Metrics,
    ) -> None:
        """`kept` is told of every proof that is synced, `fork_proven` whom an E7 convicts; they return at once."""
        self._chain = chain
        self._index = index
        self._database = database
        self._store = EvidenceStore(database)
        self._source = source
        self._view = view
        self._kept = kept
        self._fork_proven = fork_proven
        self._metrics = metrics
        self._detector = Detector(chain, [Offence.decode(found) for found in self._store.list_offences()])
        self._host: ValidatorHost | None = None
        self._queue = EvidenceQueue(chain.validator_set.count)
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
            self._wait(Waiting(proof, is_counted=True))

    def see_refused(self, peer: ValidatorIndex, message: Message) -> None:
        """One of a peer that the replica refused: a proposal may convict its leader."""
        if isinstance(message, Proposal):
            self._wait(Waiting(message, peer))

    def keep_fork(self, found: KeepEvidence) -> None:
        """E7, of two batches on our disk."""
        self._wait(Waiting(found))

    def keep_attestations(self, found: RecordEvidence) -> None:
        """E6, of two shares that were verified."""
        self._wait(Waiting(in_order(TwoAttestations(found.first, found.second))))

    # links

    def receive(self, peer: ValidatorIndex, body: bytes) -> None:
        """A proof that a peer sends; what was taken lately costs nothing again."""
        name = sha256(body)
        if name not in self._seen and self._wait(Waiting(body, peer)):
            self._seen[name] = None
            if len(self._seen) > SEEN_MAX:
                self._seen.popitem(last=False)

    async def show_all(self, peer: ValidatorIndex) -> None:
        """Shows proofs to a peer whose link has opened and that may lack them."""
        for stored in await trio.to_thread.run_sync(self._store.list_after, b"", SENT_ON_OPENING_MAX):
            if self._host is not None and self._travels(stored.proof):
                self._host.send(peer, FrameKind.EVIDENCE, stored.proof)

    def _travels(self, proof: bytes) -> bool:
        return len(proof) <= evidence_bytes_max(self._chain)

    # checking and keeping

    def _wait(self, waiting: Waiting) -> bool:
        """Whether it found room."""
        found_room = self._queue.offer(waiting)
        self._arrived.set()
        return found_room

    async def run(self) -> None:
        """Checks and keeps for ever. Raises `StorageFault`, and `KeyUsedElsewhere` of an E7 against our key."""
        while True:
            await self._arrived.wait()
            self._arrived = trio.Event()
            while self._queue:
                await self._take(self._queue.take())

    async def _take(self, waiting: Waiting) -> None:
        sender = waiting.sender if isinstance(waiting.found, bytes) else None
        try:
            judged = await trio.to_thread.run_sync(self._judge, waiting, limiter=self._limiter)
        except InvalidObject as fault:
            if sender is not None and self._host is not None:
                self._host.accuse(sender, PeerFault("false_evidence", str(fault)))
            return
        if judged is not None:
            await self._keep(*judged, sender)

    def _judge(self, waiting: Waiting) -> tuple[Proof, Offence] | None:
        """In a thread: a true proof and its offence, or None if there is none or none is wanted.

        Raises `InvalidObject`.
        """
        if isinstance(waiting.found, Proposal):
            convicted = self._detector.convict_leader(waiting.found)
            return (convicted, accused_of(convicted, self._chain)) if convicted is not None else None
        proof = self._read(waiting.found)
        if proof is None:
            return None
        offence = accused_of(proof, self._chain)
        return None if self._is_known(offence, waiting) else (proof, check_proof(proof, self._chain))

    def _read(self, found: Proof | bytes | KeepEvidence) -> Proof | None:
        if isinstance(found, bytes):
            return decode_proof(found, self._chain.validator_set.count)
        if not isinstance(found, KeepEvidence):
            return found
        first, second = self._source.load(found.first), self._source.load(found.second)
        if first is None or second is None:
            return None
        signed = [SignedHeader(batch.header, batch.author_sig) for batch in (first, second)]
        return in_order(TwoBatches(*signed))

    def _is_known(self, offence: Offence, waiting: Waiting) -> bool:
        """The detector knows what it found; that is kept already if a peer's proof of it came before."""
        if waiting.is_counted:
            return self._store.load(offence.encode()) is not None
        return self._detector.knows(offence)

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
        self._kept(EvidenceView(offence, encoded))
        if self._host is not None and self._travels(encoded):
            self._host.broadcast(FrameKind.EVIDENCE, encoded)
        if offence.rule == LANE_FORK_RULE:
            self._fork_proven(offence.validator)

    # reading

    def has_forked(self, validator: ValidatorIndex) -> bool:
        """Whether a proof is kept that it signed two batches of one seq, whoever found it."""
        return self._detector.has_convicted(validator, LANE_FORK_RULE)

    def find(self, offence: bytes) -> EvidenceView | None:
        """In a thread: the proof of an encoded offence, or None."""
        proof = self._store.load(offence)
        return EvidenceView(Offence.decode(offence), proof) if proof is not None else None

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
