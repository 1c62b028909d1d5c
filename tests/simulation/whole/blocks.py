"""Execution and attesting of one node at work, as their drivers drive them.

Responsible for: executing height by height once all batches are held, one synced write per height, with the commits
that were told by then, shares and certificates.
Refuses to do: decide anything: the cores do.
"""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from consensus.encoding import decode_whole
from consensus.numbers import BlockId, Hash, Height, ValidatorIndex
from consensus.replica.effects import Commit, NeedBatches, NeededBatch
from consensus.vocabulary.attestation import AttestationCertificate, AttestationShare
from consensus.vocabulary.tip import Tip
from sequencer.attesting import certify, effects, events
from sequencer.attesting.attest import AttestationCore
from sequencer.execution.blocks import ExecutedBlock
from sequencer.execution.execute import Executor, OrderedTip
from sequencer.execution.state import ExecutionState
from sequencer.node.records import commit_puts, execution_puts
from sequencer.node.recovery import restored_shares
from storage import blocks
from storage.keyspace import Puts
from storage.safety import SafetyStore
from tests.simulation.keys import bls_key
from tests.simulation.node import COMMIT_SAVED_MS

if TYPE_CHECKING:
    from tests.simulation.whole.node import WholeNode

RETRY_MS = 60.0
BLS_MS = 1.0
WISH_AGAIN_MS = 60.0


