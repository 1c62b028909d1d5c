"""Drives attestations: due heights and shares in, signatures, frames and stored certificates out.

Responsible for: BLS in a thread, one piece of work after another; saving before sending, in the consensus's own synced
writes (`outbox.py`); asking peers for certificates.
Refuses to do: decide what is attested (`sequencer/execution`) or what counts (`sequencer/attesting`).

Invariants:
1. An own share leaves, and a certificate is told, only after it is synced.
2. BLS never runs on the event loop, and its queue is bounded by what the core keeps.
3. Peers are asked beside that work, at most REQUESTS_MAX at once and each height once at a time: one that is silent
   holds up no signature.
"""

from collections import deque
from collections.abc import Callable
from typing import assert_never

import structlog
import trio

from consensus.bls import BlsKey
from consensus.encoding import decode_whole
from consensus.errors import DecodeError
from consensus.genesis import Genesis
from consensus.numbers import Height, ValidatorIndex
from consensus.vocabulary.attestation import Attestation, AttestationCertificate, AttestationShare
from p2p.errors import PeerFault, RequestFailed
from p2p.host import ValidatorHost
from sequencer.attesting import certify, effects, events
from sequencer.attesting.attest import AttestationCore
from sequencer.execution.blocks import ExecutedBlock
from sequencer.node.failpoints import Failpoints
from sequencer.node.frames import FrameKind, RequestKind
from sequencer.node.outbox import Outbox
from sequencer.node.worker import Worker
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from storage.blocks import BlockStore

RETRY_PERIOD_S = 1.0
REQUEST_TIMEOUT_MS = 2_000
REQUESTS_MAX = 8
CERTIFICATE_BYTES_MAX = 1_024
_Computed = effects.SignAttestation | effects.AggregateShares | effects.VerifyShares | effects.VerifyCertificate

_log = structlog.get_logger("attesting")


