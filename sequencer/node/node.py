"""A running node: the rooms wired together in one trio process.

Responsible for: building every part in order, starting and stopping them.
Refuses to do: anything that a part does; how the process ends (`process`).

Invariants:
1. The order of a start: configuration, keys, disk, cores, links, then clients. Nothing is signed before the key's
   guard.
2. A storage fault or a broken invariant anywhere ends the node; it never goes on with a disk that lies.
3. SIGTERM and SIGINT end it in order.
"""

import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version

import structlog
import trio

from consensus.numbers import GENESIS_HEIGHT, Height
from consensus.replica.effects import Commit, Confirm
from consensus.replica.replica import Replica
from consensus.replica.state import ReplicaTiming
from consensus.vocabulary.attestation import AttestationCertificate
from sequencer.attesting.attest import AttestationCore
from sequencer.execution.execute import Execution
from sequencer.execution.state import ExecutionState
from sequencer.keys.key_files import KeyKind, load_secret
from sequencer.lanes.bounds import LaneBounds
from sequencer.lanes.lanes import Lanes
from sequencer.lanes.recovered import RecoveredBatch
from sequencer.node.attesting_driver import AttestingDriver
from sequencer.node.batch_source import BatchSource
from sequencer.node.chain_views import ChainViews
from sequencer.node.checkpoints import Checkpoints
from sequencer.node.clock import wall_ms
from sequencer.node.config import NodeConfig
from sequencer.node.consensus_driver import ConsensusDriver, ConsensusListener
from sequencer.node.evidence_driver import EvidenceDriver
from sequencer.node.execution_driver import ExecutionDriver, ExecutionPorts
from sequencer.node.failpoints import Failpoints
from sequencer.node.gauges import Gauges
from sequencer.node.host import make_host
from sequencer.node.lane_driver import LaneDriver
from sequencer.node.links import Links
from sequencer.node.outbox import Outbox
from sequencer.node.own_validator import LoadedValidator
from sequencer.node.progress import Progress
from sequencer.node.pruning import Pruning
from sequencer.node.record_rising import run_record_number
from sequencer.node.recovery import (
    Stores,
    adopt_own_batches,
    load_execution,
    recover_lanes,
    recover_replica,
    restored_shares,
    stored_above,
)
from sequencer.node.service import NodeService
from sequencer.node.settlement import Settlement, SettlementKeys
from sequencer.node.submissions import Submissions, mempool_bounds
from sequencer.node.transaction_views import TransactionViews
from sequencer.rpc.listening import serve_application
from sequencer.rpc.options import RpcOptions
from sequencer.rpc.server import serve
from sequencer.telemetry import table
from sequencer.telemetry.exposition import exposition_application
from sequencer.telemetry.metrics import Metrics
from storage.home import batches_directory, database_directory
from storage.safety import SafetyRecordBytes

LISTEN_MAX_S = 5

_log = structlog.get_logger("node")


