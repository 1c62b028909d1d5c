"""What pruning takes away, and all that it must leave."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from consensus.numbers import BlockId, Hash, Height
from sequencer.node.pruning import KEEP_HEIGHTS, Pruning
from sequencer.node.recovery import Stores, first_record
from sequencer.telemetry.metrics import Metrics
from storage.batches import BatchLog
from storage.blocks import BlockStore
from storage.chain import ChainStore
from storage.database import Database
from storage.safety import SafetyStore
from storage.segments import BatchRecord
from tests.committee import Committee
from tests.stored_chain import StoredChain

SPACING_MS = 1_000
HEIGHTS = KEEP_HEIGHTS + 40
NOW_MS_AFTER = 10 * HEIGHTS * SPACING_MS  # after the genesis: everything is old


@pytest.fixture(scope="module")
def committee():
    return Committee()


@pytest.fixture
def home(committee, tmp_path):
    chain_id = committee.chain.chain_id
    with Database.open(tmp_path, chain_id) as database:
        log = BatchLog.open(tmp_path / "batches", database, chain_id, segment_bytes=2_000)
        home = StoredChain(committee, database, log)
        for place in range(HEIGHTS):
            home.execute(SPACING_MS * (place + 1), home.run.data(place % 4, b"block %d" % place * 8))
        yield home
        log.close()


def stores_of(home):
    lock: Any = None
    database = home.database
    return Stores(lock, database, home.log, SafetyStore(database), ChainStore(database), BlockStore(database))


def pruning(home, keep_s=1.0, **heights):
    everything = Height(HEIGHTS)
    progress: Any = SimpleNamespace(
        executed=SimpleNamespace(height=everything),
        attested_height=heights.get("attested", everything),
        settled_height=heights.get("settled", everything),
    )
    checkpoints: Any = SimpleNamespace(height=heights.get("checkpoint", everything))
    return Pruning(
        chain=replace(home.chain, l1_chain_id=31_337 if "settled" in heights else 0),
        stores=stores_of(home),
        keep_s=keep_s,
        progress=progress,
        checkpoints=checkpoints,
        metrics=Metrics("test"),
    )


def kept_tips(home):
    store = ChainStore(home.database)
    committed = store.list_committed(1, HEIGHTS)
    assert len(committed) == HEIGHTS  # commits are not pruned
    return [entry.height for entry in committed if store.load_tip(entry.block_id) is not None]


def held(home):
    return {stored.seq for lane in range(4) for stored in home.log.list_lane(lane, 1, HEIGHTS)}


async def prune(home, now_ms=NOW_MS_AFTER, **heights):
    return await pruning(home, **heights).prune(home.chain.time_ms + now_ms)


async def test_old_tips_and_batches_go_and_the_newest_heights_stay(home):
    before = held(home)
    freed = await prune(home)
    assert freed > 0
    assert ChainStore(home.database).load_prunable_height() == 40
    assert kept_tips(home) == list(range(40, HEIGHTS + 1))
    gone = before - held(home)
    assert gone
    assert max(gone) <= 40 // 4 + 1
    assert await prune(home) == 0


async def test_what_is_young_stays(home):
    young_from = 20
    await prune(home, now_ms=SPACING_MS * young_from, keep_s=1.0)
    assert ChainStore(home.database).load_prunable_height() == young_from - 1


@pytest.mark.parametrize("limit", ["attested", "settled", "checkpoint"])
async def test_nothing_goes_that_is_still_needed(home, limit):
    await prune(home, **{limit: Height(7)})
    assert ChainStore(home.database).load_prunable_height() == (6 if limit == "checkpoint" else 7)
    await prune(home, **{limit: Height(1)})  # never back
    assert ChainStore(home.database).load_prunable_height() == (6 if limit == "checkpoint" else 7)


async def test_the_tip_that_the_safety_record_names_stays(home):
    named = BlockId(Hash(ChainStore(home.database).load_committed_id(5) or b""))
    record = first_record(home.chain)
    record = replace(record, high_tip_id=named)
    home.database.write(SafetyStore.record_puts(record.encode(), {}), sync=True)
    await prune(home)
    assert kept_tips(home) == [5, *range(40, HEIGHTS + 1)]


async def test_a_batch_that_no_block_holds_yet_is_kept_however_old_it_is(home):
    waiting = BatchRecord(3, 10_000, bytes(32), 1, b"not ordered yet")
    # it stands in the oldest file: the log is made again with it at the front
    records = [BatchRecord(0, seq, seq.to_bytes(32, "big"), 1, bytes(300)) for seq in range(1, 7)]
    home.log.append_many([waiting, *records], lambda: 1)
    for seq in range(20, 60):
        home.log.append_many([BatchRecord(1, seq, seq.to_bytes(32, "little"), 1, bytes(300))], lambda: 1)
    await prune(home)
    assert home.log.read(bytes(32)) == b"not ordered yet"


async def test_without_a_time_everything_is_kept(home):
    await pruning(home, keep_s=0).run()
    assert kept_tips(home) == list(range(1, HEIGHTS + 1))


@pytest.mark.parametrize("why", ["not settled", "young"])
async def test_a_home_that_began_at_a_checkpoint_takes_nothing_before_it_may(home, why):
    """Its prunable height is the checkpoint's: what it attested before the jump may not be on the L1 yet."""
    home.database.write(ChainStore.prunable_puts(100), sync=True)
    before = held(home)
    if why == "not settled":
        await prune(home, settled=Height(0))
    else:
        await prune(home, now_ms=SPACING_MS * 20)
    assert held(home) == before
    assert kept_tips(home) == list(range(1, HEIGHTS + 1))


async def test_a_node_can_stop_between_two_files(home, monkeypatch):
    """A first round may take hours: SIGTERM ends it after the file at hand."""
    removed = []
    prune_oldest = BatchLog.prune_oldest

    def remove(log, is_needed):
        removed.append(is_needed)
        trio.from_thread.run_sync(scope.cancel)
        return prune_oldest(log, is_needed)

    monkeypatch.setattr(BatchLog, "prune_oldest", remove)
    with trio.CancelScope() as scope:
        await prune(home)
    assert len(removed) == 1
