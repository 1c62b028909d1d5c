"""Execution as the driver carries it out: heights that wait share a synced write, and are told after it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
import trio.testing

from consensus.numbers import Digest, Height
from consensus.ordering.effective import OrderedBatch
from consensus.replica.effects import Commit, CommittedBlock
from consensus.vocabulary.batch import Batch
from consensus.vocabulary.certificates import genesis_qc
from consensus.vocabulary.tip import Tip
from sequencer.execution.execute import Execution, Executor
from sequencer.node import execution_driver
from sequencer.node.execution_driver import ExecutionDriver, ExecutionPorts
from sequencer.node.failpoints import Failpoints
from sequencer.telemetry.metrics import Metrics
from storage.blocks import BlockStore
from storage.chain import ChainStore
from storage.database import Database
from tests.chain_run import ChainRun
from tests.committee import Committee

HEIGHTS = 10


class Disk:
    """The database, counting synced writes, of which each may be made to wait."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.writes = 0

    def write(self, puts: Any, deletes: Any = (), *, sync: bool = False) -> None:
        self._database.write(puts, deletes, sync=sync)
        self.writes += sync

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


class Held:
    """The batches that are held."""

    def __init__(self, batches: dict[Digest, Batch]) -> None:
        self.batches = dict(batches)
        self.arrived = trio.Event()

    def load(self, digest: Digest) -> Batch | None:
        return self.batches.get(digest)

    def holds(self, digest: Digest) -> bool:
        return digest in self.batches

    async def until_held(self, ordered: Sequence[OrderedBatch]) -> None:
        while not all(self.holds(batch.digest) for batch in ordered):
            await self.arrived.wait()


class Bench:
    """A chain, and a driver that executes it."""

    def __init__(self, database: Database) -> None:
        self.run = ChainRun(Committee())
        self.tips = [self.run.tips.tip(100 * n, self._sealed(n)) for n in range(1, HEIGHTS + 1)]
        self.blocks = self._ordered()
        self.expected = [self.run.execute(tip).block for tip in self.tips]
        self.database = Disk(database)
        self.held = Held(self.run.batches)
        self.told: list[tuple[int, int]] = []  # height, and writes by then
        self.saved: list[tuple[int, int]] = []  # likewise, of a commit's last height
        self.executed: list[Execution] = []
        chain = self.run.committee.chain
        self.driver = ExecutionDriver(
            genesis=chain,
            index=self.run.committee.chain.validator_set.leader(1),  # type: ignore[arg-type]
            tx_index="all",
            database=self.database,  # type: ignore[arg-type]
            source=self.held,  # type: ignore[arg-type]
            state=Executor(chain).start(),
            ports=ExecutionPorts(self.held.until_held, self._saved, self._executed),
            metrics=Metrics("test"),
            failpoints=Failpoints(),
        )

    def _sealed(self, number: int) -> dict[int, list[Batch]]:
        sealed = self.run.data(number % 4, b"data of %d" % number)
        self.run.batches.update((batch.digest, batch) for batches in sealed.values() for batch in batches)
        return sealed

    def _executed(self, execution: Execution) -> None:
        height = execution.block.height
        assert BlockStore(self.database).load_executed_block(height) is not None  # type: ignore[arg-type]
        self.told.append((height, self.database.writes))
        self.executed.append(execution)

    def _saved(self, commit: Commit) -> None:
        last = ChainStore(self.database).load_last_committed()  # type: ignore[arg-type]
        height = commit.blocks[-1].tip.header.height
        assert last is not None
        assert last.height >= height
        assert not self.told or self.told[-1][0] < height, "a height was told before its commit"
        self.saved.append((height, self.database.writes))

    def store(self, tips: Sequence[Tip]) -> None:
        for tip in tips:
            puts = ChainStore.tip_puts(tip.id, tip.encoded) + ChainStore.commit_puts(tip.header.height, tip.id)
            self.database.write(puts)

    def commit(self, tips: Sequence[Tip]) -> None:
        """As consensus tells it."""
        qc = genesis_qc(self.run.committee.chain.chain_id, 0, 4)
        self.driver.note_committed(Commit(tuple(self.blocks[tip.header.height - 1] for tip in tips), qc, qc))

    def _ordered(self) -> list[CommittedBlock]:
        executor = Executor(self.run.committee.chain)
        state, blocks = executor.start(), []
        for tip in self.tips:
            ordered = executor.order(state, tip)
            blocks.append(CommittedBlock(tip, ordered.effective, ordered.batches))
            state = executor.execute(state, ordered, self.run.batches).state
        return blocks

    async def until(self, condition: Callable[[], bool]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.driver.run)
            with trio.fail_after(10):
                while not condition():
                    await trio.testing.wait_all_tasks_blocked(0.001)
            nursery.cancel_scope.cancel()


@pytest.fixture
def bench(tmp_path):
    with Database.open(tmp_path, Committee().chain.chain_id) as database:
        yield Bench(database)


