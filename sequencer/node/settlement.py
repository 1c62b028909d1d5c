"""The node's L1 side put together: following, signing for others, posting.

Responsible for: building these parts from the configuration, running them, and answering where a height stands.
Refuses to do: anything that a part does. A node without an L1 has none of this.

Invariants:
1. Nothing here can stop the chain: errors of the L1 end in the parts; only a storage fault goes further.
2. A validator that may not post (`l1.post = false`) signs for others all the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from consensus.bls import BlsKey
from consensus.genesis import Genesis
from consensus.numbers import Hash, Height, ValidatorIndex
from consensus.replica.events import L1Finalized
from consensus.vocabulary.l1_batch import DataKind
from p2p.host import ValidatorHost
from sequencer.client.l1_views import BatchName, L1BatchView
from sequencer.client.status import L1Place, Status
from sequencer.client.views import HealthCheck, L1Progress
from sequencer.l1.inbox import Inbox
from sequencer.l1.json_rpc import L1Client
from sequencer.node.batch_sharing import BatchSharing
from sequencer.node.batch_source import BatchSource
from sequencer.node.certifying import Certifying
from sequencer.node.clock import wall_ms
from sequencer.node.config import L1Section
from sequencer.node.failpoints import Failpoints
from sequencer.node.intent_log import IntentLog
from sequencer.node.l1_follower import L1Follower
from sequencer.node.poster_driver import PosterDriver
from sequencer.node.progress import Progress
from sequencer.node.range_reader import RangeReader
from sequencer.node.unposted import Unposted
from sequencer.settlement.errors import MissingBlocks
from sequencer.settlement.poster import Gate, Sealing
from sequencer.settlement.records import BatchRecord
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from storage.blocks import BlockStore
from storage.chain import ChainStore
from storage.database import Database

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # its stubs shadow trio's own types, which lack nothing but this name

L1_TIMEOUT_S = 10.0
GAUGE_PERIOD_S = 1.0


@dataclass(frozen=True, slots=True)
class SettlementKeys:
    """What this validator signs with here; without a poster's secret it does not post."""

    index: ValidatorIndex
    bls: BlsKey
    poster: bytes | None


