"""The node as its clients see it: the one object that the RPC server asks (`sequencer/rpc/service.py`).

Responsible for: passing each question to the part that knows, and saying how ready the node is.
Refuses to do: know HTTP or JSON.

Invariants:
1. Not ready means one of the words below; a node that lags or lacks batches says so only after GRACE_S, so that a
   burst does not take it out of rotation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import trio

from consensus.genesis import Genesis
from consensus.numbers import (
    GENESIS_EPOCH,
    Epoch,
    Hash,
    Height,
    Milliseconds,
    NamespaceId,
    NamespaceIndex,
    ValidatorIndex,
    View,
)
from consensus.replica.effects import Confirm
from consensus.replica.replica import Replica
from consensus.replica.walk import walk_height
from consensus.validators import ValidatorSet
from consensus.vocabulary.attestation import AttestationCertificate
from consensus.vocabulary.batch import Items
from p2p.host import ValidatorHost
from p2p.identity import peer_id_of
from sequencer.client.chain_view import CheckpointView
from sequencer.client.evidence_views import EvidenceView
from sequencer.client.l1_views import BatchName, L1BatchView
from sequencer.client.namespace_views import NamespaceView
from sequencer.client.status import LanePlace, Status, TransactionStatus
from sequencer.client.submission import SubmitOutcome
from sequencer.client.views import BlockName, BlockView, HealthCheck, PeerView, SyncStatus
from sequencer.client.wire import NamespaceProof
from sequencer.node.catching_up import CatchingUp, Place, follow_catching_up
from sequencer.node.chain_views import ChainViews
from sequencer.node.checkpoints import Checkpoints
from sequencer.node.clock import wall_ms
from sequencer.node.evidence_driver import EvidenceDriver
from sequencer.node.execution_driver import ExecutionDriver
from sequencer.node.lane_driver import LaneDriver
from sequencer.node.links import Links
from sequencer.node.progress import Progress
from sequencer.node.settlement import Settlement
from sequencer.node.submissions import Submissions
from sequencer.node.transaction_views import TransactionViews
from sequencer.rpc.news import Listener
from sequencer.rpc.service import NamespaceBlockPart

GRACE_S = 5.0
LAG_HEIGHTS = 2  # executed behind the newest known height without counting as behind


@dataclass(slots=True)
class _Since:
    """Since when a condition holds, on trio's clock."""

    at_s: float | None = None

    def lasts(self, holds: bool, for_s: float) -> bool:
        """Whether it has held for longer than `for_s`."""
        now_s = trio.current_time()
        if not holds:
            self.at_s = None
            return False
        if self.at_s is None:
            self.at_s = now_s
        return now_s - self.at_s > for_s


