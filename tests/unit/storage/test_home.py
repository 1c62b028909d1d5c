"""The lock of a directory, and files that are whole or absent."""

import os
import stat

import pytest

from storage.durable import write_all
from storage.errors import HomeInUse, StorageFault
from storage.home import LOCK_NAME, DirectoryLock, make_directory, sync_directory, write_durably


def test_a_held_directory_is_refused_and_names_the_holder(tmp_path):
    lock = DirectoryLock.acquire(tmp_path)
    with pytest.raises(HomeInUse) as caught:
        DirectoryLock.acquire(tmp_path)
    assert caught.value.process_id == os.getpid()
    lock.release()


def test_a_released_directory_can_be_taken_again(tmp_path):
    lock = DirectoryLock.acquire(tmp_path)
    lock.release()
    lock.release()
    DirectoryLock.acquire(tmp_path).release()


def test_a_holder_without_a_readable_number_is_another_process(tmp_path):
    lock = DirectoryLock.acquire(tmp_path)
    (tmp_path / LOCK_NAME).write_bytes(b"not a number")
    with pytest.raises(HomeInUse, match="another process"):
        DirectoryLock.acquire(tmp_path)
    lock.release()


def test_a_stale_number_does_not_hold_a_directory(tmp_path):
    (tmp_path / LOCK_NAME).write_bytes(b"99999999999999999999\n")
    DirectoryLock.acquire(tmp_path).release()
    assert (tmp_path / LOCK_NAME).read_bytes() == f"{os.getpid()}\n".encode()


def test_missing_directories_are_made_private(tmp_path):
    directory = tmp_path / "one" / "two"
    make_directory(directory)
    make_directory(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_directory_under_a_file_is_a_fault(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageFault):
        make_directory(tmp_path / "file" / "directory")
    with pytest.raises(StorageFault):
        sync_directory(tmp_path / "file")


def test_a_durable_file_replaces_the_one_before(tmp_path):
    path = tmp_path / "file"
    write_durably(path, b"one")
    write_durably(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_write_that_takes_a_part_is_carried_on(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, bytes(content)[:3]))
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    write_all(descriptor, b"0123456789")
    os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"0123456789"