class AttestingDriver:
    """The attestation core at work."""

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        *,
        chain: Genesis,
        key: BlsKey,
        index: ValidatorIndex,
        core: AttestationCore,
        outbox: Outbox,
        store: BlockStore,
        certified: Callable[[AttestationCertificate], None],
        keep_evidence: Callable[[effects.RecordEvidence], None],
        metrics: Metrics,
        failpoints: Failpoints,
    ) -> None:
        self._chain = chain
        self._key = key
        self._index = index
        self.core = core
        self._outbox = outbox
        self._store = store
        self._certified = certified
        self._keep_evidence = keep_evidence
        self._metrics = metrics
        self._failpoints = failpoints
        self._host: ValidatorHost | None = None
        self._worker = Worker("attesting")
        self._work: deque[_Computed] = deque()
        self._arrived = trio.Event()
        self._wanted: dict[Height, None] = {}  # certificates to ask for, in order
        self._asking: set[Height] = set()
        self._wanted_more = trio.Event()
        self._turn = 0

    def attach(self, host: ValidatorHost) -> None:
        """Gives the links."""
        self._host = host

    def handle(self, event: events.Event) -> None:
        """One step of the core. Raises `BrokenInvariant`."""
        for effect in self.core.step(event):
            self._carry_out(effect)

    def note_executed(self, height: Height, attestation: Attestation | None) -> None:
        """A height is executed and synced; it may have made one due."""
        if attestation is not None:
            self.handle(events.AttestationDue(attestation))
        self.handle(events.BytesSynced(height))

    def recover(self, executed_height: Height) -> None:
        """Tells the core again what was due above the certified height, from the executed blocks on disk."""
        for height in range(self.core.certified_height + 1, executed_height + 1):
            stored = self._store.load_executed_block(height)
            if stored is not None and (attestation := ExecutedBlock.decode(stored).attestation) is not None:
                self.handle(events.AttestationDue(attestation))
        self.handle(events.BytesSynced(executed_height))

    def receive(self, peer: ValidatorIndex, share: AttestationShare) -> None:
        """A share from a link."""
        self._metrics.add(table.ATTESTING_SHARES, 1, "received")
        self.handle(events.ShareReceived(share, peer))

    def _carry_out(self, effect: effects.Effect) -> None:
        match effect:
            case effects.SendShare():
                self._send(effect)
            case effects.SendCertificate():
                self._send_certificate(effect)
            case effects.BlameValidator():
                self._metrics.add(table.ATTESTING_FAULTS, 1, effect.reason)
                self._blame(effect)
            case effects.RecordEvidence():
                self._keep_evidence(effect)
            case effects.SaveShare():
                self._save_share(effect.share)
            case effects.SaveCertificate():
                self._save_certificate(effect.certificate)
            case (
                effects.SignAttestation()
                | effects.AggregateShares()
                | effects.VerifyShares()
                | effects.VerifyCertificate()
            ):
                self._work.append(effect)
                self._arrived.set()
            case effects.RequestCertificate():
                self._want(effect.height)
            case _:
                assert_never(effect)

    def _send(self, effect: effects.SendShare) -> None:
        if self._host is None:
            return
        body = effect.share.encode()
        self._metrics.add(table.ATTESTING_SHARES, 1, "sent")
        if effect.to is None:
            self._host.broadcast(FrameKind.ATTESTATION_SHARE, body)
        else:
            self._host.send(effect.to, FrameKind.ATTESTATION_SHARE, body)

    def _send_certificate(self, effect: effects.SendCertificate) -> None:
        certificate = self._store.load_certificate(effect.height)
        if certificate is not None and self._host is not None:
            self._host.send(effect.to, FrameKind.ATTESTATION_CERTIFICATE, certificate)

    def _blame(self, effect: effects.BlameValidator) -> None:
        _log.warning("peer_fault", peer=effect.validator, reason=effect.reason)
        if self._host is not None and effect.validator != self._index:
            self._host.accuse(effect.validator, PeerFault(effect.reason))

    async def run(self) -> None:
        """Does the queued work for ever. Raises `StorageFault` or `BrokenInvariant`."""
        with self._worker:
            while True:
                await self._arrived.wait()
                self._arrived = trio.Event()
                while self._work:
                    self.handle(await self._worker.run(self._compute, self._work.popleft()))

    async def run_retries(self) -> None:
        """Asks and sends again what is still open, for ever."""
        while True:
            await trio.sleep(RETRY_PERIOD_S)
            self.handle(events.RetryPeriodPassed())

    def _compute(self, work: _Computed) -> events.Event:
        match work:
            case effects.SignAttestation():
                share = certify.sign_attestation(self._chain, self._key, self._index, work.attestation)
                return events.AttestationSigned(share)
            case effects.AggregateShares():
                return certify.aggregate_shares(self._chain, work)
            case effects.VerifyShares():
                return certify.verify_shares(self._chain, work)
            case effects.VerifyCertificate():
                return certify.verify_certificate(self._chain, work)
            case _:
                assert_never(work)

    def _save_share(self, share: AttestationShare) -> None:
        self._failpoints.reach("attestation_before_save")
        self._outbox.put(BlockStore.own_attestation_puts(share.attestation.height, share.encode()))
        self._outbox.post(lambda: self._note_share_saved(share))

    def _note_share_saved(self, share: AttestationShare) -> None:
        self._failpoints.reach("attestation_after_save")
        self.handle(events.ShareSaved(share))

    def _save_certificate(self, certificate: AttestationCertificate) -> None:
        self._outbox.put(BlockStore.certificate_puts(certificate.attestation.height, certificate.encode()))
        self._outbox.post(lambda: self._note_certificate_saved(certificate))

    def _note_certificate_saved(self, certificate: AttestationCertificate) -> None:
        self._metrics.add(table.ATTESTING_CERTIFICATES)
        self._metrics.set(table.ATTESTING_HEIGHT, self.core.certified_height)
        self._metrics.set(table.CONSENSUS_HEIGHT, self.core.certified_height, "attested")
        self._certified(certificate)

    # certificates of others

    def _want(self, height: Height) -> None:
        if height not in self._asking:
            self._wanted[height] = None
            self._wanted_more.set()

    async def run_requests(self) -> None:
        """Asks peers for certificates, for ever."""
        async with trio.open_nursery() as nursery:
            for _ in range(REQUESTS_MAX):
                nursery.start_soon(self._run_asking)

    async def _run_asking(self) -> None:
        while True:
            if not self._wanted:
                self._wanted_more = trio.Event() if self._wanted_more.is_set() else self._wanted_more
                await self._wanted_more.wait()
                continue
            height = next(iter(self._wanted))
            del self._wanted[height]
            self._asking.add(height)
            await self._request(height)
            self._asking.discard(height)

    async def _request(self, height: Height) -> None:
        """Asks the next connected peer, each time another."""
        if self._host is None:
            return
        peers = [status.index for status in self._host.peers() if status.connected]
        if not peers:
            return
        self._turn += 1
        peer = ValidatorIndex(peers[self._turn % len(peers)])
        body = height.to_bytes(8, "big")
        try:
            answer = await self._host.request(
                peer,
                RequestKind.ATTESTATION,
                body,
                timeout_ms=REQUEST_TIMEOUT_MS,
                response_bytes_max=CERTIFICATE_BYTES_MAX,
            )
            if answer:
                self.receive_certificate(peer, answer)
        except RequestFailed:
            return
        except DecodeError:
            self._blame(effects.BlameValidator(peer, "malformed"))

    def receive_certificate(self, peer: ValidatorIndex, body: bytes) -> None:
        """A certificate from a peer, asked for or not. Raises `DecodeError`."""
        count = self._chain.validator_set.count
        certificate = decode_whole(body, lambda reader: AttestationCertificate.decode(reader, count))
        self.handle(events.CertificateReceived(certificate, peer))

    def serve_certificate(self, height: Height) -> bytes:
        """The stored certificate of exactly `height`; empty if there is none."""
        return self._store.load_certificate(height) or b""
