"""What the batch log is after a crash: torn tails cut, lost index entries found again, damage refused.

A crash is made by putting a home back together from parts: the database as it was at one moment, the files at another.
"""

import os
import shutil
from pathlib import Path

import pytest

from storage.batches import BatchLog
from storage.database import Database
from storage.errors import DamagedRecord, StorageFault
from storage.home import batches_directory, database_directory
from storage.keyspace import BATCH_DIGEST, BATCH_INDEX_COMPLETE, BATCH_LANE, BATCH_SYNCED_END
from storage.segments import HEAD_BYTES, RECORD_HEAD_BYTES, BatchRecord, file_name

CHAIN_ID = b"\x01" * 32
ARRIVAL_MS = 5_000
RECEIVED_MS = 4_000
SEGMENT_BYTES = 1_000


def batch_record(seq: int, size: int = 20) -> BatchRecord:
    return BatchRecord(7, seq, seq.to_bytes(32, "big"), RECEIVED_MS, bytes([seq % 256]) * size)


class Opened:
    """A home with its database and log, closed together."""

    def __init__(self, home: Path) -> None:
        self.database = Database.open(home, CHAIN_ID)
        try:
            self.log = BatchLog.open(batches_directory(home), self.database, CHAIN_ID, segment_bytes=SEGMENT_BYTES)
        except BaseException:
            self.database.close()
            raise

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()
        self.database.close()

    def append(self, *records: BatchRecord) -> None:
        self.log.append_many(records, lambda: ARRIVAL_MS)

    def seqs(self) -> list[int]:
        listed = self.log.list_lane(7, 0, 1_000)
        assert [self.log.read_stored(one) for one in listed] == [
            batch_record(one.seq, one.length).batch for one in listed
        ]
        return [one.seq for one in listed]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def segment(home: Path, number: int = 1) -> Path:
    return batches_directory(home) / file_name(number)


def without_index(home: Path, *prefixes: bytes) -> None:
    """Take index entries out of the database, as a power cut may."""
    with Database.open(home, CHAIN_ID) as database:
        for prefix in prefixes:
            database.write([], [key for key, _ in database.iterate(prefix, limit=10_000)], sync=True)


@pytest.mark.parametrize("group", [[3], [3, 4]])
def test_a_torn_tail_of_any_length_is_cut_off(home, tmp_path, group):
    with Opened(home) as opened:
        opened.append(batch_record(1), batch_record(2))
    before = tmp_path / "before"
    shutil.copytree(home, before)
    synced_bytes = segment(home).stat().st_size
    with Opened(home) as opened:
        opened.append(*map(batch_record, group))
    after = segment(home).read_bytes()
    record_bytes = (len(after) - synced_bytes) // len(group)

    for length in range(synced_bytes, len(after) + 1):
        crashed = tmp_path / "crashed"
        shutil.copytree(before, crashed)
        segment(crashed).write_bytes(after[:length])
        whole = (length - synced_bytes) // record_bytes
        with Opened(crashed) as opened:
            assert opened.seqs() == [1, 2, *group[:whole]]
            assert segment(crashed).stat().st_size == synced_bytes + whole * record_bytes
            opened.append(batch_record(9))
            assert opened.seqs() == [1, 2, *group[:whole], 9]
        with Opened(crashed) as opened:
            assert opened.seqs() == [1, 2, *group[:whole], 9]
        shutil.rmtree(crashed)


def test_a_synced_record_cut_at_any_length_is_damage_and_nothing_is_changed(home):
    with Opened(home) as opened:
        opened.append(batch_record(1))
        opened.append(batch_record(2))
    whole = segment(home).read_bytes()
    for length in range(HEAD_BYTES, len(whole)):
        segment(home).write_bytes(whole[:length])
        with pytest.raises(DamagedRecord, match=file_name(1)):
            Opened(home)
        assert segment(home).read_bytes() == whole[:length]
    segment(home).write_bytes(whole)
    with Opened(home) as opened:
        assert opened.seqs() == [1, 2]


@pytest.mark.parametrize("lost", [[], [BATCH_DIGEST, BATCH_LANE, BATCH_SYNCED_END]], ids=["index kept", "index lost"])
def test_a_flipped_bit_in_a_middle_record_is_damage_wherever_it_is(home, lost):
    with Opened(home) as opened:
        for seq in (1, 2, 3):
            opened.append(batch_record(seq))
    if lost:
        without_index(home, *lost)
    whole = segment(home).read_bytes()
    record_bytes = RECORD_HEAD_BYTES + 20
    second = HEAD_BYTES + record_bytes
    for position in range(second, second + record_bytes):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        segment(home).write_bytes(damaged)
        with pytest.raises(DamagedRecord) as caught:
            Opened(home)
        assert (caught.value.path, caught.value.offset) == (segment(home), second)


def test_lost_index_entries_are_found_again_with_the_time_the_bytes_came(home):
    with Opened(home) as opened:
        opened.append(batch_record(1))
        opened.append(batch_record(2), batch_record(3))
    without_index(home, BATCH_DIGEST + batch_record(2).digest, BATCH_LANE, BATCH_SYNCED_END)
    with Opened(home) as opened:
        assert opened.seqs() == [1, 2, 3]
        arrivals = [one.arrival_ms for one in opened.log.list_lane(7, 0, 10)]
        assert arrivals == [ARRIVAL_MS, RECEIVED_MS, ARRIVAL_MS]


