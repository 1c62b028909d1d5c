"""The batch log on disk, without crashes: holding, finding, reading, rotation, forks, repeats."""

import hashlib
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.batch_index import StoredBatch
from storage.batches import BatchLog
from storage.database import Database
from storage.errors import DamagedRecord, OtherChain, StorageFault
from storage.keyspace import BATCH_INDEX_COMPLETE, BATCH_LANE, U32, id_key
from storage.segments import HEAD_BYTES, RECORD_HEAD_BYTES, BatchRecord, file_name

CHAIN_ID = b"\x01" * 32
ARRIVAL_MS = 1_700_000_000_500


def batch_record(author: int, seq: int, batch: bytes | None = None) -> BatchRecord:
    content = batch or b"batch %d of %d" % (seq, author)
    digest = hashlib.sha256(b"%d/%d/" % (author, seq) + content).digest()
    return BatchRecord(author, seq, digest, 1_700_000_000_000 + seq, content)


def arrival() -> int:
    return ARRIVAL_MS


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(tmp_path / "home", CHAIN_ID) as opened:
        yield opened


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "home" / "data" / "batches"


@pytest.fixture
def log(directory: Path, database: Database) -> Iterator[BatchLog]:
    opened = BatchLog.open(directory, database, CHAIN_ID, segment_bytes=1_000)
    yield opened
    opened.close()


def test_an_empty_log_holds_nothing(log, directory):
    assert log.read(bytes(32)) is None
    assert not log.contains(bytes(32))
    assert log.list_lane(0, 0, 10) == []
    assert log.append_many([], arrival) == []
    assert list(directory.iterdir()) == []


def test_appended_batches_are_held_where_the_log_says(log, directory):
    records = [batch_record(3, seq) for seq in range(1, 4)]
    stored = log.append_many(records, arrival)
    assert [(one.author, one.seq, one.digest) for one in stored] == [(r.author, r.seq, r.digest) for r in records]
    assert {one.arrival_ms for one in stored} == {ARRIVAL_MS}
    assert stored[0].offset == HEAD_BYTES
    content = (directory / file_name(1)).read_bytes()
    for one, record in zip(stored, records, strict=True):
        start = one.offset + RECORD_HEAD_BYTES
        assert content[start : start + one.length] == record.batch
        assert log.read(record.digest) == record.batch
        assert log.contains(record.digest)
        assert log.find(record.digest) == one


def test_the_arrival_is_asked_once_a_group_and_only_after_the_sync(directory, database, monkeypatch):
    order: list[str] = []
    sync = os.fdatasync

    def noted_sync(descriptor: int) -> None:
        sync(descriptor)
        order.append("sync")

    def noted_arrival() -> int:
        order.append("arrival")
        return ARRIVAL_MS

    monkeypatch.setattr(os, "fdatasync", noted_sync)
    log = BatchLog.open(directory, database, CHAIN_ID)
    log.append_many([batch_record(0, seq) for seq in range(10)], noted_arrival)
    log.close()
    assert order == ["sync", "arrival"]


def test_full_files_are_rotated_and_everything_stays_readable(log, directory, database):
    records = [batch_record(0, seq, bytes([seq]) * 200) for seq in range(1, 20)]
    for record in records[:10]:
        log.append_many([record], arrival)
    log.append_many(records[10:], arrival)
    sizes = [path.stat().st_size for path in sorted(directory.iterdir())]
    assert len(sizes) == 7
    assert max(sizes) <= 1_000
    assert [log.read(record.digest) for record in records] == [record.batch for record in records]
    assert database.get(BATCH_INDEX_COMPLETE) == U32.pack(7)


def test_a_batch_larger_than_a_file_gets_a_file_of_its_own(log, directory):
    large = batch_record(0, 2, b"x" * 5_000)
    log.append_many([batch_record(0, 1), large, batch_record(0, 3)], arrival)
    assert len(list(directory.iterdir())) == 3
    assert log.read(large.digest) == large.batch


def test_a_first_batch_larger_than_a_file_leaves_no_empty_file(log, directory):
    log.append_many([batch_record(0, 1, b"x" * 5_000)], arrival)
    assert len(list(directory.iterdir())) == 1


def test_a_file_takes_a_bounded_number_of_records(directory, database, monkeypatch):
    monkeypatch.setattr("storage.batches.SEGMENT_RECORDS_MAX", 4)
    log = BatchLog.open(directory, database, CHAIN_ID)
    log.append_many([batch_record(0, seq) for seq in range(10)], arrival)
    log.close()
    assert len(list(directory.iterdir())) == 3


def test_a_batch_already_held_is_not_written_again(log, directory):
    first = log.append_many([batch_record(0, 1)], arrival)
    size = (directory / file_name(1)).stat().st_size
    again = log.append_many([batch_record(0, 1)], lambda: ARRIVAL_MS + 1)
    assert again == first
    assert (directory / file_name(1)).stat().st_size == size


def test_a_batch_handed_in_twice_at_once_is_written_once(log):
    one, other = log.append_many([batch_record(0, 1), batch_record(0, 1)], arrival)
    assert one == other
    assert len(log.list_lane(0, 1, 10)) == 1