class BlockSide:
    """See the module."""

    def __init__(self, node: "WholeNode", state: ExecutionState, attested_height: Height) -> None:
        chain = node.cluster.chain
        self._node = node
        self._cluster = node.cluster
        self._life = node.life
        self._executor = Executor(chain)
        self.state = state
        self._committed_height = state.height
        self._waiting: dict[int, OrderedTip] = {}
        self._unsaved: list[Commit] = []
        self._wished: int | None = None  # the height whose missing batches were wished for
        self.core = AttestationCore(
            chain, node.index, restored_shares(node.stores, attested_height), attested_height, state.height
        )
        self._work: deque[effects.Effect] = deque()
        self._is_working = False
        self._turn = int(node.index)

    @property
    def _is_over(self) -> bool:
        return not self._node.alive or self._node.life != self._life

    def start(self, committed_height: Height) -> None:
        """What was due and is not certified is told again; execution goes on with what is committed."""
        self._committed_height = max(self._committed_height, committed_height)
        store, executed = self._node.stores.blocks, self.state.height
        for height in range(self.core.certified_height + 1, executed + 1):
            stored = store.load_executed_block(height)
            if stored is not None and (attestation := ExecutedBlock.decode(stored).attestation) is not None:
                self.handle(events.AttestationDue(attestation))
        self.handle(events.BytesSynced(executed))
        self._retry()
        self.execute()

    # execution

    def note_committed(self, commit: Commit) -> None:
        """Executed a little later, as in a thread: what leaves meanwhile may outlive the commit."""
        self._unsaved.append(commit)
        for block in commit.blocks:
            height = block.tip.header.height
            self._committed_height = max(self._committed_height, height)
            if height > self.state.height:
                self._waiting[height] = OrderedTip(block.tip, block.effective, block.batches)
        delay_ms = self._cluster.random.uniform(0, 2 * self._cluster.sync_ms + COMMIT_SAVED_MS)
        self._cluster.after(delay_ms, self.execute)

    def unsaved_tip(self, tip_id: BlockId) -> Tip | None:
        return next((block.tip for commit in self._unsaved for block in commit.blocks if block.tip.id == tip_id), None)

    def execute(self) -> None:
        """As far as batches are held."""
        while not self._is_over and self.state.height < self._committed_height:
            height = Height(self.state.height + 1)
            ordered = self._waiting.get(height) or self._read_back(height)
            self._waiting[height] = ordered
            held = self._node.stores.batches
            missing = [batch for batch in ordered.batches if not held.contains(batch.digest)]
            if missing:
                self._save_commits()
                if not self._is_over:
                    self._wish(height, missing)
                return
            batches = {batch.digest: self._node.lanes.load(batch.digest) for batch in ordered.batches}
            execution = self._executor.execute(self.state, ordered, batches)
            if self._node.is_struck("before saving a height"):
                return
            deletes = SafetyStore.tip_deletes([execution.block.block_id])
            self._write(execution_puts(execution), deletes)
            if self._node.is_struck("after saving a height"):
                return
            self._waiting.pop(height, None)
            self.state = execution.state
            self._executed(execution.block)

    def _save_commits(self) -> None:
        """What is committed while execution waits for a batch."""
        if self._unsaved and not self._node.is_struck("before saving commits"):
            self._write([])

    def _write(self, puts: Puts, deletes: Sequence[bytes] = ()) -> None:
        commits, self._unsaved = self._unsaved, []
        commits_puts = [put for commit in commits for put in commit_puts(commit)]
        self._node.stores.database.write(commits_puts + puts, deletes, sync=True)
        self._node.note_saved(commits)

    def _read_back(self, height: Height) -> OrderedTip:
        block_id = self._node.stores.chain.load_committed_id(height)
        assert block_id is not None
        return self._executor.order(self.state, self._node.stored_tip(BlockId(Hash(block_id))))

    def _wish(self, height: Height, missing: list) -> None:
        """Wished for again and again, of everybody, as `LaneDriver.until_held` does."""
        if self._wished == height:
            return
        self._wished = height
        others = tuple(ValidatorIndex(peer) for peer in range(self._cluster.count) if peer != self._node.index)
        self._node.lanes.need(NeedBatches(tuple(NeededBatch(b.lane, b.seq, b.digest, others) for b in missing)))

        def again() -> None:
            if not self._is_over and self._wished == height:
                self._wished = None
                self.execute()

        self._cluster.after(WISH_AGAIN_MS, again)

    def _executed(self, block: ExecutedBlock) -> None:
        self._cluster.note_executed(self._node.index, block)
        if block.attestation is not None:
            self.handle(events.AttestationDue(block.attestation))
        self.handle(events.BytesSynced(block.height))

    # attesting

    def handle(self, event: events.Event) -> None:
        if self._is_over:
            return
        for effect in self.core.step(event):
            self._carry_out(effect)

    def _carry_out(self, effect: effects.Effect) -> None:
        node, cluster = self._node, self._cluster
        match effect:
            case effects.SendShare():
                receivers = range(cluster.count) if effect.to is None else (effect.to,)
                for receiver in receivers:
                    if receiver != node.index:
                        cluster.show_share(node.index, receiver, effect.share)
            case effects.SendCertificate():
                raw = node.stores.blocks.load_certificate(effect.height)
                if raw is not None:
                    self._show_certificate(effect.to, raw)
            case effects.BlameValidator():
                node.faults.append((effect.validator, effect.reason))
            case effects.RecordEvidence():
                cluster.note_two_attestations(effect)
            case effects.RequestCertificate():
                self._ask(effect.height)
            case _:
                self._work.append(effect)
                if not self._is_working:
                    self._is_working = True
                    cluster.after(BLS_MS, self._do)

    def _show_certificate(self, to: int, raw: bytes) -> None:
        sender = self._node.index
        self._cluster.carry(sender, to, len(raw), lambda peer: peer.blocks.receive_certificate(sender, raw))

    def receive_certificate(self, peer: int, raw: bytes) -> None:
        certificate = decode_whole(raw, lambda reader: AttestationCertificate.decode(reader, self._cluster.count))
        self.handle(events.CertificateReceived(certificate, ValidatorIndex(peer)))

    def receive_share(self, peer: int, share: AttestationShare) -> None:
        self.handle(events.ShareReceived(share, ValidatorIndex(peer)))

    def _do(self) -> None:
        """One piece of work after another."""
        if self._is_over:
            return
        self._perform(self._work.popleft())
        self._is_working = bool(self._work) and not self._is_over
        if self._is_working:
            self._cluster.after(BLS_MS, self._do)

    def _perform(self, work: effects.Effect) -> None:
        node, chain = self._node, self._cluster.chain
        match work:
            case effects.SignAttestation():
                share = certify.sign_attestation(chain, bls_key(node.index), node.index, work.attestation)
                self.handle(events.AttestationSigned(share))
            case effects.AggregateShares():
                self.handle(certify.aggregate_shares(chain, work))
            case effects.VerifyShares():
                self.handle(certify.verify_shares(chain, work))
            case effects.VerifyCertificate():
                self.handle(certify.verify_certificate(chain, work))
            case effects.SaveShare():
                if node.is_struck("before saving a share"):
                    return
                height = work.share.attestation.height
                puts = blocks.BlockStore.own_attestation_puts(height, work.share.encode())
                node.stores.database.write(puts, sync=True)
                if not node.is_struck("after saving a share"):
                    self.handle(events.ShareSaved(work.share))
            case effects.SaveCertificate():
                certificate = work.certificate
                puts = blocks.BlockStore.certificate_puts(certificate.attestation.height, certificate.encode())
                node.stores.database.write(puts, sync=True)
                self._cluster.note_certified(node.index, certificate)
            case _:
                raise AssertionError(f"{work} is no work")

    def _retry(self) -> None:
        if not self._is_over:
            self.handle(events.RetryPeriodPassed())
            self._cluster.after(RETRY_MS, self._retry)

    def _ask(self, height: Height) -> None:
        """Asks one peer after the other for a certificate."""
        cluster, me = self._cluster, self._node.index
        self._turn += 1
        peer = self._turn % cluster.count
        if peer == me:
            return

        def serve(asked: "WholeNode") -> None:
            raw = asked.stores.blocks.load_certificate(height)
            if raw is not None:
                asked.blocks._show_certificate(me, raw)

        cluster.carry(me, peer, 8, serve)