def test_a_wholly_lost_database_is_indexed_again_from_all_files(home):
    with Opened(home) as opened:
        opened.append(*[batch_record(seq, 200) for seq in range(1, 15)])
    shutil.rmtree(database_directory(home))
    with Opened(home) as opened:
        assert opened.seqs() == list(range(1, 15))
        assert opened.database.get(BATCH_INDEX_COMPLETE) is not None


def test_only_files_not_marked_complete_are_scanned(home):
    with Opened(home) as opened:
        opened.append(*[batch_record(seq, 200) for seq in range(1, 15)])
    damaged = bytearray(segment(home, 1).read_bytes())
    damaged[-1] ^= 1
    segment(home, 1).write_bytes(damaged)
    with Opened(home) as opened:
        with pytest.raises(DamagedRecord):
            opened.seqs()
        opened.append(batch_record(99))


def test_the_mark_of_a_complete_file_never_comes_without_its_entries(home, monkeypatch):
    """Plain entries may be lost although a later synced mark survives; so the entries are synced first, again."""
    writes: list[tuple[list[bytes], bool]] = []
    write = Database.write

    def noted(self, puts, deletes=(), *, sync):
        listed = list(puts)
        writes.append(([key for key, _ in listed], sync))
        write(self, listed, deletes, sync=sync)

    with Opened(home) as opened:
        monkeypatch.setattr(Database, "write", noted)
        opened.append(*[batch_record(seq, 200) for seq in range(1, 5)])
        monkeypatch.undo()
    synced = [keys for keys, sync in writes if sync]
    assert synced[-1] == [BATCH_INDEX_COMPLETE]
    entries = {BATCH_DIGEST + batch_record(seq, 200).digest for seq in range(1, 4)}
    assert entries <= {key for keys in synced[:-1] for key in keys}


def test_a_crash_between_marking_a_file_complete_and_beginning_the_next_is_carried_on(home):
    with Opened(home) as opened:
        opened.append(*[batch_record(seq, 200) for seq in range(1, 5)])
    assert segment(home, 2).exists()
    without_index(home, BATCH_DIGEST + batch_record(4).digest, BATCH_SYNCED_END)
    without_index(home, BATCH_LANE + b"\x00\x07" + (4).to_bytes(8, "big"))
    segment(home, 2).unlink()
    with Opened(home) as opened:
        assert opened.seqs() == [1, 2, 3]
        opened.append(batch_record(4, 200))
    with Opened(home) as opened:
        assert opened.seqs() == [1, 2, 3, 4]


@pytest.mark.parametrize("length", [0, 1, HEAD_BYTES - 1])
def test_a_crash_while_a_file_is_begun_is_carried_on(home, tmp_path, length):
    with Opened(home) as opened:
        opened.append(*[batch_record(seq, 200) for seq in range(1, 4)])
    begun = segment(home, 2)
    begun.write_bytes(segment(home, 1).read_bytes()[:length])
    with Opened(home) as opened:
        assert not begun.exists()
        assert opened.seqs() == [1, 2, 3]
        opened.append(batch_record(4, 10))
        opened.append(batch_record(5, 200))
    with Opened(home) as opened:
        assert opened.seqs() == [1, 2, 3, 4, 5]


def test_a_crash_before_the_first_file_was_begun_is_carried_on(home):
    Opened(home).__exit__()
    segment(home, 1).touch()
    with Opened(home) as opened:
        opened.append(batch_record(1))
    with Opened(home) as opened:
        assert opened.seqs() == [1]


def test_a_missing_file_is_a_fault(home):
    with Opened(home) as opened:
        opened.append(*[batch_record(seq, 200) for seq in range(1, 15)])
    for number in (1, 3, 5):
        moved = segment(home, number).rename(home / "moved")
        with pytest.raises(StorageFault, match=file_name(number)):
            Opened(home)
        moved.rename(segment(home, number))
    with Opened(home) as opened:
        assert opened.seqs() == list(range(1, 15))


def test_unreadable_marks_are_a_fault(home):
    with Opened(home) as opened:
        opened.append(batch_record(1))
        opened.database.write([(BATCH_SYNCED_END, b"short")], sync=True)
    with pytest.raises(StorageFault, match="marks"):
        Opened(home)


def test_after_a_failed_sync_nothing_is_held_and_the_log_refuses_to_go_on(home, monkeypatch):
    def failing(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with Opened(home) as opened:
        opened.append(batch_record(1))
        monkeypatch.setattr(os, "fdatasync", failing)
        with pytest.raises(StorageFault, match="appending"):
            opened.append(batch_record(2))
        monkeypatch.undo()
        assert not opened.log.contains(batch_record(2).digest)
        with pytest.raises(StorageFault, match="appending"):
            opened.append(batch_record(2))
        assert opened.seqs() == [1]
    with Opened(home) as opened:
        assert opened.seqs() in ([1], [1, 2])
        opened.append(batch_record(2))
        assert opened.seqs() == [1, 2]