class Node:
    """One validator's process."""

    def __init__(
        self,
        config: NodeConfig,
        validator: LoadedValidator,
        stores: Stores,
        loaded: SafetyRecordBytes | None,
        failpoints: Failpoints,
    ) -> None:
        """`loaded`: the safety record that the key's guard found."""
        self._config = config
        self._validator = validator
        self._stores = stores
        self._loaded = loaded
        self._failpoints = failpoints
        self._metrics = Metrics(version("shared-sequencer"))

    async def run(self) -> None:
        """Builds the parts and runs them until a signal or a fault."""
        self._build()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_on_signal, nursery.cancel_scope)
            address = await nursery.start(self._host.run)
            for task in (
                self._outbox.run,
                self._consensus.run_timers,
                self._consensus.run_fetches,
                self._lanes.run,
                self._execution.run,
                self._attesting.run,
                self._attesting.run_requests,
                self._attesting.run_retries,
                self._evidence.run,
                self._submissions.run_sealing,
                self._submissions.run_expiry,
                self._gauges.run,
                self._checkpoints.run,
                self._pruning.run,
                self._service.run_catching_up,
                partial(run_record_number, self._stores.database, self._config.keys_dir),
            ):
                nursery.start_soon(task)
            self._consensus.listen()
            self._start_cores()
            nursery.start_soon(self._start_consensus)
            if self._settlement is not None:
                await nursery.start(self._settlement.run)
            config = self._config
            rpc = await nursery.start(serve, self._service, RpcOptions(**config.rpc.model_dump()), self._metrics)
            application = exposition_application(self._metrics)
            metrics = await nursery.start(serve_application, application, config.metrics.host, config.metrics.port)
            _log.info(
                "node_started",
                pid=os.getpid(),
                validator=self._validator.index,
                chain_id=self._validator.genesis.chain_id,
                p2p=f"{address[0]}:{address[1]}",
                rpc=rpc.url,
                metrics=metrics.url,
            )
        _log.info("node_stopped")

    async def _stop_on_signal(self, scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                _log.info("node_stopping", signal=signal.Signals(number).name)
                self._submissions.is_accepting = False
                scope.cancel()
                return

    async def _start_consensus(self) -> None:
        """A restarted validator first hears what others hold of it: it signs nothing if its record is an older copy."""
        if self._loaded is not None and self._validator.genesis.validator_set.count > 1:
            with trio.move_on_after(LISTEN_MAX_S):
                await self._links.heard_quorum.wait()
        self._consensus.start()
        self._submissions.is_accepting = True

    def _start_cores(self) -> None:
        """What the disk gave back is told to lanes, execution and attestation again."""
        self._lanes.start()
        self._execution.note_recovered(self._progress.final_height)
        self._attesting.recover(self._execution.state.height)

    # building

    def _build(self) -> None:
        config, stores, chain = self._config, self._stores, self._validator.genesis
        execution = load_execution(chain, stores)
        newest = stores.blocks.load_newest_certificate()
        attested_height = Height(newest.height) if newest is not None else GENESIS_HEIGHT
        adopt_own_batches(chain, stores, self._validator.index)
        stored = stored_above(chain, stores, execution.effective.cut)
        recovered = recover_replica(chain, stores, self._loaded, execution, stored)
        replica = Replica(chain, self._validator.node_key, ReplicaTiming(**config.consensus.model_dump()), recovered)
        last = stores.chain.load_last_committed()
        final_height = Height(last.height) if last is not None else GENESIS_HEIGHT
        ends = tuple(end.seq for end in execution.effective.cut)
        ordered = tuple(end.seq for end in replica.state.tree.effective.cut)
        self._progress = Progress(ends, execution.height, final_height, attested_height, ordered=ordered)
        self._outbox = Outbox(stores.database, self._metrics, self._failpoints)
        self._consensus = ConsensusDriver(
            chain=chain,
            replica=replica,
            outbox=self._outbox,
            store=stores.chain,
            listener=ConsensusListener(self._committed, self._confirmed, lambda needed: self._lanes.need(needed)),  # noqa: PLW0108 - built later
            metrics=self._metrics,
            failpoints=self._failpoints,
        )
        self._source = BatchSource(chain, stores.batches)
        self._evidence = EvidenceDriver(
            chain=chain,
            index=self._validator.index,
            database=stores.database,
            source=self._source,
            view=lambda: replica.state.view,
            kept=self._progress.news.evidence_kept,
            fork_proven=lambda lane: self._lanes.fork_proven(lane),  # noqa: PLW0108 - built later
            metrics=self._metrics,
        )
        self._settlement = self._make_settlement()
        self._build_lanes(replica, stored)
        self._execution = ExecutionDriver(
            genesis=chain,
            index=self._validator.index,
            tx_index=config.node.tx_index,
            database=stores.database,
            source=self._source,
            state=execution,
            ports=ExecutionPorts(self._lanes.until_held, self._saved, self._executed),
            metrics=self._metrics,
            failpoints=self._failpoints,
        )
        self._build_attesting(execution, attested_height)
        self._build_pruning()
        self._build_clients(replica)
        self._gauges = Gauges(
            metrics=self._metrics,
            mempool=self._submissions.mempool,
            lanes=self._lanes,
            host=self._host,
            stores={"chain": database_directory(config.home), "batches": batches_directory(config.home)},
        )

    def _build_pruning(self) -> None:
        self._checkpoints = Checkpoints(self._validator.genesis, self._stores)
        self._pruning = Pruning(
            chain=self._validator.genesis,
            stores=self._stores,
            keep_s=self._config.storage.keep_s,
            progress=self._progress,
            checkpoints=self._checkpoints,
            metrics=self._metrics,
        )

    def _build_attesting(self, execution: ExecutionState, attested_height: Height) -> None:
        stores, chain, index = self._stores, self._validator.genesis, self._validator.index
        shares = restored_shares(stores, attested_height)
        self._attesting = AttestingDriver(
            chain=chain,
            key=self._validator.bls_key,
            index=index,
            core=AttestationCore(chain, index, shares, attested_height, execution.height),
            outbox=self._outbox,
            store=stores.blocks,
            certified=self._certified,
            keep_evidence=self._evidence.keep_attestations,
            metrics=self._metrics,
            failpoints=self._failpoints,
        )

    def _build_lanes(self, replica: Replica, stored: Sequence[RecoveredBatch]) -> None:
        config, stores, chain = self._config, self._stores, self._validator.genesis
        index = self._validator.index
        bounds = LaneBounds(lane_bytes_max=config.lanes.lane_bytes_max)
        self._lanes = LaneDriver(
            chain=chain,
            index=index,
            lanes=Lanes(chain, index, bounds, recover_lanes(stores, replica.state.tree.effective.cut, stored)),
            log=stores.batches,
            database=stores.database,
            source=self._source,
            to_replica=self._consensus.handle,
            own_committed=lambda: self._submissions.wake(),  # noqa: PLW0108 - it is built later
            keep_fork=self._evidence.keep_fork,
            metrics=self._metrics,
            failpoints=self._failpoints,
        )

    def _build_clients(self, replica: Replica) -> None:
        config, stores, chain = self._config, self._stores, self._validator.genesis
        index = self._validator.index
        self._links = links = Links(
            chain=chain,
            index=index,
            consensus=self._consensus,
            lanes=self._lanes,
            attesting=self._attesting,
            evidence=self._evidence,
            sharing=self._settlement.sharing if self._settlement is not None else None,
            metrics=self._metrics,
        )
        self._host = make_host(config, self._validator, links)
        for driver in (self._consensus, self._lanes, self._attesting, self._evidence):
            driver.attach(self._host)
        if self._settlement is not None:
            self._settlement.attach(self._host)
        transactions = TransactionViews(
            chain=chain,
            index=index,
            key=self._validator.node_key,
            stores=stores,
            progress=self._progress,
            away_since_ms=links.away_since_ms,
            is_forked=lambda lane: self._lanes.is_forked(lane) or self._evidence.has_forked(lane),
            execution_state=lambda: self._execution.state,
            has_expired=lambda tx_hash: self._submissions.has_expired(tx_hash),  # noqa: PLW0108 - it is built later
            l1_place=self._settlement.place if self._settlement is not None else lambda _: None,
        )
        self._submissions = Submissions(
            chain=chain,
            index=index,
            key=self._validator.node_key,
            bounds=mempool_bounds(config.mempool),
            lanes=self._lanes,
            first_receipts=transactions.first_receipts,
            metrics=self._metrics,
            failpoints=self._failpoints,
        )
        self._build_service(replica, transactions, links)

    def _build_service(self, replica: Replica, transactions: TransactionViews, links: Links) -> None:
        config, stores, chain = self._config, self._stores, self._validator.genesis
        self._service = NodeService(
            chain=chain,
            index=self._validator.index,
            addresses={peer.index: peer.address for peer in config.p2p.peers},
            replica=replica,
            progress=self._progress,
            transactions=transactions,
            views=ChainViews(
                chain=chain,
                replica=replica,
                store=stores.chain,
                blocks=stores.blocks,
                source=self._source,
                progress=self._progress,
                heads=lambda: self._execution.state.namespaces,
                unsaved_tip=self._consensus.unsaved_tip,
            ),
            submissions=self._submissions,
            execution=self._execution,
            lanes=self._lanes,
            links=links,
            evidence=self._evidence,
            checkpoints=self._checkpoints,
            host=self._host,
            settlement=self._settlement,
        )

    def _make_settlement(self) -> Settlement | None:
        options = self._config.l1
        if not options.url:
            return None
        poster = load_secret(self._config.keys_dir, KeyKind.POSTER) if options.post else None
        return Settlement(
            chain=self._validator.genesis,
            keys=SettlementKeys(self._validator.index, self._validator.bls_key, poster),
            options=options,
            database=self._stores.database,
            source=self._source,
            progress=self._progress,
            to_replica=self._consensus.handle,
            metrics=self._metrics,
            failpoints=self._failpoints,
        )

    # the way of a block

    def _confirmed(self, confirm: Confirm) -> Callable[[], None]:
        return partial(self._tell_ordered, confirm, self._service.ordered_news(confirm))

    def _tell_ordered(self, confirm: Confirm, tell: Callable[[], None]) -> None:
        ends = tuple(end.seq for end in confirm.effective.cut)
        self._progress.note_ordered(ends, confirm.tip.header.height)
        tell()
        self._submissions.note_reached(table.CONSENSUS_ORDERED_LATENCY, ends[self._validator.index])

    def _committed(self, commit: Commit) -> None:
        self._lanes.note_committed(commit.blocks)
        self._execution.note_committed(commit)

    def _saved(self, commit: Commit) -> None:
        last = commit.blocks[-1]
        self._consensus.note_saved(commit)
        self._progress.note_final(last.tip.header.height)
        self._submissions.note_reached(table.CONSENSUS_FINAL_LATENCY, last.effective.cut[self._validator.index].seq)

    def _executed(self, execution: Execution) -> None:
        block = execution.block
        self._progress.note_executed(tuple(end.seq for end in execution.state.effective.cut), block.height)
        for closed in block.closed_lanes:
            self._progress.note_closed(closed.lane)
        self._checkpoints.note_executed(execution)
        self._attesting.note_executed(block.height, block.attestation)
        if self._settlement is not None:
            self._settlement.note_executed(block)

    def _certified(self, certificate: AttestationCertificate) -> None:
        height = certificate.attestation.height
        self._progress.note_attested(height)
        self._checkpoints.note_certified(certificate)
        final_ms = self._progress.final_ms(height)
        if final_ms is not None:
            self._metrics.observe(table.ATTESTING_LATENCY, max(0, wall_ms() - final_ms) / 1_000)
