"""What is kept of the L1, on a real database: also after reopening, and never what is damaged."""

import pytest

from storage.database import Database
from storage.errors import StorageFault
from storage.keyspace import L1_CURSOR, encode_u64
from storage.settlement import AttemptRecord, L1Cursor, SettlementStore

CHAIN_ID = b"\x01" * 32
HASH = b"\x02" * 32


@pytest.fixture
def database(tmp_path):
    with Database.open(tmp_path, CHAIN_ID) as opened:
        yield opened


@pytest.fixture
def store(database):
    return SettlementStore(database)


def keep_batches(database, *batches):
    """Batches as (index, last height), their records naming the index."""
    puts = [put for index, last in batches for put in SettlementStore.batch_puts(index, last, b"batch %d" % index)]
    database.write(puts + SettlementStore.cursor_puts(L1Cursor(99, HASH)), sync=True)


def test_an_empty_home_has_nothing(store):
    assert store.load_cursor() is None
    assert store.load_newest_batch() is None
    assert store.load_batch(1) is None
    assert store.load_batch_covering(1) is None
    assert store.list_shares(1, 10) == []
    assert store.list_attempts(10) == []


@pytest.mark.parametrize("number", [0, 1, 2**64 - 1])
def test_a_cursor_comes_back_and_is_replaced(database, store, number):
    database.write(SettlementStore.cursor_puts(L1Cursor(5, bytes(32))), sync=True)
    database.write(SettlementStore.cursor_puts(L1Cursor(number, HASH)), sync=True)
    assert store.load_cursor() == L1Cursor(number, HASH)


@pytest.mark.parametrize("value", [b"", encode_u64(7), encode_u64(7) + HASH[:-1], encode_u64(7) + HASH + b"\x00"])
def test_an_unreadable_cursor_is_a_fault_and_not_a_beginning(database, store, value):
    database.write([(L1_CURSOR, value)], sync=True)
    with pytest.raises(StorageFault, match="damaged"):
        store.load_cursor()


def test_a_cursor_without_a_hash_is_not_written():
    with pytest.raises(ValueError, match="32"):
        SettlementStore.cursor_puts(L1Cursor(7, b"short"))


def test_a_height_is_found_in_the_batch_that_covers_it(database, store):
    keep_batches(database, (1, 10), (2, 11), (3, 300))
    covering = {height: store.load_batch_covering(height) for height in (1, 9, 10, 11, 12, 255, 256, 300, 301)}
    assert covering == {
        1: b"batch 1",
        9: b"batch 1",
        10: b"batch 1",
        11: b"batch 2",
        12: b"batch 3",
        255: b"batch 3",
        256: b"batch 3",
        300: b"batch 3",
        301: None,  # no final batch holds it yet
    }


def test_the_newest_batch_is_the_one_with_the_highest_index(database, store):
    keep_batches(database, *((index, 10 * index) for index in range(1, 301)))
    assert store.load_newest_batch() == b"batch 300"
    assert store.load_batch(255) == b"batch 255"
    assert store.load_batch(301) is None


def test_shares_of_one_index_are_listed_and_no_others(database, store):
    puts = SettlementStore.share_puts(7, 20, 0, b"held 20") + SettlementStore.share_puts(7, 20, 1, b"calldata 20")
    puts += SettlementStore.share_puts(7, 15, 0, b"held 15")  # another range of the same index is no offence
    puts += SettlementStore.share_puts(8, 30, 0, b"held 30")
    database.write(puts, sync=True)
    assert store.list_shares(7, 10) == [b"held 15", b"held 20", b"calldata 20"]
    assert store.list_shares(7, 2) == [b"held 15", b"held 20"]
    assert store.list_shares(8, 10) == [b"held 30"]
    assert store.list_shares(6, 10) == []


def test_a_share_signed_again_stands_once(database, store):
    for signature in (b"first", b"again"):
        database.write(SettlementStore.share_puts(7, 20, 0, signature), sync=True)
    assert store.list_shares(7, 10) == [b"again"]


def test_attempts_come_with_the_highest_nonce_first(database, store):
    for nonce in (3, 0, 256, 255, 2**63):
        database.write(SettlementStore.attempt_puts(nonce, b"attempt %d" % nonce), sync=True)
    database.write(SettlementStore.attempt_puts(3, b"attempt 3, sent"), sync=True)
    assert [entry.nonce for entry in store.list_attempts(10)] == [2**63, 256, 255, 3, 0]
    assert store.list_attempts(10)[3] == AttemptRecord(3, b"attempt 3, sent")
    assert [entry.nonce for entry in store.list_attempts(2)] == [2**63, 256]


def test_everything_is_there_after_a_restart(tmp_path):
    with Database.open(tmp_path, CHAIN_ID) as database:
        keep_batches(database, (1, 10))
        database.write(SettlementStore.share_puts(2, 20, 0, b"share"), sync=True)
        database.write(SettlementStore.attempt_puts(0, b"attempt"), sync=True)
    with Database.open(tmp_path, CHAIN_ID) as database:
        store = SettlementStore(database)
        assert store.load_cursor() == L1Cursor(99, HASH)
        assert store.load_newest_batch() == store.load_batch_covering(4) == b"batch 1"
        assert store.list_shares(2, 1) == [b"share"]
        assert store.list_attempts(1) == [AttemptRecord(0, b"attempt")]