def test_lanes_are_listed_by_seq_with_forks_side_by_side(log):
    forks = [batch_record(1, 2, content) for content in (b"this", b"that")]
    others = [batch_record(0, 9), batch_record(1, 1), batch_record(1, 300), batch_record(2, 1)]
    log.append_many([*others, *forks], arrival)
    assert [one.seq for one in log.list_lane(1, 0, 10)] == [1, 2, 2, 300]
    assert [one.digest for one in log.list_lane(1, 2, 2)] == sorted(record.digest for record in forks)
    assert [one.seq for one in log.list_lane(1, 3, 10)] == [300]
    assert log.list_lane(1, 301, 10) == []
    assert [log.read(record.digest) for record in forks] == [b"this", b"that"]


def test_reads_run_beside_appends(log):
    records = [batch_record(0, seq, random.Random(seq).randbytes(150)) for seq in range(1, 60)]
    failures: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            for record in records:
                if log.read(record.digest) not in {None, record.batch}:
                    failures.append(record)

    reader = threading.Thread(target=read)
    reader.start()
    for record in records:
        log.append_many([record], arrival)
    done.set()
    reader.join()
    assert failures == []


def test_several_threads_append_at_once(log):
    def append(author: int) -> None:
        for seq in range(20):
            log.append_many([batch_record(author, seq)], arrival)

    threads = [threading.Thread(target=append, args=(author,)) for author in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for author in range(4):
        listed = log.list_lane(author, 0, 100)
        assert [one.seq for one in listed] == list(range(20))
        assert [log.read_stored(one) for one in listed] == [batch_record(author, seq).batch for seq in range(20)]


def test_reopening_keeps_everything_and_carries_on(log, directory, database):
    records = [batch_record(0, seq, bytes([seq]) * 200) for seq in range(1, 10)]
    stored = log.append_many(records, arrival)
    log.close()
    reopened = BatchLog.open(directory, database, CHAIN_ID, segment_bytes=1_000)
    assert [reopened.find(record.digest) for record in records] == stored
    reopened.append_many([batch_record(0, 10)], arrival)
    assert [one.seq for one in reopened.list_lane(0, 1, 100)] == list(range(1, 11))
    reopened.close()


def test_a_closed_log_refuses_appends_and_closes_twice(log):
    log.close()
    log.close()
    with pytest.raises(StorageFault, match="closed"):
        log.append_many([batch_record(0, 1)], arrival)


def test_an_unfit_record_is_refused_and_the_log_goes_on(log):
    with pytest.raises(ValueError, match="0 bytes"):
        log.append_many([batch_record(0, 1), BatchRecord(0, 2, bytes(32), 1, b"")], arrival)
    log.append_many([batch_record(0, 3)], arrival)
    assert log.read(batch_record(0, 3).digest) == batch_record(0, 3).batch


def test_damage_is_met_by_the_read_and_named(log, directory):
    log.append_many([batch_record(0, 1), batch_record(0, 2)], arrival)
    second = log.find(batch_record(0, 2).digest)
    path = directory / file_name(1)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedRecord, match=f"{file_name(1)} at byte {second.offset}"):
        log.read(batch_record(0, 2).digest)
    assert log.read(batch_record(0, 1).digest) == batch_record(0, 1).batch


def test_an_index_that_points_at_another_batch_is_noticed(log):
    one, other = log.append_many([batch_record(0, 1), batch_record(0, 2)], arrival)
    with pytest.raises(DamagedRecord, match="another batch"):
        log.read_stored(StoredBatch(0, 1, one.digest, 0, other.file, other.offset, other.length))


def test_a_file_that_vanished_is_a_fault(log, directory):
    log.append_many([batch_record(0, 1)], arrival)
    (directory / file_name(1)).unlink()
    with pytest.raises(StorageFault, match="reading"):
        log.read(batch_record(0, 1).digest)


def test_a_lane_entry_without_its_batch_is_a_fault(log, database):
    log.append_many([batch_record(0, 1)], arrival)
    database.write([], [id_key(b"bd", batch_record(0, 1).digest)], sync=True)
    assert database.iterate(BATCH_LANE, limit=1)
    with pytest.raises(StorageFault, match="index of lanes"):
        log.list_lane(0, 1, 1)


def test_an_unreadable_index_entry_is_a_fault(log, database):
    database.write([(id_key(b"bd", bytes(32)), b"short")], sync=True)
    with pytest.raises(StorageFault, match="unreadable"):
        log.find(bytes(32))


def test_files_of_another_chain_are_refused(log, directory, tmp_path):
    log.append_many([batch_record(0, 1)], arrival)
    with Database.open(tmp_path / "other", b"\x02" * 32) as other, pytest.raises(OtherChain):
        BatchLog.open(directory, other, b"\x02" * 32)


@pytest.mark.parametrize("name", ["notes.seg", "1.seg"])
def test_a_strange_file_among_the_segments_is_refused(log, directory, database, name):
    (directory / name).touch()
    with pytest.raises(StorageFault, match="not a segment file"):
        BatchLog.open(directory, database, CHAIN_ID)