class NodeService:
    """See `sequencer.rpc.service.Service`."""

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        *,
        chain: Genesis,
        index: ValidatorIndex,
        addresses: dict[int, str],
        replica: Replica,
        progress: Progress,
        transactions: TransactionViews,
        views: ChainViews,
        submissions: Submissions,
        execution: ExecutionDriver,
        lanes: LaneDriver,
        links: Links,
        evidence: EvidenceDriver,
        checkpoints: Checkpoints,
        host: ValidatorHost,
        settlement: Settlement | None,
    ) -> None:
        self._chain = chain
        self._index = index
        self._addresses = addresses
        self._replica = replica
        self._progress = progress
        self._transactions = transactions
        self._views = views
        self._submissions = submissions
        self._execution = execution
        self._lanes = lanes
        self._links = links
        self._evidence = evidence
        self._checkpoints = checkpoints
        self._host = host
        self._settlement = settlement
        self._namespaces = chain.namespace_ids()
        self._behind = _Since()
        self._lacking = _Since()
        self._catching_up = CatchingUp()

    @property
    def chain(self) -> Genesis:
        """The chain of this node."""
        return self._chain

    def is_namespace(self, namespace: NamespaceId) -> bool:
        """Whether it is registered."""
        return namespace in self._namespaces

    def newest_index(self, namespace: NamespaceId) -> NamespaceIndex | None:
        """See `ChainViews.newest_index`."""
        return self._views.newest_index(namespace)

    def listen(self, listener: Listener) -> None:
        """See `News.listen`."""
        self._progress.news.listen(listener)

    def ordered_news(self, confirm: Confirm) -> Callable[[], None]:
        """Tells clients, when it is called, of the blocks that a fresh QC covers now."""
        tree, ends = self._replica.state.tree, tuple(end.seq for end in confirm.effective.cut)
        branch = tree.branch(confirm.tip.id) or ()
        return self._progress.news.ordered(branch, self._views.ordered_block, ends, tree.committed_height)

    async def submit(self, namespace: NamespaceId, items: Items, client: str) -> SubmitOutcome:
        """See `Submissions.submit`."""
        return await self._submissions.submit(namespace, items, client)

    def status(self, hash: Hash, place: LanePlace | None) -> TransactionStatus:
        """See `TransactionViews.status`."""
        return self._transactions.status(hash, place)

    async def wait(self, hash: Hash, status: Status, timeout_ms: int, place: LanePlace | None) -> TransactionStatus:
        """See `TransactionViews.wait`."""
        return await self._transactions.wait(hash, status, timeout_ms, place)

    async def block(self, which: Height | BlockName) -> BlockView | None:
        """See `ChainViews.block`."""
        return await self._views.block(which)

    async def namespace_blocks(
        self, namespace: NamespaceId, from_index: NamespaceIndex, count: int, first_run: int, bytes_max: int
    ) -> Sequence[NamespaceBlockPart]:
        """See `ChainViews.namespace_blocks`."""
        return await self._views.namespace_blocks(namespace, from_index, count, first_run, bytes_max)

    async def namespace_proof(
        self, namespace: NamespaceId, which: Height | Literal["attested"]
    ) -> NamespaceProof | None:
        """See `ChainViews.namespace_proof`."""
        return await self._views.namespace_proof(namespace, which)

    def attestation(self, which: Height | Literal["attested"]) -> AttestationCertificate | None:
        """See `ChainViews.attestation`."""
        return self._views.attestation(which)

    def l1_batch(self, which: int | BatchName) -> L1BatchView | None:
        """See `Settlement.batch`."""
        return self._settlement.batch(which) if self._settlement is not None else None

    def l1_batches(self, from_index: int, count: int) -> Sequence[L1BatchView]:
        """See `Settlement.batches`."""
        return self._settlement.batches(from_index, count) if self._settlement is not None else ()

    async def held_payload(self, index: int) -> bytes | None:
        """See `Settlement.held_payload`."""
        return await self._settlement.held_payload(index) if self._settlement is not None else None

    async def evidence(self, after: bytes, count: int) -> Sequence[EvidenceView]:
        """See `EvidenceDriver.page`."""
        return await trio.to_thread.run_sync(self._evidence.page, after, count)

    async def checkpoint(self) -> CheckpointView | None:
        """See `Checkpoints.newest`."""
        return await self._checkpoints.newest()

    async def evidence_of(self, offence: bytes) -> EvidenceView | None:
        """See `EvidenceDriver.find`."""
        return await trio.to_thread.run_sync(self._evidence.find, offence)

    def validators(self, epoch: Epoch) -> ValidatorSet | None:
        """The one set there is."""
        return self._chain.validator_set if epoch == GENESIS_EPOCH else None

    async def namespaces(self, from_id: NamespaceId, count: int) -> Sequence[NamespaceView]:
        """See `ChainViews.namespaces`, and `Submissions.load`."""
        views = await self._views.namespaces(from_id, count)
        return [replace(view, load=self._submissions.load(view)) for view in views]

    def peers(self) -> Sequence[PeerView]:
        """The other validators and their links."""
        now_s, now_ms = trio.current_time(), wall_ms()
        return [
            PeerView(
                ValidatorIndex(status.index),
                str(peer_id_of(self._chain.validator_set.validators[status.index].node_public_key)),
                self._addresses.get(status.index),
                status.connected,
                Milliseconds(now_ms) if status.connected and now_s else None,
                None if status.round_trip_ms is None else round(status.round_trip_ms),
                status.bytes_out,
                status.bytes_in,
                status.queue_bytes,
            )
            for status in self._host.peers()
        ]

    def sync_status(self) -> SyncStatus:
        """How far the node is."""
        reasons = tuple(self.readiness())
        return SyncStatus(
            ready=not reasons,
            reasons=reasons,
            view=View(self._replica.state.view),
            ordered_height=Height(self._progress.ordered.height),
            final_height=Height(self._progress.final_height),
            executed_height=Height(self._progress.executed.height),
            attested_height=Height(self._progress.attested_height),
            target_height=Height(self._replica.state.high_qc.body.height),
            missing_batches=self._lanes.missing_count,
            l1=self._settlement.progress() if self._settlement is not None else None,
            catching_up=self._catching_up.figures,
        )

    async def run_catching_up(self) -> None:
        """Follows how the node catches up, for ever."""
        await follow_catching_up(self._catching_up, self._place)

    def _place(self) -> Place:
        state = self._replica.state
        return Place(
            target_height=state.high_qc.body.height,
            final_height=self._progress.final_height,
            executed_height=self._progress.executed.height,
            walk_height=walk_height(state),
            missing_batches=self._lanes.missing_count,
        )

    def readiness(self) -> Sequence[str]:
        """Why the node is not ready, one word each."""
        reasons = []
        if not self._submissions.is_accepting:
            reasons.append("starting")
        if self._lanes.is_forked(self._index):
            reasons.append("lane_forked")
        if not self._chain.validator_set.is_quorum({self._index, *self._links.connected}):
            reasons.append("no_quorum")
        lag = self._replica.state.high_qc.body.height - self._progress.executed.height
        if self._behind.lasts(lag > LAG_HEIGHTS, GRACE_S):
            reasons.append("behind")
        if self._lacking.lasts(self._lanes.missing_count > 0, GRACE_S):
            reasons.append("missing_batches")
        return reasons

    def health(self) -> Sequence[HealthCheck]:
        """Every check, passed or not."""
        reasons = self.readiness()
        connected = len(self._links.connected)
        return [
            HealthCheck("accepting", "starting" not in reasons, "the node takes transactions"),
            HealthCheck("lane", "lane_forked" not in reasons, "nobody shows two batches of one number by this key"),
            HealthCheck("quorum", "no_quorum" not in reasons, f"linked with {connected} other validators"),
            HealthCheck("progress", "behind" not in reasons, f"executed height {self._progress.executed.height}"),
            HealthCheck("batches", "missing_batches" not in reasons, f"{self._lanes.missing_count} batches missing"),
            *(self._settlement.health() if self._settlement is not None else ()),
        ]
