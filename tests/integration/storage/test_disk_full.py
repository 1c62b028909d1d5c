"""A full disk: a fault of its own name, nothing half-believed, and everything synced before stays readable."""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.batches import BatchLog
from storage.database import Database
from storage.errors import DiskFull
from storage.home import batches_directory, write_durably
from storage.key_use import load_key_use, mark_used
from storage.segments import BatchRecord

CHAIN_ID = b"\x01" * 32
VOLUME_BYTES = 4 * 1024 * 1024


@contextmanager
def file_size_limit(limit_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond the limit; Python ignores the signal, so the write fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def batch_record(seq: int, size: int) -> BatchRecord:
    return BatchRecord(7, seq, seq.to_bytes(32, "big"), 1, bytes([seq % 256]) * size)


def append_until_full(log: BatchLog, size: int) -> int:
    """Append batches one by one; the number of those that were held before the disk was full."""
    for seq in range(1_000):
        try:
            log.append_many([batch_record(seq, size)], lambda: 2)
        except DiskFull:
            return seq
    raise AssertionError("the disk never filled up")


def write_until_full(database: Database, size: int) -> int:
    """Write synced values one by one; the number of those that were written before the disk was full."""
    for number in range(10_000):
        try:
            database.write([(b"k%05d" % number, os.urandom(size))], sync=True)
        except DiskFull:
            return number
    raise AssertionError("the disk never filled up")


def test_a_batch_log_that_hits_a_limit_keeps_what_it_held(tmp_path):
    with Database.open(tmp_path, CHAIN_ID) as database:
        log = BatchLog.open(batches_directory(tmp_path), database, CHAIN_ID)
        with file_size_limit(100_000):
            held = append_until_full(log, 3_000)
        assert held > 10
        # Room again, but what the failed write left behind is unknown: only a new start may find out.
        with pytest.raises(DiskFull):
            log.append_many([batch_record(held, 3_000)], lambda: 2)
        assert not log.contains(batch_record(held, 3_000).digest)
        assert all(log.read(batch_record(seq, 1).digest) == batch_record(seq, 3_000).batch for seq in range(held))
        log.close()
    with Database.open(tmp_path, CHAIN_ID) as database:
        log = BatchLog.open(batches_directory(tmp_path), database, CHAIN_ID)
        assert len(log.list_lane(7, 0, 1_000)) == held
        log.append_many([batch_record(held, 3_000)], lambda: 2)
        assert [log.read_stored(one) for one in log.list_lane(7, 0, 1_000)] == [
            batch_record(seq, 3_000).batch for seq in range(held + 1)
        ]
        log.close()


def test_a_database_that_hits_a_limit_keeps_what_it_wrote_and_refuses_to_go_on(tmp_path):
    with Database.open(tmp_path, CHAIN_ID) as database:
        with file_size_limit(100_000):
            written = write_until_full(database, 3_000)
        assert written > 10
        with pytest.raises(DiskFull):
            database.write([(b"another", b"value")], sync=True)
        assert len(database.iterate(b"k", limit=10_000)) == written
    with Database.open(tmp_path, CHAIN_ID) as database:
        assert len(database.iterate(b"k", limit=10_000)) == written
        assert database.get(b"another") is None
        database.write([(b"another", b"value")], sync=True)


def test_a_mark_that_finds_no_room_is_no_mark(tmp_path):
    with file_size_limit(10), pytest.raises(DiskFull, match="USED"):
        mark_used(tmp_path, CHAIN_ID, 1)
    assert load_key_use(tmp_path) is None


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of VOLUME_BYTES; needs the right to mount."""
    volume = tmp_path / "volume"
    volume.mkdir()
    mount = shutil.which("mount")
    unmount = shutil.which("umount")
    if os.geteuid() != 0 or mount is None or unmount is None:
        pytest.skip("only root can mount a small file system")
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={VOLUME_BYTES}", "tmpfs", str(volume)], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip("this system does not let root mount a file system")
    try:
        yield volume
    finally:
        subprocess.run([unmount, str(volume)], check=True)


@contextmanager
def half_filled(volume: Path) -> Iterator[None]:
    """Fill half of a volume; leaving the context frees it again."""
    ballast = volume / "ballast"
    write_durably(ballast, bytes(VOLUME_BYTES // 2))
    yield
    ballast.unlink()


def test_a_volume_without_room_stops_the_batch_log_and_a_start_with_room_carries_on(small_volume):
    home = small_volume / "home"
    with half_filled(small_volume), Database.open(home, CHAIN_ID) as database:
        log = BatchLog.open(batches_directory(home), database, CHAIN_ID, segment_bytes=500_000)
        held = append_until_full(log, 30_000)
        assert held > 10
        log.close()
    with Database.open(home, CHAIN_ID) as database:
        log = BatchLog.open(batches_directory(home), database, CHAIN_ID, segment_bytes=500_000)
        assert [log.read_stored(one) for one in log.list_lane(7, 0, 1_000)] == [
            batch_record(seq, 30_000).batch for seq in range(held)
        ]
        log.append_many([batch_record(held, 30_000)], lambda: 2)
        log.close()


def test_a_volume_without_room_stops_the_database_and_a_start_with_room_carries_on(small_volume):
    home = small_volume / "home"
    with half_filled(small_volume), Database.open(home, CHAIN_ID) as database:
        written = write_until_full(database, 30_000)
        assert written > 10
    with Database.open(home, CHAIN_ID) as database:
        assert len(database.iterate(b"k", limit=10_000)) == written
        database.write([(b"another", b"value")], sync=True)


def test_a_start_without_room_is_a_full_disk(small_volume):
    home = small_volume / "home"
    (small_volume / "ballast").write_bytes(bytes(VOLUME_BYTES - 4_096 * 4))
    with pytest.raises(DiskFull):
        Database.open(home, CHAIN_ID)