@pytest.mark.parametrize("is_told", [True, False])
async def test_all_heights_that_wait_share_one_write(bench, is_told):
    """Whether consensus has told of them, or they are read back from the disk."""
    if is_told:
        bench.commit(bench.tips)
    else:
        bench.store(bench.tips)
        bench.driver.note_recovered(Height(HEIGHTS))
    await bench.until(lambda: len(bench.told) == HEIGHTS)
    assert bench.told == [(height, 1) for height in range(1, HEIGHTS + 1)]
    assert [execution.block for execution in bench.executed] == bench.expected
    assert bench.driver.state == bench.run.state
    assert not bench.driver._waiting


async def test_a_write_has_at_most_so_many_heights(bench, monkeypatch):
    monkeypatch.setattr(execution_driver, "GROUP_HEIGHTS_MAX", 4)
    bench.commit(bench.tips)
    await bench.until(lambda: len(bench.told) == HEIGHTS)
    assert [writes for _, writes in bench.told] == [1] * 4 + [2] * 4 + [3] * 2
    assert [execution.block for execution in bench.executed] == bench.expected


async def test_a_write_takes_no_further_height_once_it_is_large(bench, monkeypatch):
    monkeypatch.setattr(execution_driver, "GROUP_PUTS_MAX", 1)
    bench.commit(bench.tips)
    await bench.until(lambda: len(bench.told) == HEIGHTS)
    assert bench.told == [(height, height) for height in range(1, HEIGHTS + 1)]


async def test_what_stands_before_a_missing_batch_is_written_and_nothing_behind_it(bench):
    bench.commit(bench.tips)
    missing = bench.expected[4].namespaces[0].runs[0].digest
    batch = bench.held.batches.pop(missing)
    await bench.until(lambda: len(bench.told) == 4)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert bench.told == [(height, 1) for height in range(1, 5)]
    bench.held.batches[missing] = batch
    bench.driver.note_recovered(Height(HEIGHTS))
    await bench.until(lambda: len(bench.told) == HEIGHTS)
    assert bench.told[4:] == [(height, 2) for height in range(5, HEIGHTS + 1)]
    assert [execution.block for execution in bench.executed] == bench.expected


async def test_commits_share_the_write_of_the_heights_they_bring(bench):
    for tip in bench.tips[:3]:
        bench.commit([tip])
    await bench.until(lambda: len(bench.told) == 3)
    assert bench.told == [(height, 1) for height in (1, 2, 3)]
    assert bench.saved == bench.told


async def test_what_is_committed_while_a_batch_is_missing_is_written_alone(bench):
    """Else a node that waits for one batch would call nothing final, and forget it all in a crash."""
    missing = bench.expected[0].namespaces[0].runs[0].digest
    batch = bench.held.batches.pop(missing)
    bench.commit(bench.tips[:1])
    await bench.until(lambda: len(bench.saved) == 1)
    bench.commit(bench.tips[1:2])
    await bench.until(lambda: len(bench.saved) == 2)
    assert (bench.saved, bench.told) == ([(1, 1), (2, 2)], [])
    bench.held.batches[missing] = batch
    bench.driver.note_recovered(Height(2))
    await bench.until(lambda: len(bench.told) == 2)
    assert bench.told == [(1, 3), (2, 3)]
    assert len(bench.saved) == 2


async def test_commits_that_found_no_room_are_written_before_they_are_read_back(bench, monkeypatch):
    monkeypatch.setattr(execution_driver, "QUEUE_MAX", 2)
    for tip in bench.tips:
        bench.commit([tip])
    await bench.until(lambda: len(bench.told) == HEIGHTS)
    assert [execution.block for execution in bench.executed] == bench.expected


async def test_a_height_whose_commit_came_during_the_write_waits_for_the_next(bench, monkeypatch):
    """Else it would be on disk as executed and not as committed."""
    execute, commits = bench.driver._executor.execute, [bench.tips[1]]
    token = trio.lowlevel.current_trio_token()

    def commit_then_execute(*arguments):
        if commits:
            trio.from_thread.run_sync(bench.commit, [commits.pop()], trio_token=token)
        return execute(*arguments)

    monkeypatch.setattr(bench.driver._executor, "execute", commit_then_execute)
    bench.commit(bench.tips[:1])
    await bench.until(lambda: len(bench.told) == 2)
    assert bench.told == bench.saved == [(1, 1), (2, 2)]


@pytest.mark.parametrize("_", range(8))  # trio wakes the two who wait in any order
async def test_a_commit_told_in_the_moment_the_missing_batch_arrives_is_written(bench, _):
    """Else its height would be on disk as executed and not as committed, and the next start refused."""
    missing = bench.expected[0].namespaces[0].runs[0].digest
    batch = bench.held.batches.pop(missing)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.driver.run)
        bench.commit(bench.tips[:1])
        with trio.fail_after(10):
            while not bench.saved:
                await trio.testing.wait_all_tasks_blocked(0.001)
        bench.commit(bench.tips[1:2])
        bench.held.batches[missing] = batch
        bench.held.arrived.set()
        with trio.fail_after(10):
            while len(bench.told) < 2:
                await trio.testing.wait_all_tasks_blocked(0.001)
        nursery.cancel_scope.cancel()
    assert [commit.height for commit in ChainStore(bench.database).list_from(Height(1), 10)] == [1, 2]
    assert [height for height, _ in bench.saved] == [1, 2]