class Settlement:
    """One node's L1 side."""

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        *,
        chain: Genesis,
        keys: SettlementKeys,
        options: L1Section,
        database: Database,
        source: BatchSource,
        progress: Progress,
        to_replica: Callable[[L1Finalized], None],
        metrics: Metrics,
        failpoints: Failpoints,
    ) -> None:
        self._chain = chain
        self._keys = keys
        self._options = options
        self._database = database
        self._progress = progress
        self._metrics = metrics
        self._failpoints = failpoints
        self._client = L1Client(options.url, timeout_s=L1_TIMEOUT_S)
        self._inbox = Inbox(self._client, bytes.fromhex(options.inbox[2:]))
        self._reader = RangeReader(chain, ChainStore(database), BlockStore(database), source)
        self._unposted = Unposted(self._reader, progress)
        self.follower = L1Follower(
            chain=chain,
            client=self._client,
            inbox=self._inbox,
            finality=options.finality,
            poll_s=options.poll_s,
            database=database,
            to_replica=to_replica,
            moved=self._note_moved,
            metrics=metrics,
        )
        self.sharing = BatchSharing(
            chain=chain,
            key=keys.bls,
            index=keys.index,
            inbox=self._inbox.address,
            follower=self.follower,
            reader=self._reader,
            progress=progress,
            database=database,
            metrics=metrics,
        )
        self.note_executed = self._unposted.note_executed
        self._poster: PosterDriver | None = None
        self._note_moved()

    def attach(self, host: ValidatorHost) -> None:
        """Gives the links, over which shares are asked for."""
        if self._keys.poster is None:
            return
        self._poster = PosterDriver(
            chain=self._chain,
            index=self._keys.index,
            secret=self._keys.poster,
            client=self._client,
            inbox=self._inbox,
            follower=self.follower,
            reader=self._reader,
            unposted=self._unposted,
            certifying=Certifying(
                chain=self._chain, index=self._keys.index, host=host, sharing=self.sharing, metrics=self._metrics
            ),
            intents=IntentLog(self._client, self.follower, self._database, self._metrics),
            sealing=Sealing(round(self._options.seal_age_s * 1_000), self._chain.parameters.commit_bytes_max),
            backlog_ms=round(self._options.backlog_s * 1_000),
            metrics=self._metrics,
            failpoints=self._failpoints,
        )

    async def run(self, *, task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Follows and posts for ever; started once the L1 was checked or did not answer soon.

        Raises `OtherL1` before that, `StorageFault` later.
        """
        async with self._client, trio.open_nursery() as nursery:
            await self.follower.check()
            task_status.started()
            nursery.start_soon(self._run_following)
            nursery.start_soon(self._run_gauges)
            nursery.start_soon(self._poster.run if self._poster is not None else self._run_backlog)

    # answers

    def place(self, height: Height) -> L1Place | None:
        """Where a height stands on the L1, or None."""
        record = self.follower.covering(height)
        if record is None:
            return None
        return L1Place(record.batch.index, Hash(record.transaction), record.block_number)

    def batch(self, which: int | BatchName) -> L1BatchView | None:
        """A batch by number, or the newest of a status; None if it is not on the L1."""
        match which:
            case "posted":
                record = self.follower.newest
            case "settled":
                record = self.follower.settled
            case _:
                record = self.follower.batch(which)
        return self._view(record) if record is not None else None

    def batches(self, from_index: int, count: int) -> Sequence[L1BatchView]:
        """At most `count` batches by number, from one on."""
        last = min(from_index + count, self.follower.end.next_index)
        found = (self.batch(index) for index in range(from_index, last))
        return [view for view in found if view is not None]

    async def held_payload(self, index: int) -> bytes | None:
        """The payload of a batch that is held, made from the own blocks; None if there is none such here."""
        record = self.follower.batch(index)
        if record is None or record.batch.data_kind is not DataKind.HELD:
            return None
        try:
            packed = await trio.to_thread.run_sync(self._reader.pack, record.batch.first, record.batch.last)
        except MissingBlocks:
            return None
        if packed.held_hash != record.batch.data_hash:
            return None
        return await trio.to_thread.run_sync(packed.held_payload)

    def progress(self) -> L1Progress:
        """How far the chain is on the L1."""
        follower, backlog = self.follower, self._unposted.backlog
        return L1Progress(
            follower.is_reachable,
            follower.posted_height,
            follower.settled_height,
            follower.end.next_index - 1,
            backlog.byte_count,
            backlog.age_ms(wall_ms()),
            self._poster.gate.value if self._poster is not None else None,
        )

    def health(self) -> Sequence[HealthCheck]:
        """The L1, and whether the own poster waits for an operator."""
        refusal, gate = self.follower.refusal, self._poster.gate if self._poster is not None else None
        stuck = gate in (Gate.HALTED, Gate.NO_MONEY)
        return [
            HealthCheck(
                "l1",
                self.follower.is_reachable,
                str(refusal) if refusal else f"batch {self.follower.end.next_index - 1}",
            ),
            HealthCheck("poster", not stuck, gate.value if gate is not None else "does not post"),
        ]

    def _view(self, record: BatchRecord) -> L1BatchView:
        batch = record.batch
        return L1BatchView(
            batch.index,
            batch.first,
            batch.last,
            record.hash,
            batch.previous,
            batch.data_kind.name.lower(),
            batch.data_hash,
            record.byte_count,
            batch.namespaces_root,
            record.poster,
            record.transaction,
            record.block_number,
            record.block_hash,
            Status.SETTLED if batch.last <= self.follower.settled_height else Status.POSTED,
        )

    # inside

    def _note_moved(self) -> None:
        self._progress.note_l1(self.follower.posted_height, self.follower.settled_height)
        self._unposted.note_posted(self.follower.posted_height)

    async def _run_following(self) -> None:
        await self._unposted.catch_up(self.follower.posted_height)
        await self.follower.run()

    async def _run_backlog(self) -> None:
        """What a poster does at each of its turns."""
        while True:
            await self.follower.until_looked()
            await self._unposted.catch_up(self.follower.posted_height)

    async def _run_gauges(self) -> None:
        while True:
            backlog = self._unposted.backlog
            self._metrics.set(table.SETTLEMENT_BACKLOG_BYTES, backlog.byte_count)
            self._metrics.set(table.SETTLEMENT_BACKLOG_AGE, backlog.age_ms(wall_ms()) / 1_000)
            await trio.sleep(GAUGE_PERIOD_S)
