"""What storage syncs, and in which order: a sync that is left out or comes too late loses what was promised."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage import durable
from storage.batches import BatchLog
from storage.database import Database
from storage.durable import Operation
from storage.home import make_directory, write_durably
from storage.key_use import mark_used
from storage.record_number import RecordNumber
from storage.segments import BatchRecord, file_name

CHAIN_ID = b"\x01" * 32


class Recorder:
    """Carries operations out and remembers their kinds."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def carry_out(self, operation: Operation) -> None:
        operation.run()
        self.kinds.append(operation.kind)

    def take(self) -> list[str]:
        """What was done since the last call."""
        kinds, self.kinds = self.kinds, []
        return kinds


@pytest.fixture
def disk() -> Iterator[Recorder]:
    recorder = Recorder()
    durable.set_witness(recorder)
    yield recorder
    durable.set_witness(None)


@pytest.fixture
def database(tmp_path: Path, disk: Recorder) -> Iterator[Database]:
    with Database.open(tmp_path, CHAIN_ID) as opened:
        disk.take()
        yield opened


def record(seq: int, size: int = 100) -> BatchRecord:
    content = bytes([seq]) * size
    return BatchRecord(0, seq, hashlib.sha256(content).digest(), 1, content)


def test_batches_are_synced_before_their_arrival_is_asked_and_before_the_index_knows_them(
    tmp_path: Path, disk: Recorder, database: Database
) -> None:
    log = BatchLog.open(tmp_path / "batches", database, CHAIN_ID)
    log.append_many([record(1)], lambda: 1)
    disk.take()
    asked_after: list[list[str]] = []

    def arrival() -> int:
        asked_after.append(list(disk.kinds))
        return 2

    log.append_many([record(2), record(3)], arrival)
    assert asked_after == [["append", "sync_file"]]
    assert disk.take() == ["append", "sync_file", "write_plain"]
    log.close()


def test_a_full_files_index_is_synced_before_it_is_called_complete_and_a_new_files_name_before_its_batches(
    tmp_path: Path, disk: Recorder, database: Database
) -> None:
    log = BatchLog.open(tmp_path / "batches", database, CHAIN_ID, segment_bytes=1_000)
    log.append_many([record(1, 800)], lambda: 1)
    disk.take()
    log.append_many([record(2, 800)], lambda: 1)
    begun = ["write_synced", "write_synced", "create", "append", "sync_file", "sync_directory"]
    assert disk.take() == [*begun, "append", "sync_file", "write_plain"]
    log.close()


def test_a_torn_tail_is_cut_off_for_good(tmp_path: Path, disk: Recorder, database: Database) -> None:
    log = BatchLog.open(tmp_path / "batches", database, CHAIN_ID)
    log.append_many([record(1)], lambda: 1)
    log.close()
    with (tmp_path / "batches" / file_name(1)).open("ab") as file:
        file.write(b"torn")
    disk.take()
    BatchLog.open(tmp_path / "batches", database, CHAIN_ID).close()
    assert disk.take() == ["truncate", "sync_file", "write_plain"]


def test_a_durable_file_is_synced_before_it_takes_its_name_and_so_is_the_name(tmp_path: Path, disk: Recorder) -> None:
    write_durably(tmp_path / "file", b"content")
    assert disk.take() == ["create", "append", "sync_file", "replace", "sync_directory"]


def test_the_mark_of_a_used_key_is_on_disk_when_the_call_returns(tmp_path: Path, disk: Recorder) -> None:
    mark_used(tmp_path, CHAIN_ID, 1)
    assert disk.take()[-3:] == ["sync_file", "replace", "sync_directory"]


def test_the_number_rises_in_the_database_first(tmp_path: Path, disk: Recorder, database: Database) -> None:
    """Else a power cut between the two would look like data put back from an older copy."""
    RecordNumber(database, tmp_path).rise()
    assert disk.take() == ["write_synced", "create", "append", "sync_file", "replace", "sync_directory"]


def test_the_name_of_every_new_directory_is_synced(tmp_path: Path, disk: Recorder) -> None:
    make_directory(tmp_path / "a" / "b")
    assert disk.take() == ["make_directory", "sync_directory"] * 2


@pytest.mark.parametrize(
    ("sync", "call"),
    [
        (durable.sync_data, "fdatasync"),
        (durable.sync_file, "fsync"),
        (lambda _, path: durable.sync_directory(path.parent), "fsync"),
    ],
    ids=["data", "file", "directory"],
)
def test_a_sync_is_the_systems_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: Callable[[int, Path], None], call: str
) -> None:
    called: list[int] = []
    monkeypatch.setattr(os, call, called.append)
    path = tmp_path / "file"
    with path.open("wb") as file:
        sync(file.fileno(), path)
    assert len(called) == 1


@pytest.mark.parametrize("sync", [True, False])
def test_leveldb_is_told_whether_to_sync(tmp_path: Path, database: Database, sync: bool) -> None:
    class Batch:
        def put(self, key: bytes, value: bytes) -> None:
            pass

        def write(self) -> None:
            pass

    class LevelDb:
        asked: bool | None = None

        def write_batch(self, *, sync: bool) -> Batch:
            self.asked = sync
            return Batch()

        def close(self) -> None:
            pass

    leveldb = LevelDb()
    Database(leveldb, database._lock, tmp_path).write([(b"key", b"value")], sync=sync)
    assert leveldb.asked == sync
