"""What a start makes of the disk that a crash, or an operator, left."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from consensus.numbers import ValidatorIndex
from consensus.ordering.cut import LanePosition, lane_start
from consensus.vocabulary.batch import KIND_OPEN, transaction_id
from sequencer.lanes.bounds import LaneBounds
from sequencer.lanes.lanes import Lanes
from sequencer.node.recovery import Stores, adopt_own_batches, guard_key, recover_lanes, stored_above
from storage.batches import BatchLog
from storage.blocks import BlockStore
from storage.chain import ChainStore
from storage.database import Database
from storage.errors import OtherKey, SafetyRecordLost, SafetyRecordRolledBack
from storage.home import DirectoryLock
from storage.safety import OwnHead, SafetyStore
from storage.segments import BatchRecord
from storage.transactions import TransactionStore
from tests.committee import FIRST, Committee, LaneWriter, Segment

OWN = ValidatorIndex(0)


@pytest.fixture
def committee():
    return Committee()


@pytest.fixture
def stores(tmp_path, committee):
    chain_id = committee.chain.chain_id
    database = Database.open(tmp_path, chain_id)
    batches = BatchLog.open(tmp_path / "batches", database, chain_id)
    opened = Stores(
        DirectoryLock.acquire(tmp_path / "keys"),
        database,
        batches,
        SafetyStore(database),
        ChainStore(database),
        BlockStore(database),
    )
    yield opened
    opened.close()


def hold(stores, batch):
    header = batch.header
    record = BatchRecord(header.author, header.seq, header.digest, 1, batch.encoded)
    stores.batches.append_many([record], lambda: 2)


def save_head(stores, batch):
    head = OwnHead(batch.header.seq, batch.digest, batch.header.encoded)
    stores.database.write(SafetyStore.own_head_puts(head), sync=True)


def cut_after(batch):
    cut = list(lane_start(4))
    cut[OWN] = LanePosition(batch.header.seq, batch.digest)
    return tuple(cut)


def test_an_own_batch_without_its_head_is_adopted_for_good(committee, stores):
    chain, writer = committee.chain, LaneWriter(committee, OWN)
    one, two = writer.seal(Segment(FIRST, (b"a",))), writer.seal(Segment(FIRST, (b"b",)))
    hold(stores, one)
    save_head(stores, one)
    hold(stores, two)  # killed here: synced, the head not saved

    adopt_own_batches(chain, stores, OWN)
    lanes = Lanes(
        chain, OWN, LaneBounds(), recover_lanes(stores, cut_after(one), stored_above(chain, stores, lane_start(4)))
    )
    assert lanes.own_next() == (3, two.digest)

    adopt_own_batches(chain, stores, OWN)  # it was ordered, nothing new was sealed, and the node starts again
    lanes = Lanes(
        chain, OWN, LaneBounds(), recover_lanes(stores, cut_after(two), stored_above(chain, stores, lane_start(4)))
    )
    assert lanes.own_next() == (3, two.digest)


def test_the_transactions_of_an_adopted_batch_are_found_by_their_hashes(committee, stores):
    batch = LaneWriter(committee, OWN).seal(Segment(FIRST, (b"a", b"b")))
    hold(stores, batch)  # killed here: neither its head nor its index is saved
    adopt_own_batches(committee.chain, stores, OWN)
    index = TransactionStore(stores.database)
    found = [index.load_places(transaction_id(FIRST, KIND_OPEN, item)) for item in (b"a", b"b")]
    assert [[(place.seq, place.index) for place in places.sealed] for places in found if places] == [[(1, 0)], [(1, 1)]]


def test_a_head_that_is_newer_than_the_files_stays(committee, stores):
    writer = LaneWriter(committee, OWN)
    one, two = writer.seal(Segment(FIRST, (b"a",))), writer.seal(Segment(FIRST, (b"b",)))
    hold(stores, one)
    save_head(stores, two)
    adopt_own_batches(committee.chain, stores, OWN)
    assert stores.safety.load_own_head().seq == 2


@pytest.fixture
def config(tmp_path):
    (tmp_path / "keys").mkdir(exist_ok=True)
    return SimpleNamespace(keys_dir=tmp_path / "keys", data_dir=tmp_path / "data")


def test_a_key_starts_again_with_its_own_record(config, committee, stores):
    guard_key(config, committee.chain, stores, b"key one")
    guard_key(config, committee.chain, stores, b"key one")


def test_the_data_of_another_key_is_refused(config, committee, stores):
    guard_key(config, committee.chain, stores, b"key one")
    with pytest.raises(OtherKey, match="another validator's key"):
        guard_key(config, committee.chain, stores, b"key two")


def test_a_used_key_on_empty_data_is_refused(config, committee, stores, tmp_path):
    guard_key(config, committee.chain, stores, b"key one")
    other = Database.open(tmp_path / "other", committee.chain.chain_id)
    try:
        empty = replace(stores, database=other, safety=SafetyStore(other))
        with pytest.raises(SafetyRecordLost):
            guard_key(config, committee.chain, empty, b"key one")
    finally:
        other.close()


def test_an_older_copy_of_the_data_is_refused(config, committee, stores, tmp_path):
    guard_key(config, committee.chain, stores, b"key one")
    other = Database.open(tmp_path / "other", committee.chain.chain_id)
    try:
        copied = replace(stores, database=other, safety=SafetyStore(other))
        other.write(stores.database.iterate(b"s", limit=100), sync=True)
        guard_key(config, committee.chain, stores, b"key one")
        with pytest.raises(SafetyRecordRolledBack):
            guard_key(config, committee.chain, copied, b"key one")
    finally:
        other.close()
