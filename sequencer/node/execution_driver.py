"""Drives execution: commits in; stored commits, namespace blocks and due attestations out.

Responsible for: waiting until every batch of a block is held, executing in a thread, one synced write for all heights
that wait and the commits that brought them.
Refuses to do: run ahead of the disk, or stop consensus: it works behind it.

Invariants:
1. Heights are executed one by one, in order; a commit or a height is told to others only after its write is synced.
2. A node that lacks a batch executes up to the gap and attests nothing beyond it. What is committed meanwhile is
   written without it.
3. At most QUEUE_MAX committed blocks wait in memory; beyond that they are read back from the chain store.
4. A write has as many heights as are committed and held by then, up to GROUP_HEIGHTS_MAX, and none after
   GROUP_PUTS_MAX puts: it is atomic, so a crash loses all of them, and none was told to anybody. No promise is lost
   with a commit: those who voted for it have synced what lets nothing else be committed in its place.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog
import trio

from consensus.encoding import decode_whole
from consensus.errors import BrokenInvariant
from consensus.genesis import Genesis
from consensus.numbers import Digest, Height, NamespaceId, ValidatorIndex
from consensus.ordering.effective import OrderedBatch
from consensus.replica.effects import Commit
from consensus.vocabulary.batch import KIND_OPEN, Batch, read_segment, transaction_ids
from consensus.vocabulary.tip import Tip
from sequencer.execution.blocks import ExecutedBlock, Run
from sequencer.execution.execute import Execution, Executor, OrderedTip
from sequencer.execution.state import ExecutionState
from sequencer.node.batch_source import BatchSource
from sequencer.node.failpoints import Failpoints
from sequencer.node.records import commit_puts, execution_puts
from sequencer.node.worker import Worker
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from storage import chain, safety, transactions
from storage.database import Database
from storage.keyspace import Puts

QUEUE_MAX = 1_024
GROUP_HEIGHTS_MAX = 64
GROUP_PUTS_MAX = 4_000  # a write holds the database for about 1 µs per put

_log = structlog.get_logger("execution")


def _all_puts(commits: Sequence[Commit]) -> Puts:
    return [put for commit in commits for put in commit_puts(commit)]


class _HeldBatches(Mapping[Digest, Batch]):
    """A block's batches, read when asked for."""

    def __init__(self, source: BatchSource, digests: Sequence[Digest]) -> None:
        self._source = source
        self._digests = digests

    def __getitem__(self, digest: Digest) -> Batch:
        batch = self._source.load(digest)
        if batch is None:
            raise KeyError(digest)
        return batch

    def __iter__(self) -> Iterator[Digest]:
        return iter(self._digests)

    def __len__(self) -> int:
        return len(self._digests)


@dataclass(frozen=True, slots=True)
class ExecutionPorts:
    """What the driver needs of its neighbours."""

    until_held: Callable[[Sequence[OrderedBatch]], Awaitable[None]]
    saved: Callable[[Commit], None]  # after the write is synced
    executed: Callable[[Execution], None]  # likewise


class ExecutionDriver:
    """Execution at work."""

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        *,
        genesis: Genesis,
        index: ValidatorIndex,
        tx_index: str,
        database: Database,
        source: BatchSource,
        state: ExecutionState,
        ports: ExecutionPorts,
        metrics: Metrics,
        failpoints: Failpoints,
    ) -> None:
        self._genesis = genesis
        self._index = index
        self._tx_index = tx_index
        self._database = database
        self._chain_store = chain.ChainStore(database)
        self._source = source
        self._executor = Executor(genesis)
        self._ports = ports
        self._metrics = metrics
        self._failpoints = failpoints
        self.state = state
        self.committed_height = state.height
        self._saved_height = state.height  # up to which commits can be read back
        self._unsaved: list[Commit] = []
        self._waiting: dict[Height, OrderedTip] = {}
        self._arrived = trio.Event()
        self._worker = Worker("execution")

    def note_committed(self, commit: Commit) -> None:
        """Takes a commit that is not on disk yet."""
        self._unsaved.append(commit)
        for block in commit.blocks:
            height = block.tip.header.height
            self.committed_height = max(self.committed_height, height)
            if height > self.state.height and len(self._waiting) < QUEUE_MAX:
                self._waiting[height] = OrderedTip(block.tip, block.effective, block.batches)
        self._arrived.set()

    def note_recovered(self, committed_height: Height) -> None:
        """Blocks up to this height are committed on disk."""
        self.committed_height = max(self.committed_height, committed_height)
        self._saved_height = max(self._saved_height, committed_height)
        self._arrived.set()

    async def run(self) -> None:
        """Executes for ever. Raises `StorageFault` or `BrokenInvariant`."""
        with self._worker:
            while True:
                await self._arrived.wait()
                self._arrived = trio.Event()
                while self.state.height < self.committed_height:
                    await self._execute_next()

    async def _execute_next(self) -> None:
        if not self._is_known(Height(self.state.height + 1)):
            await self._save_commits()
        first = self._next_ordered(self.state)
        if not self._is_held(first):
            await self._wait_for(first)
        commits = tuple(self._unsaved)
        started = trio.current_time()
        executions = await self._worker.run(self._execute, first, commits)
        seconds = (trio.current_time() - started) / len(executions)
        self._tell_saved(commits)
        for execution in executions:
            self.state = execution.state
            self._waiting.pop(execution.block.height, None)
            self._measure(execution.block, seconds)
            self._ports.executed(execution)

    async def _wait_for(self, ordered: OrderedTip) -> None:
        """Returns once its batches are held; writes what is committed meanwhile."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._save_while_waiting)
            await self._ports.until_held(ordered.batches)
            nursery.cancel_scope.cancel()

    async def _save_while_waiting(self) -> None:
        while True:
            self._arrived = trio.Event()
            await self._save_commits()
            await self._arrived.wait()

    async def _save_commits(self) -> None:
        commits = tuple(self._unsaved)
        if commits:
            await self._worker.run(self._write, _all_puts(commits))
            self._tell_saved(commits)

    def _tell_saved(self, commits: Sequence[Commit]) -> None:
        """Only now are they no longer unsaved: a write that is cancelled before it begins takes none of them away."""
        del self._unsaved[: len(commits)]
        for commit in commits:
            self._saved_height = max(self._saved_height, commit.blocks[-1].tip.header.height)
            self._ports.saved(commit)

    def _is_known(self, height: Height) -> bool:
        return height in self._waiting or height <= self._saved_height

    def _is_held(self, ordered: OrderedTip) -> bool:
        return all(self._source.holds(batch.digest) for batch in ordered.batches)

    def _next_ordered(self, state: ExecutionState) -> OrderedTip:
        height = Height(state.height + 1)
        return self._waiting.get(height) or self._read_back(state, height)

    def _read_back(self, state: ExecutionState, height: Height) -> OrderedTip:
        block_id = self._chain_store.load_committed_id(height)
        stored = self._chain_store.load_tip(block_id) if block_id is not None else None
        if stored is None:
            raise BrokenInvariant(f"the committed tip of height {height} is not stored")
        tip = decode_whole(stored, lambda reader: Tip.decode(reader, self._genesis.validator_set.count))
        return self._executor.order(state, tip)

    def _execute(self, first: OrderedTip, commits: Sequence[Commit]) -> list[Execution]:
        """In a thread: executes this height and those behind it that can be, then one write, with their commits."""
        executions: list[Execution] = []
        puts = _all_puts(commits)
        last_height = commits[-1].blocks[-1].tip.header.height if commits else self._saved_height
        if first.tip.header.height > last_height:
            raise BrokenInvariant(f"height {first.tip.header.height} would be on disk as executed and not as committed")
        state, ordered = self.state, first
        while True:
            batches = _HeldBatches(self._source, [batch.digest for batch in ordered.batches])
            execution = self._executor.execute(state, ordered, batches)
            executions.append(execution)
            puts += execution_puts(execution) + self._transaction_puts(execution.block)
            state = execution.state
            if len(executions) >= GROUP_HEIGHTS_MAX or len(puts) >= GROUP_PUTS_MAX:
                break
            if state.height >= last_height or not self._is_known(Height(state.height + 1)):
                break
            ordered = self._next_ordered(state)
            if not self._is_held(ordered):
                break
        deletes = safety.SafetyStore.tip_deletes([execution.block.block_id for execution in executions])
        self._write(puts, deletes)
        return executions

    def _write(self, puts: Puts, deletes: Sequence[bytes] = ()) -> None:
        """In a thread."""
        self._failpoints.reach("execution_before_save")
        self._database.write(puts, deletes, sync=True)
        self._failpoints.reach("execution_after_save")

    def _transaction_puts(self, block: ExecutedBlock) -> Puts:
        """The final places of a block's transactions, as far as this node indexes them."""
        puts: Puts = []
        for namespace in block.namespaces:
            puts += self._index_puts(namespace.block.namespace, namespace.block.index, namespace.runs)
        return puts + transactions.TransactionStore.indexed_puts(block.height)

    def _index_puts(self, namespace: NamespaceId, index: int, runs: Sequence[Run]) -> Puts:
        puts: Puts = []
        for run in runs:
            if self._tx_index == "none" or (self._tx_index == "own" and run.lane != self._index):
                continue
            batch = self._source.load(run.digest)
            if batch is None or not run.item_count:
                continue
            segment = batch.encoded[run.offset : run.offset + run.byte_count]
            items = read_segment(segment, run.item_count, self._genesis.parameters.tx_bytes_max)
            if items is None:
                continue
            place = transactions.LaneRun(run.lane, run.seq, namespace, KIND_OPEN, 0)
            hashes = transaction_ids(namespace, KIND_OPEN, items)
            puts += transactions.TransactionStore.final_puts(place, index, run.first_position, hashes)
        return puts

    def _measure(self, block: ExecutedBlock, seconds: float) -> None:
        metrics = self._metrics
        metrics.observe(table.EXECUTION_DURATION, seconds)
        metrics.set(table.EXECUTION_HEIGHT, block.height)
        metrics.set(table.CONSENSUS_HEIGHT, block.height, "executed")
        metrics.set(table.EXECUTION_LAG, self.committed_height - block.height)
        metrics.add(table.EXECUTION_NAMESPACE_BLOCKS, len(block.namespaces))
        metrics.add(table.EXECUTION_TRANSACTIONS, sum(item.item_count for item in block.namespaces))
        metrics.add(table.EXECUTION_BYTES, sum(item.byte_count for item in block.namespaces))
        metrics.add(table.EXECUTION_INERT, block.dropped.inert_runs)
        for closed in block.closed_lanes:
            _log.error("lane_closed", lane=closed.lane, seq=closed.seq, height=block.height)
